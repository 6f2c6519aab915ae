"""Automatic guides: one posterior of a family over all latents of a program."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError, EstimatorError, ModelError
from ppgm.guides import IAF, AutoGuided, FullRank, Gaussian, Mixture, Planar, auto
from ppgm.inference import ELBO, IWAE, STL, ParticleFilter
from ppgm.optimisers import Adam
from ppgm.probes import probe
from ppgm.testing import differences

N, J, SIGMA = 6, 2, 0.8
TOLERANCE = 1e-9
AUX = "_auto_latent"

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")


@pytest.fixture
def t(host: str) -> Any:
    """The names that both hosts share."""
    if host == "pyro":
        import pyro as lib
        import pyro.distributions as dist
        import torch as arrays
    else:
        import jax.numpy as arrays
        import numpyro as lib
        import numpyro.distributions as dist
    return SimpleNamespace(
        sample=lib.sample, plate=lib.plate, dist=dist, zeros=arrays.zeros, ones=arrays.ones,
        log=arrays.log, exp=arrays.exp,
    )  # fmt: skip


@pytest.fixture
def data(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": rng.normal(size=(N, 4)), "y": rng.normal(size=N)}


def regression(t: Any) -> Any:
    """A slope for all, effects in a plate, and a positive number that counts by its logarithm."""

    def model(x: Any, y: Any) -> None:
        slope = t.sample("slope", t.dist.Normal(t.zeros(2), t.ones(2)).to_event(1))
        with t.plate("groups", J):
            effect = t.sample("effect", t.dist.Normal(t.zeros(()), 2 * t.ones(())))
        factor = t.sample("factor", t.dist.LogNormal(t.zeros(()), 0.5 * t.ones(())))
        with t.plate("data", N):
            mean = (slope * x[:, :2]).sum(-1) + (effect[..., None, :] * x[:, 2:]).sum(-1)
            t.sample("y", t.dist.Normal(mean + t.log(factor), SIGMA), obs=y)

    return model


@dataclass(frozen=True)
class Regression:
    """The same, declared once."""

    broadcasts = True

    def model(self, ppl: Any, x: Any, y: Any = None) -> None:
        zero, dist = ppl.np.zeros(()), ppl.distributions
        slope = ppl.sample("slope", dist.Normal(ppl.np.zeros(2), 1.0 + zero).to_event(1))
        with ppl.plate("groups", J):
            effect = ppl.sample("effect", dist.Normal(zero, 2.0 + zero))
        factor = ppl.sample("factor", dist.LogNormal(zero, 0.5 + zero))
        with ppl.plate("data", x):
            mean = (slope * x[:, :2]).sum(-1) + (effect[..., None, :] * x[:, 2:]).sum(-1)
            ppl.sample("y", dist.Normal(mean + ppl.np.log(factor), SIGMA), obs=y)


def exact(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Log p(y | x), and mean and root of the posterior of (slope, effect, log factor)."""
    design = np.concatenate([x, np.ones((N, 1))], -1)
    prior = np.diag(np.array([1, 1, 2, 2, 0.5]) ** 2)
    marginal = design @ prior @ design.T + SIGMA**2 * np.eye(N)
    log_p = -0.5 * (y @ np.linalg.solve(marginal, y) + np.linalg.slogdet(2 * np.pi * marginal)[1])
    covariance = np.linalg.inv(np.linalg.inv(prior) + design.T @ design / SIGMA**2)
    return log_p, covariance @ design.T @ y / SIGMA**2, np.linalg.cholesky(covariance)


def context_of(mean: np.ndarray, root: np.ndarray) -> np.ndarray:
    """What `FullRank` takes for N(mean, R R')."""
    scale = np.diag(root)
    below = (root / scale)[np.tril_indices(len(mean), -1)] / 0.1
    return np.concatenate([mean, np.log(scale), below])


def made(kind: str, host: str, t: Any, family: Any) -> ppgm.Program:
    if kind == "declared":
        return auto(ppgm.program(Regression(), host=host), family)
    return auto(ppgm.Program(regression(t), host=host), family)


every_kind = pytest.mark.parametrize("kind", ["declared", "of the host"])


