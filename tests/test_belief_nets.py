"""Belief nets of other forms than layers of affine maps, by enumeration of all their bits.

Every joint configuration of the particles is one row of a bigger batch, which stands for as many
data as the guide gives it probability; see `test_oracles_sbn.py`.
"""

from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.distributions_bits import AutoregressiveBernoulli
from ppgm.errors import ArgumentError, EstimatorError
from ppgm.fits import as_fit
from ppgm.inference import ELBO, VIMCO
from ppgm.models import SBN, ConditionalSBN, FullSBN
from ppgm.probes import Probe, probe
from ppgm.testing import differences, enumeration, sbn
from ppgm.testing.arrays import bernoulli, binary_states
from ppgm.testing.contract import Check, parametrize_with_checks

D, C = 3, 2
NETS: dict[str, Any] = {
    "between": SBN(D, (2, 1), between=(2,)),
    "autoregressive": SBN(D, (2, 2), autoregressive=True),
    "autoregressive model": SBN(D, (3,), (2,), autoregressive="model"),
    "full": FullSBN(D, 3),
    "full, factorised": FullSBN(D, 3, "factorised"),
    "conditional": ConditionalSBN(D, C, (2, 1), (2,)),
    "conditional, skips": ConditionalSBN(D, C, (2, 2), skips=True),
}

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")
every_net = pytest.mark.parametrize("name", NETS)


def widths(net: Any) -> dict[str, int]:
    """Hidden sites and their numbers of units, lowest first."""
    if isinstance(net, FullSBN):
        return {"h": net.hidden}
    return {f"h{n}": width for n, width in enumerate(net.layers, 1)}


def split(net: Any, states: np.ndarray) -> dict[str, np.ndarray]:
    ends = np.cumsum(list(widths(net).values()))[:-1]
    return dict(zip(widths(net), np.split(states, ends, -1), strict=True))


