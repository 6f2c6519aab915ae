"""Estimators of gradients against exact ones: by enumeration of every draw they could make.

See `tests/test_oracles_sbn.py` for the device: every joint configuration of the particles is one
row of a bigger batch, which stands for as many data as the guide gives it probability.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.errors import ArgumentError, EstimatorError
from ppgm.inference import (
    CUBO,
    ELBO,
    IWAE,
    NVIL,
    REINFORCE,
    RLOO,
    RWS,
    VIMCO,
    Enumerate,
    Renyi,
    Score,
    ThermodynamicELBO,
    WakeSleep,
)
from ppgm.influences import with_influences
from ppgm.models import SBN, VampVAE
from ppgm.probes import Probe, probe
from ppgm.testing import differences, enumeration, sbn
from ppgm.testing.arrays import bernoulli, binary_states
from ppgm.views import Dream, View
from tests.test_oracles_paths import fixed_noise
from tests.test_oracles_sbn import (
    TOLERANCE,
    assert_same,
    bits,
    expectation,
    named,
    parameters,
    program,
)

NET = SBN(3, (2, 1))

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")

UNBIASED: dict[str, tuple[Any, float, int]] = {
    "rloo": (RLOO(2), 1.0, 2),
    "elbo by rloo": (ELBO(3, gradient="rloo"), 1.0, 3),
    "elbo by score": (ELBO(2, gradient="score"), 1.0, 2),
    "reinforce, constant": (REINFORCE(2, baseline=-3.7), 1.0, 2),
    "iwae by vimco": (IWAE(2, gradient="vimco"), 0.0, 2),
    "renyi by vimco": (Renyi(0.5, 2, gradient="vimco"), 0.5, 2),
    "renyi -1 by path": (Renyi(-1.0, 2), -1.0, 2),
    "iwae by score": (IWAE(2, gradient=Score(baseline=1.3)), 0.0, 2),
}


def exact(params: dict, x: np.ndarray, particles: int, alpha: float) -> dict[str, np.ndarray]:
    network, guide = NET.exact_model(params), NET.exact_guide(params)
    count = 1 if alpha == 1 else particles
    return named(sbn.bound_gradients(x, network, guide, count, alpha=alpha), len(x))


@pytest.mark.parametrize("estimator", UNBIASED)
def test_expected_gradients(host: str, estimator: str, rng: np.random.Generator) -> None:
    objective, alpha, particles = UNBIASED[estimator]
    params, x = parameters(NET, rng), bits(rng, 2, 3)
    got = expectation(program(NET, host), NET, params, x, objective, particles)
    network, guide = NET.exact_model(params), NET.exact_guide(params)
    wanted = sbn.renyi(x, network, guide, particles, alpha=alpha).mean()
    assert got.metrics["bound"] == pytest.approx(wanted, abs=TOLERANCE)
    assert_same(got.grads, exact(params, x, particles, alpha))


def expected_with(
    host: str, objective: Any, params: dict, x: np.ndarray, particles: int, state: dict
) -> Probe:
    """As `expectation`, with a state of the objective."""
    network, guide = NET.exact_model(params), NET.exact_guide(params)
    states = np.concatenate([h[:, 0] for h in sbn.hidden_states(network)], axis=-1)
    log_q = sbn.tables(x, network, guide)[1]
    index = enumeration.tuples(len(states), particles)
    mass = np.exp(log_q[index].sum(1)).T.ravel()
    chosen = np.tile(states[index], (len(x), 1, 1)).transpose(1, 0, 2)
    values = {"h1": chosen[..., :2], "h2": chosen[..., 2:]}
    return probe(
        program(NET, host), params, {"x": np.repeat(x, len(index), axis=0)}, objective,
        values=values, scale=mass, total=len(x), state=state,
    )  # fmt: skip


def baseline(rng: np.random.Generator, outputs: int) -> dict[str, np.ndarray]:
    return {
        "baseline.layers.0.weight": rng.normal(size=(4, 3)),
        "baseline.layers.0.bias": rng.normal(size=4),
        "baseline.layers.1.weight": rng.normal(size=(outputs, 4)),
        "baseline.layers.1.bias": rng.normal(size=outputs),
    }


STATE = {
    "mean.h1": np.array(-2.1), "variance.h1": np.array(6.0),
    "mean.h2": np.array(0.7), "variance.h2": np.array(0.2),
}  # fmt: skip


@pytest.mark.parametrize("particles", [1, 2])
def test_nvil_is_unbiased_whatever_its_baselines(
    host: str, particles: int, rng: np.random.Generator
) -> None:
    params, x = parameters(NET, rng) | baseline(rng, 2), bits(rng, 2, 3)
    objective = NVIL(particles, hidden=(4,), normalise=False)
    got = expected_with(host, objective, params, x, particles, STATE)
    mine = {n: g for n, g in got.grads.items() if not n.startswith("baseline")}
    assert_same(mine, exact(params, x, particles, 1.0))


def test_nvil_rescales_the_signal_of_each_layer(host: str, rng: np.random.Generator) -> None:
    """The bias of the normalisation is known: a factor for the scores of each layer."""
    params, x = parameters(NET, rng), bits(rng, 2, 3)
    got = expected_with(host, NVIL(hidden=None), params, x, 1, STATE)
    wanted = exact(params, x, 1, 1.0)
    # the path through log q has mean zero, so all of the guide's gradient is its score's
    for name in ("encoder1.layers.0.weight", "encoder1.layers.0.bias"):
        wanted[name] = wanted[name] / np.sqrt(6.0)
    assert_same(got.grads, wanted)


def test_the_baseline_learns_the_centred_signal(host: str, rng: np.random.Generator) -> None:
    """Its gradient is that of the square error, by finite differences of the bias."""
    params, x = parameters(NET, rng) | baseline(rng, 2), bits(rng, 2, 3)
    values = {"h1": np.array([[[1.0, 0.0], [0.0, 1.0]]]), "h2": np.array([[[1.0], [0.0]]])}
    objective = NVIL(1, hidden=(4,), normalise=False)
    got = probe(program(NET, host), params, {"x": x}, objective, values=values, state=STATE)
    network, guide = NET.exact_model(params), NET.exact_guide(params)
    hidden = [values["h1"], values["h2"]]
    log_w = sbn.log_joint(x, hidden, network) - sbn.log_guide(x, hidden, guide)
    weight, bias = network.layers[0]
    lower = bernoulli(x, values["h1"] @ weight.T + bias)
    weight, bias = guide.layers[0]
    upper = bernoulli(values["h1"], x @ weight.T + bias)
    signals = np.stack([log_w[0] - STATE["mean.h1"], (log_w - lower + upper)[0] - 0.7], -1)
    layers = [params[f"baseline.layers.{i}.{n}"] for i in (0, 1) for n in ("weight", "bias")]
    inner = np.tanh(x @ layers[0].T + layers[1])
    predicted = inner @ layers[2].T + layers[3]
    wanted = (2 * (predicted - signals)).mean(0)
    np.testing.assert_allclose(got.grads["baseline.layers.1.bias"], wanted, atol=TOLERANCE)
    assert got.loss == pytest.approx(-log_w.mean(), abs=TOLERANCE)


def test_running_moments_are_of_the_signals(host: str, rng: np.random.Generator) -> None:
    params, x = parameters(NET, rng), bits(rng, 3, 3)
    values = {"h1": bits(rng, 3, 2)[None], "h2": bits(rng, 3, 1)[None]}
    got = probe(
        program(NET, host), params, {"x": x}, REINFORCE(decay=0.6), values=values,
        state={"mean.all": np.array(1.0), "variance.all": np.array(2.0)},
    )  # fmt: skip
    network, guide = NET.exact_model(params), NET.exact_guide(params)
    hidden = [values["h1"], values["h2"]]
    log_w = sbn.log_joint(x, hidden, network) - sbn.log_guide(x, hidden, guide)
    wanted = {"mean.all": 0.6 + 0.4 * log_w.mean(), "variance.all": 1.2 + 0.4 * log_w.var()}
    assert got.state == pytest.approx(wanted, abs=TOLERANCE)


def test_what_each_layer_can_change(host: str) -> None:
    run, data = program(SBN(5, (4, 3, 2)), host), {"x": np.zeros((2, 5))}
    found = with_influences(run.sites(data), run, data).influences
    guide = {("guide", "h1"), ("guide", "h2"), ("guide", "h3")}
    model = {("model", n) for n in ("x", "h1", "h2", "h3")}
    assert found == {
        "h1": guide | model,
        "h2": guide - {("guide", "h1")} | model - {("model", "x")},
        "h3": {("guide", "h3"), ("model", "h3"), ("model", "h2")},
    }


# Sums over values, nested in other bounds.


def test_enumerate_is_the_exact_elbo(host: str, rng: np.random.Generator) -> None:
    params, x = parameters(NET, rng), bits(rng, 3, 3)
    got = probe(program(NET, host), params, {"x": x}, Enumerate())
    assert_same(got.grads, exact(params, x, 1, 1.0))


@pytest.mark.parametrize("particles", [1, 2])
def test_all_values_in_the_importance_weighted_bound_are_the_evidence(
    host: str, particles: int, rng: np.random.Generator
) -> None:
    params, x = parameters(NET, rng), bits(rng, 3, 3)
    objective = IWAE(particles, enumerate=("h1", "h2"))
    got = probe(program(NET, host), params, {"x": x}, objective)
    wanted = NET.log_likelihood(params, x).mean()
    assert got.metrics["bound"] == pytest.approx(wanted, abs=TOLERANCE)
    for name, grad in got.grads.items():
        if name.startswith("encoder"):
            np.testing.assert_allclose(grad, 0, atol=TOLERANCE, err_msg=name)


def test_one_layer_enumerated_beside_draws_of_the_other(
    host: str, rng: np.random.Generator
) -> None:
    """Every value of h2 has a draw of h1 of its own: E over both of log sum over h2."""
    params, x = parameters(NET, rng), bits(rng, 2, 3)
    states, pairs = binary_states(2), enumeration.tuples(4, 2)

    def tables(params: dict) -> tuple[np.ndarray, np.ndarray]:
        """log p(x, h1, h2) - log q(h1) as (h1, h2, row), and log q(h1) as (h1, row)."""
        network, guide = NET.exact_model(params), NET.exact_guide(params)
        h1, h2 = states[:, None, None], binary_states(1)[None, :, None]
        weight, bias = guide.layers[0]
        log_q = bernoulli(states[:, None], x @ weight.T + bias)
        return sbn.log_joint(x, [h1, h2], network) - log_q[:, None], log_q

    def bound(params: dict) -> float:
        log_w, log_q = tables(params)
        both = np.logaddexp(log_w[pairs[:, 0], 0], log_w[pairs[:, 1], 1])
        return float((np.exp(log_q[pairs].sum(1)) * both).sum(0).mean())

    mass = np.exp(tables(params)[1][pairs].sum(1)).T.ravel()
    chosen = np.tile(states[pairs], (2, 1, 1)).transpose(1, 0, 2)
    got = probe(
        program(NET, host), params, {"x": np.repeat(x, len(pairs), axis=0)},
        IWAE(1, enumerate=("h2",)), values={"h1": chosen}, scale=mass, total=2,
    )  # fmt: skip
    assert got.metrics["bound"] == pytest.approx(bound(params), abs=TOLERANCE)
    for name in ("encoder1.layers.0.bias", "decoder2.layers.0.weight", "prior"):
        wanted = differences.gradient(lambda v, n=name: -bound(params | {n: v}), params[name])
        np.testing.assert_allclose(got.grads[name], wanted, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("objective", [RLOO(2, enumerate=("h2",)), VIMCO(2, enumerate=("h2",))])
def test_leave_one_out_signals_beside_an_enumerated_layer(
    host: str, objective: Any, rng: np.random.Generator
) -> None:
    """Two draws of h1 for each of the two values of h2: E over all four."""
    params, x = parameters(NET, rng), bits(rng, 2, 3)
    states, fours = binary_states(2), enumeration.tuples(4, 4)
    values = np.arange(4) // 2  # the draws of one value are side by side

    def bound(params: dict) -> float:
        network, guide = NET.exact_model(params), NET.exact_guide(params)
        weight, bias = guide.layers[0]
        log_q = bernoulli(states[:, None], x @ weight.T + bias)
        h1, h2 = states[:, None, None], binary_states(1)[None, :, None]
        log_joint = sbn.log_joint(x, [h1, h2], network) - log_q[:, None]
        log_w = np.stack([log_joint[fours[:, c], v] for c, v in enumerate(values)])
        if objective.order == 1:
            weight, bias = guide.layers[1]
            logits = states @ weight.T + bias
            log_m = np.stack([bernoulli(np.full((4, 1), v), logits) for v in (0.0, 1.0)])
            log_m = np.stack([log_m[v][fours[:, c]] for c, v in enumerate(values)])[..., None]
            total = (np.exp(log_m) * (log_w - log_m)).sum(0) / 2
        else:
            total = np.logaddexp.reduce(log_w, axis=0) - np.log(2)
        return float((np.exp(log_q[fours].sum(1)) * total).sum(0).mean())

    weight, bias = NET.exact_guide(params).layers[0]
    log_q = bernoulli(states[:, None], x @ weight.T + bias)
    chosen = np.tile(states[fours].transpose(1, 0, 2), (1, 2, 1))
    got = probe(
        program(NET, host), params, {"x": np.repeat(x, len(fours), axis=0)}, objective,
        values={"h1": chosen}, scale=np.exp(log_q[fours].sum(1)).T.ravel(), total=2,
    )  # fmt: skip
    assert got.metrics["bound"] == pytest.approx(bound(params), abs=TOLERANCE)
    for name in ("encoder1.layers.0.bias", "encoder2.layers.0.weight", "prior"):
        wanted = differences.gradient(lambda v, n=name: -bound(params | {n: v}), params[name])
        np.testing.assert_allclose(got.grads[name], wanted, atol=1e-8, err_msg=name)


# Wake-sleep.


def torch_leaves(params: dict) -> dict[str, Any]:
    torch = pytest.importorskip("torch")

    return {n: torch.tensor(v, requires_grad=True) for n, v in params.items()}


def torch_tables(leaves: dict, x: np.ndarray) -> tuple[Any, Any]:
    """Log joint and log guide of all states and rows, differentiable in the leaves."""
    network, guide = NET.exact_model(leaves), NET.exact_guide(leaves)
    log_w, log_q = sbn.tables(x, network, guide)
    return log_w + log_q, log_q


def by_torch(params: dict, loss: Callable[[dict], Any]) -> dict[str, np.ndarray]:
    torch = pytest.importorskip("torch")

    leaves = torch_leaves(params)
    grads = torch.autograd.grad(loss(leaves), list(leaves.values()), materialize_grads=True,
                                allow_unused=True)  # fmt: skip
    return {n: g.numpy() for n, g in zip(leaves, grads, strict=True)}


def wake(params: dict, x: np.ndarray, particles: int, weight: float) -> dict[str, np.ndarray]:
    """Minus the exact expectation of both wake gradients."""
    torch = pytest.importorskip("torch")

    def loss(leaves: dict) -> Any:
        log_p, log_q = torch_tables(leaves, x)
        index = torch.as_tensor(enumeration.tuples(len(log_p), particles))
        fixed_p, fixed_q = log_p.detach(), log_q.detach()
        mass = fixed_q[index].sum(1, keepdim=True).exp()
        share = torch.softmax((fixed_p - fixed_q)[index], 1)
        climbs = log_p[index] + weight * log_q[index]
        return -(mass * share * climbs).sum() / len(x)

    return by_torch(params, loss)


@pytest.mark.parametrize(("particles", "weight"), [(1, 1.0), (2, 1.0), (2, 0.3)])
def test_expected_gradients_of_the_wake_phases(
    host: str, particles: int, weight: float, rng: np.random.Generator
) -> None:
    params, x = parameters(NET, rng), bits(rng, 2, 3)
    objective = RWS(particles, wake=weight)
    got = expectation(program(NET, host), NET, params, x, objective, particles)
    assert_same(got.grads, wake(params, x, particles, weight))
    model = exact(params, x, particles, 0.0)
    assert_same({n: g for n, g in got.grads.items() if "encoder" not in n},
                {n: g for n, g in model.items() if "encoder" not in n})  # fmt: skip


@pytest.fixture
def all_dreams(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets the model dream of all its joint states, a row for each."""
    joint = binary_states(6)
    values = {"x": joint[:, :3], "h1": joint[:, 3:5], "h2": joint[:, 5:]}

    def dream(view: View, particles: int = 1) -> Dream:
        return Dream({n: view.ops.float(view.ops.np.asarray(v)) for n, v in values.items()})

    monkeypatch.setattr(View, "dream", dream)
    return joint


