"""The gradient microscope and the table of estimators."""

from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import ppgm
from ppgm.cli import cli
from ppgm.errors import ArgumentError, EstimatorError
from ppgm.inference import (
    ELBO,
    IWAE,
    NVIL,
    REINFORCE,
    STL,
    VIMCO,
    DReG,
    Enumerate,
)
from ppgm.microscope import Moments, _measured
from ppgm.models import SBN, VAE, Gaussian
from tests.test_oracles_paths import Line

pytest.importorskip("xarray")
LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")

BITS = {"x": (np.random.default_rng(0).random((8, 5)) < 0.5).astype(float)}
REAL = {"x": np.random.default_rng(1).normal(size=(4, 5))}


def test_norms_are_corrected_for_the_noise_of_means(rng: np.random.Generator) -> None:
    """Averaged over many experiments the squared bias is that of the expectations."""
    truth, variance, draws = np.array([0.3, -0.1, 0.0]), np.array([1.0, 4.0, 2.0]), 50
    squares = []
    for _ in range(4000):
        noise = rng.normal(size=3) * np.sqrt(variance / draws)
        found = Moments({"a": truth + noise}, {"a": variance}, draws, 0.0)
        exact = Moments({"a": np.zeros(3)}, {"a": np.zeros(3)}, 1, 0.0)
        gap = truth + noise
        squares.append(gap @ gap - variance.sum() / draws)
        assert _measured(found, exact, ["a"]).bias ** 2 == pytest.approx(max(squares[-1], 0))
    assert np.mean(squares) == pytest.approx(truth @ truth, abs=5 * np.std(squares) / 63)


@pytest.mark.parametrize("truth", [0.0, 3.0])
def test_the_error_of_a_bias_is_its_spread_over_experiments(
    truth: float, rng: np.random.Generator
) -> None:
    """Of a clear bias the standard deviation; of none, that of squares within a factor of two."""
    variance, draws, found = np.full(4, 2.0), 50, []
    mean = np.full(4, truth / 2)
    for _ in range(4000):
        noisy = mean + rng.normal(size=4) * np.sqrt(variance / draws)
        exact = Moments({"a": np.zeros(4)}, {"a": np.zeros(4)}, 1, 0.0)
        found.append(_measured(Moments({"a": noisy}, {"a": variance}, draws, 0.0), exact, ["a"]))
    biases, errors = (np.array([getattr(f, n) for f in found]) for n in ("bias", "bias_error"))
    if truth:
        assert np.median(errors) == pytest.approx(biases.std(), rel=0.05)
    else:
        spread = np.sqrt(np.sqrt(2 * 4) * variance[0] / draws)  # of the squared norm of the noise
        assert np.median(errors) == pytest.approx(spread, rel=0.5)
        assert np.mean(biases > 3 * errors) < 0.01


def test_estimators_of_a_sigmoid_belief_net(host: str) -> None:
    """Unbiased ones have no bias beyond its error, and the published order of variances holds."""
    run = ppgm.program(SBN(5, (4, 3)), host=host)
    named = {"reinforce": REINFORCE(baseline=0.0), "nvil": NVIL(), "vimco": VIMCO(4)}
    reference = {"reinforce": Enumerate(), "nvil": Enumerate(), "vimco": VIMCO(4)}
    draws = 150 if host == "pyro" else 600
    found = ppgm.gradients(
        run, BITS, named, reference=reference, draws=draws, reference_draws=2 * draws
    )
    for layer in ("encoder1", "encoder2"):
        at = found.sel(group=layer)
        assert at.side == "guide"
        assert at.site == f"h{layer[-1]}"
        variance = at.variance.sel(estimator=["vimco", "nvil", "reinforce"]).values
        assert variance[0] < variance[1] < variance[2]
        assert variance[2] > 3 * variance[1]
    raw = found.sel(estimator=["reinforce", "vimco"])
    assert (raw.bias <= 5 * raw.bias_error).all()


def test_a_biased_estimator_is_seen_to_be(host: str) -> None:
    run = ppgm.program(VAE(5, 2, hidden=(4,), likelihood=Gaussian(0.3)), host=host)
    draws = 300 if host == "pyro" else 4000
    found = ppgm.gradients(
        run, REAL, {"dreg": DReG(5), "stl": IWAE(5, gradient="stl")}, reference=DReG(5),
        draws=draws, reference_draws=draws,
    ).sel(group="encoder")  # fmt: skip
    at = found.sel(estimator="dreg")
    assert at.bias <= 5 * at.bias_error
    assert found.sel(estimator="stl").bias > 3 * found.sel(estimator="stl").bias_error


