"""Deliberately naive bounds and learning signals from log weights, for tests of pure mathematics.

Everything takes log weights `log p(x, z_k) - log q(z_k | x)` of shape `(K, N)`, K particles of N
rows, and is written as loops over rows and particles with no broadcasting to get wrong.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

Mean = Literal["geometric", "arithmetic"]
"""What stands for the left-out weight in the baseline of VIMCO."""


def elbo(log_w: np.ndarray) -> np.ndarray:
    """Mean of the log weights of each row, `(N,)`."""
    return _by_row(log_w, lambda column: sum(column) / len(column))


def iwae(log_w: np.ndarray) -> np.ndarray:
    """Log of the mean weight of each row, `(N,)`."""
    return _by_row(log_w, _log_mean)


def renyi(log_w: np.ndarray, alpha: float) -> np.ndarray:
    """Renyi bound of each row, `(N,)`: `alpha=0` is the IWAE bound and `alpha=1` the ELBO.

    References:
        Renyi Divergence Variational Inference (Li & Turner, 2016), arXiv:1602.02311.
    """
    if alpha == 1:
        return elbo(log_w)
    power = 1 - alpha
    return _by_row(log_w, lambda column: _log_mean([power * v for v in column]) / power)


def normalised(log_w: np.ndarray, *, alpha: float = 0.0) -> np.ndarray:
    """Shares `w_k^(1-alpha) / sum_j w_j^(1-alpha)` of each row, `(K, N)`.

    They are the derivatives of the Renyi bound in the log weights.
    """
    power = (1 - alpha) * log_w
    answer = np.zeros(log_w.shape)
    for k, n in np.ndindex(log_w.shape):
        column = [float(v) for v in power[:, n]]
        answer[k, n] = math.exp(column[k] - _log_mean(column)) / len(column)
    return answer


def effective_sample_size(log_w: np.ndarray) -> np.ndarray:
    """`(sum w)^2 / sum w^2` of each row, between 1 and K, `(N,)`."""
    return 1 / np.sum(normalised(log_w) ** 2, axis=0)


def vimco_baseline(log_w: np.ndarray, *, mean: Mean = "geometric") -> np.ndarray:
    """The IWAE bound with each weight in turn replaced by the mean of the others.

    Args:
        log_w: Log weights, `(K, N)` with K at least 2.
        mean: The mean of the other weights; the geometric one is the mean of their logs.

    Returns:
        Entry `(k, n)` does not depend on particle k, `(K, N)`.

    References:
        Variational inference for Monte Carlo objectives (Mnih & Rezende, 2016),
        arXiv:1602.06725.
    """
    answer = np.zeros(log_w.shape)
    for k, n in np.ndindex(log_w.shape):
        others = [float(log_w[j, n]) for j in range(len(log_w)) if j != k]
        left_out = _log_mean(others) if mean == "arithmetic" else sum(others) / len(others)
        answer[k, n] = _log_mean([*others, left_out])
    return answer


def vimco_signal(log_w: np.ndarray, *, mean: Mean = "geometric") -> np.ndarray:
    """What multiplies `dlog q(z_k | x)` beside the pathwise term: bound less baseline, `(K, N)`.

    The whole gradient of a row is `sum_k signal_k dlog q(z_k) + share_k dlog w_k` with the shares
    of `normalised`.
    """
    return iwae(log_w) - vimco_baseline(log_w, mean=mean)


def _by_row(log_w: np.ndarray, bound: Callable[[list[float]], float]) -> np.ndarray:
    return np.array([bound([float(v) for v in column]) for column in np.asarray(log_w).T])


def _log_mean(values: list[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values) / len(values))
