"""Scales and masks: every number against enumeration, on both hosts.

The user's own scale and mask temper the objective, never the density that a draw came from; a
plate's subsampling scale counts once, wherever it was declared.
"""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

import ppgm
from ppgm.errors import EstimatorError, ModelError
from ppgm.inference import CUBO, ELBO, IWAE, VIMCO, Renyi
from ppgm.optimisers import Adam
from ppgm.probes import probe

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")
LOGIT, PRIOR = 0.4, np.array([0.7, 0.3])


def tools(host):
    """The names of a host that a test's programs use."""
    if host == "pyro":
        import pyro
        import torch

        return SimpleNamespace(
            sample=pyro.sample, plate=pyro.plate, param=pyro.param, dist=pyro.distributions,
            scale=lambda s: pyro.poutine.scale(scale=s),
            mask=lambda m: pyro.poutine.mask(mask=m), array=torch.as_tensor, zeros=torch.zeros,
        )  # fmt: skip
    import jax.numpy as jnp
    import numpyro

    return SimpleNamespace(
        sample=numpyro.sample, plate=numpyro.plate, param=numpyro.param,
        dist=numpyro.distributions, scale=lambda s: numpyro.handlers.scale(scale=s),
        mask=lambda m: numpyro.handlers.mask(mask=m), array=jnp.asarray, zeros=jnp.zeros,
    )  # fmt: skip


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normal(x, mean):
    return -0.5 * (x - mean) ** 2 - 0.5 * math.log(2 * math.pi)


def slope(function, at, step=1e-5):
    return (function(at + step) - function(at - step)) / (2 * step)


def bit_bound(x, logit, weight=1.0):
    """E_q[log N(x; h, 1) + weight (log p(h) - log q(h))] of one bit."""
    q = np.array([1 - sigmoid(logit), sigmoid(logit)])
    return sum(q[h] * (normal(x, h) + weight * (np.log(PRIOR[h]) - np.log(q[h]))) for h in (0, 1))


def expectation(evaluate, units):
    """Weights evaluations at every setting of so many bits by their probability."""
    q = [1 - sigmoid(LOGIT), sigmoid(LOGIT)]
    loss = grad = 0.0
    for bits in itertools.product((0, 1), repeat=units):
        found = evaluate(np.array(bits, float))
        weight = math.prod(q[b] for b in bits)
        loss, grad = loss + weight * found.loss, grad + weight * found.grads["l"]
    return loss, grad


@pytest.mark.parametrize("objective", [ELBO(), IWAE(1), Renyi(0.5, 1), "enumerate"])
def test_a_scale_handler_tempers_the_objective_and_not_the_draw(host, objective):
    t = tools(host)

    def model(x):
        with t.scale(0.1):
            h = t.sample("h", t.dist.Bernoulli(t.array(0.3)))
        t.sample("x", t.dist.Normal(h, 1.0), obs=x)

    def guide(x):
        logit = t.param("l", t.array(LOGIT))
        with t.scale(0.1):
            t.sample("h", t.dist.Bernoulli(logits=logit))

    program = ppgm.Program(model, guide, host=host)
    params, data = {"l": np.array(LOGIT)}, {"x": np.array(1.7)}
    if objective == "enumerate":
        found = probe(program, params, data, ELBO(enumerate=("h",)))
        loss, grad = found.loss, found.grads["l"]
    else:
        loss, grad = expectation(
            lambda h: probe(program, params, data, objective, values={"h": h}), 1
        )

    def exact(logit):
        return -bit_bound(1.7, logit, 0.1)

    assert loss == pytest.approx(exact(LOGIT), abs=1e-12)
    assert grad == pytest.approx(slope(exact, LOGIT), abs=1e-9)


@pytest.mark.parametrize("enumerate", [(), ("h",)])
def test_a_masked_draw_is_weighed_by_its_own_density(host, enumerate):
    t, x, mask = tools(host), np.array([1.7, 0.2]), np.array([True, False])

    def model(x, m):
        with t.plate("d", len(x)):
            with t.mask(m):
                h = t.sample("h", t.dist.Bernoulli(t.array(0.3)))
            t.sample("x", t.dist.Normal(h, 1.0), obs=x)

    def guide(x, m):
        logit = t.param("l", t.array(LOGIT))
        with t.plate("d", len(x)), t.mask(m):
            t.sample("h", t.dist.Bernoulli(logits=logit))

    program = ppgm.Program(model, guide, host=host)
    params, data = {"l": np.array(LOGIT)}, {"x": x, "m": mask}
    if enumerate:
        found = probe(program, params, data, ELBO(enumerate=enumerate))
        loss, grad = found.loss, found.grads["l"]
    else:
        loss, grad = expectation(
            lambda h: probe(program, params, data, ELBO(), values={"h": h[None]}), 2
        )

    def exact(logit):
        return -sum(bit_bound(x[i], logit, float(mask[i])) for i in range(2)) / 2

    assert loss == pytest.approx(exact(LOGIT), abs=1e-12)
    assert grad == pytest.approx(slope(exact, LOGIT), abs=1e-9)


