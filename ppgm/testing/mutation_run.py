"""Runs tests against a copy of the package with one fault in it.

The copy holds the package, the tests and the project's settings; it comes first on the path, and
the working tree is never written to. Every worker has a copy of its own, in which a fault is
put, tested and taken back.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from ppgm.errors import ArgumentError
from ppgm.testing.mutation_list import Mutant

__all__ = ["Outcome", "apply", "copies_of", "find_root", "run_control", "run_mutants"]

SECONDS = 900
"""Longest run of one mutant's tests."""

PARTS = ("ppgm", "tests", "examples")
FILES = ("pyproject.toml", "README.md")


class Outcome(NamedTuple):
    """What became of a mutant.

    Attributes:
        mutant: The mutant.
        status: "killed", "survived", or "broken" (no test ran to a verdict).
        test: The test that killed it, or the last line of output of a run that broke.
        seconds: Time of the run.
    """

    mutant: Mutant
    status: str
    test: str
    seconds: float


def find_root() -> Path:
    """Returns the folder of the project, with the tests next to the package.

    Raises:
        ArgumentError: If the package is installed without its tests.
    """
    root = Path(__file__).parents[2]
    if not (root / "tests" / "conftest.py").is_file():
        raise ArgumentError(
            f"{str(root)!r} has no tests: mutants need a checkout of the project, run them there"
        )
    return root


def apply(root: Path, mutant: Mutant) -> str:
    """Returns the mutant's file with its fault in it.

    Raises:
        ArgumentError: If the text to replace is not in the file exactly once.
    """
    text = (root / mutant.file).read_text(encoding="utf-8")
    count = text.count(mutant.old)
    if count != 1:
        raise ArgumentError(
            f"mutant '{mutant.name}': the text to replace is {count} times in {mutant.file}, not "
            f"once: bring the mutant up to date with the source: {mutant.old!r}"
        )
    return text.replace(mutant.old, mutant.new)


def run_mutants(
    copies: Sequence[Path], mutants: Sequence[Mutant], report: Callable[[Outcome], None]
) -> list[Outcome]:
    """Runs every mutant against its tests, one at a time in each copy."""
    free = _queue(copies)
    with ThreadPoolExecutor(len(copies)) as pool:

        def one(mutant: Mutant) -> Outcome:
            copy = free.get()
            try:
                outcome = _run_mutant(copy, mutant)
            finally:
                free.put(copy)
            report(outcome)
            return outcome

        return list(pool.map(one, mutants))


def run_control(copies: Sequence[Path], mutants: Sequence[Mutant]) -> str:
    """Returns "" if unchanged copies pass the tests of all the mutants, else the failure."""
    tests = list(dict.fromkeys(t for m in mutants for t in m.tests))
    shares = [tuple(tests[i :: len(copies)]) for i in range(min(len(copies), len(tests)))]
    free = _queue(copies)
    with ThreadPoolExecutor(len(copies)) as pool:

        def one(tests: tuple[str, ...]) -> str:
            copy = free.get()
            try:
                code, output = _pytest(copy, tests)
            finally:
                free.put(copy)
            return "" if code == 0 else _first_failure(output)

        return next(filter(None, pool.map(one, shares)), "")


@contextmanager
def copies_of(root: Path, count: int) -> Iterator[list[Path]]:
    """Makes copies of the project in a temporary folder, all of one state of the sources."""
    with tempfile.TemporaryDirectory(prefix="ppgm-mutants-") as folder:
        first = _copy(root, Path(folder) / "0")
        rest = [_copy(first, Path(folder) / str(number)) for number in range(1, count)]
        yield [first, *rest]


def _queue(copies: Sequence[Path]) -> "SimpleQueue[Path]":
    queue: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        queue.put(copy)
    return queue


def _copy(root: Path, target: Path) -> Path:
    skipped = shutil.ignore_patterns("__pycache__", "runs", "*.pyc")
    for part in PARTS:
        if (root / part).is_dir():
            shutil.copytree(root / part, target / part, ignore=skipped)
    for name in FILES:
        if (root / name).is_file():
            shutil.copy(root / name, target / name)
    return target


def _run_mutant(copy: Path, mutant: Mutant) -> Outcome:
    path, start = copy / mutant.file, time.perf_counter()
    before = path.read_text(encoding="utf-8")
    try:
        path.write_text(apply(copy, mutant), encoding="utf-8")
        code, output = _pytest(copy, mutant.tests)
    finally:
        path.write_text(before, encoding="utf-8")
    status = {0: "survived", 1: "killed"}.get(code, "broken")
    test = "" if code == 0 else _first_failure(output)
    return Outcome(mutant, status, test, time.perf_counter() - start)


def _pytest(copy: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    # -B: no byte code, which a fault that keeps a file's size could outlive
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "--tb=line", "-p",
               "no:cacheprovider", "-m", "slow or not slow", *tests]  # fmt: skip
    single = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    env = {**os.environ, "PYTHONPATH": str(copy), **dict.fromkeys(single, "1")}
    try:
        done = subprocess.run(
            command, cwd=copy, env=env, capture_output=True, text=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return -1, f"no verdict within {SECONDS} s"
    return done.returncode, done.stdout + done.stderr


def _first_failure(output: str) -> str:
    found = re.search(r"^(?:FAILED|ERROR) (?:tests/)?(.+?)(?: - |$)", output, re.MULTILINE)
    lines = output.strip().splitlines()
    return found[1] if found else (lines[-1] if lines else "no output")
