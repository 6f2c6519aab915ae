"""The examples run, and their posteriors are right."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import ppgm
from ppgm.inference import ELBO, NUTS, SVI
from ppgm.optimisers import Adam

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = ("eight_schools", "logistic_regression")
# NumPyro compiles for as long as the rest of this file runs; its NUTS and densities stay.
long_on_numpyro = pytest.mark.parametrize(
    "host", ["pyro", pytest.param("numpyro", marks=pytest.mark.slow)]
)


@pytest.fixture(autouse=True)
def examples_on_the_path(monkeypatch):
    """Python puts the folder of a script first on the path."""
    monkeypatch.syspath_prepend(str(EXAMPLES))


def load(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


@long_on_numpyro
@pytest.mark.parametrize("script", SCRIPTS)
def test_script_runs(host, script, monkeypatch, capsys):
    if script == "logistic_regression":
        pytest.importorskip("sklearn")
    pytest.importorskip("arviz")
    monkeypatch.setattr(sys, "argv", [script, "--host", host, "--smoke"])
    runpy.run_path(str(EXAMPLES / f"{script}.py"), run_name="__main__")
    assert "NUTS" in capsys.readouterr().out


COMPARISONS = {
    "belief_nets": ("VIMCO-5", "RWS-5", "NVIL", "wake-sleep", "REINFORCE"),
    "chorales": ("independent keys", "Markov keys", "DKF, ST-R", "DKF, ST-L"),
    "binary_sets": ("independent bits", "VIMCO-2", "VIMCO-10", "RWS-10"),
    "covariances": ("diagonal", "rank one", "low rank"),
    "importance_weighted": ("ELBO", "IWAE-5", "ELBO, then IWAE-5", "IWAE-5, then ELBO"),
    "flow_guides": ("mean-field", "IAF", "planar"),
    "forecasts": ("climatology", "a cycle ago", "linear-Gaussian", "DKF"),
    "quadrants": ("network", "CVAE", "gap"),
    "schools_guides": ("NUTS", "mean-field", "full-rank", "IAF", "spline"),
    "semi_supervised": ("logistic regression", "class loss, y drawn"),
    "tabular_flows": ("Gaussian", "RealNVP", "MAF", "NSF"),
}


@long_on_numpyro
@pytest.mark.parametrize("script", COMPARISONS)
def test_comparison_runs(host, script, monkeypatch, capsys, tmp_path):
    pytest.importorskip("sklearn")
    args = [script, "--host", host, "--smoke"]
    drawn = script in ("quadrants", "chorales")
    if drawn:
        args += ["--out", str(tmp_path / "q.png")]
    monkeypatch.setattr(sys, "argv", args)
    runpy.run_path(str(EXAMPLES / f"{script}.py"), run_name="__main__")
    table = capsys.readouterr().out
    for name in COMPARISONS[script]:
        assert name in table
    assert "nan" not in table
    if drawn:
        assert (tmp_path / "q.png").read_bytes().startswith(b"\x89PNG")


def exact_schools(data):
    """Posterior means of mu and tau by quadrature: the schools' effects integrate out."""
    mu = np.linspace(-20, 30, 1001)[:, None, None]
    # tau = tan(t) spreads a grid over the long tail; the half Cauchy prior is then nearly flat
    angle = (np.arange(2000)[None, :, None] + 0.5) / 2000 * np.pi / 2
    tau = 5 * np.tan(angle)
    variance = data["sigma"] ** 2 + tau**2
    log_p = -0.5 * (np.log(variance) + (data["y"] - mu) ** 2 / variance).sum(-1)
    log_p -= mu[..., 0] ** 2 / 50
    mass = np.exp(log_p - log_p.max())
    mass /= mass.sum()
    return float((mass * mu[..., 0]).sum()), float((mass * tau[..., 0]).sum())


def test_quadrature_gives_the_published_means():
    """posteriordb, eight_schools-eight_schools_noncentered: mu 4.4, tau 3.6."""
    mu, tau = exact_schools(load("eight_schools")["DATA"])
    assert mu == pytest.approx(4.4, abs=0.05)
    assert tau == pytest.approx(3.6, abs=0.05)


