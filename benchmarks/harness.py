"""Takes the contestants of a row in turns and compares their medians."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from benchmarks.row import Row, library

Reply = Any
"""Decoded JSON."""


class Limits(NamedTuple):
    """How long and on how much of the machine a row is measured."""

    rounds: int
    """Measured rounds of each contestant."""
    warm: int
    """Rounds before them, which compile and fill caches."""
    threads: int
    """Cores and threads of each contestant."""
    quick: bool
    """A third of the steps and of the repeats."""


class Worker:
    """A contestant in a process of its own."""

    def __init__(self, row: Row, label: str, limits: Limits) -> None:
        """Starts the process and waits until the contestant is built."""
        command = [sys.executable, "-m", "benchmarks.worker"]
        command += [row.name, label, str(row.steps), str(limits.threads)]
        pipe = subprocess.PIPE
        environment = _environment(limits.threads)
        self.label = label
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=environment
        )
        self.memory: dict[str, float] = self._read()

    def ask(self, command: str) -> Reply:
        """Sends one line and returns the answer."""
        print(command, file=self.process.stdin, flush=True)
        return self._read()

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()

    def _read(self) -> Reply:
        line = self.process.stdout.readline()  # pyright: ignore[reportOptionalMemberAccess]
        if not line:
            raise RuntimeError(f"contestant {self.label!r} died: its traceback is above")
        return json.loads(line)


def measure(row: Row, labels: list[str], limits: Limits) -> list[dict[str, Any]]:
    """Returns one record a contestant: times, ratio to its baseline, loss, check and memory."""
    row = shortened(row, limits)
    checks = [_checked(row, label, limits) for label in labels]
    workers = [Worker(row, label, limits) for label in labels]
    try:
        count = range(limits.warm + limits.rounds)
        rounds = [[worker.ask("run") for worker in workers] for _ in count]
    finally:
        for worker in workers:
            worker.close()
    pairs = zip(workers, checks, zip(*rounds, strict=True), strict=True)
    # On one core a contestant's processor time is its time without the neighbours'.
    clock = "cpu_ms" if limits.threads == 1 else "ms"
    return _compared(row, [_record(row, *pair, limits) for pair in pairs], clock)


def shortened(row: Row, limits: Limits) -> Row:
    """Returns the row with as many steps and repeats as are asked for."""
    if not limits.quick:
        return row
    return replace(row, steps=max(row.steps // 3, 2), repeats=max(row.repeats // 3, 10))


def _checked(row: Row, label: str, limits: Limits) -> np.ndarray:
    """Asks for the check in a process apart, so that its memory is not the training's."""
    worker = Worker(row, label, limits)
    try:
        return np.array(worker.ask(f"check {row.repeats}"))
    finally:
        worker.close()


def _record(
    row: Row, worker: Worker, check: np.ndarray, rounds: tuple[Any, ...], limits: Limits
) -> dict[str, Any]:
    measured = rounds[limits.warm :]
    milliseconds = [1e3 * each["wall"] / row.steps for each in measured]
    cpu = [1e3 * each["cpu"] / row.steps for each in measured]
    return {
        "row": row.name,
        "title": row.title,
        "contestant": worker.label,
        "library": library(worker.label),
        "ms": float(np.median(milliseconds)),
        "cpu_ms": float(np.median(cpu)),
        "ms_quartiles": np.percentile(milliseconds, [25, 75]).tolist(),
        "cpu_ms_rounds": cpu,
        "first_round_seconds": rounds[0]["wall"],
        "loss": rounds[-1]["loss"],
        "check": dict(zip(row.columns, check.mean(0).tolist(), strict=True)),
        "check_error": (check.std(0, ddof=1) / len(check) ** 0.5).tolist(),
        "peak_mb": rounds[-1]["peak_mb"],
        **worker.memory,
        "losses": len(row.values),
        "note": (row.notes or {}).get(worker.label, ""),
    }


def _compared(row: Row, records: list[dict[str, Any]], clock: str) -> list[dict[str, Any]]:
    """Adds the ratios to the fastest of the row's baselines for the same array library."""
    for record in records:
        base = _baseline(records, row.baselines[record["library"]], clock)
        if base is None:
            continue
        record["ratio"] = record[clock] / base[clock]
        record["peak_mb_ratio"] = record["peak_mb"] / base["peak_mb"]
        differs = _differs(record, base)
        record |= {"clock": clock, "baseline": base["contestant"], "differs": differs}
    return records


def _baseline(
    records: list[dict[str, Any]], labels: tuple[str, ...], clock: str
) -> dict[str, Any] | None:
    hand = (record for record in records if record["contestant"] in labels)
    return min(hand, key=lambda record: record[clock], default=None)


def _differs(record: dict[str, Any], base: dict[str, Any]) -> list[str]:
    """Returns which means differ by 4 standard errors, and by 1e-5 for single precision."""
    mine, theirs = (np.array(list(each["check"].values())) for each in (record, base))
    error = np.hypot(record["check_error"], base["check_error"])
    close = np.abs(mine - theirs) <= 4 * error + 1e-5 * np.abs(theirs)
    return [name for name, fine in zip(record["check"], close, strict=True) if not fine]


def _environment(threads: int) -> dict[str, str]:
    """Returns a contestant's environment, with as many threads for every library."""
    counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    flags = os.environ.get("XLA_FLAGS", "")
    if threads == 1:
        flags += " --xla_cpu_multi_thread_eigen=false"
    return {**os.environ, **counts, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
