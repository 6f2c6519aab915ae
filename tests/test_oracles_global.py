"""Global and local latents of all kinds together: expected gradients under subsampling.

With a global latent the log weights collapse to one number per particle, and discrete draws are
answerable each for their own rows only. The expectation over every minibatch and every draw of
the discrete sites, at fixed noise of the Gaussian ones, has to be the derivative of the exact sum
over the full data.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.errors import EstimatorError
from ppgm.inference import ELBO, IWAE, STL, VIMCO
from ppgm.probes import probe
from ppgm.testing import differences
from ppgm.testing import weights as naive

N, J = 2, 2
TOLERANCE = 1e-8

pytestmark = pytest.mark.usefixtures("f64")

_PROGRAMS: dict[Any, ppgm.Program] = {}


def program(declaration: Any, host: str) -> ppgm.Program:
    key = (declaration, host)
    if key not in _PROGRAMS:
        _PROGRAMS[key] = ppgm.program(declaration, host=host)
    return _PROGRAMS[key]


@dataclass(frozen=True)
class Nest:
    """Global bit c and real g, a bit h per row, a bit m per entry of the table x ``(N, J)``."""

    def model(self, ppl: Any, x: Any = None) -> None:
        a, dist = ppl.param("a", np.zeros(7)), ppl.distributions
        c = ppl.ops.float(ppl.sample("c", dist.Bernoulli(logits=a[0])))
        g = ppl.sample("g", dist.Normal(a[1] * c, 1.0))
        with ppl.plate("data", x, dim=-2):
            h = ppl.ops.float(ppl.sample("h", dist.Bernoulli(logits=a[2] + a[3] * c)))
            with ppl.plate("columns", J, dim=-1):
                m = ppl.ops.float(ppl.sample("m", dist.Bernoulli(logits=a[4] * h + g)))
                ppl.sample("x", dist.Normal(a[5] * m + a[6] * c * h + g, 0.8), obs=x)

    def guide(self, ppl: Any, x: Any) -> None:
        b, dist = ppl.param("b", np.zeros(8)), ppl.distributions
        c = ppl.ops.float(ppl.sample("c", dist.Bernoulli(logits=b[0])))
        g = ppl.sample("g", dist.Normal(b[1] + b[2] * c, ppl.np.exp(b[3])))
        with ppl.plate("data", x, dim=-2):
            total = x.sum(-1)[..., None]
            logits = b[4] * total + b[5] * c * g
            h = ppl.ops.float(ppl.sample("h", dist.Bernoulli(logits=logits)))
            with ppl.plate("columns", J, dim=-1):
                ppl.sample("m", dist.Bernoulli(logits=b[6] * x + b[7] * h + g))


def normal(x: np.ndarray, loc: Any, scale: Any) -> np.ndarray:
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


def bit(h: Any, logits: Any) -> np.ndarray:
    return h * logits - np.logaddexp(0, logits)


def nest_terms(
    x: np.ndarray, eps: float, c: float, h: np.ndarray, m: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[float, float]:
    """Log weight of one draw on all of `x`, and log q of its discrete parts."""
    g = b[1] + b[2] * c + np.exp(b[3]) * eps
    h = h[:, None]
    q_c, q_g = bit(c, b[0]), normal(g, b[1] + b[2] * c, np.exp(b[3]))
    q_h = bit(h, b[4] * x.sum(1, keepdims=True) + b[5] * c * g).sum()
    q_m = bit(m, b[6] * x + b[7] * h + g).sum()
    log_p = bit(c, a[0]) + normal(g, a[1] * c, 1.0) + bit(h, a[2] + a[3] * c).sum()
    log_p += bit(m, a[4] * h + g).sum() + normal(x, a[5] * m + a[6] * c * h + g, 0.8).sum()
    return float(log_p - q_c - q_g - q_h - q_m), float(q_c + q_h + q_m)


def states(rows: int) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    for flat in product((0.0, 1.0), repeat=1 + rows + rows * J):
        bits = np.array(flat)
        yield bits[0], bits[1 : 1 + rows], bits[1 + rows :].reshape(rows, J)


def exact_elbo(x: np.ndarray, eps: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Mean over the noise of the exact sum over all discrete draws, on the full data."""
    total = 0.0
    for e in eps:
        for state in states(len(x)):
            log_w, log_q = nest_terms(x, e, *state, a, b)
            total += np.exp(log_q) * log_w
    return total / len(eps)


def wanted(
    fn: Callable[[np.ndarray, np.ndarray], float], a: np.ndarray, b: np.ndarray
) -> dict[str, np.ndarray]:
    return {
        "a": -differences.gradient(lambda v: fn(v, b), a),
        "b": -differences.gradient(lambda v: fn(a, v), b),
    }


