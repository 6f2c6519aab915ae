r"""Exact answers for a small restricted Boltzmann machine.

With bits `v` of size V and `h` of size H the machine is

    p(v, h) = exp(a'v + c'h + h' W v) / Z,    F(v) = -a'v - sum_j softplus(c_j + W_j v)

so that `p(v) = exp(-F(v)) / Z`, and `Z` is a sum over the smaller of the two sides.

The conditional `p(h | v)` is the network with weight `W (H, V)` and bias `c`; one sweep of block
Gibbs draws `h` given `v`, then `v` given `h`. For few units its transition matrix on the `2^V`
visible states is explicit, and with it the *expected* gradient of contrastive divergence.

References:
    Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002),
    doi:10.1162/089976602760128018. Training restricted Boltzmann machines using approximations
    to the likelihood gradient (Tieleman, 2008), doi:10.1145/1390156.1390290.
"""

from typing import NamedTuple

import numpy as np

from ppgm.testing.arrays import (
    Array,
    bernoulli,
    binary_states,
    convert,
    logsumexp,
    sigmoid,
    softplus,
)


class Machine(NamedTuple):
    """Parameters of the machine, or one statistic for each of them."""

    weight: Array
    """`W`, `(H, V)`; as a statistic, the mean of `h v'`."""
    visible: Array
    """`a`, `(V,)`; as a statistic, the mean of `v`."""
    hidden: Array
    """`c`, `(H,)`; as a statistic, the mean of `h`."""


def free_energy(v: Array, machine: Machine) -> Array:
    """`F(v) = -log sum_h exp(-E(v, h))` of each row of `v (N, V)`, `(N,)`."""
    v = convert(v, like=machine.weight)
    inputs = softplus(v @ machine.weight.T + machine.hidden)
    return -(v @ machine.visible) - inputs.sum(-1)


def log_partition(machine: Machine) -> Array:
    """Exact `log Z` by a sum over the states of the smaller side, a scalar."""
    if machine.weight.shape[0] < machine.weight.shape[1]:
        machine = Machine(machine.weight.T, visible=machine.hidden, hidden=machine.visible)
    states = binary_states(machine.weight.shape[1], like=machine.weight)
    return logsumexp(-free_energy(states, machine), axis=0)


def log_density(v: Array, machine: Machine) -> Array:
    """Exact `log p(v)` of each row of `v (N, V)`, `(N,)`."""
    return -free_energy(v, machine) - log_partition(machine)


def statistics(v: np.ndarray, mass: np.ndarray, machine: Machine) -> Machine:
    """Means of `h v'`, `v` and `h` under `mass(v) p(h | v)`.

    Args:
        v: Visible states, `(S, V)`.
        mass: Their probabilities, `(S,)`.
        machine: The machine, whose `p(h | v)` is averaged exactly.

    Returns:
        The three means, in the shapes of the parameters.
    """
    hidden = sigmoid(v @ machine.weight.T + machine.hidden)
    return Machine((mass[:, None] * hidden).T @ v, mass @ v, mass @ hidden)


def gradient(v: np.ndarray, machine: Machine) -> Machine:
    """Exact gradient of the mean over the rows `v (N, V)` of `log p(v)`."""
    states = binary_states(machine.visible.size)
    mass = np.exp(log_density(states, machine))
    return _difference(_empirical(v, machine), statistics(states, mass, machine))


def transition(machine: Machine) -> np.ndarray:
    """Matrix of one block-Gibbs sweep on the visible states in counting order.

    Args:
        machine: A machine of few units: the matrix has `4**V` entries.

    Returns:
        Entry `(i, j)` is the probability to go from state i to state j, `(2**V, 2**V)`.
    """
    v = binary_states(machine.visible.size)
    h = binary_states(machine.hidden.size)
    up = bernoulli(h[None], (v @ machine.weight.T + machine.hidden)[:, None])
    down = bernoulli(v[None], (h @ machine.weight + machine.visible)[:, None])
    return np.exp(up) @ np.exp(down)


def chain_distribution(starts: np.ndarray, machine: Machine, steps: int) -> np.ndarray:
    """Distribution of a chain after some sweeps.

    Args:
        starts: Visible states of equal probability to start at, `(N, V)`.
        machine: The machine.
        steps: How many block-Gibbs sweeps.

    Returns:
        Probabilities of the visible states in counting order, `(2**V,)`.
    """
    bits = machine.visible.size
    index = starts.astype(np.int64) @ (1 << np.arange(bits)[::-1])
    mass = np.bincount(index, minlength=2**bits) / len(starts)
    return mass @ np.linalg.matrix_power(transition(machine), steps)


def negative_statistics(starts: np.ndarray, machine: Machine, steps: int) -> Machine:
    """Expected statistics of chains that made `steps` sweeps from `starts (N, V)`."""
    mass = chain_distribution(starts, machine, steps)
    return statistics(binary_states(machine.visible.size), mass, machine)


def cd_gradient(
    v: np.ndarray, machine: Machine, steps: int, *, starts: np.ndarray | None = None
) -> Machine:
    """Expected update of contrastive divergence, as an ascent direction of `log p(v)`.

    Args:
        v: Data, `(N, V)`.
        machine: The machine.
        steps: Block-Gibbs sweeps, k.
        starts: Where the chains start, `(M, V)`: the data without it (CD-k), else the states of
            persistent chains (PCD).

    Returns:
        Data statistics less negative ones; towards `gradient` as `steps` grows.
    """
    negative = negative_statistics(v if starts is None else starts, machine, steps)
    return _difference(_empirical(v, machine), negative)


def _empirical(v: np.ndarray, machine: Machine) -> Machine:
    return statistics(v, np.full(len(v), 1 / len(v)), machine)


def _difference(left: Machine, right: Machine) -> Machine:
    return Machine(*(a - b for a, b in zip(left, right, strict=True)))
