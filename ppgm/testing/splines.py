r"""Rational-quadratic splines in plain numpy, number by number, as a second opinion.

Knots come from the free parameters in loops; a bin is found by bisection; the quotient of two
quadratics is written by its coefficients, its slope by the quotient rule, and its inverse by
bisection of the spline itself.

References:
    Neural Spline Flows (Durkan et al., 2019), arXiv:1906.04032, section 3.
"""

from bisect import bisect_right
from math import exp, log1p
from typing import NamedTuple

import numpy as np

__all__ = ["Knots", "forward", "inverse", "knots"]

LEAST = 1e-3


class Knots(NamedTuple):
    """Knots of one spline and the slopes at them."""

    x: list[float]
    """Places of the K + 1 knots."""
    y: list[float]
    """Values there."""
    slope: list[float]
    """Slopes there."""


def knots(raw: np.ndarray, bound: float) -> Knots:
    """Knots of free parameters `raw (3 K - 1,)`: widths, heights, inner slopes."""
    bins = (len(raw) + 1) // 3
    places = [_corners(raw[:bins], bound), _corners(raw[bins : 2 * bins], bound)]
    zero = np.log(np.expm1(1 - LEAST))
    inner = [LEAST + log1p(exp(value + zero)) for value in raw[2 * bins :]]
    return Knots(places[0], places[1], [1.0, *inner, 1.0])


def forward(x: float, raw: np.ndarray, bound: float) -> tuple[float, float]:
    """Value and slope of the spline at `x`."""
    if not -bound < x < bound:
        return x, 1.0
    at = knots(raw, bound)
    k = min(bisect_right(at.x, x) - 1, len(at.x) - 2)
    width, height = at.x[k + 1] - at.x[k], at.y[k + 1] - at.y[k]
    mean = height / width
    low, high = at.slope[k], at.slope[k + 1]
    # of powers of theta, highest first
    over = np.array([mean - low, low, 0.0])
    bend = low + high - 2 * mean
    under = np.array([-bend, bend, mean])
    theta = (x - at.x[k]) / width
    a, b = np.polyval(over, theta), np.polyval(under, theta)
    rise = (np.polyval(np.polyder(over), theta) * b - a * np.polyval(np.polyder(under), theta)) / b
    return float(at.y[k] + height * a / b), float(height * rise / b / width)


def inverse(y: float, raw: np.ndarray, bound: float) -> float:
    """The number that the spline maps to `y`."""
    if not -bound < y < bound:
        return y
    low, high = -bound, bound
    for _ in range(200):
        middle = (low + high) / 2
        if forward(middle, raw, bound)[0] < y:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _corners(raw: np.ndarray, bound: float) -> list[float]:
    shares = np.exp(raw - raw.max())
    shares = shares / shares.sum()
    found = [-bound]
    for share in shares:
        found.append(found[-1] + 2 * bound * (LEAST + (1 - LEAST * len(raw)) * share))
    found[-1] = bound
    return found
