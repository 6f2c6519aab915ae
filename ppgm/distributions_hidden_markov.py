r"""Sequences of a hidden Markov model, the path of its states summed out.

.. math::
    p(x) = \sum_{s} \pi_{s_1} \prod_{t=2}^{T} A_{s_{t-1} s_t} \prod_{t=1}^{T} p(x_t | s_t)
    = \prod_t c_t, \quad
    c_t = \sum_j p(x_t | j) \sum_i \alpha_{t-1, i} A_{ij}, \quad
    \alpha_{tj} = \frac{1}{c_t}\, p(x_t | j) \sum_i \alpha_{t-1, i} A_{ij}

by the forward algorithm in logarithms, a loop of T steps. A step of which nothing was seen has
p(x_t | s_t) = 1, and so have the steps after the end of a sequence.

References:
    | A tutorial on hidden Markov models (Rabiner, 1989), https://doi.org/10.1109/5.18626
"""

__all__ = ["HiddenMarkov"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ppgm.distributions_entries import log_seen
from ppgm.ops import Array, Arrays, ops_of


@dataclass(frozen=True)
class HiddenMarkov:
    """Distribution of sequences ``(T, D)``.

    Attributes:
        log_initial: Log probabilities of the first state, ``(K,)``.
        log_transition: Log probabilities of the next state, from row to column, ``(K, K)``.
        outputs: What `emit` makes a distribution of, one row for each state, ``(K, n)``.
        emit: From outputs ``(*, n)`` to the host's distribution of a step, event ``(D,)``.
        length: Number of steps T.
        features: Number of columns D.
        seen: What has been seen, booleans ``(*, T, D)`` or ``(*, T, 1)``; None for all.
        support: Support of an entry; see `ppgm.distributions.Portable`.
    """

    log_initial: Array
    log_transition: Array
    outputs: Array
    emit: Callable[[Array], Any]
    length: int
    features: int
    seen: Array | None = None
    support: str = "real"
    reparameterised = False
    normalised = True

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes of what has been seen before time."""
        return () if self.seen is None else tuple(self.seen.shape[:-2])

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Time and columns, ``(T, D)``."""
        return (self.length, self.features)

    def log_prob(self, value: Array) -> Array:
        """Returns the log density of what was seen of sequences ``(*, T, D)``, shape ``(*)``."""
        ops = ops_of(self.outputs)
        evidence = ops.np.moveaxis(self.evidence(value), -2, 0)
        alpha, log_p = _update(self.log_initial, evidence[0])
        if self.length == 1:
            return log_p
        (steps,) = ops.scan(self._forward, (alpha,), (evidence[1:],))
        return log_p + steps.sum(0)

    def evidence(self, value: Array) -> Array:
        """Returns the log density of every step under every state, ``(*, T, K)``."""
        seen = None if self.seen is None else self.seen[..., None, :]
        return log_seen(self.emit(self.outputs), value[..., None, :], seen)

    def sample(self, rng: Any, shape: tuple[int, ...]) -> Array:
        """Draws a path of states, then the data of every step, what was not seen too."""
        ops = ops_of(self.outputs)
        xp, states = ops.np, self.outputs.shape[0]
        uniform = xp.moveaxis(rng.uniform((*shape, self.length, 1)), -2, 0)
        start = xp.broadcast_to(xp.exp(self.log_initial), (*shape, states))
        chances, (first,) = xp.exp(self.log_transition), _chosen(start, uniform[0])

        def step(carry: Arrays, x: Arrays) -> tuple[Arrays, Arrays]:
            new = _chosen(carry[0] @ chances, x[0])
            return new, new

        path = first[None]
        if self.length > 1:
            path = xp.concat([path, *ops.scan(step, (first,), (uniform[1:],))], axis=0)
        fn = self.emit(xp.moveaxis(path, 0, -2) @ self.outputs)
        return rng.draw(fn, (*shape, self.length))

    def _forward(self, carry: Arrays, x: Arrays) -> tuple[Arrays, Arrays]:
        ops = ops_of(carry[0])
        before = ops.logsumexp(carry[0][..., None] + self.log_transition, -2)
        alpha, log_p = _update(before, x[0])
        return (alpha,), (log_p,)


def _update(before: Array, evidence: Array) -> tuple[Array, Array]:
    """Returns log probabilities of the states after a step, ``(*, K)``, and log c of it."""
    joint = before + evidence
    log_p = ops_of(joint).logsumexp(joint, -1)
    return joint - log_p[..., None], log_p


def _chosen(chances: Array, uniform: Array) -> Arrays:
    """Returns states drawn with the given chances ``(*, K)``, as one-hot vectors."""
    ops, states = ops_of(chances), chances.shape[-1]
    below = ops.np.cumulative_sum(chances, axis=-1)[..., :-1]
    return (ops.one_hot((uniform >= below).sum(-1), states),)
