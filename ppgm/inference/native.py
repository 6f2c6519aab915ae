"""What a host's own SVI can step, and where an objective keeps what it owns there.

SVI knows of a model, a guide and a loss. An objective that owns networks, remembers something or
follows a schedule has its place in the guide, `loss.guide(model, guide)`: the host's wrapper of a
guide that has the networks' parameters, the state and the number of steps beside its draws.
"""

__all__ = ["check_native", "keeps", "names_of", "place_of"]

from collections.abc import Callable
from typing import Any, TypeVar

from ppgm.errors import EstimatorError
from ppgm.inference.objective import AbstractObjective, terms_of

P = TypeVar("P")


def check_native(objective: AbstractObjective) -> None:
    """Checks that a host's own SVI can step an objective.

    Raises:
        EstimatorError: If it has several players, or trains one side of a program only.
    """
    name = type(objective).__name__
    if len(objective.players) > 1:
        raise EstimatorError(
            f"{name} has players {[p.name for p in objective.players]}: the host's SVI steps only "
            "one; use ppgm.fit"
        )
    left = {"model", "guide"} - {g for p in objective.players for g in p.groups}
    if left:
        raise EstimatorError(
            f"{name} does not train the {left.pop()}, and the host's SVI would move all "
            "parameters that it sees; use ppgm.fit"
        )


def keeps(objective: AbstractObjective) -> bool:
    """Tells whether an objective needs a place in the guide."""
    return objective.stateful or objective.scheduled


def place_of(objective: AbstractObjective, guide: Any, kind: type[P]) -> P | None:
    """Returns the guide itself if it is the place of what an objective keeps, or None.

    Args:
        objective: The objective of the loss.
        guide: The guide that the host's SVI was given.
        kind: The host's class of wrapped guides.

    Raises:
        EstimatorError: If the objective needs a place, and the guide is none, or another's.
    """
    if not keeps(objective):
        return None
    advice = "write SVI(model, loss.guide(model, guide), optimiser, loss)"
    if not isinstance(guide, kind):
        raise EstimatorError(
            f"{names_of(objective, keeps)} learns or counts beside the program (a network, "
            "running means, the step of a schedule), and the host's SVI keeps that in the guide "
            f"only, where '{_title(guide)}' has no place for it: {advice}"
        )
    theirs = getattr(guide, "objective", None)
    if theirs is not objective and theirs != objective:
        raise EstimatorError(
            f"the guide is that of {theirs!r}, and the loss is of {objective!r}: {advice}, "
            "with one loss"
        )
    return guide


def names_of(objective: AbstractObjective, which: Callable[[AbstractObjective], bool]) -> str:
    """Returns the names of the terms that something is true of, for messages."""
    return ", ".join(type(term).__name__ for _, term in terms_of(objective) if which(term))


def _title(guide: Any) -> str:
    return str(getattr(guide, "__name__", type(guide).__name__))
