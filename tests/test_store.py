"""Saved runs: what comes back, what is refused, and what a failed save leaves behind."""

import contextlib
import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ppgm import store, store_files
from ppgm.errors import ArgumentError, StorageError

CONFIG = {"host": "pyro", "epochs": 3, "rate": 0.1, "tiny": 5e-324, "on": ["x"], "none": None}
PARAMS = {"decoder.layers.0.weight": np.arange(6.0).reshape(2, 3), "bias": np.float32([1, -0.0])}
HISTORY = {"bound": np.array([-3.5, np.nan, np.inf]), "epoch": np.array([1, 2, 3])}


def write(folder: Path, mark: int = 0) -> None:
    params = {**PARAMS, "mark": np.array(mark)}
    store.save(folder, config={**CONFIG, "mark": mark}, tensors={"params": params},
               history=HISTORY)  # fmt: skip


def mark_of(folder: Path) -> int:
    stored = store.load(folder)
    assert stored.config["mark"] == stored.tensors["params"]["mark"]
    return stored.config["mark"]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


# ------------------------------------------------------------------------ round trips


def test_round_trip(tmp_path: Path) -> None:
    state = {"key": np.array([0, 2**32 - 1], np.uint32), "step": np.array(7)}
    tensors = {"params": PARAMS, "state": state, "empty": {}}
    store.save(tmp_path / "a" / "b", config=CONFIG, tensors=tensors, history=HISTORY)
    stored = store.load(tmp_path / "a" / "b")

    assert stored.config == CONFIG
    assert [type(v) for v in stored.config.values()] == [type(v) for v in CONFIG.values()]
    assert stored.tensors.keys() == tensors.keys()
    for group, arrays in tensors.items():
        assert stored.tensors[group].keys() == arrays.keys()
        assert all(same(stored.tensors[group][name], arrays[name]) for name in arrays)
    assert all(same(stored.history[name], HISTORY[name]) for name in HISTORY)
    assert {"python", "numpy", "safetensors"} <= stored.versions.keys()


DTYPES = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), ARRAYS))
def test_every_array_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray]
) -> None:
    arrays.pop("__metadata__", None)
    folder = tmp_path_factory.mktemp("run")
    store.save(folder, config={}, tensors={"params": arrays}, history={})
    found = store.load(folder).tensors["params"]
    assert found.keys() == arrays.keys()
    assert all(same(found[name], arrays[name]) for name in arrays)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(12)[::-2],
        np.broadcast_to(np.float32(2), (3, 2)),
        np.arange(3, dtype=">f4"),
        np.float64(2.5),
        [[1, 2], [3, 4]],
    ],
    ids=["transposed", "strided", "broadcast", "big-endian", "scalar", "list"],
)
def test_memory_layout_does_not_matter(tmp_path: Path, array: Any) -> None:
    store.save(tmp_path, config={}, tensors={"params": {"a": array}}, history={})
    found = store.load(tmp_path).tensors["params"]["a"]
    np.testing.assert_array_equal(found, array)
    assert found.shape == np.shape(array)
    assert found.flags.writeable
    assert found.dtype.isnative


def test_replaces_a_run_and_leaves_other_files(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / "notes.md").write_text("mine")
    (tmp_path / "other.safetensors").write_bytes(b"mine")
    write(tmp_path, 2)
    assert mark_of(tmp_path) == 2
    assert (tmp_path / "notes.md").read_text() == "mine"
    assert len(names(tmp_path)) == 5  # the manifest, two tensor files and the two of the user


def test_saving_the_same_run_again_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    write(tmp_path)
    assert before == {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}


def test_files_have_the_permissions_of_ordinary_files(tmp_path: Path) -> None:
    write(tmp_path / "run")
    (tmp_path / "plain").write_text("")
    modes = {path.stat().st_mode for path in (tmp_path / "run").iterdir()}
    assert modes == {(tmp_path / "plain").stat().st_mode}


