"""Numbers among the fields of frozen dataclasses: rates, decays, probabilities."""

__all__ = ["check_number"]

from math import inf, isfinite, nan
from numbers import Real
from typing import Any

from ppgm.errors import ArgumentError


def check_number(
    owner: Any, name: str, *, least: float = -inf, above: float = -inf, below: float = inf
) -> None:
    """Checks that a field is a finite number in its domain.

    Args:
        owner: The dataclass.
        name: The field.
        least: Smallest value.
        above: Number that every value is above.
        below: Number that every value is below.

    Raises:
        ArgumentError: Names the class, the field, its domain and the value.
    """
    value: Any = getattr(owner, name)
    real = isinstance(value, Real) and not isinstance(value, bool)
    number = float(value) if real else nan  # NaN is in no domain
    if not (isfinite(number) and number >= least and above < number < below):
        bounds = (("of at least", least), ("above", above), ("below", below))
        words = " and ".join(f"{word} {bound:g}" for word, bound in bounds if isfinite(bound))
        raise ArgumentError(
            f"{type(owner).__name__}: {name} must be a number {words}, not {value!r}"
        )
