"""Optimisers: one step by its formula, and fifty steps alike on both hosts.

With the exact posterior as its guide the bound of factor analysis and its gradient do not depend
on the draws, so that whole trajectories are exact.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError
from ppgm.inference import ELBO, GAN
from ppgm.models import FactorAnalysis, Generator
from ppgm.optimisers import SGD, Adam, AdamW, RMSprop
from ppgm.probes import probe

FA = FactorAnalysis(3, 2, posterior="exact")
X = np.random.default_rng(1).normal(size=(22, 3)) @ np.diag([1.0, 2.0, 0.5])
OPTIMISERS = {
    "adam": Adam(rate=0.02, b1=0.8, b2=0.99, eps=1e-3),
    "adamw": AdamW(rate=0.02, decay=0.3),
    "sgd": SGD(rate=0.02),
    "momentum": SGD(rate=0.01, momentum=0.7),
    "rmsprop": RMSprop(rate=0.02, decay=0.9),
}

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")


def trained(host, optimiser, **options):
    options = {"steps": 50, "batch_size": 5} | options
    return ppgm.fit(ppgm.program(FA, host=host), {"x": X}, ELBO(), optimiser=optimiser, **options)


def free(params):
    """Parameters as the optimiser moves them."""
    return {n: np.log(v) if n == "scale" else v for n, v in params.items()}


def first_change(optimiser, gradient, value):
    """What a first step adds, by the formula of its paper."""
    match optimiser:
        case SGD():
            return -optimiser.rate * gradient
        case RMSprop():
            root = np.sqrt((1 - optimiser.decay) * gradient**2)
            return -optimiser.rate * gradient / (root + optimiser.eps)
    decay = optimiser.decay * value if isinstance(optimiser, AdamW) else 0.0
    return -optimiser.rate * (gradient / (np.abs(gradient) + optimiser.eps) + decay)


@cache
def at_start(host):
    """Initial parameters and the gradient there, in double precision."""
    program = ppgm.program(FA, host=host)
    start = hosts.load(host).initial(program, {"x": X})
    return start, probe(program, start, {"x": X}, ELBO()).grads


@pytest.mark.parametrize(
    ("name", "clip"), [*((n, None) for n in OPTIMISERS), ("adam", 0.25), ("sgd", 0.25)]
)
def test_a_step_is_the_formula(host, name, clip):
    optimiser = replace(OPTIMISERS[name], clip_norm=clip)
    start, grads = at_start(host)
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    assert norm > 0.25
    factor = 1.0 if clip is None else clip / norm

    after = free(trained(host, optimiser, steps=1, batch_size=None).params)

    for name, value in free(start).items():
        change = first_change(optimiser, factor * grads[name], value)
        np.testing.assert_allclose(after[name] - value, change, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "clip"),
    [("adam", 0.5), ("adamw", None), ("sgd", 0.5), ("momentum", None), ("rmsprop", None)],
)
def test_hosts_go_the_same_way(name, clip):
    pytest.importorskip("pyro")
    pytest.importorskip("numpyro")
    optimiser = replace(OPTIMISERS[name], clip_norm=clip)
    ours, theirs = (trained(host, optimiser) for host in ("pyro", "numpyro"))
    for name, value in ours.params.items():
        np.testing.assert_allclose(theirs.params[name], value, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(theirs.history["bound"], ours.history["bound"], rtol=1e-9)
    assert ours.history["bound"][-1] > ours.history["bound"][0]


def test_clipping_leaves_short_gradients_alone(host):
    plain = trained(host, SGD(), steps=7)
    clipped = trained(host, SGD(clip_norm=1e6), steps=7)
    for name, value in plain.params.items():
        np.testing.assert_array_equal(clipped.params[name], value)


def test_optimisers_of_the_host(host):
    if host == "pyro":
        import torch

        own = lambda leaves: torch.optim.SGD(leaves, 0.02)  # noqa: E731
    else:
        import optax

        own = optax.sgd(0.02)
    ours, theirs = trained(host, SGD(rate=0.02), steps=7), trained(host, own, steps=7)
    for name, value in ours.params.items():
        np.testing.assert_allclose(theirs.params[name], value, rtol=1e-12)


@pytest.mark.parametrize("wrong", ["adam", 1e-3, object()])
def test_what_is_no_optimiser_is_refused(host, wrong):
    with pytest.raises(ArgumentError, match="optimiser must be one of ppgm.optimisers"):
        trained(host, wrong, steps=1)


def test_optimisers_of_players_are_named(host):
    program = ppgm.program(Generator(3, hidden=(4,)), host=host)
    with pytest.raises(ArgumentError, match=r"\['critik', 'generator'\].*'critic'"):
        ppgm.fit(
            program, {"x": X}, GAN(), steps=1, optimiser={"critik": Adam(), "generator": Adam()}
        )


def test_a_player_moves_by_its_own_optimiser(host):
    program = ppgm.program(Generator(3, hidden=(4,)), host=host)
    start = ppgm.fit(program, {"x": X}, GAN(), steps=1, optimiser=SGD(rate=0.0)).params

    def moved(critic, generator):
        rates = {"critic": SGD(rate=critic), "generator": SGD(rate=generator)}
        after = ppgm.fit(program, {"x": X}, GAN(), steps=1, optimiser=rates).params
        return {n.split(".")[0] for n, v in after.items() if not np.array_equal(v, start[n])}

    assert moved(0.1, 0.0) == {"critic"}
    assert moved(0.0, 0.1) == {"generator"}
    assert moved(0.1, 0.1) == {"critic", "generator"}


def test_an_expanded_gradient_moves_every_entry(host):
    """The gradient of a sum is one number expanded, which torch's fused Adam misreads."""

    class Shift:
        def model(self, ppl, x):
            shift = ppl.param("shift", np.zeros((3, 4)))
            with ppl.plate("data", x):
                ppl.factor("f", shift.sum() + 0.0 * x)

        def guide(self, ppl, x):
            pass

    found = ppgm.fit(
        ppgm.program(Shift(), host=host), {"x": np.ones(2)}, ELBO(), steps=5,
        optimiser=Adam(rate=0.1),
    )  # fmt: skip
    np.testing.assert_allclose(found.params["shift"], np.full((3, 4), 0.5), rtol=1e-6)
