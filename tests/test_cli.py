"""The command line: every command on tiny settings, and what it says when something is wrong."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import ppgm
from ppgm import cli_data, registry
from ppgm.cli import cli
from ppgm.cli_pairs import paired
from ppgm.cli_values import assignments, build, build_word
from ppgm.errors import ArgumentError, DataError, NonFiniteError
from ppgm.evaluation import Evidence
from ppgm.inference import ELBO, GAN, IWAE, ThermodynamicELBO
from ppgm.models import DKF, VAE
from ppgm.models.likelihoods import Bernoulli, Gaussian
from ppgm.nets import MLP
from ppgm.optimisers import Adam

TINY = ["--set", "latent=2", "--set", "hidden=4", "--steps", "3"]


def call(*args, code=0):
    result = CliRunner().invoke(cli, [str(a) for a in args])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result


def fails(*args, code=1):
    """Returns the one line on stderr that a failing command writes."""
    result = call(*args, code=code)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture(scope="module", params=["pyro", "numpyro"])
def runs(request, tmp_path_factory):
    """Two runs of a VAE on one host."""
    folder = tmp_path_factory.mktemp("runs")
    for name, objective in (("a", "elbo"), ("b", "iwae")):
        call("fit", "vae", *TINY, "--host", request.param, "--objective", objective, "--particles",
             2, "--out", folder / name, "--validation", "--no-pictures")  # fmt: skip
    return folder


def test_help_imports_no_host_and_no_arrays():
    code = (
        "import sys\nfrom ppgm.cli import cli\n"
        "cli(['fit', '--help'], standalone_mode=False)\n"
        "heavy = {'numpy', 'torch', 'jax', 'arviz', 'matplotlib', 'networkx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_has_help(command):
    assert "Usage:" in call(command, "--help").output


def test_version():
    assert ppgm.__version__ in call("--version").output


def test_list_shows_every_part_with_its_origin():
    found = json.loads(call("list", "--format", "json").output)
    parts = {(f["kind"], f["name"]) for f in found}
    assert {(e.kind, e.name) for e in registry.catalogue()} <= parts
    assert {n for k, n in parts if k == "data"} == set(ppgm.data.names())
    assert all(f["origin"] and f["summary"] for f in found)


def test_list_of_one_kind_is_a_table():
    head, _, *rows = call("list", "models").output.splitlines()
    assert head.split() == ["kind", "name", "origin", "summary"]
    assert [row.split()[1] for row in rows] == [e.name for e in registry.catalogue("models")]


def test_fit_writes_a_run_that_python_loads(runs):
    fit = ppgm.load(runs / "b")
    assert fit.program.declaration == VAE(features=64, latent=2, hidden=(4,))
    assert fit.config["objective"] == IWAE(particles=2)
    assert fit.config["steps"] == 3
    assert fit.config["data"]["source"] == "digits"


def test_fit_equals_the_same_call_in_python(runs):
    fit = ppgm.load(runs / "b")
    data = ppgm.data.load("digits")
    program = ppgm.program(VAE(features=64, latent=2, hidden=(4,)), host=fit.program.host)
    again = ppgm.fit(
        program, data.train, IWAE(particles=2), steps=3, batch_size=128, validation=data.test
    )
    for name, value in again.params.items():
        np.testing.assert_array_equal(fit.params[name], value)


def test_fit_draws_pictures(tmp_path):
    call("fit", "vae", *TINY, "--out", tmp_path / "run")
    found = {path.name for path in (tmp_path / "run").glob("*.png")}
    names = {"curve.png", "samples.png", "reconstructions.png", "latent.png", "graph.png"}
    assert found == names
    for name in names:
        assert (tmp_path / "run" / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("model", "data", "options"),
    [
        ("rbm", "digits", ["--set", "hidden=4"]),
        ("sbn", "digits", ["--set", "layers=4"]),
        ("generator", "ring", ["--set", "hidden=4", "--optimiser-option", "b1=0"]),
    ],
)
def test_other_models_bring_their_objective_and_pictures(tmp_path, model, data, options):
    folder = tmp_path / model
    call("fit", model, "--data", data, *options, "--steps", 3, "--out", folder)
    objective = ppgm.load(folder).config["objective"]
    expected = {"rbm": "cd", "sbn": "vimco", "generator": "gan"}[model]
    assert registry.name_of(type(objective)) == ("objectives", expected)
    assert (folder / "samples.png").exists()


SEQUENCES = {
    "hmm": ["--data", "sunspots", "--set", "likelihood=gaussian"],
    "dkf": ["--data", "linear-states", "--set", "latent=2", "--set", "rnn=3", "--set", "hidden=3",
            "--set", "emitter=3", "--set", "likelihood=gaussian"],
}  # fmt: skip


@pytest.mark.parametrize("model", sorted(SEQUENCES))
def test_sequences_have_their_columns_last(tmp_path, model):
    options = [*SEQUENCES[model], "--host", "pyro"]
    call("fit", model, *options, "--steps", 1, "--batch-size", 20, "--out", tmp_path / "run")
    assert ppgm.load(tmp_path / "run").program.declaration.features == 1
    assert "plate data" in call("graph", model, *options).output


def test_columns_are_the_last_axis_of_x():
    made = ppgm.data.load("sunspots")
    x, lengths = np.zeros((4, 7, 3)), np.full(4, 7)
    for train, wanted in (
        ({"x": x, "lengths": lengths}, 3),
        ({"lengths": lengths, "x": x}, 3),
        ({"x": x[:, 0]}, 3),
        ({"v": np.zeros((4, 5))}, 5),
    ):
        assert cli_data.columns(made._replace(train=train)) == wanted


def test_resume_goes_on_bit_for_bit(tmp_path):
    short, long = tmp_path / "short", tmp_path / "long"
    tiny = [*TINY[:4], "--no-pictures"]
    call("fit", "vae", *tiny, "--epochs", 2, "--out", long)
    call("fit", "vae", *tiny, "--epochs", 1, "--out", short)
    call("fit", "vae", "--no-pictures", "--resume", "--epochs", 1, "--out", short)
    a, b = ppgm.load(short), ppgm.load(long)
    assert a.config["epochs"] == b.config["epochs"] == 2
    assert a.config["data"] == b.config["data"]
    for name, value in b.params.items():
        np.testing.assert_array_equal(a.params[name], value)


@pytest.mark.parametrize("option", [("--objective", "iwae"), ("--rate", "0.01")])
@pytest.mark.parametrize("unit", ["--epochs", "--steps"])
def test_a_resumed_run_is_whole_whatever_its_counts_begin_at(tmp_path, option, unit):
    pytest.importorskip("pyro")
    folder = tmp_path / "run"
    rest = ["--host", "pyro", "--no-pictures", "--out", folder]
    call("fit", "vae", *TINY[:4], unit, 2, "--batch-size", 800, *rest)
    result = call("fit", "vae", "--resume", unit, 1, *option, *rest)
    anew = option[0] == "--objective"
    assert ("epochs and history begin anew" in result.output) == anew
    fit = ppgm.load(folder)
    per_epoch = 2 if unit == "--epochs" else 1  # 1500 rows in batches of 800
    assert fit.config["steps"] == (1 if anew else 3) * per_epoch
    if unit == "--epochs":
        assert fit.config["epochs"] == (1 if anew else 3)
        assert fit.history["epoch"].tolist() == ([1] if anew else [1, 2, 3])


def test_a_diverged_fit_is_told_to_a_shell(tmp_path):
    pytest.importorskip("pyro")
    folder = tmp_path / "run"
    args = [*TINY[:4], "--steps", 50, "--host", "pyro", "--optimiser", "sgd", "--rate", "1e38"]
    line = fails("fit", "vae", *args, "--out", folder)
    assert "--rate" in line
    assert "nothing was saved" in line
    assert "error's" not in line
    assert not folder.exists()


def test_a_diverged_tour_is_told_what_it_has(tmp_path, monkeypatch):
    def diverge(*args, **kwargs):
        raise NonFiniteError("bound is nan in step 3", None, "try a smaller learning rate")

    monkeypatch.setattr("ppgm.demo.run", diverge)
    line = fails("demo", "--out", tmp_path)
    assert line.startswith("error: bound is nan in step 3: ")
    given = {word.rstrip(";:.") for word in line.split() if word.startswith("--")}
    assert given == {"--seed", "--host", "--out"}
    assert given <= {option for p in cli.commands["demo"].params for option in p.opts}


def test_a_diverged_inference_is_told_what_it_has(runs, tmp_path):
    rates = ["--option", "optimiser=sgd", "--option", "optimiser.rate=1e38"]
    args = ["--method", "svi", "--option", "objective=elbo", "--option", "steps=20", *rates]
    line = fails("infer", runs / "a", *args, "--rows", 3, "--out", tmp_path / "p.nc")
    assert "--option optimiser.rate=R" in line
    assert not (tmp_path / "p.nc").exists()


def test_a_run_is_not_replaced_unasked(runs):
    assert "--resume" in fails("fit", "vae", *TINY, "--out", runs / "a")


def test_resume_refuses_another_model_and_new_fields(runs):
    assert "a run of 'vae'" in fails("fit", "sbn", "--resume", "--steps", 1, "--out", runs / "a")
    assert "--set cannot" in fails("fit", "vae", *TINY, "--resume", "--out", runs / "a")
    assert "needs --out" in fails("fit", "vae", "--resume", "--steps", 1)


def test_evaluate_prints_what_python_finds(runs):
    args = ("evaluate", runs / "a", "--particles", 30, "--rows", 20)
    facts = json.loads(call(*args, "--format", "json").output)
    rows = {"x": ppgm.data.load("digits").test["x"][:20]}
    found = ppgm.evaluate(ppgm.load(runs / "a"), rows, particles=30)
    assert facts["log_likelihood"] == pytest.approx(found.mean, rel=1e-6)
    assert facts["standard_error"] == pytest.approx(found.standard_error, rel=1e-6)
    assert facts["rows"] == 20
    assert "nats per row" in call(*args).output


@pytest.mark.parametrize(
    ("method", "options", "shape"),
    [
        ("guide", ["draws=30"], (1, 30, 3, 2)),
        ("importance", ["draws=30", "particles=40"], (1, 30, 3, 2)),
        ("nuts", ["draws=5", "warmup=5", "chains=1"], (1, 5, 3, 2)),
    ],
)
def test_infer_writes_netcdf(runs, tmp_path, method, options, shape):
    path = tmp_path / "posterior.nc"
    given = [part for option in options for part in ("--option", option)]
    result = call("infer", runs / "a", "--method", method, *given, "--rows", 3, "--out", path)
    assert "Posterior" in result.output
    from ppgm import posterior

    assert posterior.load(path).draws["z"].shape == shape


def test_sample_writes_arrays_and_pictures(runs, tmp_path):
    call("sample", runs / "a", "-n", 5, "--out", tmp_path / "s.npz")
    found = np.load(tmp_path / "s.npz")
    assert found["x"].shape == (5, 64)
    assert set(np.unique(found["x"])) <= {0, 1}
    call("sample", runs / "a", "-n", 5, "--out", tmp_path / "s.png")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert ".npz or .png" in fails("sample", runs / "a", "--out", tmp_path / "s.txt")


@pytest.mark.parametrize(
    ("form", "sign"), [("text", "plate data"), ("mermaid", "flowchart"), ("dot", "digraph")]
)
def test_graph_of_runs_and_models(runs, tmp_path, form, sign):
    assert sign in call("graph", runs / "a", "--format", form).output
    path = tmp_path / "graph.txt"
    call("graph", "sbn", "--set", "layers=5,3", "--format", form, "--out", path)
    assert "h2" in path.read_text()


def test_graph_as_a_picture(runs, tmp_path):
    call("graph", runs / "a", "--format", "png", "--out", tmp_path / "graph.png")
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")


def test_compare_shows_the_paired_difference(runs):
    args = ("--particles", 30, "--rows", 40)
    output = call("compare", runs / "a", runs / "b", *args).output
    rows = {"x": ppgm.data.load("digits").test["x"][:40]}
    a, b = (ppgm.evaluate(ppgm.load(runs / n), rows, particles=30) for n in "ab")
    difference = b.log_likelihood - a.log_likelihood
    error = difference.std(ddof=1) / np.sqrt(40)
    assert f"{difference.mean():.3f} ± {error:.3f}" in output
    assert f"{a.mean:.3f} ± {a.standard_error:.3f}" in output


def test_compare_needs_two_runs_on_the_same_rows(runs, tmp_path):
    call("compare", runs / "a", code=2)
    np.save(tmp_path / "bits.npy", np.ones((20, 64)))
    host = ppgm.load(runs / "a").program.host
    call("fit", "vae", *TINY, "--host", host, "--data", tmp_path / "bits.npy", "--out",
         tmp_path / "c", "--no-pictures")  # fmt: skip
    assert "differ" in fails("compare", runs / "a", tmp_path / "c")


def test_paired_differences():
    def evidence(values):
        blank = np.zeros(3)
        return Evidence(np.array(values), blank, blank, blank, None, 100)

    mean, error = paired(evidence([1.0, 2.0, 6.0]), evidence([0.0, 0.0, 3.0]))
    assert (mean, error) == (2.0, pytest.approx(1 / np.sqrt(3)))
    assert np.isnan(paired(evidence([1.0]), evidence([0.0]))[1])


def test_exact_likelihoods_are_compared_as_such(tmp_path):
    for name, units in (("a", 2), ("b", 3)):
        call("fit", "rbm", "--set", f"hidden={units}", "--steps", 2, "--out", tmp_path / name,
             "--no-pictures")  # fmt: skip
    output = call("compare", tmp_path / "a", tmp_path / "b").output
    assert sum(line.endswith("  exact") for line in output.splitlines()) == 2
    facts = json.loads(call("evaluate", tmp_path / "a", "--format", "json").output)
    assert facts["exact"] == facts["log_likelihood"]
    assert facts["rows_with_bad_k_hat"] == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["fit", "vea"], "did you mean 'vae'?"),
        (["fit", "vae", "--set", "latnet=2"], "did you mean 'latent'?"),
        (["fit", "vae", "--set", "latent=two"], "must be an integer"),
        (["fit", "vae", "--set", "latent"], "field=value"),
        (["fit", "vae", "--set", "latent=0"], "at least 1"),
        (["fit", "vae", "--set", "likelihood=gausian"], "did you mean 'gaussian'?"),
        (["fit", "vae", "--objective", "iwea"], "did you mean 'iwae'?"),
        (["fit", "vae", "--objective", "gan"], "error: "),
        (["fit", "vae", "--particles", "2", "--option", "particles=3"], "either --particles"),
        (["fit", "vae", "--optimiser", "adm"], "did you mean 'adam'?"),
        (["fit", "vae", "--data", "digit"], "did you mean 'digits'?"),
        (["fit", "vae", "--data", "no.csv"], "no file 'no.csv'"),
        (["fit", "vae", "--data", "ring", "--binarise", "static"], "no grey levels"),
        (["fit", "vae", "--epochs", "2", "--steps", "2"], "either epochs or steps"),
        (["evaluate", "no-run"], "'no-run' is not a run folder"),
        (["graph", "no/run"], "holds no run"),
        (["list", "model"], "did you mean 'models'?"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    assert message in fails(*args)


@pytest.mark.parametrize("args", [["fit"], ["fit", "vae", "--epochs", "x"], ["nothing"]])
def test_wrong_command_lines_exit_with_two(args):
    assert "Usage:" in call(*args, code=2).stderr


def test_nan_in_a_csv_file_is_named_by_line_and_column(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("width,height\n1,2\n3,nan\n" + "1,1\n" * 5)
    line = fails("fit", "vae", "--data", path)
    assert "line 3, column 2 ('height'): 'nan'" in line


def test_a_missing_host_gives_the_pip_command(tmp_path, monkeypatch):
    monkeypatch.setattr("ppgm.host.find_spec", lambda name: None)
    line = fails("fit", "vae", *TINY, "--host", "pyro", "--out", tmp_path / "run")
    assert "pip install 'ppgm[pyro]'" in line


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    assert "error: " in fails("demo", "--quick", "--out", tmp_path / "file" / "demo")


def test_interrupted_training_is_saved_and_exits_with_130(tmp_path):
    folder = tmp_path / "run"
    code = (
        "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from ppgm import fit_loop\n"
        "old = fit_loop.Run._end_epoch\n"
        "def end(self, *args, **kwargs):\n"
        "    old(self, *args, **kwargs)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "fit_loop.Run._end_epoch = end\n"
        "from ppgm.cli import main\nmain()\n"
    )
    args = ["fit", "vae", *TINY[:4], "--epochs", "500", "--validation", "--no-pictures", "--out"]
    env = {**os.environ, "PYTHONPATH": str(Path(ppgm.__file__).parents[1])}
    found = subprocess.run(
        [sys.executable, "-c", code, *args, str(folder)], env=env, capture_output=True, text=True
    )
    assert found.returncode == 130, found.stderr
    assert "Traceback" not in found.stderr
    fit = ppgm.load(folder)
    assert fit.config["epochs"] == 1  # the signal comes as the first epoch ends
    assert fit.config["steps"] == -(-fit.config["rows"] // fit.config["batch_size"])
    assert fit.history["epoch"].tolist() == [1]
    assert np.isfinite(fit.history["validation"]).all()
    assert all(np.isfinite(value).all() for value in fit.params.values())


def test_an_interrupt_elsewhere_exits_with_130(monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("ppgm.registry.catalogue", interrupt)
    result = call("list", code=signal.SIGINT + 128)
    assert result.stderr == "interrupted\n"


# --- values


def test_values_take_their_fields_types():
    given = {"latent": "8", "hidden": "64,32", "likelihood": "gaussian", "likelihood.scale": "0.1"}
    model = build("models", "vae", given, defaults={"features": 9, "other": 1})
    assert model == VAE(features=9, latent=8, hidden=(64, 32), likelihood=Gaussian(scale=0.1))


def test_parts_inside_parts():
    given = {"critic": "mlp", "critic.inputs": "2", "critic.hidden": "", "critic.outputs": "1",
             "on": "x,z"}  # fmt: skip
    assert build("objectives", "gan", given) == GAN(on=("x", "z"), critic=MLP(2, (), 1))


def test_fields_of_a_default_part_can_be_set_alone():
    assert build("models", "vae", {"features": "4"}).likelihood == Bernoulli()
    with pytest.raises(ArgumentError, match="bernoulli has no field 'scale'"):
        build("models", "vae", {"features": "4", "likelihood.scale": "1"})


def test_none_and_numbers():
    assert build("optimisers", "adam", {"clip_norm": "none", "rate": "1e-4"}) == Adam(rate=1e-4)
    assert build("optimisers", "adam", {"clip_norm": "2"}).clip_norm == 2.0


def test_words_with_commas_and_names():
    made = build_word("objectives", "tvo:betas=0.1,0.5,particles=4")
    assert made == ThermodynamicELBO(particles=4, betas=(0.1, 0.5))
    assert build_word("objectives", "elbo:enumerate=h1,h2") == ELBO(enumerate=("h1", "h2"))
    weighted = build_word("objectives", "iwae:particles=2,site_weights=x:2,h1:0.5,gradient=vimco")
    assert weighted == IWAE(2, gradient="vimco", site_weights={"x": 2.0, "h1": 0.5})
    assert build("objectives", "elbo", {"site_weights": "x:2"}) == ELBO(site_weights={"x": 2.0})
    assert build_word("objectives", "elbo") == ELBO()
    for word, message in (
        ("elbo:site_weights=x", "numbers by name with commas between, as in x:2"),
        ("elbo:site_weights=x:1,x:2", "numbers by name"),
        ("elbo:site_weights=x:two", "numbers by name"),
        ("tvo:betas=0.1,b", "must be values with commas"),
        ("elbo:2", "must be written field=value"),
        ("elbo:beta=2,beta=3", "given twice"),
    ):
        with pytest.raises(ArgumentError, match=message):
            build_word("objectives", word)


def test_a_required_field_is_named():
    with pytest.raises(ArgumentError, match="needs the field 'features'"):
        build("models", "vae", {})


def test_a_field_is_given_once():
    with pytest.raises(ArgumentError, match="twice"):
        assignments(["latent=1", "latent=2"])


def test_a_model_of_sequences_is_unrolled_on_sequences():
    said = call("graph", "hmm", "--host", "pyro").output
    assert "x" in said
    sizes = [f"--set={n}=2" for n in ("latent", "rnn", "hidden", "emitter")]
    made = [*sizes, "--host", "pyro", "--unroll", 2]
    said = call("graph", "dkf", *made).output
    assert "z[1]" in said


# --- data


def test_files_of_all_kinds_hold_the_same_rows(tmp_path, rng):
    rows = rng.normal(size=(20, 3)).astype(np.float32)
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "a.npz", x=rows)
    np.savetxt(tmp_path / "a.csv", rows, delimiter=",", header="a,b,c", comments="")
    first, *others = [cli_data.load(str(tmp_path / f"a{kind}")) for kind in cli_data.FILES]
    assert len(first.train["x"]) == 16
    assert len(first.test["x"]) == 4
    together = np.concatenate([first.train["x"], first.test["x"]])
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(rows, axis=0))
    for other in others:
        np.testing.assert_allclose(other.train["x"], first.train["x"], rtol=1e-6)
        np.testing.assert_allclose(other.test["x"], first.test["x"], rtol=1e-6)


def test_splits_and_pictures_in_a_file_are_kept(tmp_path):
    train, test = np.zeros((6, 2, 2)), np.ones((3, 2, 2))
    np.savez(tmp_path / "a.npz", train=train, test=test)
    found = cli_data.load(str(tmp_path / "a.npz"))
    assert found.shape == (2, 2)
    assert found.test["x"].min() == 1
    assert cli_data.for_model(found, VAE).train["x"].shape == (6, 4)


def test_sequences_in_a_file_keep_their_steps_and_what_goes_with_them(tmp_path, rng):
    x, lengths = rng.normal(size=(10, 4, 2)), np.arange(10) % 4 + 1
    np.savez(tmp_path / "a.npz", x=x, lengths=lengths, y=np.arange(10))
    found = cli_data.load(str(tmp_path / "a.npz"))
    kept = cli_data.for_model(found, DKF)
    assert kept.train.keys() == {"x", "lengths"}
    assert kept.train["x"].shape == (8, 4, 2)
    assert "DKF takes no 'y'" in kept.description
    for row, length in zip(kept.test["x"], kept.test["lengths"], strict=True):
        (at,) = np.flatnonzero((x.astype(np.float32) == row).all((1, 2)))
        assert length == lengths[at]
    assert cli_data.for_model(found, VAE).train.keys() == {"x"}
    sizes = [f"--set={n}=2" for n in ("latent", "rnn", "hidden", "emitter")]
    made = ["--set=likelihood=gaussian", *sizes, "--steps", 1, "--host", "pyro", "--no-pictures"]
    said = call("fit", "dkf", "--data", tmp_path / "a.npz", *made, "--out", tmp_path / "run")
    assert "DKF takes no 'y'" in said.output
    np.savez(tmp_path / "b.npz", x=x, lengths=lengths[:3])
    with pytest.raises(DataError, match=r"'lengths' has the shape \(3,\), and 'x' 10 rows"):
        cli_data.load(str(tmp_path / "b.npz"))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), "shape"),
        (np.array([["a", "b"]] * 5), "expected numbers"),
        (np.array([[1.0], [np.inf], [1], [1], [1]]), "row 1, column 0"),
        (np.zeros((3, 2)), "at least 5"),
    ],
)
def test_bad_arrays_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=message):
        cli_data.load(str(tmp_path / "a.npy"))


def test_pickles_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read"):
        cli_data.load(str(tmp_path / "a.npy"))


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_damaged_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04 no such thing")
    with pytest.raises(DataError, match="cannot be read"):
        cli_data.load(str(tmp_path / name))


def test_rows_of_unlike_length_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("1,2\n3\n")
    with pytest.raises(DataError, match="line 2: 1 columns"):
        cli_data.load(str(tmp_path / "a.csv"))
