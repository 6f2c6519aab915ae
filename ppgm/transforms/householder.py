r"""Householder maps: reflections in a hyperplane; volume is kept.

.. math:: y = x - 2 v \frac{v^T x}{v^T v}

A product of D of them is any orthogonal matrix.

References:
    | Improving Variational Auto-Encoders using Householder Flow (Tomczak & Welling, 2016),
    | https://arxiv.org/abs/1611.09630
"""

__all__ = ["Householder"]

from dataclasses import dataclass

from ppgm.ops import Array, ops_of
from ppgm.transforms.planar import TINY


@dataclass(frozen=True)
class Householder:
    """A reflection, which is its own inverse.

    Attributes:
        v: Normal of the hyperplane, of any length, ``(*, D)``.
    """

    v: Array

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant, zeros ``(*)``."""
        share = (self.v * x).sum(-1) / ((self.v * self.v).sum(-1) + TINY)
        y = x - 2 * share[..., None] * self.v
        return y, ops_of(x).np.zeros_like(share)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant, zeros ``(*)``."""
        return self.forward(y)
