"""Anyone's own Pyro and NumPyro programs, through everything that ppgm does."""

import math

import numpy as np
import pytest

import ppgm
from ppgm.errors import ModelError
from ppgm.host import load
from ppgm.inference import ELBO, IWAE, STL, VIMCO, Renyi
from ppgm.optimisers import Adam
from ppgm.probes import probe

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
DATA = {"x": X}

LONG_ON_NUMPYRO = True


class Tools:
    """The names that both hosts share, so that most programs below are written once."""

    def __init__(self, host):
        if host == "pyro":
            import pyro as lib
            import pyro.distributions as dist
            import torch
            from pyro.distributions import constraints

            self.array, self.exp = torch.as_tensor, torch.exp
            self.zeros, self.ones = torch.zeros, torch.ones
            self.scale, self.mask = lib.poutine.scale, lib.poutine.mask
        else:
            import jax.numpy as jnp
            import numpyro as lib
            import numpyro.distributions as dist
            from numpyro.distributions import constraints

            self.array, self.exp = jnp.asarray, jnp.exp
            self.zeros, self.ones = jnp.zeros, jnp.ones
            self.scale, self.mask = lib.handlers.scale, lib.handlers.mask
        self.dist, self.constraints = dist, constraints
        for name in ("sample", "plate", "param", "deterministic"):
            setattr(self, name, getattr(lib, name))


@pytest.fixture
def t(host):
    return Tools(host)


def local(t, *, scale=None, mask=None, size=None):
    """z_n ~ N(0, 1), x_n ~ N(z_n, s); the guide N(loc x_n, width)."""

    def model(x):
        noise = t.param("noise", t.ones(()), constraint=t.constraints.positive)
        with t.plate("data", len(x), subsample_size=size) as index:
            z = t.sample("z", t.dist.Normal(t.zeros(()), 1.0))
            with t.scale(scale=scale) if scale else t.mask(mask=True if mask is None else mask):
                t.sample("x", t.dist.Normal(z, noise), obs=x[index])

    def guide(x):
        loc = t.param("loc", 0.4 * t.ones(()))
        width = t.param("width", 0.8 * t.ones(()), constraint=t.constraints.positive)
        with t.plate("data", len(x), subsample_size=size) as index:
            t.sample("z", t.dist.Normal(loc * x[index], width))

    return model, guide


def normal(x, loc, scale):
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2 * math.pi)


def weights(z, x, likelihood=1.0):
    return normal(z, 0, 1) + likelihood * normal(x, z, 1) - normal(z, 0.4 * x, 0.8)


def program(host, pair):
    return ppgm.Program(*pair, host=host)


def exercise(program, data, objective, **options):
    """Fits twice with one seed; returns the fit after asking all that a host answers."""
    options = options or {"steps": 3}
    first = ppgm.fit(program, data, objective, seed=3, **options)
    again = ppgm.fit(program, data, objective, seed=3, **options)
    assert first.params.keys() == again.params.keys()
    for name, value in first.params.items():
        assert np.array_equal(value, again.params[name]), name
    assert np.isfinite(first.history["bound"]).all()

    host, table = load(program.host), program.sites(data)
    log_w = host.log_weights(program, first.params, data, 4, 0)
    rows = tuple(table.plates[name].size for name in table.rows)
    assert log_w.shape == (4, *rows)
    assert np.isfinite(log_w).all()
    for side, kinds in (("model", ("latent", "observed")), ("guide", ("latent",))):
        drawn = host.sample(program, side, first.params, data, 5, 0)
        for site in table.select(side, *kinds):
            assert drawn[site.name].shape == (5, *site.batch_shape, *site.event_shape)
    return first


def test_plain_parameters_with_constraints(host, t):
    fit = exercise(program(host, local(t)), {"x": X[:, 0]}, IWAE(3))
    assert set(fit.params) == {"noise", "loc", "width"}
    assert fit.params["width"] > 0
    assert fit.params["width"] != np.float32(0.8)
    batches = ppgm.fit(program(host, local(t)), {"x": X[:, 0]}, IWAE(3), epochs=2, batch_size=5)
    assert batches.config["steps"] == 6


