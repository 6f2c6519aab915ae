"""Bounds and their gradients on linear-Gaussian programs, where all of them are closed forms.

With the exact posterior as the guide every importance weight is p(x), whatever the draws; with
cubature points for noise the ELBO and its gradient are exact for any guide; the average over all
minibatches is the value of the full data.
"""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.inference import ELBO, IWAE, STL, VIMCO, Anneal, Renyi
from ppgm.models import VAE, FactorAnalysis, Gaussian
from ppgm.probes import Probe, probe
from ppgm.testing import cubature, differences, enumeration
from ppgm.testing import linear_gaussian as exact
from ppgm.testing import weights as naive

D, L, N = 4, 2, 5
SIGMA = 0.7
TOLERANCE = 1e-9

MODELS = {
    "factor-analysis": FactorAnalysis(D, L),
    "ppca": FactorAnalysis(D, L, isotropic=True),
    "vae": VAE(D, L, hidden=(), likelihood=Gaussian(SIGMA)),
    "vae, learned noise": VAE(D, L, hidden=(), likelihood=Gaussian()),
}
EXACT = {
    "factor-analysis": FactorAnalysis(D, L, posterior="exact"),
    "ppca": FactorAnalysis(D, L, isotropic=True, posterior="exact"),
}
BOUNDS = {
    "elbo": ELBO(particles=3),
    "stl": STL(particles=3),
    "iwae": IWAE(particles=3),
    "vimco": VIMCO(particles=3),
    "renyi 1/2": Renyi(0.5, 3),
    "renyi -1": Renyi(-1.0, 3),
    "renyi 3": Renyi(3.0, 3),
}

pytestmark = pytest.mark.usefixtures("f64")
every_model = pytest.mark.parametrize("model", MODELS)
# The slow ones differ from the others by a number, or not at all for reparameterised draws.
RARE = ("vimco", "renyi -1", "renyi 3")
every_bound = pytest.mark.parametrize(
    "bound", [pytest.param(b, marks=pytest.mark.slow) if b in RARE else b for b in BOUNDS]
)

_PROGRAMS: dict[Any, ppgm.Program] = {}


def program(declaration: Any, host: str) -> ppgm.Program:
    """One program for each declaration and host: what they compile is shared by the tests."""
    key = (declaration, host)
    if key not in _PROGRAMS:
        _PROGRAMS[key] = ppgm.program(declaration, host=host)
    return _PROGRAMS[key]


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, D)) * 1.5


def parameters(name: str, rng: np.random.Generator) -> tuple[dict, exact.Model, exact.Guide]:
    """Random parameters by canonical name, and the same for the reference functions."""
    decoder, bias = rng.normal(size=(D, L)), rng.normal(size=D)
    encoder, shift = rng.normal(size=(2 * L, D)) * 0.3, rng.normal(size=2 * L) * 0.3
    encoder[L:] = 0  # the scale is the same for every row, as in the reference
    params = {"encoder.layers.0.weight": encoder, "encoder.layers.0.bias": shift}
    log_sigma = np.log(rng.uniform(0.4, 1.5, size=D))
    if name == "ppca":
        log_sigma = np.full(D, log_sigma[0])
        params["scale"] = np.exp(log_sigma[:1])
    elif name == "factor-analysis":
        params["scale"] = np.exp(log_sigma)
    elif name == "vae":
        log_sigma = np.full(D, np.log(SIGMA))
    else:
        decoder_weight = np.concatenate([decoder, np.zeros((D, L))])
        params["decoder.layers.0.weight"] = decoder_weight
        params["decoder.layers.0.bias"] = np.concatenate([bias, log_sigma])
    params.setdefault("decoder.layers.0.weight", decoder)
    params.setdefault("decoder.layers.0.bias", bias)
    guide = exact.mean_field(encoder[:L], shift[:L], shift[L:])
    return params, exact.Model(decoder, bias, log_sigma), guide


def wanted_gradients(name: str, of: exact.Gradients) -> dict[str, np.ndarray]:
    """Gradients by canonical name; the encoder's scale weights have no closed form here."""
    wanted = {
        "decoder.layers.0.weight": of.weight,
        "decoder.layers.0.bias": of.bias,
        "encoder.layers.0.bias": np.concatenate([of.guide_bias, of.guide_log_scale]),
    }
    if name == "factor-analysis":
        wanted["scale"] = of.log_sigma
    if name == "ppca":
        wanted["scale"] = of.log_sigma.sum(keepdims=True)
    if name == "vae, learned noise":
        bias = np.concatenate([of.bias, of.log_sigma])
        wanted |= {"decoder.layers.0.weight": of.weight, "decoder.layers.0.bias": bias}
    return wanted


