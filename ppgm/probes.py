"""One evaluation of an objective and its gradient, with everything about it fixed.

`probe` is what exact tests are made of: parameters, batch, scale, draws or their noise are
given, so that nothing is left to chance; averaged over all draws it is the estimator's exact
expectation.
"""

__all__ = ["Probe", "probe"]

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ppgm import host as hosts
from ppgm.inference.objective import AbstractObjective
from ppgm.programs import Program


class Probe(NamedTuple):
    """Loss and gradient of an objective at one point.

    Attributes:
        loss: What the player minimises, per datum of `total`.
        grads: Its gradient by canonical parameter name, in unconstrained coordinates (the
            logarithm of a positive parameter); the objective's networks among them. Parameters
            that the player does not own are absent.
        metrics: What the objective logged.
        state: State of the objective after the evaluation.
    """

    loss: float
    grads: dict[str, np.ndarray]
    metrics: dict[str, float]
    state: dict[str, np.ndarray]


def probe(
    program: Program,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    objective: AbstractObjective,
    *,
    player: str | None = None,
    values: Mapping[str, np.ndarray] | None = None,
    noise: Mapping[str, np.ndarray] | None = None,
    scale: float | np.ndarray = 1.0,
    total: float | None = None,
    state: Mapping[str, np.ndarray] | None = None,
    step: int = 0,
    seed: int = 0,
) -> Probe:
    """Evaluates an objective and its gradient once.

    Args:
        program: The program.
        params: Constrained parameters by canonical name, networks of the objective included;
            initial ones for those that are missing.
        data: The batch.
        objective: The objective.
        player: Whose loss; by default the first player's.
        values: Draws of the guide's sites, ``(K, *batch, *event)``, taken as they are.
        noise: Standard normal noise of Gaussian guide sites, ``(K, *batch, *event)``; the draws
            are then functions of the guide's parameters.
        scale: Number of data that a row of the batch stands for: one for all, or ``(B,)``.
        total: Number of rows of the whole data; by default that of the batch.
        state: State of the objective; by default what it starts with.
        step: Number of the step, for schedules.
        seed: Seed of all draws that are not given.
    """
    host = hosts.load(program.host)
    return Probe(
        *host.probe(
            program,
            params,
            data,
            objective,
            player or objective.players[0].name,
            values or {},
            noise or {},
            scale,
            total,
            state,
            step,
            seed,
        )  # fmt: skip
    )
