"""Predictions: exact probabilities of classes, draws forward and by the guide, chunks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import models, predicting
from ppgm.errors import ArgumentError, DataError, ModelError, StorageError
from ppgm.fits import Fit, as_fit
from ppgm.models import VAE, FactorAnalysis
from ppgm.models.parts import beside
from ppgm.nets import MLP

D, CLASSES, N = 3, 4, 5

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")


@dataclass(frozen=True)
class Classes:
    """Classes y with a latent z, and rows x of both; the guide of y sees x alone."""

    broadcasts = True

    hot: bool = False

    def model(self, ppl: Any, x: Any = None, y: Any = None) -> None:
        """p(y) p(z) p(x | y, z)."""
        decode = ppl.module("decoder", MLP(CLASSES + 1, (), D))
        logits = ppl.param("prior", np.zeros(CLASSES))
        with ppl.plate("data", y if x is None else x):
            y = ppl.sample("y", self._classes(ppl, logits), obs=y)
            z = ppl.sample("z", ppl.distributions.Normal(ppl.np.zeros(1), 1.0).to_event(1))
            loc = decode(beside(ppl, self._bits(ppl, y), z))
            ppl.sample("x", ppl.distributions.Normal(loc, 0.5).to_event(1), obs=x)

    def guide(self, ppl: Any, x: Any, y: Any = None) -> None:
        """q(y | x) q(z | x, y)."""
        classify = ppl.module("classifier", MLP(D, (), CLASSES))
        encode = ppl.module("encoder", MLP(D + CLASSES, (), 1))
        with ppl.plate("data", x):
            if y is None:
                y = ppl.sample("y", self._classes(ppl, classify(x)))
            loc = encode(beside(ppl, x, self._bits(ppl, y)))
            ppl.sample("z", ppl.distributions.Normal(loc, 0.3).to_event(1))

    def _classes(self, ppl: Any, logits: Any) -> Any:
        kind = "OneHotCategorical" if self.hot else "Categorical"
        return getattr(ppl.distributions, kind)(logits=logits)

    def _bits(self, ppl: Any, y: Any) -> Any:
        return ppl.ops.float(y) if self.hot else ppl.ops.one_hot(y, CLASSES)


@dataclass(frozen=True)
class Chain:
    """A bit z of each row's c, and classes y of z and c; nothing is observed below a latent."""

    broadcasts = True

    def model(self, ppl: Any, c: Any, y: Any = None) -> None:
        """p(z | c) p(y | z, c)."""
        logits = ppl.param("logits", np.arange(2.0 * CLASSES).reshape(2, CLASSES) % 3)
        with ppl.plate("data", c):
            z = ppl.sample("z", ppl.distributions.Bernoulli(logits=c[:, 0]))
            on = ppl.ops.float(z)[..., None]
            classes = (1 - on) * logits[0] + on * logits[1]
            ppl.sample("y", ppl.distributions.Categorical(logits=classes), obs=y)


def fitted(declaration: Any, host: str, data: dict[str, Any], rng: np.random.Generator) -> Fit:
    """A fit with random parameters."""
    fit = as_fit(ppgm.program(declaration, host=host), data)
    return fit._replace(params={n: rng.normal(size=v.shape) for n, v in fit.params.items()})


def chances(prediction: ppgm.Prediction) -> np.ndarray:
    """The probabilities, which are there."""
    assert prediction.probabilities is not None
    return prediction.probabilities


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, D))


