"""The arguments of `ppgm.fit`: their checks, their defaults, and what an earlier fit leaves."""

__all__ = [
    "check_callbacks",
    "check_counts",
    "check_early_stopping",
    "defaults",
    "epochs_done",
    "optimisers_of",
    "same_batches",
    "state_of",
    "steps_done",
    "validation_rows",
]

from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any

import numpy as np

from ppgm.batches import Source
from ppgm.errors import ArgumentError, did_you_mean
from ppgm.fits import EarlyStopping, Epoch, Fit
from ppgm.inference.objective import AbstractObjective
from ppgm.optimisers import Adam
from ppgm.sites import SiteTable


def defaults(
    before: Fit | None, objective: AbstractObjective | None, seed: int | None
) -> tuple[AbstractObjective, int]:
    """Returns objective and seed, by default those of the fit to go on from."""
    if objective is None:
        if before is None:
            raise ArgumentError("objective is missing: give one, for instance ELBO()")
        objective = before.config["objective"]
    if not isinstance(objective, AbstractObjective):
        raise ArgumentError(f"objective must be an objective such as ELBO(), not {objective!r}")
    seed = (before.config["seed"] if before else 0) if seed is None else seed
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"seed must be an integer of at least 0, not {seed!r}")
    return objective, int(seed)


def check_counts(*, epochs: Any, steps: Any, batch_size: Any) -> None:
    """Checks that the numbers are positive, and that there is one of epochs and steps."""
    if (epochs is None) == (steps is None):
        raise ArgumentError("give either epochs or steps")
    for name, value in (("epochs", epochs), ("steps", steps), ("batch_size", batch_size)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ArgumentError(f"{name} must be an integer of at least 1, not {value!r}")


def validation_rows(found: SiteTable, trained: SiteTable) -> float:
    """Returns how many rows a bound on the validation data sums over; 1 with global latents.

    Args:
        found: Sites of the program on the validation data, whose plates have their own sizes.
        trained: Sites of the program on a batch, by which a drawn row counts for several.
    """
    scales = {n: p.full_size / p.size for n, p in trained.plates.items()}
    return prod((found.plates[n].size * scales[n] for n in trained.rows), start=1.0)


def check_callbacks(callbacks: Any) -> tuple[Callable[[Epoch], None], ...]:
    """Returns the callbacks; refuses what is not a list of functions."""
    found = tuple(callbacks) if isinstance(callbacks, Iterable) else ()
    if not isinstance(callbacks, Iterable) or not all(map(callable, found)):
        raise ArgumentError(
            "callbacks must be a list of functions of an Epoch, such as [print], "
            f"not {callbacks!r}"
        )
    return found


def check_early_stopping(rule: EarlyStopping | None, validation: Mapping[str, Any] | None) -> None:
    """Checks that there is a rule, and that what it monitors will be there."""
    if rule is not None and not isinstance(rule, EarlyStopping):
        raise ArgumentError(
            "early_stopping must be an EarlyStopping, for instance EarlyStopping(patience=3), "
            f"not {rule!r}"
        )
    if rule is not None and rule.monitor == "validation" and validation is None:
        raise ArgumentError(
            "early_stopping monitors 'validation': give validation data, or "
            "EarlyStopping(monitor='bound')"
        )


def epochs_done(before: Fit | None, objective: AbstractObjective) -> int:
    """Returns the number of epochs that count as done; another objective begins anew."""
    if before is None or before.config["objective"] != objective:
        return 0
    return int(before.config["epochs"])


def steps_done(before: Fit | None, objective: AbstractObjective) -> int:
    """Returns the number of steps that count as done; like epochs, whatever the optimiser."""
    if before is None or before.config["objective"] != objective:
        return 0
    return int(before.config["steps"])


def state_of(
    before: Fit | None, objective: AbstractObjective, optimisers: dict[str, Any]
) -> Mapping[str, np.ndarray]:
    """Returns the state to go on from; empty unless objective and optimisers are the same."""
    if before is None or before.config["objective"] != objective:
        return {}
    return before.state if before.config["optimiser"] == optimisers else {}


def same_batches(before: Fit | None, source: Source) -> bool:
    """Tells whether an epoch that was left in the middle can go on there."""
    if before is None:
        return False
    mine = {"batch_size": source.batch_size, "rows": source.rows}
    return all(before.config.get(name) == value for name, value in mine.items())


def optimisers_of(given: Any, objective: AbstractObjective, before: Fit | None) -> dict[str, Any]:
    """Returns the optimiser of each player: as given, or of the fit to go on from, or Adam."""
    names = [p.name for p in objective.players]
    if given is None:
        old = before.config["optimiser"] if before else {}
        return {n: old.get(n, Adam()) for n in names}
    if not isinstance(given, dict):
        return dict.fromkeys(names, given)
    if set(given) != set(names):
        unknown = next((str(n) for n in given if n not in names), "")
        raise ArgumentError(
            f"optimiser has entries {list(given)}; the players of this objective are {names}"
            f"{did_you_mean(unknown, names)}"
        )
    return given
