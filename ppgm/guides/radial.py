r"""Posteriors by radial flow: a Gaussian stretched or squeezed around one point after another.

.. math::
    z_t = z_{t-1} + \frac{\beta_t}{\alpha_t + \|z_{t-1} - c_t\|} (z_{t-1} - c_t),
    \quad t = 1, \dots, T

References:
    | Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015),
    | https://arxiv.org/abs/1505.05770
"""

__all__ = ["Radial"]

from dataclasses import dataclass
from typing import Any

from ppgm import transforms
from ppgm.domains import check_size
from ppgm.guides.flows import DAMPING, AbstractFlow
from ppgm.ops import Array
from ppgm.transforms import Chain, Transform


@dataclass(frozen=True)
class Radial(AbstractFlow):
    """Radial flow; each step has a centre, a width and a strength of the encoder's.

    Args:
        depth: Number of steps T.
    """

    depth: int = 10

    def __post_init__(self) -> None:
        check_size(self, "depth")

    def extra(self, latent: int) -> int:
        """A centre, a width and a strength for each step."""
        return self.depth * (latent + 2)

    def transform(self, ppl: Any, context: Array, latent: int, name: str) -> Transform:
        """Returns the steps, one after another."""
        size = latent + 2
        parts = [context[..., t * size : (t + 1) * size] for t in range(self.depth)]
        return Chain(tuple(self._step(part, latent) for part in parts))

    def _step(self, part: Array, latent: int) -> Transform:
        return transforms.Radial(part[..., :latent], part[..., -2], DAMPING * part[..., -1])
