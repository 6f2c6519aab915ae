"""Exact tests of what only a deliberate fault in the source has shown to be untested."""

from dataclasses import dataclass

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.inference import ELBO, GAN, IWAE, STL, VIMCO, ContrastiveDivergence, Renyi
from ppgm.models import (
    RBM,
    SBN,
    VAE,
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    FactorAnalysis,
    Gaussian,
    Generator,
)
from ppgm.optimisers import SGD
from ppgm.probes import probe
from ppgm.sources import open_source
from ppgm.testing import densities, rbm

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")

X = np.sin(np.arange(28.0)).reshape(7, 4) * 2
STILL = SGD(0.0)


def test_an_epoch_of_ragged_minibatches_has_the_full_bound(host):
    """With the exact guide, nothing that moves and 3 + 3 + 1 rows: log p(x) in every epoch."""
    model = FactorAnalysis(4, 2, posterior="exact")
    program = ppgm.program(model, host=host)
    fit = ppgm.fit(program, {"x": X}, IWAE(2), epochs=2, batch_size=3, optimiser=STILL,
                   progress=False)  # fmt: skip
    wanted = model.log_likelihood(fit.params, X).mean()
    np.testing.assert_allclose(fit.history["bound"], wanted, rtol=1e-9)


@pytest.mark.parametrize("callbacks", [[], [lambda _: None]], ids=["one chunk", "chunks"])
def test_every_step_draws_anew(host, callbacks):
    program = ppgm.program(FactorAnalysis(4, 2), host=host)
    fit = ppgm.fit(program, {"x": X}, ELBO(), epochs=4, optimiser=STILL, callbacks=callbacks,
                   progress=False)  # fmt: skip
    assert len(set(fit.history["bound"])) == 4


def test_every_epoch_has_an_order_of_its_own():
    source = open_source({"x": X}, 3, 0)
    (chunk,) = source.chunks(0, 6, each_epoch=False)
    first, second = (chunk.index[i : i + 3][chunk.mask[i : i + 3]] for i in (0, 3))
    assert sorted(first) == sorted(second) == list(range(7))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize("own", [False, True], ids=["declaration", "callables"])
def test_every_particle_draws_anew(host, own):
    program = ppgm.program(FactorAnalysis(4, 2), host=host)
    if own:
        program = ppgm.Program(program.model, program.guide, host=host)
    log_w = hosts.load(host).log_weights(program, {}, {"x": X}, 5, 0)
    assert log_w.shape == (5, 7)
    assert len(np.unique(log_w)) == 35


PLAYERS = [
    (FactorAnalysis(4, 2), b, {"x": X}, {"program": ("decoder", "encoder", "scale")})
    for b in (ELBO(), IWAE(2))
] + [
    pytest.param((FactorAnalysis(4, 2), b, {"x": X},
                  {"program": ("decoder", "encoder", "scale")}), marks=pytest.mark.slow)
    for b in (STL(), Renyi(0.5, 2))
] + [
    (SBN(4, (2,)), VIMCO(2), {"x": X > 0}, {"program": ("decoder1", "encoder1", "prior")}),
    (Generator(4, 2, hidden=(3,)), GAN(), {"x": X},
     {"critic": ("critic",), "generator": ("generator",)}),
    (RBM(4, 2), ContrastiveDivergence(), {"v": np.asarray(X > 0, float)},
     {"program": ("hidden", "visible", "weight")}),
]  # fmt: skip


@pytest.mark.parametrize("case", PLAYERS, ids=lambda c: type(c[1]).__name__)
def test_every_player_moves_its_own_parameters_and_no_others(host, case):
    """In one step of training, and in the gradients of a probe."""
    declaration, objective, data, wanted = case
    program = ppgm.program(declaration, host=host)
    start = hosts.load(host).initial(program, data)
    for player, groups in wanted.items():
        grads = probe(program, start, data, objective, player=player).grads
        assert {n.split(".")[0] for n in grads} == set(groups)
        # the others stand still: what moves is this player's
        rates = {p.name: SGD(0.1 if p.name == player else 0.0) for p in objective.players}
        fit = ppgm.fit(program, data, objective, steps=1, optimiser=rates, progress=False)
        still = ppgm.fit(program, data, objective, steps=1, optimiser=STILL, progress=False)
        moved = {n.split(".")[0] for n, v in fit.params.items()
                 if not np.array_equal(v, still.params[n])}  # fmt: skip
        assert moved == set(groups)


# Likelihoods, which both hosts share: agreement of hosts cannot find a fault in them.

