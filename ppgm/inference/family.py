"""Bounds of the Renyi family: what they share, whatever their order and gradient.

A bound is an order (1 for the ELBO, 0 for the importance weighted bound), a number of particles
and an estimator of the gradient. Its weights can be tempered (see `ppgm.inference.tempering`);
what is logged as the bound is the bound itself.
"""

__all__ = ["AbstractFamily"]

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from ppgm.errors import ArgumentError, EstimatorError
from ppgm.inference.counts import set_count
from ppgm.inference.gradients import AbstractGradient, resolve
from ppgm.inference.objective import AbstractMultiSample, Player
from ppgm.inference.powers import bound
from ppgm.inference.tempered import AbstractTempered
from ppgm.ops import Array
from ppgm.sites import Site, SiteTable
from ppgm.terms import Ask, Weights
from ppgm.views import View


@dataclass(frozen=True, kw_only=True)
class AbstractFamily(AbstractMultiSample, AbstractTempered):
    """A bound of the Renyi family, from `particles` draws of the guide.

    Args:
        enumerate: Names of finite sites to sum over exactly.
    """

    enumerate: tuple[str, ...] = ()

    LEAST: ClassVar[tuple[int, str]] = (1, "")
    """Smallest number of particles, and what to do with fewer."""

    def __post_init__(self) -> None:
        set_count(self, "particles", *self.LEAST)
        super().__post_init__()
        object.__setattr__(self, "enumerate", _names(self.enumerate))
        _ = self.estimator  # which checks the fields that it is made of

    @property
    @abstractmethod
    def order(self) -> float:
        """Order alpha of the bound."""

    @property
    def estimator(self) -> AbstractGradient:
        """Estimator of the gradient."""
        return resolve(getattr(self, "gradient", "path"))

    @property
    def title(self) -> str:
        """Name of the bound, with its gradient where it is not the usual one."""
        gradient = getattr(self, "gradient", "path")
        name = type(self).__name__
        return name if gradient == "path" else f"{name}(gradient={gradient!r})"

    def __str__(self) -> str:
        """Its name, with the fields that are not at their defaults."""
        given = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in fields(self)
            if getattr(self, f.name) != f.default or f.name == "particles"
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    @property
    def players(self) -> tuple[Player, ...]:
        """Model and guide, together with what the estimator learns."""
        return (Player("program", ("model", "guide", *self.estimator.groups)),)

    def rows(self, weights: Weights) -> Array:
        """Returns minus the bound per row, ``(*rows)``."""
        return -self.estimator.rows(weights, self.order, self.particles)

    def __call__(self, view: View, player: str) -> Array:
        """Returns minus the (tempered) bound per datum; logs the bound itself."""
        estimator, ask = self.estimator, Ask(self.particles, self.enumerate)
        weights = estimator.weights(view, ask)
        plain = weights if estimator.exact else view.ask(ask)
        log_w = view.ops.stop_gradient(plain.log_p - plain.log_q)
        view.record("bound", view.mean(bound(log_w, self.order, self.particles, plain.log_mass)))

        weights, free = self.tempering.apply(view, weights, self.particles)
        rows = estimator.rows(weights, self.order, self.particles)
        return free - view.mean(rows) - estimator.extra(view, weights, self.order, self.particles)

    def nets(self, table: SiteTable) -> Mapping[str, Any]:
        """Returns the networks of the estimator."""
        return self.estimator.nets(table)

    def start(self, view: View) -> dict[str, Array]:
        """Returns the state of the estimator."""
        return self.estimator.start(view, self.order, Ask(self.particles, self.enumerate))

    @property
    def stateful(self) -> bool:
        """Whether the estimator owns networks or state."""
        return self.estimator.stateful

    @property
    def bias(self) -> str:
        """What the estimator's bias comes from."""
        return self.estimator.bias(self)

    @property
    def scheduled(self) -> bool:
        """Whether the weight of the divergence, or the estimator, follows the step."""
        return super().scheduled or self.estimator.scheduled

    @property
    def local(self) -> bool:
        """Whether the estimator needs to know what each draw can influence."""
        return self.estimator.local

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks the guide, the enumerated sites, the tempering and the estimator."""
        if self.order == 1:  # the mean over draws is outside the logarithm
            super().check(table._replace(estimate_noise=None))
        else:
            super().check(table, subsampled)
        known = {s.name: s for s in table.select("guide", "latent")}
        for name in self.enumerate:
            self._check_enumerated(name, known, table)
        drawn = tuple(s for s in table.guide if s.name not in self.enumerate)
        self.estimator.check(table._replace(guide=drawn), self)

    def _check_enumerated(self, name: str, known: Mapping[str, Site], table: SiteTable) -> None:
        title, site = type(self).__name__, known.get(name)
        if site is None:
            raise EstimatorError(
                f"{title} cannot enumerate '{name}': the guide's sites are {sorted(known)}"
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


def _names(names: Any) -> tuple[str, ...]:
    """Returns names of sites as a tuple, each of them once."""
    if isinstance(names, str):
        raise ArgumentError(f"enumerate must be a tuple of names, not a string: ('{names}',)")
    if not isinstance(names, Iterable) or not all(isinstance(n, str) for n in (*names,)):
        raise ArgumentError(f"enumerate must be a tuple of names of sites, not {names!r}")
    if len(set(names)) < len((*names,)):
        raise ArgumentError(f"enumerate names a site twice, {tuple(names)}: name each once")
    return tuple(names)
