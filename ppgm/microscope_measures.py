r"""Norms of expected gradients and of their differences, from batches of draws, with errors.

With means :math:`\hat g_b` of batches of an estimator's draws and :math:`\hat r_c` of a
reference's, which share no draws, the squared bias

.. math::
    \lVert g - r \rVert^2 \approx U(\hat g, \hat g) - 2\, \bar g \cdot \bar r + U(\hat r, \hat r),
    \quad U(a, a) = \frac{\sum_{b \ne c} w_b w_c\, a_b \cdot a_c}{1 - \sum_b w_b^2}

has no bias of its own: no mean is multiplied by itself. Its error is the jackknife's over
batches, which sees whatever covariance the components of a gradient have, and its intervals are
those of Student's distribution, since batches are few. Where there is no bias the jackknife
errs on the side of caution: its variance is twice that of U.

References:
    | A Class of Statistics with Asymptotically Normal Distribution (Hoeffding, 1948)
    | https://doi.org/10.1214/aoms/1177730196
    | The Jackknife, the Bootstrap and Other Resampling Plans (Efron, 1982)
    | https://doi.org/10.1137/1.9781611970319
"""

__all__ = ["BATCHES", "Measured", "Moments", "batch_of", "measure", "moments", "squared_distance"]

from collections.abc import Mapping, Sequence
from math import floor, inf, nan, sqrt
from typing import NamedTuple

import numpy as np

BATCHES = 20
"""Largest number of batches of an estimator's draws."""

QUANTILES = (
    6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812,
    1.796, 1.782, 1.771, 1.761, 1.753, 1.746, 1.740, 1.734, 1.729,
)  # fmt: skip
"""95 % quantiles of Student's distribution by degrees of freedom, 1 to those of all batches."""

ROUNDING = 16
"""Relative error of a gradient without noise, in units of its floating-point type."""


class Moments(NamedTuple):
    """Moments of an estimator's draws.

    Attributes:
        means: Mean gradient of each batch of draws by parameter, ``(B, *shape)``.
        variance: Variance of one draw by parameter, elementwise, unbiased, ``(*shape)``.
        sizes: Number of draws of each batch, ``(B,)``.
        seconds: Seconds per draw, without compilation and first draws.
    """

    means: dict[str, np.ndarray]
    variance: dict[str, np.ndarray]
    sizes: np.ndarray
    seconds: float

    @property
    def draws(self) -> int:
        """Number of draws."""
        return int(self.sizes.sum())

    @property
    def exact(self) -> bool:
        """Whether all draws are the same."""
        return not any(v.any() for v in self.variance.values())


class Measured(NamedTuple):
    """What is known of one group of parameters.

    Attributes:
        bias: Norm of the difference from the reference; NaN without one, like the next three.
        bias_error: Its standard error; of a bias that is not clear of zero, the root of that of
            its square.
        bias_low: Least bias that the draws allow, with a confidence of 95 %; 0 where there may
            be none.
        bias_high: Largest bias that they allow, likewise.
        variance: Trace of the covariance of one draw.
        norm: Norm of the expected gradient.
        snr: Norm divided by the root of the variance.
    """

    bias: float
    bias_error: float
    bias_low: float
    bias_high: float
    variance: float
    norm: float
    snr: float


def batch_of(draws: int, batches: int = BATCHES) -> np.ndarray:
    """Returns the batch of each draw, ``(draws,)``, in order; sizes differ by at most 1."""
    return np.arange(draws) * min(batches, draws) // draws


def moments(
    means: Mapping[str, np.ndarray],
    within: Mapping[str, np.ndarray],
    sizes: np.ndarray,
    seconds: float,
) -> Moments:
    """Returns moments from those of batches.

    Args:
        means: Mean gradient of each batch by parameter, ``(B, *shape)``.
        within: Sum of the squares of all draws' distances from the mean of their batch,
            elementwise, ``(*shape)``.
        sizes: Number of draws of each batch, ``(B,)``.
        seconds: Seconds per draw.
    """
    draws, variance = sizes.sum(), {}
    for name, rows in means.items():
        shifts = rows.astype(float) - rows[0]  # nothing but zeros where all draws are the same
        gaps = shifts - np.tensordot(sizes / draws, shifts, 1)
        between = np.tensordot(sizes.astype(float), gaps**2, 1)
        variance[name] = (within[name] + between) / (draws - 1)
    return Moments(dict(means), variance, sizes, seconds)


