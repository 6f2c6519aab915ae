"""Parts built from ``field=value`` texts of the command line.

A field takes what its annotation says: numbers, words, ``64,64`` for a tuple, ``none``. A field
that holds a part takes the part's name, and a dot leads to the part's own fields::

    --set latent=8 --set hidden=64,64 --set likelihood=gaussian --set likelihood.scale=0.1

Weights by name are written ``x:2,z:0.5``. A part with all its fields in one word is
``tvo:betas=0.1,0.5,particles=4``: what has no "=" belongs to the field before.
"""

__all__ = ["assignments", "build", "build_word"]

import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ppgm import registry
from ppgm.errors import ArgumentError, did_you_mean

PART_KINDS = {
    "Likelihood": "likelihoods",
    "Family": "guides",
    "Network": "networks",
    "critic": "networks",
    "objective": "objectives",
    "optimiser": "optimisers",
}
"""Kind of a part by the annotation, or else by the name, of the field that holds it."""


def assignments(texts: Iterable[str]) -> dict[str, str]:
    """Splits ``field=value`` texts.

    Raises:
        ArgumentError: If a text has no "=", or a field is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ArgumentError(f"'{text}' must be written field=value, such as latent=8")
        if name in found:
            raise ArgumentError(f"field '{name}' is given twice, as {found[name]} and as {value}")
        found[name] = value.strip()
    return found


def build(
    kind: str, name: str, given: Mapping[str, str], defaults: Mapping[str, Any] | None = None
) -> Any:
    """Builds a part from texts.

    Args:
        kind: Its kind, as in `ppgm.registry`.
        name: Its name.
        given: Texts by field; "field.inner" is a field of the part in "field".
        defaults: Values of fields that are used where `given` has none and the part has the field.

    Raises:
        ArgumentError: If there is no such part or field, or a text does not fit the field.
    """
    cls = registry.get(kind, name)
    known = {field.name: field for field in fields(cls) if field.init}
    for key in given:
        if key.partition(".")[0] not in known:
            base = key.partition(".")[0]
            raise ArgumentError(
                f"{name} has no field '{base}'; its fields are "
                f"{', '.join(known) or 'none'}{did_you_mean(base, known)}"
            )
    values = {k: v for k, v in (defaults or {}).items() if k in known and k not in given}
    hints = get_type_hints(cls)
    for key in dict.fromkeys(k.partition(".")[0] for k in given):
        values[key] = _value(name, known[key], hints[key], _inside(given, key))
    absent = [n for n, f in known.items() if n not in values and _required(f)]
    if absent:
        raise ArgumentError(f"{name} needs the field '{absent[0]}': add --set {absent[0]}=...")
    return cls(**values)


def build_word(kind: str, word: str) -> Any:
    """Builds a part from ``NAME[:FIELD=VALUE,...]``.

    Raises:
        ArgumentError: As `build`.
    """
    name, _, rest = word.partition(":")
    texts: list[str] = []
    for piece in filter(None, rest.split(",")):
        if "=" in piece or not texts:
            texts.append(piece)
        else:
            texts[-1] += f",{piece}"
    return build(kind, name, assignments(texts))


def _inside(given: Mapping[str, str], key: str) -> dict[str, str]:
    """Returns the texts of a field: its own under "", those of the part's fields by name."""
    parts = {k.removeprefix(f"{key}."): v for k, v in given.items() if k.startswith(f"{key}.")}
    return {**parts, "": given[key]} if key in given else parts


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _value(part: str, field: Field[Any], hint: Any, texts: dict[str, str]) -> Any:
    text = texts.pop("", None)
    kind = _kind(hint, field.name)
    if kind is not None:
        return _part(part, field, kind, text, texts)
    if texts or text is None:
        raise ArgumentError(
            f"{part}: '{field.name}' is a plain value and has no fields of its own"
        )
    try:
        return _parse(hint, text)
    except ValueError:
        raise ArgumentError(
            f"{part}: '{field.name}' must be {_expected(hint)}, not '{text}'"
        ) from None


def _part(
    part: str, field: Field[Any], kind: str, text: str | None, texts: Mapping[str, str]
) -> Any:
    if text is None:
        if field.default in (None, MISSING):
            raise ArgumentError(f"{part}: give {field.name}=NAME before fields of it")
        text = registry.name_of(type(field.default))[1]
    if text.lower() == "none":
        return None
    return build(kind, text, texts)


def _kind(hint: Any, name: str) -> str | None:
    names = [getattr(h, "__name__", "") for h in _options(hint)]
    kinds = [PART_KINDS[n] for n in names if n in PART_KINDS]
    if kinds:
        return kinds[0]
    return PART_KINDS.get(name) if hint is Any else None


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _parse(hint: Any, text: str) -> Any:
    for option in _options(hint):
        try:
            return _parse_one(option, text)
        except ValueError:
            continue
    raise ValueError(text)


def _parse_one(hint: Any, text: str) -> Any:
    if hint is type(None) and text.lower() == "none":
        return None
    if hint is bool and text.lower() in ("true", "false", "yes", "no"):
        return text.lower() in ("true", "yes")
    if hint in (int, float, str):
        return hint(text)
    if get_origin(hint) is Literal and text in get_args(hint):
        return text
    if get_origin(hint) is tuple:
        return _parse_tuple(get_args(hint), text)
    if get_origin(hint) is Mapping:
        return _parse_pairs(get_args(hint), text)
    raise ValueError(text)


def _parse_pairs(inner: tuple[Any, ...], text: str) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for item in filter(None, text.split(",")):
        name, colon, value = item.rpartition(":")
        if not colon or name.strip() in found:
            raise ValueError(text)
        found[_parse(inner[0], name.strip())] = _parse(inner[1], value.strip())
    return found


def _parse_tuple(inner: tuple[Any, ...], text: str) -> tuple[Any, ...]:
    items = [item.strip() for item in text.strip("()").split(",") if item.strip()]
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(_parse(inner[0], item) for item in items)
    if len(items) != len(inner):
        raise ValueError(text)
    return tuple(_parse(hint, item) for hint, item in zip(inner, items, strict=True))


def _expected(hint: Any) -> str:
    return " or ".join(filter(None, map(_expected_one, _options(hint))))


def _expected_one(hint: Any) -> str:
    words = {int: "an integer", float: "a number", bool: "true or false", type(None): "none"}
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        many = len(inner) == 2 and inner[1] is Ellipsis
        if get_origin(inner[0]) is tuple:
            return ""
        return f"{'' if many else f'{len(inner)} '}values with commas between, as in 64,64"
    if get_origin(hint) is Mapping:
        return "numbers by name with commas between, as in x:2,z:0.5"
    return words.get(hint, "a value that can be written on the command line")
