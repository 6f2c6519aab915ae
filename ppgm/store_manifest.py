"""The manifest of a saved run: JSON that holds the hash of every file, and of its own text."""

__all__ = [
    "FORMAT",
    "MANIFEST",
    "VERSION",
    "digest",
    "plain",
    "seal",
    "stamp",
    "unseal",
    "versions",
]

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Any

from ppgm.errors import ArgumentError, StorageError

FORMAT = "ppgm-run"
VERSION = 1
MANIFEST = "manifest.json"
"""Name of the manifest in its folder."""

_LIBRARIES = ("ppgm", "numpy", "safetensors", "torch", "pyro-ppl", "jax", "numpyro", "equinox")


def plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration as JSON gives it back; refuses one that JSON would change."""
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


def seal(manifest: dict[str, Any]) -> bytes:
    """Writes a manifest with the hash of its own text as the last entry."""
    text = json.dumps(manifest, indent=1, allow_nan=False)
    return (json.dumps({**manifest, "sha256": digest(text.encode())}, indent=1) + "\n").encode()


def unseal(path: Path, raw: bytes) -> dict[str, Any]:
    """Returns the manifest of the folder `path` from its bytes, every one of them checked."""
    label = str(path / MANIFEST)
    try:
        manifest = json.loads(raw)
        # Writing it again and comparing every byte finds what a parser forgives: spaces,
        # duplicate keys, NaN, another spelling of a number.
        intact = seal({k: v for k, v in manifest.items() if k != "sha256"}) == raw
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError(f"{label} is damaged: {error}") from error
    if not intact:
        raise StorageError(f"{label} is damaged: its content does not have the hash it states.")
    if manifest.get("format") != FORMAT:
        raise StorageError(f"{label} is not the manifest of a ppgm run.")
    if manifest.get("version") != VERSION:
        raise StorageError(
            f"{label} has format version {ascii(manifest.get('version'))}; this ppgm reads "
            f"{VERSION}: install the ppgm that wrote it, {ascii(manifest.get('versions'))}."
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


def stamp(content: bytes) -> dict[str, Any]:
    """Returns what the manifest says of a file."""
    return {"sha256": digest(content), "bytes": len(content)}


def digest(content: bytes) -> str:
    """Returns the SHA-256 of some bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries that are installed."""
    found = {"python": python_version()}
    for library in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):  # an optional library
            found[library] = metadata.version(library)
    return found
