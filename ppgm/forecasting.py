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

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppgm.arrays import as_arrays, check_finite
from ppgm.checking import check_declared
from ppgm.errors import ArgumentError, DataError, EstimatorError
from ppgm.fits import Fit, as_fit
from ppgm.forecasting_draws import by_rows, continued, interpolated, smoothed
from ppgm.programs import Program
from ppgm.saving import check_params
from ppgm.state_spaces import StateSpace
from ppgm.testing import kalman
from ppgm.trajectories import Trajectories

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
    (states,) = by_rows(known, arrays, smoothed, draws, seed)
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
    states, x = by_rows(known, arrays, interpolated, draws, seed)
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
    states, x = by_rows(known, longer, continued, draws, seed, steps=steps)
    times = ends[:, None] + np.arange(steps)
    return Trajectories(states, x, times, _seen(arrays), _facts(known, "forecast", seed))


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
