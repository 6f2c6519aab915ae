"""Which objectives are right for a program, and why the others are not."""

__all__ = ["Estimators", "Verdict", "estimators"]

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ppgm import registry, tables
from ppgm.checking import check_objective, checked_data, checked_sites
from ppgm.errors import ArgumentError, PpgmError
from ppgm.fits import Fit
from ppgm.inference.objective import AbstractObjective
from ppgm.influences import with_influences
from ppgm.programs import Program

CROSSED = ("elbo", "iwae", "renyi", "cubo")
"""Bounds whose gradient is a field."""


class Verdict(NamedTuple):
    """What was found of one objective.

    Attributes:
        name: How it is written.
        objective: The objective with its usual options, None if it cannot be made without any.
        reason: Why it is not right for the program; its first line of documentation if it is.
        legal: Whether it is.
        bias: What makes its expected gradient another than that of its bound; "" where it is
            unbiased.
    """

    name: str
    objective: AbstractObjective | None
    reason: str
    legal: bool = False
    bias: str = ""

    @property
    def unbiased(self) -> bool:
        """Whether its expected gradient is that of its bound."""
        return self.legal and not self.bias


class Estimators(NamedTuple):
    """The verdicts on all objectives; printed, a table.

    Attributes:
        verdicts: One for each objective, and for each gradient of the bounds that have a choice.
    """

    verdicts: tuple[Verdict, ...]

    @property
    def legal(self) -> dict[str, AbstractObjective]:
        """The objectives that are right for the program, by name."""
        return {v.name: v.objective for v in self.verdicts if v.legal and v.objective is not None}

    def __str__(self) -> str:
        rows = [
            (v.name, "yes" if v.legal else "no", _gradient(v), v.reason) for v in self.verdicts
        ]
        return tables.text(("objective", "legal", "gradient", "why"), rows)


def _gradient(verdict: Verdict) -> str:
    if not verdict.legal:
        return ""
    return f"biased: {verdict.bias}" if verdict.bias else "unbiased"


def estimators(
    program: Program | Fit, data: Mapping[str, Any], *, minibatch: bool = False
) -> Estimators:
    """Checks every objective against a program's sites and graph.

    Args:
        program: The program, or a fit of it.
        data: Its data, as for `ppgm.fit`; a few rows are enough.
        minibatch: Whether a step is to see only some rows of the data.

    Raises:
        ArgumentError: If `program` is neither.
        DataError: As `ppgm.fit`.
        ModelError: If guide and model do not match.
    """
    program = program.program if isinstance(program, Fit) else program
    if not isinstance(program, Program):
        raise ArgumentError(
            "estimators needs a program, as ppgm.program(declaration, host=...) makes them, or a "
            f"Fit, not {type(program).__name__}"
        )
    data = checked_data(program, data)
    table = with_influences(checked_sites(program, data), program, data)

    def check(objective: AbstractObjective) -> None:
        check_objective(program, table, data, objective, minibatch=minibatch)
        objective.nets(table)

    return Estimators(tuple(_verdict(*row, check) for row in _candidates()))


def _candidates() -> Iterator[tuple[str, str, Any]]:
    """Yields name, summary, and a function that makes the objective."""
    for entry in registry.catalogue("objectives"):
        if entry.name == "sum":
            continue
        made = _maker(entry.name, {})
        yield entry.name, entry.summary, made
        if entry.name in CROSSED:
            for gradient in (e.name for e in registry.catalogue("gradients")):
                if gradient != "path":
                    summary = f"the same bound, gradient by {gradient}"
                    options = {"gradient": gradient, "particles": 4}
                    yield f"{entry.name}, {gradient}", summary, _maker(entry.name, options)


def _maker(name: str, options: dict[str, Any]) -> Any:
    return lambda: registry.get("objectives", name)(**options)


def _verdict(
    name: str, summary: str, make: Any, check: Callable[[AbstractObjective], None]
) -> Verdict:
    try:
        objective = make()
    except TypeError as error:  # a part of another distribution that has fields without defaults
        return Verdict(name, None, reason=f"it has no usual options: {error}")
    except PpgmError as error:
        return Verdict(name, None, reason=str(error))
    try:
        check(objective)
    except PpgmError as error:
        return Verdict(name, objective, reason=str(error))
    return Verdict(name, objective, reason=summary, legal=True, bias=objective.bias)
