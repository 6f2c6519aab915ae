r"""Saved runs: one folder of tensors and a manifest that vouches for every byte of them.

    runs/vae/
        manifest.json                          configuration, versions, each file's SHA-256
        params-3f0c9b5a1d7e4c21.safetensors    one file per group of tensors, named by its hash
        history-90ab45de11c07f68.safetensors

`save` writes each file beside its final name, flushes it to the disk and renames it; the manifest
comes last. Files of different content have different names, so nothing that the old manifest
names is touched until the new one has replaced it in a single rename: whenever the writer stops,
the folder holds the whole old run or the whole new one. Other files in the folder are left alone.

`load` reads tensors and JSON, nothing that could carry code, and refuses a folder in which any
byte differs from what was written. A hash finds damage, not forgery: it is no signature.
"""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from platform import python_version
from stat import S_ISREG
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ppgm.errors import ArgumentError, StorageError

try:
    import fcntl
except ImportError:  # no advisory locks on this platform
    fcntl = None

__all__ = ["Stored", "load", "match", "save"]

_FORMAT = "ppgm-run"
_VERSION = 1
_MANIFEST = "manifest.json"
_MANIFEST_BYTES = 16 << 20
_HEADER_BYTES = 8 << 20
_STEM = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_FILE = re.compile(r"([a-z][a-z0-9_]{0,31})-([0-9a-f]{16})\.safetensors", re.ASCII)
_LEFTOVER = re.compile(r"\.ppgm-[0-9a-f]{16}\.tmp", re.ASCII)
_DTYPES = {
    "BOOL": "?", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8",
    "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_LIBRARIES = ("ppgm", "numpy", "safetensors", "torch", "pyro-ppl", "jax", "numpyro", "equinox")


class Stored(NamedTuple):
    """What a folder held.

    Attributes:
        config: The configuration, plain JSON values.
        tensors: Arrays by group ("params", "state", ...) and flat name.
        history: Arrays by name, `(T,)` each.
        versions: Versions of Python and of the libraries that wrote the run.
    """

    config: dict[str, Any]
    tensors: dict[str, dict[str, np.ndarray]]
    history: dict[str, np.ndarray]
    versions: dict[str, str]


def save(
    folder: str | os.PathLike[str],
    *,
    config: Mapping[str, Any],
    tensors: Mapping[str, Mapping[str, ArrayLike]],
    history: Mapping[str, ArrayLike],
) -> None:
    """Writes a run, or replaces the run that the folder holds.

    Args:
        folder: The folder; it is created where it does not exist.
        config: Plain JSON values: string keys, lists and not tuples, finite numbers.
        tensors: Arrays by group and flat name. A group is a short lower-case word.
        history: Arrays by name.

    Raises:
        ArgumentError: The content cannot be written as JSON and tensors.
        StorageError: The folder cannot be written; the run that it held is still there.
    """
    path = Path(folder)
    files = _encode(tensors, history)
    manifest = _seal(
        {
            "format": _FORMAT,
            "version": _VERSION,
            "config": _plain(config),
            "files": {name: _stamp(content) for name, content in files.items()},
            "versions": _versions(),
        }
    )
    try:
        _write(path, files, manifest)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot save the run to {str(path)!r}: {error}") from error


def load(folder: str | os.PathLike[str]) -> Stored:
    """Reads a run and verifies every byte of it.

    Raises:
        StorageError: The folder holds no run, or a file is missing, damaged or malformed.
    """
    path = Path(folder)
    raw = _read_manifest(path)
    while True:
        try:
            return _open(path, _unseal(path, raw))
        except StorageError:
            # A writer may have replaced the run while we were reading: then read the new one.
            before, raw = raw, _read_manifest(path)
            if raw == before:
                raise


def match(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, Any]) -> None:
    """Checks that stored tensors are the ones a program has, by name and shape.

    Args:
        expected: Shapes by name, as the program has them.
        found: Arrays or shapes by name, as they were stored.

    Raises:
        StorageError: They differ; the message lists how.
    """
    want = {name: tuple(shape) for name, shape in expected.items()}
    have = {name: tuple(getattr(value, "shape", value)) for name, value in found.items()}
    lines = [f"missing {name!r} {want[name]}" for name in want if name not in have]
    lines += [f"unexpected {name!r} {have[name]}" for name in have if name not in want]
    lines += [
        f"{name!r} has shape {have[name]} instead of {want[name]}"
        for name in want
        if name in have and have[name] != want[name]
    ]
    if lines:
        rest = f"; and {len(lines) - 8} more" if len(lines) > 8 else ""
        raise StorageError(
            f"the stored tensors belong to another model: {'; '.join(lines[:8])}{rest}."
        )


# --------------------------------------------------------------------------- content


