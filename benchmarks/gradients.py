"""What a check says of a gradient: two numbers for each network.

A bound has one value under every estimator of its gradient, so the losses alone cannot tell a
right estimator from a wrong one. For the gradient g at the starting weights w the check adds

    slope = <g, w>,    norm = |g|

Their means show what is biased, such as a lost term or a sign, and the norm's also what changes
nothing but the variance, such as a baseline that is left out. Neither depends on the layout of
the weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

Parts = Mapping[str, Sequence[np.ndarray]]
"""Arrays by network."""


def columns(networks: Iterable[str]) -> tuple[str, ...]:
    """Returns the names of the numbers."""
    return tuple(f"{network} {what}" for network in networks for what in ("slope", "norm"))


def measured(networks: Iterable[str], weights: Parts, gradient: Parts) -> list[float]:
    """Returns slope and norm of each network."""
    found = []
    for network in networks:
        pairs = list(zip(weights[network], gradient[network], strict=True))
        found.append(sum(float((w * g).sum()) for w, g in pairs))
        found.append(sum(float((g**2).sum()) for _, g in pairs) ** 0.5)
    return found
