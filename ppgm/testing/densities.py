"""Log densities in plain numpy, elementwise, as a third opinion beside the two hosts.

Each is written from its formula and keeps its precision where the parameters are extreme, so a
clamp or a lost digit in a host shows up as a difference.
"""

import numpy as np

_SERIES_BELOW = 1e-2


def bernoulli(x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """`x log p + (1 - x) log(1 - p)` with `p = sigmoid(logits)`; arrays broadcast."""
    # Not x l - softplus(l), which loses the small log probability of a near-certain outcome.
    return -x * np.logaddexp(0.0, -logits) - (1 - x) * np.logaddexp(0.0, logits)


def continuous_bernoulli(x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    r"""Log density of the continuous Bernoulli on the unit interval; arrays broadcast.

    It is `l x - log int_0^1 exp(l u) du` in the logits l, that is `l x - log((e^l - 1) / l)`.

    References:
        The continuous Bernoulli (Loaiza-Ganem & Cunningham, 2019), arXiv:1907.06845.
    """
    return x * logits - continuous_bernoulli_log_normaliser(logits)


def continuous_bernoulli_log_normaliser(logits: np.ndarray) -> np.ndarray:
    """`log((e^l - 1) / l)` of the logits l, of any shape; zero where l is zero."""
    logits = np.asarray(logits, dtype=np.float64)
    # In u = |l| it is l/2 + log(sinh(u/2) / (u/2)): even in l but for the first term.
    size = np.abs(logits)
    squares = np.minimum(size, _SERIES_BELOW) ** 2
    series = squares / 24 - squares**2 / 2880 + squares**3 / 181440
    away = np.maximum(size, _SERIES_BELOW)
    exact = away / 2 + np.log(-np.expm1(-away) / away)
    return logits / 2 + np.where(size < _SERIES_BELOW, series, exact)


def normal(x: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Log density of `N(mean, scale^2)`; `scale` is a standard deviation; arrays broadcast."""
    return -0.5 * ((x - mean) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


def categorical(x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Log probability of classes `x (...)` under unnormalised `logits (..., classes)`, `(...)`.

    The classes broadcast against the leading axes of the logits.
    """
    top = logits.max(axis=-1, keepdims=True)
    log_total = np.log(np.sum(np.exp(logits - top), axis=-1, keepdims=True)) + top
    one_hot = np.asarray(x)[..., None] == np.arange(logits.shape[-1])
    return np.sum(np.where(one_hot, logits - log_total, 0.0), axis=-1)
