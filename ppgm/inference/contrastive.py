r"""Contrastive divergence, with chains from the data or persistent.

.. math::
    \nabla \log p(v) = \nabla \log \tilde p(v) - E_{p}[\nabla \log \tilde p(v')]

The expectation is estimated at the ends of Markov chains that leave p invariant, `steps` steps
long: started at the batch (CD-k), or where they stopped last (persistent).

References:
    | Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002)
    | https://www.cs.toronto.edu/~hinton/absps/nccd.pdf
    | Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient
    | (Tieleman, 2008), https://doi.org/10.1145/1390156.1390290
"""

__all__ = ["ContrastiveDivergence"]

from dataclasses import dataclass

from ppgm.errors import EstimatorError
from ppgm.inference.counts import set_count
from ppgm.inference.objective import AbstractObjective, Player
from ppgm.ops import Array
from ppgm.sites import SiteTable
from ppgm.views import View


@dataclass(frozen=True)
class ContrastiveDivergence(AbstractObjective):
    """Maximum likelihood of an unnormalised model by Markov chains of its own kernel.

    The loss is the difference of mean log densities of chains and data: its gradient is the
    estimate, its value is not a bound and is not logged as one.

    Args:
        steps: Kernel steps between two gradient steps.
        persistent: Whether chains go on from where they stopped (their ends are state of the
            objective, saved with a fit) or start at the batch.
        on: The site that the kernel moves.
    """

    steps: int = 1
    persistent: bool = True
    on: str = "v"

    def __post_init__(self) -> None:
        set_count(self, "steps")

    @property
    def players(self) -> tuple[Player, ...]:
        """The model alone."""
        return (Player("program", ("model",)),)

    @property
    def bias(self) -> str:
        """The ends of chains are not yet draws of the model."""
        return "short chains"

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that the model scores the site and has no latents left to sum over."""
        names = [s.name for s in table.select("model", "observed")]
        if self.on not in names:
            raise EstimatorError(
                f"ContrastiveDivergence(on='{self.on}') needs an observed site of that name; the "
                f"model observes {names}"
            )
        if table.data is not None and self.on not in table.data:
            raise EstimatorError(
                f"ContrastiveDivergence(on='{self.on}') starts its chains at data['{self.on}'], "
                f"and the data have {sorted(table.data)}: give them the site's name"
            )
        for site in table.select("model", "latent"):
            raise EstimatorError(
                f"latent site '{site.name}' must be summed out in the model's factor: "
                "ContrastiveDivergence needs the density of the observed sites alone"
            )

    def start(self, view: View) -> dict[str, Array]:
        """Starts one persistent chain at every row of the first batch."""
        return {"chains": view.ops.float(view.data[self.on])} if self.persistent else {}

    def __call__(self, view: View, player: str) -> Array:
        """Returns the mean log density of the chains minus that of the data."""
        chains = view.state["chains"] if self.persistent else view.ops.float(view.data[self.on])
        for _ in range(self.steps):
            chains = view.kernel(chains)
        if self.persistent:
            view.state = {**view.state, "chains": chains}

        fake, real = view.log_joint({self.on: chains}), view.log_joint({})
        # chains started at the data are weighted as their rows; persistent ones count alike
        model = fake.mean() if self.persistent else view.mean(fake)
        loss = model - view.mean(real)
        view.record("gap", loss)
        return loss