def test_bounds_of_a_program_are_exact(host, t, f64):
    x, z = X[:, 0].astype(float), np.random.default_rng(1).normal(size=(4, 12))
    log_w = weights(z, x)
    mean = np.logaddexp.reduce(log_w, 0) - math.log(4)
    half = 2 * (np.logaddexp.reduce(0.5 * log_w, 0) - math.log(4))
    for objective, exact in ((ELBO(4), log_w.mean(0)), (IWAE(4), mean), (Renyi(0.5, 4), half)):
        found = probe(program(host, local(t)), {}, {"x": x}, objective, values={"z": z})
        assert found.loss == pytest.approx(-exact.mean(), rel=1e-10)


def test_scale_is_the_users_own(host, t, f64):
    x, z = X[:, 0].astype(float), np.random.default_rng(1).normal(size=(2, 12))
    found = probe(program(host, local(t, scale=0.3)), {}, {"x": x}, ELBO(2), values={"z": z})
    assert found.loss == pytest.approx(-weights(z, x, 0.3).mean(), rel=1e-10)


def test_mask_leaves_rows_out(host, t, f64):
    x, z = X[:, 0].astype(float), np.random.default_rng(1).normal(size=(2, 12))
    keep = np.arange(12) % 3 > 0
    pair = local(t, mask=t.array(keep))
    found = probe(program(host, pair), {}, {"x": x}, ELBO(2), values={"z": z})
    assert found.loss == pytest.approx(-weights(z, x, keep).mean(), rel=1e-10)


def test_subsampling_plate(host, t, f64):
    """Its rows stand for N / B each; model and guide draw the same ones."""
    fit = exercise(program(host, local(t, size=4)), {"x": X[:, 0]}, IWAE(2))
    table = fit.program.sites({"x": X[:, 0]})
    assert table.plates["data"] == ("data", 4, -1, 12)
    single = ppgm.fit(fit.program, {"x": X[:, 0]}, VIMCO(2), steps=2)
    assert np.isfinite(single.history["bound"]).all()


def test_nested_plates_and_a_global_latent(host, t):
    def model(x):
        shift = t.sample("shift", t.dist.Normal(t.zeros(()), 1.0))
        with t.plate("row", len(x), dim=-2):
            level = t.sample("level", t.dist.Normal(shift, 1.0))
            with t.plate("column", 3, dim=-1):
                t.sample("x", t.dist.Normal(level, 1.0), obs=x)

    def guide(x):
        t.sample("shift", t.dist.Normal(t.param("loc", t.zeros(())), 1.0))
        with t.plate("row", len(x), dim=-2):
            t.sample("level", t.dist.Normal(x.mean(-1)[..., None], 1.0))

    fit = exercise(program(host, (model, guide)), DATA, ELBO(3))
    table = fit.program.sites(DATA)
    assert table.rows == ()
    assert {s.name: s.batch_shape for s in table.model if s.kind != "param"} == {
        "shift": (), "level": (12, 1), "x": (12, 3),
    }  # fmt: skip


def test_partly_observed_site(host, t):
    seen = np.arange(12) % 2 == 0

    def model(x):
        mask = t.array(seen)
        with t.plate("data", len(x)):
            t.sample("x", t.dist.Normal(t.zeros(()), 1.0), obs=x, obs_mask=mask)

    def guide(x):
        with t.plate("data", len(x)), t.mask(mask=~t.array(seen)):
            t.sample("x_unobserved", t.dist.Normal(t.param("loc", t.zeros(())), 1.0))

    fit = exercise(program(host, (model, guide)), {"x": X[:, 0]}, ELBO())
    kinds = {s.name: s.kind for s in fit.program.sites({"x": X[:, 0]}).model}
    assert kinds == {"x_observed": "observed", "x_unobserved": "latent", "x": "deterministic"}


def regression(t):
    """A product ``x @ w`` that does not broadcast over particles."""

    def model(x, y):
        w = t.sample("w", t.dist.Normal(t.zeros(3), 1.0).to_event(1))
        noise = t.sample("noise", t.dist.HalfNormal(t.ones(())))
        with t.plate("data", len(x)):
            t.sample("y", t.dist.Normal(x @ w, noise), obs=y)

    return model


