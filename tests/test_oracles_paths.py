"""Estimators for reparameterised draws, and for relaxed and antithetic bits: exact checks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.errors import EstimatorError
from ppgm.inference import (
    ARM,
    CUBO,
    ELBO,
    IWAE,
    STL,
    Antithetic,
    DisARM,
    DReG,
    Gumbel,
    Renyi,
)
from ppgm.models import SBN
from ppgm.probes import probe
from ppgm.testing import differences
from ppgm.testing import weights as naive
from tests.test_oracles_sbn import Mixed

TOLERANCE = 1e-9

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")


@dataclass(frozen=True)
class Line:
    """z ~ N(0, 1), x | z ~ N(a z, 0.5); q(z | x) = N(b x, exp(c))."""

    broadcasts = True
    slope: float = 0.4
    log_scale: float = -0.3

    def model(self, ppl: Any, x: Any = None) -> None:
        a = ppl.param("a", np.array(0.9))
        with ppl.plate("data", x):
            z = ppl.sample("z", ppl.distributions.Normal(ppl.np.zeros(()), 1.0))
            ppl.sample("x", ppl.distributions.Normal(a * z, 0.5), obs=x)

    def guide(self, ppl: Any, x: Any) -> None:
        b, c = (
            ppl.param("b", np.array(self.slope)),
            ppl.param("c", np.array(self.log_scale)),
        )
        with ppl.plate("data", x):
            ppl.sample("z", ppl.distributions.Normal(b * x, ppl.np.exp(c)))


X = np.array([0.7, -1.2])
NORMAL = 0.5 * np.log(2 * np.pi)


def log_weights(a: float, b: float, c: float, z: np.ndarray, q: Any = None) -> np.ndarray:
    """log p(x, z) - log q(z | x), with the density of q at other parameters if they are given."""
    b2, c2 = (b, c) if q is None else q
    log_p = -0.5 * z**2 - 0.5 * ((X - a * z) / 0.5) ** 2 - np.log(0.5) - 2 * NORMAL
    return log_p - (-0.5 * ((z - b2 * X) / np.exp(c2)) ** 2 - c2 - NORMAL)


def by_hand(alpha: float, noise: np.ndarray, kind: str) -> dict[str, float]:
    """The estimator of one set of draws, by differences in each of its ways."""
    a, b, c = 0.9, 0.4, -0.3
    z = b * X + np.exp(c) * noise
    log_w = log_weights(a, b, c, z)
    share = naive.normalised(log_w, alpha=alpha) if alpha != 1 else np.ones_like(log_w) / len(z)
    coefficient = share if kind == "stl" else alpha * share + (1 - alpha) * share**2

    def of_model(v: np.ndarray) -> float:
        return float((share * log_weights(v[0], b, c, z)).sum(0).mean())

    def of_draws(v: np.ndarray) -> float:
        moved = v[0] * X + np.exp(v[1]) * noise
        return float((coefficient * log_weights(a, b, c, moved, q=(b, c))).sum(0).mean())

    model = differences.gradient(of_model, np.array([a]))
    guide = differences.gradient(of_draws, np.array([b, c]))
    return {"a": -model[0], "b": -guide[0], "c": -guide[1]}


PATHS = {
    "dreg": (DReG(3), 0.0, "dreg"),
    "iwae by dreg": (IWAE(3, gradient="dreg"), 0.0, "dreg"),
    "iwae by stl": (IWAE(3, gradient="stl"), 0.0, "stl"),
    "renyi 1/2 by dreg": (Renyi(0.5, 3, gradient="dreg"), 0.5, "dreg"),
    "renyi -1 by dreg": (Renyi(-1.0, 3, gradient="dreg"), -1.0, "dreg"),
    "elbo by dreg": (ELBO(3, gradient="dreg"), 1.0, "dreg"),
    "stl": (STL(3), 1.0, "stl"),
}


@pytest.mark.parametrize("estimator", PATHS)
def test_estimates_of_one_set_of_draws(host: str, estimator: str) -> None:
    objective, alpha, kind = PATHS[estimator]
    noise = np.array([[0.3, -1.1], [1.4, 0.2], [-0.6, 0.9]])
    run = ppgm.program(Line(), host=host)
    got = probe(run, {}, {"x": X}, objective, noise={"z": noise})
    wanted = by_hand(alpha, noise, kind)
    for name, value in wanted.items():
        np.testing.assert_allclose(got.grads[name], value, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("alpha", [0.0, 0.5, -1.0])
def test_dreg_has_the_mean_of_the_plain_gradient(host: str, alpha: float) -> None:
    """Both integrated over the noise of two draws on a grid, whose points are rows.

    The trapezoid rule is exact to rounding for such functions, Gauss-Hermite is not: the bound
    turns sharply where one weight overtakes the other.
    """
    nodes = np.linspace(-8, 8, 161)
    noise = np.stack([g.ravel() for g in np.meshgrid(nodes, nodes)])
    mass = 0.1**2 * np.exp(-(noise**2).sum(0) / 2) / (2 * np.pi)
    run, data = ppgm.program(Line(), host=host), {"x": np.full(noise.shape[1], X[0])}
    plain, twice = (
        probe(run, {}, data, Renyi(alpha, 2, gradient=g) if alpha else IWAE(2, gradient=g),
              noise={"z": noise}, scale=mass, total=1.0)
        for g in ("path", "dreg")
    )  # fmt: skip
    for name, value in plain.grads.items():
        np.testing.assert_allclose(twice.grads[name], value, rtol=1e-6, atol=1e-7, err_msg=name)
    biased = probe(run, {}, data, IWAE(2, gradient="stl"), noise={"z": noise}, scale=mass, total=1)
    if alpha == 0:  # the bias is real: an STL that were unbiased would not be itself
        assert abs(biased.grads["b"] - plain.grads["b"]) > 1e-3


@pytest.mark.parametrize(
    "objective", [DReG(4), STL(2), IWAE(4, gradient="stl"), CUBO(2.0, 4, gradient="dreg")]
)
def test_no_gradient_of_the_guide_at_the_posterior(host: str, objective: Any) -> None:
    """Every draw has the same weight, p(x), whatever the estimator; and none moves the guide."""
    run, precision = ppgm.program(Line(), host=host), 1 + 0.9**2 / 0.25
    posterior = {"b": np.array(0.9 / 0.25 / precision), "c": np.array(-np.log(precision) / 2)}
    got = probe(run, posterior, {"x": X}, objective, seed=3)
    evidence = -0.5 * X**2 / (0.25 + 0.9**2) - 0.5 * np.log(0.25 + 0.9**2) - NORMAL
    assert got.metrics["bound"] == pytest.approx(evidence.mean(), abs=TOLERANCE)
    for name in ("b", "c"):
        np.testing.assert_allclose(got.grads[name], 0, atol=TOLERANCE, err_msg=name)


def test_dreg_refuses_tempered_weights(host: str) -> None:
    run = ppgm.program(Line(), host=host)
    with pytest.raises(EstimatorError, match=r"IWAE\(gradient='dreg'\).*beta other than 1"):
        IWAE(3, gradient="dreg", beta=0.5).check(run.sites({"x": X}))
    ELBO(3, gradient="stl", beta=0.5).check(run.sites({"x": X}))


# Antithetic bits.

NET = SBN(3, (2,))


def fixed_noise(monkeypatch: pytest.MonkeyPatch, host: str, noise: np.ndarray) -> None:
    """Gives every request for uniform noise the same numbers."""
    if host == "pyro":
        from ppgm.host_pyro_ppl import TorchRng as Rng
    else:
        from ppgm.host_numpyro_keys import JaxRng as Rng

    def uniform(self: Any, shape: tuple[int, ...]) -> Any:
        if host == "pyro":
            import torch

            return torch.as_tensor(noise).reshape(shape)
        import jax.numpy as jnp

        return jnp.asarray(noise).reshape(shape)

    monkeypatch.setattr(Rng, "uniform", uniform)


def net_parameters(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "prior": rng.normal(size=2),
        "decoder1.layers.0.weight": rng.normal(size=(3, 2)),
        "decoder1.layers.0.bias": rng.normal(size=3),
        "encoder1.layers.0.weight": rng.normal(size=(2, 3)),
        "encoder1.layers.0.bias": rng.normal(size=2),
    }


@pytest.mark.parametrize("objective", [DisARM(2), ARM(2), ELBO(2, gradient="disarm")])
def test_expected_gradient_of_antithetic_bits(
    host: str, objective: Any, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """The noise is integrated exactly: between its thresholds the estimate is linear in it."""
    from ppgm.testing import sbn

    params, x = net_parameters(rng), np.array([[1.0, 0.0, 1.0]])
    logits = (x @ params["encoder1.layers.0.weight"].T + params["encoder1.layers.0.bias"])[0]
    p = 1 / (1 + np.exp(-logits))
    nodes, masses = [], []
    for one in p:
        cuts = [0.0, *sorted((one, 1 - one)), 1.0]
        nodes.append([(a + b) / 2 for a, b in zip(cuts, cuts[1:], strict=False)])
        masses.append([b - a for a, b in zip(cuts, cuts[1:], strict=False)])
    noise = np.stack([g.ravel() for g in np.meshgrid(*nodes)], -1)
    mass = np.prod([g.ravel() for g in np.meshgrid(*masses)], axis=0)
    fixed_noise(monkeypatch, host, noise)
    run = ppgm.program(NET, host=host)
    got = probe(run, params, {"x": np.repeat(x, len(mass), 0)}, objective, scale=mass, total=1.0)
    network, guide = NET.exact_model(params), NET.exact_guide(params)
    assert got.metrics["bound"] == pytest.approx(sbn.elbo(x, network, guide).mean(), abs=TOLERANCE)
    wanted = sbn.bound_gradients(x, network, guide, 1)[1].layers[0]
    np.testing.assert_allclose(got.grads["encoder1.layers.0.weight"], -wanted[0], atol=TOLERANCE)
    np.testing.assert_allclose(got.grads["encoder1.layers.0.bias"], -wanted[1], atol=TOLERANCE)


def test_disarm_is_arm_without_its_noise(host: str, rng: np.random.Generator) -> None:
    """DisARM's coefficient is the mean of ARM's over the noise that gives the same pair."""
    from ppgm.inference.disarm import draw_pair, pair_coefficients

    logit = np.array([0.8])
    grid = np.linspace(0, 1, 200001)[1:-1]
    pair = np.stack(draw_pair(np.broadcast_to(logit, grid.shape), grid))
    arm = pair_coefficients(logit, grid, "arm")
    for both in np.unique(pair, axis=1).T:
        here = (pair == both[:, None]).all(0)
        if both[0] != both[1]:  # where they are equal the difference of their weights is zero
            wanted = pair_coefficients(logit, grid[here][:1], "disarm")
            np.testing.assert_allclose(arm[here].mean(), wanted[0], atol=1e-5)


def test_bits_that_depend_on_another_draw_are_refused(host: str) -> None:
    """Both of a pair would have the logits of one draw, and their weights those of two."""
    run = ppgm.program(Mixed(), host=host)
    with pytest.raises(EstimatorError, match="'h' of the guide is drawn given site 'z'"):
        ppgm.fit(run, {"x": np.array([0.1, 0.4])}, DisARM(), steps=1, progress=False)
    with pytest.raises(EstimatorError, match="not known of this table"):
        DisARM().check(run.sites({"x": np.array([0.1, 0.4])}))


def test_antithetic_bits_of_two_layers_are_refused(host: str) -> None:
    run, data = ppgm.program(SBN(3, (2, 1)), host=host), {"x": np.zeros((2, 3))}
    with pytest.raises(EstimatorError, match="'h2' of the guide is drawn given site 'h1'"):
        ppgm.fit(run, data, DisARM(), steps=1, progress=False)
    with pytest.raises(EstimatorError, match="even number of draws"):
        ppgm.fit(
            ppgm.program(NET, host=host), data, ELBO(3, gradient=Antithetic()), steps=1,
            progress=False,
        )  # fmt: skip


# Relaxed bits.


@dataclass(frozen=True)
class Coin:
    """h ~ B(1/2), x | h ~ N(h, 1); q(h) = B(sigmoid(l))."""

    broadcasts = True

    def model(self, ppl: Any, x: Any = None) -> None:
        with ppl.plate("data", x):
            h = ppl.sample("h", ppl.distributions.Bernoulli(logits=ppl.np.zeros(())))
            ppl.sample("x", ppl.distributions.Normal(ppl.ops.float(h), 1.0), obs=x)

    def guide(self, ppl: Any, x: Any) -> None:
        logit = ppl.param("logit", np.array(0.6))
        with ppl.plate("data", x):
            ppl.sample("h", ppl.distributions.Bernoulli(logits=logit + 0 * x))


def relaxed_bound(logit: float, u: np.ndarray, x: float, temperature: float) -> np.ndarray:
    h = 1 / (1 + np.exp(-(logit + np.log(u) - np.log1p(-u)) / temperature))
    log_p = -np.log(2) - 0.5 * (x - h) ** 2 - NORMAL
    return log_p - (h * logit - np.logaddexp(0, logit))


def test_the_relaxed_gradient_is_that_of_the_relaxed_bound(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bias is known exactly: the mean over the noise of the relaxed bound's derivative."""
    nodes, masses = np.polynomial.legendre.leggauss(60)
    u, mass = (nodes + 1) / 2, masses / 2
    fixed_noise(monkeypatch, host, u)
    run, data = ppgm.program(Coin(), host=host), {"x": np.full(len(u), 0.3)}
    objective = ELBO(gradient=Gumbel(temperature=0.7))
    got = probe(run, {}, data, objective, scale=mass, total=1.0, seed=5)
    wanted = differences.gradient(
        lambda v: -float((mass * relaxed_bound(v[0], u, 0.3, 0.7)).sum()), np.array([0.6])
    )
    np.testing.assert_allclose(got.grads["logit"], wanted[0], atol=1e-8)


