"""The two-layer semi-supervised model against a naive one in numpy, at given noise.

Given the class all is linear-Gaussian, so the evidence is exact; and at Gauss-Hermite points the
labelled bound, a quadratic in the noise, is exact too.
"""

from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.inference import ELBO, SemiSupervised
from ppgm.models import M1M2, Gaussian
from ppgm.probes import probe
from ppgm.testing import cubature, differences
from ppgm.testing.arrays import logsumexp

D, C, L, S, N = 4, 3, 2, 1, 5
SIGMA = 0.7
TOLERANCE = 1e-9
MODEL = M1M2(D, C, L, S, hidden=(), likelihood=Gaussian(SIGMA), prior="learnt")
MIXED = np.array([2, -1, 0, -1, 1])
POINTS, MASS = cubature.gauss_hermite(L + S, 2)  # equal masses, exact for cubics

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")

Params = dict[str, np.ndarray]


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, D)) * 1.5


@pytest.fixture
def params(rng: np.random.Generator) -> Params:
    shapes = {
        "composer": (2 * L, S + C),
        "decoder": (D, L),
        "encoder": (2 * L, D),
        "classifier": (C, L),
        "stylist": (2 * S, L + C),
    }
    found = {"prior": rng.normal(size=C)}
    for name, (outputs, inputs) in shapes.items():
        found[f"{name}.layers.0.weight"] = rng.normal(size=(outputs, inputs)) * 0.5
        found[f"{name}.layers.0.bias"] = rng.normal(size=outputs) * 0.3
    for name, keep in (("composer", L), ("stylist", S), ("encoder", L)):
        found[f"{name}.layers.0.weight"][keep:] = 0  # scales that do not depend on anything
    return found


def affine(p: Params, name: str, *inputs: np.ndarray) -> np.ndarray:
    batch = np.broadcast_shapes(*(a.shape[:-1] for a in inputs))
    joined = np.concatenate([np.broadcast_to(a, (*batch, a.shape[-1])) for a in inputs], -1)
    return joined @ p[f"{name}.layers.0.weight"].T + p[f"{name}.layers.0.bias"]


def normal(value: np.ndarray, context: np.ndarray) -> np.ndarray:
    loc, log_scale = np.split(context, 2, -1)
    white = (value - loc) / np.exp(log_scale)
    return -0.5 * (white**2 + np.log(2 * np.pi)).sum(-1) - log_scale.sum(-1)


def draw(noise: np.ndarray, context: np.ndarray) -> np.ndarray:
    loc, log_scale = np.split(context, 2, -1)
    return loc + np.exp(log_scale) * noise


