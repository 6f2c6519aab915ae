"""Claims of papers on real data, in their direction: docs/results.md has levels at full size.

They run where ``PPGM_DATA`` names a folder with the files, on NumPyro, whose steps are faster.
"""

import os
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.data import Quadrants
from ppgm.models import M2, SBN, VAE

EXAMPLES = Path(__file__).parents[1] / "examples"
FOLDER = os.environ.get("PPGM_DATA", "")

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _examples_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpyro")
    monkeypatch.syspath_prepend(str(EXAMPLES))


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def load(name: str) -> ppgm.data.Dataset:
    if not FOLDER:
        pytest.skip("PPGM_DATA names no folder of data")
    try:
        return ppgm.data.load(name, folder=FOLDER)
    except ppgm.errors.DataError as error:
        pytest.skip(str(error))


def gap(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Mean of a - b row by row, and two of its standard errors."""
    return float((a - b).mean()), 2 * float((a - b).std(ddof=1) / np.sqrt(len(a)))


def test_more_draws_are_better_and_use_more_units() -> None:
    """Burda et al., tables 1 and 2."""
    data = load("mnist-static")
    runs = example("importance_weighted")["compare"](
        VAE(784, 50), data.train["x"][::5], data.test["x"][::10], epochs=30, more=15,
        particles=200, host="numpyro",
    )  # fmt: skip
    found = {run.name: run for run in runs}
    mean, error = gap(found["IWAE-5"].log_p, found["ELBO"].log_p)
    assert mean > error
    assert found["IWAE-5"].active > found["ELBO"].active
    for kept in ("ELBO", "IWAE-5"):  # of two that went on for as long, the one by more draws leads
        more, fewer = found[f"{kept}, then IWAE-5"], found[f"{kept}, then ELBO"]
        mean, error = gap(more.log_p, fewer.log_p)
        assert mean > error, kept
        assert more.active > fewer.active, kept


def test_belief_nets_learn_most_by_the_estimators_of_low_variance() -> None:
    """Mnih & Gregor; Mnih & Rezende; Bornschein & Bengio."""
    data = load("mnist-static")
    runs = example("belief_nets")["compare"](
        SBN(784, (200,)), data.train["x"], data.test["x"][::30], minutes=1.0, particles=500,
        host="numpyro",
    )  # fmt: skip
    found = {name: evidence.log_likelihood for name, _, evidence in runs}
    for better in ("VIMCO-5", "RWS-5"):
        mean, error = gap(found[better], found["REINFORCE"])
        assert mean > error, better
    mean, error = gap(found["VIMCO-5"], found["wake-sleep"])
    assert mean > error


@pytest.mark.parametrize("name", ["dna", "mushrooms"])
def test_belief_nets_beat_independent_bits(name: str) -> None:
    script, data = example("binary_sets"), load(name)
    assert data.validation is not None
    sets = {
        "train": data.train["x"],
        "validation": data.validation["x"],
        "test": data.test["x"],
    }
    runs = script["compare"](
        SBN(data.train["x"].shape[1], (200,)), sets, epochs=400, patience=20, host="numpyro",
        particles=500,
    )  # fmt: skip
    found = {label: evidence.log_likelihood for label, _, evidence in runs}
    bits = script["independent"](sets["train"], sets["test"])
    for label, log_p in found.items():
        assert log_p.mean() > bits.mean() + 3, label
    mean, error = gap(found["VIMCO-10"], found["VIMCO-2"])
    assert mean > error


def test_a_hundred_labels() -> None:
    """Kingma et al.; the class is summed over, and learns from its labels."""
    pytest.importorskip("sklearn")
    data = load("mnist")
    assert data.train_labels is not None
    runs = example("semi_supervised")["compare"](
        data.train["x"][:10_000], data.train_labels[:10_000], data.test["x"], data.test_labels,
        count=100, copies=50, epochs=20, host="numpyro", net=M2(784, 10, 50, hidden=(200,)),
    )  # fmt: skip
    found = {run.name: run.accuracy for run in runs}
    assert found["and class loss"] > found["logistic regression"] + 8
    assert found["and class loss"] > found["bound, y summed over"]
    assert found["and class loss"] > found["and class loss, y drawn"]


def test_conditional_autoencoders_win_most_where_least_is_seen() -> None:
    """Sohn, Lee & Yan."""
    data, gaps = load("mnist"), []
    for seen in (1, 2, 3):
        pair = example("quadrants")["compare"](
            Quadrants((28, 28), seen), data.train["x"][:10_000], data.test["x"][:500], epochs=30,
            patience=2, particles=50, latent=30, hidden=(300, 300), host="numpyro",
        )  # fmt: skip
        gaps.append(float((pair.of_cvae.log_likelihood - pair.of_net.log_likelihood).mean()))
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[0] > 15
