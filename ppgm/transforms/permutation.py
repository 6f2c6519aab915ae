"""A fixed order of the coordinates; volume is kept."""

__all__ = ["Permutation"]

from dataclasses import dataclass

import numpy as np

from ppgm.nets_masked import order_of
from ppgm.ops import Array, ops_of


@dataclass(frozen=True)
class Permutation:
    """Puts coordinate ``order[i]`` in place i.

    Attributes:
        order: A permutation of 0, ..., D - 1, or "reverse".
    """

    order: tuple[int, ...] | str = "reverse"

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant, zeros ``(*)``."""
        return self._taken(x, np.array(order_of(self.order, x.shape[-1])))

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant, zeros ``(*)``."""
        return self._taken(y, np.argsort(order_of(self.order, y.shape[-1])))

    def _taken(self, x: Array, index: np.ndarray) -> tuple[Array, Array]:
        return x[..., index], ops_of(x).np.zeros_like(x[..., 0])
