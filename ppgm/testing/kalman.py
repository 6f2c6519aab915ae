r"""Exact answers for linear-Gaussian state-space models: the Kalman filter.

With `z` of size L, `x` of size D and, where there are any, inputs `u` of size U:

    z_1 ~ N(m, P),    z_t | z_{t-1} ~ N(A z_{t-1} + b + B u_t, Q)
    x_t | z_t ~ N(C z_t + d, R)

Rows are independent sequences. Entries of `x` may be missing one by one, and sequences may end
before the last step: steps after the end are like missing ones, so that what is said of them is a
forecast. Covariances are updated in Joseph's form, a sum of squares, which stays symmetric and
positive in rounding.

References:
    A new approach to linear filtering and prediction problems (Kalman, 1960),
    doi:10.1115/1.3662552. Bucy & Joseph, Filtering for stochastic processes (1968).
"""

from typing import NamedTuple

import numpy as np

__all__ = [
    "Filtered",
    "Forecast",
    "Model",
    "Series",
    "alive",
    "filtered",
    "forecast",
    "log_joint",
    "log_likelihood",
    "observed",
    "steady_covariance",
]

LOG_2PI = float(np.log(2 * np.pi))


class Model(NamedTuple):
    """Parameters, the same at every step."""

    initial: np.ndarray
    """`m`, `(L,)`."""
    initial_covariance: np.ndarray
    """`P`, `(L, L)`."""
    transition: np.ndarray
    """`A`, `(L, L)`."""
    drift: np.ndarray
    """`b`, `(L,)`."""
    noise: np.ndarray
    """`Q`, `(L, L)`."""
    emission: np.ndarray
    """`C`, `(D, L)`."""
    offset: np.ndarray
    """`d`, `(D,)`."""
    error: np.ndarray
    """`R`, `(D, D)`."""
    control: np.ndarray | None = None
    """`B`, `(L, U)`."""


class Series(NamedTuple):
    """Sequences, one a row."""

    x: np.ndarray
    """Data, `(N, T, D)`; entries that were not seen may hold anything."""
    mask: np.ndarray | None = None
    """True where seen, by step `(N, T)` or by entry `(N, T, D)`; None where all were."""
    lengths: np.ndarray | None = None
    """Number of steps of each row, `(N,)`; None where all have T."""
    u: np.ndarray | None = None
    """Inputs, `(N, T, U)`; the first of each row has no effect."""


class Filtered(NamedTuple):
    """What the data so far say of each state."""

    log_likelihood: np.ndarray
    """`log p(x)`, `(N,)`."""
    steps: np.ndarray
    """`log p(x_t | x_1 ... x_{t-1})`, `(N, T)`."""
    predicted: np.ndarray
    """Mean of `z_t` given the steps before t, `(N, T, L)`."""
    predicted_covariance: np.ndarray
    """Its covariance, `(N, T, L, L)`."""
    mean: np.ndarray
    """Mean of `z_t` given the steps up to t, `(N, T, L)`."""
    covariance: np.ndarray
    """Its covariance, `(N, T, L, L)`."""


class Forecast(NamedTuple):
    """Moments of states and data after the end of each sequence."""

    latent: np.ndarray
    """Means of the states, `(N, S, L)`."""
    latent_covariance: np.ndarray
    """Their covariances, `(N, S, L, L)`."""
    mean: np.ndarray
    """Means of the data, `(N, S, D)`."""
    covariance: np.ndarray
    """Their covariances, `(N, S, D, D)`."""


def observed(series: Series) -> np.ndarray:
    """Which entries were seen, booleans `(N, T, D)`: none after the end of a sequence."""
    seen = np.ones(series.x.shape, bool)
    if series.mask is not None:
        mask = np.asarray(series.mask) != 0
        seen &= mask[..., None] if mask.ndim == 2 else mask
    return seen & alive(series)[..., None]


def alive(series: Series) -> np.ndarray:
    """Which steps come before the end of their sequence, booleans `(N, T)`."""
    rows, steps, _ = series.x.shape
    ends = np.full(rows, steps) if series.lengths is None else np.asarray(series.lengths)
    return np.arange(steps) < ends[:, None]


