r"""The scalar equation that inverts planar and Sylvester maps.

.. math:: v + r \tanh(s v + b) = t, \quad r s > -1

The left side rises strictly in v, and the root is within :math:`|r|` of t.
"""

__all__ = ["above_minus_one", "solve"]

from math import e, log

from ppgm.ops import Array, ops_of

ROUNDS = 24
"""Bisections, each with a step of Newton's: they leave less than 1e-7 of the bracket, from where
two more steps are right to rounding."""


def above_minus_one(x: Array) -> Array:
    r"""Returns :math:`\log(1 + (e - 1) e^x) - 1`: increasing, above -1, and 0 at 0.

    Rezende & Mohamed (2015) have :math:`\log(1 + e^x) - 1`, which is not 0 at 0.
    """
    return ops_of(x).softplus(x + log(e - 1)) - 1


def solve(t: Array, r: Array, s: Array, b: Array) -> Array:
    r"""Returns v with :math:`v + r \tanh(s v + b) = t`, for arrays that broadcast.

    The search has no gradient. The two steps of Newton that follow it change the value by no
    more than rounding, and give it the first three derivatives of the implicit function: each
    step doubles the order to which the root is right about the point of the search.
    """
    xp, stop = ops_of(t).np, ops_of(t).stop_gradient
    fixed = tuple(map(stop, (t, r, s, b)))
    width = xp.abs(fixed[1]) + xp.zeros_like(sum(fixed))

    def halve(bracket: tuple[Array, ...], _: tuple[Array, ...]) -> tuple[tuple, tuple]:
        low, high = bracket
        middle = (low + high) / 2
        low, high, step = _narrowed(low, high, middle, fixed)
        newton = xp.minimum(xp.maximum(middle - step, low), high)
        low, high, _ = _narrowed(low, high, newton, fixed)
        return (low, high), (newton,)

    rounds = (xp.zeros(ROUNDS, dtype=width.dtype),)
    (found,) = ops_of(t).scan(halve, (fixed[0] - width, fixed[0] + width), rounds)
    v = found[-1]
    for _ in range(2):
        v = v - _newton(v, (t, r, s, b))[1]
    return v


def _narrowed(
    low: Array, high: Array, v: Array, of: tuple[Array, ...]
) -> tuple[Array, Array, Array]:
    """Returns the bracket with v as one of its ends, and Newton's step at v."""
    xp = ops_of(v).np
    value, step = _newton(v, of)
    return xp.where(value < 0, v, low), xp.where(value < 0, high, v), step


def _newton(v: Array, of: tuple[Array, ...]) -> tuple[Array, Array]:
    """Returns how far the left side is above t, and that over its slope."""
    t, r, s, b = of
    xp = ops_of(v).np
    bent = xp.tanh(s * v + b)
    value = v + r * bent - t
    slope = 1 + r * s * (1 - bent * bent)
    return value, value / xp.where(slope > 0, slope, xp.ones_like(slope))
