r"""Gaussian data of every step of a sequence, some entries of which may be missing.

.. math:: x_t | z_t \sim N(C z_t + d, S S^T)

What is missing is integrated out: with the row and the column of an entry in the covariance
replaced by those of the identity, and its deviation by 0, what is left is the density of the
others.
"""

__all__ = ["GaussianSeries", "Whitening"]

from dataclasses import dataclass
from math import log, pi

import numpy as np

from ppgm.distributions import Rng
from ppgm.ops import Array, ops_of


@dataclass(frozen=True)
class Whitening:
    """Multiplication by the inverse of the factor of a covariance, over what has been seen.

    Attributes:
        root: Standard deviations ``(D,)``, or a lower triangular factor ``(D, D)``.
        seen: Booleans ``(*, D)``, or ``(*, 1)`` where all entries of a vector were seen or none;
            None for all.
    """

    root: Array
    seen: Array | None = None

    def __call__(self, columns: Array) -> Array:
        """Returns the inverse factor times matrices ``(*, D, n)``; unseen rows are zero."""
        xp = ops_of(self.root).np
        if self.seen is not None:
            columns = xp.where(self.seen[..., None], columns, 0.0)
        if self.root.ndim == 1:
            return columns / self.root[:, None]
        return xp.linalg.solve(self._factor, columns)

    @property
    def log_normaliser(self) -> Array:
        """Log of the constant of the density over what has been seen, ``(*)``."""
        ops = ops_of(self.root)
        roots = self.root if self.root.ndim == 1 else ops.np.linalg.diagonal(self._factor)
        terms = ops.np.log(roots) + log(2 * pi) / 2
        if self.seen is not None:
            terms = ops.np.where(self.seen, terms, 0.0)
        return terms.sum(-1)

    @property
    def _factor(self) -> Array:
        if self.seen is None or self.seen.shape[-1] == 1:
            return self.root
        ops = ops_of(self.root)
        here = ops.float(self.seen)
        both = here[..., :, None] * here[..., None, :]
        missing = (1 - here)[..., None] * ops.np.eye(self.root.shape[-1])
        return ops.np.linalg.cholesky(both * (self.root @ self.root.T) + missing)


@dataclass(frozen=True)
class GaussianSeries:
    """Independent steps given their means, events ``(T, D)``.

    Attributes:
        loc: Means, ``(*, T, D)``.
        whitening: The covariance of a step and what has been seen, ``(*, T, D)``.
    """

    loc: Array
    whitening: Whitening
    support = "real"
    reparameterised = True
    normalised = True

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes before those of one draw."""
        seen = self.whitening.seen
        other = () if seen is None else tuple(seen.shape[:-2])
        return np.broadcast_shapes(tuple(self.loc.shape[:-2]), other)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Time and columns, ``(T, D)``."""
        return tuple(self.loc.shape[-2:])

    def sample(self, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Draws whole sequences, what was not seen of them too."""
        noise, root = rng.normal((*shape, *self.event_shape)), self.whitening.root
        return self.loc + (noise * root if root.ndim == 1 else noise @ root.T)

    def filled(self, rng: Rng, shape: tuple[int, ...], value: Array) -> Array:
        """Draws what was not seen of ``(*, T, D)`` given what was; the rest stays as it is.

        By Matheron's rule: a draw of all, moved by how far its seen entries are from the data.
        """
        drawn, seen, root = self.sample(rng, shape), self.whitening.seen, self.whitening.root
        if seen is None:
            return value
        ops = ops_of(drawn)
        if root.ndim == 2 and seen.shape[-1] > 1:
            here, error = ops.float(seen), root @ root.T
            both = here[..., :, None] * here[..., None, :]
            known = both * error + (1 - here)[..., None] * ops.np.eye(root.shape[-1])
            away = ops.np.where(seen, value - drawn, ops.np.zeros_like(drawn))
            drawn = drawn + (error @ ops.np.linalg.solve(known, away[..., None]))[..., 0]
        return ops.np.where(seen, value, drawn)

    def log_prob(self, value: Array) -> Array:
        """Returns the log density of what has been seen of sequences ``(*, T, D)``, ``(*)``."""
        return self.steps(value).sum(-1)

    def steps(self, value: Array) -> Array:
        """Returns the log densities of the steps, ``(*, T)``."""
        white = self.whitening((value - self.loc)[..., None])[..., 0]
        return -0.5 * (white**2).sum(-1) - self.whitening.log_normaliser
