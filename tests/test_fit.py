"""`fit`: what it takes, what it does exactly, what it reports."""

import signal
import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError, EstimatorError, ModelError
from ppgm.fits import EarlyStopping
from ppgm.inference import ELBO, GAN, IWAE
from ppgm.models import VAE, FactorAnalysis, Generator
from ppgm.optimisers import SGD
from ppgm.probes import probe

FA = FactorAnalysis(3, 2, posterior="exact")
X = np.random.default_rng(2).normal(size=(11, 3))


def trained(host, data=None, declaration=FA, objective=None, **options):
    options = {"batch_size": 4, "optimiser": SGD(rate=0.02)} | options
    data = {"x": X} if data is None else data
    return ppgm.fit(ppgm.program(declaration, host=host), data, objective or ELBO(), **options)


def alike(one, two, **tolerance):
    assert one.params.keys() == two.params.keys()
    for name, value in one.params.items():
        np.testing.assert_allclose(two.params[name], value, **(tolerance or {"rtol": 0}))


@dataclass(frozen=True)
class Steady:
    """A program with a bound of -scale * (w - 3)^2 per row, without noise."""

    def model(self, ppl, x, scale=1.0, mode=None, label=None):
        w = ppl.param("w", np.zeros(()))
        assert mode is None or isinstance(mode, str)
        with ppl.plate("data", x):
            ppl.factor("f", -scale * (w - 3.0) ** 2 + 0.0 * x)

    def guide(self, ppl, x, scale=1.0, mode=None, label=None):
        pass


ONES = {"x": np.ones(6)}


@pytest.mark.usefixtures("f64")
def test_ragged_minibatches_are_the_same_on_both_hosts():
    """One host pads the last batch, the other shortens it."""
    pytest.importorskip("pyro")
    pytest.importorskip("numpyro")
    for rows in (1, 9):  # fewer than a batch; a last batch of one row
        data = {"x": X[:rows]}
        ours, theirs = (trained(host, data, steps=20) for host in ("pyro", "numpyro"))
        alike(ours, theirs, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(theirs.history["bound"], ours.history["bound"], rtol=1e-9)


@pytest.mark.usefixtures("f64")
def test_at_rate_zero_an_epoch_of_minibatches_is_the_full_data_bound(host):
    found = trained(host, epochs=3, optimiser=SGD(rate=0.0))
    exact = FA.log_likelihood(found.params, X).mean()
    np.testing.assert_allclose(found.history["bound"], exact, rtol=1e-12)
    np.testing.assert_allclose(found.history["program.loss"], -exact, rtol=1e-12)


@pytest.mark.usefixtures("f64")
def test_two_minibatch_steps_are_by_the_gradients_at_their_rows(host):
    program = ppgm.program(FA, host=host)
    params = hosts.load(host).initial(program, {"x": X})
    order = np.random.Generator(np.random.Philox(key=[0, 0])).permutation(11)
    for rows in (order[:4], order[4:8]):
        grads = probe(program, params, {"x": X[rows]}, ELBO(), scale=3.0, total=11.0).grads
        for name, grad in grads.items():
            moved = np.log(params[name]) if name == "scale" else params[name]
            moved = moved - 0.02 * grad
            params[name] = np.exp(moved) if name == "scale" else moved
    found = trained(host, steps=2)
    for name, value in params.items():
        np.testing.assert_allclose(found.params[name], value, rtol=1e-10)


@pytest.mark.parametrize("kind", ["list", "float64", "batches", "tuple", "class"])
def test_data_of_all_kinds_give_the_same_fit(host, kind):
    class Batches:
        def __iter__(self):
            return iter([{"x": X[:4]}, {"x": X[4:8]}, {"x": X[8:]}])

    data = {
        "list": {"x": X[:8].tolist()},
        "float64": {"x": X[:8].astype(np.float32)},
        "batches": [{"x": X[:4]}, {"x": X[4:8]}, {"x": X[8:]}],
        "tuple": ({"x": X[:4].tolist()}, {"x": X[4:8]}, {"x": X[8:]}),
        "class": Batches(),
    }[kind]
    streamed = kind in ("batches", "tuple", "class")
    same = [{"x": X[:4]}, {"x": X[4:8]}, {"x": X[8:]}] if streamed else {"x": X[:8]}
    size = None if streamed else 4
    one = trained(host, data, epochs=2, batch_size=size)
    two = trained(host, same, epochs=2, batch_size=size)
    alike(one, two, rtol=1e-6)
    assert one.config["rows"] == (11 if streamed else 8)


def test_a_data_loader(host):
    torch = pytest.importorskip("torch")

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 11

        def __getitem__(self, i):
            return {"x": torch.as_tensor(X[i])}

    loader = torch.utils.data.DataLoader(Rows(), batch_size=4)
    one = trained(host, loader, epochs=2, batch_size=None)
    two = trained(host, [{"x": X[i : i + 4]} for i in (0, 4, 8)], epochs=2, batch_size=None)
    alike(one, two)
    assert one.history["epoch"].tolist() == [1, 2]
    assert one.config["steps"] == 6


def test_static_values_reach_the_program(host):
    options = {"batch_size": None, "steps": 1, "declaration": Steady()}
    plain = trained(host, ONES, **options)
    scaled = trained(host, ONES | {"scale": 2, "mode": "fast", "label": None}, **options)
    assert plain.params["w"] == pytest.approx(0.12)
    assert scaled.params["w"] == pytest.approx(0.24)


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.uint8, np.float64])
def test_data_types_are_cast(host, dtype):
    bits = (X > 0).astype(dtype)
    sbn = ppgm.models.SBN(3, (2,))
    found = trained(host, {"x": bits}, sbn, steps=2)
    same = trained(host, {"x": bits.astype(np.float32)}, sbn, steps=2)
    alike(found, same, rtol=1e-6)


