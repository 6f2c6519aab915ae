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

__all__ = ["ELBO", "Anneal"]

from dataclasses import dataclass

from ppgm.errors import ArgumentError, EstimatorError
from ppgm.inference.counts import set_count
from ppgm.inference.objective import AbstractBound
from ppgm.ops import Array, ops_of
from ppgm.sites import SiteTable
from ppgm.terms import Block, Weights
from ppgm.views import View


@dataclass(frozen=True)
class Anneal:
    """A weight that goes linearly from `start` to `stop` over the first `steps` steps."""

    start: float = 0.0
    stop: float = 1.0
    steps: int = 1000

    def __post_init__(self) -> None:
        set_count(self, "steps")

    def __call__(self, step: Array) -> Array:
        """Returns the weight at a step, an array of integers."""
        return self.start + (self.stop - self.start) * (step / self.steps).clip(0.0, 1.0)


@dataclass(frozen=True)
class ELBO(AbstractBound):
    """Evidence lower bound, averaged over `particles` draws.

    Args:
        particles: Number of draws K.
        beta: Weight of the divergence from the prior, a number or a schedule of the step. The
            bound that is logged is that of beta = 1.
        enumerate: Names of finite sites to sum over exactly.
    """

    particles: int = 1
    beta: float | Anneal = 1.0
    enumerate: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        set_count(self, "particles")
        if isinstance(self.enumerate, str):
            raise ArgumentError(
                f"enumerate must be a tuple of names, not a string: ('{self.enumerate}',)"
            )

    def weights(self, view: View) -> Weights:
        """Asks for the draws, with all values of the enumerated sites."""
        return view.weights(self.particles, enumerate=self.enumerate)

    def __call__(self, view: View, player: str) -> Array:
        """Returns minus the (beta-weighted) bound per datum; logs the bound itself."""
        weights = self.weights(view)
        beta = self.beta(view.ops.float(view.step)) if isinstance(self.beta, Anneal) else self.beta
        rows = self.rows(weights, beta=beta)
        plain = rows if isinstance(beta, float | int) and beta == 1 else self.rows(weights)
        view.record("bound", -view.mean(plain))
        score = sum(_block_score(b, weights.log_mass, view) for b in weights.blocks)
        return view.mean(rows) - score / self.particles

    def rows(self, weights: Weights, beta: Array | float = 1.0) -> Array:
        """Returns minus the bound per row, ``(*rows)``; with global latents without its score."""
        log_w = weights.log_p - weights.log_q
        if not (isinstance(beta, float | int) and beta == 1):
            prior = 0.0 if weights.log_prior is None else weights.log_prior
            log_w = log_w + (beta - 1) * (prior - weights.log_q)

        term = log_w
        if weights.score is not None and not weights.blocks:
            stop = ops_of(log_w).stop_gradient
            term = log_w + stop(log_w) * (weights.score - stop(weights.score))

        if weights.log_mass is not None:
            term = ops_of(log_w).np.exp(weights.log_mass) * term
        return -term.sum(0) / self.particles

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks the guide, and that the enumerated sites are finite and in every row plate."""
        super().check(table, subsampled)
        known = {s.name: s for s in table.select("guide", "latent")}
        for name in self.enumerate:
            site = known.get(name)
            if site is None:
                raise EstimatorError(
                    f"ELBO cannot enumerate '{name}': the guide's sites are {sorted(known)}"
                )
            if not site.enumerable:
                raise EstimatorError(
                    f"site '{name}' is {site.distribution} on {site.support}: only sites with "
                    "at most 4096 values can be enumerated; remove it from `enumerate`"
                )
            if set(site.plates) != set(table.rows):
                raise EstimatorError(
                    f"site '{name}' lies in plates {site.plates}, and the program's rows are "
                    f"{table.rows}: with a latent outside its plate it cannot be enumerated by row"
                )
        scored = any(not s.reparameterised for s in known.values())
        if self.beta != 1.0 and scored and not table.rows:
            raise EstimatorError(
                "beta other than 1 with global latents needs reparameterised sites: set beta=1"
            )


def _block_score(block: Block, log_mass: Array | None, view: View) -> Array:
    """Is zero; its gradient is the score-function term of one block, summed over particles.

    Beside an enumerated global site a particle counts with the mass of its value.
    """
    stop = view.ops.stop_gradient
    terms = stop(block.signal) * (block.score - stop(block.score)) * block.scale
    if log_mass is not None:
        mass = view.ops.np.exp(stop(log_mass))
        terms = mass.reshape((-1,) + (1,) * (terms.ndim - 1)) * terms
    return terms.sum()
