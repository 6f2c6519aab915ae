r"""Neural variational inference and learning: the score function with learnt baselines.

.. math::
    \nabla_{\phi_s} L = E\Big[\frac{l_s(x, h) - C_s(x) - c_s}{\max(1, \sigma_s)}
        \nabla \log q(h_s | \cdot)\Big]

with a signal :math:`l_s` of the terms that the draw of site s can influence, a network C of the
data, and running mean and standard deviation of each signal. See `ppgm.inference.score`.

References:
    | Neural Variational Inference and Learning in Belief Networks (Mnih & Gregor, 2014)
    | https://arxiv.org/abs/1402.0030
"""

__all__ = ["NVIL", "nvil"]

from dataclasses import dataclass

from ppgm.inference.family import AbstractFamily
from ppgm.inference.gradients import AbstractGradient
from ppgm.inference.score import Score


@dataclass(frozen=True)
class NVIL(AbstractFamily):
    """Evidence lower bound by the score function with learnt, centred, local signals.

    The network "baseline" is trained with the program, by the same optimiser.

    Args:
        particles: Number of draws K.
        hidden: Widths of the baseline's network; None for no network.
        centre: Whether the running mean of a signal is subtracted.
        normalise: Whether a signal is divided by its running standard deviation, if above 1.
        downstream: Whether the signal of a site has only the terms that it can influence.
        decay: Weight of the past in running means.
    """

    particles: int = 1
    hidden: tuple[int, ...] | None = (100,)
    centre: bool = True
    normalise: bool = True
    downstream: bool = True
    decay: float = 0.8

    @property
    def order(self) -> float:
        """The ELBO's order."""
        return 1.0

    @property
    def estimator(self) -> AbstractGradient:
        """The score function of draws that are not reparameterised, with these baselines."""
        return Score(
            "running" if self.centre else 0.0, self.decay, self.hidden, self.normalise,
            self.downstream, everywhere=False,
        )  # fmt: skip


def nvil() -> AbstractGradient:
    """Score function with local signals, learnt baselines and running moments."""
    return NVIL().estimator
