"""Every method of inference against an exact posterior, and draws of new data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError, DataError, EstimatorError
from ppgm.fits import Fit
from ppgm.inference import ELBO, HMC, NUTS, SVI, ContrastiveDivergence, Guide, Importance
from ppgm.models import RBM, SBN, VAE, Categorical, FactorAnalysis, Generator
from ppgm.testing import linear_gaussian

D, L, N = 4, 2, 3

pytestmark = pytest.mark.usefixtures("f64")


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, D)) * 1.5


@pytest.fixture
def params(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "decoder.layers.0.weight": rng.normal(size=(D, L)),
        "decoder.layers.0.bias": rng.normal(size=D),
        "scale": rng.uniform(0.7, 1.5, size=D),
    }


def untrained(declaration: Any, host: str, params: dict[str, np.ndarray]) -> Fit:
    return Fit(ppgm.program(declaration, host=host), params, {}, {}, {})


def perturbed(params: dict[str, np.ndarray], shift: float = 0.2, widen: float = 1.2) -> dict:
    """Parameters of a mean-field guide near the posterior: shifted means, wider scales."""
    guide = linear_gaussian.exact_guide(FactorAnalysis(D, L).exact_model(params))
    log_scale = np.log(widen * np.sqrt(np.diag(guide.scale_tril @ guide.scale_tril.T)))
    weight = np.concatenate([guide.weight, np.zeros((L, D))])
    bias = np.concatenate([guide.bias + shift, log_scale])
    return params | {"encoder.layers.0.weight": weight, "encoder.layers.0.bias": bias}


def exact_posterior(params: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, covariance = FactorAnalysis(D, L).exact_posterior(params, x)
    return mean, np.sqrt(np.diag(covariance))


def test_the_exact_guide_draws_from_the_posterior(host, x, params):
    """z-tests of means and variances, each at alpha 1e-6: |z| < 4.89."""
    fit = untrained(FactorAnalysis(D, L, posterior="exact"), host, params)
    found = ppgm.infer(fit, {"x": x}, Guide(draws=20_000))
    z = found.draws["z"]
    assert z.shape == (1, 20_000, N, L)
    mean, sd = exact_posterior(params, x)
    assert np.abs((z[0].mean(0) - mean) / sd * np.sqrt(20_000)).max() < 4.89
    assert np.abs((z[0].var(0) / sd**2 - 1) * np.sqrt(20_000 / 2)).max() < 4.89
    log_p = FactorAnalysis(D, L).log_likelihood(params, x)
    weight = found.sample_stats["log_weight"]
    np.testing.assert_allclose(weight, np.broadcast_to(log_p, weight.shape), rtol=1e-9)
    np.testing.assert_array_equal(found.k_hat, 0)


def test_the_densities_of_guide_draws_are_exact(host, x, params):
    own = perturbed(params)
    found = ppgm.infer(untrained(FactorAnalysis(D, L), host, own), {"x": x}, Guide(draws=30))
    z = found.draws["z"][0]
    guide = linear_gaussian.mean_field(
        own["encoder.layers.0.weight"][:L], own["encoder.layers.0.bias"][:L],
        own["encoder.layers.0.bias"][L:],
    )  # fmt: skip
    wanted = linear_gaussian.log_weights(x, z, FactorAnalysis(D, L).exact_model(own), guide)
    np.testing.assert_allclose(found.sample_stats["log_weight"][0], wanted, rtol=1e-9)
    residual = x - own["decoder.layers.0.bias"] - z @ own["decoder.layers.0.weight"].T
    log_p = -0.5 * (residual / own["scale"]) ** 2 - np.log(own["scale"] * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(found.log_likelihood["x"][0], log_p.sum(-1), rtol=1e-9)


def test_importance_mends_a_guide(host, x, params):
    """Means by row against the exact ones, at 6 errors of the weighted mean (alpha 2e-9)."""
    particles = 20_000
    own = perturbed(params)
    fit = untrained(FactorAnalysis(D, L), host, own)
    found = ppgm.infer(fit, {"x": x}, Importance(particles=particles, draws=particles))
    z = found.draws["z"][0]
    assert z.shape == (particles, N, L)
    mean, sd = exact_posterior(params, x)
    error = sd * np.sqrt(3 / particles)  # effective sample sizes are above a third
    assert (ppgm.evaluate(fit, {"x": x}, particles=particles).ess > particles / 3).all()
    assert np.abs((z.mean(0) - mean) / error).max() < 6
    assert np.abs((z.std(0) / sd - 1) * np.sqrt(particles / 3)).max() < 6
    # the guide alone is off by far more: the test can see the mistake
    plain = ppgm.infer(fit, {"x": x}, Guide(draws=particles)).draws["z"][0]
    assert np.abs((plain.mean(0) - mean) / error).min() > 6
    assert found.k_hat.shape == (N,)
    assert found.attrs["num_particles"] == particles


def test_importance_keeps_rows_together(host, x, params):
    """Draws, densities and likelihoods of a row are of the same particle."""
    fit = untrained(FactorAnalysis(D, L), host, perturbed(params))
    found = ppgm.infer(fit, {"x": x}, Importance(particles=50, draws=40))
    model = FactorAnalysis(D, L).exact_model(fit.params)
    z = found.draws["z"][0]
    residual = (x - model.bias - z @ model.weight.T) * np.exp(-model.log_sigma)
    log_p = (-0.5 * residual**2 - model.log_sigma - 0.5 * np.log(2 * np.pi)).sum(-1)
    np.testing.assert_allclose(found.log_likelihood["x"][0], log_p, rtol=1e-9)
    prior = (-0.5 * z**2 - 0.5 * np.log(2 * np.pi)).sum(-1)
    np.testing.assert_allclose(found.sample_stats["lp"][0], log_p + prior, rtol=1e-9)


METHODS = {
    "nuts": NUTS(warmup=200, draws=500, chains=2),
    "hmc": HMC(warmup=200, draws=500, chains=2, trajectory=3.0),
}


@pytest.mark.parametrize("method", METHODS)
def test_markov_chains_find_the_posterior(host, method, x, params):
    """The bar is 0.15 sd for mean and sd, at about 1000 draws."""
    fit = untrained(FactorAnalysis(D, L), host, params)
    found = ppgm.infer(fit, {"x": x[:1]}, METHODS[method], seed=1)
    z = found.draws["z"]
    assert z.shape == (2, 500, 1, L)
    mean, sd = exact_posterior(params, x[:1])
    assert np.abs(z.mean((0, 1)) - mean).max() < 0.15 * sd.max()
    assert np.abs(z.std((0, 1)) / sd - 1).max() < 0.15
    assert found.sample_stats["diverging"].shape == (2, 500)
    assert found.sample_stats["diverging"].sum() == 0
    assert found.log_likelihood["x"].shape == (2, 500, 1)
    assert found.attrs["inference_method"] == method
    assert not np.array_equal(z[0], z[1])


def test_svi_trains_each_chain_from_its_own_seed(host, x):
    program = ppgm.program(FactorAnalysis(D, L), host=host)
    method = SVI(ELBO(), steps=5, draws=30, chains=2)
    found = ppgm.infer(program, {"x": x}, method, seed=4)
    assert found.draws["z"].shape == (2, 30, N, L)
    by_hand = ppgm.fit(program, {"x": x}, ELBO(), steps=5, seed=5, progress=False)
    alone = ppgm.infer(by_hand, {"x": x}, Guide(draws=30), seed=5)
    np.testing.assert_array_equal(found.draws["z"][1], alone.draws["z"][0])
    assert found.attrs["objective"] == repr(ELBO())


def test_chains_that_go_on_from_a_fit_part_ways(host, x):
    """Each is trained with noise of its own, though all start at the same parameters."""
    program = ppgm.program(FactorAnalysis(D, L), host=host)
    before = ppgm.fit(program, {"x": x}, ELBO(), steps=3, progress=False)
    found = ppgm.infer(before, {"x": x}, SVI(ELBO(), steps=3, draws=25, chains=2))
    weights = found.sample_stats["log_q"]
    log_q = [weights[c] + 0.5 * (found.draws["z"][c] ** 2).sum(-1) for c in range(2)]
    assert not np.allclose(log_q[0].mean(), log_q[1].mean())
    again = ppgm.infer(before, {"x": x}, SVI(ELBO(), steps=3, draws=25, chains=2))
    np.testing.assert_array_equal(found.draws["z"], again.draws["z"])


@dataclass(frozen=True)
class Nested:
    """A global location, one of each row, and three numbers in each row."""

    def model(self, ppl, x=None):
        zero = ppl.np.zeros(())
        normal = ppl.distributions.Normal
        mu = ppl.sample("mu", normal(zero, zero + 1))
        with ppl.plate("data", x, dim=-2):
            z = ppl.sample("z", normal(mu, zero + 1))
            with ppl.plate("inner", x[0] if x is not None else 3, dim=-1):
                ppl.sample("x", normal(z, zero + 1), obs=x)

    def guide(self, ppl, x):
        zero = ppl.np.zeros(())
        normal = ppl.distributions.Normal
        ppl.sample("mu", normal(ppl.param("m", np.zeros(())), zero + 1))
        with ppl.plate("data", x, dim=-2):
            ppl.sample("z", normal(ppl.param("c", np.zeros(())) + zero, zero + 1))


@pytest.mark.parametrize("method", [Guide(30), Importance(60, 30), NUTS(20, 30, chains=1)])
def test_global_latents_and_nested_plates(host, method, rng):
    """Shapes and log densities, with one weight for the whole data."""
    x = rng.normal(size=(4, 3))
    found = ppgm.infer(ppgm.program(Nested(), host=host), {"x": x}, method)
    mu, z = found.draws["mu"][0], found.draws["z"][0]
    assert mu.shape == (30,)
    assert z.reshape(30, -1).shape == (30, 4)
    assert found.log_likelihood["x"].shape == (1, 30, 4, 3)
    z = z.reshape(30, 4, 1)
    normal = -0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(
        found.log_likelihood["x"][0], normal - 0.5 * (x - z) ** 2, rtol=1e-9
    )
    if isinstance(method, Guide):
        log_p = (normal - 0.5 * (x - z) ** 2).sum((1, 2)) + normal - 0.5 * mu**2
        log_p += (normal - 0.5 * (z[..., 0] - mu[:, None]) ** 2).sum(1)
        np.testing.assert_allclose(found.sample_stats["lp"][0], log_p, rtol=1e-9)
    if found.k_hat is not None:
        assert found.k_hat.shape == ()


@pytest.mark.parametrize("method", [Guide(30), Importance(60, 30), NUTS(20, 30, chains=2)])
def test_every_method_becomes_arviz_groups(host, method, x, params):
    pytest.importorskip("arviz")
    fit = untrained(FactorAnalysis(D, L), host, perturbed(params))
    found = ppgm.infer(fit, {"x": x}, method)
    made = found.to_arviz()
    z = made.posterior["z"]
    assert z.dims[:3] == ("chain", "draw", "data")
    np.testing.assert_array_equal(z.values, found.draws["z"])
    np.testing.assert_array_equal(made.observed_data["x"].values, x)
    assert made.log_likelihood["x"].dims == ("chain", "draw", "data")


def test_what_cannot_be_inferred_is_refused(host, x, params):
    bits = np.ones((2, 5))
    net = ppgm.program(SBN(5, (3,)), host=host)
    with pytest.raises(EstimatorError, match="'h1' is Bernoulli: NUTS"):
        ppgm.infer(net, {"x": bits}, NUTS(5, 5, chains=1))
    with pytest.raises(EstimatorError, match="'h1' is Bernoulli: HMC"):
        ppgm.infer(net, {"x": bits}, HMC(5, 5, chains=1))
    bare = ppgm.Program(net.model, None, host=host)
    for method in (Guide(), Importance()):
        with pytest.raises(EstimatorError, match="no guide"):
            ppgm.infer(bare, {"x": bits}, method)
    with pytest.raises(ArgumentError, match="method must be"):
        ppgm.infer(net, {"x": bits}, "nuts")
    with pytest.raises(DataError, match="row 1"):
        ppgm.infer(net, {"x": np.array([[0.0] * 5, [np.nan] * 5])}, Guide())
    fit = untrained(FactorAnalysis(D, L), host, params)
    with pytest.raises(ArgumentError, match="at least 1"):
        ppgm.sample(fit, 0)


def test_discrete_draws_of_the_guide(host):
    net = ppgm.program(SBN(5, (3, 2)), host=host)
    found = ppgm.infer(net, {"x": np.ones((4, 5))}, Guide(draws=25))
    assert found.draws["h1"].shape == (1, 25, 4, 3)
    assert found.draws["h2"].shape == (1, 25, 4, 2)
    assert set(np.unique(found.draws["h1"])) == {0, 1}


# Draws of new data.

SHAPES = [
    (FactorAnalysis(4, 2), np.zeros((2, 4)), {"z": (7, 2), "x": (7, 4)}),
    (SBN(5, (3, 2)), np.zeros((2, 5)), {"h2": (7, 2), "h1": (7, 3), "x": (7, 5)}),
    (VAE(6, 2, hidden=(3,)), np.zeros((2, 6)), {"z": (7, 2), "x": (7, 6)}),
    (VAE(3, 2, hidden=(3,), likelihood=Categorical(4)), np.zeros((2, 3), int),
     {"z": (7, 2), "x": (7, 3)}),
    (Generator(3, 2, hidden=(4,)), np.zeros((2, 3)), {"z": (7, 2), "x": (7, 3)}),
]  # fmt: skip


@pytest.mark.parametrize("case", SHAPES, ids=lambda c: type(c[0]).__name__)
def test_shapes_of_new_data(host, case):
    declaration, x, wanted = case
    program = ppgm.program(declaration, host=host)
    fit = Fit(program, hosts.load(host).initial(program, {"x": x}), {}, {}, {})
    found = ppgm.sample(fit, 7, seed=1)
    assert {n: v.shape for n, v in found.items()} == wanted
    again = ppgm.sample(fit, 7, seed=1)
    other = ppgm.sample(fit, 7, seed=2)
    for name in wanted:
        np.testing.assert_array_equal(found[name], again[name])
        assert not np.array_equal(found[name], other[name])


def test_new_data_have_the_model_s_moments(host, params):
    """z-tests at alpha 1e-6 of mean and variance of every column."""
    fit = untrained(FactorAnalysis(D, L), host, params)
    x = ppgm.sample(fit, 20_000)["x"]
    variance = (params["decoder.layers.0.weight"] ** 2).sum(1) + params["scale"] ** 2
    z = (x.mean(0) - params["decoder.layers.0.bias"]) / np.sqrt(variance / 20_000)
    assert np.abs(z).max() < 4.89
    assert np.abs((x.var(0) / variance - 1) * np.sqrt(20_000 / 2)).max() < 4.89


@pytest.mark.parametrize("objective", [ContrastiveDivergence(), 0.5 * ContrastiveDivergence()])
def test_an_unnormalised_model_is_sampled_by_its_kernel(host, objective):
    """All 8 states against exact probabilities, at alpha 1e-6 for each."""
    v = np.array(list(np.ndindex(2, 2, 2)), float)
    program = ppgm.program(RBM(3, 2), host=host)
    fit = ppgm.fit(program, {"v": v}, objective, steps=1, progress=False)
    fit = fit._replace(params={
        "weight": np.array([[1.0, -1.0, 0.5], [0.3, 0.8, -0.6]]),
        "visible": np.array([0.2, -0.5, 0.4]), "hidden": np.array([-0.3, 0.1]),
    })  # fmt: skip
    found = ppgm.sample(fit, 20_000, steps=50)["v"]
    assert found.shape == (20_000, 3)
    p = np.exp(RBM(3, 2).log_likelihood(fit.params, v))
    share = (found[:, None] == v).all(-1).mean(0)
    assert np.abs((share - p) / np.sqrt(p * (1 - p) / 20_000)).max() < 4.89


def test_programs_of_one_s_own_need_their_data(host, x, params):
    made = ppgm.program(FactorAnalysis(D, L), host=host)
    fit = Fit(ppgm.Program(made.model, made.guide, host=host), params, {}, {}, {})
    with pytest.raises(ArgumentError, match="fixes plates"):
        ppgm.sample(fit, 2)
    found = ppgm.sample(fit, 5, data={"x": x})
    assert found["x"].shape == (5, N, D)
    assert found["z"].shape == (5, N, L)
    assert not np.allclose(found["x"][0], x)
    assert not np.allclose(found["x"][0], found["x"][1])
