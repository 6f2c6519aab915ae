"""Differential equations on torch, by torchdiffeq; see `ppgm.transforms.continuous`."""

__all__ = ["solve"]

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchdiffeq import odeint

State = tuple[Tensor, Tensor]


def solve(
    rates: Callable[[Tensor, State], State],
    start: State,
    span: tuple[float, float],
    tolerance: float,
    solver: str,
) -> State:
    """Returns the state at the end of a span of time; gradients go back through the steps.

    Args:
        rates: From time and state to the derivative of the state.
        start: State at the beginning.
        span: Beginning and end, in either order.
        tolerance: Absolute and relative tolerance of a step.
        solver: Name of a method of torchdiffeq.
    """
    times = torch.tensor(span, dtype=start[0].dtype)

    def packed(time: Tensor, state: Tensor) -> Tensor:
        return _side_by_side(*rates(time, (state[..., :-1], state[..., -1])))

    # a step ends at the end: else it is interpolated, to a lower order than that of the steps
    options = {"step_t": times[1:]}
    path: Any = odeint(
        packed, _side_by_side(*start), times, rtol=tolerance, atol=tolerance, method=solver,
        options=options,
    )  # fmt: skip
    return path[-1, ..., :-1], path[-1, ..., -1]


def _side_by_side(z: Tensor, total: Tensor) -> Tensor:
    return torch.cat([z, total[..., None]], -1)
