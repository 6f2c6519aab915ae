"""Diagnostics of importance weights against closed forms, quantiles and ArviZ."""

from importlib.metadata import version
from typing import Any

import numpy as np
import pytest

from ppgm.diagnostics import ess, good_k, log_mean_exp, pareto_k, psis
from ppgm.errors import ArgumentError

MAJOR = int(version("arviz").split(".")[0])


def pareto_quantiles(k: float, draws: int) -> np.ndarray:
    """Log of evenly spaced quantiles of a Pareto distribution: a tail of known shape."""
    return -k * np.log1p(-(np.arange(draws) + 0.5) / draws)


def arviz_psislw(log_w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ArviZ's smoothed weights and k-hat; 1.x takes log-likelihoods and so the other sign."""
    last = np.moveaxis(log_w, 0, -1).copy()
    if MAJOR < 1:
        from arviz import psislw

        smooth, k = psislw(last)
    else:
        from arviz_stats.base import array_stats

        smooth, k = array_stats.psislw(-last)
    return np.moveaxis(np.asarray(smooth), -1, 0), np.asarray(k)


@pytest.mark.parametrize("k", [0.2, 0.5, 0.7, 1.0, 1.5])
def test_pareto_k_recovers_a_known_tail(k: float) -> None:
    assert pareto_k(pareto_quantiles(k, 100_000)) == pytest.approx(k, abs=0.02)


def test_pareto_k_reads_the_right_tail() -> None:
    # The left tail of these log weights is heavy, the right one bounded: the sign matters.
    log_w = -pareto_quantiles(1.5, 2_000)
    assert pareto_k(log_w) < 0 < 1 < pareto_k(-log_w)


@pytest.mark.parametrize("draws", [30, 50, 200, 250, 2_000])
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_pareto_k_and_psis_agree_with_arviz(draws: int, scale: float) -> None:
    log_w = scale * np.random.default_rng(draws).standard_normal((draws, 3, 2)) - 1e3
    smooth, k = arviz_psislw(log_w)
    # Above 225 draws ArviZ 1.x takes a tail of another length, so only near agreement is due.
    same_tail = MAJOR < 1 or draws <= 225
    np.testing.assert_allclose(pareto_k(log_w), k, atol=1e-10 if same_tail else 0.1)
    if MAJOR < 1:
        np.testing.assert_allclose(psis(log_w), smooth, atol=1e-9)


def test_rows_do_not_mix_and_order_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    log_w = np.exp(rng.normal(size=(4, 3))) * rng.standard_normal((400, 4, 3))
    together = pareto_k(log_w)
    for i, j in np.ndindex(4, 3):
        assert together[i, j] == pytest.approx(float(pareto_k(log_w[:, i, j])), abs=1e-12)
    shuffled = rng.permuted(log_w, axis=0)
    np.testing.assert_allclose(pareto_k(shuffled), together, atol=1e-12)
    np.testing.assert_allclose(np.sort(psis(shuffled), 0), np.sort(psis(log_w), 0), atol=1e-12)


def test_psis_keeps_the_order_and_does_not_touch_its_input() -> None:
    log_w = 3 * np.random.default_rng(2).standard_normal((300, 2))
    before = log_w.copy()
    smooth = psis(log_w)
    np.testing.assert_array_equal(np.argsort(smooth, 0), np.argsort(log_w, 0))
    np.testing.assert_allclose(np.exp(smooth).sum(0), 1, rtol=1e-12)
    np.testing.assert_array_equal(log_w, before)
    bodies = np.sort(smooth, 0)[:200] - np.sort(log_w, 0)[:200]
    assert np.ptp(bodies, axis=0) == pytest.approx(0, abs=1e-12)  # only the tail is replaced


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("draws", [25, 1_000])
def test_an_exact_guide_is_called_good(draws: int, dtype: Any) -> None:
    constant = np.full((draws, 2), -1234.5, dtype)
    np.testing.assert_array_equal(pareto_k(constant), 0.0)
    np.testing.assert_allclose(psis(constant), -np.log(draws), rtol=1e-12)
    np.testing.assert_allclose(ess(constant), draws)
    rounded = constant.copy()
    rounded[:3] = np.nextafter(rounded[:3], np.asarray(0, dtype))  # roundoff is no tail
    np.testing.assert_array_equal(pareto_k(rounded), 0.0)


def test_a_few_dominant_draws_are_not_called_good() -> None:
    log_w = np.zeros((100, 1))
    log_w[:3] = 5.0
    assert pareto_k(log_w) == np.inf
    np.testing.assert_allclose(psis(log_w), log_w - np.log(97 + 3 * np.exp(5.0)), rtol=1e-12)


@pytest.mark.skipif(MAJOR >= 1, reason="ArviZ 1.x counts ties with the cutoff into the tail")
def test_ties_at_the_cutoff_leave_the_tail() -> None:
    log_w = np.sort(2 * np.random.default_rng(3).standard_normal(200))
    log_w[150:165] = log_w[165]
    smooth, k = arviz_psislw(log_w)
    assert pareto_k(log_w) == pytest.approx(float(k), abs=0.01)
    np.testing.assert_allclose(psis(log_w), smooth, atol=0.01)


def test_impossible_draws_weigh_nothing() -> None:
    rng = np.random.default_rng(4)
    log_w = rng.standard_normal((100, 2))
    log_w[::4] = -np.inf
    assert np.all(np.isfinite(pareto_k(log_w)))
    assert np.all(psis(log_w)[::4] == -np.inf)
    np.testing.assert_allclose(np.exp(psis(log_w)).sum(0), 1)

    nothing = np.full((100, 2), -np.inf)
    np.testing.assert_array_equal(pareto_k(nothing), np.inf)
    np.testing.assert_array_equal(ess(nothing), 0)
    np.testing.assert_array_equal(psis(nothing), -np.inf)
    np.testing.assert_array_equal(log_mean_exp(nothing).value, -np.inf)
    assert np.all(np.isnan(log_mean_exp(nothing).standard_error))


@pytest.mark.parametrize("shift", [0.0, -1e6, 1e6])
def test_extreme_weights_stay_in_range(shift: float) -> None:
    log_w = 500 * np.random.default_rng(5).standard_normal((1_000, 3)) + shift
    assert np.all(pareto_k(log_w) > 0.7)
    assert np.all(np.isfinite(psis(log_w)))
    assert np.all(ess(log_w) >= 1)
    assert np.all(np.isfinite(log_mean_exp(log_w).value))


def test_ess_is_the_number_of_equal_weights() -> None:
    log_w = np.array([[0.0, 0.0, 0.0], [0.0, -np.inf, np.log(3)], [0.0, -np.inf, -np.inf]])
    np.testing.assert_allclose(ess(log_w), [3, 1, 16 / 10])


def test_log_mean_exp_in_numbers() -> None:
    w = np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0]])
    value, error = log_mean_exp(np.log(w) + 5e3)
    np.testing.assert_allclose(value, 5e3 + np.log([3, 2]), rtol=1e-15)
    np.testing.assert_allclose(error, [2 / np.sqrt(3) / 3, 0], atol=1e-15)
    assert np.isnan(log_mean_exp(np.zeros((1,))).standard_error)


