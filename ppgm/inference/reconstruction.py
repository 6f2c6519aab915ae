r"""Reconstruction of rows from their own codes, and the codebook of a VQ-VAE.

.. math::
    R = -\log p(x | \mathrm{code}(x)), \qquad
    Q = \| \mathrm{sg}(z) - e \|^2 + \beta \| z - \mathrm{sg}(e) \|^2

with z what the encoder says, e the nearest vector of the codebook, and sg no gradient. Neither
is a bound on log p(x), and neither is logged as one.

References:
    | Neural Discrete Representation Learning (van den Oord, Vinyals & Kavukcuoglu, 2017),
    | https://arxiv.org/abs/1711.00937
"""

__all__ = ["Quantisation", "Reconstruction", "quantisation_rows"]

from dataclasses import dataclass

from ppgm.domains import check_number
from ppgm.errors import EstimatorError
from ppgm.inference.objective import AbstractObjective, Player
from ppgm.ops import Array, ops_of
from ppgm.sites import SiteTable
from ppgm.views import View


@dataclass(frozen=True)
class Reconstruction(AbstractObjective):
    """Maximum likelihood of an observed site given what the model makes of the data.

    For models that see the data they are to make, such as `Autoencoder`. Other sites, such as
    noise, are drawn by the model and not scored. The mean log density is logged as
    "reconstruction".

    Args:
        on: The observed site.
    """

    on: str = "x"

    @property
    def players(self) -> tuple[Player, ...]:
        """The model."""
        return (Player("program", ("model",)),)

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that the model observes the site, and that no guide is passed over."""
        observed = [s.name for s in table.select("model", "observed")]
        if self.on not in observed:
            raise EstimatorError(
                f"Reconstruction(on='{self.on}') needs an observed site of that name; the model "
                f"observes {observed}"
            )
        if table.has_guide:
            raise EstimatorError(
                "Reconstruction does not run the program's guide, and would draw latents from "
                "the prior",
                use=("ELBO",),
            )

    def __call__(self, view: View, player: str) -> Array:
        """Returns minus the log density per datum."""
        value = view.mean(view.forward("model").log_probs[self.on])
        view.record("reconstruction", value)
        return -value


@dataclass(frozen=True)
class Quantisation(AbstractObjective):
    """Squared distances of codes from their vectors in the codebook; see `VQVAE`.

    Logged as "quantisation": the mean squared distance, without weights.

    Args:
        commitment: Weight beta of the encoder's part.
        encoded: Deterministic site of the model with the encoder's vectors, ``(*rows, M, d)``.
        code: Deterministic site with the vectors of the codebook in their places.
    """

    commitment: float = 0.25
    encoded: str = "encoded"
    code: str = "code"

    def __post_init__(self) -> None:
        check_number(self, "commitment", least=0.0)

    @property
    def players(self) -> tuple[Player, ...]:
        """The model."""
        return (Player("program", ("model",)),)

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that the model names both."""
        sites = {s.name: s for s in table.select("model", "deterministic")}
        for name in (self.encoded, self.code):
            if name not in sites or not table.rows or sites[name].plates != table.rows:
                raise EstimatorError(
                    f"Quantisation needs a deterministic site '{name}' of the model, with one "
                    f"value per row (plates {table.rows}); the model's are {sorted(sites)}"
                )

    def __call__(self, view: View, player: str) -> Array:
        """Returns the sum of both parts per datum."""
        values = view.forward("model").values
        z, e = values[self.encoded], values[self.code]
        rows = quantisation_rows(z, e, self.commitment, keep=len(view.table.rows))
        stop = view.ops.stop_gradient
        view.record("quantisation", view.mean(_squares(stop(z), stop(e), len(view.table.rows))))
        return view.mean(rows)


def quantisation_rows(z: Array, e: Array, commitment: float, *, keep: int = 1) -> Array:
    """Returns codebook and commitment loss per row.

    Args:
        z: The encoder's vectors, ``(*rows, ...)``.
        e: The codebook's vectors in the same shape.
        commitment: Weight of the second loss.
        keep: Number of axes of rows.
    """
    stop = ops_of(z).stop_gradient
    return _squares(stop(z), e, keep) + commitment * _squares(z, stop(e), keep)


def _squares(z: Array, e: Array, keep: int) -> Array:
    return ops_of(z).sum((z - e) ** 2, tuple(range(keep, z.ndim)))