def test_a_score_in_a_subsampled_plate_inside_the_rows_is_scaled_once(host):
    t, x = tools(host), np.array([0.3, 1.9, -0.5])

    def draws(logits):
        rows = t.plate("r", 3, dim=-2)
        inner = t.plate("f", 4, subsample_size=2, dim=-1)
        with rows:
            t.sample("z", t.dist.Normal(t.zeros((3, 1)), 1.0))
            with inner:
                return t.sample("h", t.dist.Bernoulli(logits=logits)), rows, inner

    def model(x):
        h, rows, inner = draws(t.array(np.log(3 / 7)))
        with rows, inner:
            t.sample("x", t.dist.Normal(h, 1.0), obs=x[:, None] + t.zeros((3, 2)))

    def guide(x):
        draws(t.param("l", t.array(LOGIT)))

    program = ppgm.Program(model, guide, host=host)

    def evaluate(bits):
        values = {"z": np.zeros((1, 3, 1)), "h": bits.reshape(1, 3, 2)}
        return probe(program, {"l": np.array(LOGIT)}, {"x": x}, ELBO(), values=values)

    def exact(logit):
        return -sum(4 * bit_bound(v, logit) for v in x) / 3

    loss, grad = expectation(evaluate, 6)
    assert loss == pytest.approx(exact(LOGIT), abs=1e-12)
    assert grad == pytest.approx(slope(exact, LOGIT), abs=1e-9)


@pytest.mark.parametrize("objective", [ELBO(), IWAE(1), Renyi(0.5, 1)])
def test_local_scores_beside_a_global_latent_are_scaled_once(host, objective):
    t, x = tools(host), np.array([0.3, 1.9])

    def model(x):
        shift = t.sample("t", t.dist.Normal(t.array(0.0), 1.0))
        with t.plate("d", len(x)):
            h = t.sample("h", t.dist.Bernoulli(t.array(0.3)))
            t.sample("x", t.dist.Normal(h + shift, 1.0), obs=x)

    def guide(x):
        logit = t.param("l", t.array(LOGIT))
        t.sample("t", t.dist.Normal(t.array(0.0), 1.0))
        with t.plate("d", len(x)):
            t.sample("h", t.dist.Bernoulli(logits=logit))

    program = ppgm.Program(model, guide, host=host)

    def evaluate(bits):
        values = {"t": np.array([0.2]), "h": bits[None]}
        return probe(
            program, {"l": np.array(LOGIT)}, {"x": x}, objective, values=values, scale=5.0
        )

    def exact(logit):
        return -5 * sum(bit_bound(v - 0.2, logit) for v in x)

    loss, grad = expectation(evaluate, 2)
    assert loss == pytest.approx(exact(LOGIT), abs=1e-12)
    assert grad == pytest.approx(slope(exact, LOGIT), abs=1e-9)


def mean_program(host, size):
    """A normal mean with a flat-ish prior; `size` tells the plate how many data there are."""
    t = tools(host)

    def model(y):
        mu = t.sample("mu", t.dist.Normal(t.array(0.0), 10.0))
        with t.plate("d", size or len(y), subsample_size=len(y)):
            t.sample("y", t.dist.Normal(mu, 1.0), obs=y)

    def guide(y):
        loc = t.param("loc", t.array(0.0))
        scale = t.param("scale", t.array(0.5), constraint=t.dist.constraints.positive)
        t.sample("mu", t.dist.Normal(loc, scale))

    return ppgm.Program(model, guide, host=host)


@pytest.mark.parametrize("size", [None, 10])
def test_the_hosts_minibatch_idiom_counts_the_data_once(host, size):
    """`plate("d", N, subsample_size=len(y))` and the engine's minibatches say the same N/B."""
    y = np.arange(10.0) / 10
    program = mean_program(host, size)
    options = {"batch_size": 4, "epochs": 1, "optimiser": Adam(1e-12), "seed": 3}
    params = {"loc": np.array(0.3), "scale": np.array(1e-9)}  # all draws are the mean itself
    config = {"objective": ELBO(), "optimiser": {}, "seed": 0, "epochs": 0, "steps": 0}
    start = ppgm.Fit(program, params, {}, {}, config | {"rows": 10, "batch_size": 4})
    bound = ppgm.fit(start, {"y": y}, ELBO(), **options).history["bound"][0]
    prior = normal(0.03, 0.0) - math.log(10.0)
    entropy = 0.5 * math.log(2 * math.pi) + math.log(1e-9)
    exact = prior + normal(y, 0.3).sum()
    # what is left to chance is log q at three draws, standard deviation 0.41: seven of them
    assert bound == pytest.approx(exact + entropy + 0.5, abs=2.9)
    assert abs(normal(y, 0.3).sum()) > 9  # a scale counted twice would be 18 nats off


