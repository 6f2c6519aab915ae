"""Bounds whose weights can be tempered: the fields that they share (see `tempering`)."""

__all__ = ["AbstractTempered"]

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from typing import Any

from ppgm.domains import check_number
from ppgm.errors import ArgumentError
from ppgm.inference.objective import AbstractBound
from ppgm.inference.schedules import Anneal
from ppgm.inference.tempering import Tempering
from ppgm.ops import Array
from ppgm.sites import SiteTable
from ppgm.terms import Weights
from ppgm.views import View


@dataclass(frozen=True, kw_only=True)
class AbstractTempered(AbstractBound):
    """A bound with weights for the divergence from the prior and for single sites.

    Args:
        beta: Weight of the divergence from the prior, a number or a schedule of the step.
        free_bits: Nats of each latent site's mean divergence from its prior that cost nothing.
        site_weights: Weights of single sites by name, as a dict: of the log density of an
            observed site, of the divergence from its prior of a latent one.
    """

    beta: float | Anneal = 1.0
    free_bits: float = 0.0
    site_weights: Mapping[str, float] | tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.beta, Anneal):
            check_number(self, "beta")
        check_number(self, "free_bits", least=0.0)
        object.__setattr__(self, "site_weights", _pairs(self.site_weights))

    @property
    def tempering(self) -> Tempering:
        """How the weights are tempered."""
        return Tempering(self.beta, self.free_bits, self.site_weights)  # pyright: ignore[reportArgumentType]

    def __call__(self, view: View, player: str) -> Array:
        """Returns minus the (tempered) bound per datum; logs the bound itself."""
        weights = self.weights(view)
        rows = self.rows(weights)
        view.record("bound", -view.mean(rows))
        if not self.tempering.active:
            return view.mean(rows)
        tempered, free = self.tempering.apply(view, weights, self.particles)
        return free + view.mean(self.tempered_rows(tempered, weights))

    def tempered_rows(self, weights: Weights, drawn: Weights) -> Array:
        """Returns minus the tempered bound per row, ``(*rows)``, with its gradient.

        Args:
            weights: Tempered log densities of the draws.
            drawn: Their log densities as they are, which say where the draws came from.
        """
        return self.rows(weights)

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that the sites exist, and that tempering can be right for them."""
        super().check(table, subsampled)
        self.tempering.check(table, type(self).__name__)


def _pairs(weights: Any) -> tuple[tuple[str, float], ...]:
    """Returns a dict as a tuple of pairs, which can be hashed and written down."""
    try:
        pairs = sorted(dict(weights).items())
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"site_weights must be a dict of a weight by site, not {weights!r}"
        ) from error
    for name, value in pairs:
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or not isfinite(value) or value < 0:
            raise ArgumentError(
                f"site_weights['{name}'] must be a finite number of at least 0, not {value!r}"
            )
    return tuple((name, float(value)) for name, value in pairs)
