r"""Doubly reparameterised gradients of importance weighted bounds.

.. math::
    \nabla_\phi L_\alpha = E\Big[\sum_k \big(\alpha g_k + (1 - \alpha) g_k^2\big)
        \frac{\partial \log w_k}{\partial z_k} \frac{d z_k}{d \phi}\Big], \quad
    \nabla_\theta L_\alpha = E\Big[\sum_k g_k \nabla_\theta \log p_\theta(x, z_k)\Big], \quad
    g_k = \frac{\partial L_\alpha}{\partial \log w_k}

The guide's gradient is that of the path, its score term reparameterised once more: as K grows
its signal-to-noise ratio rises like :math:`\sqrt{K}`, where that of the plain gradient falls like
:math:`1 / \sqrt{K}`. For the ELBO (alpha = 1) it is sticking the landing.

References:
    | Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives
    | (Tucker, Lawson, Gu & Maddison, 2019), https://arxiv.org/abs/1810.04152
"""

__all__ = ["DReG", "DoublyReparameterised"]

from dataclasses import dataclass

from ppgm.errors import EstimatorError
from ppgm.inference.family import AbstractFamily
from ppgm.inference.gradients import AbstractGradient, AnyBound
from ppgm.inference.powers import bound, shares
from ppgm.inference.stl import check_reparameterised
from ppgm.ops import Array, ops_of
from ppgm.sites import SiteTable
from ppgm.terms import Ask, Weights
from ppgm.views import View


@dataclass(frozen=True)
class DoublyReparameterised(AbstractGradient):
    """The doubly reparameterised gradient, for guides whose draws are all reparameterised."""

    def weights(self, view: View, ask: Ask) -> Weights:
        """Asks also for both log densities with constant parameters."""
        return view.ask(ask._replace(stopped=("guide", "model")))

    def rows(self, weights: Weights, alpha: float, particles: int) -> Array:
        """Returns the bound per row, ``(*rows)``."""
        stop = ops_of(weights.log_p).stop_gradient
        log_w, mass = stop(weights.log_p - weights.log_q), weights.log_mass
        fixed = None if mass is None else stop(mass)
        g = shares(log_w, alpha, particles, fixed)

        constant: Array = weights.log_p_stopped
        of_model = weights.log_p - constant  # gradient in the model's parameters
        of_draws = constant - weights.log_q_stopped  # gradient by the path
        zero = g * _zero(of_model) + (alpha * g + (1 - alpha) * g**2) * _zero(of_draws)
        if mass is not None:  # minus the mass of a value is in its log weight
            zero = zero - g * _zero(mass)
        return bound(log_w, alpha, particles, mass) + zero.sum(0)

    def check(self, table: SiteTable, of: AnyBound) -> None:
        """Checks that every draw is reparameterised, and the weights as they are."""
        check_reparameterised(table, of.title)
        if of.order != 1 and of.tempering.active:
            raise EstimatorError(
                f"{of.title} reparameterises the score of log q as it is in the weights: beta "
                "other than 1, free_bits and site_weights are not for it; use gradient='path'"
            )


def _zero(value: Array) -> Array:
    return value - ops_of(value).stop_gradient(value)


@dataclass(frozen=True)
class DReG(AbstractFamily):
    """Importance weighted bound of `particles` draws with the doubly reparameterised gradient.

    Args:
        particles: Number of draws K.
    """

    particles: int = 5

    @property
    def order(self) -> float:
        """The importance weighted bound's order."""
        return 0.0

    @property
    def estimator(self) -> AbstractGradient:
        """The doubly reparameterised gradient."""
        return DoublyReparameterised()
