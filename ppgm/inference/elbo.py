r"""Evidence lower bound.

.. math::
    L(x) = E_{q(z|x)}[\log p(x | z) + \beta (\log p(z) - \log q(z | x))] \le \log p(x)
    \quad (\beta = 1)

Draws that are not reparameterised enter the gradient by the score function; the sites named in
`enumerate` are summed over all their values instead of drawn.

References:
    | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), https://arxiv.org/abs/1312.6114
    | Black Box Variational Inference (Ranganath et al., 2014), https://arxiv.org/abs/1401.0118
    | beta-VAE (Higgins et al., 2017), https://openreview.net/forum?id=Sy2fzU9gl
"""

__all__ = ["ELBO"]

from dataclasses import dataclass

from ppgm.inference.family import AbstractFamily
from ppgm.inference.gradients import Gradient


@dataclass(frozen=True)
class ELBO(AbstractFamily):
    """Evidence lower bound, averaged over `particles` draws.

    Args:
        particles: Number of draws K.
        gradient: Estimator of the gradient, see `ppgm.inference.gradients`.
    """

    particles: int = 1
    gradient: Gradient = "path"

    @property
    def order(self) -> float:
        """The mean is outside the logarithm."""
        return 1.0