def rows(net: Any, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    x = (rng.random((count, D)) < 0.5).astype(float)
    return {"x": x, "c": rng.normal(size=(count, C))} if conditional(net) else {"x": x}


def conditional(net: Any) -> bool:
    return isinstance(net, ConditionalSBN)


def exact(
    net: Any, params: dict[str, np.ndarray], data: dict[str, np.ndarray]
) -> tuple[sbn.Network, sbn.Guide]:
    given = [data["c"]] if conditional(net) else []
    return net.exact_model(params, *given), net.exact_guide(params, *given)


def bind(
    net: Any, host: str, data: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[ppgm.Program, dict[str, np.ndarray]]:
    """The program, and random weights of order one, also where a mask forbids them."""
    program = ppgm.program(net, host=host)
    start = hosts.load(host).initial(program, data, 0)
    return program, {n: rng.normal(size=v.shape) for n, v in start.items()}


# The references against loops over units.


def bit(value: float, logit: float) -> float:
    return value * logit - float(np.logaddexp(0, logit))


def test_the_reference_of_the_full_net_is_neals_equation(rng: np.random.Generator) -> None:
    net, h, x = FullSBN(2, 3), binary_states(3), binary_states(2)
    params = {"weight": rng.normal(size=(5, 5)), "bias": rng.normal(size=5)}
    table = sbn.log_joint(x, [h[:, None]], net.exact_model(params))
    for s, n in np.ndindex(8, 4):
        unit = np.concatenate([h[s], x[n]])
        wanted = 0.0
        for i in range(5):
            logit = sum(params["weight"][i, j] * unit[j] for j in range(i)) + params["bias"][i]
            wanted += bit(unit[i], logit)
        assert table[s, n] == pytest.approx(wanted, abs=1e-12)


def test_the_reference_of_a_deep_layer_is_that_of_loops(rng: np.random.Generator) -> None:
    x, h = binary_states(3), binary_states(2)
    first, last = rng.normal(size=(4, 2)), rng.normal(size=(3, 4))
    offset, bias, own = rng.normal(size=4), rng.normal(size=3), rng.normal(size=(3, 3))
    top, among = rng.normal(size=2), rng.normal(size=(2, 2))
    net = sbn.Network(top, [sbn.Deep([(first, offset), (last, bias)], own)], among)
    table = sbn.log_joint(x, [h[:, None]], net)
    for s, n in np.ndindex(4, 8):
        wanted = bit(h[s, 0], top[0]) + bit(h[s, 1], top[1] + among[1, 0] * h[s, 0])
        mean = last @ np.tanh(first @ h[s] + offset) + bias
        for i in range(3):
            wanted += bit(x[n, i], mean[i] + sum(own[i, j] * x[n, j] for j in range(i)))
        assert table[s, n] == pytest.approx(wanted, abs=1e-12)


# The programs against the references.


@every_net
def test_the_densities_sum_to_one_and_are_those_of_the_reference(
    host: str, name: str, rng: np.random.Generator
) -> None:
    net = NETS[name]
    data = {"x": binary_states(D)}
    if conditional(net):
        data["c"] = np.repeat(rng.normal(size=(1, C)), len(data["x"]), 0)
    program, params = bind(net, host, data, rng)
    states = binary_states(sum(widths(net).values()))
    values = split(net, np.repeat(states[:, None], len(data["x"]), 1))
    log_p = sum(hosts.load(host).log_density(program, params, data, values).values())
    np.testing.assert_allclose(np.exp(log_p).sum(), 1, atol=1e-12)
    np.testing.assert_allclose(
        np.log(np.exp(log_p).sum(0)), net.log_likelihood(params, **data), atol=1e-10
    )
    log_q = sum(hosts.load(host).log_density(program, params, data, values, "guide").values())
    np.testing.assert_allclose(np.exp(log_q).sum(0), 1, atol=1e-12)
    network, guide = exact(net, params, data)
    wanted = sbn.log_guide(data["x"], sbn.hidden_states(network), guide)
    np.testing.assert_allclose(log_q, wanted, atol=1e-10)


def test_conditions_change_the_density_of_every_layer(host: str, rng: np.random.Generator) -> None:
    """With skips in all layers of the model; without them in the top one alone."""
    for name, changed in (("conditional", {"h2"}), ("conditional, skips", {"h1", "h2", "x"})):
        net = NETS[name]
        data = rows(net, 2, rng)
        program, params = bind(net, host, data, rng)
        states = split(net, np.ones((1, 2, sum(net.layers))))
        found = [
            hosts.load(host).log_density(program, params, data | {"c": c}, states)
            for c in (data["c"], data["c"] + 1)
        ]
        assert {n for n in found[0] if np.abs(found[0][n] - found[1][n]).max() > 1e-6} == changed


def expectation(
    program: ppgm.Program, params: dict, data: dict[str, np.ndarray], objective: Any, k: int
) -> Probe:
    """The estimator's exact expectation: all configurations of all particles as rows."""
    net = program.declaration
    network, guide = exact(net, params, data)
    hidden = sbn.hidden_states(network)
    states = np.concatenate([h[:, 0] for h in hidden], axis=-1)
    log_q = sbn.log_guide(data["x"], hidden, guide)
    index = enumeration.tuples(len(states), k)
    mass = np.exp(log_q[index].sum(1)).T.ravel()  # rows: data outside, configurations inside
    chosen = np.tile(states[index], (len(data["x"]), 1, 1)).transpose(1, 0, 2)
    many = {n: np.repeat(v, len(index), axis=0) for n, v in data.items()}
    return probe(
        program, params, many, objective,
        values=split(net, chosen), scale=mass, total=len(data["x"]),
    )  # fmt: skip


@every_net
@pytest.mark.parametrize(("objective", "k"), [(ELBO(), 1), (VIMCO(2), 2)], ids=["elbo", "vimco"])
def test_expected_gradients_are_those_of_the_enumerated_bound(
    host: str, name: str, objective: Any, k: int, rng: np.random.Generator
) -> None:
    net = NETS[name]
    data = rows(net, 2, rng)
    program, params = bind(net, host, data, rng)

    def loss(params: dict[str, np.ndarray]) -> float:
        network, guide = exact(net, params, data)
        bound = sbn.elbo if k == 1 else lambda *a: sbn.iwae(*a, particles=k)
        return -float(bound(data["x"], network, guide).mean())

    got = expectation(program, params, data, objective, k)
    assert got.metrics["bound"] == pytest.approx(-loss(params), abs=1e-10)
    assert got.grads.keys() == params.keys()
    for n, value in params.items():
        wanted = differences.gradient(lambda v, n=n: loss(params | {n: v}), value)
        np.testing.assert_allclose(got.grads[n], wanted, atol=1e-8, err_msg=n)


@pytest.mark.parametrize("name", ["autoregressive", "full"])
def test_forbidden_weights_have_the_gradient_zero(
    host: str, name: str, rng: np.random.Generator
) -> None:
    """Exactly, at any draw; and the allowed ones have another."""
    net = NETS[name]
    data = rows(net, 4, rng)
    program, params = bind(net, host, data, rng)
    grads = probe(program, params, data, VIMCO(4)).grads
    masked = {n: v for n, v in grads.items() if n == "weight" or n.endswith("_within")}
    assert len(masked) == {"autoregressive": 5, "full": 2}[name]
    for n, grad in masked.items():
        forbidden = np.triu(np.ones(grad.shape, bool))
        assert (grad[forbidden] == 0).all(), n
        assert (grad[~forbidden] != 0).any(), n


def test_forbidden_weights_stay_at_zero(host: str, rng: np.random.Generator) -> None:
    data = rows(NETS["full"], 6, rng)
    fit = ppgm.fit(
        ppgm.program(NETS["full"], host=host), data, VIMCO(2), steps=3, progress=False
    )  # fmt: skip
    for name in ("weight", "encoder_within"):
        assert (np.triu(fit.params[name]) == 0).all()
        assert (np.tril(fit.params[name], -1) != 0).any()


# Draws.


class Given:
    """Uniform noise that is given."""

    def __init__(self, noise: Any) -> None:
        self.noise = noise

    def normal(self, shape: tuple[int, ...]) -> Any:
        raise AssertionError("bits need uniform noise")

    def uniform(self, shape: tuple[int, ...]) -> Any:
        assert tuple(self.noise.shape) == shape
        return self.noise


def test_a_draw_is_made_bit_by_bit(host: str, rng: np.random.Generator) -> None:
    """At given noise the same bits as a loop in numpy, whatever the library."""
    logits, weight = rng.normal(size=(4, 5)), 3 * rng.normal(size=(5, 5))
    noise = rng.random((2, 4, 5))
    wanted = np.zeros(noise.shape)
    for k, n, i in np.ndindex(noise.shape):
        logit = logits[n, i] + sum(weight[i, j] * wanted[k, n, j] for j in range(i))
        wanted[k, n, i] = noise[k, n, i] < 1 / (1 + np.exp(-logit))
    plain = AutoregressiveBernoulli(logits, weight).sample(Given(noise), (2, 4))
    np.testing.assert_array_equal(plain, wanted)
    to = hosts.load(host).OPS.float
    made = AutoregressiveBernoulli(to(logits), to(weight))
    np.testing.assert_array_equal(np.asarray(made.sample(Given(to(noise)), (2, 4))), wanted)
    log_p = np.asarray(made.log_prob(to(wanted)))
    reference = bernoulli(wanted, logits + wanted @ np.tril(weight, -1).T)
    np.testing.assert_allclose(log_p, reference, atol=1e-12)


@pytest.mark.parametrize("name", ["autoregressive", "full", "conditional, skips"])
def test_rows_are_drawn_with_their_probabilities(
    host: str, name: str, rng: np.random.Generator
) -> None:
    """Frequencies of all 8 rows of bits within 5 standard errors."""
    net, n = NETS[name], 20_000
    given = {"c": np.repeat(rng.normal(size=(1, C)), n, 0)} if conditional(net) else {}
    states = {"x": binary_states(D)} | {k: v[:8] for k, v in given.items()}
    program, params = bind(net, host, states, rng)
    fit = as_fit(program, states)._replace(params=params)
    drawn = np.asarray(ppgm.sample(fit, n, data=given)["x"])
    p = np.exp(net.log_likelihood(params, **states))
    seen = np.bincount((drawn @ [4, 2, 1]).astype(int), minlength=8) / n
    assert np.abs((seen - p) / np.sqrt(p * (1 - p) / n)).max() < 5


@pytest.mark.parametrize("name", ["autoregressive", "full"])
def test_the_guide_draws_with_its_probabilities(
    host: str, name: str, rng: np.random.Generator
) -> None:
    net, n = NETS[name], 20_000
    data = rows(net, 1, rng)
    program, params = bind(net, host, data, rng)
    draws = hosts.load(host).sample(program, "guide", params, data, n, 0)
    network, guide = exact(net, params, data)
    hidden = sbn.hidden_states(network)
    p = np.exp(sbn.log_guide(data["x"], hidden, guide))[:, 0]
    units = np.concatenate([np.asarray(draws[site])[:, 0] for site in widths(net)], -1)
    weights = 2 ** np.arange(units.shape[1])[::-1]
    seen = np.bincount((units @ weights).astype(int), minlength=len(p)) / n
    assert np.abs((seen - p) / np.sqrt(p * (1 - p) / n)).max() < 5


# What surrounds them.


def test_a_net_too_large_to_enumerate_is_told(rng: np.random.Generator) -> None:
    for net in (SBN(4, (17,)), FullSBN(4, 17), ConditionalSBN(4, 2, (17,))):
        given = {"c": np.zeros((1, 2))} if conditional(net) else {}
        with pytest.raises(ArgumentError, match="17 units.*ppgm.evaluate"):
            net.log_likelihood({}, x=np.zeros((1, 4)), **given)


@pytest.mark.parametrize("name", ["autoregressive", "full", "conditional"])
def test_evaluate_has_the_exact_value(host: str, name: str, rng: np.random.Generator) -> None:
    net = NETS[name]
    data = rows(net, 4, rng)
    found = ppgm.evaluate(ppgm.program(net, host=host), data, particles=2000)
    assert found.exact is not None
    assert np.abs((found.log_likelihood - found.exact) / found.row_errors).max() < 6


def test_dependent_bits_cannot_be_enumerated(host: str, rng: np.random.Generator) -> None:
    data = rows(NETS["full"], 2, rng)
    program = ppgm.program(NETS["full"], host=host)
    with pytest.raises(EstimatorError, match="'h'"):
        ELBO(enumerate=("h",)).check(program.sites(data))


@pytest.mark.parametrize(
    ("make", "given", "words"),
    [
        (SBN, {"features": "64"}, "SBN: features must be an integer"),
        (SBN, {"layers": ()}, "SBN: layers must have a width for at least one layer"),
        (SBN, {"layers": (0,)}, "SBN: layers must be a tuple of integers"),
        (SBN, {"layers": 200}, "SBN: layers must be a tuple of integers"),
        (SBN, {"between": (0,)}, "SBN: between must be a tuple of integers"),
        (SBN, {"autoregressive": "guide"}, "SBN: autoregressive must be True"),
        (FullSBN, {"hidden": 0}, "FullSBN: hidden must be an integer"),
        (FullSBN, {"posterior": "exact"}, "FullSBN: posterior must be one of"),
        (ConditionalSBN, {"condition": 0}, "ConditionalSBN: condition must be an integer"),
        (
            ConditionalSBN,
            {"condition": 2, "layers": ()},
            "ConditionalSBN: layers must have a width",
        ),
    ],
)
def test_options_are_checked(make: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make(**{"features": 4} | given)


# Of a single unit at the top, half of the few draws may be one: no gradient in its prior.
MORE = [SBN(D, (2, 3), between=(2,))]
MORE += [NETS[name] for name in ("autoregressive", "full, factorised", "conditional, skips")]


def _cases() -> list[tuple[Any, dict[str, np.ndarray]]]:
    return [(net, rows(net, 3, np.random.default_rng(1))) for net in MORE]


@pytest.mark.slow
@parametrize_with_checks(_cases())
def test_nets_of_all_options_keep_the_contract(check: Check) -> None:
    check.run()
