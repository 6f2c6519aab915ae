"""The site table on both hosts, and what is refused before the first step."""

import re
import sys

import numpy as np
import pytest

import ppgm
from ppgm.errors import EstimatorError, ModelError
from ppgm.inference import ELBO, GAN, IWAE, STL, VIMCO, ContrastiveDivergence, Renyi
from ppgm.models import RBM, SBN, VAE, FactorAnalysis, Generator

DATA = {"x": np.random.default_rng(0).normal(size=(6, 3))}


class Tools:
    """The names that both hosts share, so that each program below is written once."""

    def __init__(self, host):
        if host == "pyro":
            import pyro
            import pyro.distributions as dist
            import torch

            self.zeros, self.exp = torch.zeros, torch.exp
            self.scale = pyro.poutine.scale
            self.mask = pyro.poutine.mask
            lib = pyro
        else:
            import jax.numpy as jnp
            import numpyro as lib
            import numpyro.distributions as dist

            self.zeros = lambda *shape: jnp.zeros(() if shape == ((),) else shape)
            self.exp = jnp.exp
            self.scale, self.mask = lib.handlers.scale, lib.handlers.mask
        self.dist = dist
        for name in ("sample", "plate", "param", "deterministic", "factor"):
            setattr(self, name, getattr(lib, name))


@pytest.fixture
def t(host):
    return Tools(host)


def everything(t):
    """One statement of each kind; two plates beside one in the other, a subsampled one."""

    def model(x):
        scale = t.param("scale", t.zeros(3) + 1.0)
        mean = t.sample("mean", t.dist.Normal(t.zeros(3), 1.0).to_event(1))
        rate = t.sample("rate", t.dist.Gamma(2.0, 1.0))
        with t.plate("outer", 4, dim=-2):
            t.sample("group", t.dist.Normal(0.0, rate))
            with t.plate("data", len(x), dim=-1):
                t.sample("cell", t.dist.Bernoulli(0.5))
        with t.plate("pool", 100, subsample_size=5, dim=-1):
            t.sample("label", t.dist.Categorical(t.zeros(3) + 1 / 3))
        with t.plate("data", len(x), dim=-1):
            t.deterministic("double", 2 * x)
            t.sample("x", t.dist.Normal(mean, scale).to_event(1), obs=x)
        t.factor("bonus", mean.sum() * 0.0)

    return model


def by_name(sites):
    return {s.name: s for s in sites}


def test_table_of_every_kind(host, t):
    table = ppgm.Program(everything(t), None, host=host).sites(DATA)
    sites = by_name(table.model)
    kinds = {n: s.kind for n, s in sites.items()}
    assert kinds == {
        "mean": "latent", "rate": "latent", "group": "latent", "cell": "latent",
        "label": "latent", "double": "deterministic", "x": "observed", "bonus": "factor",
        "scale": "param",
    }  # fmt: skip
    assert table.plates == {
        "outer": ("outer", 4, -2, 4), "data": ("data", 6, -1, 6), "pool": ("pool", 5, -1, 100),
    }  # fmt: skip
    shapes = {n: (s.batch_shape, s.event_shape, s.plates) for n, s in sites.items()}
    assert shapes["mean"] == ((), (3,), ())
    assert shapes["group"] == ((4, 1), (), ("outer",))
    assert shapes["cell"] == ((4, 6), (), ("outer", "data"))
    assert shapes["label"] == ((5,), (), ("pool",))
    assert shapes["x"] == ((6,), (3,), ("data",))
    assert shapes["scale"] == ((), (3,), ())
    assert (table.rows, table.data_plates, table.has_guide) == ((), ("data",), False)


def test_table_of_distributions(host, t):
    sites = by_name(ppgm.Program(everything(t), None, host=host).sites(DATA).model)
    found = {
        n: (s.distribution, s.support, s.discrete, s.enumerable, s.reparameterised, s.normalised)
        for n, s in sites.items()
        if s.kind in ("latent", "observed", "factor")
    }
    assert found["mean"] == ("Normal", "real", False, 0, True, True)
    assert found["rate"][:2] == ("Gamma", "positive")
    assert found["cell"] == ("Bernoulli", "boolean", True, 2, False, True)
    assert found["label"][0] == "Categorical"
    assert found["label"][2:] == (True, 3, False, True)
    assert not found["bonus"][-1]