OUTPUTS = np.linspace(-2.5, 2.5, 24).reshape(4, 6)
UNIT = np.linspace(0.02, 0.98, 24).reshape(4, 6)
LIKELIHOODS = [
    (Bernoulli(), OUTPUTS, (UNIT > 0.5).astype(float), densities.bernoulli),
    (ContinuousBernoulli(), OUTPUTS, UNIT, densities.continuous_bernoulli),
    (Gaussian(0.7), OUTPUTS, UNIT, lambda x, o: densities.normal(x, o, 0.7 + 0 * o)),
    (Gaussian(), OUTPUTS, UNIT[:, :3],
     lambda x, o: densities.normal(x, o[:, :3], np.exp(o[:, 3:]))),
    (Categorical(3), OUTPUTS, np.array([[0, 2], [1, 1], [2, 0], [1, 2]]),
     lambda x, o: densities.categorical(x, o.reshape(4, 2, 3))),
]  # fmt: skip


@pytest.mark.parametrize("case", LIKELIHOODS, ids=lambda c: repr(c[0]))
def test_the_density_of_a_likelihood(host, case):
    """Through a decoder that is the identity: z are the outputs."""
    likelihood, outputs, x, density = case
    model = VAE(x.shape[1], outputs.shape[1], hidden=(), likelihood=likelihood)
    program = ppgm.program(model, host=host)
    size = outputs.shape[1]
    params = {"decoder.layers.0.weight": np.eye(size), "decoder.layers.0.bias": np.zeros(size)}
    got = hosts.load(host).log_density(program, params, {"x": x}, {"z": outputs[None]})["x"]
    wanted = np.asarray(density(x, outputs)).reshape(4, -1).sum(-1)
    np.testing.assert_allclose(got[0], wanted, rtol=1e-9)


def test_draws_of_the_continuous_bernoulli_have_its_distribution(host):
    """Kolmogorov's distance to the distribution function, at alpha 1e-6: 2.7 / sqrt(n)."""
    logits, n = np.array([-6.0, -0.5, 1e-7, 0.5, 6.0]), 20_000
    model = VAE(5, 1, hidden=(), likelihood=ContinuousBernoulli())
    params = {"decoder.layers.0.weight": np.zeros((5, 1)), "decoder.layers.0.bias": logits}
    program = ppgm.program(model, host=host)
    x = np.sort(ppgm.sample(ppgm.Fit(program, params, {}, {}, {}), n)["x"], axis=0)
    cdf = np.expm1(x * logits) / np.expm1(logits)
    assert np.abs(cdf - (np.arange(n)[:, None] + 0.5) / n).max() < 2.7 / np.sqrt(n)


# The machine and its chains, where large weights make every draw certain: one bit spreads to
# its neighbour in each step.