@pytest.mark.parametrize(("name", "wanted"), [("path", -0.5), ("dreg", 0.5)])
def test_slopes_of_signal_to_noise(name: str, wanted: float) -> None:
    """Rainforth et al. (2018), Tucker et al. (2019); the hosts' estimators are the same."""
    pytest.importorskip("numpyro")
    run, counts = ppgm.program(Line(), host="numpyro"), (8, 32, 128)
    found = ppgm.gradients(
        run, {"x": np.array([0.7, -1.2])}, {str(k): IWAE(k, gradient=name) for k in counts},
        draws=60_000,
    )  # fmt: skip
    snr = found.snr.sel(group="b").values
    assert np.polyfit(np.log(counts), np.log(snr), 1)[0] == pytest.approx(wanted, abs=0.1)


def test_sticking_the_landing_has_no_variance_at_the_posterior(host: str) -> None:
    precision = 1 + 0.9**2 / 0.25
    exact = Line(0.9 / 0.25 / precision, -np.log(precision) / 2)
    run, data = ppgm.program(exact, host=host), {"x": np.array([0.7, -1.2, 0.1])}
    found = ppgm.gradients(run, data, {"stl": STL(), "elbo": ELBO()}, draws=50)
    guide = found.sel(group=["b", "c"]).variance
    np.testing.assert_allclose(guide.sel(estimator="stl").values, 0, atol=1e-25)
    assert (guide.sel(estimator="elbo").values > 1e-3).all()


def test_what_the_microscope_refuses(host: str) -> None:
    run = ppgm.program(SBN(5, (2,)), host=host)
    with pytest.raises(EstimatorError, match="'h1' is Bernoulli"):
        ppgm.gradients(run, BITS, [DReG(3)])
    with pytest.raises(ArgumentError, match="draws must be at least 2"):
        ppgm.gradients(run, BITS, [ELBO()], draws=1)
    with pytest.raises(ArgumentError, match="must be an objective"):
        ppgm.gradients(run, BITS, {"elbo": "elbo"})
    with pytest.raises(ArgumentError, match=r"reference names \['b'\]"):
        ppgm.gradients(run, BITS, {"a": ELBO()}, reference={"b": ELBO()})
    with pytest.raises(ArgumentError, match="needs a program or a Fit, not SBN"):
        ppgm.gradients(SBN(5, (2,)), BITS, [ELBO()])  # pyright: ignore[reportArgumentType]


# The table.


def test_legality_is_read_from_sites_and_graph(host: str) -> None:
    deep = ppgm.estimators(ppgm.program(SBN(5, (4, 3)), host=host), BITS)
    flat = ppgm.estimators(ppgm.program(SBN(5, (4,)), host=host), BITS)
    real = ppgm.estimators(
        ppgm.program(VAE(5, 2, hidden=(4,), likelihood=Gaussian(0.5)), host=host), REAL
    )
    assert {"elbo", "vimco", "rloo", "nvil", "rws", "wake-sleep", "tvo", "enumerate"} <= set(
        deep.legal
    )
    assert "disarm" in flat.legal
    assert "disarm" not in deep.legal
    assert {"stl", "dreg", "iwae, dreg", "elbo, stl", "rws"} <= set(real.legal)
    assert not {"enumerate", "nvil", "disarm"} & set(real.legal)
    reasons = {v.name: v.reason for v in deep.verdicts}
    assert "'h2' of the guide is drawn given site 'h1'" in reasons["disarm"]
    assert "'h1' is Bernoulli" in reasons["iwae, dreg"]
    assert str(deep).splitlines()[0].split() == ["objective", "legal", "why"]


def test_every_legal_objective_takes_a_step(host: str) -> None:
    """What the table calls legal trains; what it calls illegal is refused with the same words."""
    run = ppgm.program(SBN(5, (3,)), host=host)
    table = ppgm.estimators(run, BITS)
    chosen: dict[str, Any] = {
        n: o for n, o in table.legal.items() if "," not in n or n.startswith("elbo")
    }
    for name, objective in chosen.items():
        fit = ppgm.fit(run, BITS, objective, steps=1, progress=False)
        assert all(np.isfinite(v).all() for v in fit.params.values()), name
    for verdict in table.verdicts:
        if verdict.objective is not None and not verdict.legal:
            with pytest.raises(EstimatorError) as error:
                ppgm.fit(run, BITS, verdict.objective, steps=1, progress=False)
            assert str(error.value) == verdict.reason


def test_commands(tmp_path: Any) -> None:
    host = "numpyro"
    pytest.importorskip(host)
    folder = tmp_path / "run"
    runner = CliRunner()

    def call(*words: Any) -> str:
        result = runner.invoke(cli, [str(w) for w in words])
        assert result.exit_code == 0, result.output
        return result.output

    call("fit", "sbn", "--host", host, "--set", "layers=3", "--steps", 2, "--no-pictures",
         "--out", folder)  # fmt: skip
    assert "disarm" in call("estimators", folder, "--rows", 4)
    out = tmp_path / "gradients.png"
    text = call("gradients", folder, "--objective", "vimco:particles=3", "--objective", "rloo",
                "--reference", "enumerate", "--draws", 5, "--rows", 4, "--out", out)  # fmt: skip
    assert "encoder1" in text
    assert "±" in text
    assert out.stat().st_size > 10000
