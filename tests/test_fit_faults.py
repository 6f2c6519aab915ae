"""Faults of data and of training: refused before the first step, or stopped at the right one."""

from dataclasses import dataclass

import numpy as np
import pytest

import ppgm
from ppgm.errors import DataError, NonFiniteError
from ppgm.inference import ELBO, GAN, ContrastiveDivergence
from ppgm.models import (
    RBM,
    SBN,
    VAE,
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    FactorAnalysis,
    Generator,
)
from ppgm.optimisers import SGD, Adam

X = np.random.default_rng(4).normal(size=(12, 3))
ONES = {"x": np.ones(16)}  # a power of two: its mean is exact in single precision


def trained(host, declaration, data, objective=None, **options):
    return ppgm.fit(ppgm.program(declaration, host=host), data, objective or ELBO(), **options)


@dataclass(frozen=True)
class Cliff:
    """A parameter that SGD with rate 1 moves by 1 a step, and what goes wrong at `at`.

    Args:
        at: Value of the parameter.
        loss: Whether the loss goes wrong there, or the gradient alone.
    """

    at: float
    loss: bool = True

    def model(self, ppl, x):
        w = ppl.param("w", np.zeros(()))
        with ppl.plate("data", x):
            ppl.factor("slope", w + 0.0 * x)
            gap = self.at - w
            bad = ppl.np.log(gap + 0.5) if self.loss else ppl.np.sqrt(ppl.np.abs(gap))
            ppl.factor("cliff", 0.0 * bad + 0.0 * x)

    def guide(self, ppl, x):
        pass


@dataclass(frozen=True)
class Poison:
    """One value of the data makes the factor NaN."""

    def model(self, ppl, x):
        w = ppl.param("w", np.zeros(()))
        with ppl.plate("data", x):
            ppl.factor("poison", w + 0.0 * ppl.np.log(50.0 - x))

    def guide(self, ppl, x):
        pass


def finite(fit):
    return all(np.isfinite(v).all() for v in fit.params.values())


@pytest.mark.parametrize("at", [0, 4, 48, 49, 50, 120])
def test_a_bad_loss_stops_at_its_step_and_names_the_site(host, at):
    """The loss is NaN once w is past `at`; steps 50 and 51 are the ends of a chunk."""
    with pytest.raises(NonFiniteError, match="'cliff' of the model") as caught:
        trained(host, Cliff(at), ONES, steps=200, optimiser=SGD(rate=1.0))
    assert f"in step {at + 2} " in str(caught.value)
    fit = caught.value.fit
    assert fit.params["w"] == at + 1
    assert fit.config["steps"] == at + 1
    assert len(fit.history["epoch"]) == at + 1
    assert all(np.isfinite(v).all() for v in fit.history.values())


@pytest.mark.parametrize("at", [0, 4, 49, 50, 120])
def test_a_step_that_would_spoil_the_parameters_is_undone(host, at):
    """The loss is finite at w = `at`, its gradient is not."""
    with pytest.raises(NonFiniteError, match=f"step {at + 1} would make parameters NaN") as caught:
        trained(host, Cliff(at, loss=False), ONES, steps=200, optimiser=SGD(rate=1.0))
    assert caught.value.fit.params["w"] == at
    assert caught.value.fit.config["steps"] == at


def test_in_minibatches_and_streams_the_batch_is_looked_at(host):
    data = {"x": np.where(np.arange(12) == 7, 99.0, 1.0)}
    order = np.random.Generator(np.random.Philox(key=[0, 0])).permutation(12)
    step = int(np.argmax(order == 7)) // 4 + 1
    with pytest.raises(NonFiniteError, match=rf"in step {step} .*'poison' of the model"):
        trained(host, Poison(), data, steps=9, batch_size=4)
    stream = [{"x": data["x"][i : i + 4]} for i in (0, 4, 8)]
    with pytest.raises(NonFiniteError, match=r"in step 2 .*'poison' of the model") as caught:
        trained(host, Poison(), stream, epochs=3, optimiser=SGD(rate=1.0))
    assert caught.value.fit.params["w"] == pytest.approx(1.0)