@pytest.mark.parametrize(
    "name",
    ["AutoNormal", pytest.param("AutoMultivariateNormal", marks=pytest.mark.slow), "AutoDelta"],
)
def test_automatic_guides(host, t, name):
    if host == "pyro":
        from pyro.infer import autoguide
    else:
        from numpyro.infer import autoguide
    model, data = regression(t), {"x": X, "y": X[:, 0]}
    fitted = exercise(program(host, (model, getattr(autoguide, name)(model))), data, ELBO(3))
    assert all(np.isfinite(v).all() for v in fitted.params.values())
    posterior = ppgm.infer(fitted, data, ppgm.inference.Guide(draws=30), seed=0)
    assert set(posterior.draws) == {"w", "noise"}
    assert np.isfinite(posterior.sample_stats["log_weight"]).all()


def test_automatic_guide_with_the_path_gradient(host, t):
    """A guide that draws all sites from one joint Gaussian, by minibatches."""
    if host == "pyro":
        from pyro.infer.autoguide import AutoMultivariateNormal as Auto
    else:
        from numpyro.infer.autoguide import AutoMultivariateNormal as Auto
    model, data = regression(t), {"x": X, "y": X[:, 0]}
    fitted = ppgm.fit(
        program(host, (model, Auto(model))), data, STL(2), epochs=2, batch_size=5,
    )  # fmt: skip
    assert np.isfinite(fitted.history["bound"]).all()


def test_particles_that_do_not_broadcast_are_run_in_turn(host, t, f64):
    """Two particles of ``x @ w`` are two separate weights, exactly."""
    x, y = X.astype(float), X[:, 0].astype(float)

    def guide(x, y):
        t.sample("w", t.dist.Normal(t.param("loc", t.zeros(3)), 1.0).to_event(1))
        t.sample("noise", t.dist.LogNormal(t.zeros(()), 1.0))

    rng = np.random.default_rng(0)
    w, noise = rng.normal(size=(2, 3)), rng.gamma(2.0, 1.0, 2)
    log_p = normal(w, 0, 1).sum(1) + math.log(2) + normal(noise, 0, 1)
    log_p += normal(y, w @ x.T, noise[:, None]).sum(1)
    log_q = normal(w, 0, 1).sum(1) + normal(np.log(noise), 0, 1) - np.log(noise)
    found = probe(
        program(host, (regression(t), guide)), {}, {"x": x, "y": y}, IWAE(2),
        values={"w": w, "noise": noise},
    )  # fmt: skip
    exact = np.logaddexp.reduce(log_p - log_q) - math.log(2)
    assert found.loss == pytest.approx(-exact, rel=1e-10)


def test_two_programs_with_the_same_names_do_not_collide(host, t):
    data = {"x": X[:, 0]}
    one, two = (program(host, local(t)) for _ in range(2))
    alone = ppgm.fit(one, data, ELBO(), steps=3)
    ppgm.fit(two, {"x": X[:, 1]}, ELBO(), steps=5, seed=7)
    again = ppgm.fit(one, data, ELBO(), steps=3)
    assert all(np.array_equal(v, again.params[n]) for n, v in alone.params.items())


def test_fit_learns(host, t):
    """z ~ N(0, 1), x ~ N(z, s): loc tends to 1 / (1 + s^2), width^2 to s^2 / (1 + s^2)."""
    x = np.random.default_rng(0).normal(size=2000).astype("float32") * 2
    fit = ppgm.fit(
        program(host, local(t)), {"x": x}, ELBO(4), steps=400, optimiser=Adam(0.03), seed=0
    )
    noise = math.sqrt(float(np.mean(x.astype(float) ** 2)) - 1)
    assert fit.params["noise"] == pytest.approx(noise, abs=0.08)
    assert fit.params["loc"] == pytest.approx(1 / (1 + noise**2), abs=0.03)


# Pyro


