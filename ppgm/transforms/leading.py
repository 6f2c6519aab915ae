"""A map of the first coordinates; those after them stay as they are."""

__all__ = ["Leading"]

from dataclasses import dataclass

from ppgm.ops import Array, ops_of
from ppgm.transforms.transform import Transform


@dataclass(frozen=True)
class Leading:
    """Maps the first coordinates of a vector, as flows of several scales do.

    Attributes:
        transform: The map of vectors ``(*, size)``.
        size: Number of coordinates that it maps.
    """

    transform: Transform
    size: int

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant ``(*)``."""
        y, log_det = self.transform.forward(x[..., : self.size])
        return self._joined(y, x), log_det

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``(*)``."""
        x, log_det = self.transform.inverse(y[..., : self.size])
        return self._joined(x, y), log_det

    def _joined(self, first: Array, whole: Array) -> Array:
        xp, rest = ops_of(whole).np, whole[..., self.size :]
        rest = xp.broadcast_to(rest, (*first.shape[:-1], rest.shape[-1]))
        return xp.concat([first, rest], axis=-1)
