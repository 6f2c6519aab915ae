"""The process of one contestant: `python -m benchmarks.worker ROW CONTESTANT STEPS`.

It obeys the lines `check N` and `run` on its standard input, answers each with a line of JSON
and ends with its input. The limits on cores and threads are in force before any array library is
imported.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from benchmarks.row import Contestant
from benchmarks.rows import POINTS, ROWS

Reply = dict[str, float] | list[list[float]]
"""A round's times, or the losses of a check."""


def resident(field: str = "VmRSS") -> float:
    """Returns this process's resident memory in MB, now (`VmRSS`) or at its peak (`VmHWM`).

    Linux's own record is read where there is one: `getrusage` starts from the parent's peak.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def limit(threads: int) -> None:
    """Pins the process to its last `threads` allowed cores and torch to as many threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def timed(contestant: Contestant) -> dict[str, float]:
    """Runs one round; returns wall and processor seconds, the mean loss and the memory peak."""
    wall, cpu = time.perf_counter(), time.process_time()
    loss = contestant.run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "loss": loss, "peak_mb": resident("VmHWM")}


def answer(contestant: Contestant, command: list[str]) -> Reply:
    """Returns the reply to `run` or `check N`."""
    return timed(contestant) if command[0] == "run" else contestant.check(int(command[1])).tolist()


def main(name: str, label: str, steps: str, threads: str, replies: TextIO) -> None:
    """Builds the contestant and serves it to the end of the input."""
    limit(int(threads))
    row = replace((ROWS | POINTS)[name], steps=int(steps))
    module, variant = row.contestants[label]
    start = resident()
    build = importlib.import_module(f"{row.package}.{module}").build
    imported = resident()
    contestant = build(row, variant)
    print(json.dumps({"bare_mb": start, "imported_mb": imported}), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(contestant, line.split())), file=replies, flush=True)


if __name__ == "__main__":
    # Replies have a stream of their own: whatever a library prints goes to standard error.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main(*sys.argv[1:], replies=replies)