def test_standard_error_is_the_spread_over_repetitions() -> None:
    log_w = 0.5 * np.random.default_rng(6).standard_normal((500, 4_000))
    value, error = log_mean_exp(log_w)
    assert np.std(value) == pytest.approx(np.mean(error), rel=0.05)


def test_the_sample_size_sets_the_threshold() -> None:
    assert good_k(100) == pytest.approx(0.5)
    assert good_k(100_000) == 0.7


def test_what_cannot_be_diagnosed_is_refused() -> None:
    with pytest.raises(ArgumentError, match="at least 25 draws on the first axis, not 24"):
        pareto_k(np.zeros((24, 100)))
    with pytest.raises(ArgumentError, match="at least 25"):
        psis(np.zeros(24))
    with pytest.raises(ArgumentError, match="at least 1 draws"):
        ess(np.float64(0.0))  # type: ignore[arg-type]
    for bad in (np.nan, np.inf):
        log_w = np.zeros((30, 2))
        log_w[3, 1] = bad
        with pytest.raises(ArgumentError, match="1 of 60 are not"):
            pareto_k(log_w)


def test_no_rows_are_no_trouble() -> None:
    assert pareto_k(np.zeros((30, 0))).shape == (0,)
    assert psis(np.zeros((30, 0))).shape == (30, 0)


def test_single_precision_noise_of_long_sums_is_no_tail() -> None:
    """Log weights of an exact guide are equal but for the rounding of sums of their size."""
    rng = np.random.default_rng(0)
    log_w = np.full((200, 3), -2000.0) + 2e-4 * rng.normal(size=(200, 3))
    np.testing.assert_array_equal(pareto_k(log_w.astype(np.float32)), 0.0)
    assert (pareto_k(log_w) != 0).all()
