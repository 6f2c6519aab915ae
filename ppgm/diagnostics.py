r"""How far a set of importance weights can be trusted.

All functions take log weights :math:`\log w_k = \log p(x, z_k) - \log q(z_k)` of shape
``(K, *rows)``, larger meaning more important, and work on the first axis. (ArviZ 1.x's
``psislw`` expects the opposite sign, ArviZ 0.23's this one.) All are exact under a common
shift of the log weights and safe in the range of the exponential.

The distribution of :math:`w` above a high threshold is close to a generalised Pareto
distribution with shape :math:`k`; moments of order :math:`1/k` and more are infinite, so that
:math:`\hat k` says how an average of `w` converges: below 0.5 with a finite variance, up to
0.7 usable after smoothing, above that not at any number of draws that one can afford. Few draws
support less: see `good_k`.

References:
    Pareto Smoothed Importance Sampling (Vehtari, Simpson, Gelman, Yao & Gabry, 2024),
    arXiv:1507.02646.
    A New and Efficient Estimation Method for the Generalized Pareto Distribution (Zhang &
    Stephens, 2009), https://doi.org/10.1198/tech.2009.08017
    Yes, but Did It Work?: Evaluating Variational Inference (Yao, Vehtari, Simpson & Gelman,
    2018), arXiv:1802.02538.
"""

__all__ = ["LogMeanExp", "ess", "good_k", "limit", "log_mean_exp", "pareto_k", "psis"]

from typing import NamedTuple

import numpy as np

from ppgm.errors import ArgumentError

FEWEST = 25
"""Fewest draws from which a tail is fitted: a fifth of them, five, are in the tail."""


class LogMeanExp(NamedTuple):
    """Log of an average of weights.

    Attributes:
        value: The log of the mean weight, ``(*rows)``.
        standard_error: Its standard error by the delta method, ``(*rows)``; NaN for one draw
            and where all weights are zero.
    """

    value: np.ndarray
    standard_error: np.ndarray


class _Tail(NamedTuple):
    """The tail of each row, with the draws flattened to ``(K, R)`` and sorted.

    Attributes:
        order: Indices that sort the draws, ``(K, R)``.
        log_w: Sorted log weights less their maximum, ``(K, R)``.
        cutoff: The largest log weight below the tail, ``(R,)``.
        excess: Weight above the cutoff, as a fraction of the largest, ``(M, R)``.
        size: Number of draws that are truly above the cutoff (fewer than M with ties), ``(R,)``.
    """

    order: np.ndarray
    log_w: np.ndarray
    cutoff: np.ndarray
    excess: np.ndarray
    size: np.ndarray


def good_k(draws: int) -> float:
    r"""Returns the largest :math:`\hat k` that so many draws support.

    .. math:: \min(1 - 1 / \log_{10} S, 0.7)

    which is 0.5 at 100 draws, 0.67 at 1,000 and 0.7 from 2,155 (Vehtari et al., 2024).
    """
    return min(1.0 - 1.0 / np.log10(draws), 0.7)


def limit(draws: int) -> str:
    """Returns `good_k` in words; it grows with the number of draws."""
    return f"{good_k(draws):.2f}, the limit for {draws} draws,"


def pareto_k(log_weights: np.ndarray) -> np.ndarray:
    r"""Returns the shape :math:`\hat k` of the right tail of the weights, ``(*rows)``.

    Weights without a tail (all equal, as with an exact posterior guide; or more than a fifth of
    them at the maximum) give 0, the largest `k` at which all moments are finite. Weights of
    which fewer than five stand out from the rest give infinity: nothing can be fitted, and the
    few decide everything. So do weights that are all zero.

    Args:
        log_weights: :math:`\log p(x, z) - \log q(z)`, ``(K, *rows)`` with K >= 25.

    Raises:
        ArgumentError: With fewer than 25 draws, or NaN or +inf among the log weights.
    """
    log_w = _checked(log_weights, FEWEST)
    k, _ = _fit(_tail(log_w), _roundoff(log_weights))
    return k.reshape(log_w.shape[1:])


