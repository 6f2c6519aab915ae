"""Programs unlike the common ones: plates of coinciding sizes, subsamples, odd types."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.answers_guide import _take_rows
from ppgm.errors import ArgumentError, EstimatorError, ModelError
from ppgm.inference import (
    ELBO,
    GAN,
    IWAE,
    STL,
    SVI,
    VIMCO,
    Anneal,
    ContrastiveDivergence,
    Guide,
    Importance,
    Renyi,
)
from ppgm.models import RBM
from ppgm.nets import MLP
from ppgm.optimisers import SGD
from ppgm.probes import probe
from ppgm.sites import Plate, SiteTable
from ppgm.testing.densities import normal

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")

STILL = SGD(1e-300)
Z, A = 0.5, 0.5**0.5  # the posterior of z ~ N(0, 1) under x ~ N(z, 1) is N(x / 2, 1 / 2)


def languages(host: str) -> tuple[Any, Any, Any]:
    """The host's statements and distributions, and a number of its arrays."""
    ppl, dist = import_module(host), import_module(f"{host}.distributions")
    arrays = import_module("torch").tensor if host == "pyro" else import_module("jax.numpy").array
    return ppl, dist, arrays


def evidence(x: np.ndarray) -> np.ndarray:
    return normal(x, 0.0, 2**0.5)


def fixed(program: ppgm.Program, data: dict[str, Any]) -> ppgm.Fit:
    params = {"a": np.array(Z)}
    return ppgm.Fit(program, params, {}, {}, {})


def cells(host: str, features: int, *, left: bool) -> ppgm.Program:
    """A latent per cell of ``x (N, features)``, with the exact guide; `left` transposes."""
    ppl, dist, number = languages(host)
    data, feature = (-1, -2) if left else (-2, -1)

    def run(x: Any, draw: Any) -> None:
        x = x.T if left else x
        with ppl.plate("data", x.shape[data], dim=data), ppl.plate("f", features, dim=feature):
            draw(x)

    def model(x: Any) -> None:
        def draw(x: Any) -> None:
            z = ppl.sample("z", dist.Normal(number(0.0), 1.0))
            ppl.sample("x", dist.Normal(z, 1.0), obs=x)

        run(x, draw)

    def guide(x: Any) -> None:
        a = ppl.param("a", number(Z))
        run(x, lambda x: ppl.sample("z", dist.Normal(a * x, A)))

    return ppgm.Program(model, guide, host=host)


@pytest.mark.parametrize(("rows", "features"), [(13, 8), (4, 4)])
@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("left", [True, False])
def test_evidence_has_the_axes_of_its_rows_whatever_their_sizes(
    host, rng, rows, features, chunk, left
):
    x = rng.normal(size=(rows, features))
    fit = fixed(cells(host, features, left=left), {"x": x})
    found = ppgm.evaluate(fit, {"x": x}, particles=25, chunk=chunk)
    wanted = evidence(x.T if left else x)
    np.testing.assert_allclose(found.log_likelihood, wanted, rtol=1e-12)


@pytest.mark.parametrize("chunk", [None, 8])
def test_row_plates_of_a_fixed_size_are_evaluated_whole(host, rng, chunk):
    ppl, dist, number = languages(host)
    y = rng.normal(size=(24, 8))

    def model(y: Any) -> None:
        with ppl.plate("g", 8):
            z = ppl.sample("z", dist.Normal(number(0.0), 1.0))
            spread = number(np.ones(y.shape[0]))
            ppl.sample("y", dist.Normal(z[..., None] * spread, 1.0).to_event(1), obs=y.T)

    def guide(y: Any) -> None:
        n = y.shape[0]
        a = ppl.param("a", number(1.0))
        with ppl.plate("g", 8):
            ppl.sample("z", dist.Normal(a * y.sum(0) / (n + 1), (n + 1) ** -0.5))

    cov = np.eye(24) + 1
    wanted = -0.5 * (y * np.linalg.solve(cov, y)).sum(0)
    wanted = wanted - 0.5 * np.linalg.slogdet(2 * np.pi * cov)[1]
    fit = ppgm.Fit(ppgm.Program(model, guide, host=host), {"a": np.array(1.0)}, {}, {}, {})
    found = ppgm.evaluate(fit, {"y": y}, particles=25, chunk=chunk)
    np.testing.assert_allclose(found.log_likelihood, wanted, rtol=1e-12)


