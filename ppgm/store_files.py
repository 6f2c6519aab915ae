"""Folders of saved runs on the disk: one writer at a time, and no file in part."""

__all__ = ["read", "read_manifest", "write"]

import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG

from ppgm.errors import StorageError
from ppgm.store_manifest import FORMAT, MANIFEST
from ppgm.store_tensors import FILE

try:
    import fcntl
except ImportError:  # no advisory locks on this platform
    fcntl = None

_MANIFEST_BYTES = 16 << 20
_LEFTOVER = re.compile(r"\.ppgm-[0-9a-f]{16}\.tmp", re.ASCII)


def read_manifest(path: Path) -> bytes:
    """Reads the manifest of a folder."""
    if not os.path.lexists(path / MANIFEST):
        raise StorageError(
            f"{str(path)!r} is not a run folder (there is no {str(path / MANIFEST)!r}): "
            "`fit.save(folder)` makes one, and so does the command `ppgm fit MODEL --out folder`"
        )
    raw = read(path / MANIFEST, _MANIFEST_BYTES)
    if len(raw) > _MANIFEST_BYTES:
        raise StorageError(f"{str(path / MANIFEST)!r} is too large for a manifest.")
    return raw


def read(path: Path, limit: int) -> bytes:
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


def write(path: Path, files: Mapping[str, bytes], manifest: bytes) -> None:
    """Replaces the run in a folder by another; if that fails, the folder is as it was.

    Args:
        path: The folder; it is created where it does not exist.
        files: Content of the tensor files by name.
        manifest: Content of the manifest, which is written last.
    """
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
                _replace(path / MANIFEST, manifest)
                done = True
                _sync_folder(path)
            finally:
                _sweep(path, keep=set(files) if done else previous)
    finally:
        if not done:
            _remove_empty(created)


def _previous_files(path: Path) -> set[str]:
    """Returns the tensor files of the run in the folder; refuses to replace anything else."""
    if not os.path.lexists(path / MANIFEST):
        return set()
    try:
        manifest = json.loads(read_manifest(path))
        if manifest["format"] == FORMAT:
            return set(manifest["files"])
    except (ValueError, TypeError, KeyError, RecursionError):
        pass  # damaged, or never ours: said below
    raise StorageError(
        f"{str(path / MANIFEST)!r} is not the manifest of a ppgm run, or is damaged: choose "
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
            if _LEFTOVER.fullmatch(name) or (FILE.fullmatch(name) and name not in keep):
                os.unlink(path / name)


def _remove_empty(folders: Iterable[Path]) -> None:
    with suppress(OSError):  # the error of the save itself is on its way to the user
        for folder in folders:
            os.rmdir(folder)
