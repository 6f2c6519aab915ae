"""Discrete and mixed latents: expected gradients by enumeration of all draws.

Every joint configuration of the particles is one row of a bigger batch, which stands for as many
data as the guide gives it probability. One evaluation then is the estimator's expectation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.host import load
from ppgm.inference import ELBO, IWAE, VIMCO, Renyi
from ppgm.models import SBN
from ppgm.probes import Probe, probe
from ppgm.testing import differences, enumeration, sbn
from ppgm.testing import weights as naive
from ppgm.testing.arrays import bernoulli, binary_states

TOLERANCE = 1e-9
BIG, SMALL = SBN(5, (4, 3)), SBN(3, (2, 1))
MULTI = {
    "iwae": (IWAE, 0.0),
    "vimco, geometric": (VIMCO, 0.0),
    "vimco, arithmetic": (lambda k: VIMCO(k, mean="arithmetic"), 0.0),
    "renyi 1/2": (lambda k: Renyi(0.5, k), 0.5),
}

pytestmark = pytest.mark.usefixtures("f64")

_PROGRAMS: dict[Any, ppgm.Program] = {}


def program(declaration: Any, host: str) -> ppgm.Program:
    key = (declaration, host)
    if key not in _PROGRAMS:
        _PROGRAMS[key] = ppgm.program(declaration, host=host)
    return _PROGRAMS[key]


def parameters(net: SBN, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights of order one: far from any symmetry."""
    widths = (net.features, *net.layers)
    params = {"prior": rng.normal(size=net.layers[-1])}
    for i, (low, high) in enumerate(zip(widths, widths[1:], strict=False), 1):
        params |= {
            f"decoder{i}.layers.0.weight": rng.normal(size=(low, high)),
            f"decoder{i}.layers.0.bias": rng.normal(size=low),
            f"encoder{i}.layers.0.weight": rng.normal(size=(high, low)),
            f"encoder{i}.layers.0.bias": rng.normal(size=high),
        }
    return params


