r"""Continuous maps: the flow of a differential equation.

.. math::
    \frac{dz}{dt} = g(z, t), \quad z(0) = x, \quad y = z(T), \quad
    \log |\det| = \int_0^T \mathrm{tr} \frac{\partial g}{\partial z} dt

The trace is exact, at the cost of as many derivatives as there are coordinates, or Hutchinson's
estimate :math:`e^T \frac{\partial g}{\partial z} e` with noise e that stays the same during a
solve, :math:`E[e e^T] = I`. Both directions are right to the tolerance of the solver, which the
rows of an array share.

References:
    | FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative Models (Grathwohl,
    | Chen, Bettencourt, Sutskever & Duvenaud, 2019), https://arxiv.org/abs/1810.01367
    | Neural Ordinary Differential Equations (Chen, Rubanova, Bettencourt & Duvenaud, 2018),
    | https://arxiv.org/abs/1806.07366
"""

__all__ = ["SOLVERS", "Continuous"]

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from array_api_compat import is_jax_array, is_torch_array

from ppgm.errors import ArgumentError, missing
from ppgm.ops import Array, ops_of

SOLVERS = ("dopri5", "dopri8")
"""Runge-Kutta methods of Dormand and Prince; the second is for tolerances below 1e-7 or so."""


@dataclass(frozen=True)
class Continuous:
    """Moves vectors along a field for some time.

    Attributes:
        field: g, from vectors ``(*, D)`` and a time ``()`` to vectors ``(*, D)``.
        probe: Noise e of Hutchinson's estimate, ``(*, D)``; None for the exact trace.
        time: T.
        tolerance: Absolute and relative tolerance of a step.
        solver: One of `SOLVERS`.
    """

    field: Callable[[Array, Array], Array]
    probe: Array | None = None
    time: float = 1.0
    tolerance: float = 1e-5
    solver: str = "dopri5"

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant ``(*)``, or its estimate."""
        return self._moved(x, 0.0, self.time)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``(*)``."""
        return self._moved(y, self.time, 0.0)

    def _moved(self, z: Array, begin: float, end: float) -> tuple[Array, Array]:
        ops = ops_of(z)
        if self.probe is not None:  # every row of noise moves a row of its own
            shape = np.broadcast_shapes(tuple(z.shape), tuple(self.probe.shape))
            z = ops.np.broadcast_to(z, shape)

        def rates(time: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
            return self.field(state[0], time), self._trace(state[0], time)

        start = (z, ops.np.zeros_like(z[..., 0]))
        return _solver_of(z)(rates, start, (begin, end), self.tolerance, self.solver)

    def _trace(self, z: Array, time: Array) -> Array:
        """Returns the trace of the field's derivative at z, ``(*)``."""
        ops = ops_of(z)
        if self.probe is not None:
            return (ops.grad(lambda v: self.field(v, time) * self.probe, z) * self.probe).sum(-1)
        size = z.shape[-1]
        unit = ops.np.eye(size, dtype=z.dtype).reshape((size, *(1,) * (z.ndim - 1), size))
        copies = ops.np.broadcast_to(z, (size, *z.shape))
        return (ops.grad(lambda v: self.field(v, time) * unit, copies) * unit).sum(-1).sum(0)


def _solver_of(z: Array) -> Callable[..., Any]:
    """Returns the solver of the array's library."""
    for fits, package, module in (
        (is_torch_array, "torchdiffeq", "ppgm.host_pyro_ode"),
        (is_jax_array, "diffrax", "ppgm.host_numpyro_ode"),
    ):
        if fits(z):
            if find_spec(package) is None:
                raise missing(package, "flows")
            return import_module(module).solve
    raise ArgumentError(
        f"a continuous map needs arrays of torch or of jax, for derivatives of its field, not "
        f"{type(z).__name__}"
    )