def test_history_and_config(host):
    found = trained(host, epochs=4, validation={"x": X[:5]})
    history = found.history
    assert set(history) == {"epoch", "seconds", "bound", "program.loss", "validation"}
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert (np.diff(history["seconds"], prepend=0.0) > 0).all()
    np.testing.assert_allclose(history["program.loss"], -history["bound"])
    assert {n: found.config[n] for n in ("epochs", "steps", "batch_size", "rows", "seed")} == {
        "epochs": 4, "steps": 12, "batch_size": 4, "rows": 11, "seed": 0,
    }  # fmt: skip


@pytest.mark.usefixtures("f64")
@pytest.mark.parametrize("size", [None, 4])
def test_validation_is_the_bound_after_every_epoch(host, size):
    seen = []
    found = trained(
        host, epochs=5, batch_size=size, validation={"x": X[:5]},
        callbacks=[lambda e: seen.append((e.epoch, e.metrics, e.params()))],
    )  # fmt: skip
    assert [epoch for epoch, _, _ in seen] == [1, 2, 3, 4, 5]
    for _, metrics, params in seen:
        exact = FA.log_likelihood(params, X[:5]).mean()
        assert metrics["validation"] == pytest.approx(exact, rel=1e-12)
    logged = [metrics["validation"] for _, metrics, _ in seen]
    np.testing.assert_array_equal(found.history["validation"], logged)
    for name, value in seen[-1][2].items():
        np.testing.assert_array_equal(found.params[name], value)


@pytest.mark.usefixtures("f64")
def test_to_look_changes_nothing(host):
    plain = trained(host, epochs=3, batch_size=None)
    looked = trained(
        host, epochs=3, batch_size=None, validation={"x": X[:5]}, callbacks=[lambda e: None]
    )
    alike(plain, looked)