@every_kind
def test_every_weight_is_log_p_at_the_exact_posterior(
    host: str, kind: str, t: Any, data: Any, rng: np.random.Generator
) -> None:
    """Also for the positive number, whose posterior is log-normal: the Jacobian counts."""
    log_p, mean, root = exact(**data)
    params = {"auto.context": context_of(mean, root)}
    program = made(kind, host, t, FullRank())
    log_w = hosts.load(host).log_weights(program, params, data, 4, 0)
    np.testing.assert_allclose(log_w, np.full(4, log_p), atol=TOLERANCE)
    got = probe(program, params, data, IWAE(3), noise={AUX: rng.normal(size=(3, 5)) * 2})
    assert got.metrics["bound"] == pytest.approx(log_p, abs=TOLERANCE)
    stl = probe(program, params, data, STL(3), noise={AUX: rng.normal(size=(3, 5))})
    np.testing.assert_allclose(stl.grads["auto.context"], 0, atol=TOLERANCE)


@every_kind
def test_draws_are_those_of_the_posterior(host: str, kind: str, t: Any, data: Any) -> None:
    _, mean, root = exact(**data)
    program = made(kind, host, t, FullRank())
    params = {"auto.context": context_of(mean, root)}
    found = hosts.load(host).sample(program, "guide", params, data, 20_000, 0)
    parts = (found["slope"], found["effect"], np.log(found["factor"])[:, None])
    flat = np.concatenate(parts, -1)
    white = np.linalg.solve(root, (flat - mean).T)
    np.testing.assert_allclose(white.mean(1), 0, atol=5 / 20_000**0.5)
    np.testing.assert_allclose(np.cov(white), np.eye(5), atol=5 * 1.5 / 20_000**0.5)


def bounded(t: Any) -> Any:
    """Every kind of support, with shapes of its own."""

    def model(y: Any) -> None:
        t.sample("positive", t.dist.Gamma(t.ones(()), 1.0))
        with t.plate("two", 2):
            t.sample("interval", t.dist.Uniform(2 * t.ones(()), 5.0))
            t.sample("simplex", t.dist.Dirichlet(t.ones(3)))
        t.sample("y", t.dist.Normal(t.zeros(()), 1.0), obs=y)

    return model


def test_supports_are_changes_of_variables(host: str, t: Any, rng: np.random.Generator) -> None:
    """Values and log densities of all sites, written down by hand."""
    program, data = auto(ppgm.Program(bounded(t), host=host), Gaussian()), {"y": np.zeros(())}
    u = rng.normal(size=(3, 7))
    load = hosts.load(host)
    params = load.initial(program, data, 0)
    assert params["auto.context"].shape == (14,)
    found = load.log_density(program, params, data, {AUX: u}, "guide")

    np.testing.assert_allclose(found["positive"], -u[:, 0], atol=TOLERANCE)
    share = 1 / (1 + np.exp(-u[:, 1:3]))
    wanted = -np.log(3 * share * (1 - share))
    np.testing.assert_allclose(found["interval"], wanted, atol=TOLERANCE)
    sticks = 1 / (1 + np.exp(-(u[:, 3:].reshape(3, 2, 2) - np.log([2, 1]))))
    left = np.cumprod(1 - sticks, -1)
    before = np.concatenate([np.ones((3, 2, 1)), left[..., :1]], -1)
    wanted = -np.log(sticks * (1 - sticks) * before).sum(-1)
    np.testing.assert_allclose(found["simplex"], wanted, atol=TOLERANCE)

    drawn = load.sample(program, "guide", params, data, 50, 0)
    assert drawn["simplex"].shape == (50, 2, 3)
    np.testing.assert_allclose(drawn["simplex"].sum(-1), 1, atol=1e-12)
    assert ((drawn["interval"] > 2) & (drawn["interval"] < 5)).all()
    np.testing.assert_allclose(drawn["positive"], np.exp(drawn[AUX][:, 0]), rtol=1e-12)


def test_sites_lie_in_their_plates(host: str, t: Any, data: Any) -> None:
    table = made("of the host", host, t, IAF(2, (6,))).sites(data)
    drawn = {s.name: s for s in table.select("guide", "latent")}
    assert {n: s.plates for n, s in drawn.items()} == {
        "slope": (), "effect": ("groups",), "factor": ()
    }  # fmt: skip
    assert drawn["slope"].event_shape == (2,)
    assert [s.name for s in table.select("guide", "auxiliary")] == [AUX]
    assert table.rows == ()


# Training, by ppgm and by the host.


@every_kind
def test_a_guide_trains(host: str, kind: str, t: Any, data: Any) -> None:
    program = made(kind, host, t, IAF(2, (6,)))
    fit = ppgm.fit(program, data, ELBO(8), steps=60, optimiser=Adam(0.05), progress=False)
    log_p, *_ = exact(**data)
    bounds = np.asarray(fit.history["bound"], float)
    assert bounds[-10:].mean() > bounds[:3].mean() + 1
    assert bounds[-10:].mean() < log_p + 1
    assert set(hosts.load(host).initial(program, data, 0)) == set(fit.params)


