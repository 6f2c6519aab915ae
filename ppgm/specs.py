"""Specs as JSON: models, guides, objectives and their parts, written down and built again.

A spec is a frozen dataclass that the registry knows by name. It is written as

    {"kind": "models", "name": "vae", "fields": {"features": 64, "hidden": {"tuple": [200, 200]}}}

and its fields hold None, booleans, integers, floats, strings, tuples, lists, dicts and further
specs. What JSON cannot tell apart is marked: `{"tuple": [...]}`, `{"dict": [[key, value], ...]}`
and `{"float": "inf"}`; a JSON array is a list. Every value comes back equal and of the same type;
a numpy scalar comes back as the Python number that equals it.

Reading looks names up in the registry and nowhere else: a description cannot name a module, and
cannot set anything that is not a field.
"""

import math
from collections.abc import Iterable
from dataclasses import Field, fields, is_dataclass
from typing import Any

import numpy as np

from ppgm import registry
from ppgm.errors import ArgumentError, PpgmError, StorageError, did_you_mean

__all__ = ["from_dict", "to_dict"]

_DEPTH = 32
_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def to_dict(spec: Any) -> dict[str, Any]:
    """Describes a spec by plain JSON values.

    Args:
        spec: A frozen dataclass that has a name in the registry.

    Raises:
        ArgumentError: The spec, or something in its fields, cannot be described.
    """
    if not _is_spec(spec):
        raise ArgumentError(
            f"expected a frozen dataclass such as a model or an objective, got {spec!r}."
        )
    return _encode_spec(spec, type(spec).__name__)


def from_dict(description: Any, *, kind: str | None = None) -> Any:
    """Builds the spec that `to_dict` described.

    Args:
        description: What `to_dict` returned, possibly after a round trip through JSON.
        kind: The kind that is expected, such as "models"; any kind if None.

    Raises:
        StorageError: The description is malformed or does not fit the class that it names.
        ArgumentError: The registry does not know the name.
        PluginError: The name belongs to a distribution that is not available.
    """
    if not isinstance(description, dict) or set(description) != {"kind", "name", "fields"}:
        raise StorageError(
            f"a stored description has the keys kind, name and fields; got {_brief(description)}."
        )
    if kind is not None and description["kind"] != kind:
        raise StorageError(
            f"a stored description of kind {kind!r} was expected; "
            f"got kind {_brief(description['kind'])}."
        )
    return _decode_spec(description, depth=0)


def _is_spec(value: Any) -> bool:
    if isinstance(value, type) or not is_dataclass(value):
        return False
    return value.__dataclass_params__.frozen  # pyright: ignore[reportAttributeAccessIssue]


def _encode_spec(spec: Any, path: str) -> dict[str, Any]:
    kind, name = registry.name_of(type(spec))
    values = {
        field.name: _encode(getattr(spec, field.name), f"{path}.{field.name}")
        for field in _arguments(type(spec))
    }
    return {"kind": kind, "name": name, "fields": values}


def _encode(value: Any, path: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if type(value) is list:
        return _encode_items(value, path)
    if type(value) is tuple:
        return {"tuple": _encode_items(value, path)}
    if type(value) is dict:
        return {"dict": [_encode_items(item, f"{path}[{item[0]!r}]") for item in value.items()]}
    if _is_spec(value):
        return _encode_spec(value, path)
    raise ArgumentError(
        f"{path} is a {type(value).__name__}, which cannot be saved: use None, a number, a "
        f"string, a tuple, list or dict of these, or a frozen dataclass with a name in ppgm."
    )


def _encode_items(values: Iterable[Any], path: str) -> list[Any]:
    return [_encode(value, f"{path}[{i}]") for i, value in enumerate(values)]


def _decode_spec(description: dict[str, Any], depth: int) -> Any:
    kind, name, given = description["kind"], description["name"], description["fields"]
    if not (isinstance(kind, str) and isinstance(name, str) and isinstance(given, dict)):
        raise StorageError(
            f"a stored description has two strings and an object; got {_brief(description)}."
        )
    cls = registry.get(kind, name)
    label = f"{kind}/{name}"
    if not (isinstance(cls, type) and is_dataclass(cls)):
        raise StorageError(f"{label} is not a dataclass: it cannot be built from stored fields.")
    _check_fields(label, set(given), cls)
    values = {key: _decode(value, depth + 1) for key, value in given.items()}
    try:
        return cls(**values)
    except PpgmError:
        raise
    except Exception as error:
        raise StorageError(f"{label} refuses its stored fields: {error}") from error


def _check_fields(label: str, given: set[str], cls: type) -> None:
    known = [field.name for field in _arguments(cls)]
    unknown = sorted(given.difference(known))
    if unknown:
        raise StorageError(
            f"{label} has no field {', '.join(map(_brief, unknown))}; "
            f"its fields are {', '.join(known)}{did_you_mean(unknown[0], known)}"
        )


def _arguments(cls: type) -> list[Field[Any]]:
    return [field for field in fields(cls) if field.init]


def _decode(value: Any, depth: int) -> Any:
    if depth > _DEPTH:
        raise StorageError(f"a stored description is nested deeper than {_DEPTH} levels.")
    if isinstance(value, list):
        return [_decode(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return _decode_marked(value, depth)
    return value


def _decode_marked(value: dict[str, Any], depth: int) -> Any:
    match value:
        case {"kind": _, "name": _, "fields": _} if len(value) == 3:
            return _decode_spec(value, depth)
        case {"tuple": [*items]} if len(value) == 1:
            return tuple(_decode(item, depth + 1) for item in items)
        case {"dict": [*items]} if len(value) == 1:
            return _decode_dict(items, depth + 1)
        case {"float": str(text)} if len(value) == 1 and text in _SPECIAL:
            return _SPECIAL[text]
    raise StorageError(
        f"a stored value is marked by kind/name/fields, tuple, dict or float; got {_brief(value)}."
    )


def _decode_dict(items: list[Any], depth: int) -> dict[Any, Any]:
    if not all(isinstance(item, list) and len(item) == 2 for item in items):
        raise StorageError(f"a stored dict is a list of pairs; got {_brief(items)}.")
    try:
        return {_decode(key, depth): _decode(value, depth) for key, value in items}
    except TypeError as error:
        raise StorageError(f"a stored dict has a key that cannot be one: {error}") from error


def _brief(value: Any) -> str:
    """Shows a value from a file without control characters and without its full length."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