# ---------------------------------------------------------------------------- damage


def files(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.iterdir()))


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    write(tmp_path)
    random = np.random.default_rng(0)
    for path in list(files(tmp_path)):
        good = path.read_bytes()
        for position in range(len(good)):
            bad = bytearray(good)
            bad[position] ^= 1 << int(random.integers(8))
            path.write_bytes(bad)
            with pytest.raises(StorageError, match=path.name):
                store.load(tmp_path)
        path.write_bytes(good)
    assert mark_of(tmp_path) == 0


def test_every_truncation_and_extension_is_found(tmp_path: Path) -> None:
    write(tmp_path)
    for path in list(files(tmp_path)):
        good = path.read_bytes()
        for bad in [good[:n] for n in range(0, len(good), 3)] + [good + b"\0", good + b"\n"]:
            path.write_bytes(bad)
            with pytest.raises(StorageError, match=path.name):
                store.load(tmp_path)
        path.write_bytes(good)
    assert mark_of(tmp_path) == 0


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    for path in list(files(tmp_path)):
        good = path.read_bytes()
        path.unlink()
        with pytest.raises(StorageError, match=path.name):
            store.load(tmp_path)
        path.write_bytes(good)


def test_swapped_files_are_found(tmp_path: Path) -> None:
    write(tmp_path)
    first, second = (path for path in files(tmp_path) if path.suffix == ".safetensors")
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    with pytest.raises(StorageError, match="is damaged"):
        store.load(tmp_path)


@pytest.mark.parametrize("missing", ["folder", "empty"])
def test_no_run(tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "gone" if missing == "folder" else tmp_path
    with pytest.raises(StorageError, match=r"manifest\.json"):
        store.load(folder)


# ---------------------------------------------------------------------- hostile files


def forge(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Rewrites the manifest with a hash that fits, as an attacker would."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    del manifest["sha256"]
    change(manifest)
    text = json.dumps(manifest, indent=1)
    manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(manifest, indent=1) + "\n")


def test_forge_is_not_refused_for_nothing(tmp_path: Path) -> None:
    write(tmp_path)
    forge(tmp_path, lambda m: m["config"].update(epochs=4))
    assert store.load(tmp_path).config["epochs"] == 4


HOSTILE_NAMES = [
    "../params-0123456789abcdef.safetensors",
    "/etc/passwd",
    "sub/params-0123456789abcdef.safetensors",
    "params-0123456789abcdef.safetensors\n",
    "params-0123456789abcdef.safetensors\0",
    "params.safetensors",
    "PARAMS-0123456789abcdef.safetensors",
    "params-0123456789abcdef.pkl",
    "..",
    "",
    "par\u0430ms-0123456789abcdef.safetensors",
    "C:\\params-0123456789abcdef.safetensors",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_file_names(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    forge(tmp_path, lambda m: m["files"].update({name: {"sha256": "0" * 64, "bytes": 1}}))
    with pytest.raises(StorageError, match="names the file"):
        store.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format="other"), "not the manifest of a ppgm run"),
        (lambda m: m.update(version=2), "format version 2"),
        (lambda m: m.pop("version"), "format version None"),
        (lambda m: m.pop("config"), "malformed"),
        (lambda m: m.update(config=[]), "malformed"),
        (lambda m: m.update(files=[]), "malformed"),
        (lambda m: m.update(files={}), "names no history"),
        (lambda m: m["files"].update(a=1), "malformed"),
        (lambda m: next(iter(m["files"].values())).update(bytes=-1), "is damaged"),
        (lambda m: next(iter(m["files"].values())).update(bytes=10**30), "is damaged"),
        (lambda m: next(iter(m["files"].values())).update(bytes=True), "malformed"),
        (lambda m: m.update(versions=None), "malformed"),
    ],
)
def test_hostile_manifests(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    write(tmp_path)
    forge(tmp_path, change)
    with pytest.raises(StorageError, match=message):
        store.load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"format": "ppgm-run", "format": "ppgm-run"}',
        b'{"config": NaN}',
        b'{"config": 1e999}',
        b'{"config": ' + b"9" * 10_000 + b"}",
        b"\xff\xfe\x00",
        b"\x80\x04\x95",
        b"PK\x03\x04",
        b" " * (17 << 20),
    ],
    ids=range(15),
)
def test_hostile_json(tmp_path: Path, text: bytes) -> None:
    write(tmp_path)
    (tmp_path / "manifest.json").write_bytes(text)
    with pytest.raises(StorageError, match=r"manifest\.json"):
        store.load(tmp_path)


