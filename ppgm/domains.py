"""Fields of frozen dataclasses: rates, probabilities, sizes, widths, words, parts."""

__all__ = ["check_choice", "check_number", "check_part", "check_size", "check_widths"]

from collections.abc import Iterable
from math import inf, isfinite, nan
from numbers import Integral, Real
from typing import Any

from ppgm.errors import ArgumentError, did_you_mean


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
        domain = f"a number {words}".rstrip()
        raise ArgumentError(f"{type(owner).__name__}: {name} must be {domain}, not {value!r}")


def check_size(owner: Any, *names: str, least: int = 1) -> None:
    """Checks that fields are integers of at least `least`.

    Raises:
        ArgumentError: Names the class, the field and the value.
    """
    for name in names:
        value = getattr(owner, name)
        if not _is_size(value, least):
            raise ArgumentError(
                f"{type(owner).__name__}: {name} must be an integer of at least {least}, "
                f"not {value!r}"
            )


def check_widths(owner: Any, name: str) -> None:
    """Checks that a field is a tuple or list of integers of at least 1; it may be empty.

    Raises:
        ArgumentError: Names the class, the field and the value.
    """
    value = getattr(owner, name)
    if not isinstance(value, tuple | list) or not all(_is_size(v, 1) for v in value):
        raise ArgumentError(
            f"{type(owner).__name__}: {name} must be a tuple of integers of at least 1, such as "
            f"(64, 64), not {value!r}"
        )


def check_choice(owner: Any, name: str, choices: tuple[str, ...]) -> None:
    """Checks that a field is one of a few words.

    Raises:
        ArgumentError: Names the class, the field, the choices and the value.
    """
    value = getattr(owner, name)
    if value not in choices:
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        raise ArgumentError(
            f"{type(owner).__name__}: {name} must be one of {', '.join(map(repr, choices))}, "
            f"not {value!r}{hint}"
        )


def check_part(name: str, value: Any, method: str, choices: Iterable[str]) -> None:
    """Checks that a field holds a part: an object that has `method`, and can be called.

    Args:
        name: The field.
        value: What it holds.
        method: The method that such a part has.
        choices: Names of the classes that ppgm has for it.

    Raises:
        ArgumentError: Names the choices.
    """
    known, is_class = list(choices), isinstance(value, type)
    if not is_class and callable(value) and callable(getattr(value, method, None)):
        return
    given = value.__name__ if is_class else value
    hint = did_you_mean(f"{given}()", [f"{n}()" for n in known])
    what = f"the class {given}" if is_class else repr(value)
    raise ArgumentError(
        f"{name} must be {', '.join(f'{n}(...)' for n in known)} or an object with the same "
        f"methods, not {what}{hint}"
    )


def _is_size(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
