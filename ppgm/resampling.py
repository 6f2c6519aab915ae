r"""Resampling of weighted particles: which of them live on, in what numbers.

Each scheme returns the ancestor of every particle, one of :math:`j` with expected numbers
:math:`K w_j` of children, which keeps estimates unbiased. With ordered points
:math:`v_1 \le \dots \le v_K` in [0, 1) the ancestor of particle k is the first j whose cumulative
weight exceeds :math:`v_k`:

=============  =====================================================================
scheme         points
=============  =====================================================================
"systematic"   :math:`(k + u) / K` with one u for all
"stratified"   :math:`(k + u_k) / K`
"multinomial"  ordered :math:`u_k`
"residual"     :math:`\lfloor K w_j \rfloor` children each; the rest multinomial, from what is
               left of the weights
=============  =====================================================================

References:
    | Comparison of resampling schemes for particle filtering (Douc, Cappe & Moulines, 2005)
    | https://arxiv.org/abs/cs/0507025
"""

__all__ = ["SCHEMES", "ancestors", "check_scheme", "effective_size"]

from typing import Any

from ppgm.domains import check_choice, check_number
from ppgm.ops import Array, ops_of

SCHEMES = ("systematic", "stratified", "multinomial", "residual")


def check_scheme(owner: Any) -> None:
    """Checks the fields `resampling` and `threshold` of a particle filter.

    Raises:
        ArgumentError: Names the class, the field, what it may be and what came.
    """
    check_choice(owner, "resampling", SCHEMES)
    check_number(owner, "threshold", least=0.0)


def effective_size(log_w: Array) -> Array:
    """Returns the effective number of particles ``1 / sum_k w_k^2``, ``(*)``.

    Args:
        log_w: Logs of weights that sum to one over the first axis, ``(K, *)``.
    """
    return ops_of(log_w).np.exp(-ops_of(log_w).logsumexp(2 * log_w, 0))


def ancestors(log_w: Array, uniform: Array, scheme: str) -> Array:
    """Returns the ancestors of K particles, integers ``(K, *)``.

    Args:
        log_w: Logs of weights that sum to one over the first axis, ``(K, *)``.
        uniform: Noise uniform in [0, 1), ``(K, *)``; "systematic" uses its first row.
        scheme: One of `SCHEMES`.
    """
    xp, count = ops_of(log_w).np, log_w.shape[0]
    weights = xp.exp(log_w)
    slots = _slots(xp, log_w)
    if scheme == "multinomial":
        return _first_above(weights, xp.sort(uniform, axis=0))
    if scheme == "residual":
        return _residual(weights, uniform, slots)
    noise = uniform[:1] if scheme == "systematic" else uniform
    return _first_above(weights, (slots + noise) / count)


def _residual(weights: Array, uniform: Array, slots: Array) -> Array:
    """Gives whole children first; the slots that are left are drawn from what is left."""
    xp, count = ops_of(weights).np, weights.shape[0]
    children = xp.floor(count * weights)
    given, left = children.sum(0), count * weights - children
    some = given > 0  # where there are none, or nothing is left, any numbers will do
    sure = _first_above(
        xp.where(some, children, weights), (slots + 0.5) / xp.where(some, given, 1)
    )
    taken = slots < given  # their noise must not choose which of the others' is used
    points = xp.sort(xp.where(taken, xp.zeros_like(uniform), uniform), axis=0)
    drawn = _first_above(xp.where(left.sum(0) > 0, left, weights), points)
    return xp.where(taken, sure, drawn)


def _first_above(weights: Array, points: Array) -> Array:
    """Returns the first index whose cumulative share exceeds each of the ordered points.

    Points and shares are ranked together: there are as many shares at or below the k-th point as
    entries before it that are no points. That takes two sorts, and no array of K times K.
    """
    xp, count = ops_of(weights).np, weights.shape[0]
    shares = xp.cumulative_sum(weights, axis=0)
    shares = shares / shares[-1:]  # the last share is 1 exactly, also after rounding
    points = xp.clip(points, 0.0, 1 - xp.finfo(points.dtype).eps)
    shape = (count, *shares.shape[1:])
    both = xp.concat([shares, xp.broadcast_to(points, shape)], axis=0)
    order = xp.argsort(both, axis=0, stable=True)  # of equals the shares come first
    rank = xp.argsort(order, axis=0, stable=True)[count:]
    return rank - _slots(xp, rank)


def _slots(xp: Any, like: Array) -> Array:
    """Returns 0, ..., K - 1 along the first axis, ready to broadcast."""
    count = like.shape[0]
    return xp.arange(count, dtype=like.dtype).reshape((count,) + (1,) * (like.ndim - 1))
