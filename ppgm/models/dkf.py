r"""Deep Kalman filter: sequences with Gaussian states and networks between them.

.. math::
    z_t | z_{t-1} \sim N(\mu(z_{t-1}, u_t), \mathrm{diag}(\sigma^2(z_{t-1}, u_t))), \quad
    x_t | z_t \sim p(x | f(z_t)), \quad t = 1, ..., T

with :math:`z_0` a parameter and u optional inputs. The transition is one of
`ppgm.models.transitions`, the guide one of `ppgm.guides.smoothers`, each of whose distributions of
a whole path is one site. With a linear transition, an affine emitter and a Gaussian likelihood of
fixed scale everything is Gaussian, log p(x) is exact (Kalman), and ``guide="exact"`` is the
posterior of the path from the model's own parameters.

References:
    | Deep Kalman Filters (Krishnan, Shalit & Sontag, 2015), https://arxiv.org/abs/1511.05121
    | Structured Inference Networks for Nonlinear State Space Models (Krishnan, Shalit & Sontag,
    | 2017), https://arxiv.org/abs/1609.09869
"""

__all__ = ["DKF"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ppgm.chains import MarkovChain
from ppgm.distributions_emitted import EmittedSteps
from ppgm.domains import check_size, check_widths
from ppgm.errors import ArgumentError, DataError
from ppgm.guides.flows import AbstractFlow
from ppgm.guides.smoothers import CELLS, SMOOTHERS, smoother
from ppgm.models import dkf_linear, likelihoods
from ppgm.models.dkf_linear import linear_chain
from ppgm.models.likelihoods import Bernoulli, Likelihood
from ppgm.models.parts import check_choice, check_part
from ppgm.models.transitions import gated, perceptron
from ppgm.models.vae import LIKELIHOODS
from ppgm.nets import ACTIVATIONS, GRU, LSTM, MLP, RNN
from ppgm.ops import Array
from ppgm.series import Series, check_series, seen_entries
from ppgm.testing import kalman

FLOWS = ("IAF", "Planar", "Sylvester", "Coupling")
NETS = dict(zip(CELLS, (GRU, LSTM, RNN), strict=True))
NEEDED = (
    "needs transition='linear', emitter=() and a Gaussian likelihood of fixed scale, such as "
    "Gaussian(1.0)"
)


@dataclass(frozen=True)
class DKF:
    """Deep Kalman filter; sites "z" ``(T, latent)`` and "x" ``(T, features)``.

    The data are described in `ppgm.series`: "x", and optionally "lengths", "mask" and "u".

    Args:
        features: Number of columns D of the data.
        latent: Number of coordinates L of a state.
        transition: "gated", "mlp" or "linear"; see `ppgm.models.transitions`.
        hidden: Widths of the hidden layers of the transition's networks.
        emitter: Widths of the hidden layers of the emission's network f.
        activation: Activation of these networks, one of `ppgm.nets.ACTIVATIONS`.
        likelihood: Distribution of a step given the outputs of f.
        guide: "ST-R", "ST-L", "ST-LR" or "MF-LR", see `ppgm.guides.smoothers`; or "exact", the
            posterior of a linear-Gaussian model.
        rnn: Width of the guide's recurrent networks.
        cell: Their kind: "gru", "lstm" or "rnn".
        inputs: Number of columns U of the inputs "u", which act on the step to their own state.
        indicator: Whether the guide's networks read, beside the data, which of them were seen.
        flow: A family of `ppgm.guides`, such as ``IAF(1)``, whose map the guide puts on top of
            the Gaussian of each step (a `Spline` bends states between its bounds); None leaves
            it Gaussian.
        steps: Number of steps of sequences that are drawn without data.
    """

    broadcasts = True

    features: int
    latent: int = 32
    transition: Literal["gated", "mlp", "linear"] = "gated"
    hidden: tuple[int, ...] = (64,)
    emitter: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    likelihood: Likelihood = Bernoulli()
    guide: Literal["ST-R", "ST-L", "ST-LR", "MF-LR", "exact"] = "ST-R"
    rnn: int = 128
    cell: Literal["gru", "lstm", "rnn"] = "gru"
    inputs: int = 0
    indicator: bool = False
    flow: AbstractFlow | None = None
    steps: int = 25

    def __post_init__(self) -> None:
        check_size(self, "features", "latent", "rnn", "steps")
        check_size(self, "inputs", least=0)
        check_widths(self, "hidden")
        check_widths(self, "emitter")
        check_choice(self, "transition", ("gated", "mlp", "linear"))
        check_choice(self, "guide", (*SMOOTHERS, "exact"))
        check_choice(self, "cell", CELLS)
        check_choice(self, "activation", ACTIVATIONS)
        check_part("likelihood", self.likelihood, "size", LIKELIHOODS)
        if self.flow is not None:
            check_part("flow", self.flow, "transform", FLOWS)
        if self.guide == "exact" and not self.linear:
            raise ArgumentError(f"DKF: guide 'exact' {NEEDED}")

    @property
    def linear(self) -> bool:
        """Whether states and data are jointly Gaussian."""
        return self.transition == "linear" and not self.emitter and self._noise is not None

    @property
    def _noise(self) -> float | None:
        """Scale of the data's columns, None unless it is one number."""
        given = self.likelihood
        return given.scale if isinstance(given, likelihoods.Gaussian) else None

    def check_data(self, data: Mapping[str, Any]) -> None:
        """Refuses data of other shapes than those of sequences, and numbers that are none."""
        check_series(self, data, self.features, self.inputs)
        x = np.asarray(data["x"]) if data.get("x") is not None else np.zeros(())
        if x.dtype.kind == "f" and np.isnan(x).any():
            row, step = np.argwhere(np.isnan(x))[0][:2]
            raise DataError(
                f"DKF: data['x'] is NaN at row {row}, step {step}: put any number there and a 0 "
                "in data['mask'] for what is missing; ppgm.data.missing(x) makes both"
            )

    def seen(self, data: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Returns which entries of the data count: those that are no padding and not missing."""
        return seen_entries(data)

    def model(
        self,
        ppl: Any,
        x: Array | None = None,
        lengths: Array | None = None,
        mask: Array | None = None,
        u: Array | None = None,
    ) -> None:
        """Draws the path of the states, and the data at every step."""
        series = Series(ppl, x, lengths, mask, u, self.steps)
        paths, emit = self.prior(series), self.emission(series)
        with ppl.plate("data", series.rows):
            z = ppl.sample("z", ppl.distribution(paths))
            ppl.sample("x", ppl.distribution(emit(z, series.seen)), obs=x)

    def guided(
        self,
        ppl: Any,
        x: Array,
        lengths: Array | None = None,
        mask: Array | None = None,
        u: Array | None = None,
    ) -> None:
        """Draws the path of the states given the data, as `guide` says."""
        paths = self.posterior(Series(ppl, x, lengths, mask, u))
        with ppl.plate("data", x):
            ppl.sample("z", ppl.distribution(paths))

    def prior(self, series: Series) -> MarkovChain:
        """Returns the distribution of paths before data are seen."""
        if self.transition == "linear":
            chain = linear_chain(series, self.latent, self.inputs)
            return chain.paths(series.alive)
        ppl, u = series.ppl, self._inputs(series)
        make = gated if self.transition == "gated" else perceptron
        step = make(ppl, self.latent, self.inputs, self.hidden, self.activation)
        start = ppl.param("z0", np.zeros(self.latent))
        first = step(start, *(a[..., 0, :] for a in u))
        return MarkovChain(first, step, series.length, u, series.alive)

    def posterior(self, series: Series) -> MarkovChain:
        """Returns the guide's distribution of paths."""
        if self.guide == "exact":
            chain = linear_chain(series, self.latent, self.inputs)
            decode = self._decoder(series.ppl)
            return dkf_linear.posterior(series, chain, decode, self._noise or 1.0)
        return smoother(
            series.ppl, self.guide, self._read(series), self.latent, NETS[self.cell], self.rnn,
            series.lengths, series.alive, self.flow,
        )  # fmt: skip

    def emission(self, series: Series) -> Callable[[Array, Array | None], EmittedSteps]:
        """Returns the map from states to the distribution of their data."""
        ppl, decode = series.ppl, self._decoder(series.ppl)
        support = getattr(self.likelihood, "support", "real")

        def emit(z: Array) -> Any:
            return self.likelihood(ppl, decode(z))

        return lambda z, seen: EmittedSteps(emit, z, self.features, seen, support)

    def log_likelihood(
        self,
        params: Mapping[str, np.ndarray],
        x: np.ndarray,
        lengths: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        u: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns the exact log p(x) by row, ``(N,)``, of a linear-Gaussian model.

        Raises:
            ArgumentError: If the model is not linear-Gaussian.
        """
        if not self.linear:
            raise ArgumentError(f"DKF: the exact log p(x) {NEEDED}; use ppgm.evaluate")
        series = kalman.Series(np.asarray(x, float), mask, lengths, u)
        return dkf_linear.log_likelihood(params, series, self.latent, self._noise or 1.0)

    def _decoder(self, ppl: Any) -> Any:
        size = self.likelihood.size(self.features)
        spec = MLP(self.latent, self.emitter, size, activation=self.activation)
        return ppl.module("decoder", spec)

    def _inputs(self, series: Series) -> tuple[Array, ...]:
        return (series.ppl.ops.float(series.u),) if self.inputs else ()

    def _read(self, series: Series) -> Array:
        """Returns what the recurrent networks read, with zeros for what was not seen."""
        xp, x, seen = series.ppl.np, series.ppl.ops.float(series.x), series.seen
        rows = [x if seen is None else xp.where(seen, x, xp.zeros_like(x)), *self._inputs(series)]
        if self.indicator:
            ones = xp.ones_like(x)
            rows.append(ones if seen is None else xp.where(seen, ones, xp.zeros_like(x)))
        return rows[0] if len(rows) == 1 else xp.concat(rows, axis=-1)
