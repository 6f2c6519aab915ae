r"""Expectations of estimators over every outcome of discrete latents.

An estimator of K particles with discrete latents has finitely many outcomes. Feeding it each one
of them and weighting by its probability `prod_k q(z_k)` gives the *expected* value or gradient
exactly, so an unbiased gradient estimator has to agree with the gradient of the enumerated bound
to rounding error, with no statistical test.

Throughout, a *table* holds one entry for each joint state s of the latents, `(S, N)` with N rows,
and a *tuple* is a choice of K states.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace

from ppgm.errors import ArgumentError
from ppgm.testing.arrays import Array, logsumexp

Tree: TypeAlias = Any
"""A number or an array, or mappings and sequences of them."""

MAX_CONFIGURATIONS = 2**22
"""More outcomes than this are refused: an oracle should take seconds."""


def tuples(states: int, particles: int) -> np.ndarray:
    """All `C = states**particles` choices of a state for each particle, `(C, K)` integers."""
    if particles < 1 or states**particles > MAX_CONFIGURATIONS:
        raise ArgumentError(
            f"{states} states with particles={particles}: expected at least 1 particle and at "
            f"most {MAX_CONFIGURATIONS} outcomes; use a smaller model."
        )
    return np.indices((states,) * particles).reshape(particles, -1).T


def configurations(sizes: Sequence[int], particles: int = 1) -> np.ndarray:
    """All joint values of discrete sites, for each of K particles.

    Args:
        sizes: The number of values of each site, or of each unit of a site.
        particles: K. An estimator that takes N rows of data has `K * N` particles here.

    Returns:
        Integers `(C, K, len(sizes))` with `C = prod(sizes)**K`, in the order of `tuples`; the
        states themselves are in counting order, the first site changing slowest.
    """
    states = np.indices(tuple(sizes)).reshape(len(sizes), -1).T
    return states[tuples(len(states), particles)]


def expected(
    estimator: Callable[[np.ndarray], Tree], outcomes: np.ndarray, log_q: np.ndarray
) -> Tree:
    """Exact expectation of an estimator.

    Args:
        estimator: From one outcome, such as `(K, sites)`, to a number or an array, or to a
            mapping or sequence of them; torch and JAX arrays will do.
        outcomes: All outcomes, `(C, ...)`.
        log_q: The log probability of each outcome, `(C,)`; the probabilities must sum to one.

    Returns:
        The probability-weighted sum, as numpy arrays in the containers of the estimator (lists
        for sequences).
    """
    mass = np.exp(np.asarray(log_q, dtype=np.float64))
    if mass.shape != (len(outcomes),) or abs(mass.sum() - 1) > 1e-6:
        raise ArgumentError(
            f"log_q has the shape {mass.shape} and total probability {mass.sum():.6g}: expected "
            f"({len(outcomes)},) and 1; sum it over the particles and list every outcome."
        )
    total = None
    for weight, outcome in zip(mass, outcomes, strict=True):
        total = _accumulate(total, estimator(outcome), weight)
    return total


def expected_bound(log_w: Array, log_q: Array, particles: int, *, alpha: float = 0.0) -> Array:
    r"""Exact expectation of the K-particle Renyi bound; with `alpha=0` it is the IWAE bound.

    It is `E[log mean_k w_k^(1 - alpha)] / (1 - alpha)`, and `E[log w]` at `alpha=1`.

    Args:
        log_w: Table of the log weights `log p(x, z) - log q(z | x)`, `(S, N)`.
        log_q: Table of the log probabilities of the guide, `(S, N)`.
        particles: K.
        alpha: Order of the bound.

    Returns:
        `(N,)`, from the array library of the tables, differentiable in both of them.

    References:
        Importance Weighted Autoencoders (Burda et al., 2016), arXiv:1509.00519.
        Renyi Divergence Variational Inference (Li & Turner, 2016), arXiv:1602.02311.
    """
    xp = array_namespace(log_w, log_q)
    index = tuples(log_w.shape[0], particles)
    weights, probabilities = _gather(log_w, index), _gather(log_q, index)
    values = _renyi(weights, alpha)
    return xp.sum(xp.exp(xp.sum(probabilities, axis=1)) * values, axis=0)


def bound_coefficients(
    log_w: np.ndarray, log_q: np.ndarray, particles: int, *, alpha: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    r"""What multiplies the derivative of each table entry in that of `expected_bound`.

    With the bound V of a tuple and its normalised weights `u_k = w_k^(1-alpha) / sum`, the chain
    rule gives `E[sum_k V dlog q(z_k) + u_k (dlog p(x, z_k) - dlog q(z_k))]`.

    Args:
        log_w: Table of the log weights, `(S, N)`.
        log_q: Table of the log probabilities of the guide, `(S, N)`.
        particles: K.
        alpha: Order of the bound.

    Returns:
        The coefficients of `dlog p(x, z)` and of `dlog q(z | x)`, each `(S, N)`.
    """
    index = tuples(len(log_w), particles)
    weights = log_w[index]
    mass = np.exp(log_q[index].sum(axis=1, keepdims=True))
    power = (1 - alpha) * weights
    share = np.exp(power - logsumexp(power, axis=1)[:, None])
    value = _renyi(weights, alpha)[:, None]

    in_log_p, in_log_q = np.zeros_like(log_w), np.zeros_like(log_w)
    np.add.at(in_log_p, index, mass * share)
    np.add.at(in_log_q, index, mass * (value - share))
    return in_log_p, in_log_q


def _renyi(weights: Array, alpha: float) -> Array:
    """The bound of each tuple from its log weights `(C, K, N)`, `(C, N)`."""
    xp = array_namespace(weights)
    if alpha == 1:
        return xp.mean(weights, axis=1)
    log_mean = logsumexp((1 - alpha) * weights, axis=1) - float(np.log(weights.shape[1]))
    return log_mean / (1 - alpha)


def _gather(table: Array, index: np.ndarray) -> Array:
    """Rows of a table `(S, N)` at an index `(C, K)`, `(C, K, N)`."""
    xp = array_namespace(table)
    rows = xp.take(table, xp.asarray(index.reshape(-1)), axis=0)
    return xp.reshape(rows, (*index.shape, table.shape[1]))


def _accumulate(total: Tree, value: Tree, weight: float) -> Tree:
    """`total + weight * value` within containers; a total of None counts as zero."""
    if isinstance(value, Mapping):
        before = total or dict.fromkeys(value)
        return {key: _accumulate(before[key], item, weight) for key, item in value.items()}
    if isinstance(value, list | tuple):
        before = total or [None] * len(value)
        return [_accumulate(b, v, weight) for b, v in zip(before, value, strict=True)]
    scaled = weight * np.asarray(value, dtype=np.float64)
    return scaled if total is None else total + scaled
