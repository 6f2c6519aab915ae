"""Deep Kalman filters: exact where all is linear, by their equations and alike everywhere."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.chains import MarkovChain
from ppgm.errors import ArgumentError, DataError, ModelError
from ppgm.guides import IAF
from ppgm.guides.linear_chain import LinearChain
from ppgm.guides.smoothers import SMOOTHERS
from ppgm.inference import ELBO, IWAE, STL, Anneal
from ppgm.models import (
    DKF,
    HMM,
    Bernoulli,
    ContinuousBernoulli,
    DiscretisedLogistic,
    Gaussian,
    Poisson,
)
from ppgm.probes import probe
from ppgm.series import Series
from ppgm.testing import cubature, deep_kalman, differences, kalman

N, T, D, L, U = 3, 8, 3, 2, 2
SIGMA = 0.7
LENGTHS = np.array([8, 5, 2])
ALIVE = np.arange(T) < LENGTHS[:, None]
TOLERANCE = 1e-9
GUIDES, TRANSITIONS = tuple(SMOOTHERS), ("gated", "mlp", "linear")

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")
every_guide = pytest.mark.parametrize(
    ("host", "guide"), [*(("pyro", guide) for guide in GUIDES), ("numpyro", "ST-LR")]
)
"""On NumPyro one guide will do: `test_hosts_agree` compares all of them."""


def series(rng: np.random.Generator, *, entries: bool = False, u: bool = True) -> dict[str, Any]:
    """Real sequences of unequal lengths, with missing steps or entries."""
    shape = (N, T, D) if entries else (N, T)
    mask = (rng.random(shape) < 0.7).astype(float)
    mask[0, 3], mask[1, 0] = 0, 0
    found = {"x": rng.normal(size=(N, T, D)), "lengths": LENGTHS, "mask": mask}
    return found | ({"u": rng.normal(size=(N, T, U))} if u else {})


def linear(guide: Any = "exact", inputs: int = 0) -> DKF:
    return DKF(D, L, "linear", (), (), "relu", Gaussian(SIGMA), guide, rnn=3, inputs=inputs)


def deep(guide: Any = "ST-R", transition: Any = "gated", **options: Any) -> DKF:
    given = {"hidden": (4,), "emitter": (5,), "likelihood": Gaussian(), "rnn": 3, "inputs": U}
    return DKF(D, L, transition, guide=guide, **{**given, **options})


def parameters(
    declaration: DKF, host: str, data: Any, rng: np.random.Generator
) -> tuple[ppgm.Program, dict[str, np.ndarray]]:
    """Random parameters; positive ones positive."""
    program = ppgm.program(declaration, host=host)
    params = hosts.load(host).initial(program, data, 0)
    params = {n: rng.normal(size=v.shape) * 0.6 for n, v in params.items()}
    return program, params | {n: np.exp(v) for n, v in params.items() if n.endswith("scale")}


def parts(data: Any) -> deep_kalman.Sequences:
    """The data as the reference takes them."""
    mask = np.asarray(data.get("mask", np.ones((N, T))))
    seen = (mask[..., None] if mask.ndim == 2 else mask) != 0
    seen = np.broadcast_to(seen & ALIVE[..., None], (N, T, D))
    return deep_kalman.Sequences(data["x"], data.get("lengths"), seen, data.get("u"))


# Exact answers where states and data are jointly Gaussian.


@pytest.mark.parametrize(("inputs", "entries"), [(0, False), (U, True)])
def test_every_weight_is_log_p_at_the_exact_posterior(
    host: str, inputs: int, entries: bool, rng: np.random.Generator
) -> None:  # fmt: skip
    declaration = linear(inputs=inputs)
    data = series(rng, entries=entries, u=bool(inputs))
    program, params = parameters(declaration, host, data, rng)
    wanted = declaration.log_likelihood(params, **data)
    noise = {"z": rng.normal(size=(3, N, T, L)) * 2}
    got = probe(program, params, data, IWAE(3), noise=noise)
    assert got.metrics["bound"] == pytest.approx(wanted.mean(), abs=TOLERANCE)
    log_w = hosts.load(host).log_weights(program, params, data, 4, 0)
    np.testing.assert_allclose(log_w, np.tile(wanted, (4, 1)), atol=TOLERANCE)


def test_the_exact_likelihood_is_that_of_the_joint(rng: np.random.Generator) -> None:
    """log p(x) by the filter, and by one Gaussian over all data of a row."""
    declaration, data = linear(inputs=U), series(rng, entries=True)
    params = {
        "transition.layers.0.weight": rng.normal(size=(L, L + U)),
        "transition.layers.0.bias": rng.normal(size=L),
        "transition_scale": np.exp(rng.normal(size=L)),
        "z0": rng.normal(size=L),
        "decoder.layers.0.weight": rng.normal(size=(D, L)),
        "decoder.layers.0.bias": rng.normal(size=D),
    }
    found = declaration.log_likelihood(params, **data)
    weight, scale = params["transition.layers.0.weight"], params["transition_scale"]
    for n in range(N):
        mean, factor, rows = params["z0"], np.zeros((L, T * L)), []
        for t in range(LENGTHS[n]):
            mean = weight @ np.concatenate([mean, data["u"][n, t]])
            mean, factor = mean + params["transition.layers.0.bias"], weight[:, :L] @ factor
            factor[:, t * L : (t + 1) * L] = np.diag(scale)
            emission = params["decoder.layers.0.weight"]
            located = emission @ mean + params["decoder.layers.0.bias"]
            rows.append((data["x"][n, t] - located, emission @ factor.copy()))
        own = parts(data).seen[n, : LENGTHS[n]].reshape(-1)
        deviation = np.concatenate([r[0] for r in rows])[own]
        root = np.concatenate([r[1] for r in rows])[own]
        covariance = root @ root.T + SIGMA**2 * np.eye(own.sum())
        square = deviation @ np.linalg.solve(covariance, deviation)
        wanted = -0.5 * (square + np.linalg.slogdet(2 * np.pi * covariance)[1])
        assert found[n] == pytest.approx(wanted, abs=TOLERANCE)


def test_the_bound_at_the_exact_posterior_has_the_gradient_of_log_p(
    host: str, rng: np.random.Generator
) -> None:
    declaration, data = linear(inputs=U), series(rng)
    program, params = parameters(declaration, host, data, rng)
    noise = {"z": rng.normal(size=(2, N, T, L))}
    got = probe(program, params, data, IWAE(2), noise=noise)

    def mean(name: str, v: np.ndarray) -> float:
        v = np.exp(v) if name.endswith("scale") else v
        return float(declaration.log_likelihood(params | {name: v}, **data).mean())

    assert got.grads.keys() == params.keys()
    for name, value in params.items():
        point = np.log(value) if name.endswith("scale") else value
        wanted = -differences.gradient(lambda v, name=name: mean(name, v), point)
        np.testing.assert_allclose(got.grads[name], wanted, atol=1e-8, err_msg=name)


# Cubature: the exact ELBO of a linear chain that is not the posterior, and its gradient.


@dataclass(frozen=True)
class Tilted(DKF):
    """A linear-Gaussian model whose guide is another linear chain, with its own parameters."""

    def posterior(self, series: Series) -> MarkovChain:
        ppl, size = series.ppl, self.latent
        drift = series.x @ ppl.param("pull", np.ones((size, self.features))).T
        chain = LinearChain(
            ppl.param("start", np.ones(size)) + drift[..., 0, :],
            ppl.param("start_scale", np.ones(size), constraint="positive"),
            ppl.param("turn", np.eye(size)), drift,
            ppl.param("turn_scale", np.ones(size), constraint="positive"),
        )  # fmt: skip
        return chain.paths(series.alive)


def exact_elbo(declaration: DKF, params: dict[str, np.ndarray], data: Any) -> float:
    """E_q[log p(x, z)] + H(q) by row and by one Gaussian over the path, averaged over rows."""
    model = dkf_model(params)
    total = 0.0
    for n, length in enumerate(LENGTHS):
        x = data["x"][[n], :length]
        row = kalman.Series(x, data["mask"][[n], :length])
        pull = x[0] @ params["pull"].T
        mean, factor, means, factors = params["start"], np.zeros((L, length * L)), [], []
        scales = [params["start_scale"]] + [params["turn_scale"]] * (length - 1)
        for t in range(length):
            if t:
                mean, factor = params["turn"] @ mean, params["turn"] @ factor
            mean = mean + pull[t]
            factor[:, t * L : (t + 1) * L] += np.diag(scales[t])
            means, factors = [*means, mean], [*factors, factor.copy()]
        centre, root = np.concatenate(means), np.concatenate(factors)

        def at(path: np.ndarray, row: kalman.Series = row) -> float:
            return kalman.log_joint(row, path.reshape(1, -1, L), model)[0]

        # of a quadratic, the second difference is exact
        middle = at(centre)
        spread = sum(at(centre + c) + at(centre - c) - 2 * middle for c in root.T)
        entropy = 0.5 * len(centre) * (1 + np.log(2 * np.pi)) + np.log(scales).sum()
        total += middle + spread / 2 + entropy
    return total / N


def dkf_model(params: dict[str, np.ndarray]) -> kalman.Model:
    square, drift = params["transition.layers.0.weight"], params["transition.layers.0.bias"]
    noise = np.diag(params["transition_scale"] ** 2)
    emission, offset = params["decoder.layers.0.weight"], params["decoder.layers.0.bias"]
    first = square @ params["z0"] + drift
    error = SIGMA**2 * np.eye(D)
    return kalman.Model(first, noise, square, drift, noise, emission, offset, error)


def test_cubature_gives_the_elbo_and_its_gradient(host: str, rng: np.random.Generator) -> None:
    fields = linear()
    declaration = Tilted(D, L, "linear", (), (), "relu", fields.likelihood)
    data = series(rng, u=False)
    program, params = parameters(declaration, host, data, rng)
    points = cubature.points(T * L).reshape(-1, 1, T, L)
    noise = {"z": np.broadcast_to(points, (len(points), N, T, L))}
    got = probe(program, params, data, ELBO(particles=len(points)), noise=noise)
    assert got.loss == pytest.approx(-exact_elbo(declaration, params, data), abs=TOLERANCE)
    for name, value in params.items():

        def mean(v: np.ndarray, name: str = name) -> float:
            v = np.exp(v) if name.endswith("scale") else v
            return exact_elbo(declaration, params | {name: v}, data)

        point = np.log(value) if name.endswith("scale") else value
        wanted = -differences.gradient(mean, point)
        np.testing.assert_allclose(got.grads[name], wanted, atol=1e-7, err_msg=name)


# Every transition, guide and cell by its equations.


def gaussian(outputs: np.ndarray, x: np.ndarray) -> np.ndarray:
    loc, log_scale = np.split(outputs, 2)
    return -0.5 * ((x - loc) / np.exp(log_scale)) ** 2 - log_scale - 0.5 * np.log(2 * np.pi)


def bernoulli(outputs: np.ndarray, x: np.ndarray) -> np.ndarray:
    return x * outputs - np.log1p(np.exp(outputs))


def poisson(outputs: np.ndarray, x: np.ndarray) -> np.ndarray:
    log_factorials = np.array([np.log(np.arange(1, n + 1)).sum() for n in x])
    return x * outputs - np.exp(outputs) - log_factorials


CASES = {
    "gated, ST-R": (deep(), "gru", gaussian),
    "mlp, ST-L, lstm": (deep("ST-L", "mlp", cell="lstm"), "lstm", gaussian),
    "linear, ST-LR, rnn": (deep("ST-LR", "linear", cell="rnn"), "rnn", gaussian),
    "MF-LR, bits": (deep("MF-LR", likelihood=Bernoulli(), indicator=True), "gru", bernoulli),
    "ST-LR, counts": (deep("ST-LR", likelihood=Poisson(), inputs=0), "gru", poisson),
}  # fmt: skip


def data_for(declaration: DKF, rng: np.random.Generator, *, entries: bool = True) -> Any:
    data = series(rng, entries=entries, u=bool(declaration.inputs))
    if isinstance(declaration.likelihood, Bernoulli):
        data["x"] = (data["x"] > 0).astype(float)
    if isinstance(declaration.likelihood, Poisson):
        data["x"] = np.floor(3 * np.abs(data["x"]))
    return data


@pytest.mark.parametrize(
    ("host", "case", "entries"),
    [*(("pyro", c, e) for c in CASES for e in (False, True)), ("numpyro", "ST-LR, counts", True)],
)
def test_densities_are_those_of_the_equations(
    host: str, case: str, entries: bool, rng: np.random.Generator
) -> None:  # fmt: skip
    declaration, cell, entry = CASES[case]
    data = data_for(declaration, rng, entries=entries)
    program, params = parameters(declaration, host, data, rng)
    z = rng.normal(size=(2, N, T, L))
    density = hosts.load(host).log_density
    model, guide = (density(program, params, data, {"z": z}, s) for s in ("model", "guide"))
    known, indicator = parts(data), declaration.indicator
    for k, path in enumerate(z):
        prior = deep_kalman.log_prior(params, declaration.transition, known, path)
        np.testing.assert_allclose(model["z"][k], prior, atol=TOLERANCE)
        emitted = deep_kalman.log_emission(params, entry, known, path)
        np.testing.assert_allclose(model["x"][k], emitted, atol=TOLERANCE)
        log_q = deep_kalman.log_guide(
            params, declaration.guide, cell, known, path, indicator=indicator
        )
        np.testing.assert_allclose(guide["z"][k], log_q, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("host", "guide", "flow"),
    [
        *(("pyro", guide, None) for guide in GUIDES),
        ("pyro", "ST-R", IAF(1, (4,))),
        ("pyro", "MF-LR", IAF(1, (4,))),
        ("numpyro", "ST-R", IAF(1, (4,))),
    ],
)
def test_a_draw_has_the_density_that_it_is_scored_with(
    host: str, guide: str, flow: Any, rng: np.random.Generator
) -> None:
    """The bound of a draw, by the way forward and by the way back."""
    declaration, data = deep(guide, flow=flow), series(rng)
    program, params = parameters(declaration, host, data, rng)
    draw, density = hosts.load(host).sample, hosts.load(host).log_density
    z = draw(program, "guide", params, data, 3, 0)
    scored = [density(program, params, data, z, side) for side in ("model", "guide")]
    log_w = scored[0]["z"] + scored[0]["x"] - scored[1]["z"]
    noise = {"z": rng.normal(size=(2, N, T, L))}
    forward, back = (probe(program, params, data, o, noise=noise) for o in (ELBO(2), STL(2)))
    assert forward.metrics["bound"] == pytest.approx(back.metrics["bound"], abs=TOLERANCE)
    given = probe(program, params, data, ELBO(3), values=z)
    assert given.metrics["bound"] == pytest.approx(log_w.mean(), abs=TOLERANCE)


# Padding and lengths.


def padded(data: Any, steps: int, rng: np.random.Generator) -> Any:
    """The data with more steps after the last, full of numbers."""
    ends = {
        k: rng.normal(size=(N, steps, *data[k].shape[2:])) * 9 for k in ("x", "u") if k in data
    }
    ends["mask"] = np.ones((N, steps, *data["mask"].shape[2:]))
    return data | {k: np.concatenate([data[k], v], 1) for k, v in ends.items()}


@every_guide
def test_padding_changes_nothing(host: str, guide: str, rng: np.random.Generator) -> None:
    """Nor do the numbers that stand for what was not seen: bound and gradients, to rounding."""
    declaration, data = deep(guide), series(rng, entries=True)
    data["lengths"] = np.array([7, 5, 2])
    program, params = parameters(declaration, host, data, rng)
    noise = rng.normal(size=(2, N, T + 3, L))
    wanted = probe(program, params, data, IWAE(2), noise={"z": noise[:, :, :T]})
    longer = padded(data, 3, rng)
    alive = np.arange(T + 3) < data["lengths"][:, None]
    unseen = (longer["mask"] == 0) | ~alive[..., None]
    longer["x"] = np.where(unseen, 1e6 * rng.normal(size=unseen.shape), longer["x"])
    got = probe(program, params, longer, IWAE(2), noise={"z": noise})
    assert got.loss == pytest.approx(wanted.loss, abs=TOLERANCE)
    for name, grad in wanted.grads.items():
        np.testing.assert_allclose(got.grads[name], grad, atol=TOLERANCE, err_msg=name)


@every_guide
def test_rows_with_lengths_are_rows_cut_off(
    host: str, guide: str, rng: np.random.Generator
) -> None:
    declaration, data = deep(guide), series(rng)
    program, params = parameters(declaration, host, data, rng)
    noise = rng.normal(size=(2, N, T, L))
    whole = probe(program, params, data, IWAE(2), noise={"z": noise})
    found = []
    for n, length in enumerate(LENGTHS):
        own = {k: v[[n], :length] for k, v in data.items() if k != "lengths"}
        cut = {"z": noise[:, [n], :length]}
        found.append(probe(program, params, own, IWAE(2), noise=cut))
    assert whole.loss == pytest.approx(np.mean([f.loss for f in found]), abs=TOLERANCE)
    for name, grad in whole.grads.items():
        mean = np.mean([f.grads[name] for f in found], axis=0)
        np.testing.assert_allclose(grad, mean, atol=TOLERANCE, err_msg=name)


# What each guide sees.


@pytest.mark.parametrize(
    ("host", "guide", "past", "future"),
    [
        ("pyro", "ST-L", True, False),
        ("pyro", "ST-R", False, True),
        ("pyro", "ST-LR", True, True),
        ("pyro", "MF-LR", True, True),
        ("numpyro", "ST-R", False, True),
    ],
)
def test_states_depend_on_the_data_that_the_guide_reads(
    host: str, guide: str, past: bool, future: bool, rng: np.random.Generator
) -> None:  # fmt: skip
    """How a change of x_4 changes log q, at paths that differ in one state.

    q of state t given the one before sees x_4 as a datum of the future if t < 4, of the past if
    t > 4: what it changes then moves with that state, or does not.
    """
    declaration = deep(guide, inputs=0)
    data = {"x": rng.normal(size=(N, T, D))}
    program, params = parameters(declaration, host, data, rng)
    density, z, at = hosts.load(host).log_density, rng.normal(size=(1, N, T, L)), 4
    moved = data | {"x": data["x"] + (np.arange(T) == at)[:, None]}

    def change(path: np.ndarray) -> np.ndarray:
        both = (density(program, params, d, {"z": path}, "guide")["z"] for d in (moved, data))
        return next(both) - next(both)

    # state 1 is in the terms of states 1 and 2, state 6 in those of 6 and 7
    for state, depends in ((1, future), (6, past)):
        other = z + (np.arange(T) == state)[:, None]
        assert (not np.allclose(change(other), change(z), atol=1e-12)) == depends


# The same on both hosts, and in use.


PAIRS = [(g, t) for g in GUIDES for t in TRANSITIONS if (g, t) != ("ST-R", "gated")]


@pytest.mark.parametrize(
    ("guide", "transition"),
    [("ST-R", "gated"), *(pytest.param(*p, marks=pytest.mark.slow) for p in PAIRS)],
)
def test_hosts_agree(guide: str, transition: str, rng: np.random.Generator) -> None:
    """Loss and gradients at the same weights and noise."""
    for host in ("pyro", "numpyro"):
        pytest.importorskip(host)
    data, found = series(rng), []
    noise = {"z": rng.normal(size=(2, N, T, L))}
    for host in ("pyro", "numpyro"):
        program = ppgm.program(deep(guide, transition, indicator=True), host=host)
        params = hosts.load(host).initial(program, data, 0)
        found.append(probe(program, params, data, IWAE(2), noise=noise))
    assert found[0].loss == pytest.approx(found[1].loss, abs=TOLERANCE)
    for name, grad in found[0].grads.items():
        np.testing.assert_allclose(found[1].grads[name], grad, atol=TOLERANCE, err_msg=name)


def test_it_trains_draws_and_is_evaluated(host: str, rng: np.random.Generator) -> None:
    declaration, data = deep("ST-LR", likelihood=Poisson()), series(rng)
    data["x"] = np.floor(np.abs(data["x"]))
    program = ppgm.program(declaration, host=host)
    objective = ELBO(beta=Anneal(0.2, 1.0, 4))
    fit = ppgm.fit(program, data, objective, steps=3, batch_size=2, progress=False)
    assert np.isfinite(fit.history["bound"]).all()
    drawn = ppgm.sample(fit, 3, data={"u": data["u"][:, :5]})
    assert (drawn["z"].shape, drawn["x"].shape) == ((3, 5, L), (3, 5, D))
    assert (drawn["x"] == np.floor(drawn["x"])).all()
    path = ppgm.predict(fit, data, site="z", draws=5)
    assert path.mean.shape == (N, T, L)
    assert np.isfinite(ppgm.evaluate(fit, data, particles=25).log_likelihood).all()


def test_draws_have_the_chosen_length(host: str) -> None:
    fit = ppgm.fit(
        ppgm.program(replace(linear("ST-R"), steps=6), host=host),
        {"x": np.zeros((2, 3, D))},
        ELBO(),
        steps=1,
        progress=False,
    )
    assert ppgm.sample(fit, 4)["x"].shape == (4, 6, D)


def test_evaluate_has_the_exact_value(host: str, rng: np.random.Generator) -> None:
    data = series(rng, u=False)
    found = ppgm.evaluate(ppgm.program(linear(), host=host), data, particles=25)
    assert found.exact is not None
    np.testing.assert_allclose(found.log_likelihood, found.exact, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"guide": "exact"}, "needs transition='linear'"),
        ({"guide": "ST"}, "guide must be one of 'ST-R'"),
        ({"transition": "rnn"}, "transition must be one of"),
        ({"cell": "GRU"}, "cell must be one of 'gru'"),
        ({"likelihood": Bernoulli}, "likelihood must be Bernoulli"),
        ({"inputs": -1}, "inputs must be an integer"),
        ({"emitter": 5}, "emitter must be a tuple"),
        ({"flow": "iaf"}, "flow must be IAF"),
        ({"activation": "gelu"}, "activation must be one of"),
    ],
)
def test_bad_fields_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        deep(**options)


def test_bad_data_are_refused(host: str, rng: np.random.Generator) -> None:
    program, data = ppgm.program(deep(), host=host), series(rng)
    for name, value, words in (
        ("x", data["x"][..., :2], r"shape \(N, T, 3\)"),
        ("lengths", np.array([8, 9, 1]), "1 to 8 steps; row 1 has 9"),
        ("mask", np.ones((N, T + 1)), "data\\['mask'\\] must have"),
        ("x", np.where(data["mask"][..., None] == 0, np.nan, data["x"]), "NaN at row 0, step"),
    ):
        with pytest.raises(DataError, match=words):
            ppgm.fit(program, data | {name: value}, ELBO(), steps=1)


@pytest.mark.parametrize("likelihood", [ContinuousBernoulli(), DiscretisedLogistic(2, levels=3)])
def test_columns_that_are_no_hosts_own_miss_one_by_one(
    host: str, likelihood: Any, rng: np.random.Generator
) -> None:
    program = ppgm.program(deep(likelihood=likelihood, inputs=0), host=host)
    mask, z = series(rng, entries=True)["mask"], rng.normal(size=(1, N, T, L))
    bits = rng.integers(0, 2, size=(N, T, D)).astype(float)
    seen = (mask != 0) & ALIVE[..., None]

    def loss(x: Any, mask: Any) -> float:
        data = {"x": x, "lengths": LENGTHS, "mask": mask}
        return probe(program, {}, data, ELBO(), values={"z": z}).loss

    assert loss(np.where(seen, bits, 1 - bits), mask) == loss(bits, mask)
    whole = loss(bits, np.ones((N, T)))
    assert loss(bits, np.ones((N, T, D))) == pytest.approx(whole, abs=1e-12)
    assert abs(loss(bits, mask) - whole) > 1e-3


@dataclass(frozen=True)
class Joint:
    """A likelihood whose columns are not told apart."""

    def size(self, features: int) -> int:
        return features

    def __call__(self, ppl: Any, outputs: Any) -> Any:
        root = ppl.ops.float(np.eye(D))
        return ppl.distributions.MultivariateNormal(outputs, scale_tril=root)


def test_columns_that_are_not_independent_cannot_miss_one_by_one(
    host: str, rng: np.random.Generator
) -> None:
    program = ppgm.program(deep(likelihood=Joint(), inputs=0), host=host)
    data = series(rng, u=False)
    assert np.isfinite(probe(program, {}, data, ELBO()).loss)
    with pytest.raises(ModelError, match=r"entries are missing, and MultivariateNormal has no"):
        probe(program, {}, data | {"mask": np.ones((N, T, D))}, ELBO())


def test_the_exact_answer_is_of_linear_models_alone(rng: np.random.Generator) -> None:
    with pytest.raises(ArgumentError, match="needs transition='linear'"):
        deep().log_likelihood({}, **series(rng))


@pytest.mark.parametrize("made", [DKF(2, 1, hidden=(3,), emitter=(3,), rnn=3), HMM(2)])
def test_bits_that_were_not_seen_may_be_any_number(
    host: str, made: Any, rng: np.random.Generator
) -> None:
    x = (rng.random((2, 4, 2)) < 0.5).astype(float)
    data = {"x": x, "mask": np.ones((2, 4)), "lengths": np.array([4, 2])}
    data["mask"][0, 1] = 0
    odd = x.copy()
    odd[0, 1], odd[1, 2:] = 7.0, -3.5
    program = ppgm.program(made, host=host)
    wanted, got = (
        ppgm.fit(program, data | {"x": value}, ELBO(), steps=2, seed=3) for value in (x, odd)
    )
    for name, value in wanted.params.items():
        np.testing.assert_array_equal(got.params[name], value, err_msg=name)
    odd[1, 1, 0] = 7.0
    with pytest.raises(DataError, match=r"1 values outside .* the first 7.0 at \(1, 1, 0\)"):
        ppgm.fit(program, data | {"x": odd}, ELBO(), steps=2)


@pytest.mark.parametrize("lengths", [["two", "one"], [None, 2], [True, True]])
def test_lengths_that_are_no_numbers(lengths: Any) -> None:
    with pytest.raises(DataError, match=r"data\['lengths'\] must be numbers of steps, not"):
        DKF(2, 1).check_data({"x": np.zeros((2, 4, 2)), "lengths": lengths})