@pytest.mark.parametrize("chunk", [None, 3])
def test_a_program_of_one_size_of_data_is_evaluated_whole(host, rng, chunk):
    ppl, dist, number = languages(host)
    x = rng.normal(size=12)

    def model(x: Any) -> None:
        with ppl.plate("d", 12):
            z = ppl.sample("z", dist.Normal(number(0.0), 1.0))
            ppl.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Any) -> None:
        a = ppl.param("a", number(Z))
        with ppl.plate("d", 12):
            ppl.sample("z", dist.Normal(a * x, A))

    fit = fixed(ppgm.Program(model, guide, host=host), {"x": x})
    found = ppgm.evaluate(fit, {"x": x}, particles=25, chunk=chunk)
    np.testing.assert_allclose(found.log_likelihood, evidence(x), rtol=1e-12)
    with pytest.raises(ArgumentError, match="whose first plate follows the data"):
        ppgm.active_units(fit, {"x": x})


@pytest.mark.parametrize("local", [True, False])
def test_what_needs_all_rows_refuses_a_subsample(host, rng, local):
    ppl, dist, number = languages(host)
    y = rng.normal(size=40)

    def model(y: Any) -> None:
        z = None if local else ppl.sample("z", dist.Normal(number(0.0), 1.0))
        with ppl.plate("d", 40, subsample_size=5) as i:
            z = ppl.sample("z", dist.Normal(number(0.0), 1.0)) if local else z
            ppl.sample("y", dist.Normal(z, 1.0), obs=y[i])

    def guide(y: Any) -> None:
        a = ppl.param("a", number(Z))
        if not local:
            ppl.sample("z", dist.Normal(a, 1.0))
            return
        with ppl.plate("d", 40, subsample_size=5) as i:
            ppl.sample("z", dist.Normal(a * y[i], A))

    program, data = ppgm.Program(model, guide, host=host), {"y": y}
    fit = ppgm.fit(program, data, ELBO(), steps=1)  # training on a subsample stays right
    words = r"needs all rows: plate 'd' draws 5 of 40; give the full data \(subsample_size=None\)"
    with pytest.raises(EstimatorError, match=f"evaluate {words}"):
        ppgm.evaluate(fit, data, particles=25)
    with pytest.raises(EstimatorError, match=f"active_units {words}"):
        ppgm.active_units(fit, data)
    for method in (Guide(30), Importance(30, 30), SVI(ELBO(), steps=1, draws=30)):
        with pytest.raises(EstimatorError, match=f"infer {words}"):
            ppgm.infer(fit, data, method)


def test_importance_names_a_site_outside_the_rows():
    plates = {"a": Plate("a", 2, -1, 2)}
    table = SiteTable((), (), plates, ("a",), ("a",), has_guide=True)
    with pytest.raises(ModelError, match=r"site 'z' lies in plates \(\).*rows are \('a',\)"):
        _take_rows("z", np.zeros((3, 2)), np.zeros((3, 2), int), (), table)


@pytest.mark.parametrize("batch", [6, None])
def test_validation_is_per_row_of_the_program(host, rng, batch):
    x, new = rng.normal(size=(20, 3)), rng.normal(size=(7, 3))
    program = cells(host, 3, left=False)
    fit = ppgm.fit(
        program, {"x": x}, IWAE(2), epochs=1, batch_size=batch, validation={"x": new},
        optimiser=STILL,
    )  # fmt: skip
    np.testing.assert_allclose(fit.history["validation"], [evidence(new).mean()], rtol=1e-12)


