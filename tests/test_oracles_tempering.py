"""Tempered weights and constant draws, against formulas written out by hand."""

from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.errors import ArgumentError, EstimatorError
from ppgm.inference import (
    ELBO,
    IWAE,
    RLOO,
    RWS,
    STL,
    DReG,
    Score,
    Sum,
    ThermodynamicELBO,
    WakeSleep,
)
from ppgm.probes import Probe, probe
from ppgm.testing import differences
from ppgm.testing import weights as naive
from tests.test_oracles_paths import NORMAL, Line

TOLERANCE = 1e-9
A, B, C = 0.9, 0.4, -0.3
X = np.array([0.7, -1.2, 0.2])
NOISE = np.array([[0.3, -1.1, 0.4], [1.4, 0.2, -0.9]])

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")


def terms(v: np.ndarray, noise: np.ndarray = NOISE) -> tuple[np.ndarray, np.ndarray]:
    """log p(x | z), and log p(z) - log q(z | x), of draws of the guide ``(K, N)``."""
    a, b, c = v
    z = b * X + np.exp(c) * noise
    data = -0.5 * ((X - a * z) / 0.5) ** 2 - np.log(0.5) - NORMAL
    return data, -0.5 * z**2 + 0.5 * noise**2 + c


def measured(host: str, objective: Any) -> Probe:
    return probe(ppgm.program(Line(), host=host), {}, {"x": X}, objective, noise={"z": NOISE})


def check(got: Probe, loss: Any, bound: float) -> None:
    """Compares loss, gradient and what is logged with a function of (a, b, c)."""
    at = np.array([A, B, C])
    assert got.loss == pytest.approx(loss(at), abs=TOLERANCE)
    assert got.metrics["bound"] == pytest.approx(bound, abs=TOLERANCE)
    wanted = differences.gradient(loss, at)
    np.testing.assert_allclose([got.grads[n] for n in "abc"], wanted, atol=1e-8)


def plain(multi: bool) -> float:
    log_w = sum(terms(np.array([A, B, C])))
    return float((naive.iwae(log_w) if multi else log_w.mean(0)).mean())


@pytest.mark.parametrize("multi", [False, True])
def test_weights_of_sites(host: str, multi: bool) -> None:
    """The weight of an observed site is that of its density, of a latent one its divergence's."""

    def loss(v: np.ndarray) -> float:
        data, divergence = terms(v)
        log_w = 2.5 * data + 0.4 * 0.5 * divergence
        return -float((naive.iwae(log_w) if multi else log_w.mean(0)).mean())

    made = IWAE if multi else ELBO
    objective = made(2, beta=0.5, site_weights={"x": 2.5, "z": 0.4})
    check(measured(host, objective), loss, plain(multi))


@pytest.mark.parametrize(("bits", "open_"), [(0.01, True), (50.0, False)])
@pytest.mark.parametrize("multi", [False, True])
def test_free_bits(host: str, bits: float, open_: bool, multi: bool) -> None:
    """Below its free bits a divergence costs them, and has no gradient; above, it is as it was."""

    def loss(v: np.ndarray) -> float:
        data, divergence = terms(v)
        log_w = data + divergence if open_ else data
        value = -float((naive.iwae(log_w) if multi else log_w.mean(0)).mean())
        return value if open_ else value + bits

    assert -terms(np.array([A, B, C]))[1].mean() > 0.01
    check(measured(host, (IWAE if multi else ELBO)(2, free_bits=bits)), loss, plain(multi))


@pytest.mark.parametrize("objective", [STL(2, beta=0.3), ELBO(2, beta=0.3)])
def test_the_value_of_tempered_bounds_is_that_of_any_gradient(host: str, objective: Any) -> None:
    data, divergence = terms(np.array([A, B, C]))
    got = measured(host, objective)
    assert got.loss == pytest.approx(-(data + 0.3 * divergence).mean(), abs=TOLERANCE)


# Draws that are held constant although they could carry gradients.


def grid() -> tuple[np.ndarray, np.ndarray]:
    nodes = np.linspace(-9, 9, 361)
    return nodes[None], 0.05 * np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)


