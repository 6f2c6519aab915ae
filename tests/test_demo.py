"""The tour: a quick one end to end, and the full one with its promises."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import ppgm
from ppgm.cli import cli
from ppgm.demo_report import COLUMNS

FILES = {
    "bounds.png", "posterior.png", "graph.png", "graph.mmd", "posterior.nc", "guide.nc",
    "summary.md", "summary.json",
}  # fmt: skip
RUNS = {"vae-elbo", "vae-iwae", "sbn", "gan", "rbm"}


def tour(folder, *options):
    result = CliRunner().invoke(cli, ["demo", "--out", str(folder), *options])
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return result.output, json.loads((folder / "summary.json").read_text())


def check_folder(folder, host):
    assert {path.name for path in folder.iterdir()} == FILES | RUNS
    assert all(ppgm.load(folder / run).program.host == host for run in RUNS)
    assert (folder / "graph.mmd").read_text().startswith("flowchart")
    for path in folder.rglob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def check_numbers(folder, facts):
    """The summary says what the saved runs say."""
    lines = {line["what"]: line for line in facts["lines"]}
    rbm = ppgm.load(folder / "rbm")
    bits = ppgm.data.load("digits").test["x"]
    exact = rbm.program.declaration.log_likelihood(rbm.params, bits)
    found = lines["RBM of 16 units by PCD-5"]
    assert found["value"] == pytest.approx(exact.mean(), rel=1e-6)
    assert found["error"] == pytest.approx(exact.std(ddof=1) / np.sqrt(len(bits)), rel=1e-6)

    gan = ppgm.load(folder / "gan")
    points = ppgm.sample(gan, 2500, seed=facts["seed"] + 1)["x"]
    count = ppgm.data.count_modes(points, ppgm.data.load("ring"))
    assert lines["GAN on the ring"]["value"] == count.modes

    means = [lines[f"VAE by {name}, 5 draws"]["value"] for name in ("IWAE", "ELBO")]
    assert lines["IWAE - ELBO"]["value"] == pytest.approx(means[0] - means[1], abs=1e-9)


# The same code runs on NumPyro, compiled for most of a minute.
@pytest.mark.parametrize("host", ["pyro", pytest.param("numpyro", marks=pytest.mark.slow)])
def test_a_quick_tour(tmp_path, host):
    output, facts = tour(tmp_path / "demo", "--quick", "--host", host)
    assert facts["quick"]
    assert facts["host"] == host
    check_folder(tmp_path / "demo", host)
    check_numbers(tmp_path / "demo", facts)
    for column in COLUMNS:
        assert column in output
    for line in facts["lines"]:
        assert line["text"] in output
        assert line["text"] in (tmp_path / "demo" / "summary.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_full_tour(tmp_path, host, seed):
    _, facts = tour(tmp_path / "demo", "--host", host, "--seed", str(seed))
    check_folder(tmp_path / "demo", host)
    check_numbers(tmp_path / "demo", facts)
    lines = {line["what"]: line for line in facts["lines"]}
    assert lines["GAN on the ring"]["value"] == 8
    # independent pixels, with frequencies from the training rows, for comparison
    bits = ppgm.data.load("digits")
    p = (bits.train["x"].sum(0) + 1) / (len(bits.train["x"]) + 2)
    x = bits.test["x"]
    baseline = (x * np.log(p) + (1 - x) * np.log1p(-p)).sum(1).mean()
    for name in ("VAE by ELBO, 5 draws", "VAE by IWAE, 5 draws", "SBN of 32 units by VIMCO",
                 "RBM of 16 units by PCD-5"):  # fmt: skip
        assert lines[name]["value"] > baseline + 5
