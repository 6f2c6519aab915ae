"""Conditions of conditional models: labels as one-hot rows, and the parts of a picture."""

__all__ = ["Halves", "Quadrants", "one_hot"]

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ppgm.domains import check_size, check_widths
from ppgm.errors import ArgumentError, DataError

ORDER = ("bottom left", "top left", "bottom right")
"""Quadrants in the order in which they are seen, as in Sohn, Lee & Yan (2015)."""


def one_hot(labels: Any, classes: int | None = None) -> np.ndarray:
    """Returns integer labels ``(N,)`` as rows of zeros with a single one, ``(N, classes)``.

    Args:
        labels: Classes 0, 1, ...
        classes: Number of classes; by default one more than the largest label.

    Raises:
        DataError: If a label is no integer from 0 to classes - 1; names the first.
    """
    array = np.asarray(labels)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "biuf":
        raise DataError(
            f"labels must be integers of shape (N,), not {array.dtype} of shape {array.shape}"
        )
    whole = np.isfinite(array) & (array == np.floor(array))
    count = classes if classes is not None else int(array[whole].max(initial=0)) + 1
    bad = np.flatnonzero(~(whole & (array >= 0) & (array < count)))
    if len(bad):
        raise DataError(
            f"labels has {len(bad)} values that are none of 0, ..., {count - 1}, the first "
            f"{array[bad[0]]} at row {bad[0]}"
        )
    return np.eye(count, dtype=np.float32)[array.astype(int)]


class AbstractSplit(ABC):
    """Pictures split into a condition, the pixels that are seen, and the rest, the target."""

    shape: tuple[int, int]

    @property
    @abstractmethod
    def mask(self) -> np.ndarray:
        """Which pixels of a picture are seen, ``(height * width,)``."""

    @property
    def condition(self) -> int:
        """Number of pixels that are seen."""
        return int(self.mask.sum())

    @property
    def features(self) -> int:
        """Number of pixels that are to be predicted."""
        return int((~self.mask).sum())

    def split(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the seen pixels as "c" ``(N, condition)``, the others as "x" ``(N, features)``.

        Args:
            pictures: Rows ``(N, height * width)``.
        """
        rows, pixels = np.asarray(pictures), self.shape[0] * self.shape[1]
        if rows.ndim != 2 or rows.shape[1] != pixels:
            raise DataError(
                f"pictures must have shape (N, {pixels}), flat rows of {self.shape[0]} x "
                f"{self.shape[1]} pixels, not {rows.shape}"
            )
        return {"c": rows[:, self.mask], "x": rows[:, ~self.mask]}

    def join(self, c: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Returns whole pictures ``(*, height * width)`` of both parts; draws of x may be many."""
        c, x = np.asarray(c), np.asarray(x)
        batch = np.broadcast_shapes(c.shape[:-1], x.shape[:-1])
        whole = np.empty((*batch, self.mask.size), np.result_type(c, x))
        whole[..., self.mask], whole[..., ~self.mask] = c, x
        return whole

    def _check_shape(self) -> None:
        check_widths(self, "shape")
        if len(self.shape) != 2 or min(self.shape) < 2:
            raise ArgumentError(
                f"{type(self).__name__}: shape must be a height and a width of at least 2, not "
                f"{self.shape}"
            )


@dataclass(frozen=True)
class Quadrants(AbstractSplit):
    """Pictures split into a condition, the quadrants that are seen, and the rest, the target.

    The first quadrant that is seen is the lower left one, then the upper left, then the lower
    right. An odd side has its middle line above, or to the left.

    Args:
        shape: Height and width of a picture.
        seen: Number of quadrants that are seen, 1, 2 or 3.
    """

    shape: tuple[int, int] = (28, 28)
    seen: int = 1

    def __post_init__(self) -> None:
        self._check_shape()
        check_size(self, "seen")
        if self.seen > 3:
            raise ArgumentError(f"Quadrants: seen must be 1, 2 or 3, not {self.seen}")

    @property
    def mask(self) -> np.ndarray:
        """Which pixels of a picture are seen, ``(height * width,)``."""
        height, width = (-(-side // 2) for side in self.shape)
        places = {
            "bottom left": (slice(height, None), slice(width)),
            "top left": (slice(height), slice(width)),
            "bottom right": (slice(height, None), slice(width, None)),
        }
        mask = np.zeros(self.shape, bool)
        for name in ORDER[: self.seen]:
            mask[places[name]] = True
        return mask.reshape(-1)


HALVES = ("upper", "lower", "left", "right")


@dataclass(frozen=True)
class Halves(AbstractSplit):
    """Pictures split into the half that is seen, the condition, and the other, the target.

    The middle line of an odd side belongs to the upper half, or to the left one.

    Args:
        shape: Height and width of a picture.
        seen: The half that is seen: "upper", "lower", "left" or "right".
    """

    shape: tuple[int, int] = (28, 28)
    seen: Literal["upper", "lower", "left", "right"] = "upper"

    def __post_init__(self) -> None:
        self._check_shape()
        if self.seen not in HALVES:
            raise ArgumentError(
                f"Halves: seen must be one of {', '.join(map(repr, HALVES))}, not {self.seen!r}"
            )

    @property
    def mask(self) -> np.ndarray:
        """Which pixels of a picture are seen, ``(height * width,)``."""
        axis = 0 if self.seen in ("upper", "lower") else 1
        first = np.indices(self.shape)[axis] < -(-self.shape[axis] // 2)
        return (first if self.seen in ("upper", "left") else ~first).reshape(-1)