def assert_gradients(name: str, got: dict[str, np.ndarray], of: exact.Gradients) -> None:
    """Compares loss gradients with minus those of the bound, per datum."""
    for key, value in wanted_gradients(name, of).items():
        mine = got[key][:D] if key == "decoder.layers.0.weight" else got[key]
        np.testing.assert_allclose(mine, -value / N, rtol=TOLERANCE, atol=TOLERANCE, err_msg=key)
    weight = got["encoder.layers.0.weight"][:L]
    np.testing.assert_allclose(weight, -of.guide_weight / N, rtol=TOLERANCE, atol=TOLERANCE)


def cubature_noise(rows: int = N) -> np.ndarray:
    """The points of each row, ``(2 L, rows, L)``."""
    return np.repeat(cubature.points(L)[:, None], rows, axis=1)


# The exact posterior: every weight is p(x).


@pytest.mark.parametrize("model", EXACT)
@every_bound
def test_every_bound_is_log_p_at_the_exact_posterior(
    host: str, model: str, bound: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    params, truth, _ = parameters(model, rng)
    noise = {"z": rng.normal(size=(3, N, L)) * 2}
    got = probe(program(EXACT[model], host), params, {"x": x}, BOUNDS[bound], noise=noise)
    wanted = exact.log_marginal(x, truth).mean()
    assert got.metrics["bound"] == pytest.approx(wanted, abs=TOLERANCE)
    assert got.loss == pytest.approx(-wanted, abs=TOLERANCE)


@every_bound
def test_an_amortised_guide_that_is_exact_gives_log_p_too(
    host: str, bound: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    """With orthogonal loadings the posterior is mean-field, so the encoder can represent it."""
    params, truth, guide = orthogonal(rng)
    noise = {"z": rng.normal(size=(3, N, L)) * 2}
    got = probe(program(MODELS["vae"], host), params, {"x": x}, BOUNDS[bound], noise=noise)
    wanted = exact.log_marginal(x, truth).mean()
    assert got.metrics["bound"] == pytest.approx(wanted, abs=TOLERANCE)
    np.testing.assert_allclose(guide.scale_tril, exact.exact_guide(truth).scale_tril, atol=1e-12)


def orthogonal(rng: np.random.Generator) -> tuple[dict, exact.Model, exact.Guide]:
    weight = np.linalg.qr(rng.normal(size=(D, L)))[0] * np.array([2.0, 0.8])
    truth = exact.Model(weight, rng.normal(size=D), np.full(D, np.log(SIGMA)))
    guide = exact.exact_guide(truth)
    log_scale = np.log(np.diag(guide.scale_tril))
    params = {
        "decoder.layers.0.weight": weight,
        "decoder.layers.0.bias": truth.bias,
        "encoder.layers.0.weight": np.concatenate([guide.weight, np.zeros((L, D))]),
        "encoder.layers.0.bias": np.concatenate([guide.bias, log_scale]),
    }
    return params, truth, guide


def test_stl_has_no_gradient_in_the_guide_at_the_exact_posterior(
    host: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    """For every single draw; the ELBO's own gradient there is noise."""
    params, truth, _ = orthogonal(rng)
    noise = {"z": rng.normal(size=(3, N, L))}
    run = program(MODELS["vae"], host)
    got = probe(run, params, {"x": x}, STL(particles=3), noise=noise)
    plain = probe(run, params, {"x": x}, ELBO(particles=3), noise=noise)
    for name in ("encoder.layers.0.weight", "encoder.layers.0.bias"):
        np.testing.assert_allclose(got.grads[name], 0, atol=TOLERANCE)
        assert np.abs(plain.grads[name]).max() > 1e-3
    # the model's gradient is that of the complete-data log density on both
    for name in ("decoder.layers.0.weight", "decoder.layers.0.bias"):
        np.testing.assert_allclose(got.grads[name], plain.grads[name], rtol=1e-10, atol=1e-12)
        assert np.abs(got.grads[name]).max() > 1e-3


@pytest.mark.parametrize("model", EXACT)
def test_the_bound_at_the_exact_posterior_has_the_gradient_of_log_p(
    host: str, model: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    """The guide shares the model's parameters: log w = log p(x) for all of them, so this too."""
    params, truth, _ = parameters(model, rng)
    noise = {"z": rng.normal(size=(3, N, L))}
    got = probe(program(EXACT[model], host), params, {"x": x}, IWAE(3), noise=noise)

    def mean(weight: np.ndarray, bias: np.ndarray, log_sigma: np.ndarray) -> float:
        sigma = np.broadcast_to(log_sigma, (D,))
        return exact.log_marginal(x, exact.Model(weight, bias, sigma)).mean()

    log_sigma = np.log(params["scale"])
    in_weight = differences.gradient(lambda w: mean(w, truth.bias, log_sigma), truth.weight)
    in_bias = differences.gradient(lambda b: mean(truth.weight, b, log_sigma), truth.bias)
    in_scale = differences.gradient(lambda s: mean(truth.weight, truth.bias, s), log_sigma)
    np.testing.assert_allclose(got.grads["decoder.layers.0.weight"], -in_weight, atol=1e-8)
    np.testing.assert_allclose(got.grads["decoder.layers.0.bias"], -in_bias, atol=1e-8)
    np.testing.assert_allclose(got.grads["scale"], -in_scale, atol=1e-8)


# Cubature: exact values and gradients away from the optimum.


@every_model
@pytest.mark.parametrize("beta", [1.0, pytest.param(0.3, marks=pytest.mark.slow)])
def test_cubature_gives_the_elbo_and_its_gradient(
    host: str, model: str, beta: float, x: np.ndarray, rng: np.random.Generator
) -> None:
    params, truth, guide = parameters(model, rng)
    objective = ELBO(particles=2 * L, beta=beta)
    run = program(MODELS[model], host)
    got = probe(run, params, {"x": x}, objective, noise={"z": cubature_noise()})
    assert got.loss == pytest.approx(-exact.elbo(x, truth, guide, beta=beta).mean(), abs=TOLERANCE)
    assert got.metrics["bound"] == pytest.approx(exact.elbo(x, truth, guide).mean(), abs=TOLERANCE)
    assert_gradients(model, got.grads, exact.elbo_gradients(x, truth, guide, beta=beta))


def test_cubature_gives_an_annealed_elbo(
    host: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    params, truth, guide = parameters("vae", rng)
    objective = ELBO(particles=2 * L, beta=Anneal(0.0, 1.0, steps=10))
    run, noise = program(MODELS["vae"], host), {"z": cubature_noise()}
    for step, beta in ((0, 0.0), (3, 0.3), (40, 1.0)):
        got = probe(run, params, {"x": x}, objective, noise=noise, step=step)
        wanted = -exact.elbo(x, truth, guide, beta=beta).mean()
        assert got.loss == pytest.approx(wanted, abs=TOLERANCE)
        assert_gradients("vae", got.grads, exact.elbo_gradients(x, truth, guide, beta=beta))


@every_model
def test_cubature_gives_the_mean_of_the_stl_gradient(
    host: str, model: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    """The dropped score has mean zero, over the points as well: the gradient is the ELBO's."""
    params, truth, guide = parameters(model, rng)
    run, noise = program(MODELS[model], host), {"z": cubature_noise()}
    got = probe(run, params, {"x": x}, STL(particles=2 * L), noise=noise)
    assert got.metrics["bound"] == pytest.approx(exact.elbo(x, truth, guide).mean(), abs=TOLERANCE)
    assert_gradients(model, got.grads, exact.elbo_gradients(x, truth, guide))


# Multi-sample bounds at given draws: value and gradient from the reference's log weights.


@every_bound
def test_a_bound_at_given_noise_is_that_of_the_exact_log_weights(
    host: str, bound: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    params, truth, guide = parameters("vae", rng)
    noise = rng.normal(size=(3, N, L))
    run = program(MODELS["vae"], host)
    got = probe(run, params, {"x": x}, BOUNDS[bound], noise={"z": noise})
    log_w = exact.log_weights(x, exact.draws(x, noise, guide), truth, guide)
    assert got.metrics["bound"] == pytest.approx(reference(bound, log_w).mean(), abs=TOLERANCE)


@pytest.mark.parametrize(
    "bound", ["iwae", "renyi 1/2", *(pytest.param(b, marks=pytest.mark.slow) for b in RARE)]
)
def test_the_gradient_of_a_bound_is_that_of_the_exact_log_weights(
    host: str, bound: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    """With the noise fixed the bound is a smooth function of the parameters."""
    params, truth, guide = parameters("vae", rng)
    noise = rng.normal(size=(3, N, L))
    run = program(MODELS["vae"], host)
    got = probe(run, params, {"x": x}, BOUNDS[bound], noise={"z": noise})

    def mean(model: exact.Model, q: exact.Guide) -> float:
        log_w = exact.log_weights(x, exact.draws(x, noise, q), model, q)
        return reference(bound, log_w).mean()

    in_weight = differences.gradient(lambda w: mean(truth._replace(weight=w), guide), truth.weight)
    in_shift = differences.gradient(lambda c: mean(truth, guide._replace(bias=c)), guide.bias)
    in_scale = differences.gradient(
        lambda s: mean(truth, guide._replace(scale_tril=np.diag(np.exp(s)))),
        np.log(np.diag(guide.scale_tril)),
    )
    np.testing.assert_allclose(got.grads["decoder.layers.0.weight"], -in_weight, atol=1e-8)
    wanted = -np.concatenate([in_shift, in_scale])
    np.testing.assert_allclose(got.grads["encoder.layers.0.bias"], wanted, atol=1e-8)


def reference(bound: str, log_w: np.ndarray) -> np.ndarray:
    objective = BOUNDS[bound]
    if isinstance(objective, ELBO | STL):
        return naive.elbo(log_w)
    return naive.renyi(log_w, getattr(objective, "alpha", 0.0))


# Minibatches.


def average(runs: list[Probe]) -> tuple[float, float, dict[str, np.ndarray]]:
    """Mean loss, bound and gradients over minibatches of equal probability."""
    grads = {n: np.mean([r.grads[n] for r in runs], axis=0) for n in runs[0].grads}
    bound = float(np.mean([r.metrics["bound"] for r in runs]))
    return float(np.mean([r.loss for r in runs])), bound, grads


@every_bound
@pytest.mark.parametrize(
    "split", [pytest.param("all pairs of 4", marks=pytest.mark.slow), "an epoch of 5"]
)
def test_the_average_over_minibatches_is_the_full_data(
    host: str, bound: str, split: str, rng: np.random.Generator
) -> None:
    """All subsets of one size; and an epoch's partition, whose last batch is ragged."""
    rows = 4 if split == "all pairs of 4" else 5
    batches, scale = [list(b) for b in combinations(range(4), 2)], 4 / 2
    if rows == 5:
        batches, scale = [[3, 0], [4, 1], [2]], 3.0
    x, noise = rng.normal(size=(rows, D)), rng.normal(size=(3, rows, L))
    params, truth, guide = parameters("factor-analysis", rng)
    run, objective = program(MODELS["factor-analysis"], host), BOUNDS[bound]

    whole = probe(run, params, {"x": x}, objective, noise={"z": noise})
    parts = [
        probe(
            run, params, {"x": x[b]}, objective, noise={"z": noise[:, b]}, scale=scale, total=rows
        )
        for b in batches
    ]
    log_w = exact.log_weights(x, exact.draws(x, noise, guide), truth, guide)
    loss, value, grads = average(parts)
    assert value == pytest.approx(reference(bound, log_w).mean(), abs=TOLERANCE)
    assert loss == pytest.approx(whole.loss, abs=TOLERANCE)
    for name, grad in whole.grads.items():
        np.testing.assert_allclose(grads[name], grad, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


def test_cubature_and_minibatches_give_the_exact_gradient(
    host: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    params, truth, guide = parameters("ppca", rng)
    run = program(MODELS["ppca"], host)
    parts = [
        probe(
            run,
            params,
            {"x": x[b]},
            ELBO(particles=2 * L),
            noise={"z": cubature_noise(len(b))},
            scale=3.0,
            total=N,
        )  # fmt: skip
        for b in ([3, 0], [4, 1], [2])
    ]
    loss, _, grads = average(parts)
    assert loss == pytest.approx(-exact.elbo(x, truth, guide).mean(), abs=TOLERANCE)
    assert_gradients("ppca", grads, exact.elbo_gradients(x, truth, guide))


# Batch additivity.


@every_bound
def test_the_loss_of_a_batch_is_the_sum_of_those_of_its_data(
    host: str, bound: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    params, _, _ = parameters("vae", rng)
    noise = rng.normal(size=(3, N, L)) * 1.5
    run, objective = program(MODELS["vae"], host), BOUNDS[bound]
    whole = probe(run, params, {"x": x}, objective, noise={"z": noise})
    single = [
        probe(run, params, {"x": x[[n]]}, objective, noise={"z": noise[:, [n]]}, total=1)
        for n in range(N)
    ]
    assert N * whole.loss == pytest.approx(sum(s.loss for s in single), abs=TOLERANCE)
    for name, grad in whole.grads.items():
        parts = sum(s.grads[name] for s in single)
        np.testing.assert_allclose(N * grad, parts, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


def test_expected_bounds_grow_with_the_number_of_particles(rng: np.random.Generator) -> None:
    """The reference itself: ELBO, IWAE-2, IWAE-3 in order, all below log p."""
    log_p, log_q = rng.normal(size=(2, 3, 2))
    log_q = log_q - np.log(np.exp(log_q).sum(0))
    bounds = [enumeration.expected_bound(log_p - log_q, log_q, k) for k in (1, 2, 3)]
    top = np.log(np.exp(log_p).sum(0))
    assert (bounds[0] < bounds[1]).all()
    assert (bounds[1] < bounds[2]).all()
    assert (bounds[2] < top).all()
