r"""Sequences before, between and after what was seen: smoothing, interpolation and forecasts.

.. math::
    z_{1:T} \sim q(z | x_{1:T}), \quad
    z_{T+j} \sim p(z_{T+j} | z_{T+j-1}, u_{T+j}), \quad x_{T+j} \sim p(x | z_{T+j}), \quad
    j = 1, ..., k

The guide draws paths of states given the data up to each row's own end, and the model goes on from
there. The draws are exact where the guide is the posterior, as that of `LinearGaussianSSM` and of
``DKF(guide="exact")``; else they are as good as the guide is. A guide of smoothing
type knows the data to come, so forecasts within the data need data cut short: end the rows early,
``data | {"lengths": ends}``.
"""

__all__ = ["forecast", "interpolate", "smooth"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm import host as hosts
from ppgm.arrays import as_arrays, check_finite
from ppgm.checking import check_declared
from ppgm.errors import ArgumentError, DataError, EstimatorError
from ppgm.fits import Fit, as_fit
from ppgm.ops import Array, ops_of
from ppgm.programs import Program
from ppgm.rows import take
from ppgm.saving import check_params
from ppgm.series import Series
from ppgm.state_spaces import StateSpace
from ppgm.testing import kalman
from ppgm.trajectories import Trajectories

PAIRS = 100_000
"""Largest number of row-draw pairs in one pass."""

Arrays = dict[str, Any]
Source = Fit | Program


def smooth(
    fit: Source, data: Mapping[str, Any], *, draws: int = 1000, seed: int = 0
) -> Trajectories:
    """Draws the states of every row given all its data.

    Args:
        fit: A trained program, or a program to be taken at its initial parameters, of a
            declaration that is a `ppgm.state_spaces.StateSpace`.
        data: "x" ``(N, T, D)``, and optionally "lengths", "mask" and "u".
        draws: Number of draws for each row.
        seed: Seed of the draws.

    Returns:
        States of all steps; NaN after the end of a row.

    Raises:
        EstimatorError: If the declaration is no state space.
        DataError: As `ppgm.fit`.
    """
    known, arrays = _checked(fit, data, draws, "smooth")
    (states,) = _by_rows(known, arrays, _smoothed, draws, seed)
    return _within(known, arrays, states, None, "smoothing", seed)


def interpolate(
    fit: Source, data: Mapping[str, Any], *, draws: int = 1000, seed: int = 0
) -> Trajectories:
    """Draws what was not seen of every row, given what was.

    Args:
        fit: As for `smooth`.
        data: "x" ``(N, T, D)``, "mask", and optionally "lengths" and "u".
        draws: Number of draws for each row.
        seed: Seed of the draws.

    Returns:
        States and data of all steps. What was seen is the same in all draws of the data; both are
        NaN after the end of a row.

    Raises:
        EstimatorError: If the declaration is no state space.
        DataError: As `ppgm.fit`, and if there is no mask.
    """
    known, arrays = _checked(fit, data, draws, "interpolate")
    if arrays.get("mask") is None:
        raise DataError(
            "interpolate: nothing is missing, as the data have no 'mask', (N, T) or (N, T, D), "
            "with a 0 for what was not seen; ppgm.data.missing(x) makes one of NaN"
        )
    states, x = _by_rows(known, arrays, _interpolated, draws, seed)
    return _within(known, arrays, states, x, "interpolation", seed)


def forecast(
    fit: Source,
    data: Mapping[str, Any],
    *,
    steps: int,
    draws: int = 1000,
    seed: int = 0,
    ahead: Any = None,
) -> Trajectories:
    """Draws states and data of the steps after the end of each row.

    Args:
        fit: As for `smooth`.
        data: "x" ``(N, T, D)``, and optionally "lengths", "mask" and "u".
        steps: Number of steps k to come.
        draws: Number of draws for each row.
        seed: Seed of the draws.
        ahead: Inputs of the steps to come, ``(N, k, U)``, of a model with inputs.

    Returns:
        States and data of k steps, the first of which comes right after the last of its row.

    Raises:
        ArgumentError: If `steps` or `draws` is no count.
        EstimatorError: If the declaration is no state space.
        DataError: As `ppgm.fit`, and if `ahead` is missing or of another shape.
    """
    known, arrays = _checked(fit, data, draws, "forecast")
    _check_count("steps", steps)
    ends = _ends(arrays)
    longer = _longer(arrays, ends, steps, ahead)
    states, x = _by_rows(known, longer, _continued, draws, seed, steps=steps)
    times = ends[:, None] + np.arange(steps)
    return Trajectories(states, x, times, _seen(arrays), _facts(known, "forecast", seed))


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


def _smoothed(declaration: Any, series: Series, rng: Any, draws: int) -> tuple[Array, ...]:
    x: Array = series.x
    event = declaration.posterior(series).event_shape
    return (paths(declaration, series, rng.normal((draws, int(x.shape[0]), *event))),)


def _interpolated(declaration: Any, series: Series, rng: Any, draws: int) -> tuple[Array, ...]:
    (states,) = _smoothed(declaration, series, rng, draws)
    emitted, shape = declaration.emission(series)(states, series.seen), tuple(states.shape[:2])
    ops = ops_of(states)
    x = ops.float(series.x)
    if hasattr(emitted, "filled"):  # columns that depend on each other given the states
        return states, emitted.filled(rng, shape, x)
    return states, ops.np.where(series.seen, x, ops.float(emitted.sample(rng, shape)))


def _continued(
    declaration: Any, series: Series, rng: Any, draws: int, *, steps: int
) -> tuple[Array, ...]:
    (past,) = _smoothed(declaration, series, rng, draws)
    shape = tuple(past.shape[:2])
    noise = rng.normal((*shape, steps, int(past.shape[-1])))
    states = ahead_of(declaration, series, past, noise)
    return states, declaration.emission(series)(states, None).sample(rng, shape)


def _checked(fit: Source, data: Mapping[str, Any], draws: int, name: str) -> tuple[Fit, Arrays]:
    """Returns the fit and the data as arrays, both checked."""
    source = fit if isinstance(fit, Program) else fit.program
    if not isinstance(source.declaration, StateSpace):
        what = type(source.declaration).__name__ if source.declaration else "a host's own program"
        own = callable(getattr(source.declaration, name, None))
        hint = f"; {what} has its own exact {what}.{name}(fit.params, ...)" if own else ""
        raise EstimatorError(
            f"{name} draws states step by step: it needs a declaration with the methods prior, "
            f"posterior and emission (see ppgm.state_spaces), such as DKF, not {what}{hint}"
        )
    _check_count("draws", draws)
    check_declared(fit, data)
    arrays = as_arrays(data)
    check_finite(arrays)
    if arrays.get("x") is None:
        raise DataError(f"{name}: the data need 'x', (N, T, D): what was seen of the sequences")
    known = as_fit(fit, arrays)
    check_params(known, arrays)
    return known, arrays


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ArgumentError(f"{name} must be an integer of at least 1, not {value!r}")


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


def _by_rows(
    known: Fit, data: Arrays, fn: Callable[..., tuple[Array, ...]], draws: int, seed: int,
    **options: int,
) -> list[np.ndarray]:  # fmt: skip
    """Calls ``fn(declaration, series, rng, draws, **options)`` for some rows at a time."""
    run = _Drawn(fn, draws, tuple(options.items()))
    call = hosts.load(known.program.host).within(known.program, known.params, data, run)
    rows = len(data["x"])
    size, parts = min(rows, max(1, PAIRS // draws)), []
    for i, at in enumerate(range(0, rows, size)):
        own = int(np.random.SeedSequence([seed, i]).generate_state(1)[0])
        parts.append(call(take(data, np.arange(at, at + size) % rows), own))
    return [np.concatenate(p, 1)[:, :rows] for p in zip(*parts, strict=True)]


def _longer(data: Arrays, ends: np.ndarray, steps: int, ahead: Any) -> Arrays:
    """Returns the data with room for the steps to come, and the inputs of these in place."""
    rows = len(data["x"])

    def room(array: np.ndarray) -> np.ndarray:
        return np.concatenate([array, np.zeros((rows, steps, *array.shape[2:]), array.dtype)], 1)

    found = {n: room(data[n]) for n in ("x", "mask", "u") if data.get(n) is not None}
    u = found.get("u")
    if (u is None) != (ahead is None):
        wanted = "no inputs 'u': leave `ahead` out" if u is None else "inputs 'u': give `ahead`"
        raise DataError(f"forecast: the data have {wanted}, those of the steps to come, (N, k, U)")
    if u is not None:
        ahead, wanted = np.asarray(ahead), (rows, steps, u.shape[-1])
        if ahead.shape != wanted:
            raise DataError(f"forecast: ahead must have the shape {wanted}, not {ahead.shape}")
        check_finite({"ahead": ahead})
        found["u"] = u = u.astype(np.result_type(u, ahead))
        np.put_along_axis(u, (ends[:, None] + np.arange(steps))[..., None], ahead, 1)
    return {**data, **found, "lengths": ends}


def _within(
    known: Fit, data: Arrays, states: np.ndarray, x: np.ndarray | None, kind: str, seed: int
) -> Trajectories:
    """Returns draws of the data's own steps, NaN after the end of each row."""
    steps, ends = data["x"].shape[1], _ends(data)
    alive = (np.arange(steps) < ends[:, None])[..., None]
    states = np.where(alive, states, np.nan)
    x = None if x is None else np.where(alive, x, np.nan)
    times = np.broadcast_to(np.arange(steps), (len(ends), steps))
    return Trajectories(states, x, times, _seen(data), _facts(known, kind, seed))


def _seen(data: Arrays) -> np.ndarray:
    """Returns the data with NaN for what was not seen."""
    x = np.asarray(data["x"], float)
    return np.where(
        kalman.observed(kalman.Series(x, data.get("mask"), data.get("lengths"))), x, np.nan
    )


def _ends(data: Arrays) -> np.ndarray:
    lengths = data.get("lengths")
    whole = np.full(len(data["x"]), data["x"].shape[1])
    return whole if lengths is None else np.asarray(lengths).astype(int)


def _facts(known: Fit, kind: str, seed: int) -> dict[str, Any]:
    return {"inference_method": kind, "host": known.program.host, "seed": seed}
