r"""Exact answers for hidden Markov models: forward and backward passes, the best path, all paths.

With K states, `s_t` in 0, ..., K - 1:

    p(s_1 = k) = pi_k,    p(s_t = j | s_{t-1} = i) = A_ij,    p(x_t | s_t = k) = e_tk

Everything is in logarithms. Rows are independent sequences; those that end before the last step
have `e_tk = 1` after their end, so that what is said of the states there is a forecast. `paths`
lists all K^T sequences of states, which is slow and has no recursion to be wrong.

References:
    A tutorial on hidden Markov models and selected applications in speech recognition
    (Rabiner, 1989), doi:10.1109/5.18626. Error bounds for convolutional codes and an
    asymptotically optimum decoding algorithm (Viterbi, 1967), doi:10.1109/TIT.1967.1054010.
"""

from typing import NamedTuple

import numpy as np

from ppgm.ops import NUMPY

__all__ = [
    "Model",
    "Posterior",
    "forward",
    "log_joint",
    "log_likelihood",
    "most_probable_path",
    "paths",
    "posterior",
]


class Model(NamedTuple):
    """Parameters, and what the data say of each state."""

    log_initial: np.ndarray
    """`log pi`, `(K,)`."""
    log_transition: np.ndarray
    """`log A`, from row to column, `(K, K)`."""
    log_emission: np.ndarray
    """`log e`, `(N, T, K)`; 0 for a missing step."""
    lengths: np.ndarray | None = None
    """Number of steps of each row, `(N,)`; None where all have T."""

    @property
    def alive(self) -> np.ndarray:
        """Which steps come before the end of their sequence, booleans `(N, T)`."""
        rows, steps, _ = self.log_emission.shape
        ends = np.full(rows, steps) if self.lengths is None else np.asarray(self.lengths)
        return np.arange(steps) < ends[:, None]

    @property
    def evidence(self) -> np.ndarray:
        """`log e` with 0 after the ends, `(N, T, K)`."""
        return np.where(self.alive[..., None], self.log_emission, 0.0)


class Posterior(NamedTuple):
    """What all the data say of the states."""

    states: np.ndarray
    """`p(s_t = k | x)`, `(N, T, K)`."""
    pairs: np.ndarray
    """`p(s_t = i, s_{t+1} = j | x)`, `(N, T - 1, K, K)`."""


def forward(model: Model) -> np.ndarray:
    """`log p(x_1 ... x_t, s_t = k)`, `(N, T, K)`."""
    found = [model.log_initial + model.evidence[:, 0]]
    for t in range(1, model.evidence.shape[1]):
        before = found[-1][..., None] + model.log_transition
        found.append(NUMPY.logsumexp(before, -2) + model.evidence[:, t])
    return np.stack(found, 1)


def log_likelihood(model: Model) -> np.ndarray:
    """Exact `log p(x)` of each row, `(N,)`."""
    return NUMPY.logsumexp(forward(model)[:, -1], -1)


def posterior(model: Model) -> Posterior:
    """Probabilities of states and of pairs of neighbours given all the data."""
    ahead = [np.zeros_like(model.evidence[:, 0])]
    for t in range(model.evidence.shape[1] - 1, 0, -1):
        after = (model.evidence[:, t] + ahead[-1])[:, None, :]
        ahead.append(NUMPY.logsumexp(model.log_transition + after, -1))
    back, past = np.stack(ahead[::-1], 1), forward(model)
    total = log_likelihood(model)
    now = past[:, :-1, :, None] + model.log_transition
    pairs = now + (model.evidence[:, 1:] + back[:, 1:])[:, :, None]
    return Posterior(
        np.exp(past + back - total[:, None, None]), np.exp(pairs - total[:, None, None, None])
    )


def most_probable_path(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """The path of states of the greatest probability, and `log p(x, path)`.

    Returns:
        Paths `(N, T)`, -1 after the end of a sequence, and `(N,)`.
    """
    alive, states = model.alive, len(model.log_initial)
    best, origins = model.log_initial + model.evidence[:, 0], []
    best = np.where(alive[:, :1], best, 0.0)
    for t in range(1, alive.shape[1]):
        reached = best[..., None] + model.log_transition
        going = alive[:, t, None]  # after the end a state stays what it is, at no cost
        origins.append(np.where(going, reached.argmax(1), np.arange(states)))
        best = np.where(going, reached.max(1) + model.evidence[:, t], best)
    path = [best.argmax(-1)]
    for origin in origins[::-1]:
        path.append(np.take_along_axis(origin, path[-1][:, None], 1)[:, 0])
    return np.where(alive, np.stack(path[::-1], 1), -1), best.max(-1)


def paths(states: int, steps: int) -> np.ndarray:
    """All sequences of states, `(K^T, T)`."""
    return np.indices((states,) * steps).reshape(steps, -1).T


def log_joint(model: Model, path: np.ndarray) -> np.ndarray:
    """`log p(x, path)` of each row and each of `path (M, T)`, `(N, M)`.

    The states after the end of a sequence do not count.
    """
    alive = model.alive
    start = np.where(alive[:, :1], model.log_initial[path[:, 0]], 0.0)
    moves = model.log_transition[path[:, :-1], path[:, 1:]]
    total = start + np.where(alive[:, None, 1:], moves, 0.0).sum(-1)
    seen = np.take_along_axis(model.evidence, path.T[None], -1)
    return total + seen.sum(1)
