r"""Exact answers for chains of linear-Gaussian layers.

Layers from the data upward, `z_0 = x`:

    z_l | z_{l+1} ~ N(W_l z_{l+1} + b_l, diag(s_l^2)),    z_L ~ N(0, I)

Everything is jointly Gaussian. The joint is written down at once, by its affine dependence on
independent noise, rather than by the recursion that a posterior computed layer by layer uses.

References:
    Bishop, Pattern Recognition and Machine Learning (2006), section 8.1.4.
"""

from typing import NamedTuple

import numpy as np

__all__ = ["Layer", "joint", "log_joint", "log_marginal", "posterior"]


class Layer(NamedTuple):
    """One layer."""

    weight: np.ndarray
    """`W`, (below, above)."""
    bias: np.ndarray
    """`b`, (below,)."""
    scale: np.ndarray
    """`s`, (below,)."""


def joint(layers: list[Layer]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of `(x, z_1, ..., z_L)` side by side.

    Each is an affine function of the noise of all layers: `z_l = c_l + F_l e`.
    """
    widths = [len(layer.bias) for layer in layers] + [layers[-1].weight.shape[1]]
    starts = np.cumsum([0, *widths])
    noise = np.eye(starts[-1])
    factor, mean = noise[starts[-2] :], np.zeros(widths[-1])
    factors, means = [factor], [mean]
    for level in range(len(layers) - 1, -1, -1):
        own = noise[starts[level] : starts[level + 1]]
        factor = layers[level].weight @ factor + layers[level].scale[:, None] * own
        mean = layers[level].weight @ mean + layers[level].bias
        factors, means = [factor, *factors], [mean, *means]
    root = np.concatenate(factors)
    return np.concatenate(means), root @ root.T


def log_marginal(x: np.ndarray, layers: list[Layer]) -> np.ndarray:
    """Exact `log p(x)` of each row of `x (N, D)`, `(N,)`."""
    mean, covariance = joint(layers)
    size = x.shape[-1]
    return _log_normal(x - mean[:size], covariance[:size, :size])


def log_joint(x: np.ndarray, z: list[np.ndarray], layers: list[Layer]) -> np.ndarray:
    """Exact `log p(x, z)` of rows `x (N, D)` and layers `z_l (*, N, L_l)`, `(*, N)`."""
    parts = [x, *z]
    total = _log_normal(z[-1], np.eye(z[-1].shape[-1]))
    for below, above, layer in zip(parts[:-1], parts[1:], layers, strict=True):
        deviation = below - above @ layer.weight.T - layer.bias
        total = total + _log_normal(deviation, np.diag(layer.scale**2))
    return total


def posterior(x: np.ndarray, layers: list[Layer]) -> tuple[np.ndarray, np.ndarray]:
    """Exact posterior of `(z_1, ..., z_L)`: means `(N, sum L)` and the covariance of all rows."""
    mean, covariance = joint(layers)
    size = x.shape[-1]
    gain = np.linalg.solve(covariance[:size, :size], covariance[:size, size:]).T
    means = mean[size:] + (x - mean[:size]) @ gain.T
    return means, covariance[size:, size:] - gain @ covariance[:size, size:]


def _log_normal(deviation: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    solved = np.linalg.solve(covariance, deviation[..., None])[..., 0]
    log_det = np.linalg.slogdet(2 * np.pi * covariance)[1]
    return -0.5 * ((deviation * solved).sum(-1) + log_det)