def test_eight_schools_by_nuts(host):
    example = load("eight_schools")
    data, draws = example["DATA"], 400 if host == "numpyro" else 250
    posterior = ppgm.infer(
        example["make"](host), data, NUTS(warmup=200, draws=draws, chains=1), seed=1
    )
    mu, tau = exact_schools(data)
    mean = posterior.mean()
    assert mean["mu"] == pytest.approx(mu, abs=1.0)  # four standard errors at sd 3.3, 180 draws
    assert mean["tau"] == pytest.approx(tau, abs=1.2)


@long_on_numpyro
def test_eight_schools_by_svi(host):
    """The mean-field bound lies below log p(y); its mu is near the posterior's."""
    example = load("eight_schools")
    program, data = example["make"](host), example["DATA"]
    method = SVI(ELBO(particles=4), steps=500, draws=400, optimiser=Adam(0.05))
    posterior = ppgm.infer(program, data, method, seed=0)
    assert posterior.mean()["mu"] == pytest.approx(exact_schools(data)[0], abs=1.5)
    bound = posterior.sample_stats["log_weight"].mean()
    assert -40.0 < bound < -30.0  # log p(y) is -31 or so; no draw has weight 0
    assert set(posterior.draws) >= {"mu", "tau", "noise"}


def test_centred_and_not_are_one_model(host, f64):
    """At theta = mu + tau noise the densities differ by the Jacobian, 8 log tau, exactly."""
    example = load("eight_schools")
    rng = np.random.default_rng(0)
    mu, tau, noise = rng.normal(size=3), rng.gamma(2.0, 1.0, 3), rng.normal(size=(3, 8))
    shared = {"mu": mu, "tau": tau}
    centred = shared | {"theta": mu[:, None] + tau[:, None] * noise}
    totals = []
    for flag, values in ((True, centred), (False, shared | {"noise": noise})):
        program = example["make"](host, centred=flag)
        found = ppgm.host.load(host).log_density(program, {}, example["DATA"], values)
        totals.append(sum(v.reshape(3, -1).sum(1) for v in found.values()))
    assert totals[1] - totals[0] == pytest.approx(8 * np.log(tau), abs=1e-9)


@long_on_numpyro
def test_logistic_regression_by_minibatches(host):
    pytest.importorskip("sklearn")
    example = load("logistic_regression")
    train, test = example["load"](10)
    method = SVI(ELBO(), steps=600, draws=100, batch_size=100, optimiser=Adam(0.03))
    posterior = ppgm.infer(example["make"](host), train, method, seed=0)
    assert example["accuracy"](posterior, test) > 0.9


def test_scores_of_forecasts(rng):
    """CRPS by its definition, intervals by quantiles, and blocks of what is known."""
    example = load("forecasts")
    draws, truth = rng.normal(size=(7, 25, 2)), rng.normal(size=(25, 2))
    apart = np.abs(draws[:, None] - draws).mean((0, 1))
    expected = np.abs(draws - truth).mean(0) - apart / 2
    np.testing.assert_allclose(example["crps"](draws, truth), expected, atol=1e-12)
    truth[3, 1] = np.nan
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    held = example["inside"](draws, truth)
    np.testing.assert_array_equal(np.isnan(held), np.isnan(truth))
    assert held[5, 0] == (low[5, 0] <= truth[5, 0] <= high[5, 0])
    known = np.delete(truth, 3, axis=0)[:22].mean(1)
    means = [known[:11].mean(), known[11:].mean()]
    np.testing.assert_allclose(example["blocks"](truth), means)


def test_a_cycle_ago_is_the_same_phase():
    """On a series of period 11 the guess is off by nothing, from any year."""
    example = load("forecasts")
    x = np.tile(np.arange(11.0) ** 2, 29)[:309]
    root = np.sqrt(x[:221])
    series = example["Series"](x, root.mean(), root.std())
    origins = np.arange(1921, 1988)
    for name, draws in example["plain"](series, origins):
        truth = example["windows"](x, origins, 22)
        if name == "a cycle ago":
            np.testing.assert_allclose(draws, np.broadcast_to(truth, draws.shape), atol=1e-9)
            assert example["crps"](draws, truth).max() < 1e-9