def tensor_file(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        tensor_file({"a": F32}, bytes(8), length=2**63),
        tensor_file({"a": F32}, bytes(8), length=2**64 - 1),
        tensor_file(b"{}" + b" " * (9 << 20)),
        tensor_file({"a": F32}, bytes(7)),
        tensor_file({"a": F32}, bytes(9)),
        tensor_file({"a": F32 | {"shape": [2**62, 4]}}, bytes(8)),
        tensor_file({"a": F32 | {"shape": [-2]}}, bytes(8)),
        tensor_file({"a": F32 | {"shape": [1] * 2000 + [2]}}, bytes(8)),
        tensor_file({"a": F32 | {"dtype": "O"}}, bytes(8)),
        tensor_file({"a": F32 | {"dtype": ["F32"]}}, bytes(8)),
        tensor_file({"a": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}, bytes(8)),
        tensor_file({"a": F32, "b": F32}, bytes(8)),
        tensor_file({"a": F32 | {"data_offsets": [8, 0]}}, bytes(8)),
        tensor_file({"a": []}, bytes(8)),
        tensor_file([], bytes(8)),
        tensor_file(b"[" * 100_000),
        tensor_file(b'{"a": NaN}'),
        b"\x80\x04\x95" + bytes(64),
    ],
    ids=range(20),
)
def test_hostile_tensor_files(tmp_path: Path, content: bytes) -> None:
    """The hashes fit: nothing but the reader itself stands in the way."""
    digest = hashlib.sha256(content).hexdigest()
    name = f"params-{digest[:16]}.safetensors"
    write(tmp_path)
    (tmp_path / name).write_bytes(content)

    def change(manifest: dict[str, Any]) -> None:
        kept = {k: v for k, v in manifest["files"].items() if k.startswith("history")}
        manifest["files"] = kept | {name: {"sha256": digest, "bytes": len(content)}}

    forge(tmp_path, change)
    with pytest.raises(StorageError, match=name):
        store.load(tmp_path)


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(StorageError, match="not a regular file"):
        store.load(tmp_path)


# -------------------------------------------------------------------- refused content


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"a": (1, 2)}, "'a' changes"),
        ({"a": {"b": [(1,)]}}, "'a' changes"),
        ({"a": {1: 2}}, "'a' changes"),
        ({1: 2}, "1 changes"),
        ({"a": float("nan")}, "JSON"),
        ({"a": np.zeros(2)}, "JSON"),
        ({"a": {1, 2}}, "JSON"),
        ({"a": b"bytes"}, "JSON"),
    ],
)
def test_config_has_to_be_json(tmp_path: Path, config: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        store.save(tmp_path / "run", config=config, tensors={}, history={})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stem", ["", "Params", "a/b", "..", "a.b", "history", "a" * 33, "é", "1"])
def test_group_names(tmp_path: Path, stem: str) -> None:
    with pytest.raises(ArgumentError, match="tensors: "):
        store.save(tmp_path / "run", config={}, tensors={stem: PARAMS}, history={})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "array", [np.array(["a"]), np.array([None]), np.array([1j]), np.array(["2020"], "M8[D]")]
)
def test_other_dtypes(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="params/a has dtype"):
        store.save(tmp_path / "run", config={}, tensors={"params": {"a": array}}, history={})


