"""Conditional VAEs: exact where all is linear, and what a condition has to change."""

from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError
from ppgm.fits import as_fit
from ppgm.inference import ELBO, IWAE
from ppgm.models import CVAE, Bernoulli, ConditionalNet, Gaussian
from ppgm.probes import probe
from ppgm.testing import cubature, differences
from ppgm.testing.contract import Check, parametrize_with_checks

D, C, L, N, SIGMA = 4, 3, 2, 5, 0.7
TOLERANCE = 1e-9
RNG = np.random.default_rng(0)
BITS = {"x": (RNG.random((3, D)) < 0.5).astype(float), "c": RNG.normal(size=(3, C))}

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")
with_baseline = pytest.mark.parametrize("baseline", [False, True])


def linear(posterior: Any, *, baseline: bool) -> CVAE:
    return CVAE(D, C, L, (), Gaussian(SIGMA), posterior, baseline)


@pytest.fixture
def data(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": rng.normal(size=(N, D)) * 1.5, "c": rng.normal(size=(N, C))}


def parameters(
    declaration: Any, host: str, data: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[ppgm.Program, dict[str, np.ndarray]]:
    program = ppgm.program(declaration, host=host)
    params = hosts.load(host).initial(program, data, 0)
    return program, {n: rng.normal(size=v.shape) * 0.3 for n, v in params.items()}


def marginals(
    params: dict[str, np.ndarray], c: np.ndarray, *, baseline: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and covariance of x given each condition, row by row and layer by layer."""
    found = []
    for row in c:
        guess, seen = np.zeros(D), row
        if baseline:
            guess = affine(params, "baseline", row)
            seen = np.concatenate([row, guess])
        prior = affine(params, "prior", seen)
        mean = affine(params, "decoder", np.concatenate([prior[:L], row])) + guess
        covariance = SIGMA**2 * np.eye(D)
        for i in range(L):
            column = params["decoder.layers.0.weight"][:, i]
            covariance += np.exp(2 * prior[L + i]) * np.outer(column, column)
        found.append((mean, covariance))
    return found


def affine(params: dict[str, np.ndarray], name: str, row: np.ndarray) -> np.ndarray:
    return params[f"{name}.layers.0.weight"] @ row + params[f"{name}.layers.0.bias"]


def log_normal(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    deviation = x - mean
    square = deviation @ np.linalg.inv(covariance) @ deviation
    return float(-0.5 * (square + np.log(np.linalg.det(2 * np.pi * covariance))))


@with_baseline
def test_every_weight_is_log_p_at_the_exact_posterior(
    host: str, baseline: bool, data: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    declaration = linear("exact", baseline=baseline)
    program, params = parameters(declaration, host, data, rng)
    means = marginals(params, data["c"], baseline=baseline)
    wanted = [log_normal(x, *mean) for x, mean in zip(data["x"], means, strict=True)]
    exact = declaration.log_likelihood(params, **data)
    np.testing.assert_allclose(exact, wanted, rtol=TOLERANCE)
    noise = {"z": rng.normal(size=(3, N, L)) * 2}
    got = probe(program, params, data, IWAE(3), noise=noise)
    assert got.metrics["bound"] == pytest.approx(np.mean(wanted), abs=TOLERANCE)
    log_w = hosts.load(host).log_weights(program, params, data, 4, 0)
    np.testing.assert_allclose(log_w, np.tile(wanted, (4, 1)), rtol=TOLERANCE)


def test_the_bound_at_the_exact_posterior_has_the_gradient_of_log_p(
    host: str, data: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    declaration = linear("exact", baseline=True)
    program, params = parameters(declaration, host, data, rng)
    got = probe(program, params, data, IWAE(2), noise={"z": rng.normal(size=(2, N, L))})
    for name, value in params.items():

        def mean(v: np.ndarray, name: str = name) -> float:
            return float(declaration.log_likelihood(params | {name: v}, **data).mean())

        wanted = -differences.gradient(mean, value)
        np.testing.assert_allclose(got.grads[name], wanted, atol=1e-7, err_msg=name)


@with_baseline
def test_cubature_gives_the_elbo_and_its_gradient(
    host: str, baseline: bool, data: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    declaration = linear(CVAE(D, C).posterior, baseline=baseline)
    program, params = parameters(declaration, host, data, rng)
    points = np.repeat(cubature.points(L)[:, None], N, axis=1)
    got = probe(program, params, data, ELBO(particles=2 * L), noise={"z": points})

    def elbo(params: dict[str, np.ndarray]) -> float:
        return float(np.mean([exact_elbo(params, baseline, *r) for r in rows(data)]))

    assert got.loss == pytest.approx(-elbo(params), abs=TOLERANCE)
    for name, value in params.items():
        wanted = -differences.gradient(lambda v, n=name: elbo(params | {n: v}), value)
        np.testing.assert_allclose(got.grads[name], wanted, atol=1e-7, err_msg=name)


def rows(data: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(data["x"], data["c"], strict=True))


def exact_elbo(
    params: dict[str, np.ndarray], baseline: bool, x: np.ndarray, c: np.ndarray
) -> float:
    """E_q[log p(x | z, c)] - KL(q(z | x, c) || p(z | c)) of one row."""
    guess = affine(params, "baseline", c) if baseline else np.zeros(D)
    prior = affine(params, "prior", np.concatenate([c, guess]) if baseline else c)
    q = affine(params, "encoder", np.concatenate([x, c]))
    weight = params["decoder.layers.0.weight"][:, :L]
    mean = affine(params, "decoder", np.concatenate([q[:L], c])) + guess
    spread = (weight**2 @ np.exp(2 * q[L:])).sum()
    square = ((x - mean) ** 2).sum() + spread
    likelihood = -0.5 * (square / SIGMA**2 + D * np.log(2 * np.pi * SIGMA**2))
    ratio = np.exp(2 * (q[L:] - prior[L:]))
    shift = (q[:L] - prior[:L]) ** 2 * np.exp(-2 * prior[L:])
    return float(likelihood - 0.5 * (ratio + shift - 1 - np.log(ratio)).sum())


@pytest.mark.parametrize("declaration", [CVAE(D, C, L, (6,)), ConditionalNet(D, C, (6,))])
def test_other_conditions_make_another_density(host: str, declaration: Any) -> None:
    """Swapped among rows, conditions change log p; swapped with their rows, they do not."""
    program = ppgm.program(declaration, host=host)
    other = {"x": BITS["x"], "c": BITS["c"][[1, 2, 0]]}
    both = {n: v[[1, 2, 0]] for n, v in BITS.items()}
    values = {} if isinstance(declaration, ConditionalNet) else {"z": np.ones((1, 3, L))}
    losses = [probe(program, {}, d, ELBO(), values=values).loss for d in (BITS, other, both)]
    assert abs(losses[0] - losses[1]) > 1e-3
    assert losses[0] == pytest.approx(losses[2], abs=1e-12)


NETWORKS = {
    "plain": CVAE(D, C, L, (3,)),
    "with a baseline": CVAE(D, C, L, (4, 3), baseline=True),
}


@pytest.mark.slow
@parametrize_with_checks((declaration, BITS) for declaration in NETWORKS.values())
def test_networks_of_any_kind_keep_the_contract(check: Check) -> None:
    check.run()


def test_the_baseline_is_that_of_a_conditional_net(host: str, rng: np.random.Generator) -> None:
    """With a generation network of zeros a CVAE is its baseline, whatever z."""
    net = ppgm.program(ConditionalNet(D, C, (4,)), host=host)
    trained = as_fit(net, BITS).params
    program = ppgm.program(CVAE(D, C, L, (4,), baseline=True), host=host)
    params = hosts.load(host).initial(program, BITS, 0)
    params = {n: np.zeros_like(v) for n, v in params.items()} | trained
    density = hosts.load(host).log_density(
        program, params, BITS, {"z": rng.normal(size=(2, 3, L))}
    )
    alone = hosts.load(host).log_density(net, trained, BITS, {})
    np.testing.assert_allclose(density["x"], np.tile(alone["x"], (2, 1)), atol=1e-12)


def test_a_trained_conditional_net_is_the_start_of_a_baseline(host: str) -> None:
    net = ppgm.fit(
        ppgm.program(ConditionalNet(D, C, (4,)), host=host, seed=1), BITS, ELBO(),
        steps=2, progress=False,
    )  # fmt: skip
    program = ppgm.program(CVAE(D, C, L, (4,), baseline=True), host=host)
    still = ppgm.optimisers.SGD(1e-12)
    start = net._replace(program=program, state={})
    fit = ppgm.fit(start, BITS, ELBO(), steps=1, optimiser=still, progress=False)
    for name, value in net.params.items():
        np.testing.assert_allclose(fit.params[name], value, atol=1e-9)


@pytest.mark.parametrize("objective", [ELBO(), ELBO(particles=3), IWAE(4)])
def test_without_latents_every_bound_is_the_log_likelihood(host: str, objective: Any) -> None:
    program = ppgm.program(ConditionalNet(D, C, ()), host=host)
    params = hosts.load(host).initial(program, BITS, 0)
    logits = np.stack([affine(params, "baseline", c) for c in BITS["c"]])
    wanted = (BITS["x"] * logits - np.logaddexp(0, logits)).sum(-1).mean()
    got = probe(program, params, BITS, objective)
    assert got.metrics["bound"] == pytest.approx(wanted, abs=1e-12)
    residual = BITS["x"] - 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(got.grads["baseline.layers.0.bias"], -residual.mean(0), atol=1e-12)


def test_a_model_without_latents_is_trained_and_evaluated(host: str) -> None:
    program = ppgm.program(ConditionalNet(D, C, (6,)), host=host)
    fit = ppgm.fit(program, BITS, ELBO(), epochs=60, batch_size=2, progress=False)
    assert fit.history["bound"][-1] > fit.history["bound"][0]
    found = ppgm.evaluate(fit, BITS, particles=25)
    assert found.monte_carlo_error < 1e-12


@with_baseline
def test_evaluate_has_the_exact_value(
    host: str, baseline: bool, data: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    program, params = parameters(linear("exact", baseline=baseline), host, data, rng)
    fit = as_fit(program, data)._replace(params=params)
    found = ppgm.evaluate(fit, data, particles=30)
    assert found.exact is not None
    np.testing.assert_allclose(found.log_likelihood, found.exact, rtol=TOLERANCE)


def test_predictions_have_the_moments_of_the_marginal(
    host: str, data: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    program, params = parameters(linear("exact", baseline=True), host, data, rng)
    fit = as_fit(program, data)._replace(params=params)
    got = ppgm.predict(fit, {"c": data["c"]}, draws=4000)
    again = ppgm.predict(fit, data, draws=4000)  # the outputs are not looked at
    np.testing.assert_array_equal(got.mean, again.mean)
    means = marginals(params, data["c"], baseline=True)
    sd = np.sqrt([np.diag(covariance) for _, covariance in means])
    deviation = (got.mean - np.stack([mean for mean, _ in means])) / sd
    assert got.site == "x"
    assert np.abs(deviation).max() < 5 / 4000**0.5
    np.testing.assert_allclose(got.sd, sd, rtol=0.08)


def test_latents_are_predicted_with_and_without_outputs(
    host: str, data: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    """From c alone by the prior network; from both by the recognition network."""
    program, params = parameters(linear(CVAE(D, C).posterior, baseline=False), host, data, rng)
    fit = as_fit(program, data)._replace(params=params)
    prior = np.stack([affine(params, "prior", c) for c in data["c"]])
    both = np.stack([affine(params, "encoder", np.concatenate(r)) for r in rows(data)])
    for given, wanted in ((("c",), prior), (("c", "x"), both)):
        got = ppgm.predict(fit, {n: data[n] for n in given}, site="z", draws=4000)
        sd = np.exp(wanted[:, L:])
        assert np.abs((got.mean - wanted[:, :L]) / sd).max() < 5 / 4000**0.5
        np.testing.assert_allclose(got.sd, sd, rtol=0.08)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"posterior": "exact"}, "'exact' needs hidden"),
        ({"posterior": "diagonal"}, "posterior must be Gaussian"),
        ({"condition": 0}, "condition must be an integer"),
        ({"hidden": (0,)}, "hidden must be a tuple"),
        ({"likelihood": Bernoulli}, "likelihood must be Bernoulli"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    options = {"features": D, "condition": C} | options
    with pytest.raises(ArgumentError, match=words):
        CVAE(**options)


def test_a_nonlinear_model_has_no_exact_likelihood() -> None:
    with pytest.raises(ArgumentError, match="exact log p"):
        NETWORKS["plain"].log_likelihood({}, **BITS)
