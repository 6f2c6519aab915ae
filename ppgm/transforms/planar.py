r"""Planar maps: space is stretched or squeezed along one direction.

.. math::
    y = x + \hat u \tanh(w^T x + b), \quad
    \log |\det| = \log(1 + w^T \hat u \, (1 - \tanh^2(w^T x + b)))

A free u becomes :math:`\hat u = u + (m(w^T u) - w^T u) w / \|w\|^2`, with m above -1, so that
the map is invertible. Zero is kept by m, unlike by the paper's: u = 0 is the identity.

References:
    | Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015), section 4.1 and
    | appendix A, https://arxiv.org/abs/1505.05770
"""

__all__ = ["Planar"]

from dataclasses import dataclass

from ppgm.ops import Array, ops_of
from ppgm.transforms.scalar import above_minus_one, solve

TINY = 1e-30
"""Added to squared lengths, so that a direction of length 0 gives no NaN."""


@dataclass(frozen=True)
class Planar:
    """A planar map.

    Attributes:
        u: Free displacement, ``(*, D)``.
        w: Direction, ``(*, D)``.
        b: Offset, ``(*)``.
    """

    u: Array
    w: Array
    b: Array

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant ``(*)``."""
        u, slope = self._displacement()
        bent = ops_of(x).np.tanh((self.w * x).sum(-1) + self.b)
        return x + u * bent[..., None], _log_det(slope, bent)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``(*)``.

        The preactivation a solves a + (w'u) tanh(a) = w'y + b.
        """
        xp = ops_of(y).np
        u, slope = self._displacement()
        inside = (self.w * y).sum(-1) + self.b
        one = xp.ones_like(slope)
        bent = xp.tanh(solve(inside, slope, one, xp.zeros_like(one)))
        return y - u * bent[..., None], -_log_det(slope, bent)

    def _displacement(self) -> tuple[Array, Array]:
        """Returns the displacement that keeps the map invertible, and w'u of it."""
        product = (self.w * self.u).sum(-1)
        slope = above_minus_one(product)
        along = (slope - product) / ((self.w * self.w).sum(-1) + TINY)
        return self.u + along[..., None] * self.w, slope


def _log_det(slope: Array, bent: Array) -> Array:
    return ops_of(bent).np.log1p(slope * (1 - bent * bent))