@pytest.mark.parametrize("objective", [ELBO(gradient="score"), ELBO(gradient=Score(-2.0))])
def test_the_score_function_of_gaussian_draws(host: str, objective: Any) -> None:
    """Integrated over the noise it is the gradient by the path."""
    noise, mass = grid()
    run, data = ppgm.program(Line(), host=host), {"x": np.full(noise.shape[1], X[0])}
    found, wanted = (
        probe(run, {}, data, o, noise={"z": noise}, scale=mass, total=1.0)
        for o in (objective, ELBO())
    )
    assert found.loss == pytest.approx(wanted.loss, abs=TOLERANCE)
    for name, value in wanted.grads.items():
        np.testing.assert_allclose(found.grads[name], value, atol=1e-8, err_msg=name)


def test_the_wake_phase_of_gaussian_draws(host: str) -> None:
    """Both sides at constant draws, weighted by their normalised weights."""
    log_w = sum(terms(np.array([A, B, C])))
    share = naive.normalised(log_w, alpha=0.0)
    z = B * X + np.exp(C) * NOISE

    def climbs(v: np.ndarray) -> float:
        a, b, c = v
        log_p = -0.5 * ((X - a * z) / 0.5) ** 2
        log_q = -0.5 * ((z - b * X) / np.exp(c)) ** 2 - c
        return -float((share * (log_p + log_q)).sum(0).mean())

    got = measured(host, RWS(2))
    assert got.loss == pytest.approx(-naive.iwae(log_w).mean(), abs=TOLERANCE)
    wanted = differences.gradient(climbs, np.array([A, B, C]))
    np.testing.assert_allclose([got.grads[n] for n in "abc"], wanted, atol=1e-8)


def test_the_thermodynamic_objective_of_gaussian_draws(host: str) -> None:
    got = measured(host, ThermodynamicELBO(2, partitions=1))
    assert got.loss == pytest.approx(-plain(multi=False), abs=TOLERANCE)


def test_a_sum_of_estimators_shares_its_draws(host: str) -> None:
    """Two bounds of one sum see the same particles, so that ELBO - ELBO is nothing."""
    both = measured(host, Sum(((1.0, ELBO(2)), (-1.0, ELBO(2, gradient="stl")))))
    assert both.loss == pytest.approx(0.0, abs=TOLERANCE)


# Tempered weights of constant draws.

TEMPERED = {"beta": 0.5, "site_weights": {"x": 2.5, "z": 0.4}}


