"""Likelihoods of counts and of levels: against formulas of their own, summed, and at the edges."""

from importlib import import_module
from math import inf, lgamma, log
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.distributions import DiscretisedLogistic as Levels
from ppgm.distributions_entries import log_seen
from ppgm.errors import ArgumentError, DataError
from ppgm.inference import ELBO
from ppgm.models import VAE, ContinuousBernoulli, DiscretisedLogistic, NegativeBinomial, Poisson
from ppgm.ops import NUMPY
from ppgm.probes import probe
from ppgm.testing.contract import Check, parametrize_with_checks

TOLERANCE = 1e-9
COUNTS = np.array([[0, 3], [7, 1], [2, 40]])
MIX = DiscretisedLogistic(3, levels=9)
ONE = DiscretisedLogistic(1, levels=9)
ALL = {
    "poisson": Poisson(),
    "negative binomial": NegativeBinomial(),
    "negative binomial, fixed": NegativeBinomial(1.7),
    "levels": MIX,
    "levels, one logistic": ONE,
}
each = pytest.mark.parametrize("name", ALL)

LONG_ON_NUMPYRO = True


def naive_poisson(o: np.ndarray, x: int) -> float:
    return x * o[0] - np.exp(o[0]) - lgamma(x + 1)


def naive_negative_binomial(o: np.ndarray, x: int, r: float | None = None) -> float:
    m, r = np.exp(o[0]), float(np.exp(o[1])) if r is None else r
    choose = lgamma(x + r) - lgamma(x + 1) - lgamma(r)
    return choose + r * log(r / (r + m)) + x * log(m / (r + m))


def logistic_cdf(v: float) -> float:
    return 1 / (1 + np.exp(-v)) if np.isfinite(v) else float(v > 0)


def naive_levels(o: np.ndarray, x: int, components: int, levels: int = 9) -> float:
    """Differences of distribution functions, one component after the other."""
    loc, log_scale, *logits = o.reshape(-1, components)
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum() if logits else np.ones(1)
    low = -inf if x == 0 else (2 * x - 1) / (levels - 1) - 1
    high = inf if x == levels - 1 else (2 * x + 1) / (levels - 1) - 1
    total = 0.0
    for share, m, s in zip(shares, loc, np.exp(log_scale), strict=True):
        total += share * (logistic_cdf((high - m) / s) - logistic_cdf((low - m) / s))
    return log(total)


NAIVE = {
    "poisson": naive_poisson,
    "negative binomial": naive_negative_binomial,
    "negative binomial, fixed": lambda o, x: naive_negative_binomial(o, x, 1.7),
    "levels": lambda o, x: naive_levels(o, x, 3),
    "levels, one logistic": lambda o, x: naive_levels(o, x, 1),
}


def by_column(name: str, outputs: np.ndarray, features: int) -> np.ndarray:
    """The outputs ``(N, size)`` that belong to each column, ``(N, features, numbers)``."""
    if name.startswith("levels"):
        return outputs.reshape(len(outputs), features, -1)
    return outputs.reshape(len(outputs), -1, features).swapaxes(1, 2)


