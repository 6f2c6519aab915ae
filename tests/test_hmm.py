"""Hidden Markov models against the enumeration of all paths."""

from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError, DataError
from ppgm.inference import ELBO
from ppgm.models import HMM, Bernoulli, Categorical, ContinuousBernoulli, Gaussian, Poisson
from ppgm.ops import NUMPY
from ppgm.probes import probe
from ppgm.testing import differences, hidden_markov, kalman
from ppgm.testing.contract import Check, parametrize_with_checks
from ppgm.testing.hidden_markov import Model

N, T, K, D = 4, 5, 3, 2
TIGHT = 1e-12
LENGTHS = np.array([5, 1, 3, 4])
TOLERANCE = 1e-9

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")


@pytest.fixture
def model(rng: np.random.Generator) -> Model:
    transition = rng.dirichlet(np.ones(K), size=K)
    transition[0, 2] = 0.0
    transition /= transition.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        log_transition = np.log(transition)
    evidence = rng.normal(size=(N, T, K)) * 3
    evidence[2, 1] = 0  # a missing step
    return Model(np.log(rng.dirichlet(np.ones(K))), log_transition, evidence, LENGTHS)


def weights(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """All paths, and their joint log probability with the data, ``(N, paths)``.

    A path of a shorter sequence stands for all its continuations, whose probabilities sum to
    one: with the steps after the end as missing ones, the total is the same.
    """
    every = hidden_markov.paths(K, T)
    whole = model._replace(log_emission=model.evidence, lengths=None)
    return every, hidden_markov.log_joint(whole, every)


def test_the_paths_are_all_there() -> None:
    every = hidden_markov.paths(K, T)
    assert every.shape == (K**T, T)
    assert len(np.unique(every, axis=0)) == K**T


def test_likelihood_and_posterior_are_sums_over_all_paths(model: Model) -> None:
    every, log_w = weights(model)
    total = NUMPY.logsumexp(log_w, -1)
    np.testing.assert_allclose(hidden_markov.log_likelihood(model), total, atol=TIGHT)
    shares = np.exp(log_w - total[:, None])
    found = hidden_markov.posterior(model)
    indicator = np.eye(K)[every]
    states = np.einsum("np,ptk->ntk", shares, indicator)
    pairs = np.einsum("np,pti,ptj->ntij", shares, indicator[:, :-1], indicator[:, 1:])
    np.testing.assert_allclose(found.states, states, atol=TIGHT)
    np.testing.assert_allclose(found.pairs, pairs, atol=TIGHT)


def test_the_forward_pass_is_a_sum_over_paths_up_to_each_step(model: Model) -> None:
    found = hidden_markov.forward(model)
    for t in range(T):
        short = model._replace(log_emission=model.evidence[:, : t + 1], lengths=None)
        every = hidden_markov.paths(K, t + 1)
        log_w = hidden_markov.log_joint(short, every)
        for k in range(K):
            wanted = NUMPY.logsumexp(log_w[:, every[:, -1] == k], -1)
            np.testing.assert_allclose(found[:, t, k], wanted, atol=TIGHT)


def test_the_best_path_is_the_best_of_all(model: Model) -> None:
    found, log_p = hidden_markov.most_probable_path(model)
    for row, end in enumerate(LENGTHS):
        own = Model(*model[:2], model.log_emission[[row], :end])
        every = hidden_markov.paths(K, int(end))
        log_w = hidden_markov.log_joint(own, every)[0]
        np.testing.assert_array_equal(found[row, :end], every[log_w.argmax()])
        assert log_p[row] == pytest.approx(log_w.max(), abs=TIGHT)
        assert (found[row, end:] == -1).all()


def test_states_after_the_end_do_not_count_in_a_path(model: Model) -> None:
    every = hidden_markov.paths(K, T)
    found = hidden_markov.log_joint(model, every)
    for row, end in enumerate(LENGTHS):
        own = Model(*model[:2], model.log_emission[[row], :end])
        wanted = hidden_markov.log_joint(own, every[:, :end])[0]
        np.testing.assert_allclose(found[row], wanted, atol=TIGHT)


# The declaration: every likelihood, with entries missing and sequences of unequal length.

ALL: dict[str, Any] = {
    "bernoulli": Bernoulli(),
    "gaussian": Gaussian(),
    "gaussian of fixed scale": Gaussian(0.8),
    "categorical": Categorical(3),
    "poisson": Poisson(),
}
# NumPyro compiles each anew, and they differ by the host's own density alone.
every_likelihood = pytest.mark.parametrize(
    ("host", "name"),
    [
        *(("pyro", name) for name in ALL),
        ("numpyro", "gaussian"),
        pytest.param("numpyro", "categorical", marks=pytest.mark.slow),
        pytest.param("numpyro", "poisson", marks=pytest.mark.slow),
    ],
)


def sequences(name: str, rng: np.random.Generator, rows: int = N) -> dict[str, np.ndarray]:
    kinds = {"bernoulli": 2, "categorical": 3, "poisson": 5}
    x = rng.normal(size=(rows, T, D)) if name not in kinds else rng.integers(
        kinds[name], size=(rows, T, D)
    )  # fmt: skip
    data = {"x": x if name == "categorical" else x.astype(float)}
    data["mask"] = rng.random((rows, T, D)) < 0.7
    data["lengths"] = LENGTHS[np.arange(rows) % N]
    return data


def parameters(name: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    shapes = {"initial": (K,), "transition": (K, K), "emission": (K, ALL[name].size(D))}
    return {n: rng.normal(size=shape) for n, shape in shapes.items()}


def enumerated(name: str, params: dict[str, np.ndarray], data: dict[str, np.ndarray]) -> Any:
    """log p(x) of each row over all paths, the density of each entry taken by itself."""
    initial, transition = (NUMPY.log_softmax(params[n], -1) for n in ("initial", "transition"))
    every, seen = hidden_markov.paths(K, T), kalman.observed(kalman.Series(**data))
    log_w = initial[every[:, 0]] + transition[every[:, :-1], every[:, 1:]].sum(-1)
    total = np.tile(log_w, (len(data["x"]), 1))
    for row, step, column in np.argwhere(seen):
        value = data["x"][row, step, column]
        entry = [log_entry(name, o, column, value) for o in params["emission"]]
        total[row] += np.array(entry)[every[:, step]]
    return NUMPY.logsumexp(total, -1)


def log_entry(name: str, outputs: np.ndarray, column: int, x: Any) -> float:
    """Log density of one entry, written out."""
    if name == "bernoulli":
        return float(-np.log1p(np.exp(-outputs[column] if x else outputs[column])))
    if name == "categorical":
        logits = outputs[3 * column : 3 * column + 3]
        return float(logits[int(x)] - np.log(np.exp(logits).sum()))
    if name == "poisson":
        counts = np.log(np.arange(1, int(x) + 1)).sum()
        return float(x * outputs[column] - np.exp(outputs[column]) - counts)
    scale = np.exp(outputs[D + column]) if name == "gaussian" else 0.8
    return float(-0.5 * ((x - outputs[column]) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi)))


@every_likelihood
def test_the_bound_is_the_sum_over_all_paths_and_its_gradient(
    host: str, name: str, rng: np.random.Generator
) -> None:
    data, params = sequences(name, rng), parameters(name, rng)
    model = HMM(D, K, ALL[name])
    wanted = enumerated(name, params, data)
    np.testing.assert_allclose(model.log_likelihood(params, **data), wanted, atol=TOLERANCE)
    got = probe(ppgm.program(model, host=host), params, data, ELBO())
    assert got.metrics["bound"] == pytest.approx(wanted.mean(), abs=TOLERANCE)
    assert got.grads.keys() == params.keys()
    for key, value in params.items():

        def mean(v: np.ndarray, key: str = key) -> float:
            return float(model.log_likelihood(params | {key: v}, **data).mean())

        np.testing.assert_allclose(got.grads[key], -differences.gradient(mean, value), atol=1e-8)


def test_every_row_has_its_own_weight(host: str, rng: np.random.Generator) -> None:
    data, params = sequences("bernoulli", rng), parameters("bernoulli", rng)
    program = ppgm.program(HMM(D, K), host=host)
    log_w = hosts.load(host).log_weights(program, params, data, 1, 0)
    np.testing.assert_allclose(log_w[0], enumerated("bernoulli", params, data), atol=TOLERANCE)


def test_a_single_state_is_independent_steps(host: str, rng: np.random.Generator) -> None:
    x, params = rng.normal(size=(N, 1, D)), parameters("gaussian", rng)
    params = {"initial": np.zeros(1), "transition": np.zeros((1, 1))} | {
        "emission": params["emission"][:1]
    }
    program = ppgm.program(HMM(D, 1, Gaussian()), host=host)
    log_w = hosts.load(host).log_weights(program, params, {"x": x}, 1, 0)
    loc, scale = params["emission"][0, :D], np.exp(params["emission"][0, D:])
    wanted = -0.5 * ((x[:, 0] - loc) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(log_w[0], wanted.sum(-1), atol=TOLERANCE)


def test_draws_have_the_probabilities_of_paths(host: str, rng: np.random.Generator) -> None:
    """Bits that show the state: all 2^3 sequences, each within 4.89 standard errors.

    False alarms: 8 frequencies at 1e-6 each.
    """
    rows, states, steps = 20_000, 2, 3
    params = {
        "initial": rng.normal(size=states),
        "transition": rng.normal(size=(states, states)),
        "emission": np.array([[-60.0], [60.0]]),
    }
    program = ppgm.program(HMM(1, states, steps=steps), host=host)
    data = {"x": np.zeros((rows, steps, 1))}
    x = hosts.load(host).sample(program, "model", params, data, 1, 0)["x"][0, ..., 0]
    every = hidden_markov.paths(states, steps)
    found = (x[:, None] == every).all(-1).mean(0)
    initial, transition = (NUMPY.softmax(params[n], -1) for n in ("initial", "transition"))
    wanted = initial[every[:, 0]] * transition[every[:, :-1], every[:, 1:]].prod(-1)
    error = np.sqrt(wanted * (1 - wanted) / rows)
    assert (np.abs(found - wanted) < 4.89 * error).all()
    assert error.max() < 0.004  # so that a wrong entry of the transition would be seen


def test_answers_come_from_the_sum_over_paths(rng: np.random.Generator) -> None:
    data, params = sequences("gaussian", rng), parameters("gaussian", rng)
    model = HMM(D, K, Gaussian())
    exact = model.exact_model(params, **data)
    np.testing.assert_array_equal(
        model.smooth(params, **data).states, hidden_markov.posterior(exact).states
    )
    best = model.most_probable_path(params, **data)
    for one, two in zip(best, hidden_markov.most_probable_path(exact), strict=True):
        np.testing.assert_array_equal(one, two)
    past = model.filter(params, **data)
    np.testing.assert_allclose(past.sum(-1), 1, atol=TIGHT)
    last = model.smooth(params, **data).states[np.arange(N), LENGTHS - 1]
    np.testing.assert_allclose(past[np.arange(N), LENGTHS - 1], last, atol=TIGHT)


@pytest.mark.parametrize("name", ALL)
def test_forecasts_are_moments_over_the_states_of_missing_steps(
    name: str, rng: np.random.Generator
) -> None:
    data, params = sequences(name, rng), parameters(name, rng)
    model = HMM(D, K, ALL[name])
    found = model.forecast(params, data["x"], 2, data["lengths"], data["mask"])
    longer = {n: np.concatenate([v, v[:, :2]], 1) for n, v in data.items() if v.ndim > 1}
    states = model.smooth(params, **longer, lengths=LENGTHS).states
    for row, end in enumerate(LENGTHS):
        np.testing.assert_allclose(found.states[row], states[row, end : end + 2], atol=TIGHT)
    # moments of a value from its probabilities, or by quadrature
    values = np.linspace(-40, 40, 40_001) if name.startswith("gaussian") else np.arange(60.0)
    weight = values[1] - values[0]
    top = {"bernoulli": 2, "categorical": 3}.get(name, len(values))
    for column in range(D):
        chance = np.exp(
            [[log_entry(name, o, column, v) for v in values[:top]] for o in params["emission"]]
        )
        mixed = found.states @ chance * weight
        if name == "categorical":
            np.testing.assert_allclose(found.mean[..., column, :], mixed, atol=TOLERANCE)
            continue
        mean = mixed @ values[:top]
        np.testing.assert_allclose(found.mean[..., column], mean, atol=1e-7)
        sd = np.sqrt(mixed @ values[:top] ** 2 - mean**2)
        np.testing.assert_allclose(found.sd[..., column], sd, atol=1e-7)


def test_it_trains_and_is_evaluated_exactly(host: str, rng: np.random.Generator) -> None:
    data = sequences("bernoulli", rng, rows=8)
    program = ppgm.program(HMM(D, K), host=host)
    fit = ppgm.fit(program, data, ELBO(), steps=3, batch_size=4, progress=False)
    found = ppgm.evaluate(fit, data)
    wanted = enumerated("bernoulli", {n: v.astype(float) for n, v in fit.params.items()}, data)
    np.testing.assert_allclose(found.log_likelihood, wanted, atol=TOLERANCE)
    assert ppgm.sample(fit, 3)["x"].shape == (3, 25, D)


@pytest.mark.slow
@parametrize_with_checks(
    [(HMM(D, K, ALL[n]), sequences(n, np.random.default_rng(0))) for n in ("gaussian", "poisson")]
)
def test_other_likelihoods_keep_the_contract(check: Check) -> None:
    check.run()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"states": 0}, "states must be an integer"),
        ({"features": 1.5}, "features must be an integer"),
        ({"likelihood": Bernoulli}, "likelihood must be Bernoulli"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    options = {"features": D} | options
    with pytest.raises(ArgumentError, match=words):
        HMM(**options)


def test_what_it_has_no_answers_for_is_refused() -> None:
    x = np.full((N, T, D), 0.5)
    with pytest.raises(DataError, match="no 'u'"):
        HMM(D).check_data({"x": x, "u": np.zeros((N, T, 1))})
    with pytest.raises(ArgumentError, match="not for ContinuousBernoulli"):
        HMM(D, 2, ContinuousBernoulli()).smooth(
            {"emission": np.zeros((2, D)), "initial": np.zeros(2), "transition": np.eye(2)}, x
        )