def bits(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return (rng.random((rows, columns)) < 0.5).astype(float)


def named(gradients: tuple[sbn.Network, sbn.Guide], rows: int) -> dict[str, np.ndarray]:
    """Gradients of the loss per datum, by canonical name."""
    network, guide = gradients
    found = {"prior": network.top}
    for side, layers in (("decoder", network.layers), ("encoder", guide.layers)):
        for i, (weight, bias) in enumerate(layers, 1):
            found |= {
                f"{side}{i}.layers.0.weight": weight,
                f"{side}{i}.layers.0.bias": bias,
            }
    return {name: -value / rows for name, value in found.items()}


def assert_same(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(got[name], value, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


def expectation(
    run: ppgm.Program, net: SBN, params: dict, x: np.ndarray, objective: Any, particles: int
) -> Probe:
    """The estimator's exact expectation: all configurations of all particles as rows."""
    network, guide = net.exact_model(params), net.exact_guide(params)
    states = np.concatenate([h[:, 0] for h in sbn.hidden_states(network)], axis=-1)
    log_q = sbn.tables(x, network, guide)[1]
    index = enumeration.tuples(len(states), particles)
    mass = np.exp(log_q[index].sum(1)).T.ravel()  # rows: data outside, configurations inside
    chosen = np.tile(states[index], (len(x), 1, 1)).transpose(1, 0, 2)
    ends = np.cumsum(net.layers)[:-1]
    values = {f"h{i}": v for i, v in enumerate(np.split(chosen, ends, axis=-1), 1)}
    data = {"x": np.repeat(x, len(index), axis=0)}
    return probe(run, params, data, objective, values=values, scale=mass, total=len(x))


# The model itself.


def test_log_p_of_all_data_sums_to_one_on_both_hosts(host: str, rng: np.random.Generator) -> None:
    """The program's own log density, summed over latents and data."""
    params, x = parameters(BIG, rng), binary_states(5)
    network = BIG.exact_model(params)
    states = [h[:, 0] for h in sbn.hidden_states(network)]
    values = {f"h{i}": np.repeat(h[:, None], 32, 1) for i, h in enumerate(states, 1)}
    sites = load(host).log_density(program(BIG, host), params, {"x": x}, values)
    log_joint = sum(sites.values())
    np.testing.assert_allclose(np.exp(log_joint).sum(), 1, atol=TOLERANCE)
    log_p = np.log(np.exp(log_joint).sum(0))
    np.testing.assert_allclose(log_p, BIG.log_likelihood(params, x), atol=TOLERANCE)


# Score functions.


def test_expected_gradient_of_the_elbo(host: str, rng: np.random.Generator) -> None:
    params, x = parameters(BIG, rng), bits(rng, 2, 5)
    network, guide = BIG.exact_model(params), BIG.exact_guide(params)
    got = expectation(program(BIG, host), BIG, params, x, ELBO(), 1)
    assert got.metrics["bound"] == pytest.approx(sbn.elbo(x, network, guide).mean(), abs=TOLERANCE)
    assert_same(got.grads, named(sbn.bound_gradients(x, network, guide, 1), 2))


@pytest.mark.parametrize("particles", [2, 3])
def test_expected_gradient_of_an_averaged_elbo(
    host: str, particles: int, rng: np.random.Generator
) -> None:
    params, x = parameters(SMALL, rng), bits(rng, 2, 3)
    network, guide = SMALL.exact_model(params), SMALL.exact_guide(params)
    got = expectation(program(SMALL, host), SMALL, params, x, ELBO(particles), particles)
    assert_same(got.grads, named(sbn.bound_gradients(x, network, guide, 1), 2))


@pytest.mark.parametrize("bound", MULTI)
@pytest.mark.parametrize(
    ("net", "particles"),
    [("3-2-1", 2), pytest.param("3-2-1", 3, marks=pytest.mark.slow), ("5-4-3", 2)],
)
def test_expected_gradient_of_multi_sample_bounds(
    host: str, bound: str, net: str, particles: int, rng: np.random.Generator
) -> None:
    """All K-particle configurations: 64, 512, and 16384 of the bigger net."""
    declaration, rows = (SMALL, 2) if net == "3-2-1" else (BIG, 1)
    make, alpha = MULTI[bound]
    params, x = parameters(declaration, rng), bits(rng, rows, declaration.features)
    network, guide = declaration.exact_model(params), declaration.exact_guide(params)
    run = program(declaration, host)
    got = expectation(run, declaration, params, x, make(particles), particles)
    wanted = sbn.renyi(x, network, guide, particles, alpha=alpha).mean()
    assert got.metrics["bound"] == pytest.approx(wanted, abs=TOLERANCE)
    exact = sbn.bound_gradients(x, network, guide, particles, alpha=alpha)
    assert_same(got.grads, named(exact, rows))


def test_the_signals_of_vimco_are_those_of_the_naive_loops(
    host: str, rng: np.random.Generator
) -> None:
    """Not only in expectation: with constant logits the gradient of a bias is the signal's sum."""
    params, x = parameters(SMALL, rng), bits(rng, 1, 3)
    states = binary_states(3)[[1, 6, 3, 2]]
    values = {"h1": states[:, None, :2], "h2": states[:, None, 2:]}
    network, guide = SMALL.exact_model(params), SMALL.exact_guide(params)
    log_p = sbn.log_joint(x, [values["h1"], values["h2"]], network)
    log_q = sbn.log_guide(x, [values["h1"], values["h2"]], guide)
    for mean in ("geometric", "arithmetic"):
        run, objective = program(SMALL, host), VIMCO(4, mean=mean)
        got = probe(run, params, {"x": x}, objective, values=values)
        signal = naive.vimco_signal(log_p - log_q, mean=mean) - naive.normalised(log_p - log_q)
        weight, bias = guide.layers[1]
        logits = values["h1"] @ weight.T + bias
        residual = values["h2"] - 1 / (1 + np.exp(-logits))
        wanted = -(signal[..., None] * residual).sum((0, 1))
        np.testing.assert_allclose(got.grads["encoder2.layers.0.bias"], wanted, atol=TOLERANCE)


# Enumeration.


def test_enumeration_gives_the_exact_elbo_and_gradient_at_once(
    host: str, rng: np.random.Generator
) -> None:
    params, x = parameters(BIG, rng), bits(rng, 3, 5)
    network, guide = BIG.exact_model(params), BIG.exact_guide(params)
    objective = ELBO(enumerate=("h1", "h2"))
    got = probe(program(BIG, host), params, {"x": x}, objective)
    assert got.metrics["bound"] == pytest.approx(sbn.elbo(x, network, guide).mean(), abs=TOLERANCE)
    assert_same(got.grads, named(sbn.bound_gradients(x, network, guide, 1), 3))


def test_enumeration_beside_draws(host: str, rng: np.random.Generator) -> None:
    """h1 is drawn and keeps its score, h2 is enumerated given h1."""
    params, x = parameters(BIG, rng), bits(rng, 2, 5)
    network, guide = BIG.exact_model(params), BIG.exact_guide(params)
    weight, bias = guide.layers[0]
    h1 = binary_states(4)
    mass = np.exp(bernoulli(h1[None], (x @ weight.T + bias)[:, None])).ravel()
    copies = 2**3 * 2
    values = {"h1": np.repeat(np.tile(h1, (2, 1))[None], copies, 0)}
    got = probe(
        program(BIG, host), params, {"x": np.repeat(x, 16, 0)},
        ELBO(particles=2, enumerate=("h2",)), values=values, scale=mass, total=2,
    )  # fmt: skip
    assert got.metrics["bound"] == pytest.approx(sbn.elbo(x, network, guide).mean(), abs=TOLERANCE)
    assert_same(got.grads, named(sbn.bound_gradients(x, network, guide, 1), 2))


def test_enumeration_under_minibatches(host: str, rng: np.random.Generator) -> None:
    params, x = parameters(SMALL, rng), bits(rng, 5, 3)
    network, guide = SMALL.exact_model(params), SMALL.exact_guide(params)
    objective, run = ELBO(enumerate=("h1", "h2")), program(SMALL, host)
    parts = [
        probe(run, params, {"x": x[b]}, objective, scale=3.0, total=5)
        for b in ([3, 0], [4, 1], [2])
    ]
    grads = {n: np.mean([p.grads[n] for p in parts], axis=0) for n in parts[0].grads}
    assert_same(grads, named(sbn.bound_gradients(x, network, guide, 1), 5))


# Reparameterised and discrete latents in one row.


@dataclass(frozen=True)
class Mixed:
    """z ~ N(0, 1), h | z ~ Bernoulli, x | z, h ~ N; in the guide h depends on the draw of z."""

    def model(self, ppl: Any, x: Any = None) -> None:
        slope = ppl.param("slope", np.array([0.8, -0.5, 0.3]))
        with ppl.plate("data", x):
            z = ppl.sample("z", ppl.distributions.Normal(ppl.np.zeros(()), 1.0))
            h = ppl.sample("h", ppl.distributions.Bernoulli(logits=slope[2] * z))
            mean = slope[0] * z + slope[1] * ppl.ops.float(h)
            ppl.sample("x", ppl.distributions.Normal(mean, 0.6), obs=x)

    def guide(self, ppl: Any, x: Any) -> None:
        coefficients = ppl.param("coefficients", np.array([0.4, -0.2, 0.7, 0.5, 0.1]))
        with ppl.plate("data", x):
            loc, scale = coefficients[0] * x, ppl.np.exp(coefficients[1])
            z = ppl.sample("z", ppl.distributions.Normal(loc, scale))
            logits = coefficients[2] * z + coefficients[3] * x + coefficients[4]
            ppl.sample("h", ppl.distributions.Bernoulli(logits=logits))


def normal(x: np.ndarray, loc: np.ndarray, scale: float) -> np.ndarray:
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


def bit(h: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return h * logits - np.logaddexp(0, logits)


def mixed_bound(
    x: np.ndarray, noise: np.ndarray, slope: np.ndarray, c: np.ndarray, multi: bool
) -> float:
    """Mean bound with z at given noise ``(K, N)`` and h summed over all 2^K configurations."""
    z = c[0] * x + np.exp(c[1]) * noise
    total = 0.0
    for h in binary_states(len(noise))[:, :, None]:
        log_q_h = bit(h, c[2] * z + c[3] * x + c[4])
        log_p = normal(z, 0, 1) + bit(h, slope[2] * z)
        log_p = log_p + normal(x, slope[0] * z + slope[1] * h, 0.6)
        log_w = log_p - normal(z, c[0] * x, np.exp(c[1])) - log_q_h
        row = naive.iwae(log_w) if multi else naive.elbo(log_w)
        total += (np.exp(log_q_h.sum(0)) * row).sum()
    return total / len(x)


MIXED = [ELBO(2), IWAE(2), VIMCO(2), ELBO(2, enumerate=("h",))]


@pytest.mark.parametrize("objective", MIXED, ids=str)
def test_mixed_latents(host: str, objective: Any, rng: np.random.Generator) -> None:
    """At fixed noise of z, the expectation over h has the derivative of the exact sum.

    The probability of h depends on the guide through z too.
    """
    x, noise = rng.normal(size=3), rng.normal(size=(2, 3))
    slope, c = rng.normal(size=3), rng.normal(size=5) * 0.7
    params = {"slope": slope, "coefficients": c}
    multi = not isinstance(objective, ELBO)
    if not multi and objective.enumerate:
        data, scale, values = {"x": x}, 1.0, {}
        given = np.concatenate([noise, noise])  # both values of h, at the same two draws of z
    else:
        h = binary_states(2)
        z = c[0] * x + np.exp(c[1]) * noise
        logits = c[2] * z + c[3] * x + c[4]
        scale = np.exp(bit(h[:, :, None], logits).sum(1)).ravel()
        data, given = {"x": np.tile(x, 4)}, np.tile(noise, (1, 4))
        values = {"h": np.repeat(h, 3, axis=0).T}
    got = probe(
        program(Mixed(), host), params, data, objective,
        values=values, noise={"z": given}, scale=scale, total=3,
    )  # fmt: skip
    assert got.metrics["bound"] == pytest.approx(
        mixed_bound(x, noise, slope, c, multi), abs=TOLERANCE
    )
    in_slope = differences.gradient(lambda s: mixed_bound(x, noise, s, c, multi), slope)
    in_c = differences.gradient(lambda v: mixed_bound(x, noise, slope, v, multi), c)
    np.testing.assert_allclose(got.grads["slope"], -in_slope, atol=1e-8)
    np.testing.assert_allclose(got.grads["coefficients"], -in_c, atol=1e-8)


def test_the_score_is_exact_at_logits_of_zero(host: str, rng: np.random.Generator) -> None:
    """A wrong derivative of Bernoulli at logit zero (NumPyro's own) would show here."""
    params, x = parameters(SMALL, rng), bits(rng, 2, 3)
    params = {n: np.zeros_like(v) for n, v in params.items()}
    network, guide = SMALL.exact_model(params), SMALL.exact_guide(params)
    got = expectation(program(SMALL, host), SMALL, params, x, ELBO(), 1)
    assert_same(got.grads, named(sbn.bound_gradients(x, network, guide, 1), 2))
