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

from ppgm.inference.family import AbstractFamily
from ppgm.inference.gradients import Gradient


@dataclass(frozen=True)
class IWAE(AbstractFamily):
    """Importance weighted bound of `particles` draws.

    Draws that are not reparameterised enter the gradient by the score function of the whole
    bound; ``gradient="vimco"`` has the same mean with far less variance.

    Args:
        particles: Number of draws K.
        gradient: Estimator of the gradient, see `ppgm.inference.gradients`.
    """

    particles: int = 5
    gradient: Gradient = "path"

    @property
    def order(self) -> float:
        """The mean is inside the logarithm."""
        return 0.0
