r"""Radial maps: space is stretched or squeezed around one point.

.. math::
    y = x + \frac{\beta}{\alpha + r} (x - c), \quad r = \|x - c\|, \quad
    \log |\det| = (D - 1) \log\Big(1 + \frac{\beta}{\alpha + r}\Big) +
    \log\Big(1 + \frac{\alpha \beta}{(\alpha + r)^2}\Big)

Free numbers become :math:`\alpha > 0` and :math:`\beta > -\alpha`, so that the map is
invertible, and zeros become :math:`\alpha = 1, \beta = 0`, the identity. The inverse has a closed
form: the distance of y from c is :math:`R = r + \beta r / (\alpha + r)`, a quadratic in r.

References:
    | Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015), section 4.1 and
    | appendix A, https://arxiv.org/abs/1505.05770
"""

__all__ = ["Radial"]

from dataclasses import dataclass

from ppgm.ops import Array, ops_of
from ppgm.transforms.scalar import above_minus_one


@dataclass(frozen=True)
class Radial:
    """A radial map.

    Attributes:
        centre: c, ``(*, D)``.
        width: Free number for alpha, ``(*)``.
        strength: Free number for beta, ``(*)``.
    """

    centre: Array
    width: Array
    strength: Array

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant ``(*)``."""
        alpha, beta = self._constrained()
        away = x - self.centre
        radius = _length(away)
        scale = 1 + beta / (alpha + radius)
        return self.centre + scale[..., None] * away, _log_det(alpha, beta, radius, x.shape[-1])

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``(*)``."""
        alpha, beta = self._constrained()
        away = y - self.centre
        radius = _root(alpha + beta - _length(away), alpha * _length(away))
        scale = 1 + beta / (alpha + radius)
        log_det = _log_det(alpha, beta, radius, y.shape[-1])
        return self.centre + away / scale[..., None], -log_det

    def _constrained(self) -> tuple[Array, Array]:
        alpha = 1 + above_minus_one(self.width)
        return alpha, alpha * above_minus_one(self.strength)


def _log_det(alpha: Array, beta: Array, radius: Array, size: int) -> Array:
    xp = ops_of(radius).np
    across = xp.log1p(beta / (alpha + radius))
    return (size - 1) * across + xp.log1p(alpha * beta / (alpha + radius) ** 2)


def _root(half: Array, product: Array) -> Array:
    """Returns the root r >= 0 of r^2 + half * r = product, adding numbers of one sign only."""
    xp = ops_of(half).np
    root = xp.sqrt(half**2 + 4 * product)
    falling = half > 0
    under = xp.where(falling, half + root, xp.ones_like(root))
    return xp.where(falling, 2 * product / under, (root - half) / 2)


def _length(x: Array) -> Array:
    """Returns lengths; their gradient at 0 is 0 rather than NaN."""
    xp = ops_of(x).np
    square = (x * x).sum(-1)
    some = square > 0
    length = xp.sqrt(xp.where(some, square, xp.ones_like(square)))
    return xp.where(some, length, xp.zeros_like(square))
