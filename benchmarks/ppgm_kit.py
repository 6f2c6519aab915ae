"""What the ppgm contestants share: `ppgm.fit` itself, held up after every epoch.

The fit runs in a thread; its callback waits there until the next round is asked for. So the times
hold all that a user pays for: shuffling, looking at the losses, the history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from threading import Semaphore, Thread
from typing import NamedTuple

import numpy as np

import ppgm
from benchmarks import ppgm_check
from benchmarks.row import Arrays, Contestant, Row
from ppgm.fits import Epoch
from ppgm.inference.objective import AbstractObjective
from ppgm.optimisers import Adam

FOREVER = 10**6


class Entry(NamedTuple):
    """What a row trains."""

    declaration: object
    objective: AbstractObjective
    site: str
    """Name of the data."""
    optimiser: Adam
    constant: Mapping[str, int] = {}
    """Other data, which are one integer in every row."""
    others: Mapping[str, np.ndarray] = {}
    """Other data, by row."""


def contestant(row: Row, host: str, entry: Entry) -> Contestant:
    """Returns the contestant on a host."""
    program = ppgm.program(entry.declaration, host=host)
    start = _at(program, entry, row)
    data = _data(entry, row)
    train = partial(
        ppgm.fit,
        start,
        data,
        entry.objective,
        epochs=FOREVER,
        batch_size=row.batch,
        optimiser=entry.optimiser,
        progress=False,
    )
    first_player = entry.objective.players[0].name
    first = {name: array[: row.batch] for name, array in data.items()}
    check = partial(ppgm_check.check, row, start, entry.objective, first)
    return Contestant(_rounds(train, f"{first_player}.loss"), check)


def _data(entry: Entry, row: Row) -> Arrays:
    constant = {name: np.full(row.size, value) for name, value in entry.constant.items()}
    return {entry.site: row.data(row.size), **constant, **entry.others}


def _at(program: ppgm.Program, entry: Entry, row: Row) -> ppgm.Fit:
    """A fit of no epochs, to go on from the row's weights."""
    config = {"objective": entry.objective, "optimiser": {}, "seed": 0, "epochs": 0, "steps": 0}
    return ppgm.Fit(program, row.weights(), {}, {}, config)


def _rounds(train: Callable[..., object], loss: str) -> Callable[[], float]:
    """Returns a function that lets the fit run for one more epoch."""
    go, done = Semaphore(0), Semaphore(0)
    metrics: list[Mapping[str, float]] = []

    def hold(epoch: Epoch) -> None:
        metrics.append(epoch.metrics)
        done.release()
        go.acquire()

    def fit() -> None:
        go.acquire()
        try:
            train(callbacks=[hold])
        finally:
            done.release()

    thread = Thread(target=fit, daemon=True)
    thread.start()

    def run() -> float:
        go.release()
        done.acquire()
        if not thread.is_alive() or not metrics:
            raise RuntimeError("the fit ended: its traceback is above")
        return metrics.pop()[loss]

    return run