def test_pyro_module_keeps_its_own_weights():
    pyro = pytest.importorskip("pyro")
    import pyro.distributions as dist
    import torch

    net = torch.nn.Linear(2, 3)
    before = {n: v.clone() for n, v in net.state_dict().items()}

    def model(x):
        pyro.module("net", net)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(net(z), 1.0).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x[..., :2], 1.0).to_event(1))

    pyro.param("net$$$weight", torch.full((3, 2), 9.0))  # the store is someone else's
    store = {n: v.clone() for n, v in pyro.get_param_store().items()}
    fit = exercise(ppgm.Program(model, guide, host="pyro"), DATA, IWAE(3))
    assert set(fit.params) == {"net.weight", "net.bias"}
    assert not np.array_equal(fit.params["net.weight"], before["weight"])
    assert all(torch.equal(v, before[n]) for n, v in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert store.keys() == dict(pyro.get_param_store().items()).keys()
    assert torch.equal(store["net$$$weight"], pyro.param("net$$$weight"))


def test_pyro_nn_modules_as_model_and_guide():
    pyro = pytest.importorskip("pyro")
    import pyro.distributions as dist
    import torch
    from pyro.nn import PyroModule, PyroParam

    class Model(PyroModule):
        def __init__(self):
            super().__init__()
            self.net = PyroModule[torch.nn.Linear](2, 3)
            self.width = PyroParam(torch.ones(3), dist.constraints.positive)

        def forward(self, x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(self.net(z), self.width).to_event(1), obs=x)

    class Guide(PyroModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(3, 4)

        def forward(self, x):
            with pyro.plate("data", len(x)):
                h = self.net(x)
                pyro.sample("z", dist.Normal(h[..., :2], h[..., 2:].exp()).to_event(1))

    # both have a "net": PyroModules are told apart by name only
    class Encoder(PyroModule):
        def __init__(self):
            super().__init__()
            self.encoder = Guide()

        def forward(self, x):
            return self.encoder(x)

    model, guide = Model(), Encoder()
    before = {n: v.clone() for n, v in (*model.named_parameters(), *guide.named_parameters())}
    fit = exercise(ppgm.Program(model, guide, host="pyro"), DATA, IWAE(3), epochs=2, batch_size=5)
    assert {"net.weight", "net.bias", "width", "encoder.net.weight", "encoder.net.bias"} == set(
        fit.params
    )
    assert not np.array_equal(fit.params["width"], np.ones(3))
    after = dict((*model.named_parameters(), *guide.named_parameters()))
    assert all(torch.equal(v, after[n]) for n, v in before.items())
    assert len(pyro.get_param_store()) == 0


def test_pyro_samples_in_modules():
    pyro = pytest.importorskip("pyro")
    import pyro.distributions as dist
    import torch
    from pyro.infer.autoguide import AutoNormal
    from pyro.nn import PyroModule, PyroSample

    class Regression(PyroModule):
        def __init__(self):
            super().__init__()
            self.linear = PyroModule[torch.nn.Linear](3, 1)
            self.linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 3]).to_event(2))
            self.linear.bias = PyroSample(dist.Normal(0.0, 1.0).expand([1]).to_event(1))

        def forward(self, x, y):
            mean = self.linear(x).squeeze(-1)
            with pyro.plate("data", len(x)):
                pyro.sample("y", dist.Normal(mean, 1.0), obs=y)

    model = Regression()
    data = {"x": X, "y": X[:, 0]}
    fit = exercise(ppgm.Program(model, AutoNormal(model), host="pyro"), data, ELBO(3))
    assert "AutoNormal.locs.linear.weight" in fit.params
    assert len(pyro.get_param_store()) == 0


def test_pyro_param_without_a_value_is_an_error():
    pyro = pytest.importorskip("pyro")
    import pyro.distributions as dist

    def model(x):
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(pyro.param("loc"), 1.0), obs=x)

    with pytest.raises(ModelError, match=r"param 'loc' has no initial value.*pyro.param\('loc'"):
        ppgm.Program(model, host="pyro").sites({"x": X[:, 0]})


# NumPyro


def numpyro_pair(make_encoder, make_decoder):
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    def model(x):
        decode = make_decoder()
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
            numpyro.sample("x", dist.Normal(decode(z), 1.0).to_event(1), obs=x)

    def guide(x):
        encode = make_encoder()
        with numpyro.plate("data", len(x)):
            h = encode(x)
            numpyro.sample("z", dist.Normal(h[..., :2], jnp.exp(h[..., 2:])).to_event(1))

    return model, guide