@pytest.mark.parametrize("rest", [3, 5])
def test_validation_of_rows_that_do_not_follow_the_data(host, rng, rest):
    ppl, dist, number = languages(host)

    def model(x: Any, w: Any) -> None:
        with ppl.plate("g", 5):
            z = ppl.sample("z", dist.Normal(number(0.0), 1.0))
            ppl.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Any, w: Any) -> None:
        a = ppl.param("a", number(Z))
        with ppl.plate("g", 5):
            ppl.sample("z", dist.Normal(a * x, A))

    data = {"x": rng.normal(size=5), "w": np.zeros(rest)}
    program = ppgm.Program(model, guide, host=host)
    fit = ppgm.fit(program, data, ELBO(), steps=1, validation=data, optimiser=STILL)
    np.testing.assert_allclose(fit.history["validation"], [evidence(data["x"]).mean()], rtol=1e-12)


@dataclass(frozen=True)
class Noise:
    """Rows of ``(N, 3)`` from a location, beside a global latent, with or without a plate."""

    latent: bool = False
    inner: bool = False

    def model(self, ppl: Any, x: Any = None) -> None:
        normal = ppl.distributions.Normal
        loc = ppl.param("loc", np.array(0.0))
        if self.latent:
            ppl.sample("t", normal(loc, 1.0))
        if not self.inner:
            with ppl.plate("d", x):
                ppl.sample("x", normal(loc + ppl.np.zeros(3), 1.0).to_event(1), obs=x)
            return
        with ppl.plate("d", x, dim=-2), ppl.plate("f", 3, dim=-1):
            ppl.sample("x", normal(loc, 1.0), obs=x)


@pytest.mark.parametrize("latent", [True, False])
@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize("rows", [4])
def test_the_value_of_a_game_is_a_mean_over_rows(host, latent, inner, rows):
    program = ppgm.program(Noise(latent, inner), host=host)
    critic = {"critic.layers.0.weight": np.zeros((1, 3)), "critic.layers.0.bias": np.ones(1)}
    data, objective = {"x": np.zeros((rows, 3))}, GAN(critic=MLP(3, (), 1))
    real, fake = np.log1p(np.exp(-1.0)), np.log1p(np.exp(1.0))
    for player, wanted in (("critic", real + fake), ("generator", real)):
        found = probe(program, critic, data, objective, player=player)
        np.testing.assert_allclose(found.loss, wanted, rtol=1e-12)


def test_rows_that_do_not_count_are_not_in_the_value_of_a_game(host):
    program = ppgm.program(Noise(latent=True), host=host)
    slope = np.array([[1.0, 0.0, 0.0]])
    critic = {"critic.layers.0.weight": slope, "critic.layers.0.bias": np.zeros(1)}
    data = {"x": np.zeros((3, 3))}
    data["x"][:, 0] = [1.0, 2.0, 50.0]
    objective, weight = GAN(critic=MLP(3, (), 1)), np.array([2.0, 2.0, 0.0])
    loss = probe(program, critic, data, objective, player="critic", scale=weight).loss
    twice = {"x": data["x"][:2]}
    real = np.log1p(np.exp(-twice["x"][:, 0])).mean()
    less = dict(data, x=data["x"] * 0.0)
    base = probe(program, critic, less, objective, player="critic", scale=weight).loss
    np.testing.assert_allclose(loss - base, real - np.log(2), rtol=1e-12)


def test_a_default_critic_sees_the_inner_plates(host):
    data = {"x": np.zeros((8, 3))}
    fit = ppgm.fit(ppgm.program(Noise(inner=True), host=host), data, GAN(), steps=1, batch_size=3)
    assert fit.params["critic.layers.0.weight"].shape == (128, 3)


