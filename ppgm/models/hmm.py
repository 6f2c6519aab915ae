r"""Hidden Markov model: sequences driven by a discrete state, which is summed out.

.. math::
    s_1 \sim \mathrm{Cat}(\pi), \quad s_t | s_{t-1} \sim \mathrm{Cat}(A_{s_{t-1}}), \quad
    x_t | s_t \sim p(x_t | o_{s_t})

with a row of outputs :math:`o_k` for each state. The program has one site, the data of a whole
sequence: their density is that of the forward algorithm (see
`ppgm.distributions_hidden_markov`), so that every bound is the log-likelihood itself, training is
exact maximum likelihood, and no guide is needed. The states come back through `HMM.smooth` and
`HMM.most_probable_path`.

References:
    | A tutorial on hidden Markov models (Rabiner, 1989), https://doi.org/10.1109/5.18626
"""

__all__ = ["HMM", "Forecast"]

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ppgm.distributions_hidden_markov import HiddenMarkov
from ppgm.domains import check_size
from ppgm.models.likelihoods import Bernoulli, Likelihood
from ppgm.models.parts import check_part
from ppgm.models.vae import LIKELIHOODS
from ppgm.ops import NUMPY, Array
from ppgm.series import Series, check_series, seen_entries
from ppgm.testing import emissions, hidden_markov, kalman

Params = Mapping[str, np.ndarray]
STAYING = 2.0
"""Log odds, at the start, of staying in a state against going to any other one."""


class Forecast(NamedTuple):
    """What a model says of the steps after the end of each row.

    Attributes:
        states: Probability of each state, ``(N, S, K)``.
        mean: Mean of the data, ``(N, S, D)``; of classes, their probabilities ``(N, S, D, C)``.
        sd: Standard deviation, in the same shape.
    """

    states: np.ndarray
    mean: np.ndarray
    sd: np.ndarray


@dataclass(frozen=True)
class HMM:
    """Hidden Markov model; one site, "x" ``(T, features)``.

    The data are described in `ppgm.series`; there are no inputs "u". Parameters: "initial"
    ``(K,)`` and "transition" ``(K, K)``, from row to column, are logits; "emission" ``(K, n)``
    has the outputs of each state. A state starts as one that mostly stays.

    Args:
        features: Number of columns D of the data.
        states: Number of states K.
        likelihood: Distribution of a step given the outputs of its state. The answers in numpy
            (`smooth` and those below) know `Bernoulli`, `Gaussian`, `Categorical` and `Poisson`.
        steps: Number of steps of sequences that are drawn without data.
    """

    broadcasts = True

    features: int
    states: int = 2
    likelihood: Likelihood = Bernoulli()
    steps: int = 25

    def __post_init__(self) -> None:
        check_size(self, "features", "states", "steps")
        check_part("likelihood", self.likelihood, "size", LIKELIHOODS)

    def check_data(self, data: Mapping[str, Any]) -> None:
        """Refuses data of other shapes than those of sequences."""
        check_series(self, data, self.features)

    def seen(self, data: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Returns which entries of the data count: those that are no padding and not missing."""
        return seen_entries(data)

    def model(
        self,
        ppl: Any,
        x: Array | None = None,
        lengths: Array | None = None,
        mask: Array | None = None,
    ) -> None:
        """Draws whole sequences."""
        series = Series(ppl, x, lengths, mask, steps=self.steps)
        states, log_softmax = self.states, ppl.ops.log_softmax
        found = HiddenMarkov(
            log_softmax(ppl.param("initial", np.zeros(states)), -1),
            log_softmax(ppl.param("transition", STAYING * np.eye(states)), -1),
            ppl.param("emission", lambda: self._start(ppl.seed)),
            partial(self.likelihood, ppl), series.length, self.features, series.seen,
            getattr(self.likelihood, "support", "real"),
        )  # fmt: skip
        with ppl.plate("data", series.rows):
            ppl.sample("x", ppl.distribution(found), obs=x)

    def log_likelihood(
        self,
        params: Params,
        x: np.ndarray,
        lengths: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns the exact log p(x) by row, ``(N,)``."""
        return hidden_markov.log_likelihood(self.exact_model(params, x, lengths, mask))

    def filter(
        self,
        params: Params,
        x: np.ndarray,
        lengths: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns the probability of each state given the data up to its step, ``(N, T, K)``."""
        found = hidden_markov.forward(self.exact_model(params, x, lengths, mask))
        return NUMPY.softmax(found, -1)

    def smooth(
        self,
        params: Params,
        x: np.ndarray,
        lengths: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> hidden_markov.Posterior:
        """Returns the probabilities of states, and of pairs of neighbours, given all the data."""
        return hidden_markov.posterior(self.exact_model(params, x, lengths, mask))

    def most_probable_path(
        self,
        params: Params,
        x: np.ndarray,
        lengths: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best path of states ``(N, T)``, -1 after the end, and log p(x, path)."""
        model = self.exact_model(params, x, lengths, mask)
        return hidden_markov.most_probable_path(model)

    def forecast(
        self,
        params: Params,
        x: np.ndarray,
        steps: int,
        lengths: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> Forecast:
        """Returns states and moments of the data for `steps` steps after the end of each row."""
        past = self.filter(params, x, lengths, mask)
        rows, ends = np.arange(len(past)), np.full(len(past), past.shape[1])
        now = past[rows, (ends if lengths is None else np.asarray(lengths)) - 1]
        chances = NUMPY.softmax(np.asarray(params["transition"], float), -1)
        found = []
        for _ in range(steps):
            now = now @ chances
            found.append(now)
        states = np.stack(found, 1)
        mean, variance = emissions.moments(self.likelihood, np.asarray(params["emission"], float))
        centre = np.tensordot(states, mean, 1)
        square = np.tensordot(states, variance + mean**2, 1)
        return Forecast(states, centre, np.sqrt(np.maximum(square - centre**2, 0)))

    def exact_model(
        self,
        params: Params,
        x: np.ndarray,
        lengths: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> hidden_markov.Model:
        """Returns parameters and evidence as the reference functions of `ppgm.testing` take them.

        Raises:
            ArgumentError: If numpy does not know the likelihood.
        """
        given = {name: np.asarray(value, float) for name, value in params.items()}
        x = np.asarray(x)
        seen = kalman.observed(kalman.Series(x, mask, lengths))[..., None, :]
        entries = emissions.log_entries(
            self.likelihood, given["emission"], np.where(seen[..., 0, :], x, 0)
        )
        log_initial, log_transition = (
            given[n] - NUMPY.logsumexp(given[n], -1)[..., None] for n in ("initial", "transition")
        )
        evidence = np.where(seen, entries, 0.0).sum(-1)
        return hidden_markov.Model(log_initial, log_transition, evidence, lengths)

    def _start(self, seed: int) -> np.ndarray:
        """Returns outputs of all states, each near zero."""
        rng = np.random.default_rng([seed, self.states])
        return rng.normal(size=(self.states, self.likelihood.size(self.features))) / 2
