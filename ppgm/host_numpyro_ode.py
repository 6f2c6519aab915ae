"""Differential equations on jax, by diffrax; see `ppgm.transforms.continuous`."""

__all__ = ["solve"]

from collections.abc import Callable
from typing import Any

import diffrax
import jax.numpy as jnp
from jax import Array

State = tuple[Array, Array]
SOLVERS = {"dopri5": diffrax.Dopri5, "dopri8": diffrax.Dopri8}


def solve(
    rates: Callable[[Array, State], State],
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
        solver: A name of `SOLVERS`.
    """
    found = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, _: rates(jnp.asarray(t), y)), SOLVERS[solver](), *span,
        dt0=None, y0=start,
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
    )  # fmt: skip
    ends: Any = found.ys
    return ends[0][-1], ends[1][-1]
