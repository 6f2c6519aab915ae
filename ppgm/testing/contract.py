"""What every declaration and every objective has to satisfy, as checks that anyone can run.

For a plug-in's own tests one line is enough:

    test_contract = parametrize_with_checks([MyObjective(), (MyModel(4), {"x": x})])

The checks are exact: they hold to rounding error, 1e-9 where the hosts compute in double
precision. Nothing is trained and no statistics are taken.
"""

__all__ = ["Check", "ContractError", "Outcome", "check", "checks_for", "parametrize_with_checks"]

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from ppgm.errors import ArgumentError
from ppgm.inference.objective import AbstractObjective
from ppgm.rows import row_count
from ppgm.testing.contract_declarations import declaration_checks
from ppgm.testing.contract_objectives import objective_checks
from ppgm.testing.contract_parts import Check, ContractError, Data, installed


class Outcome(NamedTuple):
    """What a check found.

    Attributes:
        name: The requirement.
        error: Why it is not met, None if it is.
    """

    name: str
    error: str | None


def checks_for(
    thing: Any, *, data: Data | None = None, hosts: Sequence[str] | None = None
) -> list[Check]:
    """Lists the checks that a declaration or an objective has to pass.

    Args:
        thing: An objective, or a declaration.
        data: Some rows of data for a declaration, at least 2 of them.
        hosts: Names of the hosts; by default those that are installed.
    """
    hosts = list(installed() if hosts is None else hosts)
    if isinstance(thing, AbstractObjective):
        return objective_checks(thing, hosts)
    if not callable(getattr(thing, "model", None)):
        raise ArgumentError(
            f"expected an objective or a declaration (with a method `model`), got {thing!r}."
        )
    if not data or (row_count(data) or 0) < 2:
        raise ArgumentError(
            f"{type(thing).__name__} needs data with at least 2 rows to be checked: data={{...}}."
        )
    return declaration_checks(thing, data, hosts)


def check(
    thing: Any,
    *,
    data: Data | None = None,
    hosts: Sequence[str] | None = None,
    on_fail: Literal["raise", "collect"] = "raise",
) -> list[Outcome]:
    """Runs all checks.

    Args:
        thing: An objective, or a declaration.
        data: Some rows of data for a declaration.
        hosts: Names of the hosts; by default those that are installed.
        on_fail: Whether the first failure is raised, or all are returned.

    Raises:
        ContractError: With `on_fail="raise"`, for the first check that fails.
    """
    outcomes = []
    for name, run in checks_for(thing, data=data, hosts=hosts):
        try:
            run()
            outcomes.append(Outcome(name, None))
        except Exception as error:
            if on_fail == "raise":
                raise ContractError(f"{type(thing).__name__}: {name}: {error}") from error
            outcomes.append(Outcome(name, f"{type(error).__name__}: {error}"))
    return outcomes


def parametrize_with_checks(things: Iterable[Any]) -> Any:
    """Decorates a test that takes `check` and calls ``check.run()``: one test for each check.

    Args:
        things: Objectives, and pairs (declaration, data).
    """
    import pytest

    rows = []
    for item in things:
        thing, data = item if isinstance(item, tuple) else (item, None)
        rows += [
            pytest.param(c, id=f"{type(thing).__name__}: {c.name}")
            for c in checks_for(thing, data=data)
        ]
    return pytest.mark.parametrize("check", rows)
