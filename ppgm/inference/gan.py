r"""Generative adversarial training of a program with an implicit density.

.. math::
    \max_D \; E_{data}[\log D(x)] + E_{model}[\log(1 - D(x))], \quad D = \sigma(\mathrm{critic})

At the best critic, :math:`\log p_{data} - \log p_{model}`, the value is
:math:`2\,\mathrm{JSD} - \log 4`. The generator minimises it ("minimax"), or
:math:`-E_{model}[\log D(x)]` ("non-saturating").

References:
    | Generative Adversarial Nets (Goodfellow et al., 2014), https://arxiv.org/abs/1406.2661
"""

__all__ = ["GAN", "critic_rows", "generator_rows"]

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from ppgm.errors import ArgumentError, EstimatorError
from ppgm.inference.counts import set_count
from ppgm.inference.objective import AbstractObjective, Player
from ppgm.nets import MLP
from ppgm.ops import Array, ops_of
from ppgm.sites import Site, SiteTable
from ppgm.views import View


@dataclass(frozen=True)
class GAN(AbstractObjective):
    """A game of a critic against the model; the players are "critic" and "generator".

    Args:
        loss: The generator's loss, "non-saturating" or "minimax".
        on: Sites that the critic sees, flattened and joined.
        critic: Spec of the critic's network, from the joined sites to one logit; by default an
            MLP with two hidden layers of 128 leaky rectifiers.
        critic_steps: Critic steps per generator step.
    """

    loss: Literal["non-saturating", "minimax"] = "non-saturating"
    on: tuple[str, ...] = ("x",)
    critic: Any = None
    critic_steps: int = 1

    def __post_init__(self) -> None:
        if self.loss not in ("non-saturating", "minimax"):
            raise ArgumentError(f"loss must be 'non-saturating' or 'minimax', not '{self.loss}'")
        if isinstance(self.on, str):
            raise ArgumentError(f"on must be a tuple of names, not a string: ('{self.on}',)")
        set_count(self, "critic_steps")

    @property
    def players(self) -> tuple[Player, ...]:
        """The critic, then the generator."""
        return (
            Player("critic", ("critic",), self.critic_steps),
            Player("generator", ("model",)),
        )

    def nets(self, table: SiteTable) -> Mapping[str, Any]:
        """Returns the critic's spec, sized by the sites that it sees."""
        sites = {s.name: s for s in table.model}
        size = sum(_row_size(sites[name]) for name in self.on)
        spec = self.critic or MLP(size, (128, 128), 1, activation="leaky_relu")
        if spec.inputs != size or spec.outputs != 1:
            raise ArgumentError(
                f"critic must map the {size} numbers of {self.on} to 1 logit; it maps "
                f"{spec.inputs} to {spec.outputs}"
            )
        return {"critic": spec}

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that the model makes the sites, differentiably in its parameters."""
        sites = {s.name: s for s in table.select("model", "implicit", "observed", "latent")}
        for name in self.on:
            if name not in sites:
                raise EstimatorError(
                    f"GAN(on={self.on}) needs the model to make '{name}'; it makes {sorted(sites)}"
                )
            if table.data is not None and name not in table.data:
                raise EstimatorError(
                    f"GAN(on={self.on}) shows the critic data['{name}'], and the data have "
                    f"{sorted(table.data)}: give them the site's name"
                )
            if sites[name].kind == "observed" and not sites[name].reparameterised:
                raise EstimatorError(
                    f"site '{name}' is {sites[name].distribution}: GAN needs draws that are "
                    "differentiable in the parameters",
                    use=("ELBO", "IWAE", "VIMCO"),
                )
        for site in table.select("model", "factor"):
            raise EstimatorError(
                f"factor '{site.name}' leaves the model without draws: GAN needs them",
                use=("ContrastiveDivergence",),
            )

    def __call__(self, view: View, player: str) -> Array:
        """Returns the loss of "critic" or "generator", per datum."""
        critic, stop = view.net("critic"), view.ops.stop_gradient
        fake = _join(view.dream().values, self.on)

        if player == "generator":
            return self._mean(view, generator_rows(critic(fake)[..., 0], self.loss))

        real = critic(_join(view.data, self.on))[..., 0]
        loss = self._mean(view, critic_rows(real, critic(stop(fake))[..., 0]))
        view.record("value", -loss)
        return loss

    def _mean(self, view: View, rows: Array) -> Array:
        """Returns the mean over data of a value per row that the critic sees.

        The program's rows may be others: none with global latents, or finer ones.
        """
        plates = next(s.plates for s in view.table.model if s.name == self.on[0])
        if plates and view.table.rows == plates[:1]:
            return view.mean(rows)
        weight = view.scale(plates[0]) if plates else 1.0
        if isinstance(weight, float | int):
            return rows.mean()
        return (weight * rows).sum() / weight.sum()


def critic_rows(real: Array, fake: Array) -> Array:
    """Returns minus the value of the game per row from the critic's logits, ``(*rows)`` each."""
    softplus = ops_of(real).softplus
    return softplus(-real) + softplus(fake)


def generator_rows(fake: Array, loss: str = "non-saturating") -> Array:
    """Returns the generator's loss per row from the critic's logits of its draws."""
    softplus = ops_of(fake).softplus
    return softplus(-fake) if loss == "non-saturating" else -softplus(fake)


def _row_size(site: Site) -> int:
    """Returns how many numbers a row of the site has: its event, and its plates but the first."""
    inner = site.batch_shape[1:] if site.plates else ()
    return prod(inner) * prod(site.event_shape)


def _join(values: Mapping[str, Any], names: tuple[str, ...]) -> Array:
    """Returns the sites flattened and joined, ``(rows, features)``."""
    parts = [values[name].reshape((values[name].shape[0], -1)) for name in names]
    if len(parts) == 1:
        return parts[0]
    return ops_of(parts[0]).np.concat(parts, axis=-1)
