"""The chi-square bound against numbers worked out by other means."""

import math

import numpy as np
import pytest
from ppgm_example import ChiBound

from ppgm.errors import ArgumentError
from ppgm.terms import Weights
from ppgm.testing import weights as naive

LOG_W = np.log(np.array([[1.0, 2.0, 0.5], [3.0, 2.0, 0.1], [5.0, 2.0, 7.0]]))


def rows(log_w: np.ndarray, score: np.ndarray | None = None) -> np.ndarray:
    return np.asarray(ChiBound().rows(Weights(log_w, np.zeros_like(log_w), score=score)))


def test_hand_made_weights() -> None:
    # (1 + 9 + 25) / 3, (4 + 4 + 4) / 3, (0.25 + 0.01 + 49) / 3
    expected = [0.5 * math.log(mean) for mean in (35 / 3, 4.0, 49.26 / 3)]
    np.testing.assert_allclose(rows(LOG_W), expected, rtol=1e-12)


def test_is_the_renyi_bound_of_order_minus_one() -> None:
    np.testing.assert_allclose(rows(LOG_W), naive.renyi(LOG_W, -1.0), rtol=1e-12)


def test_lies_above_the_lower_bounds_and_meets_them_at_equal_weights() -> None:
    upper = rows(LOG_W)
    assert (upper[[0, 2]] > naive.iwae(LOG_W)[[0, 2]] + 1e-3).all()
    assert upper[1] == pytest.approx(math.log(2.0), abs=1e-12)
    assert naive.elbo(LOG_W)[1] == pytest.approx(upper[1], abs=1e-12)


def test_gaussian_closed_form() -> None:
    """Guide N(0, s^2) for the posterior N(0, 1): E_q[w^2] = p(x)^2 s^2 / sqrt(2 s^2 - 1)."""
    s, evidence = 1.5, 0.2
    nodes, masses = np.polynomial.hermite_e.hermegauss(80)
    masses = masses / masses.sum()
    log_w = math.log(evidence * s) - 0.5 * (s * nodes) ** 2 + 0.5 * nodes**2

    # A draw of mass m stands for m K equal draws: log w^2 grows by log(m K).
    weighted = log_w + 0.5 * np.log(masses * len(nodes))
    expected = 0.5 * math.log(evidence**2 * s**2 / math.sqrt(2 * s**2 - 1))
    assert rows(weighted[:, None])[0] == pytest.approx(expected, abs=1e-10)
    assert expected > math.log(evidence)


def test_score_term_leaves_the_value() -> None:
    np.testing.assert_allclose(rows(LOG_W, score=-LOG_W), rows(LOG_W), rtol=1e-15)


def test_trains_the_guide_only() -> None:
    assert [player.groups for player in ChiBound().players] == [("guide",)]


def test_refuses_no_particles() -> None:
    with pytest.raises(ArgumentError, match="particles must be at least 1, not 0"):
        ChiBound(particles=0)
