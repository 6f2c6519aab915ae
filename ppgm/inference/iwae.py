r"""Importance weighted bound.

.. math::
    L_K(x) = E_{z_1 \dots z_K \sim q}\left[\log \frac{1}{K} \sum_k w_k\right], \quad
    w_k = \frac{p(x, z_k)}{q(z_k | x)}

The mean is inside the logarithm, so it is taken per datum: a batch's bound is the sum of its
data's bounds, and a subsampling scale multiplies after the logarithm.

References:
    | Importance Weighted Autoencoders (Burda et al., 2016), https://arxiv.org/abs/1509.00519
"""

__all__ = ["IWAE"]

from dataclasses import dataclass

from ppgm.inference.counts import set_count
from ppgm.inference.objective import AbstractMultiSample
from ppgm.inference.renyi import renyi_rows
from ppgm.ops import Array
from ppgm.terms import Weights


@dataclass(frozen=True)
class IWAE(AbstractMultiSample):
    """Importance weighted bound of `particles` draws.

    Draws that are not reparameterised enter the gradient by the score function of the whole
    bound; `VIMCO` has the same mean with far less variance.
    """

    particles: int = 5

    def __post_init__(self) -> None:
        set_count(self, "particles")

    def rows(self, weights: Weights) -> Array:
        """Returns minus the bound per row, ``(*rows)``."""
        return renyi_rows(weights, alpha=0.0)
