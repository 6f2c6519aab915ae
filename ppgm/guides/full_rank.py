r"""Gaussian posteriors with a covariance of their own for every row.

.. math:: q(z | x) = N(\mu(x), R(x) R(x)^T), \quad R \text{ lower triangular}

References:
    | Automatic Differentiation Variational Inference (Kucukelbir et al., 2017),
    | https://arxiv.org/abs/1603.00788
"""

__all__ = ["FullRank"]

from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm.distributions_normal import TriangularNormal
from ppgm.guides.flows import DAMPING
from ppgm.ops import Array


@dataclass(frozen=True)
class FullRank:
    """Gaussian with any covariance.

    The context is the means, the logs of the diagonal of R, then its rows below the diagonal,
    in units of the diagonal of their column.
    """

    def context(self, latent: int) -> int:
        """A mean and a log scale per coordinate, and a number per pair of coordinates."""
        return 2 * latent + latent * (latent - 1) // 2

    def __call__(self, ppl: Any, context: Array, latent: int, name: str = "z") -> Any:
        """Returns the Gaussian of event shape ``(latent,)``."""
        loc, log_scale = context[..., :latent], context[..., latent : 2 * latent]
        xp, scale = ppl.np, ppl.np.exp(log_scale)
        none = xp.zeros_like(context[..., :1])
        entries = xp.concat([none, DAMPING * context[..., 2 * latent :]], axis=-1)
        below = entries[..., _places(latent)]
        root = (xp.eye(latent) + below) * scale[..., None, :]
        return ppl.distribution(TriangularNormal(loc, root))


def _places(latent: int) -> np.ndarray:
    """Returns which entry stands where in R: 0 on the diagonal and above it."""
    rows, columns = np.tril_indices(latent, -1)
    places = np.zeros((latent, latent), int)
    places[rows, columns] = 1 + np.arange(len(rows))
    return places
