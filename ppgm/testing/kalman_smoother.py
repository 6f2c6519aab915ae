r"""Exact posteriors of linear-Gaussian state-space models, from what the Kalman filter found.

The posterior of the states is a Markov chain in either direction:

    p(z | x) = p(z_T | x) prod_t p(z_t | z_{t+1}, x) = p(z_1 | x) prod_t p(z_t | z_{t-1}, x)

The first form is the recursion of Rauch, Tung and Striebel run as a sampler; the second follows
from its moments, and is what an exact guide draws from.

References:
    Maximum likelihood estimates of linear dynamic systems (Rauch, Tung & Striebel, 1965),
    doi:10.2514/3.3166.
"""

from typing import NamedTuple

import numpy as np

from ppgm.testing.kalman import Filtered, Model

__all__ = ["Conditional", "Smoothed", "backward_conditional", "forward_conditional", "smoothed"]


class Smoothed(NamedTuple):
    """What all the data say of each state."""

    mean: np.ndarray
    """Mean of `z_t`, `(N, T, L)`."""
    covariance: np.ndarray
    """Its covariance, `(N, T, L, L)`."""
    lagged: np.ndarray
    """`Cov(z_{t+1}, z_t)`, `(N, T - 1, L, L)`."""


class Conditional(NamedTuple):
    """A Gaussian chain `z_t | z' ~ N(G_t z' + g_t, V_t)`, where `z'` is a neighbour of `z_t`."""

    gain: np.ndarray
    """`G`, `(N, T, L, L)`; zero at the end that has no neighbour."""
    shift: np.ndarray
    """`g`, `(N, T, L)`."""
    covariance: np.ndarray
    """`V`, `(N, T, L, L)`."""


def smoothed(past: Filtered, model: Model) -> Smoothed:
    """Runs the smoother of Rauch, Tung and Striebel over what the filter found."""
    back = backward_conditional(past, model)
    mean, covariance = [past.mean[:, -1]], [past.covariance[:, -1]]
    lagged = []
    for t in range(past.mean.shape[1] - 2, -1, -1):
        gain = back.gain[:, t]
        lagged.append(covariance[-1] @ _t(gain))
        mean.append(_times(gain, mean[-1]) + back.shift[:, t])
        covariance.append(gain @ covariance[-1] @ _t(gain) + back.covariance[:, t])
    shape = (len(past.mean), 0, *past.covariance.shape[2:])
    pairs = np.stack(lagged[::-1], 1) if lagged else np.zeros(shape)
    return Smoothed(np.stack(mean[::-1], 1), np.stack(covariance[::-1], 1), pairs)


def backward_conditional(past: Filtered, model: Model) -> Conditional:
    """The posterior as a chain from the last state to the first, `p(z_t | z_{t+1}, x)`."""
    size, ahead = len(model.initial), past.predicted_covariance[:, 1:]
    now = past.covariance[:, :-1]
    gain = _t(np.linalg.solve(ahead, model.transition @ now))
    shift = past.mean[:, :-1] - _times(gain, past.predicted[:, 1:])
    left = np.eye(size) - gain @ model.transition
    covariance = left @ now @ _t(left) + gain @ model.noise @ _t(gain)
    last = np.zeros((len(gain), 1, size, size))
    return Conditional(
        np.concatenate([gain, last], 1),
        np.concatenate([shift, past.mean[:, -1:]], 1),
        np.concatenate([covariance, past.covariance[:, -1:]], 1),
    )


def forward_conditional(all_data: Smoothed) -> Conditional:
    """The posterior as a chain from the first state to the last, `p(z_t | z_{t-1}, x)`."""
    mean, covariance, lagged = all_data
    gain = _t(np.linalg.solve(covariance[:, :-1], _t(lagged)))
    shift = mean[:, 1:] - _times(gain, mean[:, :-1])
    left = covariance[:, 1:] - gain @ covariance[:, :-1] @ _t(gain)
    return Conditional(
        np.concatenate([np.zeros_like(covariance[:, :1]), gain], 1),
        np.concatenate([mean[:, :1], shift], 1),
        np.concatenate([covariance[:, :1], left], 1),
    )


def _times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return (matrix @ vector[..., None])[..., 0]


def _t(matrix: np.ndarray) -> np.ndarray:
    return np.swapaxes(matrix, -1, -2)