@pytest.mark.parametrize("host", ["pyro"])  # minutes of compilation for a grid of evaluations
def test_a_mixture_gets_its_score_terms(t: Any, host: str, rng: np.random.Generator) -> None:
    """The mean of the estimator over all draws of one positive number, by quadrature."""

    def model(y: Any) -> None:
        z = t.sample("z", t.dist.LogNormal(t.zeros(()), 1.0))
        t.sample("y", t.dist.Normal(t.log(z), 0.5), obs=y)

    program, data = auto(ppgm.Program(model, host=host), Mixture(2)), {"y": np.array(0.7)}
    context, grid = rng.normal(size=6) * 0.5, np.linspace(-8, 8, 81)
    width = grid[1] - grid[0]

    def log_q(context: np.ndarray) -> np.ndarray:
        means, log_scales, logits = context.reshape(3, 2)
        white = (grid[:, None] - means) / np.exp(log_scales)
        share = np.exp(logits) / np.exp(logits).sum()
        parts = np.exp(-0.5 * white**2 - log_scales) / np.sqrt(2 * np.pi)
        return np.log((share * parts).sum(-1))

    def bound(context: np.ndarray) -> float:
        log_p = -0.5 * grid**2 - 2 * (0.7 - grid) ** 2 - np.log(np.pi)
        return float((np.exp(log_q(context)) * (log_p - log_q(context))).sum() * width)

    total = np.zeros(6)
    for u, mass in zip(grid, np.exp(log_q(context)) * width, strict=True):
        if mass > 1e-14:
            values = {AUX: np.full((1, 1), u), "z": np.full(1, np.exp(u))}
            got = probe(program, {"auto.context": context}, data, ELBO(), values=values)
            total += mass * got.grads["auto.context"]
    np.testing.assert_allclose(total, -differences.gradient(bound, context), atol=1e-8)


def test_the_hosts_own_svi_takes_it(host: str, t: Any, data: Any) -> None:
    program = made("of the host", host, t, Planar(2))
    if host == "pyro":
        import pyro
        import torch

        svi = pyro.infer.SVI(program.model, program.guide, pyro.optim.Adam({"lr": 0.01}),
                             pyro.infer.Trace_ELBO())  # fmt: skip
        losses = [svi.step(**{n: torch.as_tensor(v) for n, v in data.items()}) for _ in range(3)]
        assert pyro.param("auto.context").shape == (2 * 5 + 2 * 11,)
    else:
        import jax
        from numpyro.infer import SVI, Trace_ELBO
        from numpyro.optim import Adam

        svi = SVI(program.model, program.guide, Adam(0.01), Trace_ELBO())
        losses = svi.run(jax.random.key(0), 3, **data, progress_bar=False).losses
    assert np.isfinite(np.asarray(losses)).all()


@pytest.mark.slow
@pytest.mark.parametrize("family", [IAF(2, (6,)), Planar(3)])
def test_hosts_agree(family: Any, data: Any, rng: np.random.Generator) -> None:
    noise, found = {AUX: rng.normal(size=(2, 5))}, []
    for host in ("pyro", "numpyro"):
        pytest.importorskip(host)
        program = auto(ppgm.program(Regression(), host=host), family)
        params = hosts.load(host).initial(program, data, 0)
        found.append(probe(program, params, data, IWAE(2), noise=noise))
    assert found[0].loss == pytest.approx(found[1].loss, abs=TOLERANCE)
    assert found[0].grads.keys() == found[1].grads.keys()
    for name, grad in found[0].grads.items():
        np.testing.assert_allclose(found[1].grads[name], grad, atol=TOLERANCE, err_msg=name)


def test_a_declared_one_is_saved_and_loaded(host: str, data: Any, tmp_path: Any) -> None:
    program = auto(ppgm.program(LOCAL, host=host), IAF(1, (6,), 0), scale=0.3)
    fit = ppgm.fit(program, {"x": data["x"]}, ELBO(), steps=2, progress=False)
    fit.save(tmp_path / "fit")
    again = ppgm.load(tmp_path / "fit")
    assert again.program.declaration == program.declaration
    np.testing.assert_array_equal(again.params["auto.context"], fit.params["auto.context"])


LOCAL = ppgm.models.FactorAnalysis(4, 1)