@pytest.fixture
def case(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data and the parameters of model and guide."""
    return rng.normal(size=(N, J)), rng.normal(size=7) * 0.7, rng.normal(size=8) * 0.7


def batches(split: str) -> tuple[list[list[int]], float]:
    if split == "full":
        return [list(range(N))], 1.0
    return [list(b) for b in combinations(range(N), 1)], float(N)


def collect(
    run: ppgm.Program, case: Any, eps: float, objective: Any, split: str, hidden: tuple[str, ...]
) -> tuple[float, dict[str, np.ndarray]]:
    """Expected bound and loss gradient over minibatches and over the draws in `hidden`."""
    x, a, b = case
    params, total, grads = {"a": a, "b": b}, 0.0, {"a": 0.0, "b": 0.0}
    index, scale = batches(split)
    for rows in index:
        for c, h, m in states(len(rows)):
            draws = {"c": np.array([c]), "h": h[None, :, None], "m": m[None]}
            copies = 1 if "c" in hidden else 2
            values = {k: np.repeat(draws[k], copies, 0) for k in hidden}
            if "c" not in hidden and c == 1:
                continue  # c is enumerated: its value does not matter here
            log_q = nest_terms(x[rows], eps, c, h, m, a, b)[1]
            if "c" not in hidden:
                log_q -= bit(c, b[0])
            got = probe(
                run, params, {"x": x[rows]}, objective, values=values,
                noise={"g": np.full(copies, eps)}, scale=scale,
            )  # fmt: skip
            mass = np.exp(log_q) / len(index)
            total += mass * got.metrics["bound"]
            for name in grads:
                grads[name] = grads[name] + mass * got.grads[name]
    return total, grads


@pytest.mark.parametrize("split", ["full", "minibatches"])
def test_global_and_local_bits(host: str, split: str, case: Any) -> None:
    x, a, b = case
    bound, grads = collect(program(Nest(), host), case, 0.7, ELBO(), split, ("c", "h", "m"))
    eps = np.array([0.7])
    assert bound == pytest.approx(exact_elbo(x, eps, a, b), abs=TOLERANCE)
    for name, value in wanted(lambda v, w: exact_elbo(x, eps, v, w), a, b).items():
        np.testing.assert_allclose(grads[name], value, atol=TOLERANCE, err_msg=name)


@dataclass(frozen=True)
class Flat:
    """A global bit and a bit per row; the guide's rows do not look at the global one."""

    def model(self, ppl: Any, x: Any = None) -> None:
        a, dist = ppl.param("a", np.zeros(4)), ppl.distributions
        c = ppl.ops.float(ppl.sample("c", dist.Bernoulli(logits=a[0])))
        with ppl.plate("data", x):
            h = ppl.ops.float(ppl.sample("h", dist.Bernoulli(logits=a[1] + a[2] * c)))
            ppl.sample("x", dist.Normal(a[3] * h + c, 0.8), obs=x)

    def guide(self, ppl: Any, x: Any) -> None:
        b, dist = ppl.param("b", np.zeros(3)), ppl.distributions
        ppl.sample("c", dist.Bernoulli(logits=b[0]))
        with ppl.plate("data", x):
            ppl.sample("h", dist.Bernoulli(logits=b[1] * x + b[2]))


def flat_terms(
    x: np.ndarray, c: float, h: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[float, float]:
    log_q = bit(c, b[0]) + bit(h, b[1] * x + b[2]).sum()
    log_p = bit(c, a[0]) + bit(h, a[1] + a[2] * c).sum() + normal(x, a[3] * h + c, 0.8).sum()
    return float(log_p - log_q), float(log_q)


def flat_states(rows: int) -> list[tuple[float, np.ndarray]]:
    return [(s[0], np.array(s[1:])) for s in product((0.0, 1.0), repeat=1 + rows)]


def flat_bound(x: np.ndarray, a: np.ndarray, b: np.ndarray, particles: int, multi: bool) -> float:
    terms = [flat_terms(x, *s, a, b) for s in flat_states(len(x))]
    total = 0.0
    for chosen in product(terms, repeat=particles):
        log_w = np.array([[t[0]] for t in chosen])
        row = naive.iwae(log_w)[0] if multi else naive.elbo(log_w)[0]
        total += np.exp(sum(t[1] for t in chosen)) * row
    return total


@pytest.mark.parametrize("objective", [ELBO(2), IWAE(2), VIMCO(2)], ids=str)
def test_particles_of_global_and_local_bits(
    host: str, objective: Any, rng: np.random.Generator
) -> None:
    """The mean is over whole draws: a global bit with all its rows."""
    x, a, b = rng.normal(size=2), rng.normal(size=4), rng.normal(size=3)
    multi, run = not isinstance(objective, ELBO), program(Flat(), host)
    bound, grads = 0.0, {"a": 0.0, "b": 0.0}
    for pair in product(flat_states(2), repeat=2):
        values = {"c": np.array([s[0] for s in pair]), "h": np.stack([s[1] for s in pair])}
        got = probe(run, {"a": a, "b": b}, {"x": x}, objective, values=values)
        mass = np.exp(sum(flat_terms(x, *s, a, b)[1] for s in pair))
        bound += mass * got.metrics["bound"]
        grads = {n: grads[n] + mass * got.grads[n] for n in grads}
    assert bound == pytest.approx(flat_bound(x, a, b, 2, multi), abs=TOLERANCE)
    for name, value in wanted(lambda v, w: flat_bound(x, v, w, 2, multi), a, b).items():
        np.testing.assert_allclose(grads[name], value, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("split", ["full", "pairs", "epoch"])
def test_a_global_bit_can_be_enumerated_beside_local_draws(
    host: str, split: str, rng: np.random.Generator
) -> None:
    """The score of a local draw counts with the mass of the global value it was drawn beside."""
    rows = 3
    x, a, b = rng.normal(size=rows), rng.normal(size=4), rng.normal(size=3)
    index, scale = {
        "full": ([[0, 1, 2]], 1.0),
        "pairs": ([[0, 1], [0, 2], [1, 2]], 1.5),
        "epoch": ([[2, 0], [1]], 2.0),
    }[split]
    objective, run = ELBO(enumerate=("c",)), program(Flat(), host)
    bound, grads = 0.0, {"a": 0.0, "b": 0.0}
    for batch in index:
        for h in (np.array(s) for s in product((0.0, 1.0), repeat=len(batch))):
            mass = np.exp(bit(h, b[1] * x[batch] + b[2]).sum()) / len(index)
            got = probe(
                run, {"a": a, "b": b}, {"x": x[batch]}, objective,
                values={"h": np.stack([h, h])}, scale=scale,
            )  # fmt: skip
            bound += mass * got.metrics["bound"]
            grads = {n: grads[n] + mass * got.grads[n] for n in grads}
    assert bound == pytest.approx(flat_bound(x, a, b, 1, multi=False), abs=TOLERANCE)
    for name, value in wanted(lambda v, w: flat_bound(x, v, w, 1, multi=False), a, b).items():
        np.testing.assert_allclose(grads[name], value, atol=TOLERANCE, err_msg=name)


@dataclass(frozen=True)
class Regression:
    """A global Gaussian slope; conjugate, so that everything is in closed form."""

    def model(self, ppl: Any, t: Any, y: Any = None) -> None:
        w = ppl.sample("w", ppl.distributions.Normal(ppl.np.zeros(()), 1.0))
        with ppl.plate("data", t):
            ppl.sample("y", ppl.distributions.Normal(w * t, 0.5), obs=y)

    def guide(self, ppl: Any, t: Any, y: Any = None) -> None:
        q = ppl.param("q", np.zeros(2))
        ppl.sample("w", ppl.distributions.Normal(q[0], ppl.np.exp(q[1])))


def regression_elbo(t: np.ndarray, y: np.ndarray, q: np.ndarray) -> float:
    spread = np.exp(2 * q[1])
    fit = ((y - q[0] * t) ** 2 + spread * t**2).sum() / 0.25
    constant = len(t) * np.log(0.25 * 2 * np.pi)
    divergence = 0.5 * (spread + q[0] ** 2 - 1 - 2 * q[1])
    return float(-0.5 * (fit + constant) - divergence)


@pytest.mark.parametrize("objective", [ELBO(2), STL(2)], ids=str)
def test_a_global_gaussian_under_minibatches(
    host: str, objective: Any, rng: np.random.Generator
) -> None:
    """The two points +1 and -1 are cubature in one dimension: value and gradient are exact."""
    t, y, q = rng.normal(size=5), rng.normal(size=5), np.array([0.3, -0.4])
    run, noise = program(Regression(), host), {"w": np.array([1.0, -1.0])}
    parts = [
        probe(run, {"q": q}, {"t": t[b], "y": y[b]}, objective, noise=noise, scale=3.0)
        for b in ([3, 0], [4, 1], [2])
    ]
    bound = np.mean([p.metrics["bound"] for p in parts])
    assert bound == pytest.approx(regression_elbo(t, y, q), abs=TOLERANCE)
    grads = np.mean([p.grads["q"] for p in parts], axis=0)
    gradient = differences.gradient(lambda v: regression_elbo(t, y, v), q)
    np.testing.assert_allclose(grads, -gradient, atol=TOLERANCE)


@pytest.mark.parametrize("objective", [IWAE(2), STL(2), ELBO(2)], ids=str)
def test_a_global_posterior_that_is_exact_gives_log_p(
    host: str, objective: Any, rng: np.random.Generator
) -> None:
    t, y = rng.normal(size=5), rng.normal(size=5)
    precision = 1 + (t**2).sum() / 0.25
    q = np.array([(t * y).sum() / 0.25 / precision, -0.5 * np.log(precision)])
    got = probe(
        program(Regression(), host), {"q": q}, {"t": t, "y": y}, objective,
        noise={"w": rng.normal(size=2)},
    )  # fmt: skip
    covariance = np.outer(t, t) + 0.25 * np.eye(5)
    log_p = -0.5 * y @ np.linalg.solve(covariance, y)
    log_p -= 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]
    assert got.metrics["bound"] == pytest.approx(log_p, abs=TOLERANCE)


@pytest.mark.parametrize("objective", [IWAE(2), VIMCO(2)], ids=str)
def test_a_logarithm_over_all_data_refuses_minibatches(host: str, objective: Any) -> None:
    x = np.zeros((6, J))
    with pytest.raises(EstimatorError, match="outside plate 'data'"):
        ppgm.fit(program(Nest(), host), {"x": x}, objective, epochs=1, batch_size=2)