def filtered(series: Series, model: Model) -> Filtered:
    """Runs the Kalman filter over all rows."""
    x, (rows, steps, features) = series.x, series.x.shape
    seen, drift = observed(series), _drift(model, rows, steps, series.u)
    mean = np.tile(model.initial, (rows, 1))
    covariance = np.tile(model.initial_covariance, (rows, 1, 1))
    found = []
    for t in range(steps):
        if t:
            mean = mean @ model.transition.T + drift[:, t]
            covariance = model.transition @ covariance @ model.transition.T + model.noise
        predicted = mean, covariance

        # an unseen entry becomes one that is always 0, seen with an error of variance 1
        here = seen[:, t].astype(float)
        emission = here[..., None] * model.emission
        error = here[:, :, None] * here[:, None] * model.error
        error = error + (1 - here)[..., None] * np.eye(features)
        value = np.where(seen[:, t], x[:, t], 0.0)
        residual = here * (value - model.offset) - _times(emission, mean)

        spread = emission @ covariance @ _t(emission) + error
        gain = _t(np.linalg.solve(spread, emission @ covariance))
        left = np.eye(len(model.initial)) - gain @ emission
        mean = mean + _times(gain, residual)
        covariance = left @ covariance @ _t(left) + gain @ error @ _t(gain)
        log_p = _log_normal(residual, spread) + LOG_2PI / 2 * (1 - here).sum(-1)
        found.append((log_p, *predicted, mean, covariance))
    log_p, *moments = (np.stack(part, axis=1) for part in zip(*found, strict=True))
    return Filtered(log_p.sum(1), log_p, *moments)


def log_likelihood(series: Series, model: Model) -> np.ndarray:
    """Exact `log p(x)` of each row, `(N,)`."""
    return filtered(series, model).log_likelihood


def log_joint(series: Series, z: np.ndarray, model: Model) -> np.ndarray:
    """Exact `log p(x, z)` of data and states `z (N, T, L)`, `(N,)`.

    States after the end of a sequence do not count; those of missing steps do.
    """
    rows, steps, _ = series.x.shape
    counted, seen = alive(series), observed(series)
    drift = _drift(model, rows, steps, series.u)[:, 1:]
    later = _log_normal(z[:, 1:] - z[:, :-1] @ model.transition.T - drift, model.noise)
    first = _log_normal(z[:, 0] - model.initial, model.initial_covariance)
    total = np.where(counted, np.concatenate([first[:, None], later], 1), 0).sum(1)

    located = z @ model.emission.T + model.offset
    for row, step in zip(*np.nonzero(seen.any(-1)), strict=True):
        own = seen[row, step]
        deviation = series.x[row, step, own] - located[row, step, own]
        total[row] += _log_normal(deviation, model.error[np.ix_(own, own)])
    return total


def forecast(
    past: Filtered,
    model: Model,
    steps: int,
    *,
    lengths: np.ndarray | None = None,
    u: np.ndarray | None = None,
) -> Forecast:
    """Moments of the `steps` steps after the end of each row.

    Args:
        past: What the filter found.
        model: The parameters.
        steps: Number of steps S.
        lengths: Number of steps of each row; by default all that the filter saw.
        u: Inputs of the steps to come, `(N, S, U)`.
    """
    rows = len(past.mean)
    last = np.full(rows, past.mean.shape[1]) if lengths is None else np.asarray(lengths)
    mean = past.mean[np.arange(rows), last - 1]
    covariance = past.covariance[np.arange(rows), last - 1]
    drift = _drift(model, rows, steps, u)
    means, covariances = [], []
    for t in range(steps):
        mean = mean @ model.transition.T + drift[:, t]
        covariance = model.transition @ covariance @ model.transition.T + model.noise
        means.append(mean)
        covariances.append(covariance)
    latent, spread = np.stack(means, 1), np.stack(covariances, 1)
    return Forecast(
        latent,
        spread,
        latent @ model.emission.T + model.offset,
        model.emission @ spread @ model.emission.T + model.error,
    )


def steady_covariance(model: Model, *, steps: int = 10_000) -> np.ndarray:
    """Covariance of `z_t` given all steps before, in the long run, `(L, L)`."""
    covariance = model.initial_covariance
    for _ in range(steps):
        spread = model.emission @ covariance @ model.emission.T + model.error
        gain = np.linalg.solve(spread, model.emission @ covariance).T
        left = np.eye(len(covariance)) - gain @ model.emission
        covariance = left @ covariance @ left.T + gain @ model.error @ gain.T
        covariance = model.transition @ covariance @ model.transition.T + model.noise
    return covariance


def _drift(model: Model, rows: int, steps: int, u: np.ndarray | None) -> np.ndarray:
    drift = np.broadcast_to(model.drift, (rows, steps, len(model.drift)))
    return drift if model.control is None or u is None else drift + u @ model.control.T


def _log_normal(deviation: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    solved = np.linalg.solve(covariance, deviation[..., None])[..., 0]
    log_det = np.linalg.slogdet(2 * np.pi * covariance)[1]
    return -0.5 * ((deviation * solved).sum(-1) + log_det)


def _times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return (matrix @ vector[..., None])[..., 0]


def _t(matrix: np.ndarray) -> np.ndarray:
    return np.swapaxes(matrix, -1, -2)
