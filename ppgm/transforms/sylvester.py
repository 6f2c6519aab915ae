r"""Sylvester maps: planar maps with as many directions as coordinates.

.. math::
    y = x + Q A \tanh(B Q^T x + b), \quad
    \log |\det| = \sum_i \log(1 + a_{ii} b_{ii} (1 - \tanh^2(\cdot)_i))

with an orthogonal Q and upper triangular A and B, :math:`|a_{ii}|, |b_{ii}| < 1`. For
:math:`v = Q^T x`, the inverse solves :math:`v + A \tanh(B v + b) = Q^T y`, one coordinate after
another from the last.

References:
    | Sylvester Normalizing Flows for Variational Inference (van den Berg, Hasenclever, Tomczak &
    | Welling, 2018), https://arxiv.org/abs/1803.05649
"""

__all__ = ["Sylvester"]

from dataclasses import dataclass

import numpy as np

from ppgm.ops import Array, ops_of
from ppgm.transforms.scalar import solve
from ppgm.transforms.transform import Transform


@dataclass(frozen=True)
class Sylvester:
    """A Sylvester map.

    Attributes:
        a: Upper triangular, with a diagonal in (-1, 1), ``(*, D, D)``.
        b: Likewise.
        shift: Offsets of the preactivations, ``(*, D)``.
        rotation: The orthogonal map by Q, such as a chain of `Householder`, or a `Permutation`.
    """

    a: Array
    b: Array
    shift: Array
    rotation: Transform

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant ``(*)``."""
        v, _ = self.rotation.inverse(x)
        bent = ops_of(x).np.tanh(_times(self.b, v) + self.shift)
        return x + self._displacement(bent), self._log_det(bent)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``(*)``."""
        bent = self._solved(self.rotation.inverse(y)[0])
        return y - self._displacement(bent), -self._log_det(bent)

    def _displacement(self, bent: Array) -> Array:
        return self.rotation.forward(_times(self.a, bent))[0]

    def _log_det(self, bent: Array) -> Array:
        xp = ops_of(bent).np
        both = xp.linalg.diagonal(self.a) * xp.linalg.diagonal(self.b)
        return xp.log1p(both * (1 - bent * bent)).sum(-1)

    def _solved(self, target: Array) -> Array:
        """Returns tanh(B v + b) for the v with v + A tanh(B v + b) = target."""
        xp, size = ops_of(target).np, target.shape[-1]
        shapes = (target.shape, self.shift.shape, self.a.shape[:-1], self.b.shape[:-1])
        start = xp.zeros(np.broadcast_shapes(*map(tuple, shapes)), dtype=target.dtype)

        def step(known: tuple[Array, ...], row: tuple[Array, ...]) -> tuple[tuple, tuple]:
            """Finds coordinate i of v: those behind it are known, the others still 0."""
            (v, bent), (here, a, b) = known, row
            t = (target * here).sum(-1) - (a * bent).sum(-1)
            offset = (self.shift * here).sum(-1) + (b * v).sum(-1)
            steep = (b * here).sum(-1)
            found = solve(t, (a * here).sum(-1), steep, offset)
            out = xp.tanh(steep * found + offset)
            return (v + found[..., None] * here, bent + out[..., None] * here), (out,)

        by_row = [xp.moveaxis(m, -2, 0) for m in (self.a, self.b)]
        rows = (xp.eye(size, dtype=target.dtype), *by_row)
        backward = tuple(xp.flip(r, axis=0) for r in rows)
        (outs,) = ops_of(target).scan(step, (start, start), backward)
        return xp.moveaxis(xp.flip(outs, axis=0), 0, -1)


def _times(matrix: Array, vector: Array) -> Array:
    return (matrix @ vector[..., None])[..., 0]