def test_early_stopping_keeps_the_best_parameters(host):
    """The rate is so high that w overshoots 3 further and further: 7.2, then -2.88, ..."""
    found = trained(
        host, ONES, Steady(), epochs=50, batch_size=None, optimiser=SGD(rate=1.1),
        validation=ONES, early_stopping=EarlyStopping(patience=4),
    )  # fmt: skip
    assert len(found.history["epoch"]) == 5
    assert np.argmax(found.history["validation"]) == 0
    assert found.params["w"] == pytest.approx(6.6)
    assert found.state == {}
    again = ppgm.fit(found, ONES, steps=1)  # goes on from the best
    assert again.params["w"] == pytest.approx(3 - 1.2 * 3.6)


def test_early_stopping_on_what_is_not_logged_is_refused(host):
    with pytest.raises(ArgumentError, match="give validation data"):
        trained(host, epochs=2, early_stopping=EarlyStopping())
    with pytest.raises(ArgumentError, match=r"monitors 'bond'.*'bound'"):
        trained(host, epochs=2, early_stopping=EarlyStopping(monitor="bond"))


def test_progress_shows_the_bound(host, capsys):
    trained(host, epochs=3, progress=True, callbacks=[lambda e: time.sleep(0.15)])
    assert "bound=" in capsys.readouterr().err
    trained(host, epochs=2, progress=False)
    assert capsys.readouterr().err == ""


@pytest.fixture
def takes_control_c():
    """Lets the process take Ctrl-C, which a background job of a shell is started without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("takes_control_c")
def test_control_c_keeps_the_fit(host, capsys):
    before = signal.getsignal(signal.SIGINT)

    def press(epoch):
        if epoch.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    found = trained(host, epochs=1000, callbacks=[press])
    assert found.config["epochs"] == 2
    assert "kept the fit after 2 epochs" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    on, whole = ppgm.fit(found, {"x": X}, epochs=1, batch_size=4), trained(host, epochs=3)
    alike(on, whole)


@pytest.mark.usefixtures("takes_control_c")
def test_a_second_control_c_aborts(host):
    before = signal.getsignal(signal.SIGINT)

    def press(epoch):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trained(host, epochs=1000, callbacks=[press])
    assert signal.getsignal(signal.SIGINT) is before


def test_a_fit_runs_in_a_thread(host):
    found = []
    thread = threading.Thread(target=lambda: found.append(trained(host, steps=2)))
    thread.start()
    thread.join()
    assert found[0].config["steps"] == 2


@pytest.mark.parametrize("steps", [1, 3])
def test_players_take_their_steps(host, steps):
    """With SGD and a generator at rest, the critic's change tells how often it moved."""
    program = ppgm.program(Generator(3, hidden=(4,)), host=host)
    rates = {"critic": SGD(rate=0.05), "generator": SGD(rate=0.0)}
    if host == "pyro":
        import torch

        count = []

        class Counting(torch.optim.SGD):
            def step(self, *args, **options):
                count.append(1)
                return super().step(*args, **options)

        rates["critic"] = lambda leaves: Counting(leaves, 0.05)
        ppgm.fit(program, {"x": X}, GAN(critic_steps=steps), steps=4, optimiser=rates)
        assert len(count) == 4 * steps
    else:
        import optax

        count = optax.GradientTransformation(
            lambda params: 0, lambda grads, state, params=None: (grads, state + 1)
        )
        rates["critic"] = optax.chain(optax.sgd(0.05), count)
        found = ppgm.fit(program, {"x": X}, GAN(critic_steps=steps), steps=4, optimiser=rates)
        slots = [v for n, v in found.state.items() if n.startswith("optimiser/critic")]
        assert 4 * steps in [v for v in slots if not v.ndim]


