"""Networks, running means and schedules in the hosts' own SVI.

The draws are given, so that a step has one right outcome: that of `ppgm.probes.probe` with the
state, the step and the networks that the steps before have left.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

import ppgm
from ppgm.errors import EstimatorError, ModelError
from ppgm.host import load
from ppgm.inference import ELBO, IWAE, NVIL, REINFORCE, Anneal, Gumbel, Score
from ppgm.inference.native import keeps
from ppgm.models import SBN
from ppgm.nets import MLP
from ppgm.probes import probe
from ppgm.testing import sbn
from ppgm.testing.arrays import bernoulli
from tests.test_oracles_sbn import bits

NET, ROWS, RATE, STEPS = SBN(3, (2, 1)), 5, 0.003, 4
TOLERANCE = 1e-9

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")

WARM = Anneal(0.2, 1.0, steps=3)
OBJECTIVES = {
    "nvil": NVIL(1, hidden=(4,), decay=0.6),
    "reinforce": REINFORCE(2),
    "annealed": ELBO(2, gradient="rloo", beta=WARM),
    "a sum": 0.5 * NVIL(1, hidden=(4,)) + 0.5 * ELBO(1, beta=WARM),
    "no state": ELBO(1, gradient=Score(downstream=True)),
}


class Trained(NamedTuple):
    """What some steps have led to: losses of all data, parameters, state, number of steps."""

    losses: list[float]
    params: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    steps: int


def given(rng: np.random.Generator, particles: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Data, and draws of both layers ``(K, rows, bits)``."""
    h1 = bits(rng, particles * ROWS, 2).reshape(particles, ROWS, 2)
    h2 = bits(rng, particles * ROWS, 1).reshape(particles, ROWS, 1)
    return bits(rng, ROWS, 3), {"h1": h1, "h2": h2}


def force(monkeypatch: pytest.MonkeyPatch, host: str, values: dict[str, np.ndarray]) -> None:
    """Gives every loss of the host's SVI these draws."""
    if host == "pyro":
        import torch

        from ppgm import host_pyro_native as native

        forced = {n: torch.as_tensor(v) for n, v in values.items()}
        runner = partial(native.PyroRunner, forced=forced)
        monkeypatch.setattr(native, "PyroRunner", runner)
    else:
        import jax.numpy as jnp

        from ppgm import host_numpyro_native_view as native

        forced = {n: jnp.asarray(v) for n, v in values.items()}
        runner = partial(native.NumpyroRunner, forced=forced)
        monkeypatch.setattr(native, "NumpyroRunner", runner)


def trained(host: str, objective: Any, x: np.ndarray, steps: int = STEPS) -> Trained:
    """Takes steps of stochastic gradient descent with the host's own SVI."""
    return (_by_pyro if host == "pyro" else _by_numpyro)(objective, x, steps)


def _by_pyro(objective: Any, x: np.ndarray, steps: int) -> Trained:
    import pyro
    import torch
    from pyro.infer import SVI

    program, loss = ppgm.program(NET, host="pyro"), objective.native("pyro")
    guide = loss.guide(program.model, program.guide)
    svi = SVI(program.model, guide, pyro.optim.SGD({"lr": RATE}), loss)
    losses = [svi.step(torch.as_tensor(x)) for _ in range(steps)]
    params = {n.replace("$$$", "."): v for n, v in pyro.get_param_store().items()}
    state = {n: v.numpy() for n, v in getattr(guide, "state", {}).items()}
    return Trained(losses, _numpy(params), state, getattr(guide, "steps", 0))


def _by_numpyro(objective: Any, x: np.ndarray, steps: int) -> Trained:
    import jax
    import optax
    from numpyro.infer import SVI

    from ppgm.host_numpyro_run import flatten

    program, loss = ppgm.program(NET, host="numpyro"), objective.native("numpyro")
    svi = SVI(program.model, loss.guide(program.model, program.guide), optax.sgd(RATE), loss)
    state, losses = svi.init(jax.random.key(0), x), []
    update = jax.jit(svi.update)
    for _ in range(steps):
        state, value = update(state, x)
        losses.append(float(value))
    kept = (state.mutable_state or {}).get("objective", {"state": {}, "step": 0})
    return Trained(
        losses, flatten(svi.get_params(state)), _numpy(kept["state"]), int(kept["step"])
    )


