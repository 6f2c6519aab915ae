r"""Continuous relaxations of discrete draws.

.. math::
    y = \sigma\Big(\frac{l + \log u - \log(1 - u)}{\tau}\Big), \quad
    y = \mathrm{softmax}\Big(\frac{l - \log(-\log u)}{\tau}\Big), \quad u \sim U(0, 1)

Rounded, either is an exact draw of the Bernoulli or categorical variable with logits l; the
straight-through form has the rounded value and the relaxed derivative.

References:
    | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017)
    | https://arxiv.org/abs/1611.01144
    | The Concrete Distribution (Maddison, Mnih & Teh, 2017), https://arxiv.org/abs/1611.00712
"""

__all__ = ["relaxed_bits", "relaxed_one_hot"]

from ppgm.ops import Array, ops_of


def relaxed_bits(
    logits: Array, uniform: Array, temperature: Array | float, *, hard: bool = False
) -> Array:
    """Returns relaxed bits in (0, 1), of the shape of the logits.

    Args:
        logits: Log odds of one.
        uniform: Noise in (0, 1), of the same shape.
        temperature: Positive; towards zero the values go to the bits themselves.
        hard: Whether the value is rounded, with the derivative of the relaxed one.
    """
    ops = ops_of(logits)
    u = _inside(uniform, ops.np)
    soft = ops.sigmoid((logits + ops.np.log(u) - ops.np.log1p(-u)) / temperature)
    if not hard:
        return soft
    rounded = ops.np.where(soft > 0.5, ops.np.ones_like(soft), ops.np.zeros_like(soft))
    return _straight_through(rounded, soft)


def relaxed_one_hot(
    logits: Array, uniform: Array, temperature: Array | float, *, hard: bool = False
) -> Array:
    """Returns relaxed one-hot vectors on the simplex, of the shape of the logits ``(*, C)``.

    Args:
        logits: Log odds of the classes.
        uniform: Noise in (0, 1), of the same shape.
        temperature: Positive; towards zero the values go to the one-hot vectors themselves.
        hard: Whether the value is rounded, with the derivative of the relaxed one.
    """
    ops = ops_of(logits)
    gumbel = -ops.np.log(-ops.np.log(_inside(uniform, ops.np)))
    soft = ops.softmax((logits + gumbel) / temperature, -1)
    if not hard:
        return soft
    winner = ops.np.argmax(soft, axis=-1)
    return _straight_through(ops.one_hot(winner, soft.shape[-1]), soft)


def _inside(uniform: Array, xp: Array) -> Array:
    """Keeps noise off 0 and 1, whose logarithms are infinite."""
    tiny = float(xp.finfo(uniform.dtype).eps)
    return xp.clip(uniform, tiny, 1.0 - tiny)


def _straight_through(value: Array, soft: Array) -> Array:
    return value + (soft - ops_of(soft).stop_gradient(soft))  # the difference is exactly zero
