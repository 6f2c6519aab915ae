r"""The linear-Gaussian case of a deep Kalman filter, where all is exact.

.. math::
    z_t | z_{t-1} \sim N(A z_{t-1} + B u_t + b, \mathrm{diag}(s^2)), \quad
    x_t | z_t \sim N(C z_t + d, r^2 I)

with :math:`z_0` given. "transition" is the network of A, B and b side by side, "decoder" that of C
and d.

References:
    | A new approach to linear filtering and prediction problems (Kalman, 1960)
    | https://doi.org/10.1115/1.3662552
"""

__all__ = ["linear_chain", "log_likelihood", "posterior"]

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppgm.chains import MarkovChain
from ppgm.distributions_series import Whitening
from ppgm.guides.linear_chain import LinearChain, posterior_chain
from ppgm.models.parts import affine_of
from ppgm.nets import MLP
from ppgm.series import Series
from ppgm.testing import kalman


def linear_chain(series: Series, latent: int, inputs: int = 0) -> LinearChain:
    """Returns the distribution of the states.

    Args:
        series: The sequences.
        latent: Number of coordinates L of a state.
        inputs: Number of columns U of the inputs.
    """
    ppl = series.ppl
    net = ppl.module("transition", MLP(latent + inputs, (), latent))
    weight, drift = affine_of(ppl, net, latent + inputs)
    square, drift = weight[:, :latent], drift + ppl.np.zeros((series.length, latent))
    if inputs:
        drift = drift + ppl.ops.float(series.u) @ weight[:, latent:].T
    scale = ppl.param("transition_scale", np.ones(latent), constraint="positive")
    first = square @ ppl.param("z0", np.zeros(latent)) + drift[..., 0, :]
    return LinearChain(first, scale, square, drift, scale)


def posterior(series: Series, chain: LinearChain, decode: Any, noise: float) -> MarkovChain:
    """Returns the distribution of paths given the data.

    Args:
        series: The sequences.
        chain: The distribution of the states.
        decode: The affine emission.
        noise: r.
    """
    ppl, xp = series.ppl, series.ppl.np
    weight, offset = affine_of(ppl, decode, chain.transition.shape[-1])
    white = Whitening(xp.zeros_like(offset) + noise, series.seen)
    loadings, pulled = white(weight), white((ppl.ops.float(series.x) - offset)[..., None])
    transposed = xp.linalg.matrix_transpose(loadings)
    precision, information = transposed @ loadings, (transposed @ pulled)[..., 0]
    if precision.ndim == 2:
        precision = xp.broadcast_to(precision, (series.length, *precision.shape))
    return posterior_chain(chain, precision, information, series.alive)


def log_likelihood(
    params: Mapping[str, np.ndarray], series: kalman.Series, latent: int, noise: float
) -> np.ndarray:
    """Returns the exact log p(x) by row, ``(N,)``.

    Args:
        params: Constrained parameters.
        series: The sequences.
        latent: Number of coordinates L of a state.
        noise: r.
    """
    if series.u is None:
        return kalman.log_likelihood(series, _model(params, latent, noise))
    # the first input acts too, and the reference has one distribution of first states for all
    found = []
    for n, first in enumerate(np.asarray(series.u, float)[:, 0]):
        parts = (None if part is None else np.asarray(part)[[n]] for part in series[1:])
        row = kalman.Series(series.x[[n]], *parts)
        found.append(kalman.log_likelihood(row, _model(params, latent, noise, first)))
    return np.concatenate(found)


def _model(
    params: Mapping[str, np.ndarray], latent: int, noise: float, first: np.ndarray | None = None
) -> kalman.Model:
    """Returns the parameters as the reference takes them; `first` is the first input, ``(U,)``."""
    given = {name: np.asarray(value, float) for name, value in params.items()}
    weight, drift = given["transition.layers.0.weight"], given["transition.layers.0.bias"]
    square, control = weight[:, :latent], weight[:, latent:]
    initial = square @ given["z0"] + drift
    initial = initial if first is None else initial + control @ first
    emission, offset = given["decoder.layers.0.weight"], given["decoder.layers.0.bias"]
    moves = np.diag(given["transition_scale"] ** 2)
    error = noise**2 * np.eye(len(offset))
    return kalman.Model(initial, moves, square, drift, moves, emission, offset, error, control)
