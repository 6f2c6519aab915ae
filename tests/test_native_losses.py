"""Objectives as losses of the hosts' own SVI."""

import itertools
import math

import numpy as np
import pytest

import ppgm
from ppgm.errors import EstimatorError
from ppgm.inference import ELBO, GAN, IWAE, STL, VIMCO, Renyi
from ppgm.models import VAE, FactorAnalysis
from ppgm.testing import linear_gaussian

ROWS = 12
X = np.random.default_rng(0).normal(size=ROWS) * math.sqrt(2)
EVIDENCE = float((-0.25 * X**2 - 0.5 * math.log(4 * math.pi)).sum())
"""Of x ~ N(z, 1), z ~ N(0, 1)."""
OBJECTIVES = {
    "elbo": ELBO(particles=3),
    "stl": STL(particles=2),
    "iwae": IWAE(particles=4),
    "renyi": Renyi(alpha=0.5, particles=4),
    "vimco": VIMCO(particles=3),
    "sum": 0.5 * ELBO() + 0.5 * IWAE(particles=3),
}

LONG_ON_NUMPYRO = True


def exact_pair(host, size=None):
    """The model above and its exact posterior: every weight of row n is p(x_n)."""
    if host == "pyro":
        import pyro as lib
        import pyro.distributions as dist
        from torch import as_tensor as array
    else:
        import numpyro as lib
        import numpyro.distributions as dist
        from jax.numpy import asarray as array

    data = array(X)

    def model(x=data):
        with lib.plate("data", len(x), subsample_size=size) as index:
            z = lib.sample("z", dist.Normal(array(0.0), 1.0))
            lib.sample("x", dist.Normal(z, 1.0), obs=x[index])

    def guide(x=data):
        loc = lib.param("loc", array(0.5))
        with lib.plate("data", len(x), subsample_size=size) as index:
            lib.sample("z", dist.Normal(loc * x[index], math.sqrt(0.5)))

    return model, guide


def value(host, loss, model, guide, *args, seed=0, **kwargs):
    if host == "pyro":
        import torch

        torch.manual_seed(seed)
        return loss.loss(model, guide, *args, **kwargs)
    import jax
    import jax.numpy as jnp

    params = {"loc": jnp.asarray(0.5)}
    call = jax.jit(lambda key: loss.loss(key, params, model, guide, *args, **kwargs))
    return float(call(jax.random.key(seed)))


def values_of_seeds(host, loss, model, guide):
    if host == "pyro":
        return [value(host, loss, model, guide, seed=seed) for seed in range(6)]
    import jax
    import jax.numpy as jnp

    params = {"loc": jnp.asarray(0.5)}
    call = jax.jit(jax.vmap(lambda key: loss.loss(key, params, model, guide)))
    return call(jax.random.split(jax.random.key(0), 6)).tolist()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_value_is_the_evidence_at_the_exact_posterior(host, f64, name):
    model, guide = exact_pair(host)
    found = value(host, OBJECTIVES[name].native(host), model, guide)
    assert found == pytest.approx(-EVIDENCE, rel=1e-9)


def hosts_own(host):
    if host == "pyro":
        from pyro.infer import RenyiELBO, Trace_ELBO

        return Trace_ELBO(), RenyiELBO(alpha=0.5, num_particles=4, vectorize_particles=False)
    from numpyro.infer import RenyiELBO, Trace_ELBO

    return Trace_ELBO(), RenyiELBO(0.5, 4)


def test_value_is_the_hosts_where_the_host_is_right(host, f64):
    model, guide = exact_pair(host)
    plain, renyi = hosts_own(host)
    for theirs, ours in ((plain, ELBO()), (renyi, Renyi(0.5, 4))):
        assert value(host, ours.native(host), model, guide) == pytest.approx(
            value(host, theirs, model, guide), rel=1e-9
        )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_subsampled_plate_scales_outside_the_logarithm(host, f64, name):
    """Every value is N/B times the evidence of some B rows."""
    model, guide = exact_pair(host, size=4)
    rows = -0.25 * X**2 - 0.5 * math.log(4 * math.pi)
    possible = 3 * np.array([sum(c) for c in itertools.combinations(rows, 4)])
    objective = OBJECTIVES[name]
    if name == "sum":  # each term draws its own rows, unless the terms ask for the same weights
        objective = 0.5 * IWAE(particles=3) + 0.5 * VIMCO(particles=3)
    found = [-v for v in values_of_seeds(host, objective.native(host), model, guide)]
    assert all(np.abs(possible - v).min() < 1e-9 * abs(v) for v in found)
    assert len({round(v, 6) for v in found}) > 1