@pytest.mark.parametrize("hot", [False, True])
def test_classes_of_the_guide_have_their_exact_probabilities(
    host: str, hot: bool, x: np.ndarray, rng: np.random.Generator
) -> None:
    if hot and host == "numpyro":
        pytest.skip("NumPyro has no OneHotCategorical")
    fit = fitted(Classes(hot), host, {"x": x}, rng)
    got = ppgm.predict(fit, {"x": x}, draws=3)
    weight, bias = (fit.params[f"classifier.layers.0.{n}"] for n in ("weight", "bias"))
    wanted = softmax(x @ weight.T + bias)
    assert got.site == "y"
    assert got.draws is None
    np.testing.assert_allclose(chances(got), wanted, rtol=1e-12)
    np.testing.assert_array_equal(got.most_probable, wanted.argmax(-1))
    mean = wanted if hot else wanted @ np.arange(CLASSES)
    spread = wanted * (1 - wanted) if hot else wanted @ np.arange(CLASSES) ** 2 - mean**2
    np.testing.assert_allclose(got.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(got.sd, np.sqrt(spread), rtol=1e-9)


def test_labels_in_the_data_are_not_looked_at(
    host: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    fit = fitted(Classes(), host, {"x": x}, rng)
    alone = ppgm.predict(fit, {"x": x}, site="y")
    given = ppgm.predict(fit, {"x": x, "y": np.zeros(N, int)}, site="y")
    np.testing.assert_array_equal(chances(alone), chances(given))


def test_without_an_observation_below_them_draws_run_forward(
    host: str, rng: np.random.Generator
) -> None:
    """Of x given its class alone no guide is needed: E[x | y] = W one_hot(y) + b."""
    y = np.arange(CLASSES)
    fit = fitted(Classes(), host, {"x": rng.normal(size=(CLASSES, D))}, rng)
    got = ppgm.predict(fit, {"y": y}, draws=4000, keep=True)
    weight, bias = (fit.params[f"decoder.layers.0.{n}"] for n in ("weight", "bias"))
    sd = np.sqrt(weight[:, -1] ** 2 + 0.25)
    assert got.site == "x"
    assert got.draws is not None
    assert got.draws.shape == (4000, CLASSES, D)
    assert got.probabilities is None
    np.testing.assert_allclose(got.mean, weight[:, :-1].T + bias, atol=5 * sd.max() / 4000**0.5)
    np.testing.assert_allclose(got.sd, np.tile(sd, (CLASSES, 1)), rtol=0.08)
    np.testing.assert_allclose(got.mean, got.draws.mean(0), rtol=1e-12)
    np.testing.assert_allclose(got.sd, got.draws.std(0), rtol=1e-12)


def test_latents_are_drawn_by_the_guide(host: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(N, D))
    fit = as_fit(ppgm.program(FactorAnalysis(D, 2, posterior="exact"), host=host), {"x": x})
    got = ppgm.predict(fit, {"x": x}, site="z", draws=4000)
    declaration: Any = fit.program.declaration
    mean, covariance = declaration.exact_posterior(fit.params, x)
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(got.mean, mean, atol=5 * sd.max() / 4000**0.5)
    np.testing.assert_allclose(got.sd, np.tile(sd, (N, 1)), rtol=0.08)


def test_probabilities_are_averaged_over_parents(host: str, rng: np.random.Generator) -> None:
    c = np.array([[-2.0], [0.0], [3.0]])
    fit = as_fit(ppgm.program(Chain(), host=host), {"c": c})
    got = ppgm.predict(fit, {"c": c}, draws=2000, site="y")
    classes = softmax(np.arange(2.0 * CLASSES).reshape(2, CLASSES) % 3)
    on = 1 / (1 + np.exp(-c))
    np.testing.assert_allclose(chances(got).sum(-1), 1, rtol=1e-12)
    np.testing.assert_allclose(chances(got), (1 - on) * classes[0] + on * classes[1], atol=0.03)
    # the parent is the only thing that varies: every draw gives one of two exact rows
    for row in chances(ppgm.predict(fit, {"c": c}, draws=1, site="y")):
        assert np.abs(classes - row).max(-1).min() < 1e-12


@pytest.mark.parametrize(
    ("likelihood", "values"), [(models.Bernoulli(), 2), (models.Categorical(3), 3)]
)
def test_elements_of_discrete_rows_have_the_shares_of_their_draws(
    host: str, likelihood: Any, values: int, rng: np.random.Generator
) -> None:
    c = rng.normal(size=(N, 2))
    net = models.ConditionalNet(D, 2, (), likelihood)
    fit = fitted(net, host, {"c": c, "x": np.zeros((N, D))}, rng)
    got = ppgm.predict(fit, {"c": c}, draws=500, keep=True)
    assert got.draws is not None
    wanted = np.stack([(got.draws == v).mean(0) for v in range(values)], -1)
    np.testing.assert_allclose(chances(got), wanted, atol=1e-15)
    np.testing.assert_allclose(got.mean, got.draws.mean(0), atol=1e-12)
    np.testing.assert_allclose(got.sd, got.draws.std(0), atol=1e-12)
    np.testing.assert_array_equal(got.most_probable, wanted.argmax(-1))
    weight, bias = (fit.params[f"baseline.layers.0.{n}"] for n in ("weight", "bias"))
    logits = (c @ weight.T + bias).reshape(N, D, -1)
    logits = np.concatenate([0 * logits, logits], -1) if values == 2 else logits
    np.testing.assert_allclose(wanted, softmax(logits), atol=5 * 0.5 / 500**0.5)


def test_rows_without_anything_else_are_not_predicted(host: str) -> None:
    data = {"x": np.ones((2, 3))}
    source = ppgm.program(VAE(3, 2, hidden=()), host=host)
    with pytest.raises(ArgumentError, match="nothing to predict 'x' from"):
        ppgm.predict(source, data)


@pytest.mark.parametrize("rows", [7, pytest.param(8, marks=pytest.mark.slow)])
def test_chunks_of_rows_are_put_together(
    host: str, rows: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = rng.normal(size=(rows, D))
    fit = fitted(Classes(), host, {"x": x}, rng)
    whole = ppgm.predict(fit, {"x": x})
    monkeypatch.setattr(predicting, "PAIRS", 400)
    parts = ppgm.predict(fit, {"x": x}, keep=True)
    np.testing.assert_allclose(chances(parts), chances(whole), rtol=1e-12)
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-12)
    assert parts.draws is not None
    assert parts.draws.shape == (100, rows)
    assert np.abs(parts.draws.mean(0) - whole.mean).max() < 0.6


def test_chunks_of_rows_draw_apart(
    host: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rows alike, in chunks of one row, have draws of their own."""
    y = np.zeros(2, int)
    fit = fitted(Classes(), host, {"x": rng.normal(size=(2, D))}, rng)
    monkeypatch.setattr(predicting, "PAIRS", 3)
    draws = ppgm.predict(fit, {"y": y}, draws=3, keep=True).draws
    assert draws is not None
    assert not np.isclose(draws[:, 0], draws[:, 1]).any()


def test_a_program_is_taken_at_its_initial_parameters(host: str, x: np.ndarray) -> None:
    source = ppgm.program(Classes(), host=host, seed=3)
    one = ppgm.predict(source, {"x": x}, seed=1)
    two = ppgm.predict(as_fit(source, {"x": x}), {"x": x}, seed=2)
    np.testing.assert_allclose(chances(one), chances(two), rtol=1e-12)


@dataclass(frozen=True)
class Regression:
    """A slope that all rows share, and a latent e of each; the guide has learnt the slope."""

    broadcasts = True

    def model(self, ppl: Any, c: Any, y: Any = None) -> None:
        """p(slope) p(e) p(y | c, slope, e)."""
        slope = ppl.sample("slope", ppl.distributions.Normal(ppl.np.zeros(()), 1.0))
        with ppl.plate("data", c):
            e = ppl.sample("e", ppl.distributions.Normal(ppl.np.zeros(()), 0.5))
            ppl.sample("y", ppl.distributions.Normal(slope * c + e, 0.1), obs=y)

    def guide(self, ppl: Any, c: Any, y: Any = None) -> None:
        """q(slope) q(e): far from the prior on purpose."""
        loc = ppl.param("loc", np.array(3.0))
        ppl.sample("slope", ppl.distributions.Normal(loc, 0.2))
        with ppl.plate("data", c):
            ppl.sample("e", ppl.distributions.Normal(ppl.np.zeros(()) + 9.0, 0.1))


@pytest.mark.parametrize("plain", [False, True])
def test_what_rows_share_comes_from_the_guide(host: str, plain: bool) -> None:
    """New rows: the slope is the fit's, what belongs to a row is the prior's."""
    source = ppgm.program(Regression(), host=host)
    if plain:  # anyone's callables
        source = ppgm.Program(source.model, source.guide, host)
    c = np.array([-1.0, 0.0, 2.0])
    got = ppgm.predict(source, {"c": c}, draws=2000)
    sd = np.sqrt((0.2 * c) ** 2 + 0.5**2 + 0.1**2)
    assert got.site == "y"
    assert np.abs((got.mean - 3 * c) / sd).max() < 5 / 2000**0.5
    np.testing.assert_allclose(got.sd, sd, rtol=0.1)
    rows = ppgm.predict(source, {"c": c, "y": c}, site="e", draws=2000)
    np.testing.assert_allclose(rows.mean, 9, atol=0.02)
    slope = ppgm.predict(source, {"c": c}, site="slope", draws=2000)
    assert slope.mean == pytest.approx(3.0, abs=0.03)
    assert slope.sd == pytest.approx(0.2, rel=0.1)


def test_without_a_guide_shared_latents_are_refused(host: str) -> None:
    source = ppgm.program(Regression(), host=host)
    alone = ppgm.Program(source.model, None, host)
    with pytest.raises(ModelError, match=r"'slope'.* no guide"):
        ppgm.predict(alone, {"c": np.ones(2)})


def test_both_hosts_say_the_same(x: np.ndarray, rng: np.random.Generator) -> None:
    pytest.importorskip("pyro")
    pytest.importorskip("numpyro")
    fit = fitted(Classes(), "pyro", {"x": x}, rng)
    one, two = (ppgm.predict(f, {"x": x}) for f in (fit, fit.to("numpyro")))
    np.testing.assert_allclose(chances(one), chances(two), rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"site": "w"}, ArgumentError, "not 'w'"),
        ({"draws": 0}, ArgumentError, "draws must be an integer"),
        ({"draws": 2.5}, ArgumentError, "draws must be an integer"),
        ({"data": {"x": np.full((N, D), np.nan)}}, DataError, "NaN"),
        (
            {"data": {"x": np.zeros((N, D)), "y": np.zeros(N, int)}},
            ArgumentError,
            "site is needed",
        ),
        ({"params": {"prior": np.zeros(9)}}, StorageError, "shape"),
    ],
)
def test_what_cannot_be_predicted_is_refused(
    host: str,
    change: dict[str, Any],
    error: Any,
    words: str,
    x: np.ndarray,
    rng: np.random.Generator,
) -> None:
    change = dict(change)
    fit = fitted(Classes(), host, {"x": x}, rng)
    fit = fit._replace(params=fit.params | change.pop("params", {}))
    data = change.pop("data", {"x": x})
    with pytest.raises(error, match=words):
        ppgm.predict(fit, data, **change)


def test_a_guide_that_needs_the_site_is_named(host: str, rng: np.random.Generator) -> None:
    @dataclass(frozen=True)
    class Needs(Classes):
        def guide(self, ppl: Any, x: Any, y: Any) -> None:
            super().guide(ppl, x, y)

    x = rng.normal(size=(N, D))
    source = ppgm.program(Needs(), host=host)
    with pytest.raises(ModelError, match="guide does not run"):
        ppgm.predict(source, {"x": x}, site="y")