def _encode(
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
        files[f"{stem}-{_hash(content)[:16]}.safetensors"] = content
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


def _parse(label: str, content: bytes) -> dict[str, np.ndarray]:
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


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain = json.loads(json.dumps(dict(config), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"config cannot be written as JSON: {error}") from error
    changed = [key for key in config if key not in plain or plain[key] != config[key]]
    if changed:
        raise ArgumentError(
            f"config: {changed[0]!r} changes on its way through JSON; use string keys, and "
            f"lists instead of tuples (or ppgm.specs.to_dict)."
        )
    return plain


# -------------------------------------------------------------------------- manifest


def _seal(manifest: dict[str, Any]) -> bytes:
    """Writes a manifest with the hash of its own text as the last entry."""
    text = json.dumps(manifest, indent=1, allow_nan=False)
    return (json.dumps({**manifest, "sha256": _hash(text.encode())}, indent=1) + "\n").encode()


def _unseal(path: Path, raw: bytes) -> dict[str, Any]:
    label = str(path / _MANIFEST)
    try:
        manifest = json.loads(raw)
        # Writing it again and comparing every byte finds what a parser forgives: spaces,
        # duplicate keys, NaN, another spelling of a number.
        intact = _seal({k: v for k, v in manifest.items() if k != "sha256"}) == raw
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError(f"{label} is damaged: {error}") from error
    if not intact:
        raise StorageError(f"{label} is damaged: its content does not have the hash it states.")
    if manifest.get("format") != _FORMAT:
        raise StorageError(f"{label} is not the manifest of a ppgm run.")
    if manifest.get("version") != _VERSION:
        raise StorageError(
            f"{label} has format version {ascii(manifest.get('version'))}; this ppgm reads "
            f"{_VERSION}: install the ppgm that wrote it, {ascii(manifest.get('versions'))}."
        )
    return _typed(label, manifest)


def _typed(label: str, manifest: dict[str, Any]) -> dict[str, Any]:
    match manifest:
        case {"config": dict(), "files": dict(files), "versions": dict()} if all(
            isinstance(entry, dict)
            and isinstance(entry.get("sha256"), str)
            and type(entry.get("bytes")) is int
            for entry in files.values()
        ):
            return manifest
    raise StorageError(f"{label} is malformed: config, files or versions is not as written.")


def _stamp(content: bytes) -> dict[str, Any]:
    return {"sha256": _hash(content), "bytes": len(content)}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": python_version()}
    for library in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):  # an optional library
            found[library] = metadata.version(library)
    return found


# --------------------------------------------------------------------------- reading


def _open(path: Path, manifest: dict[str, Any]) -> Stored:
    groups = {}
    for name, stamp in manifest["files"].items():
        named = _FILE.fullmatch(name)
        if named is None or named[1] in groups:
            raise StorageError(f"{str(path / _MANIFEST)!r} names the file {ascii(name)}: refused.")
        content = _read(path / name, stamp["bytes"])
        if len(content) != stamp["bytes"] or _hash(content) != stamp["sha256"]:
            raise StorageError(
                f"{str(path / name)!r} is damaged: {len(content)} bytes that do not have the "
                f"hash in the manifest ({stamp['bytes']} bytes were written)."
            )
        groups[named[1]] = _parse(str(path / name), content)

    if "history" not in groups:
        raise StorageError(f"{str(path / _MANIFEST)!r} names no history: it is malformed.")
    history = groups.pop("history")
    return Stored(manifest["config"], groups, history, manifest["versions"])


def _read_manifest(path: Path) -> bytes:
    raw = _read(path / _MANIFEST, _MANIFEST_BYTES)
    if len(raw) > _MANIFEST_BYTES:
        raise StorageError(f"{str(path / _MANIFEST)!r} is too large for a manifest.")
    return raw


def _read(path: Path, limit: int) -> bytes:
    """Reads a regular file, at most one byte more than the limit."""
    try:
        # Looked at before it is opened, since to open a pipe is to wait for its writer.
        status = os.stat(path)
        if not S_ISREG(status.st_mode):
            raise StorageError(f"{str(path)!r} is not a regular file.")
        with open(path, "rb") as file:
            return file.read(min(max(limit, 0), status.st_size) + 1)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot read {str(path)!r}: {error}") from error


# --------------------------------------------------------------------------- writing


def _write(path: Path, files: Mapping[str, bytes], manifest: bytes) -> None:
    created = [folder for folder in (path, *path.parents) if not folder.exists()]
    done = False
    try:
        os.makedirs(path, exist_ok=True)
        with _locked(path):
            previous = _previous_files(path)
            try:
                for name, content in files.items():
                    _replace(path / name, content)
                _sync_folder(path)
                _replace(path / _MANIFEST, manifest)
                done = True
                _sync_folder(path)
            finally:
                _sweep(path, keep=set(files) if done else previous)
    finally:
        if not done:
            _remove_empty(created)


def _previous_files(path: Path) -> set[str]:
    """Returns the tensor files of the run in the folder; refuses to replace anything else."""
    if not os.path.lexists(path / _MANIFEST):
        return set()
    try:
        manifest = json.loads(_read_manifest(path))
        if manifest["format"] == _FORMAT:
            return set(manifest["files"])
    except (ValueError, TypeError, KeyError, RecursionError):
        pass  # damaged, or never ours: said below
    raise StorageError(
        f"{str(path / _MANIFEST)!r} is not the manifest of a ppgm run, or is damaged: choose "
        f"another folder, or remove it."
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lets one writer at a time into a folder; the lock ends with its process."""
    if fcntl is None:
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(path: Path, content: bytes) -> None:
    """Puts a file in place whole, and on the disk before it has its name."""
    temporary = path.with_name(f".ppgm-{secrets.token_hex(8)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(temporary, path)


def _sync_folder(path: Path) -> None:
    """Puts the names in a folder on the disk."""
    if fcntl is None:  # such a platform does not open folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(path: Path, keep: set[str]) -> None:
    """Removes the files of neither run: of this one if it failed, of one killed earlier."""
    # What cannot be removed is harmless, and the next save tries again; an error from here
    # would hide the one that is on its way to the user.
    with suppress(OSError):
        for name in os.listdir(path):
            if _LEFTOVER.fullmatch(name) or (_FILE.fullmatch(name) and name not in keep):
                os.unlink(path / name)


def _remove_empty(folders: Iterable[Path]) -> None:
    with suppress(OSError):  # the error of the save itself is on its way to the user
        for folder in folders:
            os.rmdir(folder)
