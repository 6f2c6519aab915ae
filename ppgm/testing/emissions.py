"""Likelihoods of a step in plain numpy: log densities of entries, and moments.

For a model of K states the outputs are `(K, n)`, as a decoder's would be, and what is said of the
columns is `(..., K, D)`.
"""

from collections.abc import Callable
from math import lgamma
from typing import Any

import numpy as np

from ppgm.errors import ArgumentError
from ppgm.models import likelihoods
from ppgm.testing import densities

__all__ = ["log_entries", "moments"]


def log_entries(likelihood: Any, outputs: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Log density of every entry of `x (*, D)` under every state, `(*, K, D)`."""
    return _known(likelihood)[0](likelihood, outputs, x[..., None, :])


def moments(likelihood: Any, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances of the columns under every state, `(K, D)`.

    Of classes they are those of the indicators, `(K, D, C)`.
    """
    return _known(likelihood)[1](likelihood, outputs)


def _gaussian(of: Any, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if of.scale is not None:
        return outputs, np.full_like(outputs, of.scale)
    loc, log_scale = np.split(outputs, 2, -1)
    return loc, np.exp(log_scale)


def _logits(of: Any, outputs: np.ndarray) -> np.ndarray:
    return outputs.reshape((*outputs.shape[:-1], -1, of.classes))


def _held(outputs: np.ndarray) -> np.ndarray:
    return np.clip(outputs, -likelihoods.LOG_RATE, likelihoods.LOG_RATE)


def _bernoulli_entries(of: Any, outputs: np.ndarray, x: np.ndarray) -> np.ndarray:
    return densities.bernoulli(x, outputs)


def _gaussian_entries(of: Any, outputs: np.ndarray, x: np.ndarray) -> np.ndarray:
    return densities.normal(x, *_gaussian(of, outputs))


def _class_entries(of: Any, outputs: np.ndarray, x: np.ndarray) -> np.ndarray:
    return densities.categorical(x, _logits(of, outputs))


def _count_entries(of: Any, outputs: np.ndarray, x: np.ndarray) -> np.ndarray:
    log_rate = _held(outputs)
    return x * log_rate - np.exp(log_rate) - np.vectorize(lgamma, otypes=[float])(x + 1.0)


def _bernoulli_moments(of: Any, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    chance = np.exp(-np.logaddexp(0, -outputs))
    return chance, chance * (1 - chance)


def _gaussian_moments(of: Any, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    loc, scale = _gaussian(of, outputs)
    return loc, scale**2


def _class_moments(of: Any, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits = _logits(of, outputs)
    chance = np.exp(logits - logits.max(-1, keepdims=True))
    chance = chance / chance.sum(-1, keepdims=True)
    return chance, chance * (1 - chance)


def _count_moments(of: Any, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.exp(_held(outputs)), np.exp(_held(outputs))


_KINDS: dict[type, tuple[Callable[..., np.ndarray], Callable[..., Any]]] = {
    likelihoods.Bernoulli: (_bernoulli_entries, _bernoulli_moments),
    likelihoods.Gaussian: (_gaussian_entries, _gaussian_moments),
    likelihoods.Categorical: (_class_entries, _class_moments),
    likelihoods.Poisson: (_count_entries, _count_moments),
}


def _known(likelihood: Any) -> tuple[Callable[..., np.ndarray], Callable[..., Any]]:
    if type(likelihood) not in _KINDS:
        names = ", ".join(kind.__name__ for kind in _KINDS)
        raise ArgumentError(
            f"exact answers in numpy are there for the likelihoods {names}, not for "
            f"{type(likelihood).__name__}"
        )
    return _KINDS[type(likelihood)]