def sleep(params: dict, joint: np.ndarray) -> dict[str, np.ndarray]:
    """Minus the exact gradient of E_p(x,h) log q(h | x)."""
    torch = pytest.importorskip("torch")

    def loss(leaves: dict) -> Any:
        network, guide = NET.exact_model(leaves), NET.exact_guide(leaves)
        x, h = torch.as_tensor(joint[:, :3]), torch.as_tensor(joint[:, 3:])
        hidden = [h[None, :, :2], h[None, :, 2:]]
        mass = sbn.log_joint(x, hidden, network).detach().exp()
        assert float(mass.sum()) == pytest.approx(1.0)
        return -(mass * sbn.log_guide(x, hidden, guide)).sum()

    return by_torch(params, loss)


@pytest.mark.parametrize("objective", [WakeSleep(), RWS(1, wake=0.0, sleep=1.0)])
def test_expected_gradient_of_the_sleep_phase(
    host: str, objective: Any, all_dreams: np.ndarray, rng: np.random.Generator
) -> None:
    params = parameters(NET, rng)
    network = NET.exact_model(params)
    hidden = [all_dreams[None, :, 3:5], all_dreams[None, :, 5:]]
    mass = np.exp(sbn.log_joint(all_dreams[:, :3], hidden, network))[0]
    got = probe(
        program(NET, host), params, {"x": all_dreams[:, :3]}, objective, scale=mass, total=1.0
    )
    wanted = {n: g for n, g in sleep(params, all_dreams).items() if "encoder" in n}
    assert_same({n: g for n, g in got.grads.items() if "encoder" in n}, wanted)