def bound(p: Params, x: np.ndarray, y: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The bound of each row from noise ``(C, K, N, L + S)``: a loop over the classes."""
    total = np.zeros(len(x))
    log_prior = p["prior"] - logsumexp(p["prior"], axis=-1)
    for c in range(C):
        e1, e2 = noise[c, ..., :L], noise[c, ..., L:]
        to_z1 = affine(p, "encoder", x)
        z1 = draw(e1, to_z1)
        logits = affine(p, "classifier", z1)
        log_q = logits[..., c] - logsumexp(logits, axis=-1)
        to_z2 = affine(p, "stylist", z1, np.eye(C)[c])
        z2 = draw(e2, to_z2)
        zeros = np.zeros_like(z2)
        log_p = normal(z2, np.concatenate([zeros, zeros], -1)) + log_prior[c]
        log_p = log_p + normal(z1, affine(p, "composer", z2, np.eye(C)[c]))
        mean = affine(p, "decoder", z1)
        spread = np.full_like(mean, np.log(SIGMA))
        log_p = log_p + normal(x, np.concatenate([mean, spread], -1))
        gap = log_p - normal(z1, to_z1) - normal(z2, to_z2)
        free = np.exp(log_q) * (gap - log_q)
        total += np.where(y >= 0, (y == c) * gap, free).mean(0)
    return total


def log_evidence(p: Params, x: np.ndarray) -> np.ndarray:
    """Exact log p(x, y), ``(N, C)``: given the class, x is Gaussian."""
    weight, decoder = p["composer.layers.0.weight"], p["decoder.layers.0.weight"]
    columns = []
    for c in range(C):
        context = p["composer.layers.0.bias"] + weight[:, S + c]
        code = weight[:L, :S] @ weight[:L, :S].T + np.diag(np.exp(2 * context[L:]))
        covariance = decoder @ code @ decoder.T + SIGMA**2 * np.eye(D)
        mean = decoder @ context[:L] + p["decoder.layers.0.bias"]
        white = np.linalg.solve(np.linalg.cholesky(covariance), (x - mean).T)
        log_det = np.linalg.slogdet(covariance)[1]
        columns.append(-0.5 * ((white**2).sum(0) + log_det + D * np.log(2 * np.pi)))
    return np.stack(columns, -1) + p["prior"] - logsumexp(p["prior"], axis=-1)


def run(host: str, p: Params, x: np.ndarray, y: np.ndarray, noise: np.ndarray, objective: Any):
    flat = noise.reshape(-1, *noise.shape[2:])
    injected = {"z1": flat[..., :L], "z2": flat[..., L:]}
    program = ppgm.program(MODEL, host=host)
    return probe(program, p, {"x": x, "y": y}, objective, noise=injected)


def test_the_bound_and_its_gradient_at_given_noise(
    host: str, x: np.ndarray, params: Params, rng: np.random.Generator
) -> None:
    noise = rng.normal(size=(C, 2, N, L + S))
    got = run(host, params, x, MIXED, noise, ELBO(particles=2, enumerate=("y",)))
    wanted = bound(params, x, MIXED, noise).mean()
    assert got.metrics["bound"] == pytest.approx(wanted, abs=TOLERANCE)
    assert got.grads.keys() == params.keys()
    for name, at in params.items():
        numeric = differences.gradient(
            lambda v, n=name: -bound({**params, n: v}, x, MIXED, noise).mean(), at
        )
        np.testing.assert_allclose(got.grads[name], numeric, rtol=1e-8, atol=1e-9, err_msg=name)


def test_the_exact_bound_is_below_the_exact_evidence(
    host: str, x: np.ndarray, params: Params
) -> None:
    """The labelled bound is exact at Gauss-Hermite points; some of the gap is the class's."""
    y = np.array([2, 1, 0, 0, 1])
    noise = np.broadcast_to(POINTS[None, :, None], (C, len(POINTS), N, L + S))
    objective = ELBO(particles=len(POINTS), enumerate=("y",))
    got = run(host, params, x, y, noise, objective).metrics["bound"]
    assert MASS.std() < 1e-12
    finer, mass = cubature.gauss_hermite(L + S, 3)
    again = bound_by(params, x, y, finer, mass).mean()
    assert got == pytest.approx(again, abs=TOLERANCE)
    assert got < log_evidence(params, x)[np.arange(N), y].mean()


def bound_by(p: Params, x: np.ndarray, y: np.ndarray, points: np.ndarray, mass: np.ndarray):
    """The bound of each row by weighted points."""
    single = [bound(p, x, y, np.broadcast_to(e, (C, 1, len(x), L + S))) for e in points]
    return np.tensordot(mass, np.stack(single), 1)


def test_the_classification_loss_is_of_the_codes_draw(
    host: str, x: np.ndarray, params: Params
) -> None:
    """With a code that hardly varies it is that of its mean."""
    still = {**params, "encoder.layers.0.bias": params["encoder.layers.0.bias"].copy()}
    still["encoder.layers.0.bias"][L:] = -30.0
    noise = np.zeros((C, 1, N, L + S))
    got = run(host, still, x, MIXED, noise, SemiSupervised(weight=2.0))
    logits = affine(still, "classifier", affine(still, "encoder", x)[:, :L])
    log_q = logits - logsumexp(logits, axis=-1)[:, None]
    known = MIXED >= 0
    wanted = -log_q[np.arange(N), MIXED][known].sum() / N
    assert got.metrics["classification"] == pytest.approx(wanted, abs=1e-9)
    assert got.loss == pytest.approx(-got.metrics["bound"] + 2 * wanted, abs=1e-9)
