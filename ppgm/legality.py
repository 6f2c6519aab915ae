"""Whether an objective is right for a program; a refusal recommends others that are."""

__all__ = ["check_density", "check_legal"]

import ast
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from ppgm.errors import EstimatorError, PpgmError
from ppgm.sites import SiteTable


def check_legal(
    objective: Any,
    table: SiteTable,
    subsampled: tuple[str, ...] = (),
    influenced: Callable[[], SiteTable] | None = None,
) -> None:
    """Checks that an objective can be right for a program.

    Args:
        objective: The objective.
        table: The program's sites, with their influences where the objective is `local`.
        subsampled: Names of the plates of which a step sees only some rows.
        influenced: Returns the table with influences, for objectives to recommend.

    Raises:
        EstimatorError: Recommends, of the objectives that the refusal names, those that are
            right themselves.
    """
    try:
        objective.check(table, subsampled)
    except EstimatorError as error:
        if not error.use:
            raise

        def is_right(text: str) -> bool:
            other, seen = _made(text), table
            if other is None:
                return True
            try:
                if other.local and table.influences is None and influenced is not None:
                    seen = influenced()
                other.check(seen, subsampled)
                other.nets(seen)
            except PpgmError:
                return False
            return True

        raise EstimatorError(error.fact, tuple(filter(is_right, error.use))) from None


def check_density(table: SiteTable, name: str, use: Iterable[str] = ()) -> None:
    """Checks that the log weights of draws are no estimates of log p(x).

    Args:
        table: The program's sites.
        name: What exponentiates them.
        use: Objectives that do not.

    Raises:
        EstimatorError: Names the noise of the estimate, and says what to do.
    """
    for site, instead in (table.estimate_noise or {}).items():
        raise EstimatorError(
            f"site '{site}' is the noise of an unbiased estimate of log p(x), whose exponential "
            f"is too large on average, so that {name} would be above log p(x): {instead}",
            use=use,
        )


def _made(text: str) -> Any:
    """Returns the objective that is written as ``ELBO(enumerate=('y',))``; None of a method."""
    name, bracket, rest = text.partition("(")
    call: Any = ast.parse(f"f({rest}" if bracket else "f()", mode="eval").body
    options = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    made = getattr(import_module("ppgm.inference"), name)(**options)
    return made if hasattr(made, "players") else None
