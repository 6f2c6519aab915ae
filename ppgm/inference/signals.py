"""Learning signals: what the draws of sites can change of a bound."""

__all__ = ["Signal", "moments", "signals"]

from typing import NamedTuple

from ppgm.inference.path import own_signal
from ppgm.inference.powers import bound
from ppgm.ops import Array
from ppgm.terms import Weights
from ppgm.views import View


class Signal(NamedTuple):
    """What some sites can influence.

    Attributes:
        name: The site, or "all".
        value: Their signal, ``(K, *rows)``.
        score: Log density of their draws, ``(K, *rows)``.
    """

    name: str
    value: Array
    score: Array


def signals(
    view: View, weights: Weights, alpha: float, particles: int, *, downstream: bool
) -> list[Signal]:
    """Returns the signals of all scored sites together, or of each site by itself.

    Args:
        view: The view.
        weights: Log weights with scores.
        alpha: Order of the bound; only the ELBO's terms add, so that sites can be told apart.
        particles: Number of draws K.
        downstream: Whether a site's signal leaves out what its draw cannot change.
    """
    log_w = weights.log_p - weights.log_q
    if alpha != 1:
        value = bound(log_w, alpha, particles, weights.log_mass)
        shared = own_signal(log_w, value, weights, alpha, particles)
        return [Signal("all", shared, weights.score)]
    if not downstream:
        return [Signal("all", log_w, weights.score)]
    reach = view.table.influences or {}
    return [
        Signal(p.name, _reached(weights, reach[p.name]), p.score)
        for p in weights.parts
        if p.score is not None
    ]


def moments(view: View, signal: Array) -> tuple[Array, Array]:
    """Returns mean and variance of a signal ``(K, *rows)`` over draws and data."""
    mean = view.mean(signal.mean(0))
    return mean, view.mean(((signal - mean) ** 2).mean(0))


def _reached(weights: Weights, reach: frozenset[tuple[str, str]]) -> Array:
    """Returns the log weight without the terms that a site cannot influence."""
    terms = [
        (1 if p.side == "model" else -1) * p.log_prob
        for p in weights.parts
        if (p.side, p.name) in reach and not p.stopped
    ]
    return sum(terms[1:], terms[0])