def density(host: str, likelihood: Any, outputs: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Log p of rows, through a decoder that is the identity."""
    size = outputs.shape[-1]
    program = ppgm.program(VAE(x.shape[1], size, (), likelihood), host=host)
    params = {"decoder.layers.0.weight": np.eye(size), "decoder.layers.0.bias": np.zeros(size)}
    found = hosts.load(host).log_density(program, params, {"x": x}, {"z": outputs[None]})
    return found["x"][0]


@each
@pytest.mark.usefixtures("f64")
def test_the_density_is_that_of_the_formula(
    host: str, name: str, rng: np.random.Generator
) -> None:
    x = np.array([[0, 3], [7, 8], [2, 4], [8, 0]])
    outputs = rng.normal(size=(4, ALL[name].size(2)))
    columns = by_column(name, outputs, 2)
    wanted = [
        sum(NAIVE[name](columns[n, d], int(x[n, d])) for d in range(2)) for n in range(len(x))
    ]
    np.testing.assert_allclose(density(host, ALL[name], outputs, x), wanted, rtol=TOLERANCE)


@pytest.mark.parametrize("name", [*ALL, "continuous bernoulli"])
@pytest.mark.usefixtures("f64")
def test_an_entry_that_was_not_seen_adds_nothing(
    host: str, name: str, rng: np.random.Generator
) -> None:
    """What was seen has the density of its own columns, each taken alone."""
    likelihood: Any = ALL.get(name, ContinuousBernoulli())
    ppl = getattr(import_module(f"ppgm.host_{host}_ppl"), f"{host.capitalize()}Namespace")()
    outputs = rng.normal(size=(4, likelihood.size(3)))
    x = rng.integers(0, 9, size=(4, 3)) if name in ALL else rng.random((4, 3))
    seen = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]])
    columns, wanted = by_column(name, outputs, 3), np.zeros(4)
    for d in range(3):
        alone = likelihood(ppl, ppl.ops.float(columns[:, d]))
        wanted += seen[:, d] * np.asarray(alone.log_prob(ppl.ops.float(x[:, d : d + 1])))
    fn, rows = likelihood(ppl, ppl.ops.float(outputs)), np.where(seen, x, -77.0)
    found = np.asarray(log_seen(fn, ppl.ops.float(rows), ppl.ops.float(seen) > 0))
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    whole = np.asarray(fn.log_prob(ppl.ops.float(x)))
    np.testing.assert_allclose(found[0], whole[0], atol=1e-12)
    assert found[3] == 0
    assert (found[:3] != 0).all()


@each
@pytest.mark.usefixtures("f64")
def test_probabilities_sum_to_one(host: str, name: str, rng: np.random.Generator) -> None:
    """Over all levels; over counts as far as the tail has mass."""
    top = 9 if name.startswith("levels") else 400
    outputs = np.repeat(rng.normal(size=(1, ALL[name].size(1))), top, 0)
    log_p = density(host, ALL[name], outputs, np.arange(top)[:, None])
    assert np.exp(log_p).sum() == pytest.approx(1, abs=TOLERANCE)


@pytest.mark.usefixtures("f64")
def test_moments_of_the_negative_binomial(host: str) -> None:
    """The mean is exp(o), the variance m + m^2 / r."""
    x = np.arange(150)
    outputs = np.repeat(np.array([[1.2, 0.4]]), len(x), 0)
    p = np.exp(density(host, NegativeBinomial(), outputs, x[:, None]))
    m, r = np.exp(1.2), np.exp(0.4)
    assert (p * x).sum() == pytest.approx(m, rel=1e-9)
    assert (p * (x - m) ** 2).sum() == pytest.approx(m + m**2 / r, rel=1e-9)


@pytest.mark.usefixtures("f64")
def test_all_levels_of_a_byte_sum_to_one(host: str, rng: np.random.Generator) -> None:
    likelihood = DiscretisedLogistic(4)
    outputs = np.repeat(rng.normal(size=(1, likelihood.size(1))) * 3, 256, 0)
    log_p = density(host, likelihood, outputs, np.arange(256)[:, None])
    assert np.exp(log_p).sum() == pytest.approx(1, abs=TOLERANCE)


FAR = (-1e4, -90.0, -30.0, 0.0, 30.0, 90.0, 1e4)


@pytest.mark.parametrize("name", [n for n in ALL if n != "negative binomial, fixed"])
def test_far_outputs_have_finite_densities_and_gradients(host: str, name: str) -> None:
    """In single precision, at both ends of the support."""
    likelihood = ALL[name]
    ends = (0, 8) if name.startswith("levels") else (0, 5000)
    program = ppgm.program(VAE(1, 1, (), likelihood), host=host)
    for value in FAR:
        for x in ends:
            bias = np.full(likelihood.size(1), value)
            params = {
                "decoder.layers.0.weight": np.ones((len(bias), 1)), "decoder.layers.0.bias": bias,
                "encoder.layers.0.weight": np.zeros((2, 1)), "encoder.layers.0.bias": np.zeros(2),
            }  # fmt: skip
            found = probe(program, params, {"x": np.array([[x]])}, ELBO())
            assert np.isfinite(found.loss), (value, x)
            for grad in found.grads.values():
                assert np.isfinite(grad).all(), (value, x)


def test_a_rate_that_is_far_off_is_pulled_back(host: str) -> None:
    """Beyond the limit the derivative stays that of the limit, and is not zero."""
    program = ppgm.program(VAE(1, 1, (), Poisson()), host=host)
    params = {"decoder.layers.0.weight": np.zeros((1, 1)), "decoder.layers.0.bias": [-50.0]}
    found = probe(program, params, {"x": np.array([[3]])}, ELBO())
    np.testing.assert_allclose(found.grads["decoder.layers.0.bias"], -3, rtol=1e-5)


def test_narrow_bins_are_told_apart_in_single_precision() -> None:
    """Far in the tail both distribution functions are 1 to rounding error."""
    x = np.array([200.0], np.float32)
    loc, log_scale = np.full((1, 1), -1, np.float32), np.full((1, 1), -3.5, np.float32)
    made = Levels(np.zeros((1, 1), np.float32), loc, log_scale, 256)
    exact = Levels(np.zeros((1, 1)), np.full((1, 1), -1.0), np.full((1, 1), -3.5), 256)
    wanted = exact.log_prob(x.astype(float))
    assert wanted < -40
    np.testing.assert_allclose(made.log_prob(x), wanted, rtol=1e-5)


@pytest.mark.usefixtures("f64")
@pytest.mark.parametrize("value", [-1, 9])
def test_what_is_no_level_has_no_probability(host: str, value: int) -> None:
    assert density(host, ONE, np.zeros((1, 2)), np.array([[value]])) == -inf


class NumpyRng:
    """Noise of numpy."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.normal(size=shape)

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.uniform(size=shape)


def test_draws_of_levels_keep_their_shape(rng: np.random.Generator) -> None:
    logits, loc, log_scale = rng.normal(size=(3, 4, 2, 3))
    made = Levels(logits, loc, log_scale, 9)
    draws = made.sample(NumpyRng(rng), (5, 4))
    assert draws.shape == (5, 4, 2)
    assert NUMPY.np.all((draws >= 0) & (draws <= 8) & (draws == np.floor(draws)))
    assert made.log_prob(draws).shape == (5, 4)


@each
def test_draws_have_the_probabilities(host: str, name: str, rng: np.random.Generator) -> None:
    """Frequencies within 5 standard errors, over values that are expected 20 times or more."""
    n, likelihood = 20_000, ALL[name]
    bias = rng.normal(size=likelihood.size(1))
    program = ppgm.program(VAE(1, 1, (), likelihood), host=host)
    params = {
        "decoder.layers.0.weight": np.zeros((len(bias), 1)), "decoder.layers.0.bias": bias
    }  # fmt: skip
    draws = ppgm.sample(ppgm.Fit(program, params, {}, {}, {}), n)["x"].ravel()
    top = 9 if name.startswith("levels") else 60
    p = np.exp([NAIVE[name](bias, x) for x in range(top)])
    seen = np.bincount(draws.astype(int), minlength=top)[:top]
    common = n * p > 20
    assert common.sum() >= 4
    errors = (seen / n - p) / np.sqrt(p * (1 - p) / n)
    assert np.abs(errors[common]).max() < 5


@pytest.mark.slow
@pytest.mark.usefixtures("f64")
@parametrize_with_checks(
    [
        (VAE(2, 2, (3,), Poisson()), {"x": COUNTS}),
        (VAE(2, 2, (3,), NegativeBinomial()), {"x": COUNTS}),
        (VAE(2, 2, (3,), MIX), {"x": np.minimum(COUNTS, 8)}),
    ]
)
def test_models_of_counts_keep_the_contract(check: Check) -> None:
    check.run()


@pytest.mark.parametrize(
    ("likelihood", "bad", "words"),
    [
        (Poisson(), -1, "0, 1, 2, ..."),
        (NegativeBinomial(), 0.5, "0, 1, 2, ..."),
        (MIX, 9, "0, 1, ..., 8"),
        (MIX, 0.5, "0, 1, ..., 8"),
        (DiscretisedLogistic(2), 256, "0, 1, ..., 255"),
    ],
)
def test_values_off_the_support_are_refused(
    host: str, likelihood: Any, bad: float, words: str
) -> None:
    x = np.array([[1.0, 2.0], [bad, 3.0]])
    program = ppgm.program(VAE(2, 1, (), likelihood), host=host)
    with pytest.raises(DataError, match=words):
        ppgm.fit(program, {"x": x}, ELBO(), steps=1, progress=False)
    with pytest.raises(DataError, match=words):
        ppgm.evaluate(program, {"x": x}, particles=30)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NegativeBinomial(0), "count must be a number above 0"),
        (lambda: DiscretisedLogistic(0), "components must be an integer"),
        (lambda: DiscretisedLogistic(2, 1), "levels must be an integer of at least 2"),
    ],
)
def test_options_are_checked(make: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make()
