"""What is asked of the gradient microscope: objectives, their players, and their references.

A reference is right for the estimators of its own bound: the gradient of another bound is not
what they estimate, and the difference no bias. Bounds are told apart by what their expectation
depends on; how their gradient is estimated is no part of it.
"""

__all__ = ["Case", "bound_of", "cases", "check_numbers", "sums_all"]

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any, NamedTuple

from ppgm.errors import ArgumentError
from ppgm.inference.enumerated import Enumerate
from ppgm.inference.family import AbstractFamily
from ppgm.inference.objective import AbstractObjective, terms_of
from ppgm.inference.semi_supervised import SemiSupervised
from ppgm.sites import SiteTable


class Case(NamedTuple):
    """One estimator to measure.

    Attributes:
        name: Its name; that of its player too, where the objective has several.
        objective: The objective.
        player: Name of the player.
        reference: Objective with the right gradient, or None.
        title: Name of the reference, "" without one.
    """

    name: str
    objective: AbstractObjective
    player: str
    reference: AbstractObjective | None
    title: str


def check_numbers(draws: Any, reference_draws: Any, seed: Any) -> int:
    """Returns the number of draws of references.

    Raises:
        ArgumentError: If a number is not an integer, or too small.
    """
    for name, value, least in (
        ("draws", draws, 2), ("reference_draws", reference_draws, 2), ("seed", seed, 0)
    ):  # fmt: skip
        if value is None and name == "reference_draws":
            continue
        if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
            why = ", for a variance" if least == 2 else ""
            raise ArgumentError(
                f"{name} must be an integer of at least {least}{why}, not {value!r}"
            )
    return 20 * int(draws) if reference_draws is None else int(reference_draws)


def cases(objectives: Any, reference: Any) -> tuple[Case, ...]:
    """Returns what is to be measured.

    Args:
        objectives: An objective, several, or some by name.
        reference: None, an objective, several, or some by the names of the objectives.

    Raises:
        ArgumentError: If there is none, something is no objective, two have one name, or a
            reference is for none of them.
    """
    named = _named(objectives, "objectives")
    if not named:
        raise ArgumentError("objectives is empty: give at least one, for instance [ELBO()]")
    chosen = _references(reference, named)
    found = []
    for name, objective in named.items():
        players = [p.name for p in objective.players]
        for player in players:
            own = name if len(players) == 1 else f"{name}, {player}"
            title, right = chosen.get(name, ("", None))
            found.append(Case(own, objective, player, right, title))
    return tuple(found)


def _named(objectives: Any, argument: str) -> dict[str, AbstractObjective]:
    if isinstance(objectives, AbstractObjective):
        objectives = [objectives]
    if isinstance(objectives, str) or not isinstance(objectives, Iterable):
        raise ArgumentError(
            f"{argument} must be an objective such as ELBO(), a list of them or a dict of them by "
            f"name, not {objectives!r}"
        )
    if isinstance(objectives, Mapping):
        pairs = [(str(name), o) for name, o in objectives.items()]
    else:
        pairs = [(str(o), o) for o in objectives]
    for name, objective in pairs:
        if not isinstance(objective, AbstractObjective):
            raise ArgumentError(
                f"{argument}['{name}'] must be an objective such as ELBO(), not {objective!r}"
            )
    twice = sorted({n for n, _ in pairs if [m for m, _ in pairs].count(n) > 1})
    if twice:
        raise ArgumentError(
            f"{argument} has {twice[0]} twice: give a dict, which names each of them"
        )
    return dict(pairs)


def _references(
    reference: Any, named: Mapping[str, AbstractObjective]
) -> dict[str, tuple[str, AbstractObjective]]:
    """Returns title and objective of the reference of each objective that has one."""
    if reference is None:
        return {}
    given = _named(reference, "reference")
    if isinstance(reference, Mapping):
        unknown = sorted(set(given) - set(named))
        if unknown:
            raise ArgumentError(
                f"reference names {unknown}, and the objectives are {sorted(named)}: give a "
                "reference for some of these"
            )
        return {name: (str(right), right) for name, right in given.items()}
    found: dict[str, tuple[str, AbstractObjective]] = {}
    for name, objective in named.items():
        mine = bound_of(objective)
        right = [(t, o) for t, o in given.items() if bound_of(o) == mine]
        if len(right) > 1:
            raise ArgumentError(
                f"reference has {right[0][0]} and {right[1][0]}, of one bound, that of '{name}': "
                "give one for each bound"
            )
        if right:
            found[name] = right[0]
    return found


def bound_of(objective: AbstractObjective) -> Any:
    """Returns what the expected gradient of an objective depends on; equal for equal bounds."""
    (first, single), *others = terms_of(objective)
    if others or first != 1:
        return tuple((weight, bound_of(term)) for weight, term in terms_of(objective))
    objective = single
    if isinstance(objective, SemiSupervised):
        return bound_of(objective.terms)
    if isinstance(objective, Enumerate):
        return ("bound", 1.0, ("model", "guide"), 1.0, (), 0.0)
    if not isinstance(objective, AbstractFamily):
        return type(objective), repr(objective)
    groups = {g for p in objective.players for g in p.groups} & {"model", "guide"}
    key = ("bound", objective.order, tuple(sorted(groups, reverse=True)))
    key += (objective.beta, objective.site_weights, objective.free_bits)
    if objective.order == 1 and not objective.free_bits:  # a mean of what each draw has
        return key
    return (*key, objective.particles, tuple(sorted(objective.enumerate)))


def sums_all(objective: AbstractObjective, table: SiteTable) -> bool:
    """Tells whether an objective sums over all latents of the guide, and so draws none."""
    drawn = {s.name: s for s in table.select("guide", "latent", "auxiliary")}
    if isinstance(objective, Enumerate):
        return all(s.enumerable for s in drawn.values())
    return isinstance(objective, AbstractFamily) and set(drawn) <= set(objective.enumerate)