def test_match() -> None:
    shapes = {name: array.shape for name, array in PARAMS.items()}
    store.match(shapes, PARAMS)
    store.match(shapes, shapes)
    with pytest.raises(StorageError) as caught:
        store.match({"a": (1,), "b": (), "c": (2, 3)}, {"a": (1,), "c": (3, 2), "d": np.zeros(4)})
    for part in (
        "missing 'b' ()",
        "unexpected 'd' (4,)",
        "'c' has shape (3, 2) instead of (2, 3)",
    ):
        assert part in str(caught.value)
    with pytest.raises(StorageError, match="and 12 more"):
        store.match({str(i): () for i in range(20)}, {})


# --------------------------------------------------------------------- failing writers

OPERATIONS = ("open", "write", "fsync", "close", "replace", "makedirs", "unlink", "listdir",
              "rmdir", "stat")  # fmt: skip


class Killed(BaseException):
    """Stands for the end of the process: nothing after it reaches the disk."""


def failing(at: int, mode: str) -> tuple[SimpleNamespace, list[str]]:
    """The module os, whose call number `at` fails.

    Args:
        at: Number of the call.
        mode: "error" for one OSError, "full" for a disk that takes half of that write and no
            byte after, "killed" for a process that does nothing from there on.
    """
    calls: list[str] = []

    def wrap(name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            calls.append(name)
            if name == "close":  # a handle is closed even when the process ends
                os.close(*args)
            if len(calls) <= at:
                return None if name == "close" else getattr(os, name)(*args, **options)
            if mode == "killed":
                if name == "write" and len(calls) == at + 1:
                    os.write(args[0], args[1][: len(args[1]) // 2])
                raise Killed
            if mode == "full" and name not in ("write", "fsync"):
                return None if name == "close" else getattr(os, name)(*args, **options)
            if mode == "full" and name == "write" and len(calls) == at + 1:
                os.write(args[0], args[1][: len(args[1]) // 2])
            if mode == "full" or len(calls) == at + 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return None if name == "close" else getattr(os, name)(*args, **options)

        return call

    module = {name: getattr(os, name) for name in dir(os)}
    return SimpleNamespace(**module | {name: wrap(name) for name in OPERATIONS}), calls


def count_calls(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    fake, calls = failing(10**9, "error")
    with monkeypatch.context() as patch:
        patch.setattr(store_files, "os", fake)
        write(folder, 2)
    assert {"open", "write", "fsync", "replace", "unlink"} <= set(calls)
    return len(calls)


@pytest.mark.parametrize("mode", ["error", "full", "killed"])
def test_a_failure_at_any_call_leaves_a_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    write(tmp_path / "count", 1)
    total = count_calls(tmp_path / "count", monkeypatch)
    seen = set()
    for at in range(total):
        folder = tmp_path / str(at)
        write(folder, 1)
        (folder / "notes.md").write_text("mine")
        fake, _ = failing(at, mode)
        with monkeypatch.context() as patch:
            patch.setattr(store_files, "os", fake)
            with contextlib.suppress(Killed if mode == "killed" else StorageError):
                write(folder, 2)

        seen.add(mark_of(folder))
        assert (folder / "notes.md").read_text() == "mine"
        if mode != "killed":
            assert not [name for name in names(folder) if name.endswith(".tmp")]
        write(folder, 3)  # whatever was left does not stand in the way, and is cleared
        assert mark_of(folder) == 3
        assert len(names(folder)) == 4
    assert seen == {1, 2}


@pytest.mark.parametrize("mode", ["error", "full"])
def test_a_failed_first_save_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    total = count_calls_of_first(tmp_path / "count", monkeypatch)
    failures = 0
    for at in range(total):
        folder = tmp_path / f"new-{at}" / "run"
        fake, calls = failing(at, mode)
        with monkeypatch.context() as patch:
            patch.setattr(store_files, "os", fake)
            try:
                write(folder, 1)
            except StorageError:
                failures += 1
        if (folder / "manifest.json").exists():
            assert mark_of(folder) == 1
        elif calls[at] not in ("rmdir", "listdir"):
            assert not folder.parent.exists()
    assert failures > 10


def count_calls_of_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    fake, calls = failing(10**9, "error")
    with monkeypatch.context() as patch:
        patch.setattr(store_files, "os", fake)
        write(folder, 1)
    return len(calls)


def test_ctrl_c_leaves_the_old_run_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = names(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(store_files.os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, 2)
    assert mark_of(tmp_path) == 1
    assert names(tmp_path) == before


def test_a_quota_of_the_system(tmp_path: Path) -> None:
    """The kernel itself refuses the write (EFBIG): the limit is below the size of a file."""
    write(tmp_path, 1)
    before = names(tmp_path)
    big = {"params": {"a": np.zeros(100_000)}}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    try:
        with pytest.raises(StorageError, match="cannot save the run"):
            store.save(tmp_path, config={}, tensors=big, history={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert mark_of(tmp_path) == 1
    assert names(tmp_path) == before


def test_the_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(StorageError, match="cannot save the run"):
        write(tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.parametrize("text", ['{"name": "a web extension"}', "", '{"format": "ppgm-r', "[]"])
def test_does_not_replace_a_foreign_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(StorageError, match="choose another folder"):
        write(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == text
    assert names(tmp_path) == {"manifest.json"}


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.test_store import write
print("ready", flush=True)
for mark in range(10**9):
    write(Path(sys.argv[1]), mark)
"""


def test_killed_at_random_moments(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[1])
    random = np.random.default_rng(0)
    write(tmp_path)
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), root], stdout=subprocess.PIPE, cwd=root
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            for _ in range(20):  # a reader beside the writer sees one run or the other
                mark_of(tmp_path)
            time.sleep(float(random.uniform(0, 0.05)))
            process.send_signal(signal.SIGKILL)
        mark_of(tmp_path)
    write(tmp_path, 5)
    assert mark_of(tmp_path) == 5
    assert len(names(tmp_path)) == 3


def test_two_writers_at_once(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[1])
    script = WRITER.replace("10**9", "40")
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), root], cwd=root,
                         stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]  # fmt: skip
    assert [writer.wait() for writer in writers] == [0, 0]
    assert mark_of(tmp_path) == 39
    assert len(names(tmp_path)) == 3


def test_the_package_does_not_load_code_from_files() -> None:
    """No way of reading a file that can run what is in it."""
    package = Path(store.__file__).parent
    forbidden = ("pickle", "torch.load", "marshal", "shelve", "yaml", "allow_pickle", "eval(",
                 "exec(")  # fmt: skip
    paths = [p for stem in ("store*", "specs*", "registry*") for p in package.glob(f"{stem}.py")]
    assert len(paths) >= 6
    text = {path.name: path.read_text() for path in paths}
    found = [(name, word) for name, body in text.items() for word in forbidden if word in body]
    assert found == []


def test_every_byte_is_on_the_disk_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut keeps what was synced only, so each rename has to wait for its content."""
    fake, calls = failing(10**9, "error")
    with monkeypatch.context() as patch:
        patch.setattr(store_files, "os", fake)
        write(tmp_path, 1)
    order = [name for name in calls if name in ("write", "fsync", "replace")]
    file, folder = ["write", "fsync", "replace"], ["fsync"]
    assert order == [*file, *file, *folder, *file, *folder]


def test_a_run_that_is_replaced_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)
    read, reads = store_files.read, []

    def slow(path: Path, limit: int) -> bytes:
        reads.append(path.name)
        if len(reads) == 2:  # the manifest is read, its files are not
            monkeypatch.setattr(store_files, "read", read)
            write(tmp_path, 2)
        return read(path, limit)

    monkeypatch.setattr(store_files, "read", slow)
    assert mark_of(tmp_path) == 2
    assert len(reads) == 2
