"""Measures how the time of a step grows with a size: `python -m benchmarks --scaling`.

All sizes of a contestant take turns, as contestants do elsewhere. The exponent is the slope of the
line through the logarithms of sizes and times, of each round by itself: 1 is linear, and less
where a part of the step costs the same at every size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import Limits, Worker, shortened
from benchmarks.scaling import Series


def measure(series: Series, limits: Limits, only: list[str] | None = None) -> list[dict[str, Any]]:
    """Returns one record a contestant."""
    labels = [label for label in series.rows[0].contestants if not only or label in only]
    return [_measured(series, label, limits) for label in labels]


def _measured(series: Series, label: str, limits: Limits) -> dict[str, Any]:
    rows = [shortened(row, limits) for row in series.rows]
    workers = [Worker(row, label, limits) for row in rows]
    try:
        count = range(limits.warm + limits.rounds)
        rounds = [[worker.ask("run") for worker in workers] for _ in count]
    finally:
        for worker in workers:
            worker.close()
    # as in the rows: on one core, the time without the neighbours'
    clock = "cpu" if limits.threads == 1 else "wall"
    steps = np.array([row.steps for row in rows])
    seconds = np.array([[each[clock] for each in turn] for turn in rounds[limits.warm :]])
    times = 1e3 * seconds / steps
    return {
        "series": series.title,
        "letter": series.letter,
        "sizes": series.sizes,
        "contestant": label,
        "clock": clock,
        "ms": np.median(times, axis=0).tolist(),
        "ms_rounds": times.tolist(),
        **exponents(np.array(series.sizes), times),
    }


def exponents(sizes: np.ndarray, times: np.ndarray) -> dict[str, Any]:
    """Returns the median of the rounds' exponents, and their quartiles.

    Args:
        sizes: Sizes, `(S,)`.
        times: Times of each round, `(R, S)`.
    """
    slopes = np.polyfit(np.log(sizes), np.log(times).T, 1)[0]
    quartiles = np.percentile(slopes, [25, 75]).tolist()
    return {"exponent": float(np.median(slopes)), "exponent_quartiles": quartiles}


def table(records: list[dict[str, Any]]) -> str:
    """Returns one series as Markdown: milliseconds a step, and for one unit of the size."""
    letter, sizes = records[0]["letter"], records[0]["sizes"]
    names = [f"{letter} = {size}" for size in sizes]
    head = [records[0]["series"], *names, "exponent (quartiles)"]
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(
        "| " + " | ".join(cells) + " |" for cells in (head, rule, *map(_cells, records))
    )


def _cells(record: dict[str, Any]) -> list[str]:
    pairs = zip(record["ms"], record["sizes"], strict=True)
    times = [f"{ms:.1f} ms, {ms / size:.2f} each" for ms, size in pairs]
    low, high = record["exponent_quartiles"]
    return [record["contestant"], *times, f"{record['exponent']:.2f} ({low:.2f} to {high:.2f})"]
