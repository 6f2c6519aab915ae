r"""Deep Kalman filters by their equations, one row and one step at a time.

Everything is written as in the papers, with loops: `h_t` is that of a sequence read one row after
another, the combiner takes its mean inside the heads, and a density is the sum of those of its
coordinates. Parameters go by their canonical names. States after the end of a sequence, which
nothing depends on, are standard normal in model and guide.

References:
    Krishnan, Shalit & Sontag, Structured Inference Networks for Nonlinear State Space Models
    (2017), arXiv:1609.09869.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

__all__ = ["Sequences", "log_emission", "log_guide", "log_prior"]

Params = Mapping[str, np.ndarray]
Entry = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From outputs of the emission's network and a step of data to log densities by column."""


class Sequences(NamedTuple):
    """Data as the model gets them."""

    x: np.ndarray
    """`(N, T, D)`."""
    lengths: np.ndarray
    """Number of steps of each row, `(N,)`."""
    seen: np.ndarray
    """True where there is data, `(N, T, D)`."""
    u: np.ndarray | None = None
    """Inputs, `(N, T, U)`."""


def log_prior(params: Params, transition: str, data: Sequences, z: np.ndarray) -> np.ndarray:
    """`log p(z)` of paths `z (N, T, L)`, `(N,)`."""
    total = np.zeros(len(z))
    for n, length in enumerate(data.lengths):
        before = params["z0"]
        for t, state in enumerate(z[n]):
            if t < length:
                u = np.zeros(0) if data.u is None else data.u[n, t]
                total[n] += _log_normal(state, *_moved(params, transition, before, u))
            else:
                total[n] += _log_normal(state, 0.0, np.ones(len(state)))
            before = state
    return total


def log_emission(params: Params, entry: Entry, data: Sequences, z: np.ndarray) -> np.ndarray:
    """`log p(x | z)` of what was seen, `(N,)`."""
    total = np.zeros(len(z))
    for n, length in enumerate(data.lengths):
        for t in range(length):
            terms = entry(_net(params, "decoder", z[n, t]), data.x[n, t])
            total[n] += terms[data.seen[n, t]].sum()
    return total


def log_guide(
    params: Params, guide: str, cell: str, data: Sequences, z: np.ndarray, *, indicator: bool
) -> np.ndarray:
    """`log q(z | x)` of paths `z (N, T, L)`, `(N,)`; `indicator` as in the model."""
    total = np.zeros(len(z))
    sides = [side for side in ("left", "right") if f"rnn_{side}.weight_ih_l0" in params]
    for n, length in enumerate(data.lengths):
        rows = [np.where(data.seen[n], data.x[n], 0.0)]
        rows += [] if data.u is None else [data.u[n]]
        rows += [data.seen[n].astype(float)] if indicator else []
        read = np.concatenate(rows, -1)[:length]
        states = [_recurrent(params, side, cell, read) for side in sides]
        before = params.get("z0_guide", np.zeros(0))
        for t, state in enumerate(z[n]):
            if t < length:
                parts = [h[t] for h in states]
                if guide.startswith("ST"):
                    parts.append(np.tanh(_net(params, "combiner", before)))
                loc, raw = np.split(_net(params, "heads", np.mean(parts, 0)), 2)
                total[n] += _log_normal(state, loc, _softplus(raw))
            else:
                total[n] += _log_normal(state, 0.0, np.ones(len(state)))
            before = state
    return total


def _moved(
    params: Params, transition: str, z: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the state after `z (L,)`."""
    both = np.concatenate([z, u])
    if transition == "linear":
        return _net(params, "transition", both), params["transition_scale"]
    if transition == "mlp":
        loc, raw = np.split(_net(params, "transition", both), 2)
        return loc, _softplus(raw)
    gate = _sigmoid(_net(params, "transition_gate", both))
    proposal = _net(params, "transition_proposal", both)
    loc = (1 - gate) * _net(params, "transition_carry", z) + gate * proposal
    return loc, _softplus(_net(params, "transition_spread", np.maximum(proposal, 0)))


def _net(params: Params, name: str, x: np.ndarray) -> np.ndarray:
    """Affine maps with rectified units between them."""
    depth = sum(key.startswith(f"{name}.layers.") and key.endswith("weight") for key in params)
    for i in range(depth):
        x = np.maximum(x, 0) if i else x
        x = params[f"{name}.layers.{i}.weight"] @ x + params[f"{name}.layers.{i}.bias"]
    return x


def _recurrent(params: Params, side: str, cell: str, rows: np.ndarray) -> np.ndarray:
    """States `(T, R)` of the network of one side; that of the right reads from the end."""
    w = {k.rsplit(".", 1)[1]: v for k, v in params.items() if k.startswith(f"rnn_{side}.")}
    size = w["weight_hh_l0"].shape[1]
    h, m, found = np.zeros(size), np.zeros(size), []
    for row in rows if side == "left" else rows[::-1]:
        inward = w["weight_ih_l0"] @ row + w["bias_ih_l0"]
        a, c = (v.reshape(-1, size) for v in (inward, w["weight_hh_l0"] @ h + w["bias_hh_l0"]))
        if cell == "gru":
            r, g = _sigmoid(a[0] + c[0]), _sigmoid(a[1] + c[1])
            h = (1 - g) * np.tanh(a[2] + r * c[2]) + g * h
        elif cell == "lstm":
            i, f, n, o = a + c
            m = _sigmoid(f) * m + _sigmoid(i) * np.tanh(n)
            h = _sigmoid(o) * np.tanh(m)
        else:
            h = np.maximum(a[0] + c[0], 0)
        found.append(h)
    return np.array(found if side == "left" else found[::-1])


def _log_normal(x: np.ndarray, loc: np.ndarray | float, scale: np.ndarray) -> float:
    terms = -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
    return float(terms.sum())


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))
