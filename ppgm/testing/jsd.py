r"""What a generative adversarial network is worth at its optimal critic, by quadrature.

For densities `p` (data) and `q` (generator) the value of the game with critic logits c,

    V(c) = E_p[log sigmoid(c)] + E_q[log sigmoid(-c)],

is greatest at `c = log p - log q`, where it is `2 JSD(p, q) - log 4`.

References:
    Generative Adversarial Networks (Goodfellow et al., 2014), arXiv:1406.2661, theorem 1.
"""

from collections.abc import Callable

import numpy as np

LogDensity = Callable[[np.ndarray], np.ndarray]
"""From points `(M,)` of the line to log densities `(M,)`; minus infinity where there is none."""


def quadrature(
    lower: float, upper: float, *, panels: int = 64, nodes: int = 16
) -> tuple[np.ndarray, np.ndarray]:
    """Composite Gauss-Legendre rule on an interval.

    Args:
        lower: Left end.
        upper: Right end.
        panels: Equal sub-intervals; let jumps of the integrand fall on their ends.
        nodes: Nodes in each panel.

    Returns:
        Points and weights, each `(panels * nodes,)`.
    """
    points, weights = np.polynomial.legendre.leggauss(nodes)
    half = (upper - lower) / panels / 2
    centres = lower + half * (2 * np.arange(panels) + 1)
    return (centres[:, None] + half * points).ravel(), np.tile(half * weights, panels)


def optimal_critic(log_p: LogDensity, log_q: LogDensity) -> LogDensity:
    """The critic's logits `log p - log q`, greatest in the value of the game."""
    return lambda x: log_p(x) - log_q(x)


def jensen_shannon(log_p: LogDensity, log_q: LogDensity, *, lower: float, upper: float) -> float:
    """Jensen-Shannon divergence in nats, from 0 for equal densities to `log 2` for disjoint ones.

    Args:
        log_p: One log density.
        log_q: The other.
        lower: Left end of an interval that holds both but for a negligible mass.
        upper: Its right end.

    Returns:
        `KL(p, m) / 2 + KL(q, m) / 2` with `m = (p + q) / 2`.
    """
    points, weights = quadrature(lower, upper)
    log_one, log_two = log_p(points), log_q(points)
    middle = np.logaddexp(log_one, log_two) - np.log(2)
    return 0.5 * float(weights @ (_excess(log_one, middle) + _excess(log_two, middle)))


def gan_value(
    critic: LogDensity, log_p: LogDensity, log_q: LogDensity, *, lower: float, upper: float
) -> float:
    """Value `E_p[log sigmoid(c)] + E_q[log sigmoid(-c)]` of the game for any critic."""
    points, weights = quadrature(lower, upper)
    logits = critic(points)
    real = np.exp(log_p(points)) * -np.logaddexp(0.0, -logits)
    fake = np.exp(log_q(points)) * -np.logaddexp(0.0, logits)
    return float(weights @ (real + fake))


def gan_value_at_optimum(
    log_p: LogDensity, log_q: LogDensity, *, lower: float, upper: float
) -> float:
    """The greatest value of the game, `2 JSD - log 4`."""
    return 2 * jensen_shannon(log_p, log_q, lower=lower, upper=upper) - float(np.log(4))


def _excess(log_one: np.ndarray, log_other: np.ndarray) -> np.ndarray:
    """Integrand `p (log p - log m)`, which is zero where p is."""
    inside = np.isfinite(log_one)
    ratio = np.where(inside, log_one, 0.0) - np.where(inside, log_other, 0.0)
    return np.exp(log_one) * ratio
