"""The contract of objectives, and their algebra.

An objective is a frozen dataclass that maps a `View` of a program to one scalar loss per
player. Objectives add and scale: ``ELBO() + 0.1 * GAN()``.
"""

__all__ = [
    "AbstractBound",
    "AbstractMultiSample",
    "AbstractObjective",
    "Player",
    "Sum",
    "terms_of",
]

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ppgm.errors import ArgumentError, EstimatorError
from ppgm.host import load
from ppgm.inference.schedules import has_schedule
from ppgm.legality import check_density
from ppgm.ops import Array
from ppgm.sites import SiteTable
from ppgm.terms import Weights
from ppgm.views import View


class Player(NamedTuple):
    """One side of a game; most objectives have a single one.

    Attributes:
        name: Its name, used for its optimiser and its loss in the history.
        groups: Parameter groups that it owns: "model", "guide", or a network's name.
        steps: Number of its steps in one step of the game.
    """

    name: str
    groups: tuple[str, ...]
    steps: int = 1


class AbstractObjective(ABC):
    """Maps a view of a program to one loss per player."""

    @property
    @abstractmethod
    def players(self) -> tuple[Player, ...]:
        """The players, in the order of their steps."""

    @abstractmethod
    def __call__(self, view: View, player: str) -> Array:
        """Returns the scalar that `player` minimises, per datum."""

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:  # noqa: B027
        """Checks that the objective can be right for the program's sites.

        Args:
            table: The program's sites.
            subsampled: Names of the plates of which a step sees only some rows.

        Raises:
            EstimatorError: Names the site, the reason, and what to use instead.
        """

    def nets(self, table: SiteTable) -> Mapping[str, Any]:
        """Returns the specs of the networks that the objective owns."""
        return {}

    def start(self, view: View) -> dict[str, Array]:
        """Returns the state that the objective owns at the first step."""
        return {}

    @property
    def stateful(self) -> bool:
        """Whether it owns networks or state."""
        kind, base = type(self), AbstractObjective
        return kind.start is not base.start or kind.nets is not base.nets

    @property
    def scheduled(self) -> bool:
        """Whether it reads `View.step`; by default, whether a field of it is a schedule."""
        return has_schedule(self)

    @property
    def local(self) -> bool:
        """Whether it needs to know what each draw can influence (`SiteTable.influences`)."""
        return False

    @property
    def confined(self) -> bool:
        """Whether its loss has a gradient in parameters that are not to follow it."""
        return False

    @property
    def bias(self) -> str:
        """What makes its expected gradient another than its bound's, in words; "" for nothing."""
        return ""

    def native(self, host: str) -> Any:
        """Returns this objective as a drop-in ``loss`` for the host's own ``SVI``.

        One that is `stateful` or `scheduled` keeps what it owns in the guide:
        ``SVI(model, loss.guide(model, guide), optimiser, loss)``.
        """
        return load(host).native(self)

    def __add__(self, other: "AbstractObjective") -> "Sum":
        return Sum(terms_of(self) + terms_of(other))

    def __mul__(self, scale: float) -> "Sum":
        if isinstance(scale, str | AbstractObjective):
            return NotImplemented
        return Sum(tuple((w * scale, term) for w, term in terms_of(self)))

    __rmul__ = __mul__


class AbstractBound(AbstractObjective):
    """A bound on the log likelihood, estimated from `particles` draws of the guide."""

    particles: int

    @property
    def players(self) -> tuple[Player, ...]:
        """Model and guide, together."""
        return (Player("program", ("model", "guide")),)

    @abstractmethod
    def rows(self, weights: Weights) -> Array:
        """Returns minus the bound per row, ``(*rows)``, with the gradient of the estimator."""

    def weights(self, view: View) -> Weights:
        """Asks the view for the weights that `rows` needs."""
        return view.weights(self.particles)

    def __call__(self, view: View, player: str) -> Array:
        """Returns minus the bound per datum; its value is the bound's, no surrogate."""
        value = view.mean(self.rows(self.weights(view)))
        view.record("bound", -value)
        return value

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that the program has a guide, and a density for the data."""
        name = type(self).__name__
        for site in table.select("model", "implicit"):
            raise EstimatorError(
                f"site '{site.name}' has no density (it is a deterministic function of noise): "
                f"{name} needs one",
                use=("GAN",),
            )
        if not table.has_guide and not table.exact:
            raise EstimatorError(
                f"the program has no guide: {name} needs one, unless there are no latents and the "
                "model runs without its data (arguments with the default None); give a guide",
                use=("GAN", "ContrastiveDivergence", *_without_latents(table), *_sampler(table)),
            )


class AbstractMultiSample(AbstractBound):
    """A bound with the mean over particles inside a logarithm."""

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that the logarithm is taken per subsampled row, and of a density."""
        super().check(table, subsampled)
        if self.particles > 1:
            check_density(table, f"{type(self).__name__} of {self.particles} draws", ("ELBO",))
        beyond = sorted(set(subsampled) - set(table.rows))
        if beyond and self.particles > 1:
            kinds = ("latent", "observed", "factor")
            outside = [s.name for s in table.select("model", *kinds) if beyond[0] not in s.plates]
            outside = outside or [s.name for s in table.guide if beyond[0] not in s.plates]
            raise EstimatorError(
                f"sites {outside} lie outside plate '{beyond[0]}', so that "
                f"{type(self).__name__}'s logarithm is over all its data at once and a subsample "
                "would bias it: train on the full data (batch_size=None)",
                use=("ELBO",),
            )


