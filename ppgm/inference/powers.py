r"""The mathematics that the bounds of the Renyi family share.

.. math::
    L_\alpha = \frac{1}{1 - \alpha} \log \frac{1}{K} \sum_k m_k w_k^{1 - \alpha}, \quad
    L_1 = \frac{1}{K} \sum_k m_k \log w_k, \quad
    g_k = \frac{\partial L_\alpha}{\partial \log w_k}
        = \frac{m_k w_k^{1 - \alpha}}{\sum_j m_j w_j^{1 - \alpha}}

alpha = 1 is the ELBO, 0 the importance weighted bound, 1 - n the CUBO of order n. The masses
:math:`m_k` are one but for sites that are summed over all their values: then k runs over values
and draws, and m is what the guide gives to the value.

References:
    | Renyi Divergence Variational Inference (Li & Turner, 2016), https://arxiv.org/abs/1602.02311
"""

__all__ = ["bound", "leave_one_out", "left_out", "shares"]

from math import log

from ppgm.ops import Array, ops_of


def bound(log_w: Array, alpha: float, particles: int, log_mass: Array | None = None) -> Array:
    """Returns the bound per row, ``(*rows)``.

    Args:
        log_w: Log weights, ``(values * K, *rows)``.
        alpha: Order.
        particles: Number of draws K, where `log_w` has several values for each.
        log_mass: Log masses of enumerated values, of the same shape, or None.
    """
    ops = ops_of(log_w)
    particles = log_w.shape[0] if log_mass is None else particles
    if alpha == 1:
        terms = log_w if log_mass is None else ops.np.exp(log_mass) * log_w
        return terms.sum(0) / particles
    powers = (1 - alpha) * log_w
    powers = powers if log_mass is None else powers + log_mass
    return (ops.logsumexp(powers, 0) - log(particles)) / (1 - alpha)


def shares(log_w: Array, alpha: float, particles: int, log_mass: Array | None = None) -> Array:
    """Returns the derivative of the bound in each log weight, of the shape of `log_w`."""
    ops = ops_of(log_w)
    particles = log_w.shape[0] if log_mass is None else particles
    if alpha == 1:
        ones = ops.np.ones_like(log_w) / particles
        return ones if log_mass is None else ops.np.exp(log_mass) * ones
    powers = (1 - alpha) * log_w
    return ops.softmax(powers if log_mass is None else powers + log_mass, 0)


def left_out(log_w: Array, alpha: float, mean: str = "geometric") -> Array:
    """Returns the bound with each weight in turn replaced by the mean of the others.

    Args:
        log_w: Log weights, ``(K, *rows)`` with K >= 2.
        alpha: Order of the bound.
        mean: "geometric" or "arithmetic"; for the ELBO the first alone makes sense.

    Returns:
        ``(K, *rows)``; entry k does not depend on ``log_w[k]``. It is 0 where the others make
        it infinite (all of weight zero, for instance): any number that does not depend on the
        draw may be subtracted from its signal.
    """
    if alpha == 1:
        others = _log_mean_others(log_w)
    else:
        others = leave_one_out((1 - alpha) * log_w, mean) / (1 - alpha)
    xp = ops_of(log_w).np
    return xp.where(xp.isfinite(others), others, xp.zeros_like(others))


def leave_one_out(log_w: Array, mean: str = "geometric") -> Array:
    """Returns the importance weighted bound with each weight replaced by the others' mean.

    Args:
        log_w: Log weights, ``(K, *rows)``.
        mean: "geometric" or "arithmetic".

    Returns:
        ``(K, *rows)``; entry k does not depend on ``log_w[k]``.
    """
    ops = ops_of(log_w)
    particles = log_w.shape[0]

    others = _log_sum_others(log_w)
    if mean == "arithmetic":
        return others - log(particles - 1)
    return ops.np.logaddexp(others, _log_mean_others(log_w)) - log(particles)


def _log_mean_others(log_w: Array) -> Array:
    """Returns the mean of log w_j over j != k, -inf where one of them is."""
    xp = ops_of(log_w).np
    zero = log_w == -float("inf")
    finite = xp.where(zero, xp.zeros_like(log_w), log_w)
    mean = (finite.sum(0) - finite) / (log_w.shape[0] - 1)
    others = xp.where(zero, xp.zeros_like(log_w), xp.ones_like(log_w)) + (zero.sum(0) - 1)
    return xp.where(others > 0, xp.full_like(log_w, -float("inf")), mean)


def _log_sum_others(log_w: Array) -> Array:
    """Returns log sum_{j != k} w_j for every k, without cancellation, in O(K).

    Subtracting w_k from the sum is exact enough for every weight but the largest, since it
    leaves at least half of the sum; for the largest the others are summed apart.
    """
    ops = ops_of(log_w)
    xp, particles = ops.np, log_w.shape[0]
    index = xp.argmax(log_w, axis=0)
    largest = xp.arange(particles).reshape((particles,) + (1,) * (log_w.ndim - 1)) == index
    low = xp.where(largest, xp.full_like(log_w, -float("inf")), log_w)
    rest = ops.logsumexp(low, 0)

    # for k not the largest: log(sum_all - w_k), dominated by the largest weight
    total = ops.logsumexp(log_w, 0)
    gap = xp.where(largest, xp.full_like(log_w, -1.0), log_w - total)
    return xp.where(largest, rest, total + xp.log(-xp.expm1(gap)))
