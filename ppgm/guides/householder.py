r"""Gaussian posteriors with a rotated covariance, by Householder flow.

.. math::
    z = \mu(x) + H_T(x) \cdots H_1(x) (\sigma(x) \odot \epsilon), \quad
    H_t = I - 2 \frac{v_t v_t^T}{v_t^T v_t}

The paper reflects the mean too, which only renames it. Pairs of reflections start in nearly the
same hyperplane, whose normal is a coordinate axis: together they start near the identity, and
one alone maps a diagonal covariance nearly to itself.

References:
    | Improving Variational Auto-Encoders using Householder Flow (Tomczak & Welling, 2016),
    | https://arxiv.org/abs/1611.09630
"""

__all__ = ["Householder"]

from dataclasses import dataclass
from typing import Any

from ppgm import transforms
from ppgm.distributions_normal import DiagonalNormal
from ppgm.domains import check_size
from ppgm.guides.flows import DAMPING
from ppgm.ops import Array
from ppgm.transforms import Chain, Flow


@dataclass(frozen=True)
class Householder:
    """Gaussian with correlated coordinates; as many reflections as coordinates give any.

    The context is the means, the log scales, then the normals of the reflections.

    Args:
        depth: Number of reflections T.
    """

    depth: int = 10

    def __post_init__(self) -> None:
        check_size(self, "depth")

    def context(self, latent: int) -> int:
        """A mean, a log scale and a component of every normal per coordinate."""
        return (2 + self.depth) * latent

    def __call__(self, ppl: Any, context: Array, latent: int, name: str = "z") -> Any:
        """Returns the Gaussian of event shape ``(latent,)``."""
        loc, log_scale = context[..., :latent], context[..., latent : 2 * latent]
        base = DiagonalNormal(ppl.np.zeros_like(loc), ppl.np.exp(log_scale))
        turns = reflections(ppl, context[..., 2 * latent :], latent)
        return ppl.distribution(Flow(base, Chain((*turns, transforms.Shift(loc))), loc))


def reflections(ppl: Any, raw: Array, latent: int) -> tuple[transforms.Householder, ...]:
    """Returns reflections with free normals ``(*, T * latent)``, near axes where these are small.

    Args:
        ppl: The namespace.
        raw: What is added to the axes, ``(*, T * latent)``.
        latent: Number of coordinates.
    """
    axes = ppl.np.eye(latent)
    parts = [raw[..., t : t + latent] for t in range(0, raw.shape[-1], latent)]
    return tuple(
        transforms.Householder(axes[t // 2 % latent] + DAMPING * part)
        for t, part in enumerate(parts)
    )