def psis(log_weights: np.ndarray) -> np.ndarray:
    """Returns Pareto smoothed log weights that sum to one over the draws, ``(K, *rows)``.

    The weights of the tail are replaced by the quantiles of the fitted distribution, at most
    the largest weight. Rows without a fit (see `pareto_k`) are normalised only; a row of zero
    weights stays so.

    Args:
        log_weights: As for `pareto_k`.
    """
    log_w = _checked(log_weights, FEWEST)
    tail = _tail(log_w)
    smooth = _smooth(tail, *_fit(tail, _roundoff(log_weights)))
    out = np.empty_like(smooth)
    np.put_along_axis(out, tail.order, smooth, axis=0)
    return _normalised(out).reshape(log_w.shape)


def ess(log_weights: np.ndarray) -> np.ndarray:
    r"""Returns the effective sample size :math:`(\sum_k w_k)^2 / \sum_k w_k^2`, ``(*rows)``.

    It lies between 1 and K, and is 0 where all weights are zero. It says nothing about
    regions that no draw has reached: read it together with `pareto_k`.
    """
    w = np.exp(_shifted(_checked(log_weights, 1))[0])
    square = np.sum(w * w, axis=0)
    return np.sum(w, axis=0) ** 2 / np.where(square > 0, square, 1.0)


def log_mean_exp(log_weights: np.ndarray) -> LogMeanExp:
    r"""Returns :math:`\log \frac1K \sum_k w_k` with its standard error, each ``(*rows)``.

    The standard error is that of the mean weight divided by the mean weight. Both are only
    as good as `pareto_k` says.
    """
    log_w, peak = _shifted(_checked(log_weights, 1))
    w = np.exp(log_w)
    mean = np.mean(w, axis=0)
    with np.errstate(divide="ignore"):
        value = np.log(mean) + peak
    return LogMeanExp(value, _relative_error(w, mean))


def _relative_error(w: np.ndarray, mean: np.ndarray) -> np.ndarray:
    if len(w) == 1:
        return np.full_like(mean, np.nan)
    error = np.std(w, axis=0, ddof=1) / np.sqrt(len(w))
    return np.divide(error, mean, out=np.full_like(mean, np.nan), where=mean > 0)


def _checked(log_weights: np.ndarray, fewest: int) -> np.ndarray:
    log_w = np.asarray(log_weights, dtype=np.float64)
    draws = log_w.shape[0] if log_w.ndim else 0
    if draws < fewest:
        raise ArgumentError(
            f"log_weights must have at least {fewest} draws on the first axis, not {draws} "
            f"(shape {log_w.shape}): draw more particles"
        )
    bad = int(np.sum(np.isnan(log_w) | np.isposinf(log_w)))
    if bad:
        raise ArgumentError(
            f"log_weights must be below +inf and not NaN, but {bad} of {log_w.size} are not: "
            "look for a site whose log density is not finite"
        )
    return log_w


def _roundoff(log_weights: np.ndarray) -> float:
    """Differences of log weights below this are noise of the arithmetic that made them.

    They are differences of sums as large as they are, of many terms each.
    """
    array = np.asarray(log_weights)
    eps = float(np.finfo(array.dtype if array.dtype.kind == "f" else float).eps)
    size = float(np.abs(array[np.isfinite(array)]).max(initial=0.0))
    return max(eps**0.5, 16 * eps * size)


