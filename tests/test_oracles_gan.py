"""Adversarial training: the value of the game by quadrature, and whose gradient is whose.

Two Gaussians of one variance have a linear log ratio, so a linear critic can be exactly the best.
Gauss-Hermite nodes stand for the draws of both sides, each row with its weight.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.host import load
from ppgm.inference import GAN
from ppgm.models import Generator
from ppgm.nets import MLP
from ppgm.probes import Probe, probe
from ppgm.testing import cubature, differences, jsd
from ppgm.testing.densities import normal

REAL, FAKE, SCALE = 0.7, -0.4, 1.3
NODES, MASS = cubature.gauss_hermite(1, 100)
BEST = np.array([(REAL - FAKE) / SCALE**2, (FAKE**2 - REAL**2) / (2 * SCALE**2)])
LIMITS = {"lower": -15.0, "upper": 15.0}
CRITIC = {"critic.layers.0.weight", "critic.layers.0.bias"}

pytestmark = pytest.mark.usefixtures("f64")


@dataclass(frozen=True)
class Nodes:
    """An implicit Gaussian whose noise comes with the data."""

    def model(self, ppl: Any, x: Any = None, e: Any = None) -> None:
        loc = ppl.param("loc", np.zeros(1))
        with ppl.plate("data", x):
            z = ppl.sample("z", ppl.distributions.Normal(ppl.np.zeros(1), 1.0).to_event(1))
            ppl.deterministic("x", loc + SCALE * e + 0 * z)


def game(
    host: str, player: str, loss: str = "minimax", critic: np.ndarray = BEST, fake: float = FAKE,
    real: float = REAL,
) -> Probe:  # fmt: skip
    """One evaluation of the game at a linear critic (slope, offset)."""
    params = {
        "loc": np.array([fake]),
        "critic.layers.0.weight": critic[:1, None],
        "critic.layers.0.bias": critic[1:],
    }
    data = {"x": real + SCALE * NODES, "e": NODES}
    objective = GAN(loss=loss, critic=MLP(1, (), 1))
    run = ppgm.program(Nodes(), host=host)
    return probe(run, params, data, objective, player=player, scale=MASS, total=1)


def log_real(x: np.ndarray) -> np.ndarray:
    return normal(x, REAL, SCALE)


def log_fake(x: np.ndarray) -> np.ndarray:
    return normal(x, FAKE, SCALE)


def test_value_and_gradient_of_the_best_critic(host: str) -> None:
    got = game(host, "critic")
    wanted = jsd.gan_value_at_optimum(log_real, log_fake, **LIMITS)
    assert got.metrics["value"] == pytest.approx(wanted, abs=1e-9)
    assert wanted == pytest.approx(
        2 * jsd.jensen_shannon(log_real, log_fake, **LIMITS) - np.log(4), abs=1e-12
    )
    assert got.grads.keys() == CRITIC
    for grad in got.grads.values():
        np.testing.assert_allclose(grad, 0, atol=1e-9)


def test_swapping_real_and_fake_is_seen(host: str) -> None:
    swapped = game(host, "critic", fake=REAL, real=FAKE)
    assert swapped.metrics["value"] < game(host, "critic").metrics["value"] - 0.1
    assert max(np.abs(g).max() for g in swapped.grads.values()) > 0.1


def test_the_gradient_of_any_critic(host: str) -> None:
    critic = np.array([-0.3, 0.5])

    def value(c: np.ndarray) -> float:
        return jsd.gan_value(lambda x: c[0] * x + c[1], log_real, log_fake, **LIMITS)

    got = game(host, "critic", critic=critic)
    slope, offset = differences.gradient(value, critic)
    assert got.loss == pytest.approx(-value(critic), abs=1e-9)
    np.testing.assert_allclose(got.grads["critic.layers.0.weight"], [[-slope]], atol=1e-8)
    np.testing.assert_allclose(got.grads["critic.layers.0.bias"], [-offset], atol=1e-8)


@pytest.mark.parametrize("loss", ["minimax", "non-saturating"])
def test_the_generator_moves_itself_only(host: str, loss: str) -> None:
    """At a fixed critic its gradient is that of its own expectation."""
    got = game(host, "generator", loss)
    points, weights = jsd.quadrature(**LIMITS)

    def expected(loc: np.ndarray) -> float:
        logits = BEST[0] * points + BEST[1]
        right = np.logaddexp(0, -logits) if loss == "non-saturating" else -np.logaddexp(0, logits)
        return float(weights @ (np.exp(normal(points, loc[0], SCALE)) * right))

    assert got.grads.keys() == {"loc"}
    assert got.loss == pytest.approx(expected(np.array([FAKE])), abs=1e-9)
    wanted = differences.gradient(expected, np.array([FAKE]))
    np.testing.assert_allclose(got.grads["loc"], wanted, atol=1e-8)
    assert wanted[0] < 0  # towards the data


def test_the_players_of_a_network_own_what_they_declare(host: str) -> None:
    x = np.random.default_rng(0).normal(size=(4, 2))
    run = ppgm.program(Generator(2, hidden=(3,)), host=host)
    objective = GAN(critic=MLP(2, (3,), 1, activation="tanh"))
    params = load(host).initial(run, {"x": x})
    names = {}
    for player in ("critic", "generator"):
        got = probe(run, params, {"x": x}, objective, player=player)
        names[player] = got.grads.keys()
        assert all(np.abs(g).max() > 0 for g in got.grads.values())
    assert names["generator"] == params.keys()
    assert {n.split(".")[0] for n in names["critic"]} == {"critic"}


def test_a_sum_over_minibatches_of_the_game(host: str) -> None:
    """Rows of three batches, each scaled by their number, average to the whole value."""
    whole, total = game(host, "critic", critic=np.array([0.2, 0.1])), 0.0
    params = {
        "loc": np.array([FAKE]),
        "critic.layers.0.weight": np.array([[0.2]]),
        "critic.layers.0.bias": np.array([0.1]),
    }
    for part in (slice(0, 40), slice(40, 80), slice(80, 100)):
        data = {"x": REAL + SCALE * NODES[part], "e": NODES[part]}
        got = probe(
            ppgm.program(Nodes(), host=host), params, data, GAN(critic=MLP(1, (), 1)),
            scale=3 * MASS[part], total=1,
        )  # fmt: skip
        total += got.loss / 3
    assert total == pytest.approx(whole.loss, abs=1e-12)