def _numpy(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    return {n: np.asarray(v.detach() if hasattr(v, "detach") else v) for n, v in arrays.items()}


def first_state(params: dict, x: np.ndarray, values: dict, names: Any) -> dict[str, np.ndarray]:
    """Means and variances of the signals that NVIL and REINFORCE start from, in numpy."""
    network, guide = NET.exact_model(params), NET.exact_guide(params)
    hidden = [values["h1"], values["h2"]]
    log_w = sbn.log_joint(x, hidden, network) - sbn.log_guide(x, hidden, guide)
    (down, below), (up, above) = network.layers[0], guide.layers[0]
    lower = bernoulli(x, values["h1"] @ down.T + below)
    upper = bernoulli(values["h1"], x @ up.T + above)
    signals = {"all": log_w, "h1": log_w, "h2": log_w - lower + upper}
    moments = {"mean": np.mean, "variance": np.var}
    return {f"{m}.{n}": moments[m](signals[n]) for n in names for m in moments}


def reference(
    host: str, objective: Any, x: np.ndarray, values: dict, state: dict, *, steps: int = STEPS
) -> Trained:
    """Takes the same steps one by one with `probe`."""
    program, losses = ppgm.program(NET, host=host), []
    params: dict[str, Any] = load(host).initial(program, {"x": x})
    nets = objective.nets(_table(program, x, objective))
    params |= {f"{n}.{k}": v for n, s in nets.items() for k, v in s.initial(0, n).items()}
    for step in range(steps):
        got = probe(program, params, {"x": x}, objective, values=values, state=state, step=step)
        losses.append(got.loss * ROWS)
        params = {n: v - RATE * ROWS * got.grads[n] for n, v in params.items()}
        state = got.state
    return Trained(losses, params, state, steps if keeps(objective) else 0)


def _table(program: ppgm.Program, x: np.ndarray, objective: Any) -> Any:
    from ppgm.influences import with_influences

    table = program.sites({"x": x})
    return with_influences(table, program, {"x": x}) if objective.local else table


def states(host: str, name: str, x: np.ndarray, values: dict) -> dict[str, np.ndarray]:
    """The state before the first step, by the names that the objective gives it."""
    params = load(host).initial(ppgm.program(NET, host=host), {"x": x})
    if name == "reinforce":
        return first_state(params, x, values, ["all"])
    if name in ("nvil", "a sum"):
        found = first_state(params, x, values, ["h1", "h2"])
        return {f"0/{k}": v for k, v in found.items()} if name == "a sum" else found
    return {}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_step_is_that_of_the_probe(
    host: str, name: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    objective = OBJECTIVES[name]
    x, values = given(rng, getattr(objective, "particles", 1))
    wanted = reference(host, objective, x, values, states(host, name, x, values))
    force(monkeypatch, host, values)
    got = trained(host, objective, x)
    np.testing.assert_allclose(got.losses, wanted.losses, rtol=TOLERANCE)
    assert got.steps == wanted.steps
    for mine, theirs in ((got.params, wanted.params), (got.state, wanted.state)):
        assert mine.keys() == theirs.keys()
        for key, value in theirs.items():
            np.testing.assert_allclose(
                mine[key], value, rtol=TOLERANCE, atol=TOLERANCE, err_msg=key
            )


def test_the_network_has_the_seed_that_it_is_given(host: str) -> None:
    x = np.ones((2, 3))
    program, loss = ppgm.program(NET, host=host), NVIL(hidden=(4,)).native(host)
    guide = loss.guide(program.model, program.guide, seed=7)
    wanted = MLP(3, (4,), 2).initial(7, "baseline")["layers.0.weight"]
    if host == "pyro":
        import torch

        loss.loss(program.model, guide, torch.as_tensor(x))
        found = guide.nets["baseline"].layers[0].weight.detach().numpy()
    else:
        from numpyro.handlers import seed, trace

        found = trace(seed(guide, 0)).get_trace(x)["baseline$params"]["value"].layers[0].weight
    np.testing.assert_allclose(np.asarray(found), wanted)


def test_objectives_without_state_leave_the_guide_as_it_is(host: str) -> None:
    program = ppgm.program(NET, host=host)
    for objective in (ELBO(), IWAE(3), ELBO(gradient="rloo", particles=2)):
        assert objective.native(host).guide(program.model, program.guide) is program.guide


# Whoever does not wrap the guide is told what to write.


def one_step(host: str, loss: Any, model: Any, guide: Any, x: Any) -> None:
    if host == "pyro":
        import pyro
        import torch
        from pyro.infer import SVI

        SVI(model, guide, pyro.optim.SGD({"lr": RATE}), loss).step(torch.as_tensor(x))
        return
    import jax
    import optax
    from numpyro.infer import SVI

    svi = SVI(model, guide, optax.sgd(RATE), loss)
    svi.update(svi.init(jax.random.key(0), x), x)


@pytest.mark.parametrize(
    "objective",
    [
        NVIL(), REINFORCE(), ELBO(beta=WARM), ELBO(gradient=Gumbel(Anneal(1.0, 0.5, 10))),
        ELBO(gradient=Score("running")), 0.5 * IWAE(2) + REINFORCE(),
    ],
)  # fmt: skip
def test_a_guide_without_a_place_is_refused(host: str, objective: Any) -> None:
    program, x = ppgm.program(NET, host=host), np.ones((2, 3))
    with pytest.raises(EstimatorError, match=r"write SVI\(model, loss.guide\(model, guide\)"):
        one_step(host, objective.native(host), program.model, program.guide, x)


def test_the_guide_of_another_loss_is_refused(host: str) -> None:
    program, x = ppgm.program(NET, host=host), np.ones((2, 3))
    guide = REINFORCE(decay=0.5).native(host).guide(program.model, program.guide)
    with pytest.raises(EstimatorError, match=r"decay=0.5.* the loss is of .*decay=0.9"):
        one_step(host, REINFORCE(decay=0.9).native(host), program.model, guide, x)


def test_a_loss_that_keeps_nothing_takes_the_guide_of_one_that_does(host: str) -> None:
    model, guide = line(host)
    guide = REINFORCE().native(host).guide(model, guide)
    one_step(host, ELBO().native(host), model, guide, np.array([0.3, 0.7]))


# An evaluation is no step.


@pytest.mark.parametrize("name", ["nvil", "a sum"])
def test_evaluation_leaves_pyros_guide_as_it_is(name: str) -> None:
    pyro = pytest.importorskip("pyro")
    import torch
    from pyro.infer import SVI

    x = torch.ones((4, 3))
    program, loss = ppgm.program(NET, host="pyro"), OBJECTIVES[name].native("pyro")
    guide = loss.guide(program.model, program.guide)
    svi = SVI(program.model, guide, pyro.optim.SGD({"lr": RATE}), loss)
    svi.evaluate_loss(x)
    assert (guide.steps, guide.state) == (0, {})
    svi.step(x)
    before = {n: v.item() for n, v in guide.state.items()}
    svi.evaluate_loss(x)
    with torch.no_grad():
        loss.differentiable_loss(program.model, guide, x)
    assert guide.steps == 1
    assert before
    assert {n: v.item() for n, v in guide.state.items()} == before
    loss.differentiable_loss(program.model, guide, x)  # a step of somebody's own loop
    assert guide.steps == 2
    assert {n: v.item() for n, v in guide.state.items()} != before


@pytest.mark.slow
def test_evaluation_on_numpyro_is_at_the_step_of_the_state() -> None:
    """Its own `evaluate` does not know the step, which counts for the value of a schedule."""
    pytest.importorskip("numpyro")
    import jax
    import optax
    from numpyro.infer import SVI

    (model, guide), x = line("numpyro"), np.array([0.3, 0.7])
    loss = ELBO(beta=Anneal(0.0, 1.0, steps=2)).native("numpyro")
    svi = SVI(model, loss.guide(model, guide), optax.sgd(0.0), loss)
    state = svi.init(jax.random.key(0), x)
    plain = SVI(model, guide, optax.sgd(0.0), ELBO().native("numpyro"))
    with pytest.raises(EstimatorError, match=r"ELBO follows a schedule.*loss.evaluate\(svi"):
        svi.evaluate(state, x)
    found = []
    for _ in range(3):
        key, kept = state.rng_key, state.mutable_state
        found.append(float(loss.evaluate(svi, state, x)))
        assert (state.rng_key, state.mutable_state) == (key, kept)
        state = svi.update(state, x)[0]._replace(rng_key=key)  # the same draws throughout
    none, half, full = found
    exact = plain.evaluate(plain.init(jax.random.key(0), x)._replace(rng_key=state.rng_key), x)
    assert full == pytest.approx(float(exact), rel=TOLERANCE)
    assert half == pytest.approx((none + full) / 2, rel=TOLERANCE)  # linear in the weight
    assert none != pytest.approx(full, rel=1e-3)


@pytest.mark.slow
def test_numpyros_evaluate_has_the_value_of_nvil() -> None:
    """Baselines have no part in it, so that the state that it is not told makes no difference."""
    pytest.importorskip("numpyro")
    import jax
    import optax
    from numpyro.infer import SVI

    x = np.ones((4, 3))
    program, loss = ppgm.program(NET, host="numpyro"), OBJECTIVES["nvil"].native("numpyro")
    svi = SVI(program.model, loss.guide(program.model, program.guide), optax.sgd(RATE), loss)
    state, _ = svi.update(svi.init(jax.random.key(0), x), x)
    wanted = svi.update(state, x)[1]
    assert float(svi.evaluate(state, x)) == pytest.approx(float(wanted), rel=TOLERANCE)
    assert float(loss.evaluate(svi, state, x)) == pytest.approx(float(wanted), rel=TOLERANCE)


# What NumPyro's `run` and `stable_update` do with it.


@pytest.mark.slow
def test_numpyros_run_takes_the_steps_of_its_update() -> None:
    pytest.importorskip("numpyro")
    import jax
    import optax
    from numpyro.infer import SVI

    from ppgm.host_numpyro_run import flatten

    x = np.ones((4, 3))
    program, loss = ppgm.program(NET, host="numpyro"), OBJECTIVES["a sum"].native("numpyro")
    svi = SVI(program.model, loss.guide(program.model, program.guide), optax.sgd(RATE), loss)
    state = svi.init(jax.random.key(0), x)
    update, losses = jax.jit(svi.update), []
    for _ in range(4):
        state, value = update(state, x)
        losses.append(float(value))
    run = svi.run(jax.random.key(0), 2, x, progress_bar=False, stable_update=True)
    on = svi.run(jax.random.key(1), 2, x, progress_bar=False, init_state=run.state)
    np.testing.assert_allclose([*run.losses, *on.losses], losses, rtol=TOLERANCE)
    for mine, theirs in (
        (on.state.mutable_state, state.mutable_state),
        (on.params, svi.get_params(state)),
    ):
        mine, theirs = flatten(mine), flatten(theirs)
        assert mine.keys() == theirs.keys()
        for key, value in theirs.items():
            np.testing.assert_allclose(mine[key], value, rtol=TOLERANCE, err_msg=key)


def line(host: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A real latent with a score, so that data that are no numbers have a loss that is none."""
    if host == "pyro":
        import pyro as lib
        import pyro.distributions as dist
        from torch import as_tensor as array
    else:
        import numpyro as lib
        import numpyro.distributions as dist
        from jax.numpy import asarray as array

    def model(x):
        with lib.plate("data", len(x)):
            z = lib.sample("z", dist.Normal(array(0.0), 1.0))
            lib.sample("x", dist.Normal(z, 1.0, validate_args=False), obs=x)

    def guide(x):
        loc = lib.param("loc", array(0.5))
        with lib.plate("data", len(x)):
            lib.sample("z", dist.Normal(loc, 1.0).expand((len(x),)))

    return model, guide


def test_a_loss_that_is_not_finite_is_no_step(host: str) -> None:
    """Its signals would be in every running mean after."""
    model, guide = line(host)
    loss = REINFORCE(beta=WARM).native(host)
    guide = loss.guide(model, guide)
    good, bad = np.array([0.3, 0.7]), np.array([0.3, np.nan])
    if host == "pyro":
        import torch

        loss.differentiable_loss(model, guide, torch.as_tensor(good))
        before = dict(guide.state)
        assert not loss.differentiable_loss(model, guide, torch.as_tensor(bad)).isfinite()
        assert (guide.steps, guide.state) == (1, before)
        assert before.keys() == {"mean.all", "variance.all"}
        return
    import jax
    import optax
    from numpyro.infer import SVI

    svi = SVI(model, guide, optax.sgd(RATE), loss)
    start = svi.init(jax.random.key(0), good)
    update = jax.jit(svi.stable_update)
    one, _ = update(start, good)
    same, value = update(one, bad)
    assert not np.isfinite(value)
    assert same.mutable_state == one.mutable_state
    assert int(one.mutable_state["objective"]["step"]) == 1
    assert np.isfinite(one.mutable_state["objective"]["state"]["mean.all"])
    # the first good step after a bad start is the first step
    late = update(update(start, bad)[0], good)[0].mutable_state["objective"]
    assert int(late["step"]) == 1
    assert np.isfinite(late["state"]["mean.all"])
    assert late["state"]["mean.all"] != 0


@pytest.mark.slow
def test_numpyros_update_without_jit_for_a_program_that_looks_at_numbers() -> None:
    pytest.importorskip("numpyro")
    import jax
    import jax.numpy as jnp
    import optax
    from numpyro.infer import SVI

    model, guide = line("numpyro")
    x, loss = jnp.array([0.3, 0.7]), REINFORCE().native("numpyro")
    looking = lambda x: model(x) if float(x.sum()) > 0 else None  # noqa: E731
    found = []
    for side, jit in ((looking, lambda call: call), (model, jax.jit)):
        svi = SVI(side, loss.guide(side, guide), optax.sgd(RATE), loss)
        state, update = svi.init(jax.random.key(0), x), jit(svi.update)
        for _ in range(2):
            state, _ = update(state, x)
        kept = state.mutable_state["objective"]["state"]
        found.append({n: float(v) for n, v in kept.items()})
    assert found[0] == pytest.approx(found[1], rel=TOLERANCE)
    assert all(found[0].values())


def test_an_automatic_guide_with_a_schedule(host: str) -> None:
    model, _ = line(host)
    x, loss = np.array([0.3, 0.7]), ELBO(beta=WARM).native(host)
    if host == "pyro":
        from pyro.infer.autoguide import AutoNormal
    else:
        from numpyro.infer.autoguide import AutoNormal
    one_step(host, loss, model, loss.guide(model, AutoNormal(model)), x)


def test_state_of_the_programs_own_is_refused_on_numpyro() -> None:
    """A loss that returned none would lose it after the first step."""
    pytest.importorskip("numpyro")
    import jax
    from numpyro.primitives import mutable

    model, guide = line("numpyro")

    def counting(x):
        mutable("count", np.array(0.0))
        model(x)

    with pytest.raises(ModelError, match="the model has mutable state at 'count'"):
        ELBO().native("numpyro").loss(jax.random.key(0), {}, counting, guide, np.array([0.3]))


# Pyro's guide as a module.


def test_pyros_guide_is_saved_and_loaded_with_its_state() -> None:
    pytest.importorskip("pyro")
    import pyro
    import torch

    x = torch.ones((4, 3))
    program, loss = ppgm.program(NET, host="pyro"), OBJECTIVES["nvil"].native("pyro")
    guide = loss.guide(program.model, program.guide)
    for _ in range(2):
        loss.loss_and_grads(program.model, guide, x)
    kept = guide.state_dict()
    again = loss.guide(program.model, program.guide, seed=5)
    pyro.clear_param_store()
    loss.loss(program.model, again, x)
    again.load_state_dict(kept)
    assert again.steps == 2
    assert again.state == guide.state
    theirs = dict(guide.nets.named_parameters())
    assert theirs.keys() == dict(again.nets.named_parameters()).keys()
    for name, parameter in again.nets.named_parameters():
        assert torch.equal(parameter, theirs[name])


def test_pyros_loss_as_a_module_has_the_baseline_among_its_parameters() -> None:
    pytest.importorskip("pyro")
    import torch
    from pyro.nn import PyroModule

    class Side(PyroModule):
        def __init__(self, call):
            super().__init__()
            self.call = call

        def forward(self, x):
            return self.call(x)

    x = torch.ones((4, 3))
    program, loss = ppgm.program(NET, host="pyro"), OBJECTIVES["nvil"].native("pyro")
    model = Side(program.model)
    module = loss(model, loss.guide(model, Side(program.guide)))
    with torch.no_grad():
        module(x)
    names = {n for n, _ in module.named_parameters()}
    assert {n for n in names if "baseline" in n} == {
        f"guide.nets.baseline.layers.{i}.{part}" for i in (0, 1) for part in ("weight", "bias")
    }
    module(x).backward()
    grads = [p.grad for n, p in module.named_parameters() if "baseline" in n]
    assert all(g is not None and g.abs().sum() > 0 for g in grads)