def test_tables_of_both_hosts_are_equal():
    pytest.importorskip("pyro")
    pytest.importorskip("numpyro")
    bits = {"x": (DATA["x"] > 0).astype(float)}
    for declaration, data in (
        (VAE(3, 2, (4,)), bits),
        (SBN(3, (2, 2)), bits),
        (FactorAnalysis(3), DATA),
        (Generator(3), DATA),
        (RBM(3, 2), {"v": bits["x"]}),
    ):
        tables = [ppgm.program(declaration, host=h).sites(data) for h in ("pyro", "numpyro")]
        for side in ("model", "guide"):
            mine, theirs = (by_name(getattr(table, side)) for table in tables)
            same = {n: s._replace(support="") if s.kind == "param" else s for n, s in mine.items()}
            assert same == {
                n: s._replace(support="") if s.kind == "param" else s for n, s in theirs.items()
            }
        assert tables[0]._replace(model=(), guide=()) == tables[1]._replace(model=(), guide=())


def test_enumerable_counts_states_of_a_vector(host):
    table = ppgm.program(SBN(3, (5,)), host=host).sites({"x": np.ones((2, 3))})
    assert by_name(table.model)["h1"].enumerable == 2**5
    table = ppgm.program(SBN(3, (200,)), host=host).sites({"x": np.ones((2, 3))})
    assert by_name(table.model)["h1"].enumerable == 0


def test_implicit_site(host):
    table = ppgm.program(Generator(3), host=host).sites(DATA)
    assert by_name(table.model)["x"].kind == "implicit"


def test_prints_as_a_table(host):
    text = str(ppgm.program(FactorAnalysis(3), host=host).sites(DATA))
    assert "z" in text
    assert "observed" in text
    assert len(text.splitlines()) > 4


# Mismatches of guide and model: each is (guide, words of the message).


def standard(t):
    def model(x):
        shift = t.sample("shift", t.dist.Normal(0.0, 1.0))
        with t.plate("data", len(x)):
            z = t.sample("codes", t.dist.Normal(t.zeros(2), 1.0).to_event(1))
            t.sample("width", t.dist.Gamma(2.0, 1.0))
            t.sample("x", t.dist.Normal(z.sum(-1) + shift, 1.0), obs=x)

    return model


def guide_of(t, *, skip=(), rename=(), **changed):
    """A guide that fits `standard`, but for what is changed."""
    changes = {
        "shift": lambda: t.dist.Normal(0.0, 1.0),
        "codes": lambda: t.dist.Normal(t.zeros(2), 1.0).to_event(1),
        "width": lambda: t.dist.Gamma(2.0, 1.0),
        **changed,
    }
    names = dict(rename)

    def draw(name):
        if name not in skip:
            t.sample(names.get(name, name), changes[name]())

    def guide(x):
        t.param("loc", t.zeros(1))
        draw("shift")
        if "plates" in skip:
            draw("codes")
            draw("width")
            return
        with t.plate("data", len(x)):
            draw("codes")
            draw("width")

    return guide


MISMATCHES = {
    "right": ({}, None),
    "missing": ({"skip": ("width",)}, "'width' of the model is not in the guide"),
    "misspelt": ({"rename": {"codes": "code"}}, "did you mean 'code'"),
    "event": (
        {"codes": lambda t: t.dist.Normal(t.zeros(3), 1.0).to_event(1)},
        r"'codes' has event_shape \(2,\) in the model and \(3,\) in the guide",
    ),
    "discrete": ({"shift": lambda t: t.dist.Bernoulli(0.5)}, "discrete"),
    "support": (
        {"width": lambda t: t.dist.Normal(0.0, 1.0)},
        "'width' is Gamma .support positive. in the model and Normal .support real. in the guide",
    ),
    "plates": ({"skip": ("plates",)}, "in the model and"),
    "extra": ({"rename": {"shift": "width2"}}, "'shift' of the model is not in the guide"),
}


def messages(host, t, case):
    changes, _ = MISMATCHES[case]
    wired = {k: (lambda made=v: made(t)) if callable(v) else v for k, v in changes.items()}
    program = ppgm.Program(standard(t), guide_of(t, **wired), host=host)
    data = {"x": np.arange(4.0)}
    steps = []
    if MISMATCHES[case][1] is None:
        ppgm.fit(program, data, ELBO(), steps=1)
        return ""
    with pytest.raises(ModelError) as caught:
        ppgm.fit(program, data, ELBO(), steps=1, callbacks=[steps.append])
    assert steps == []
    return str(caught.value)


