"""Draws of states and data of sequences, by a declaration's parts; see `ppgm.forecasting`."""

__all__ = ["ahead_of", "by_rows", "continued", "interpolated", "paths", "smoothed"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm import host as hosts
from ppgm.fits import Fit
from ppgm.ops import Array, ops_of
from ppgm.rows import take
from ppgm.series import Series

PAIRS = 100_000
"""Largest number of steps of draws in one pass."""


def paths(declaration: Any, series: Series, noise: Array) -> Array:
    """Returns the guide's paths at noise ``(draws, N, T, L)``."""
    return declaration.posterior(series).push(noise)[0]


def ahead_of(declaration: Any, series: Series, past: Array, noise: Array) -> Array:
    """Returns the states that follow paths by the model's transition, ``(draws, N, k, L)``.

    Args:
        declaration: The model.
        series: Data that reach at least k steps beyond the end of each row.
        past: Paths, ``(draws, N, T, L)``.
        noise: Noise of the steps to come, ``(draws, N, k, L)``.
    """
    ops, steps = ops_of(past), int(noise.shape[-2])
    xp, rows, length = ops.np, int(past.shape[1]), series.length
    ends: Array = series.lengths
    chain = declaration.prior(Series(series.ppl, series.x, None, None, series.u))
    index = ends[:, None] + xp.arange(steps)
    inputs = (xp.broadcast_to(a, (rows, length, a.shape[-1])) for a in chain.inputs)
    inputs = [xp.take_along_axis(a, index[..., None], axis=1) for a in inputs]
    last = xp.take_along_axis(past, ends[None, :, None, None] - 1, axis=2)[:, :, 0]

    def step(carry: Any, now: Any) -> Any:
        (z,), (eps, *own) = carry, now
        value = chain.step(z, *own).push(eps)[0]
        return (value,), (value,)

    xs = (xp.moveaxis(noise, -2, 0), *(xp.moveaxis(a, 1, 0) for a in inputs))
    return xp.moveaxis(ops.scan(step, (last,), xs)[0], 0, -2)


def smoothed(declaration: Any, series: Series, rng: Any, draws: int) -> tuple[Array, ...]:
    """Returns draws of the states given all data, ``(draws, N, T, L)``."""
    x: Array = series.x
    event = declaration.posterior(series).event_shape
    return (paths(declaration, series, rng.normal((draws, int(x.shape[0]), *event))),)


def interpolated(declaration: Any, series: Series, rng: Any, draws: int) -> tuple[Array, ...]:
    """Returns draws of the states, and of the data with what was seen in its place."""
    (states,) = smoothed(declaration, series, rng, draws)
    emitted, shape = declaration.emission(series)(states, series.seen), tuple(states.shape[:2])
    ops = ops_of(states)
    x = ops.float(series.x)
    if hasattr(emitted, "filled"):  # columns that depend on each other given the states
        return states, emitted.filled(rng, shape, x)
    return states, ops.np.where(series.seen, x, ops.float(emitted.sample(rng, shape)))


def continued(
    declaration: Any, series: Series, rng: Any, draws: int, *, steps: int
) -> tuple[Array, ...]:
    """Returns draws of the states and data of the steps after the end of each row."""
    (past,) = smoothed(declaration, series, rng, draws)
    shape = tuple(past.shape[:2])
    noise = rng.normal((*shape, steps, int(past.shape[-1])))
    states = ahead_of(declaration, series, past, noise)
    return states, declaration.emission(series)(states, None).sample(rng, shape)


@dataclass(frozen=True)
class _Drawn:
    """A function of the declaration and some rows, by the host: equal ones are compiled once."""

    fn: Callable[..., tuple[Array, ...]]
    draws: int
    options: tuple[tuple[str, int], ...]

    def __call__(
        self, declaration: Any, ppl: Any, batch: Mapping[str, Any], rng: Any
    ) -> tuple[Array, ...]:
        """Calls the function with the rows as a series."""
        lengths, mask, u = (batch.get(n) for n in ("lengths", "mask", "u"))
        series = Series(ppl, batch["x"], lengths, mask, u)
        return self.fn(declaration, series, rng, self.draws, **dict(self.options))


def by_rows(
    known: Fit, data: Mapping[str, Any], fn: Callable[..., tuple[Array, ...]], draws: int,
    seed: int, **options: int,
) -> list[np.ndarray]:  # fmt: skip
    """Calls ``fn(declaration, series, rng, draws, **options)`` for some rows at a time."""
    run = _Drawn(fn, draws, tuple(options.items()))
    call = hosts.load(known.program.host).within(known.program, known.params, data, run)
    rows = len(data["x"])
    steps, parts = np.shape(data["x"])[1], []
    size = min(rows, max(1, PAIRS // (draws * steps)))
    for i, at in enumerate(range(0, rows, size)):
        own = int(np.random.SeedSequence([seed, i]).generate_state(1)[0])
        parts.append(call(take(data, np.arange(at, at + size) % rows), own))
    return [np.concatenate(p, 1)[:, :rows] for p in zip(*parts, strict=True)]
