r"""FFJORD: a density by the flow of a differential equation whose field is a network.

.. math::
    \frac{dz}{dt} = g_\theta(z, t), \quad z(0) = x, \quad
    \log p(x) = \log N(z(T); 0, I) + \int_0^T \mathrm{tr} \frac{\partial g_\theta}{\partial z} dt

With ``trace="hutchinson"`` the trace is an estimate by noise, a latent "probe" that the guide
draws as the model does: the mean of the ELBO over draws is log p(x) itself. The logarithm of a
mean over several draws, as in ``IWAE`` or `ppgm.evaluate`, would be above log p(x) and is refused;
a trained model is evaluated by the exact trace, whose parameters are the same (``program`` is
that of ``replace(model, trace="exact")``)::

    ppgm.evaluate(fit._replace(program=program), data)

It needs ``pip install 'ppgm[flows]'``.

References:
    | FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative Models (Grathwohl,
    | Chen, Bettencourt, Sutskever & Duvenaud, 2019), https://arxiv.org/abs/1810.01367
"""

__all__ = ["FFJORD"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ppgm.distributions import standard_normal
from ppgm.distributions_normal import DiagonalNormal
from ppgm.domains import check_choice, check_number, check_size
from ppgm.models.density import AbstractDensity, Norm, check_networks
from ppgm.nets import MLP, Damped
from ppgm.ops import Array
from ppgm.transforms import Flow, Inverse, Transform
from ppgm.transforms.continuous import SOLVERS, Continuous

TRACES = ("exact", "hutchinson")


@dataclass(frozen=True)
class FFJORD(AbstractDensity):
    """Density of rows ``(N, features)`` by a continuous flow; site "x", and "probe" if estimated.

    Args:
        features: Number of columns of the data.
        hidden: Widths of the hidden layers of the field's network, which sees the time too.
        trace: "exact", which costs as many derivatives as there are columns, or "hutchinson",
            an unbiased estimate by one.
        time: T.
        tolerance: Absolute and relative tolerance of the solver.
        solver: "dopri5", or "dopri8" for tolerances below 1e-7 or so.
        activation: Activation of the network, a smooth one.
    """

    features: int
    hidden: tuple[int, ...] = (64, 64)
    trace: Literal["exact", "hutchinson"] = "exact"
    time: float = 1.0
    tolerance: float = 1e-5
    solver: Literal["dopri5", "dopri8"] = "dopri5"
    activation: str = "tanh"

    def __post_init__(self) -> None:
        check_size(self, "features")
        check_networks(self)
        check_choice(self, "trace", TRACES)
        check_choice(self, "solver", SOLVERS)
        check_number(self, "time", above=0.0)
        check_number(self, "tolerance", above=0.0)

    def steps(self, ppl: Any, norm: Norm) -> list[Transform]:
        """Returns the one step from data to noise, with the exact trace."""
        return [self._step(ppl, None)]

    def model(self, ppl: Any, x: Array | None = None) -> None:
        """Draws x from noise; with an estimated trace, the estimate's noise before it."""
        if self.trace == "exact":
            super().model(ppl, x)
            return
        zeros = ppl.np.zeros(self.features)
        base = DiagonalNormal(zeros, ppl.np.ones_like(zeros))
        seen = None if x is None else ppl.ops.float(x)
        with ppl.plate("data", x):
            probe = ppl.sample("probe", standard_normal(ppl, self.features))
            flow = Flow(base, Inverse(self._step(ppl, probe)))
            ppl.sample("x", ppl.distribution(flow), obs=seen)

    @property
    def estimate_noise(self) -> dict[str, str]:
        """The noise of the estimated trace, and what to use where log p(x) itself is needed."""
        if self.trace == "exact":
            return {}
        exact = "fit._replace(program=ppgm.program(replace(model, trace='exact'), host=...))"
        return {"probe": f"take the exact trace, whose parameters are the same, {exact}"}

    @property
    def guide(self) -> Callable[..., None] | None:
        """Draws the estimate's noise; there is none with the exact trace."""
        return self._draw_probe if self.trace == "hutchinson" else None

    def _draw_probe(self, ppl: Any, x: Array) -> None:
        with ppl.plate("data", x):
            ppl.sample("probe", standard_normal(ppl, self.features))

    def _step(self, ppl: Any, probe: Array | None) -> Transform:
        size = self.features
        net = MLP(size + 1, self.hidden, size, activation=self.activation)
        field = ppl.module("field", Damped(net, 0.1))
        return Continuous(
            lambda z, t: field(z, t[None]), probe, self.time, self.tolerance, self.solver
        )
