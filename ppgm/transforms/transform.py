r"""What an invertible map is, and how maps combine.

A map :math:`f` of vectors comes with the logarithm of :math:`|\det \partial f / \partial x|` at
the point where it is applied. Nothing is kept from one call to the next: what a map returns
belongs to the arguments of that call.
"""

__all__ = ["Chain", "Inverse", "Transform"]

from dataclasses import dataclass
from typing import Protocol

from ppgm.errors import ArgumentError
from ppgm.ops import Array


class Transform(Protocol):
    """An invertible map of vectors; its parameters are fields, which broadcast against them."""

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y = f(x) and the log determinant of f at x.

        Args:
            x: Vectors, ``(*, D)``.

        Returns:
            Vectors ``(*, D)``, and log determinants that broadcast against ``(*)``.
        """
        ...

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x with f(x) = y, and the log determinant of the inverse at y.

        Args:
            y: Vectors, ``(*, D)``.

        Returns:
            Vectors ``(*, D)``, and log determinants that broadcast against ``(*)``.
        """
        ...


@dataclass(frozen=True)
class Chain:
    """Maps one after another, the first one first.

    Attributes:
        transforms: The maps, at least one.
    """

    transforms: tuple[Transform, ...]

    def __post_init__(self) -> None:
        if not self.transforms:
            raise ArgumentError("Chain: transforms must hold at least one map, not ()")

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns the last map's values, and the sum of the log determinants."""
        total = 0.0
        for transform in self.transforms:
            x, log_det = transform.forward(x)
            total = total + log_det
        return x, total

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns what the first map starts from, and the sum of the log determinants."""
        total = 0.0
        for transform in self.transforms[::-1]:
            y, log_det = transform.inverse(y)
            total = total + log_det
        return y, total


@dataclass(frozen=True)
class Inverse:
    """A map turned round.

    Attributes:
        transform: The map whose inverse this is.
    """

    transform: Transform

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns the inverse of the other map."""
        return self.transform.inverse(x)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns the other map."""
        return self.transform.forward(y)
