r"""Posteriors by planar flow: a Gaussian bent along one direction after another.

.. math:: z_t = z_{t-1} + \hat u_t \tanh(w_t^T z_{t-1} + b_t), \quad t = 1, \dots, T

References:
    | Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015),
    | https://arxiv.org/abs/1505.05770
"""

__all__ = ["Planar"]

from dataclasses import dataclass
from typing import Any

from ppgm import transforms
from ppgm.domains import check_size
from ppgm.guides.flows import DAMPING, AbstractFlow
from ppgm.ops import Array
from ppgm.transforms import Chain, Transform


@dataclass(frozen=True)
class Planar(AbstractFlow):
    """Planar flow; each step has a direction, a displacement and an offset of the encoder's.

    Args:
        depth: Number of steps T.
    """

    depth: int = 10

    def __post_init__(self) -> None:
        check_size(self, "depth")

    def extra(self, latent: int) -> int:
        """A displacement, a direction and an offset for each step."""
        return self.depth * (2 * latent + 1)

    def transform(self, ppl: Any, context: Array, latent: int, name: str) -> Transform:
        """Returns the steps, one after another."""
        size = 2 * latent + 1
        parts = [context[..., t * size : (t + 1) * size] for t in range(self.depth)]
        return Chain(tuple(self._step(part, latent) for part in parts))

    def _step(self, part: Array, latent: int) -> Transform:
        u, w = DAMPING * part[..., :latent], part[..., latent : 2 * latent]
        return transforms.Planar(u, w, part[..., -1])