def test_the_users_own_module_is_left_as_it_was():
    torch, pyro = pytest.importorskip("torch"), pytest.importorskip("pyro")
    net = torch.nn.Linear(3, 3)
    before = {n: v.clone() for n, v in net.state_dict().items()}

    def model(x):
        pyro.module("net", net)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", pyro.distributions.Normal(torch.zeros(3), 1.0).to_event(1))
            pyro.sample("x", pyro.distributions.Normal(net(z), 1.0).to_event(1), obs=x)

    def guide(x):
        loc = pyro.param("loc", torch.zeros(3))
        with pyro.plate("data", len(x)):
            pyro.sample("z", pyro.distributions.Normal(loc.expand(len(x), 3), 1.0).to_event(1))

    found = ppgm.fit(ppgm.Program(model, guide, host="pyro"), {"x": X}, ELBO(), steps=3)
    assert not np.array_equal(found.params["net.weight"], before["weight"])
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in net.parameters())
    assert len(pyro.get_param_store()) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "either epochs or steps"),
        ({"epochs": 1, "steps": 1}, "either epochs or steps"),
        ({"epochs": 0}, "epochs must be an integer of at least 1, not 0"),
        ({"steps": 2.5}, "steps must be an integer of at least 1, not 2.5"),
        ({"epochs": True}, "epochs must be an integer"),
        ({"epochs": 1, "batch_size": 0}, "batch_size must be an integer of at least 1"),
        ({"epochs": 1, "seed": -1}, "seed must be an integer of at least 0"),
        ({"epochs": 1, "seed": 0.5}, "seed must be an integer of at least 0"),
    ],
)
def test_arguments_out_of_their_domain_are_refused(host, options, words):
    with pytest.raises(ArgumentError, match=words):
        trained(host, **options)


def test_an_objective_is_needed(host):
    program = ppgm.program(FA, host=host)
    with pytest.raises(ArgumentError, match="objective is missing"):
        ppgm.fit(program, {"x": X}, steps=1)
    with pytest.raises(ArgumentError, match=r"such as ELBO\(\)"):
        ppgm.fit(program, {"x": X}, ELBO, steps=1)


def test_a_program_without_parameters_is_refused(host):
    @dataclass(frozen=True)
    class Fixed:
        def model(self, ppl, x):
            with ppl.plate("data", x):
                z = ppl.sample("z", ppl.distributions.Normal(0.0 * x, 1.0))
                ppl.sample("x", ppl.distributions.Normal(z, 1.0), obs=x)

        def guide(self, ppl, x):
            with ppl.plate("data", x):
                ppl.sample("z", ppl.distributions.Normal(0.0 * x, 1.0))

    with pytest.raises(ModelError, match="nothing to train"):
        ppgm.fit(ppgm.program(Fixed(), host=host), ONES, ELBO(), steps=1)


def test_an_objective_that_cannot_be_right_is_refused(host):
    with pytest.raises(EstimatorError, match="GAN needs draws|GAN needs them"):
        trained(host, {"x": (X > 0) * 1.0}, ppgm.models.SBN(3, (2,)), GAN(), steps=1)
    with pytest.raises(EstimatorError, match="IWAE needs one"):
        trained(host, declaration=Generator(3), objective=IWAE(), steps=1)


def test_subnormal_numbers_are_zero_in_training_and_not_after_it():
    """They slow processors down; torch is left as it was found."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("pyro")
    seen = []

    def tiny():
        return float(torch.tensor(1e-310, dtype=torch.float64) * 0.5)

    class Watched(VAE):
        def guide(self, ppl, x):
            seen.append(tiny())
            super().guide(ppl, x)

    data = {"x": np.zeros((4, 3))}
    ppgm.fit(ppgm.program(Watched(3, 2, hidden=(2,)), host="pyro"), data, ELBO(), steps=2)
    assert seen[-1] == 0.0
    assert tiny() > 0
    torch.set_flush_denormal(True)
    try:
        ppgm.fit(ppgm.program(VAE(3, 2, hidden=(2,)), host="pyro"), data, ELBO(), steps=1)
        assert tiny() == 0.0
    finally:
        torch.set_flush_denormal(False)