def test_positional_and_keyword_data(host, f64):
    model, guide = exact_pair(host)
    loss = IWAE(3).native(host)
    if host == "pyro":
        import torch

        batch = torch.as_tensor(X[:5])
    else:
        import jax.numpy as jnp

        batch = jnp.asarray(X[:5])
    exact = float((0.25 * X[:5] ** 2 + 0.5 * math.log(4 * math.pi)).sum())
    assert value(host, loss, model, guide, batch) == pytest.approx(exact, rel=1e-9)
    assert value(host, loss, model, guide, x=batch) == pytest.approx(exact, rel=1e-9)


def test_scalar_arguments(host, f64):
    model, guide = exact_pair(host)

    def flagged(fn):
        return lambda flag, times: fn() if flag else None

    found = value(host, ELBO().native(host), flagged(model), flagged(guide), True, times=2)
    assert found == pytest.approx(-EVIDENCE, rel=1e-9)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_pyro_svi_torch_optim_and_module(f64, name):
    pyro = pytest.importorskip("pyro")
    import torch
    from pyro.infer import SVI

    loss = OBJECTIVES[name].native("pyro")
    model, guide = exact_pair("pyro")

    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), loss=loss)
    assert svi.step() == pytest.approx(-EVIDENCE, rel=1e-9)
    assert svi.evaluate_loss() == pytest.approx(-EVIDENCE, rel=1e-2)

    pyro.clear_param_store()
    guide()
    leaf = pyro.get_param_store()["loc"].unconstrained()
    optimiser = torch.optim.SGD([leaf], 0.1)
    optimiser.zero_grad()
    tensor = loss.differentiable_loss(model, guide)
    tensor.backward()
    assert leaf.grad is not None
    optimiser.step()
    assert tensor.item() == pytest.approx(-EVIDENCE, rel=1e-9)


def test_pyro_elbo_module(f64):
    pytest.importorskip("pyro")
    import pyro
    import pyro.distributions as dist
    import torch
    from pyro.nn import PyroModule, PyroParam

    class Guide(PyroModule):
        def __init__(self):
            super().__init__()
            self.loc = PyroParam(torch.tensor(0.0))

        def forward(self, x):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(self.loc * x, math.sqrt(0.5)))

    class Model(PyroModule):
        def forward(self, x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(torch.tensor(0.0), 1.0))
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    x = torch.as_tensor(X)
    torch.manual_seed(0)
    module = STL(particles=2).native("pyro")(Model(), Guide())
    module(x)
    optimiser = torch.optim.Adam(module.parameters(), 0.05)
    for _ in range(150):
        optimiser.zero_grad()
        loss = module(x)
        loss.backward()
        optimiser.step()
    # the path gradient vanishes at the posterior: it lands, exactly
    assert module.guide.loc.item() == pytest.approx(0.5, abs=1e-4)
    assert loss.item() == pytest.approx(-EVIDENCE, rel=1e-6)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_numpyro_svi_under_jit(f64, name):
    numpyro = pytest.importorskip("numpyro")
    import jax
    from numpyro.infer import SVI

    model, guide = exact_pair("numpyro")
    svi = SVI(model, guide, numpyro.optim.Adam(0.01), OBJECTIVES[name].native("numpyro"))
    state = svi.init(jax.random.key(0))
    assert float(svi.evaluate(state)) == pytest.approx(-EVIDENCE, rel=1e-9)
    state, loss = jax.jit(svi.update)(state)
    assert float(loss) == pytest.approx(-EVIDENCE, rel=1e-9)


def test_numpyro_svi_run_with_an_automatic_guide(f64):
    numpyro = pytest.importorskip("numpyro")
    import jax
    from numpyro.infer import SVI
    from numpyro.infer.autoguide import AutoNormal

    model, _ = exact_pair("numpyro")
    guide = AutoNormal(model)
    svi = SVI(model, guide, numpyro.optim.Adam(0.05), STL(particles=2).native("numpyro"))
    result = svi.run(jax.random.key(0), 800, progress_bar=False)
    assert np.asarray(result.params["z_auto_loc"]) == pytest.approx(X / 2, abs=1e-3)
    assert float(result.losses[-1]) == pytest.approx(-EVIDENCE, rel=1e-4)


