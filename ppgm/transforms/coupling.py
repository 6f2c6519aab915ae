r"""Coupling maps: one half of the coordinates is mapped with parameters that the other half gives.

.. math:: y_A = x_A, \quad y_B = g(x_B; f(x_A, c))

Both directions take one pass of the network. A chain of them has to take turns with the halves.

References:
    | Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2017),
    | https://arxiv.org/abs/1605.08803
"""

__all__ = ["Coupling", "halves"]

from collections.abc import Callable
from dataclasses import dataclass

from ppgm.ops import Array, ops_of
from ppgm.transforms.autoregressive import Build, by_coordinate


@dataclass(frozen=True)
class Coupling:
    """A coupling map of contiguous halves.

    Attributes:
        net: From the half that is kept to the parameters of the other, ``(*, P * moved)``,
            parameter-major.
        build: Makes the map of the other half from ``(*, moved, P)``, such as `Affine`.
        flip: Whether the second half is kept, and not the first.
        context: What else the network sees, ``(*, C)``; None for nothing.
    """

    net: Callable[..., Array]
    build: Build
    flip: bool = False
    context: Array | None = None

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant ``(*)``."""
        kept, moved = self._split(x)
        y, log_det = self.build(self._parameters(kept, moved)).forward(moved)
        return self._join(kept, y), log_det

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``(*)``."""
        kept, moved = self._split(y)
        x, log_det = self.build(self._parameters(kept, moved)).inverse(moved)
        return self._join(kept, x), log_det

    def _parameters(self, kept: Array, moved: Array) -> Array:
        raw = self.net(kept) if self.context is None else self.net(kept, self.context)
        return by_coordinate(raw, moved.shape[-1])

    def _split(self, x: Array) -> tuple[Array, Array]:
        cut = x.shape[-1] // 2
        first, second = x[..., :cut], x[..., cut:]
        return (second, first) if self.flip else (first, second)

    def _join(self, kept: Array, moved: Array) -> Array:
        xp = ops_of(kept).np
        kept = xp.broadcast_to(kept, (*moved.shape[:-1], kept.shape[-1]))
        return xp.concat((moved, kept) if self.flip else (kept, moved), axis=-1)


def halves(size: int, *, flip: bool) -> tuple[int, int]:
    """Returns how many of `size` coordinates a coupling map keeps, and how many it moves."""
    cut = size // 2
    return (size - cut, cut) if flip else (cut, size - cut)