def test_numpyro_equinox_modules():
    jax = pytest.importorskip("jax")
    import equinox as eqx
    from numpyro.contrib.module import eqx_module

    encoder = eqx.nn.Linear(3, 4, key=jax.random.key(0))
    decoder = eqx.nn.MLP(2, 3, 5, 1, key=jax.random.key(1))
    pair = numpyro_pair(
        lambda: jax.vmap(eqx_module("encoder", encoder)),
        lambda: jax.vmap(eqx_module("decoder", decoder)),
    )
    fit = exercise(ppgm.Program(*pair, host="numpyro"), DATA, IWAE(3), epochs=2, batch_size=5)
    assert fit.params["encoder.weight"].shape == (4, 3)
    assert fit.params["decoder.layers.0.weight"].shape == (5, 2)
    assert not np.array_equal(fit.params["encoder.weight"], encoder.weight)


def test_numpyro_flax_modules():
    pytest.importorskip("flax")
    from flax import linen, nnx
    from numpyro.contrib.module import flax_module, nnx_module

    encoder, decoder = nnx.Linear(3, 4, rngs=nnx.Rngs(0)), linen.Dense(3)
    pair = numpyro_pair(
        lambda: nnx_module("encoder", encoder),
        lambda: flax_module("decoder", decoder, input_shape=(2,)),
    )
    fit = exercise(ppgm.Program(*pair, host="numpyro"), DATA, IWAE(3))
    assert {n: v.shape for n, v in fit.params.items()} == {
        "encoder.kernel": (3, 4), "encoder.bias": (4,),
        "decoder.kernel": (2, 3), "decoder.bias": (3,),
    }  # fmt: skip


# Handing over


def test_pyro_goes_on_with_installed_parameters():
    pyro = pytest.importorskip("pyro")
    import torch
    from pyro.infer import Predictive

    from ppgm.models import VAE

    made = ppgm.program(VAE(3, 2, (4,)), host="pyro")
    data = {"x": (X > 0).astype("float32")}
    fit = ppgm.fit(made, data, ELBO(), steps=3)
    pyro.module("decoder", torch.nn.Linear(1, 1))  # someone else's of the same name
    pyro.clear_param_store()
    fit.install(data)
    store = pyro.get_param_store()
    named = fit.native_params(data)
    assert set(store.keys()) == set(named)
    for name, value in named.items():
        assert torch.equal(store[name].detach(), value)
        assert np.array_equal(value.numpy(), fit.params[name.replace("$$$", ".")])
    tensors = {"x": torch.as_tensor(data["x"])}
    drawn = Predictive(made.model, guide=made.guide, num_samples=3)(**tensors)
    assert tuple(drawn["x"].shape) == (3, 12, 3)
    weight = "decoder$$$layers.0.weight"
    assert torch.equal(store[weight].detach(), named[weight])  # the run built no network anew


def test_pyro_install_reaches_the_users_modules():
    pytest.importorskip("pyro")
    import pyro
    import torch

    tools, net = Tools("pyro"), torch.nn.Linear(1, 1)
    _, guide = local(tools)

    def model(x):
        pyro.module("net", net)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", tools.dist.Normal(torch.zeros(()), 1.0))
            pyro.sample("x", tools.dist.Normal(net(z[..., None])[..., 0], 1.0), obs=x)

    data = {"x": X[:, 0]}
    fit = ppgm.fit(ppgm.Program(model, guide, host="pyro"), data, ELBO(), steps=3)
    fit.install(data)
    assert np.array_equal(net.weight.detach().numpy(), fit.params["net.weight"])
    assert pyro.param("width").item() == pytest.approx(fit.params["width"], rel=1e-6)


def test_numpyro_goes_on_with_native_parameters():
    jax = pytest.importorskip("jax")
    from numpyro.infer import Predictive

    from ppgm.errors import ArgumentError
    from ppgm.models import VAE

    made = ppgm.program(VAE(3, 2, (4,)), host="numpyro")
    data = {"x": (X > 0).astype("float32")}
    fit = ppgm.fit(made, data, ELBO(), steps=3)
    params = fit.native_params(data)
    assert set(params) == {"decoder$params", "encoder$params"}
    weight = params["decoder$params"].layers[0].weight
    assert np.array_equal(weight, fit.params["decoder.layers.0.weight"])
    drawn = Predictive(made.model, guide=made.guide, params=params, num_samples=3)(
        jax.random.key(0), **data
    )
    assert drawn["x"].shape == (3, 12, 3)
    with pytest.raises(ArgumentError, match="native_params"):
        fit.install(data)
