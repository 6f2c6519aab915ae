"""Groups of arrays as safetensors files, whose names carry the hash of their content."""

__all__ = ["FILE", "encode", "parse"]

import json
import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from ppgm.errors import ArgumentError, StorageError
from ppgm.store_manifest import digest

FILE = re.compile(r"([a-z][a-z0-9_]{0,31})-([0-9a-f]{16})\.safetensors", re.ASCII)
"""Name of a tensor file: its group, and the start of its hash."""

_STEM = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_HEADER_BYTES = 8 << 20
_DTYPES = {
    "BOOL": "?", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8",
    "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def encode(
    tensors: Mapping[str, Mapping[str, ArrayLike]], history: Mapping[str, ArrayLike]
) -> dict[str, bytes]:
    """Returns the content of each tensor file by its name."""
    if "history" in tensors:
        raise ArgumentError("tensors: 'history' is the name of the history; use another word.")
    files = {}
    for stem, arrays in {**tensors, "history": history}.items():
        if not _STEM.fullmatch(stem):
            raise ArgumentError(
                f"tensors: {stem!r} is not a group name; use a-z, 0-9 and _, at most 32 of them."
            )
        content = _dump(stem, arrays)
        files[f"{stem}-{digest(content)[:16]}.safetensors"] = content
    return files


def _dump(stem: str, arrays: Mapping[str, ArrayLike]) -> bytes:
    from safetensors.numpy import save as dump  # here, for a quick `import ppgm`

    prepared = {name: _native(f"{stem}/{name}", array) for name, array in arrays.items()}
    try:
        return dump(prepared)
    except Exception as error:
        raise ArgumentError(f"the tensors of {stem!r} cannot be written: {error}") from error


def _native(label: str, value: ArrayLike) -> np.ndarray:
    array = np.asarray(value)
    dtype = array.dtype.newbyteorder("<")
    if dtype not in map(np.dtype, _DTYPES.values()):
        raise ArgumentError(f"{label} has dtype {array.dtype}; save booleans, integers or floats.")
    # safetensors writes the memory as it lies: it has to be in C order. (ascontiguousarray would
    # turn shape () into (1,).)
    return np.asarray(array, dtype=dtype, order="C")


def parse(label: str, content: bytes) -> dict[str, np.ndarray]:
    """Returns the arrays of a tensor file; `label` names it in errors."""
    from safetensors.numpy import load as parse

    _check_header(label, content)
    try:
        arrays = parse(content)
    except Exception as error:
        raise StorageError(f"{label} is not a safetensors file: {error}") from error
    # Depending on its version, the loader returns read-only views into the whole file.
    return {name: np.array(array) for name, array in arrays.items()}


def _check_header(label: str, content: bytes) -> None:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(len(content) - 8, _HEADER_BYTES):
        raise StorageError(f"{label} is not a safetensors file: its header has no valid length.")
    try:
        header = json.loads(content[8 : 8 + length])
        dtypes = {header[name]["dtype"] for name in header if name != "__metadata__"}
        unknown = dtypes.difference(_DTYPES)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StorageError(f"{label} is not a safetensors file: {error!r}") from error
    if unknown:
        kinds = ", ".join(sorted(map(ascii, unknown)))
        raise StorageError(f"{label} has tensors of type {kinds}, which ppgm does not read.")
