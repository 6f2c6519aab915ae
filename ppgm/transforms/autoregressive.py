r"""Autoregressive maps: each coordinate is mapped with parameters that those before it give.

.. math:: y_i = g(x_i; \theta_i), \quad \theta_i = f_i(x_1, \dots, x_{i-1}, c)

All coordinates go forward in one pass of a masked network; the inverse needs one pass for each.
Forward, this is a step of inverse autoregressive flow, which draws fast. Turned round it is a
step of masked autoregressive flow, which has a fast density.

References:
    | Improving Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016),
    | https://arxiv.org/abs/1606.04934
    | Masked Autoregressive Flow for Density Estimation (Papamakarios, Pavlakou & Murray, 2017),
    | https://arxiv.org/abs/1705.07057
"""

__all__ = ["Autoregressive", "by_coordinate", "masked_autoregressive"]

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ppgm.ops import Array, ops_of
from ppgm.transforms.transform import Inverse, Transform

Build = Callable[[Array], Transform]
"""From parameters ``(*, D, P)`` to a map of each of D coordinates by itself."""


@dataclass(frozen=True)
class Autoregressive:
    """A map whose forward direction is parallel; its inverse takes D passes of the network.

    Attributes:
        net: `ppgm.nets.MADE` as built, to ``(*, P * D)``, parameter-major.
        build: Makes the map of the coordinates from ``(*, D, P)``, such as `Affine` or `Gated`.
        order: The coordinates from the first to the last, as the network has them.
        context: What else the network sees, ``(*, C)``; None for nothing.
    """

    net: Callable[..., Array]
    build: Build
    order: tuple[int, ...]
    context: Array | None = None

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant ``(*)``."""
        return self.build(self._parameters(x)).forward(x)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``(*)``."""
        xp, size = ops_of(y).np, y.shape[-1]
        start = xp.zeros((*self._batch(y), size), dtype=y.dtype)
        rows = xp.eye(size, dtype=y.dtype)[np.array(self.order)]

        def step(known: tuple[Array, ...], row: tuple[Array, ...]) -> tuple[tuple, tuple]:
            """Finds one more coordinate: those known so far give its parameters."""
            (x,), (here,) = known, row
            mine = (self._parameters(x) * here[:, None]).sum(-2)[..., None, :]
            found, log_det = self.build(mine).inverse((y * here).sum(-1)[..., None])
            return (x + found * here,), (found[..., 0], log_det)

        found, log_dets = ops_of(y).scan(step, (start,), (rows,))
        return xp.moveaxis(found, 0, -1)[..., np.argsort(self.order)], log_dets.sum(0)

    def _parameters(self, x: Array) -> Array:
        raw = self.net(x) if self.context is None else self.net(x, self.context)
        return by_coordinate(raw, x.shape[-1])

    def _batch(self, y: Array) -> tuple[int, ...]:
        others = () if self.context is None else tuple(self.context.shape[:-1])
        return np.broadcast_shapes(tuple(y.shape[:-1]), others)


def masked_autoregressive(
    net: Callable[..., Array],
    build: Build,
    order: tuple[int, ...],
    context: Array | None = None,
) -> Transform:
    r"""Returns the map with :math:`y_i = g(x_i; \theta_i), \theta_i = f_i(y_1, ..., y_{i-1})`.

    Its inverse is parallel, so that densities are fast; draws take D passes of the network.

    Args:
        net: As of `Autoregressive`, like the other arguments.
        build: Makes the map g.
        order: The coordinates from the first to the last.
        context: What else the network sees.
    """
    return Inverse(Autoregressive(net, lambda raw: Inverse(build(raw)), order, context))


def by_coordinate(raw: Array, size: int) -> Array:
    """Returns parameter-major outputs ``(*, P * D)`` as ``(*, D, P)``, with D the size."""
    parts = raw.reshape((*raw.shape[:-1], raw.shape[-1] // size, size))
    return ops_of(raw).np.moveaxis(parts, -1, -2)
