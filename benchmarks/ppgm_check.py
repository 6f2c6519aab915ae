"""The check in ppgm: what the trainer that `fit` steps reports at the starting weights.

A gradient is what one step of plain descent at rate 1 changes, so that it is the step itself that
is looked at, on either host, with all that the objective remembers from the first batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import ppgm
from benchmarks.gradients import Parts, measured
from benchmarks.row import Arrays, Row
from ppgm import host as hosts
from ppgm.inference.objective import AbstractObjective
from ppgm.influences import with_influences
from ppgm.optimisers import SGD

Trainer = Any
"""A host's trainer."""


def check(
    row: Row, start: ppgm.Fit, objective: AbstractObjective, first: Arrays, repeats: int
) -> np.ndarray:
    """Returns the row's columns, `(repeats, columns)`.

    Args:
        row: The row.
        start: The program at the starting weights.
        objective: What the row trains by.
        first: The row's first batch.
        repeats: Number of evaluations.
    """
    program, players = start.program, [player.name for player in objective.players]
    table = program.sites(first)
    if objective.local:
        table = with_influences(table, program, first)

    def trainer(seed: int) -> Trainer:
        optimisers = dict.fromkeys(players, SGD(1.0))
        made = hosts.load(program.host).trainer(
            program, objective, table, first, optimisers, seed, row.batch, start.params
        )
        made.start(None, 1.0)
        return made

    if row.gradients:
        return np.array([_stepped(row, trainer(seed), first) for seed in range(repeats)])
    made = trainer(0)
    seen = [made.bound(first, seed, row.batch) for seed in range(repeats)]
    return np.array([[losses[f"{player}.loss"] for player in players] for losses in seen])


def _stepped(row: Row, trainer: Trainer, first: Arrays) -> list[float]:
    """Returns the loss and what one step says of its gradient."""
    before = trainer.params()
    log = trainer.run_batch(first, 1.0).log
    after = trainer.params()
    gradient = {name: weight - after[name] for name, weight in before.items()}
    loss = log[f"{trainer.objective.players[0].name}.loss"]
    return [float(loss[0]), *measured(row.networks, _parts(before), _parts(gradient))]


def _parts(params: Arrays) -> Parts:
    found: dict[str, list[np.ndarray]] = {}
    for name, array in params.items():
        found.setdefault(name.split(".")[0], []).append(array)
    return found
