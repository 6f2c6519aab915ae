"""What the ppgm contestants share: a fit that is driven one epoch at a time."""

from __future__ import annotations

import numpy as np

import ppgm
from benchmarks.row import Contestant, Row
from ppgm import host as hosts
from ppgm.optimisers import Adam


def contestant(
    row: Row, host: str, declaration: object, objective: object, site: str, optimiser: Adam
) -> Contestant:
    """Returns the contestant of a declaration and an objective on a host."""
    program = ppgm.program(declaration, host=host)
    data = {site: row.data(row.size)}
    first = {site: data[site][: row.batch]}
    table = program.sites(first)
    players = {player.name: optimiser for player in objective.players}
    make = hosts.load(host).trainer
    trainer = make(program, objective, table, data, players, 0, row.size, params=row.weights())
    index = np.arange(row.size).reshape(row.steps, row.batch)
    scale = float(row.steps)
    trainer.start(index[0], scale)
    rng = np.random.default_rng(0)
    names = [f"{player.name}.loss" for player in objective.players]

    def run() -> float:
        order = rng.permutation(row.size).reshape(row.steps, row.batch)
        losses = trainer.run(order, None, scale, row.steps)
        trainer.params()
        return float(losses[names[0]].mean())

    def check(repeats: int) -> np.ndarray:
        seen = [trainer.bound(first, seed, row.batch) for seed in range(repeats)]
        return np.array([[losses[name] for name in names] for losses in seen])

    return Contestant(run, check)