@pytest.mark.parametrize("optimiser", [SGD(rate=1e20), Adam(rate=1e20)], ids=["sgd", "adam"])
@pytest.mark.parametrize("size", [None, pytest.param(5, marks=pytest.mark.slow)])
def test_an_absurd_learning_rate(host, optimiser, size):
    with pytest.raises(NonFiniteError) as caught:
        trained(
            host, FactorAnalysis(3, 2), {"x": X}, steps=200, optimiser=optimiser, batch_size=size
        )
    assert "smaller learning rate" in str(caught.value)
    assert finite(caught.value.fit)
    assert caught.value.fit.config["steps"] < 50


@pytest.mark.parametrize(
    ("declaration", "objective", "site"),
    [(Generator(3, hidden=(4,)), GAN(), "x"), (RBM(3, 2), ContrastiveDivergence(), "v")],
    ids=["gan", "pcd"],
)
def test_games_and_energies_keep_finite_parameters_too(host, declaration, objective, site):
    data = {site: (X > 0).astype(float)}
    rate = SGD(rate=1e38)
    with pytest.raises(NonFiniteError) as caught:
        trained(host, declaration, data, objective, steps=50, optimiser=rate)
    assert finite(caught.value.fit)


def test_what_is_kept_can_go_on(host):
    with pytest.raises(NonFiniteError) as caught:
        trained(host, Cliff(70), ONES, steps=200, optimiser=SGD(rate=1.0))
    kept = caught.value.fit
    on = ppgm.fit(kept._replace(program=ppgm.program(Cliff(99), host=host)), ONES, steps=5)
    assert on.params["w"] == 76
    assert on.history["epoch"].tolist() == list(range(1, 77))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("form", ["arrays", "stream", "validation"])
def test_bad_values_are_refused_before_the_first_step(host, bad, form):
    data = X.copy()
    data[7, 2] = bad
    steps = []
    options = {"epochs": 2, "callbacks": [steps.append]}
    if form == "validation":
        options["validation"] = {"x": data}
    stream = [{"x": data[:6]}, {"x": data[6:]}]
    given = {"arrays": {"x": data}, "stream": stream, "validation": {"x": X}}[form]
    with pytest.raises(DataError, match=r"row \d column 2"):
        trained(host, FactorAnalysis(3), given, **options)
    assert not steps


@pytest.mark.parametrize(
    ("likelihood", "bad", "words"),
    [
        (Bernoulli(), 0.3, "0 or 1"),
        (Bernoulli(), 255, "0 or 1"),
        (ContinuousBernoulli(), 1.5, r"in \[0, 1\]"),
        (ContinuousBernoulli(), -0.1, r"in \[0, 1\]"),
        (Categorical(3), 3, "0, 1, ..., 2"),
        (Categorical(3), -1, "0, 1, ..., 2"),
    ],
)
@pytest.mark.parametrize("form", ["arrays", "stream", "validation"])
def test_values_outside_the_support_are_refused(host, likelihood, bad, words, form):
    good = np.ones((12, 3), np.float32 if isinstance(bad, float) else int)
    data = good.copy()
    data[9, 1] = bad
    vae = VAE(3, 1, hidden=(), likelihood=likelihood)
    options = {"validation": {"x": data}} if form == "validation" else {}
    whole = {"arrays": {"x": data}, "stream": [{"x": data[:6]}, {"x": data[6:]}]}
    with pytest.raises(DataError, match=f"site 'x'.*{words}"):
        trained(host, vae, whole.get(form, {"x": good}), epochs=1, **options)


def test_a_bad_row_beyond_the_first_batch_is_refused(host):
    data = np.zeros((12, 3))
    data[11, 0] = 0.3
    with pytest.raises(DataError, match=r"0.3 at \(11, 0\)"):
        trained(host, SBN(3, (2,)), {"x": data}, steps=1, batch_size=4)