def test_a_plate_of_another_size_than_the_data_is_refused_under_minibatches(host):
    with pytest.raises(ModelError, match="plate 'd' draws 4 of 25, and there are 10 rows"):
        ppgm.fit(mean_program(host, 25), {"y": np.arange(10.0)}, ELBO(), batch_size=4, steps=1)


def test_a_plate_of_more_rows_than_the_data_scales_the_full_bound(host):
    """Ten data that stand for a thousand: the bound per datum is that of ten."""
    t, y = tools(host), np.arange(10.0) / 10

    def model(y):
        with t.plate("d", 1000, subsample_size=10):
            z = t.sample("z", t.dist.Normal(t.zeros((10,)), 1.0))
            t.sample("y", t.dist.Normal(z, 1.0), obs=y)

    def guide(y):
        half = t.param("half", t.array(0.5))
        with t.plate("d", 1000, subsample_size=10):
            t.sample("z", t.dist.Normal(half * y, math.sqrt(0.5)))

    found = probe(ppgm.Program(model, guide, host=host), {}, {"y": y}, IWAE(3))
    exact = -0.25 * y**2 - 0.5 * math.log(4 * math.pi)
    assert -found.loss == pytest.approx(exact.mean(), abs=1e-12)


def test_what_the_hosts_own_svi_cannot_step_is_refused(host):
    for objective, word in (
        (CUBO(), "does not train the model"),
        (ppgm.inference.ContrastiveDivergence(), "does not train the guide"),
        (ppgm.inference.GAN(), "players"),
    ):
        with pytest.raises(EstimatorError, match=word):
            objective.native(host)


@pytest.mark.parametrize("fault", ["no plate", "no latent"])
def test_native_losses_check_the_program(host, fault):
    t = tools(host)

    def model(x):
        z = t.sample("z", t.dist.Normal(t.array(0.0), 1.0))
        if fault == "no latent":
            t.sample("w", t.dist.Normal(t.array(0.0), 1.0))
            t.sample("x", t.dist.Normal(z, 1.0), obs=x[0])
        else:
            t.sample("x", t.dist.Normal(z, 1.0), obs=x)

    def guide(x):
        t.sample("z", t.dist.Normal(t.param("a", t.array(0.0)), 1.0))

    x = t.array(np.array([0.1, 0.2, 0.3]))
    loss = IWAE(2).native(host)
    if host == "pyro":
        call = lambda: loss.loss(model, guide, x)  # noqa: E731
    else:
        import jax

        call = lambda: loss.loss(jax.random.key(0), {"a": t.array(0.0)}, model, guide, x)  # noqa: E731
    with pytest.raises(ModelError, match="'w'|axis -1 is in no plate"):
        call()


def test_particles_of_a_declaration_that_does_not_broadcast_are_kept_apart(host):
    """Sums over all axes would mix particles in a plate."""

    class Whole:
        def model(self, ppl, x=None):
            with ppl.plate("data", x):
                w = ppl.sample("w", ppl.distributions.Normal(ppl.np.zeros(2), 1.0).to_event(1))
                ppl.sample("x", ppl.distributions.Normal(0.0 * w.sum(-1), 1.0), obs=x)
                ppl.factor("reg", 0.0 * w.sum(-1) - (w**2).sum() / w.shape[-2])

        def guide(self, ppl, x):
            loc = ppl.param("loc", np.zeros(2))
            with ppl.plate("data", x):
                ppl.sample("w", ppl.distributions.Normal(loc, 1.0).to_event(1))

    rng = np.random.default_rng(0)
    program, x = ppgm.program(Whole(), host=host), rng.normal(size=3)
    w = rng.normal(size=(4, 3, 2))
    together = probe(program, {}, {"x": x}, ELBO(4), values={"w": w}).loss
    apart = [
        probe(program, {}, {"x": x}, ELBO(1), values={"w": w[k : k + 1]}).loss for k in range(4)
    ]
    assert together == pytest.approx(np.mean(apart), abs=1e-12)


def test_vimco_refuses_what_iwae_refuses(host):
    with pytest.raises(EstimatorError, match="outside plate 'd'"):
        ppgm.fit(mean_program(host, None), {"y": np.arange(10.0)}, VIMCO(2), batch_size=4, steps=1)
