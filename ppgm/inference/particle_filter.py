r"""Particle filters of a trained program: estimates of p(x), of states, and whole paths.

The *bootstrap* filter draws each state from the model's transition, the *guided* one from the
guide's chain, which may know the data to come; see `ppgm.particle_filters` for the weights. The
estimate of p(x) is unbiased for any number of particles, scheme and threshold, and either
proposal.

References:
    | Novel approach to nonlinear/non-Gaussian Bayesian state estimation (Gordon, Salmond & Smith,
    | 1993), https://doi.org/10.1049/ip-f-2.1993.0015
    | A tutorial on particle filtering and smoothing (Doucet & Johansen, 2009)
"""

__all__ = ["Filtering", "ParticleFilter"]

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from ppgm import host as hosts
from ppgm.arrays import as_arrays, check_finite
from ppgm.checking import check_declared
from ppgm.domains import check_choice
from ppgm.errors import DataError
from ppgm.fits import Fit, as_fit
from ppgm.inference.counts import set_count
from ppgm.ops import ops_of
from ppgm.particle_filters import Steps, moves_of, run
from ppgm.programs import Program
from ppgm.resampling import check_scheme
from ppgm.rows import row_count, take
from ppgm.saving import check_params
from ppgm.state_spaces import require

PAIRS = 100_000
"""Largest number of row-particle pairs in one pass."""


class Filtering(NamedTuple):
    """What a particle filter found; after the end of a row, what it found at the end.

    Attributes:
        log_likelihood: Estimate of log p(x) by row, ``(N,)``; that of p(x) is unbiased.
        steps: Its parts, estimates of log p(x_t | x_1 ... x_{t-1}), ``(N, T)``.
        ess: Effective number of particles after each step, ``(N, T)``.
        mean: Mean of each state given the data up to its step, ``(N, T, L)``.
        sd: Standard deviation likewise.
        states: Particles, ``(K, N, T, L)``, if they were asked for.
        log_weights: Logs of their normalised weights, ``(K, N, T)``, likewise.
        ancestors: Of each particle, its index one step before, ``(K, N, T)``, likewise.
    """

    log_likelihood: np.ndarray
    steps: np.ndarray
    ess: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    states: np.ndarray | None = None
    log_weights: np.ndarray | None = None
    ancestors: np.ndarray | None = None

    def paths(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the whole path of each last particle, and its log weight.

        Weighted, they are draws of p(z | x); where particles were resampled often they share
        their early states.

        Returns:
            Paths ``(K, N, T, L)`` and logs of normalised weights ``(K, N)``.

        Raises:
            DataError: If the particles were not kept.
        """
        if self.states is None or self.log_weights is None or self.ancestors is None:
            raise DataError("the particles were not kept: run the filter with keep=True")
        count, rows, steps = self.ancestors.shape
        index, found = np.tile(np.arange(count)[:, None], (1, rows)), []
        for t in range(steps - 1, -1, -1):
            found.append(np.take_along_axis(self.states[:, :, t], index[..., None], 0))
            index = np.take_along_axis(self.ancestors[:, :, t], index, 0)
        return np.stack(found[::-1], 2), self.log_weights[..., -1]


@dataclass(frozen=True)
class ParticleFilter:
    """A particle filter; as a method of `ppgm.infer` it draws paths of states.

    Args:
        particles: Number of particles K.
        draws: Paths drawn for each row by `ppgm.infer`.
        proposal: What states are drawn from: the model's "prior", or its "guide".
        resampling: Scheme, one of `ppgm.resampling.SCHEMES`.
        threshold: A row is resampled when its effective number of particles is below this share
            of K; 0 never resamples.
    """

    particles: int = 1000
    draws: int = 1000
    proposal: Literal["prior", "guide"] = "prior"
    resampling: Literal["systematic", "stratified", "multinomial", "residual"] = "systematic"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        set_count(self, "particles")
        set_count(self, "draws")
        check_scheme(self)
        check_choice(self, "proposal", ("prior", "guide"))

    def filter(
        self, fit: Fit | Program, data: Mapping[str, Any], *, seed: int = 0, keep: bool = False
    ) -> Filtering:
        """Runs the filter over every row of the data.

        Args:
            fit: A trained program, or a program to be taken at its initial parameters, of a
                declaration that is a `ppgm.state_spaces.StateSpace`.
            data: "x" ``(N, T, D)``, and optionally "lengths", "mask" and "u".
            seed: Seed of the draws.
            keep: Whether to return the particles.

        Raises:
            EstimatorError: If the declaration is no state space.
            DataError: As `ppgm.fit`.
        """
        source = fit if isinstance(fit, Program) else fit.program
        require(source.declaration, type(self).__name__, use="Importance")
        check_declared(fit, data)
        arrays = as_arrays(data)
        check_finite(arrays)
        known = as_fit(fit, arrays)
        check_params(known, arrays)
        call = hosts.load(source.host).within(
            source, known.params, arrays, _Whole(self, keep=keep)
        )
        parts = [call(part, own) for part, own in self._chunks(arrays, seed)]
        rows = row_count(arrays) or 1
        log_c, size, mean, sd, *kept = (
            np.concatenate(arrays)[:rows] for arrays in zip(*parts, strict=True)
        )
        kept = (np.swapaxes(a, 0, 1) for a in kept)
        return Filtering(log_c.sum(-1, dtype=float), log_c, size, mean, sd, *kept)

    def _chunks(self, data: dict[str, Any], seed: int) -> Iterator[tuple[dict[str, Any], int]]:
        """Yields rows of the data, the last ones filled up with the first, and a seed for each."""
        rows = row_count(data) or 1
        size = min(rows, max(1, PAIRS // self.particles))
        for i, at in enumerate(range(0, rows, size)):
            own = int(np.random.SeedSequence([seed, i]).generate_state(1)[0])
            yield take(data, np.arange(at, at + size) % rows), own


@dataclass(frozen=True)
class _Whole:
    """One run over all steps, by the host: equal ones are compiled once."""

    filter: ParticleFilter
    keep: bool

    def __call__(
        self, declaration: Any, ppl: Any, data: Mapping[str, Any], rng: Any
    ) -> tuple[Any, ...]:
        """Returns the arrays of `Filtering`, rows first."""
        made = self.filter
        moves = moves_of(
            declaration, ppl, data, guided=made.proposal == "guide", scheme=made.resampling,
            threshold=made.threshold,
        )  # fmt: skip
        rows, steps = (int(n) for n in moves.x.shape[:2])
        shape = (made.particles, rows, steps)
        noise = rng.normal((*shape, *moves.target.event_shape[1:]))
        return _summary(run(moves, noise, rng.uniform(shape)), keep=self.keep)


def _summary(found: Steps, *, keep: bool) -> tuple[Any, ...]:
    """Returns the arrays of `Filtering` with rows as the first axis."""
    xp = ops_of(found.states).np
    weights = xp.exp(found.log_w)[..., None]
    mean = (weights * found.states).sum(1)
    sd = xp.sqrt((weights * (found.states - mean[:, None]) ** 2).sum(1))
    by_row = tuple(xp.moveaxis(a, 0, 1) for a in (found.log_c, found.size, mean, sd))
    kept = (found.states, found.log_w, found.ancestors) if keep else ()
    return (*by_row, *(xp.moveaxis(a, (0, 2), (2, 0)) for a in kept))
