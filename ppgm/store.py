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

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ppgm import store_files
from ppgm.errors import StorageError
from ppgm.store_manifest import (
    FORMAT,
    MANIFEST,
    VERSION,
    digest,
    plain,
    seal,
    stamp,
    unseal,
    versions,
)
from ppgm.store_tensors import FILE, encode, parse

__all__ = ["Stored", "load", "match", "save"]


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
    files = encode(tensors, history)
    manifest = seal(
        {
            "format": FORMAT,
            "version": VERSION,
            "config": plain(config),
            "files": {name: stamp(content) for name, content in files.items()},
            "versions": versions(),
        }
    )
    try:
        store_files.write(path, files, manifest)
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
    raw = store_files.read_manifest(path)
    while True:
        try:
            return _open(path, unseal(path, raw))
        except StorageError:
            # A writer may have replaced the run while we were reading: then read the new one.
            before, raw = raw, store_files.read_manifest(path)
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


def _open(path: Path, manifest: dict[str, Any]) -> Stored:
    groups = {}
    for name, stated in manifest["files"].items():
        named = FILE.fullmatch(name)
        if named is None or named[1] in groups:
            raise StorageError(f"{str(path / MANIFEST)!r} names the file {ascii(name)}: refused.")
        content = store_files.read(path / name, stated["bytes"])
        if len(content) != stated["bytes"] or digest(content) != stated["sha256"]:
            raise StorageError(
                f"{str(path / name)!r} is damaged: {len(content)} bytes that do not have the "
                f"hash in the manifest ({stated['bytes']} bytes were written)."
            )
        groups[named[1]] = parse(str(path / name), content)

    if "history" not in groups:
        raise StorageError(f"{str(path / MANIFEST)!r} names no history: it is malformed.")
    history = groups.pop("history")
    return Stored(manifest["config"], groups, history, manifest["versions"])
