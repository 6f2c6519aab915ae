r"""Gaussian posteriors whose covariance is diagonal plus a few directions.

.. math::
    q(z | x) = N(\mu(x), \mathrm{diag}(\sigma^2(x)) + W(x) W(x)^T), \quad W(x): (L, R)

References:
    | Gaussian Variational Approximation With a Factor Covariance Structure (Ong, Nott & Smith,
    | 2018), https://arxiv.org/abs/1701.03208
"""

__all__ = ["LowRank"]

from dataclasses import dataclass
from typing import Any

from ppgm.domains import check_size
from ppgm.ops import Array


@dataclass(frozen=True)
class LowRank:
    """Gaussian whose covariance is diagonal plus W W', with W of a few columns.

    The context is the means, the log scales of the diagonal part, then the rows of W.

    Args:
        rank: Number of columns of W.
    """

    rank: int = 1

    def __post_init__(self) -> None:
        check_size(self, "rank")

    def context(self, latent: int) -> int:
        """A mean, a log scale and a row of W per coordinate."""
        return (2 + self.rank) * latent

    def __call__(self, ppl: Any, context: Array, latent: int, name: str = "z") -> Any:
        """Returns the host's low-rank Gaussian of event shape ``(latent,)``."""
        loc, log_scale = context[..., :latent], context[..., latent : 2 * latent]
        factor = context[..., 2 * latent :].reshape((*context.shape[:-1], latent, self.rank))
        return ppl.distributions.LowRankMultivariateNormal(loc, factor, ppl.np.exp(2 * log_scale))
