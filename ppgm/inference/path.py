r"""The gradient by reparameterised draws, and by the score function where there are none.

.. math::
    \nabla E[L(w_1, ..., w_K)] = E\Big[\nabla L + L \sum_k \nabla \log q(h_k)\Big]

where h are the draws that carry no gradient. For the ELBO, a mean over particles, the signal of a
draw is its own particle's weight.

References:
    | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), https://arxiv.org/abs/1312.6114
    | Gradient Estimation Using Stochastic Computation Graphs (Schulman et al., 2015)
    | https://arxiv.org/abs/1506.05254
"""

__all__ = ["Path", "block_scores", "scored"]

from dataclasses import dataclass

from ppgm.inference.gradients import AbstractGradient
from ppgm.inference.powers import bound, shares
from ppgm.ops import Array, ops_of
from ppgm.terms import Block, Weights
from ppgm.views import View


@dataclass(frozen=True)
class Path(AbstractGradient):
    """Path of reparameterised draws, score function of the others; for every program."""

    def rows(self, weights: Weights, alpha: float, particles: int) -> Array:
        """Returns the bound per row, ``(*rows)``."""
        log_w = weights.log_p - weights.log_q
        value = bound(log_w, alpha, particles, weights.log_mass)
        if weights.score is None or (weights.blocks and alpha == 1):
            return value
        return value + scored(own_signal(log_w, value, weights, alpha, particles), weights.score)

    def extra(self, view: View, weights: Weights, alpha: float, particles: int) -> Array | float:
        """Returns the score-function term of global latents."""
        return block_scores(view, weights, particles) if alpha == 1 else 0.0


def own_signal(
    log_w: Array, value: Array, weights: Weights, alpha: float, particles: int
) -> Array:
    """Returns what each draw can influence of the bound, ``(K, *rows)``.

    The K draws of a bound with a logarithm around their mean share all of it.
    """
    if alpha == 1:
        return log_w * shares(log_w, alpha, particles, weights.log_mass)
    return value + ops_of(log_w).np.zeros_like(log_w)


def scored(signal: Array, score: Array) -> Array:
    """Is zero, ``(*rows)``; its gradient is the sum over k of signal times that of the score."""
    stop = ops_of(score).stop_gradient
    return (stop(signal) * (score - stop(score))).sum(0)


def block_scores(view: View, weights: Weights, particles: int) -> Array | float:
    """Is zero; its gradient is the score-function term with global latents."""
    if not weights.blocks:
        return 0.0
    parts = [_block_score(b, weights.log_mass, view) for b in weights.blocks]
    return sum(parts[1:], parts[0]) / particles


def _block_score(block: Block, log_mass: Array | None, view: View) -> Array:
    """Is the score-function term of one block, summed over particles.

    Beside an enumerated global site a particle counts with the mass of its value.
    """
    stop = view.ops.stop_gradient
    terms = stop(block.signal) * (block.score - stop(block.score)) * block.scale
    if log_mass is not None:
        mass = view.ops.np.exp(stop(log_mass))
        terms = mass.reshape((-1,) + (1,) * (terms.ndim - 1)) * terms
    return terms.sum()