def measure(found: Moments, truth: Moments | None, names: Sequence[str]) -> Measured:
    """Measures one group of parameters.

    Args:
        found: Moments of the estimator.
        truth: Moments of the reference, or None.
        names: Parameters of the group.
    """
    weights = found.sizes / found.draws
    means = [np.tensordot(weights, found.means[n], 1) for n in names]
    total = float(sum(found.variance[n].sum() for n in names))
    # the square of a mean exceeds that of the expectation by the variance of the mean
    square = float(sum((m * m).sum() for m in means)) - total / found.draws
    norm = sqrt(max(square, 0.0))
    snr = norm / sqrt(total) if total > 0 else (inf if norm > 0 else nan)
    if truth is None or any(n not in truth.means for n in names):
        return Measured(nan, nan, nan, nan, total, norm, snr)
    own, other = _rows(found, names), _rows(truth, names)
    square, error, freedom = squared_distance(
        own, other, _weights(found, own), _weights(truth, other)
    )
    size = float((own[0] ** 2).sum() + (other[0] ** 2).sum())
    rounding = ROUNDING * float(np.finfo(found.means[names[0]].dtype).eps)
    return Measured(*_root(square, error + rounding**2 * size, freedom), total, norm, snr)


def squared_distance(
    own: np.ndarray, other: np.ndarray, weights: np.ndarray, others: np.ndarray
) -> tuple[float, float, float]:
    """Returns the squared distance of two expectations, its standard error, and its freedom.

    Args:
        own: Means of batches of draws of the first, ``(B, P)``; a single one is taken as exact.
        other: Means of batches of draws of the second, ``(R, P)``, likewise.
        weights: Shares of the batches in the draws of the first, ``(B,)``.
        others: Shares of those of the second, ``(R,)``.
    """
    count = len(own)
    rows = np.concatenate([own, other]) - others @ other
    gram = rows @ rows.T

    def estimate(left_out: int | None = None) -> float:
        w, v = weights.copy(), others.copy()
        if left_out is not None:
            side, at = (w, left_out) if left_out < count else (v, left_out - count)
            side[at] = 0
        w, v = w / w.sum(), v / v.sum()
        cross = w @ gram[:count, count:] @ v
        return _pairs(gram[:count, :count], w) - 2 * cross + _pairs(gram[count:, count:], v)

    variances, freedoms = [], []
    for first, n in ((0, count), (count, len(other))):
        if n == 1:
            continue
        if n == 2:  # the pairs of one batch are none
            return estimate(), inf, 1
        without = np.array([estimate(first + i) for i in range(n)])
        variances.append((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
        freedoms.append(n - 1)
    total = sum(variances)
    parts = sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    return estimate(), sqrt(total), total**2 / parts if parts > 0 else inf


def _pairs(gram: np.ndarray, weights: np.ndarray) -> float:
    """Returns the weighted mean of the products of different rows; of a single one, its square."""
    if len(gram) == 1:
        return float(gram[0, 0])
    squares = weights**2
    return float((weights @ gram @ weights - squares @ np.diag(gram)) / (1 - squares.sum()))


def _root(square: float, error: float, freedom: float) -> tuple[float, float, float, float]:
    """Returns a norm, its standard error and the ends of its interval, from those of its square.

    The error is the distance to the root of the square less its own error: of a clear norm half
    the error of the square over the norm, and of none the root of the error.
    """
    if error == inf:
        return sqrt(max(square, 0.0)), inf, 0.0, inf
    norm = sqrt(max(square, 0.0))
    spread = norm - sqrt(square - error) if square > error else sqrt(error)
    reach = QUANTILES[min(floor(freedom), len(QUANTILES)) - 1] * error if freedom < inf else error
    return norm, spread, sqrt(max(square - reach, 0.0)), sqrt(norm**2 + reach)


def _rows(found: Moments, names: Sequence[str]) -> np.ndarray:
    """Returns the means of a group by batch, ``(B, P)``; one row if all draws are the same."""
    count = len(found.sizes) if any(found.variance[n].any() for n in names) else 1
    parts = [found.means[n][:count].astype(float).reshape(count, -1) for n in names]
    return np.concatenate(parts, axis=1)


def _weights(found: Moments, rows: np.ndarray) -> np.ndarray:
    return np.ones(1) if len(rows) == 1 else found.sizes / found.draws