def test_the_initial_context_is_centred_and_narrow() -> None:
    pytest.importorskip("pyro")
    for family in (IAF(1, (4,), 2), Mixture(2), FullRank()):
        start = AutoGuided(Regression(), family, 0.2)._start(4, 0)
        assert start.shape == (family.context(4),)
        width = 8 if isinstance(family, Mixture) else 4
        np.testing.assert_allclose(start[width : 2 * width], np.log(0.2))
        assert np.abs(start[:width]).max() < 1
        assert isinstance(family, Mixture) or not start[:width].any()


# What is refused.


def refused(host: str, model: Any, data: Any, family: Any = Gaussian()) -> Any:  # noqa: B008
    return auto(ppgm.Program(model, host=host), family).sites(data)


def test_discrete_latents_are_refused(host: str, t: Any, data: Any) -> None:
    def model(x: Any, y: Any) -> None:
        t.sample("count", t.dist.Poisson(t.ones(())))
        t.sample("y", t.dist.Normal(t.zeros(()), 1.0), obs=y[0])

    with pytest.raises(ModelError, match="'count' is discrete"):
        refused(host, model, data)


def test_latents_of_subsampled_plates_are_refused(host: str, t: Any, data: Any) -> None:
    def model(x: Any, y: Any) -> None:
        with t.plate("rows", N, subsample_size=2):
            t.sample("local", t.dist.Normal(t.zeros(()), 1.0))

    with pytest.raises(ModelError, match=r"'local' is in plate 'rows', which draws 2 of 6"):
        refused(host, model, data)


def test_supports_that_move_are_refused(host: str, t: Any, data: Any) -> None:
    def model(x: Any, y: Any) -> None:
        end = t.sample("end", t.dist.Exponential(t.ones(())))
        t.sample("inside", t.dist.Uniform(t.zeros(()), end))

    with pytest.raises(ModelError, match="support of site 'inside' changes"):
        refused(host, model, data)


def test_a_model_without_latents_is_refused(host: str, t: Any, data: Any) -> None:
    def model(x: Any, y: Any) -> None:
        t.sample("y", t.dist.Normal(t.zeros(N), 1.0).to_event(1), obs=y)

    with pytest.raises(ModelError, match="no latent sites"):
        refused(host, model, data)


def test_latents_of_rows_that_change_are_refused(host: str, data: Any) -> None:
    """Whether the number of rows changes, or stays the same from batch to batch."""
    program = auto(ppgm.program(LOCAL, host=host), Gaussian())
    rows = {"x": data["x"]}
    for size in (3, 4):
        with pytest.raises(ModelError, match="site 'z' is in plate 'data', whose rows change"):
            ppgm.fit(program, rows, ELBO(), steps=2, batch_size=size, progress=False)
    fit = ppgm.fit(program, rows, ELBO(), steps=1, progress=False)
    with pytest.raises(ModelError, match=r"param 'auto.context' (has shape|needs 8 numbers)"):
        ppgm.evaluate(fit, {"x": rows["x"][:4]}, particles=25)


def test_what_is_no_program_or_no_family_is_refused(host: str, t: Any) -> None:
    program = ppgm.Program(regression(t), host=host)
    with pytest.raises(ArgumentError, match="needs a program"):
        auto(Regression(), Gaussian())
    with pytest.raises(ArgumentError, match="family must be Gaussian"):
        auto(program, IAF)
    with pytest.raises(ArgumentError, match="scale must be a number above 0"):
        auto(program, Gaussian(), scale=0.0)


def test_objectives_of_reparameterised_draws_refuse_a_mixture(
    host: str, t: Any, data: Any
) -> None:
    program = made("of the host", host, t, Mixture(2))
    with pytest.raises(EstimatorError, match=AUX):
        ppgm.fit(program, data, STL(), steps=1, progress=False)


def test_a_sequences_own_guide_does_not_answer_for_the_automatic_one() -> None:
    pytest.importorskip("pyro")
    declared = ppgm.models.LinearGaussianSSM(1, 1)
    program, x = auto(ppgm.program(declared, host="pyro"), Gaussian()), np.zeros((2, 3, 1))
    with pytest.raises(
        EstimatorError, match=r"not AutoGuided; AutoGuided has its own exact .*smooth"
    ):
        ppgm.smooth(program, {"x": x})
    with pytest.raises(EstimatorError, match="AutoGuided has no posterior"):
        ParticleFilter(10, proposal="guide").filter(program, {"x": x})
    fit = ppgm.fit(program, {"x": x}, ELBO(), steps=1)
    exact = fit.program.declaration.log_likelihood(fit.params, x)  # the model's, as it was
    np.testing.assert_allclose(exact, declared.log_likelihood(fit.params, x))
