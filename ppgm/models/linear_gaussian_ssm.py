r"""Linear-Gaussian state-space model, with its exact posterior.

.. math::
    z_1 \sim N(m, P), \quad z_t | z_{t-1} \sim N(A z_{t-1} + b + B u_t, Q), \quad
    x_t | z_t \sim N(C z_t + d, R)

The guide is the posterior of the whole path, computed from the model's own parameters as a chain
forward in time (see `ppgm.guides.linear_chain`): every importance weight is p(x), so that the ELBO
of one draw is the log-likelihood and its gradient that of exact maximum likelihood. Entries and
steps may be missing, and sequences may end early.

References:
    | A new approach to linear filtering and prediction problems (Kalman, 1960)
    | https://doi.org/10.1115/1.3662552
    | Pattern Recognition and Machine Learning (Bishop, 2006), section 13.3
"""

__all__ = ["LinearGaussianSSM"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ppgm.chains import MarkovChain
from ppgm.distributions_series import GaussianSeries, Whitening
from ppgm.domains import check_choice, check_size
from ppgm.guides.linear_chain import LinearChain, posterior_chain
from ppgm.nets import MLP
from ppgm.ops import Array
from ppgm.series import Series, check_series, seen_entries
from ppgm.testing import kalman
from ppgm.testing.kalman_smoother import Smoothed, smoothed

Params = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class LinearGaussianSSM:
    """Linear-Gaussian states and data; sites "z" ``(T, latent)`` and "x" ``(T, features)``.

    The data are described in `ppgm.series`. Parameters: "initial" m, "transition" A, "drift" b,
    "control" B, "emission" C, "offset" d; each covariance has standard deviations "..._scale"
    and, if it is full, "..._mixing", the entries below the diagonal of a unit triangular matrix U,
    row by row: the factor is U diag(scale).

    Args:
        features: Number of columns D of the data.
        latent: Number of coordinates L of a state.
        inputs: Number of columns U of the inputs "u"; that of the first step has no effect.
        noise: Whether the covariances P and Q of the states are "diagonal" or "full".
        error: The same for the covariance R of the data.
        steps: Number of steps of sequences that are drawn without data.
    """

    broadcasts = True

    features: int
    latent: int = 2
    inputs: int = 0
    noise: Literal["diagonal", "full"] = "diagonal"
    error: Literal["diagonal", "full"] = "diagonal"
    steps: int = 25

    def __post_init__(self) -> None:
        check_size(self, "features", "latent", "steps")
        check_size(self, "inputs", least=0)
        check_choice(self, "noise", ("diagonal", "full"))
        check_choice(self, "error", ("diagonal", "full"))

    def check_data(self, data: Mapping[str, Any]) -> None:
        """Refuses data of other shapes than those of sequences."""
        check_series(self, data, self.features, self.inputs)

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

    def guide(
        self,
        ppl: Any,
        x: Array,
        lengths: Array | None = None,
        mask: Array | None = None,
        u: Array | None = None,
    ) -> None:
        """Draws the path of the states given all the data."""
        paths = self.posterior(Series(ppl, x, lengths, mask, u))
        with ppl.plate("data", x):
            ppl.sample("z", ppl.distribution(paths))

    def prior(self, series: Series) -> MarkovChain:
        """Returns the distribution of paths before data are seen."""
        return self._chain(series).paths(series.alive)

    def posterior(self, series: Series) -> MarkovChain:
        """Returns the distribution of paths given the data."""
        weight, offset, root = self._emission(series.ppl)
        white = Whitening(root, series.seen)
        xp, loadings = series.ppl.np, white(weight)
        pulled = white((series.ppl.ops.float(series.x) - offset)[..., None])
        transposed = xp.linalg.matrix_transpose(loadings)
        precision, information = transposed @ loadings, (transposed @ pulled)[..., 0]
        if precision.ndim == 2:
            precision = xp.broadcast_to(precision, (series.length, *precision.shape))
        return posterior_chain(self._chain(series), precision, information, series.alive)

    def emission(self, series: Series) -> Callable[[Array, Array | None], GaussianSeries]:
        """Returns the map from states to the distribution of their data."""
        weight, offset, root = self._emission(series.ppl)
        return lambda z, seen: GaussianSeries(z @ weight.T + offset, Whitening(root, seen))

    def log_likelihood(
        self,
        params: Params,
        x: np.ndarray,
        lengths: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        u: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns the exact log p(x) by row, ``(N,)``, at constrained parameters."""
        return self.filter(params, x, lengths, mask, u).log_likelihood

    def filter(
        self,
        params: Params,
        x: np.ndarray,
        lengths: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        u: np.ndarray | None = None,
    ) -> kalman.Filtered:
        """Returns moments of each state given the data up to its step, and log p(x)."""
        series = kalman.Series(np.asarray(x, float), mask, lengths, u)
        return kalman.filtered(series, self.exact_model(params))

    def smooth(
        self,
        params: Params,
        x: np.ndarray,
        lengths: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        u: np.ndarray | None = None,
    ) -> Smoothed:
        """Returns moments of each state, and of neighbours, given all the data of its row."""
        return smoothed(self.filter(params, x, lengths, mask, u), self.exact_model(params))

    def forecast(
        self,
        params: Params,
        x: np.ndarray,
        steps: int,
        lengths: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        u: np.ndarray | None = None,
        ahead: np.ndarray | None = None,
    ) -> kalman.Forecast:
        """Returns moments of states and data for `steps` steps after the end of each row.

        Args:
            params: Constrained parameters.
            x: Data, ``(N, T, D)``.
            steps: Number of steps S to come.
            lengths: Number of steps of each row.
            mask: What has been seen.
            u: Inputs of the steps that were, ``(N, T, U)``.
            ahead: Inputs of the steps to come, ``(N, S, U)``; by default zero.
        """
        past = self.filter(params, x, lengths, mask, u)
        return kalman.forecast(past, self.exact_model(params), steps, lengths=lengths, u=ahead)

    def exact_model(self, params: Params) -> kalman.Model:
        """Returns the parameters as the reference functions of `ppgm.testing` take them."""
        given = {name: np.asarray(value, float) for name, value in params.items()}

        def covariance(name: str, size: int) -> np.ndarray:
            mixing = given.get(f"{name}_mixing")
            factor = np.eye(size) if mixing is None else np.eye(size) + _below(mixing, size)
            factor = factor * given[f"{name}_scale"]
            return factor @ factor.T

        return kalman.Model(
            given["initial"], covariance("initial", self.latent),
            given["transition"], given["drift"], covariance("transition", self.latent),
            given["emission"], given["offset"], covariance("emission", self.features),
            given.get("control"),
        )  # fmt: skip

    def _chain(self, series: Series) -> LinearChain:
        ppl, size = series.ppl, self.latent
        transition = ppl.param("transition", 0.9 * np.eye(size))
        drift = ppl.param("drift", np.zeros(size)) + ppl.np.zeros((series.length, size))
        if self.inputs:
            start = MLP(self.inputs, (), size).initial(ppl.seed, "control")["layers.0.weight"]
            drift = drift + ppl.ops.float(series.u) @ ppl.param("control", start).T
        return LinearChain(
            ppl.param("initial", np.zeros(size)), _root(ppl, "initial", size, self.noise),
            transition, drift, _root(ppl, "transition", size, self.noise),
        )  # fmt: skip

    def _emission(self, ppl: Any) -> tuple[Array, Array, Array]:
        start = MLP(self.latent, (), self.features).initial(ppl.seed, "emission")
        weight = ppl.param("emission", start["layers.0.weight"])
        offset = ppl.param("offset", np.zeros(self.features))
        return weight, offset, _root(ppl, "emission", self.features, self.error)


def _root(ppl: Any, name: str, size: int, kind: str) -> Array:
    """Returns a factor of a covariance: a vector of scales, or a triangular matrix."""
    scale = ppl.param(f"{name}_scale", np.ones(size), constraint="positive")
    if kind == "diagonal" or size == 1:
        return scale
    mixing = ppl.param(f"{name}_mixing", np.zeros(size * (size - 1) // 2))
    places = ppl.ops.float(_below(np.eye(len(mixing)), size))
    return (ppl.np.eye(size) + (mixing[:, None, None] * places).sum(0)) * scale


def _below(entries: np.ndarray, size: int) -> np.ndarray:
    """Puts the last axis below the diagonal of matrices, row by row."""
    rows, columns = np.tril_indices(size, -1)
    matrix = np.zeros((*entries.shape[:-1], size, size))
    matrix[..., rows, columns] = entries
    return matrix