def test_the_wake_phase_of_wake_sleep(host: str, rng: np.random.Generator) -> None:
    params, x = parameters(NET, rng), bits(rng, 2, 3)
    got = expectation(program(NET, host), NET, params, x, WakeSleep(), 1)
    wanted = exact(params, x, 1, 1.0)
    model = {n: g for n, g in got.grads.items() if "encoder" not in n}
    assert_same(model, {n: wanted[n] for n in model})


def test_defensive_draws_are_weighed_against_the_mixture(
    host: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """With a coin for every draw and row: which side it came from does not matter, both count."""
    params, x, share = parameters(NET, rng), bits(rng, 2, 3), 0.3
    mine = {"h1": bits(rng, 6, 2).reshape(3, 2, 2), "h2": bits(rng, 6, 1).reshape(3, 2, 1)}
    prior = {"h1": bits(rng, 6, 2).reshape(3, 2, 2), "h2": bits(rng, 6, 1).reshape(3, 2, 1)}
    coin = np.array([[0.1, 0.9], [0.5, 0.2], [0.8, 0.29]])

    def drawn(view: View, particles: int = 1) -> dict[str, Any]:
        assert particles == 3
        return {n: view.ops.float(view.ops.np.asarray(v)) for n, v in prior.items()}

    monkeypatch.setattr(View, "prior", drawn)
    fixed_noise(monkeypatch, host, coin)
    got = probe(program(NET, host), params, {"x": x}, RWS(3, defensive=share), values=mine)
    h1, h2 = (np.where((coin < share)[..., None], prior[n], mine[n]) for n in ("h1", "h2"))
    network, guide = NET.exact_model(params), NET.exact_guide(params)
    log_p, log_q = sbn.log_joint(x, [h1, h2], network), sbn.log_guide(x, [h1, h2], guide)
    weight, bias = network.layers[0]
    log_prior = log_p - bernoulli(x, h1 @ weight.T + bias)
    mixture = np.logaddexp(np.log(share) + log_prior, np.log(1 - share) + log_q)
    wanted = np.logaddexp.reduce(log_p - mixture, axis=0) - np.log(3)
    assert got.metrics["bound"] == pytest.approx(wanted.mean(), abs=TOLERANCE)


# The thermodynamic objective.


@pytest.mark.parametrize("betas", [None, (0.2, 0.6)])
def test_expectation_of_the_thermodynamic_objective(
    host: str, betas: Any, rng: np.random.Generator
) -> None:
    """Value and gradient against loops over temperatures and states, all draws enumerated.

    Its known bias is that of self-normalised weights: the reference has the same.
    """
    torch = pytest.importorskip("torch")

    params, x = parameters(NET, rng), bits(rng, 2, 3)
    objective = ThermodynamicELBO(2, partitions=1, betas=betas)
    got = expectation(program(NET, host), NET, params, x, objective, 2)
    ladder = [0.0, *(betas or ()), 1.0]

    def loss(leaves: dict) -> Any:
        log_p, log_q = torch_tables(leaves, x)
        index = torch.as_tensor(enumeration.tuples(len(log_p), 2))
        mass = log_q.detach()[index].sum(1).exp()
        total = 0.0
        for low, high in zip(ladder, ladder[1:], strict=False):
            log_w = (log_p - log_q)[index]
            path = (low * log_p + (1 - low) * log_q)[index]
            # derivative of a self-normalised mean at constant draws: weights and integrand
            share = torch.softmax(low * log_w.detach() + path - path.detach(), 1)
            total = total + (high - low) * (share * log_w).sum(1)
        return -(mass * total).sum() / len(x)

    value = loss(torch_leaves(params))
    assert got.loss == pytest.approx(float(value.detach()), abs=TOLERANCE)
    assert_same(got.grads, by_torch(params, loss))


def test_one_partition_is_the_elbo_on_average(host: str, rng: np.random.Generator) -> None:
    params, x = parameters(NET, rng), bits(rng, 2, 3)
    got = expectation(program(NET, host), NET, params, x, ThermodynamicELBO(2, partitions=1), 2)
    network, guide = NET.exact_model(params), NET.exact_guide(params)
    assert -got.loss == pytest.approx(sbn.elbo(x, network, guide).mean(), abs=TOLERANCE)


def test_cubo_trains_the_guide_alone(host: str, rng: np.random.Generator) -> None:
    params, x = parameters(NET, rng), bits(rng, 2, 3)
    got = expectation(program(NET, host), NET, params, x, CUBO(3.0, 2), 2)
    wanted = {n: -g for n, g in exact(params, x, 2, -2.0).items() if "encoder" in n}
    assert_same(got.grads, wanted)


def _expected_cubo(power: float, particles: int, shift: float) -> float:
    """Returns E[U] of a fair bit under a guide that is off by `shift`, with log p(x) = 0."""
    guide = np.array([0.5 - shift, 0.5 + shift])
    log_w = np.log(0.5 / guide)
    draws = list(product(range(2), repeat=particles))
    bounds = [np.log(np.exp(power * log_w[list(d)]).mean()) / power for d in draws]
    return float(sum(guide[list(d)].prod() * b for d, b in zip(draws, bounds, strict=True)))


@pytest.mark.parametrize("power", [0.5, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("particles", [1, 2, 3, 4, 7])
def test_cubo_is_least_at_the_posterior_or_refused(power: float, particles: int) -> None:
    """The bound near the posterior curves as its docstring says, and up where it is allowed."""
    shift = 1e-3
    variance = (0.5 - shift) ** -1 / 4 + (0.5 + shift) ** -1 / 4 - 1
    curve = power - 1 - power / particles
    value = _expected_cubo(power, particles, shift)
    assert value == pytest.approx(variance / 2 * curve, abs=1e-8)
    if curve > 1e-9:
        CUBO(power, particles)
        assert value > 0
    else:
        with pytest.raises(ArgumentError, match="power must be|needs more than"):
            CUBO(power, particles)


def test_cubo_with_too_few_draws_beside_an_enumerated_site(host: str) -> None:
    run = program(SBN(3, (2, 1)), host)
    table = run.sites({"x": np.ones((2, 3))})
    CUBO(2.0, 1, enumerate=("h1", "h2")).check(table)
    with pytest.raises(EstimatorError, match="needs more than 2 draws, and has particles=2"):
        CUBO(2.0, 2, enumerate=("h2",)).check(table)


def test_cubo_refuses_to_train_the_model(host: str) -> None:
    """Neither by parameters that both sides share, nor by a sum that trains both."""
    x = np.ones((2, 3))
    shared = ppgm.program(VampVAE(3, latent=2, hidden=(3,), components=2), host=host)
    with pytest.raises(EstimatorError, match="parameter 'encoder.*' is the guide's and the model"):
        ppgm.fit(shared, {"x": x}, CUBO(), steps=1, progress=False)
    apart = program(NET, host).sites({"x": x})
    with pytest.raises(EstimatorError, match=r"CUBO trains \['guide'\] alone.*\['model'\]"):
        (ELBO() + 0.5 * CUBO()).check(apart)
    (CUBO() + 2.0 * CUBO(3.0)).check(apart)


def test_influences_survive_copies_that_lose_their_provenance() -> None:
    """Pyro follows values through torch functions, and not through every copy of them."""
    pyro, torch = pytest.importorskip("pyro"), pytest.importorskip("torch")

    def draw(logits: Any) -> Any:
        return pyro.sample("h", pyro.distributions.Bernoulli(logits=logits))

    def model(x: Any) -> None:
        with pyro.plate("data", len(x)):
            copied = torch.from_numpy(draw(torch.zeros(())).numpy().copy())
            pyro.sample("x", pyro.distributions.Normal(copied, 1.0), obs=x)

    def guide(x: Any) -> None:
        with pyro.plate("data", len(x)):
            draw(pyro.param("l", torch.zeros(())) + 0 * x)

    run, data = ppgm.Program(model, guide, host="pyro"), {"x": np.array([0.1, 0.2])}
    found = with_influences(run.sites(data), run, data).influences
    assert found == {"h": {("guide", "h"), ("model", "h"), ("model", "x")}}


def test_a_dream_that_the_guide_cannot_see_is_refused(host: str) -> None:
    """The data call the observed site by another name."""
    run, data = ppgm.program(Renamed(), host=host), {"rows": np.array([0.1, 0.2])}
    with pytest.raises(EstimatorError, match="'x' by another name"):
        probe(run, {}, data, WakeSleep())


@dataclass(frozen=True)
class Renamed:
    """z ~ N(0, 1), x | z ~ N(z, 1), with the data under the name "rows"."""

    broadcasts = True

    def model(self, ppl: Any, rows: Any = None) -> None:
        with ppl.plate("data", rows):
            z = ppl.sample("z", ppl.distributions.Normal(ppl.np.zeros(()), 1.0))
            ppl.sample("x", ppl.distributions.Normal(z, 1.0), obs=rows)

    def guide(self, ppl: Any, rows: Any) -> None:
        b = ppl.param("b", np.array(0.3))
        with ppl.plate("data", rows):
            ppl.sample("z", ppl.distributions.Normal(b * rows, 1.0))
