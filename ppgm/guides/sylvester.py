r"""Posteriors by Sylvester flow: planar steps with as many directions as coordinates.

.. math:: z_t = z_{t-1} + Q_t A_t \tanh(B_t Q_t^T z_{t-1} + b_t), \quad t = 1, \dots, T

with upper triangular A and B. The orthogonal Q is a product of reflections that the encoder
gives, or, in the triangular form, the identity and the reversal of the coordinates in turn.

References:
    | Sylvester Normalizing Flows for Variational Inference (van den Berg, Hasenclever, Tomczak &
    | Welling, 2018), https://arxiv.org/abs/1803.05649
"""

__all__ = ["Sylvester"]

from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm import transforms
from ppgm.domains import check_size
from ppgm.guides.flows import DAMPING, AbstractFlow
from ppgm.guides.householder import reflections
from ppgm.ops import Array
from ppgm.transforms import Chain, Permutation, Transform


@dataclass(frozen=True)
class Sylvester(AbstractFlow):
    """Sylvester flow; all of its parameters are the encoder's.

    Args:
        depth: Number of steps T.
        reflections: Number of reflections of each Q; 0 for the triangular form.
    """

    depth: int = 4
    reflections: int = 4

    def __post_init__(self) -> None:
        check_size(self, "depth")
        check_size(self, "reflections", least=0)

    def extra(self, latent: int) -> int:
        """For each step both triangles and diagonals, offsets and reflections."""
        return self.depth * self._size(latent)

    def transform(self, ppl: Any, context: Array, latent: int, name: str) -> Transform:
        """Returns the steps, one after another."""
        size = self._size(latent)
        parts = [context[..., t * size : (t + 1) * size] for t in range(self.depth)]
        return Chain(tuple(self._step(ppl, p, latent, t) for t, p in enumerate(parts)))

    def _size(self, latent: int) -> int:
        return latent * (latent + 2 + self.reflections)

    def _step(self, ppl: Any, part: Array, latent: int, number: int) -> Transform:
        """One square holds the triangle of A, its diagonal, and that of B turned over."""
        square = part[..., : latent**2].reshape((*part.shape[:-1], latent, latent))
        steep, offset, normals = (
            part[..., latent**2 : latent * (latent + 1)],
            part[..., latent * (latent + 1) : latent * (latent + 2)],
            part[..., latent * (latent + 2) :],
        )
        xp, eye = ppl.np, ppl.np.eye(latent)
        above = ppl.ops.float(np.triu(np.ones((latent, latent)), 1))
        diagonal = DAMPING * xp.linalg.diagonal(square)
        a = DAMPING * square * above + xp.tanh(diagonal)[..., None] * eye
        # near 1, so that the steps start near the identity by A alone, and A has a gradient
        b = xp.moveaxis(square, -1, -2) * above + xp.tanh(1 + steep)[..., None] * eye
        return transforms.Sylvester(a, b, offset, self._rotation(ppl, normals, latent, number))

    def _rotation(self, ppl: Any, normals: Array, latent: int, number: int) -> Transform:
        if self.reflections:
            return Chain(reflections(ppl, normals, latent))
        return Permutation("reverse" if number % 2 else "forward")