BIG = 2000.0
DOMINO = {
    "weight": BIG * np.array([[1.0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]),
    "visible": np.full(4, -0.5 * BIG), "hidden": np.full(3, -0.5 * BIG),
}  # fmt: skip
STATES = np.tri(4)  # k + 1 bits set


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_chains_take_their_steps(host, steps):
    program = ppgm.program(RBM(4, 3), host=host)
    data = {"v": np.repeat(STATES[3:], 5, axis=0)}
    starts = np.repeat(STATES[:1], 3, axis=0)
    got = probe(program, DOMINO, data, ContrastiveDivergence(steps), state={"chains": starts})
    np.testing.assert_array_equal(got.state["chains"], np.repeat(STATES[steps : steps + 1], 3, 0))
    machine = RBM(4, 3).exact_model(DOMINO)
    wanted = rbm.free_energy(data["v"], machine)[0] - rbm.free_energy(STATES, machine)[steps]
    assert got.loss == pytest.approx(wanted, rel=1e-9)
    assert got.metrics["gap"] == got.loss


def test_chains_start_at_the_data_unless_they_persist(host):
    program = ppgm.program(RBM(4, 3), host=host)
    data = {"v": STATES[:2]}
    machine = RBM(4, 3).exact_model(DOMINO)
    energy = rbm.free_energy(STATES, machine)
    for persistent in (False, True):
        got = probe(program, DOMINO, data, ContrastiveDivergence(1, persistent=persistent))
        assert got.loss == pytest.approx((energy[:2] - energy[1:3]).mean(), rel=1e-9)
        assert bool(got.state) == persistent


def test_without_weights_the_kernel_draws_by_the_biases(host):
    """Independent bits; z-tests at alpha 1e-6."""
    params = {"weight": np.zeros((2, 3)), "visible": np.array([-1.0, 0.3, 2.0]),
              "hidden": np.zeros(2)}  # fmt: skip
    program = ppgm.program(RBM(3, 2), host=host)
    starts = np.zeros((20_000, 3))
    v = hosts.load(host).kernel(program, params, {"v": starts}, starts, 1, 0)
    p = 1 / (1 + np.exp(-params["visible"]))
    assert np.abs((v.mean(0) - p) / np.sqrt(p * (1 - p) / 20_000)).max() < 4.89


# Discrete draws outside and inside a plate, some rows of which are seen.


@dataclass(frozen=True)
class Switch:
    """A bit for all rows, and one for each."""

    def model(self, ppl, x=None):
        bernoulli, normal = ppl.distributions.Bernoulli, ppl.distributions.Normal
        zero = ppl.np.zeros(())
        c = ppl.sample("c", bernoulli(logits=zero + 0.3))
        with ppl.plate("data", x):
            z = ppl.sample("z", bernoulli(logits=ppl.ops.float(c) - 0.4))
            ppl.sample("x", normal(2 * ppl.ops.float(z) + ppl.ops.float(c), zero + 1), obs=x)

    def guide(self, ppl, x):
        bernoulli = ppl.distributions.Bernoulli
        ppl.sample("c", bernoulli(logits=ppl.param("c_logit", np.array(0.2))))
        slope = ppl.param("slope", np.array(0.5))
        with ppl.plate("data", x):
            ppl.sample("z", bernoulli(logits=slope * x))


def _sigmoid(t):
    return 1 / (1 + np.exp(-t))


def _bit(value, logit):
    return value * logit - np.logaddexp(0, logit)


def test_score_terms_of_global_and_local_bits_with_a_scale(host):
    """Gradients over all draws against differences of the enumerated bound."""
    x, scale = np.array([0.7, -1.1]), 3.0
    program = ppgm.program(Switch(), host=host)
    bits = [(c, np.array([a, b])) for c in (0, 1) for a in (0, 1) for b in (0, 1)]

    def bound(c_logit, slope):
        total = 0.0
        for c, z in bits:
            q = _bit(c, c_logit), _bit(z, slope * x)
            local = _bit(z, c - 0.4) - 0.5 * (x - 2 * z - c) ** 2 - 0.5 * np.log(2 * np.pi) - q[1]
            mass = np.exp(q[0] + q[1].sum())
            total += mass * (_bit(c, 0.3) - q[0] + scale * local.sum())
        return total

    got = {"c_logit": 0.0, "slope": 0.0, "loss": 0.0}
    for c, z in bits:
        mass = np.exp(_bit(c, 0.2) + _bit(z, 0.5 * x).sum())
        values = {"c": np.full(1, float(c)), "z": z[None].astype(float)}
        one = probe(program, {}, {"x": x}, ELBO(), values=values, scale=scale)
        got["loss"] += mass * one.loss
        for name in ("c_logit", "slope"):
            got[name] += mass * one.grads[name]
    h = 1e-5
    assert got["loss"] == pytest.approx(-bound(0.2, 0.5), rel=1e-9)
    wanted = (bound(0.2 + h, 0.5) - bound(0.2 - h, 0.5)) / (2 * h)
    assert got["c_logit"] == pytest.approx(-wanted, rel=1e-7)
    wanted = (bound(0.2, 0.5 + h) - bound(0.2, 0.5 - h)) / (2 * h)
    assert got["slope"] == pytest.approx(-wanted, rel=1e-7)


def subsampled(host, size):
    """Rows of a plate of 4 of which `size` are seen, at the exact posterior."""
    if host == "pyro":
        import pyro as host_
        import pyro.distributions as dist
        import torch as xp
    else:
        import jax.numpy as xp
        import numpyro as host_
        import numpyro.distributions as dist

    zero = xp.zeros(())

    def model(x):
        with host_.plate("rows", 4, subsample_size=size) as index:
            z = host_.sample("z", dist.Normal(zero, zero + 1))
            host_.sample("x", dist.Normal(z, zero + 1), obs=xp.asarray(x)[index])

    def guide(x):
        half = host_.param("half", zero + 0.5)
        with host_.plate("rows", 4, subsample_size=size) as index:
            host_.sample("z", dist.Normal(xp.asarray(x)[index] * half, zero + 0.5**0.5))

    return ppgm.Program(model, guide, host=host)


@pytest.mark.parametrize("objective", [ELBO(), IWAE(3)], ids=["elbo", "iwae"])
def test_a_subsampling_plate_stands_for_all_its_rows(host, objective):
    """Equal data, so that any subsample has the same exact value."""
    x = np.full(4, 1.3)
    log_p = -0.25 * 1.3**2 - 0.5 * np.log(4 * np.pi)
    for size in (4, 2, 1):
        got = probe(subsampled(host, size), {}, {"x": x}, objective)
        assert got.loss == pytest.approx(-log_p, rel=1e-9), size


def test_networks_of_one_program_start_apart(host):
    """The same shapes and the same seed, and other names."""
    program = ppgm.program(SBN(3, (3, 3)), host=host)
    start = hosts.load(host).initial(program, {"x": np.zeros((2, 3))})
    weights = [v for n, v in start.items() if n.endswith("weight")]
    assert len(weights) == 4
    assert len({w.tobytes() for w in weights}) == 4