def test_value_of_a_declaration_is_the_exact_evidence(host, f64):
    declaration = FactorAnalysis(3, 2, posterior="exact")
    program = ppgm.program(declaration, host=host)
    data = {"x": np.random.default_rng(1).normal(size=(7, 3))}
    params = ppgm.host.load(host).initial(program, data)
    exact = declaration.log_likelihood(params, data["x"]).sum()
    model = linear_gaussian.log_marginal(data["x"], declaration.exact_model(params)).sum()
    loss = IWAE(3).native(host)
    if host == "pyro":
        import torch

        found = loss.loss(program.model, program.guide, x=torch.as_tensor(data["x"]))
    else:
        import jax
        import optax
        from numpyro.infer import SVI

        svi = SVI(program.model, program.guide, optax.sgd(0.1), loss)
        state = svi.init(jax.random.key(0), **data)
        found = float(jax.jit(svi.evaluate)(state, **data))
    assert -found == pytest.approx(exact, rel=1e-9)
    assert model == pytest.approx(exact, rel=1e-12)


def test_illegal_programs_are_refused_by_the_native_loss(host):
    from ppgm.models import SBN

    program = ppgm.program(SBN(3, (2,)), host=host)
    with pytest.raises(EstimatorError, match="STL needs reparameterised"):
        run_native(host, STL().native(host), program, np.ones((4, 3)))


def run_native(host, loss, program, x):
    if host == "pyro":
        import torch

        return loss.loss(program.model, program.guide, x=torch.as_tensor(x).float())
    import jax
    import optax
    from numpyro.infer import SVI

    svi = SVI(program.model, program.guide, optax.sgd(0.1), loss)
    return svi.evaluate(svi.init(jax.random.key(0), x=x), x=x)


def test_games_have_no_native_loss(host):
    with pytest.raises(EstimatorError, match="use ppgm.fit"):
        GAN().native(host)


# Programs of declarations in the host's own machinery.


def test_declaration_in_the_hosts_svi_and_predictive(host):
    bits = (np.random.default_rng(0).random((6, 5)) > 0.5).astype("float32")
    program = ppgm.program(VAE(5, 2, (4,)), host=host)
    if host == "pyro":
        import pyro
        import torch
        from pyro.infer import SVI, Predictive, Trace_ELBO

        x, losses = torch.as_tensor(bits), []
        for _ in range(2):
            pyro.clear_param_store()
            pyro.set_rng_seed(0)
            svi = SVI(program.model, program.guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
            losses.append([svi.step(x=x) for _ in range(3)])
        assert losses[0] == losses[1]  # a cleared store starts anew
        prior = Predictive(program.model, num_samples=4)()
        after = Predictive(program.model, guide=program.guide, num_samples=4)(x=x)
    else:
        import jax
        import numpyro
        from numpyro.infer import SVI, Predictive, Trace_ELBO

        svi = SVI(program.model, program.guide, numpyro.optim.Adam(0.01), Trace_ELBO())
        params = svi.run(jax.random.key(0), 3, x=bits, progress_bar=False).params
        key = jax.random.key(1)
        prior = Predictive(program.model, params=params, num_samples=4)(key)
        after = Predictive(program.model, guide=program.guide, params=params, num_samples=4)(
            key, x=bits
        )
    assert tuple(prior["x"].shape) == (4, 1, 5)
    assert tuple(prior["z"].shape) == (4, 1, 2)
    assert tuple(after["x"].shape) == (4, 6, 5)


def test_declaration_in_the_hosts_nuts(host):
    x = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    program = ppgm.program(FactorAnalysis(3, 1), host=host)
    if host == "pyro":
        import torch
        from pyro.infer import MCMC, NUTS

        sampler = MCMC(NUTS(program.model), num_samples=5, warmup_steps=5, disable_progbar=True)
        with torch.enable_grad():
            sampler.run(x=torch.as_tensor(x))
    else:
        import jax
        from numpyro import handlers
        from numpyro.infer import MCMC, NUTS

        trace = handlers.trace(handlers.seed(program.model, 0)).get_trace(x=x)
        params = {n: s["value"] for n, s in trace.items() if s["type"] == "param"}
        model = handlers.substitute(program.model, data=params)
        sampler = MCMC(NUTS(model), num_samples=5, num_warmup=5, progress_bar=False)
        sampler.run(jax.random.key(0), x=x)
    assert tuple(sampler.get_samples()["z"].shape) == (5, 2, 1)