@pytest.mark.parametrize("case", MISMATCHES)
def test_mismatch_is_refused_before_the_first_step(host, t, case):
    words = MISMATCHES[case][1]
    found = messages(host, t, case)
    assert re.search(words, found) if words else found == "", found


@pytest.mark.parametrize("case", [c for c, (_, words) in MISMATCHES.items() if words])
def test_both_hosts_say_the_same(case):
    pytest.importorskip("pyro")
    pytest.importorskip("numpyro")
    assert messages("pyro", Tools("pyro"), case) == messages("numpyro", Tools("numpyro"), case)


def test_batch_axis_without_a_plate(host, t):
    def model(x):
        z = t.sample("z", t.dist.Normal(t.zeros(len(x)), 1.0))
        with t.plate("data", len(x)):
            t.sample("x", t.dist.Normal(z, 1.0), obs=x)

    def guide(x):
        t.sample("z", t.dist.Normal(t.zeros(len(x)), 1.0))

    words = r"site 'z' of the model .* axis -1 is in no plate.*to_event"
    with pytest.raises(ModelError, match=words):
        ppgm.fit(ppgm.Program(model, guide, host=host), {"x": np.zeros(4)}, ELBO(), steps=1)


def global_program(t, host):
    def model(x):
        mean = t.sample("mean", t.dist.Normal(0.0, 1.0))
        with t.plate("data", len(x)):
            t.sample("x", t.dist.Normal(mean, 1.0), obs=x)

    def guide(x):
        t.sample("mean", t.dist.Normal(t.param("loc", t.zeros(())), 1.0))

    return ppgm.Program(model, guide, host=host)


@pytest.mark.parametrize("objective", [IWAE(3), Renyi(0.5, 3), VIMCO(3)], ids=type)
def test_logarithm_over_a_subsample_is_refused(host, t, objective):
    program, data = global_program(t, host), {"x": np.zeros(6)}
    with pytest.raises(EstimatorError, match=r"'mean'.*plate 'data'.*use ELBO"):
        ppgm.fit(program, data, objective, steps=1, batch_size=2)
    ppgm.fit(program, data, objective, steps=1)
    ppgm.fit(program, data, ELBO(), steps=1, batch_size=2)


def test_path_gradient_of_bits_is_refused(host):
    program = ppgm.program(SBN(3, (2,)), host=host)
    with pytest.raises(
        EstimatorError, match=r"'h1' is Bernoulli: STL needs reparameterised sites; use .*VIMCO"
    ):
        ppgm.fit(program, {"x": np.ones((4, 3))}, STL(), steps=1)


def test_likelihood_of_an_implicit_model_is_refused(host):
    program = ppgm.program(Generator(3), host=host)
    for objective in (ELBO(), IWAE(2), STL()):
        with pytest.raises(EstimatorError, match="'x' has no density.*use GAN"):
            ppgm.fit(program, DATA, objective, steps=1)


def test_game_and_divergence_on_models_they_are_not_for(host):
    vae = ppgm.program(VAE(3, 2, (4,)), host=host)
    bits = {"x": np.ones((4, 3))}
    for objective in (GAN(on=("y",)), ContrastiveDivergence()):
        with pytest.raises(EstimatorError) as caught:
            ppgm.fit(vae, bits, objective, steps=1)
        assert len(str(caught.value)) > 40


def test_enumeration_of_a_site_without_finitely_many_values(host):
    vae, bits = ppgm.program(VAE(3, 2, (4,)), host=host), {"x": np.ones((4, 3))}
    with pytest.raises(EstimatorError, match="'z' is Normal on real"):
        ppgm.fit(vae, bits, ELBO(enumerate=("z",)), steps=1)
    with pytest.raises(EstimatorError, match=r"cannot enumerate 'y'.*\['z'\]"):
        ppgm.fit(vae, bits, ELBO(enumerate=("y",)), steps=1)


def test_bound_without_a_guide_is_refused(host, t):
    program = global_program(t, host)
    program = ppgm.Program(program.model, None, host=host)
    with pytest.raises(EstimatorError, match="has no guide"):
        ppgm.fit(program, {"x": np.zeros(3)}, ELBO(), steps=1)


def test_tables_leave_no_trace(host, t):
    everything(t)
    ppgm.Program(everything(t), None, host=host).sites(DATA)
    if host == "pyro":
        assert dict(sys.modules["pyro"].get_param_store()) == {}