def _shifted(log_w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    peak = np.max(log_w, axis=0)
    finite = np.where(np.isfinite(peak), peak, 0.0)  # all zero: -inf less -inf would be NaN
    return log_w - finite, finite


def _normalised(log_w: np.ndarray) -> np.ndarray:
    log_w, _ = _shifted(log_w)
    total = np.sum(np.exp(log_w), axis=0)
    return log_w - np.log(np.where(total > 0, total, 1.0))


def _tail(log_w: np.ndarray) -> _Tail:
    flat, _ = _shifted(log_w.reshape(len(log_w), -1))
    order = np.argsort(flat, axis=0, kind="stable")
    ordered = np.take_along_axis(flat, order, axis=0)
    draws = len(flat)
    M = int(np.ceil(min(draws / 5, 3 * np.sqrt(draws))))
    cutoff = np.maximum(ordered[-M - 1], np.log(np.finfo(np.float64).tiny))
    above = ordered[-M:] - cutoff
    # expm1 keeps the digits of exceedances that are small against the cutoff.
    excess = np.expm1(np.maximum(above, 0.0))
    peak = excess[-1]
    return _Tail(
        order, ordered, cutoff, excess / np.where(peak > 0, peak, 1.0), (above > 0).sum(0)
    )


def _fit(tail: _Tail, roundoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns shape and scale of the generalised Pareto distribution by row, ``(R,)`` each."""
    enough = tail.size >= 5
    k, sigma = _zhang_stephens(np.where(enough, tail.excess, 1.0), tail.size)
    spread = tail.log_w[-1] - tail.cutoff
    flat = np.isfinite(tail.log_w[-1]) & (spread <= roundoff)
    return np.where(flat, 0.0, np.where(enough, k, np.inf)), sigma


def _zhang_stephens(x: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Fits a generalised Pareto distribution to the last `n` of the sorted `x` of each column.

    With :math:`b = -k/\sigma`, the likelihood profiled over `k` is averaged over a grid of `b`
    (Zhang & Stephens, 2009). The mean of `k` is drawn towards 0.5 with the weight of ten draws
    (Vehtari et al., 2024, appendix C). The largest `x` of a column is one.

    Args:
        x: ``(M, R)``, zero except for the last `n` of each column.
        n: ``(R,)``.
    """
    count = np.maximum(n, 1)
    quartile = np.take_along_axis(x, (len(x) - count + (count / 4 + 0.5).astype(int) - 1)[None], 0)
    quartile = np.maximum(quartile[0], 1e-300)  # its inverse times a knot must not overflow
    m = 30 + int(np.sqrt(len(x)))
    knots = 1 - np.sqrt(m / (np.arange(m) + 0.5))

    def profile(b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k = np.log1p(-b * x).sum(axis=0) / count  # the zeros of ties add nothing
        return k, np.divide(-k, b, out=x.sum(axis=0) / count, where=b != 0)

    def log_likelihood(b: np.ndarray) -> np.ndarray:
        k, sigma = profile(b)
        return -count * (np.log(np.maximum(sigma, np.finfo(np.float64).tiny)) + k + 1)

    # One pass per knot keeps the memory at (M, R) instead of (m, M, R).
    grid = 1 + knots[:, None] / (3 * quartile)
    log_weight = np.stack([log_likelihood(b) for b in grid])
    weight = np.exp(log_weight - log_weight.max(axis=0))
    b = np.sum(grid * weight, axis=0) / np.sum(weight, axis=0)

    k, sigma = profile(b)
    return (count * k + 10 * 0.5) / (count + 10), sigma


def _smooth(tail: _Tail, k: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Returns the sorted log weights ``(K, R)`` with the tails replaced by fitted quantiles."""
    M, rank = len(tail.excess), np.arange(len(tail.excess))[:, None]
    place = rank - (M - tail.size)  # 0 for the smallest draw of the tail
    fitted = (place >= 0) & (tail.size >= 5) & np.isfinite(k) & (tail.log_w[-1] > tail.cutoff)
    p = np.where(fitted, (place + 0.5) / np.maximum(tail.size, 1), 0.5)
    safe = np.where(np.isfinite(k) & (k != 0), k, 1.0)
    quantile = np.where(k == 0, -np.log1p(-p), np.expm1(-safe * np.log1p(-p)) / safe) * sigma
    peak = -np.expm1(tail.cutoff)  # undoes the division by the largest exceedance
    smooth = np.log(np.exp(tail.cutoff) + np.maximum(quantile * peak, 0.0))
    out = tail.log_w.copy()
    out[-M:] = np.where(fitted, np.minimum(smooth, 0.0), out[-M:])
    return out