@dataclass(frozen=True)
class Sum(AbstractObjective):
    """A weighted sum of objectives.

    Players of different terms that share a parameter group become one, which minimises the sum
    of their losses; a network belongs to the term that declared it.

    Args:
        terms: Pairs (weight, objective).
    """

    terms: tuple[tuple[float, AbstractObjective], ...]

    def __post_init__(self) -> None:
        for _, term in self.terms:
            if not isinstance(term, AbstractObjective):
                raise ArgumentError(
                    f"only objectives can be added, not {type(term).__name__}: {term!r}"
                )
        if len({n for _, t in self.terms for n in _own_groups(t)}) != sum(
            len(_own_groups(t)) for _, t in self.terms
        ):
            raise ArgumentError("two terms of a sum own networks of the same name: rename one")

    @property
    def players(self) -> tuple[Player, ...]:
        """The players of all terms, those that share a group merged."""
        merged: list[Player] = []
        for player in (p for _, term in self.terms for p in term.players):
            mates = [m for m in merged if set(m.groups) & set(player.groups)]
            first = min((merged.index(m) for m in mates), default=len(merged))
            groups = dict.fromkeys(g for m in [*mates, player] for g in m.groups)
            name = mates[0].name if mates else player.name
            steps = max(m.steps for m in [*mates, player])
            merged = [m for m in merged if m not in mates]
            merged.insert(first, Player(name, tuple(groups), steps))
        return tuple(merged)

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks every term, and that none moves more than it may through another's players."""
        for _, term in self.terms:
            term.check(table, subsampled)
            mine = {g for p in term.players for g in p.groups}
            for player in self.players:
                more = sorted(set(player.groups) - mine) if mine & set(player.groups) else []
                if term.confined and more:
                    raise EstimatorError(
                        f"{type(term).__name__} trains {sorted(mine)} alone, and another term of "
                        f"the sum {more} with them: its loss would move these too; take turns, "
                        "ppgm.fit(fit, data, another objective)"
                    )

    @property
    def confined(self) -> bool:
        """Whether a term's loss has a gradient in parameters that are not to follow it."""
        return any(term.confined for _, term in self.terms)

    @property
    def bias(self) -> str:
        """The biases of all terms, in words."""
        return "; ".join(dict.fromkeys(term.bias for _, term in self.terms if term.bias))

    @property
    def stateful(self) -> bool:
        """Whether a term owns networks or state."""
        return any(term.stateful for _, term in self.terms)

    @property
    def scheduled(self) -> bool:
        """Whether a term reads the step."""
        return any(term.scheduled for _, term in self.terms)

    @property
    def local(self) -> bool:
        """Whether a term needs to know what each draw can influence."""
        return any(term.local for _, term in self.terms)

    def nets(self, table: SiteTable) -> Mapping[str, Any]:
        """Returns the networks of all terms."""
        return {n: spec for _, term in self.terms for n, spec in term.nets(table).items()}

    def start(self, view: View) -> dict[str, Array]:
        """Returns the states of all terms, prefixed by their numbers."""
        return {
            f"{i}/{name}": value
            for i, (_, term) in enumerate(self.terms)
            for name, value in term.start(view.scoped(str(i))).items()
        }

    def __call__(self, view: View, player: str) -> Array:
        """Returns the weighted sum of the losses of every term's players merged into `player`."""
        groups = next(set(p.groups) for p in self.players if p.name == player)
        total: Array = 0.0
        for i, (weight, term) in enumerate(self.terms):
            part = view.scoped(str(i))
            for mine in (p for p in term.players if set(p.groups) & groups):
                total = total + weight * term(part, mine.name)
            view.state = {**view.state, **{f"{i}/{k}": v for k, v in part.state.items()}}
            view.metrics.update(_merge(view.metrics, part.metrics, i))
        return total


def _without_latents(table: SiteTable) -> tuple[str, ...]:
    """Returns the objective of autoencoders, where nothing would be drawn from the prior."""
    return () if table.select("model", "latent") else ("Reconstruction",)


def _sampler(table: SiteTable) -> tuple[str, ...]:
    """Returns the method that needs no guide, where it can move the latents."""
    latent = table.select("model", "latent")
    return ("NUTS",) if latent and not any(s.discrete for s in latent) else ()


def _merge(seen: dict[str, Array], new: dict[str, Array], index: int) -> dict[str, Array]:
    """A metric that two terms log keeps its name for the first, and its term's number after."""
    return {(f"{name}.{index}" if name in seen else name): v for name, v in new.items()}


def terms_of(objective: AbstractObjective) -> tuple[tuple[float, AbstractObjective], ...]:
    """Returns the terms of a sum, or an objective as its only term, with their weights."""
    return objective.terms if isinstance(objective, Sum) else ((1.0, objective),)


def _own_groups(objective: AbstractObjective) -> set[str]:
    return {g for p in objective.players for g in p.groups} - {"model", "guide"}