@pytest.mark.parametrize("draws", [1, 4])
def test_draws_of_named_values_have_their_own_shape(host, rng, draws):
    ppl, dist, number = languages(host)

    def model(y: Any) -> None:
        m = ppl.sample("m", dist.Normal(number(0.0), 1.0))
        ppl.deterministic("twice", 2 * m)
        w = ppl.sample("w", dist.Normal(number([0.0, 1.0]), 1.0).to_event(1))
        ppl.deterministic("square", w**2)
        ppl.deterministic("constant", number([1.0, 2.0]))
        with ppl.plate("d", y.shape[0]):
            z = ppl.sample("z", dist.Normal(m, 1.0))
            ppl.deterministic("shifted", z + 1)
            v = ppl.sample("v", dist.Normal(number([0.0, 1.0, 2.0]), 1.0).to_event(1))
            ppl.deterministic("minus", -v)
            ppl.sample("y", dist.Normal(z, 1.0), obs=y)

    def guide(y: Any) -> None:
        ppl.sample("m", dist.Normal(number(0.0), 1.0))
        ppl.sample("w", dist.Normal(number([0.0, 1.0]), 1.0).to_event(1))
        with ppl.plate("d", y.shape[0]):
            ppl.sample("z", dist.Normal(number(0.0), 1.0))
            ppl.sample("v", dist.Normal(number([0.0, 1.0, 2.0]), 1.0).to_event(1))

    data = {"y": rng.normal(size=4)}
    fit = ppgm.Fit(ppgm.Program(model, guide, host=host), {}, {}, {}, {})
    found = ppgm.sample(fit, draws, data=data)
    shapes = {n: v.shape[1:] for n, v in found.items()}
    assert shapes == {
        "m": (), "twice": (), "w": (2,), "square": (2,), "constant": (2,),
        "z": (4,), "shifted": (4,), "v": (4, 3), "minus": (4, 3), "y": (4,),
    }  # fmt: skip
    assert {len(v) for v in found.values()} == {draws}
    np.testing.assert_allclose(found["twice"], 2 * found["m"], rtol=1e-15)
    np.testing.assert_allclose(found["square"], found["w"] ** 2, rtol=1e-15)
    np.testing.assert_array_equal(found["constant"], [[1.0, 2.0]] * draws)
    np.testing.assert_allclose(found["shifted"], found["z"] + 1, rtol=1e-15)
    np.testing.assert_array_equal(found["minus"], -found["v"])


@pytest.mark.parametrize("kind", [np.int64, bool])
@pytest.mark.parametrize("persistent", [True, False])
def test_bits_of_any_type_train_a_machine_alike(host, rng, kind, persistent):
    bits = rng.integers(0, 2, (20, 6))
    objective = ContrastiveDivergence(persistent=persistent)
    program = ppgm.program(RBM(features=6, hidden=3), host=host)
    options: dict[str, Any] = {"steps": 3, "batch_size": 8, "seed": 1}
    wanted = ppgm.fit(program, {"v": bits.astype(float)}, objective, **options)
    found = ppgm.fit(program, {"v": bits.astype(kind)}, objective, **options)
    for name, value in wanted.params.items():
        np.testing.assert_array_equal(found.params[name], value)


@pytest.mark.parametrize("make", [ELBO, IWAE, STL, VIMCO, lambda k: Renyi(0.5, k)])
def test_particles_are_an_integer(make):
    for wrong in (2.5, "3", True, np.float64(2), None):
        with pytest.raises(ArgumentError, match="particles must be an integer of at least"):
            make(wrong)
    with pytest.raises(ArgumentError, match="particles must be at least"):
        make(0)
    assert type(make(np.int64(3)).particles) is int
    assert make(np.int64(3)) == make(3)


def test_steps_are_an_integer():
    for make in (lambda n: Anneal(0.0, 1.0, n), ContrastiveDivergence):
        for wrong in (0, -1, 1.5):
            with pytest.raises(ArgumentError, match="steps must be"):
                make(wrong)
    with pytest.raises(ArgumentError, match="critic_steps must be an integer"):
        GAN(critic_steps=1.5)