def test_the_straight_through_value_is_exact_and_its_derivative_relaxed(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    u = np.array([0.1, 0.35, 0.36, 0.9])
    fixed_noise(monkeypatch, host, u)
    run, x, temperature = ppgm.program(Coin(), host=host), 0.3, 0.7
    got = probe(run, {}, {"x": np.full(4, x)}, ELBO(gradient=Gumbel(temperature, hard=True)))
    y = 1 / (1 + np.exp(-(0.6 + np.log(u) - np.log1p(-u)) / temperature))
    h, p = (y > 0.5).astype(float), 1 / (1 + np.exp(-0.6))
    value = -np.log(2) - 0.5 * (x - h) ** 2 - NORMAL - (h * 0.6 - np.logaddexp(0, 0.6))
    assert got.loss == pytest.approx(-value.mean(), abs=TOLERANCE)
    assert got.metrics["bound"] == pytest.approx(value.mean(), abs=TOLERANCE)
    slope = y * (1 - y) / temperature
    wanted = (x - h - 0.6) * slope - (h - p)  # through the draw, and log q's own
    np.testing.assert_allclose(got.grads["logit"], -wanted.mean(), atol=TOLERANCE)


def test_relaxed_draws_do_not_pass_for_a_bound(host: str) -> None:
    """What is logged is the bound of exact draws, which are 0 or 1."""
    run = ppgm.program(Coin(), host=host)
    got = probe(run, {}, {"x": np.array([0.3])}, ELBO(gradient=Gumbel(0.7)), seed=2)
    h = np.array([0.0, 1.0])
    possible = -np.log(2) - 0.5 * (0.3 - h) ** 2 - NORMAL - (h * 0.6 - np.logaddexp(0, 0.6))
    assert np.isclose(got.metrics["bound"], possible, atol=TOLERANCE).any()
    assert not np.isclose(-got.loss, possible, atol=1e-3).any()


@dataclass(frozen=True)
class Die:
    """h uniform on three classes, x | h ~ N(h values, 1); q(h) = Cat(l); h is one-hot."""

    broadcasts = True

    def model(self, ppl: Any, x: Any = None) -> None:
        with ppl.plate("data", x):
            h = ppl.sample("h", ppl.distributions.OneHotCategorical(logits=ppl.np.zeros(3)))
            mean = (h * ppl.ops.float(ppl.np.asarray(SIDES))).sum(-1)
            ppl.sample("x", ppl.distributions.Normal(mean, 1.0), obs=x)

    def guide(self, ppl: Any, x: Any) -> None:
        logits = ppl.param("logits", np.array(LOGITS))
        with ppl.plate("data", x):
            spread = logits + 0 * x[..., None]
            ppl.sample("h", ppl.distributions.OneHotCategorical(logits=spread))


SIDES, LOGITS = [0.0, 1.0, 3.0], [0.6, -0.2, 0.1]


def test_relaxed_one_hot_draws_have_the_gradient_of_the_relaxed_bound(
    host: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    u, x, temperature = rng.random((7, 3)), rng.normal(size=7), 0.7
    fixed_noise(monkeypatch, host, u)

    def bound(logits: np.ndarray) -> float:
        raw = (logits - np.log(-np.log(u))) / temperature
        h = np.exp(raw - raw.max(-1, keepdims=True))
        h /= h.sum(-1, keepdims=True)
        log_q = h @ (logits - np.log(np.exp(logits).sum()))
        log_p = -np.log(3) * h.sum(-1) - 0.5 * (x - h @ np.array(SIDES)) ** 2 - NORMAL
        return float((log_p - log_q).mean())

    got = probe(ppgm.program(Die(), host=host), {}, {"x": x}, ELBO(gradient=Gumbel(temperature)))
    assert got.loss == pytest.approx(-bound(np.array(LOGITS)), abs=TOLERANCE)
    wanted = -differences.gradient(bound, np.array(LOGITS))
    np.testing.assert_allclose(got.grads["logits"], wanted, atol=1e-8)


def test_one_hot_draws_are_summed_over(host: str, rng: np.random.Generator) -> None:
    """The exact ELBO of three classes, and the same sites on both hosts."""
    run, x = ppgm.program(Die(), host=host), rng.normal(size=7)
    got = probe(run, {}, {"x": x}, ELBO(enumerate=("h",)))
    q = np.exp(LOGITS) / np.exp(LOGITS).sum()
    log_p = -np.log(3) - 0.5 * (x[:, None] - np.array(SIDES)) ** 2 - NORMAL
    assert got.loss == pytest.approx(-((log_p - np.log(q)) @ q).mean(), abs=TOLERANCE)
    (site,) = run.sites({"x": x}).select("guide", "latent")
    assert (site.distribution, site.support, site.enumerable) == ("OneHotCategorical", "onehot", 3)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_relaxed_one_hot_vectors(library: str, rng: np.random.Generator) -> None:
    from ppgm.relaxations import relaxed_one_hot

    pytest.importorskip(library)
    logits, u = rng.normal(size=(5, 3)), rng.random((5, 3))
    if library == "torch":
        import torch

        logits, u = torch.as_tensor(logits), torch.as_tensor(u)
    else:
        import jax.numpy as jnp

        logits, u = jnp.asarray(logits), jnp.asarray(u)
    soft = np.asarray(relaxed_one_hot(logits, u, 0.4))
    hard = np.asarray(relaxed_one_hot(logits, u, 0.4, hard=True))
    scores = np.asarray(logits) - np.log(-np.log(np.asarray(u)))
    np.testing.assert_allclose(soft, np.asarray(naive_softmax(scores / 0.4)), atol=TOLERANCE)
    np.testing.assert_array_equal(hard, np.eye(3)[scores.argmax(-1)])


def naive_softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)
