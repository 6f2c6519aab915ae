r"""Invertible mixing of channels by a matrix, and its factors.

.. math:: y_p = W x_p, \quad W = P L (U + \mathrm{diag}(\sigma e^s)), \quad
    \log |\det| = \text{positions} \cdot \sum_c s_c

with a fixed permutation P and fixed signs :math:`\sigma`, L unit lower triangular and U strictly
upper triangular: the determinant costs a sum. A 1 x 1 convolution is this at every pixel p.

References:
    | Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
    | https://arxiv.org/abs/1807.03039
"""

__all__ = ["Factors", "Mixing", "factors_of", "rotation"]

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ppgm.ops import Array, ops_of


class Factors(NamedTuple):
    """Factors of a matrix ``(C, C)``."""

    order: np.ndarray
    """Rows of L (U + diag) in the order in which the matrix has them, ``(C,)``."""
    sign: np.ndarray
    """Signs of the diagonal, ``(C,)``."""
    lower: np.ndarray
    """L; what is not below the diagonal does not count."""
    upper: np.ndarray
    """U; what is not above the diagonal does not count."""
    log_scale: np.ndarray
    """Logarithms s of the sizes of the diagonal, ``(C,)``."""


@dataclass(frozen=True)
class Mixing:
    """A matrix applied to the channels at every position; a vector holds a channel's together.

    Attributes:
        order: Places of the permutation, ``(C,)`` integers that are known beforehand.
        sign: Signs of the diagonal, ``(C,)``, likewise.
        lower: L, ``(C, C)``; what is not below the diagonal does not count.
        upper: U, ``(C, C)``; what is not above the diagonal does not count.
        log_scale: s, ``(C,)``.
    """

    order: np.ndarray
    sign: np.ndarray
    lower: Array
    upper: Array
    log_scale: Array

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant ``()``."""
        return self._mixed(self.matrix(), x), self._log_det(x)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``()``."""
        return self._mixed(ops_of(y).np.linalg.inv(self.matrix()), y), -self._log_det(y)

    def matrix(self) -> Array:
        """Returns W, ``(C, C)``."""
        ops = ops_of(self.lower)
        xp, size = ops.np, self.lower.shape[-1]
        lower = xp.tril(self.lower, k=-1) + ops.float(np.eye(size))
        scale = ops.float(self.sign) * xp.exp(self.log_scale)
        upper = xp.triu(self.upper, k=1) + ops.float(np.eye(size)) * scale
        return (lower @ upper)[tuple(self.order), :]

    def _mixed(self, matrix: Array, x: Array) -> Array:
        xp, channels = ops_of(x).np, matrix.shape[-1]
        if x.shape[-1] == channels:
            return x @ matrix.T
        parts = xp.reshape(x, (*x.shape[:-1], channels, x.shape[-1] // channels))
        return xp.reshape(matrix @ parts, tuple(x.shape))

    def _log_det(self, x: Array) -> Array:
        return (x.shape[-1] // self.log_scale.shape[-1]) * self.log_scale.sum(-1)


def rotation(size: int, seed: int) -> np.ndarray:
    """Returns a random orthogonal matrix ``(size, size)``."""
    noise = np.random.default_rng(seed).normal(size=(size, size))
    return np.linalg.qr(noise)[0]


def factors_of(matrix: np.ndarray) -> Factors:
    """Returns the factors of an invertible matrix, by elimination with partial pivoting."""
    work, size = np.array(matrix, float), len(matrix)
    rows = np.arange(size)
    for k in range(size):
        best = k + np.argmax(np.abs(work[k:, k]))
        work[[k, best]], rows[[k, best]] = work[[best, k]], rows[[best, k]]
        work[k + 1 :, k] /= work[k, k]
        work[k + 1 :, k + 1 :] -= np.outer(work[k + 1 :, k], work[k, k + 1 :])
    diagonal = np.diag(work)
    # row k of the product is row rows[k] of the matrix
    return Factors(
        np.argsort(rows), np.sign(diagonal), np.tril(work, -1), np.triu(work, 1),
        np.log(np.abs(diagonal)),
    )  # fmt: skip