def drawn(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tempered log weights, and log q, of draws that stay where they are, ``(K, N)``."""
    a, b, c = v
    z = B * X + np.exp(C) * NOISE
    log_q = -0.5 * ((z - b * X) / np.exp(c)) ** 2 - c - NORMAL
    data = -0.5 * ((X - a * z) / 0.5) ** 2 - np.log(0.5) - NORMAL
    return 2.5 * data + 0.2 * (-0.5 * z**2 - NORMAL - log_q), log_q


def test_tempered_wake_phases(host: str) -> None:
    """The model climbs the tempered bound, the guide falls towards the tempered posterior."""
    at = np.array([A, B, C])
    log_w, _ = drawn(at)
    share = naive.normalised(log_w, alpha=0.0)

    def climbs(v: np.ndarray) -> float:
        log_p = drawn(np.array([v[0], B, C]))[0]
        return -float((share * (log_p + drawn(v)[1])).sum(0).mean())

    got = measured(host, RWS(2, **TEMPERED))
    assert got.loss == pytest.approx(-naive.iwae(log_w).mean(), abs=TOLERANCE)
    assert got.metrics["bound"] == pytest.approx(plain(multi=True), abs=TOLERANCE)
    wanted = differences.gradient(climbs, at)
    np.testing.assert_allclose([got.grads[n] for n in "abc"], wanted, atol=1e-8)


def test_tempered_wake_sleep(host: str) -> None:
    at = np.array([A, B, C])
    got = measured(host, WakeSleep(2, **TEMPERED))
    assert got.loss == pytest.approx(-drawn(at)[0].mean(), abs=TOLERANCE)
    assert got.metrics["bound"] == pytest.approx(plain(multi=False), abs=TOLERANCE)
    wanted = differences.gradient(lambda v: -float(drawn(np.array([v[0], B, C]))[0].mean()), at)
    assert got.grads["a"] == pytest.approx(wanted[0], abs=1e-8)
    dreams = measured(host, WakeSleep(2))  # the guide learns from dreams, which nothing tempers
    for name in "bc":
        assert got.grads[name] == pytest.approx(dreams.grads[name], abs=TOLERANCE)


def test_a_tempered_thermodynamic_objective(host: str) -> None:
    """Each temperature's mean of the tempered weights, and its covariance with their path."""
    betas, at = (0.0, 0.3, 1.0), np.array([A, B, C])
    fixed, log_q = drawn(at)

    def surrogate(v: np.ndarray) -> float:
        log_w, now = drawn(v)
        total = np.zeros(len(X))
        for beta, after in ((0.0, 0.3), (0.3, 1.0)):
            share = np.exp(beta * fixed) / np.exp(beta * fixed).sum(0)
            centred = fixed - (share * fixed).sum(0)
            path = now + beta * log_w - (log_q + beta * fixed)
            total += (after - beta) * (share * (log_w + centred * path)).sum(0)
        return -float(total.mean())

    got = measured(host, ThermodynamicELBO(2, betas=betas[1:-1], **TEMPERED))
    assert got.loss == pytest.approx(surrogate(at), abs=TOLERANCE)
    assert got.metrics["bound"] == pytest.approx(
        -measured(host, ThermodynamicELBO(2, betas=betas[1:-1])).loss, abs=TOLERANCE
    )
    wanted = differences.gradient(surrogate, at)
    np.testing.assert_allclose([got.grads[n] for n in "abc"], wanted, atol=1e-8)


@pytest.mark.parametrize(("bits", "open_"), [(0.01, True), (50.0, False)])
def test_free_bits_of_constant_draws(host: str, bits: float, open_: bool) -> None:
    at = np.array([A, B, C])
    data, divergence = terms(at)
    log_w = data + divergence if open_ else data
    free = 0.0 if open_ else bits
    for objective, value in (
        (RWS(2, free_bits=bits), naive.iwae(log_w)),
        (WakeSleep(2, free_bits=bits), log_w.mean(0)),
        (ThermodynamicELBO(2, partitions=1, free_bits=bits), log_w.mean(0)),
    ):
        got = measured(host, objective)
        assert got.loss == pytest.approx(free - value.mean(), abs=TOLERANCE), objective


# What is refused.


def test_words_of_refusals(host: str) -> None:
    table = ppgm.program(Line(), host=host).sites({"x": X})
    with pytest.raises(EstimatorError, match="site_weights names 'y'.*did you mean 'x'|names 'y'"):
        ELBO(site_weights={"y": 1.0}).check(table)
    with pytest.raises(ArgumentError, match=r"site_weights\['x'\] must be a finite number"):
        ELBO(site_weights={"x": -1.0})
    with pytest.raises(ArgumentError, match="free_bits must be a number of at least 0"):
        ELBO(free_bits=-1)
    with pytest.raises(ArgumentError, match="gradient must be one of .* not 'dregg'.*'dreg'"):
        IWAE(gradient="dregg")
    with pytest.raises(EstimatorError, match=r"RLOO|leaves one of its draws out"):
        ELBO(1, gradient="rloo").check(table)
    with pytest.raises(ArgumentError, match="particles must be at least 2"):
        RLOO(1)
    with pytest.raises(ArgumentError, match="wake=0 and sleep=0"):
        RWS(wake=0.0)
    with pytest.raises(ArgumentError, match="defensive=0.1 weighs its draws against a mixture"):
        RWS(defensive=0.1, beta=0.5)
    with pytest.raises(EstimatorError, match="RWS: site_weights names 'y'"):
        RWS(site_weights={"y": 1.0}).check(table)
    with pytest.raises(ArgumentError, match="betas must rise strictly"):
        ThermodynamicELBO(betas=(0.5, 0.2))
    with pytest.raises(EstimatorError, match="baselines have nothing to predict"):
        ELBO(gradient="nvil").check(table)
    DReG(2).check(table)
