"""Models of densities without latents: exact likelihoods, whatever the objective calls itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError, DataError, EstimatorError
from ppgm.fits import as_fit
from ppgm.inference import ELBO, IWAE, NUTS, RWS, STL, SVI, VIMCO, DReG, Guide, WakeSleep
from ppgm.models import MAF, NICE, NSF, RBM, Autoencoder, Glow, RealNVP, normalised
from ppgm.models.glow import squeeze_order
from ppgm.nets_images import ConvMap
from ppgm.probes import probe
from ppgm.testing.contract import Check, parametrize_with_checks
from ppgm.transforms import Inverse
from ppgm.transforms.normalisation import ActNorm

D, N = 3, 5
TOLERANCE = 1e-9

pytestmark = pytest.mark.usefixtures("f64")


# A model alone, without a guide and without latents.


@dataclass(frozen=True)
class Normal:
    """Independent columns."""

    broadcasts = True

    def model(self, ppl: Any, x: Any = None) -> None:
        loc = ppl.param("loc", np.zeros(D))
        scale = ppl.param("scale", np.ones(D), constraint="positive")
        with ppl.plate("data", x):
            ppl.sample("x", ppl.distributions.Normal(loc, scale).to_event(1), obs=x)


@dataclass(frozen=True)
class Seeing(Normal):
    """The same, with x as an argument that has no default."""

    def model(self, ppl: Any, x: Any) -> None:
        super().model(ppl, x)


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, D)) * 1.5


@pytest.fixture
def params(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"loc": rng.normal(size=D), "scale": rng.uniform(0.5, 2.0, D)}


def log_normal(x: np.ndarray, params: dict[str, np.ndarray]) -> np.ndarray:
    square = ((x - params["loc"]) / params["scale"]) ** 2
    return -0.5 * (square + np.log(2 * np.pi * params["scale"] ** 2)).sum(-1)


@pytest.mark.parametrize("objective", [ELBO(), IWAE(3), STL(2), DReG(2), VIMCO(2)])
def test_without_a_guide_every_bound_is_the_log_likelihood(
    host: str, objective: Any, x: np.ndarray, params: dict[str, np.ndarray]
) -> None:
    got = probe(ppgm.program(Normal(), host=host), params, {"x": x}, objective)
    assert got.loss == pytest.approx(-log_normal(x, params).mean(), abs=TOLERANCE)
    white = (x - params["loc"]) / params["scale"]
    np.testing.assert_allclose(got.grads["loc"], -(white / params["scale"]).mean(0), atol=1e-12)
    np.testing.assert_allclose(got.grads["scale"], 1 - (white**2).mean(0), atol=1e-12)


def test_evaluate_is_exact_whatever_the_chunks(
    host: str, x: np.ndarray, params: dict[str, np.ndarray]
) -> None:
    program = ppgm.program(Normal(), host=host)
    fit = ppgm.fit(program, {"x": x}, ELBO(), epochs=1, batch_size=2, progress=False)
    fit = fit._replace(params=params)
    for chunk in (None, 2):
        found = ppgm.evaluate(fit, {"x": x}, chunk=chunk)
        np.testing.assert_allclose(found.log_likelihood, log_normal(x, params), atol=TOLERANCE)
        np.testing.assert_array_equal(found.exact, found.log_likelihood)
        assert found.monte_carlo_error == 0
        assert str(found).startswith("exact log p(x)")


def test_maximum_likelihood_is_reached(host: str, x: np.ndarray) -> None:
    fit = ppgm.fit(
        ppgm.program(Normal(), host=host), {"x": x}, ELBO(), steps=150, progress=False,
        validation={"x": x}, optimiser=ppgm.optimisers.Adam(0.1),
    )  # fmt: skip
    np.testing.assert_allclose(fit.params["loc"], x.mean(0), atol=1e-3)
    np.testing.assert_allclose(fit.params["scale"], x.std(0), atol=1e-3)
    drawn = ppgm.sample(fit, 20_000)["x"]
    np.testing.assert_allclose(drawn.mean(0), x.mean(0), atol=5 * x.std(0).max() / 20_000**0.5)


def test_what_has_nothing_to_draw_says_so(host: str, x: np.ndarray) -> None:
    program = ppgm.program(Normal(), host=host)
    for method in (SVI(ELBO(), steps=1), Guide(), NUTS(5, 5, chains=1)):
        with pytest.raises(EstimatorError, match=r"no latent sites: .* use ppgm.sample"):
            ppgm.infer(program, {"x": x}, method)
    with pytest.raises(ArgumentError, match=r"use ppgm.sample"):
        ppgm.predict(program, {"x": x})
    with pytest.raises(EstimatorError, match="no guide"):
        ppgm.active_units(as_fit(program, {"x": x}), {"x": x})
    for objective in (WakeSleep(), RWS(2, sleep=1.0)):
        with pytest.raises(EstimatorError, match="sleep phase .* use ELBO"):
            ppgm.fit(program, {"x": x}, objective, steps=1)


@pytest.mark.parametrize(
    ("declaration", "name"), [(Seeing(), "x"), (Autoencoder(D, 2, (3,)), "x"), (RBM(D, 2), "v")]
)
def test_no_bound_of_what_is_no_density(host: str, declaration: Any, name: str) -> None:
    """A model that needs its data may depend on them; one with a factor is not normalised."""
    program = ppgm.program(declaration, host=host)
    bits = {name: np.ones((N, D))}
    assert not program.sites(bits).exact
    with pytest.raises(EstimatorError, match="the program has no guide: ELBO needs one, unless"):
        ppgm.fit(program, bits, ELBO(), steps=1)
    if name == "x":
        with pytest.raises(EstimatorError, match="needs a guide"):
            ppgm.evaluate(program, bits)


def test_the_graph_of_a_model_alone(host: str, x: np.ndarray) -> None:
    graph = ppgm.graph(ppgm.program(Normal(), host=host), {"x": x})
    assert set(graph.edges) == {("loc", "x"), ("scale", "x")}
    density = hosts.load(host).log_density(ppgm.program(Normal(), host=host), {}, {"x": x}, {})
    np.testing.assert_allclose(
        density["x"][0], log_normal(x, {"loc": 0.0, "scale": np.ones(D)}), atol=TOLERANCE
    )


# Flows: densities, Jacobians, draws.

PLANE = {
    "nice": NICE(2, 3, (5,)),
    "real-nvp": RealNVP(2, 3, (5,)),
    "maf": MAF(2, 3, (5,)),
    "nsf": NSF(2, 3, 4, 3.0, hidden=(5,)),
    "nsf, autoregressive": NSF(2, 2, 4, 3.0, "autoregressive", (5,)),
}
FLOWS = {
    "nice": NICE(5, 3, (6,)),
    "real-nvp": RealNVP(5, 3, (6,)),
    "maf": MAF(5, 3, (6,)),
    "nsf": NSF(5, 3, 4, 3.0, hidden=(6,)),
    "nsf, autoregressive": NSF(5, 2, 4, 3.0, "autoregressive", (6,)),
    "glow": Glow((1, 4, 4), 2, 1, (3,)),
    "glow, colours": Glow((3, 2, 2), 1, 1, (3,)),
}
every_flow = pytest.mark.parametrize("name", FLOWS)
on_numpyro_slow = pytest.mark.parametrize(
    "host", ["pyro", pytest.param("numpyro", marks=pytest.mark.slow)]
)


class Library:
    """What flows need of a namespace, with parameters far from those of an untrained flow."""

    def __init__(self, host: str) -> None:
        self.ops = hosts.load(host).OPS
        self.np, self.host = self.ops.np, host

    def module(self, name: str, spec: Any) -> Any:
        weights = {n: v * 1.5 for n, v in spec.net.initial(7, name).items()}
        if self.host == "pyro":
            from ppgm.nets_torch import build

            return build(spec, weights, self.ops.float(0.0).dtype)
        from ppgm.nets_equinox import build

        return build(spec, weights, "float64")

    def param(self, name: str, init: np.ndarray, constraint: str = "real") -> Any:
        noise = np.random.default_rng(len(name)).normal(size=init.shape)
        return self.ops.float(init + 0.2 * noise)


def numbers(array: Any) -> np.ndarray:
    return np.asarray(array.detach() if hasattr(array, "detach") else array)


def moved(program: ppgm.Program, x: np.ndarray) -> dict[str, np.ndarray]:
    """Parameters away from their start."""
    rng = np.random.default_rng(3)
    params = hosts.load(program.host).initial(program, {"x": x}, 0)
    return {n: v + 0.15 * rng.normal(size=v.shape) for n, v in params.items()}


@on_numpyro_slow
@pytest.mark.parametrize("name", PLANE)
def test_densities_of_the_plane_integrate_to_one(host: str, name: str) -> None:
    axis = np.linspace(-10, 10, 400)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    program = ppgm.program(PLANE[name], host=host)
    params = moved(program, grid[:2])
    density = np.exp(hosts.load(host).log_density(program, params, {"x": grid}, {})["x"][0])
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-4)
    inner = np.exp(-0.5 * (grid**2).sum(-1)) / (2 * np.pi)
    assert np.abs(density - inner).max() > 0.03  # it is far from the untrained density


@every_flow
def test_log_densities_are_those_of_the_jacobian(name: str, rng: np.random.Generator) -> None:
    """log p(x) = log N(z) + log |det dz/dx|; and z goes back to x, with minus the same."""
    torch = pytest.importorskip("torch")
    flow = FLOWS[name].flow(Library("pyro"))
    x = rng.normal(size=(3, FLOWS[name].columns)) * 1.3
    z, log_det = flow.transform.inverse(torch.as_tensor(x))
    back, home = flow.transform.forward(z)
    np.testing.assert_allclose(numbers(back), x, atol=TOLERANCE)
    np.testing.assert_allclose(numbers(home), -numbers(log_det), atol=TOLERANCE)
    for n in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda v: flow.transform.inverse(v)[0], torch.as_tensor(x[n])
        )
        wanted = np.linalg.slogdet(jacobian.numpy())[1]
        np.testing.assert_allclose(numbers(log_det)[n], wanted, atol=TOLERANCE)
        normal = -0.5 * (numbers(z)[n] ** 2 + np.log(2 * np.pi)).sum()
        found = numbers(flow.log_prob(torch.as_tensor(x)))[n]
        assert found == pytest.approx(normal + wanted, abs=TOLERANCE)
    assert np.abs(numbers(z) - x).max() > 0.3


@pytest.mark.parametrize("name", ["nice", "real-nvp", "maf", "nsf, autoregressive"])
def test_steps_take_turns(name: str, rng: np.random.Generator) -> None:
    """After all of them every coordinate depends on every other, at some point."""
    torch = pytest.importorskip("torch")
    flow, seen = FLOWS[name].flow(Library("pyro")), np.zeros((5, 5), bool)
    for x in torch.as_tensor(rng.normal(size=(6, 5))):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow.transform.inverse(v)[0], x)
        seen |= np.abs(jacobian.numpy()) > 1e-12
    assert seen.all()


@on_numpyro_slow
@every_flow
def test_draws_have_the_density_that_comes_with_them(
    host: str, name: str, rng: np.random.Generator
) -> None:
    library = Library(host)
    noise = library.ops.float(rng.normal(size=(6, FLOWS[name].columns)))

    def draw(noise: Any) -> tuple[Any, ...]:
        flow = FLOWS[name].flow(library)
        x, log_p = flow.push(noise)
        return x, log_p, flow.log_prob(x), flow.transform.inverse(x)[0]

    call = draw if host == "pyro" else pytest.importorskip("jax").jit(draw)
    x, log_p, again, back = map(numbers, call(noise))
    np.testing.assert_allclose(again, log_p, atol=TOLERANCE)
    np.testing.assert_allclose(back, numbers(noise), atol=TOLERANCE)
    assert np.isfinite(x).all()
    other = FLOWS[name].flow(Library("pyro")) if host == "numpyro" else None
    if other is not None:  # the hosts agree
        ops = hosts.load("pyro").OPS
        found = other.log_prob(ops.float(np.array(x)))
        np.testing.assert_allclose(numbers(found), log_p, atol=TOLERANCE)


@pytest.mark.parametrize("name", FLOWS)
def test_flows_start_near_the_identity_or_a_rotation(name: str, rng: np.random.Generator) -> None:
    """Standardised data have about the density of standard normal ones at first."""
    pytest.importorskip("pyro")
    x = rng.normal(size=(40, FLOWS[name].columns))
    found = ppgm.evaluate(ppgm.program(FLOWS[name], host="pyro"), {"x": x})
    normal = -0.5 * (x**2 + np.log(2 * np.pi)).sum(-1)
    np.testing.assert_allclose(found.log_likelihood, normal, atol=0.8)
    assert found.exact is not None


def test_a_linear_maf_is_a_gaussian(host: str, rng: np.random.Generator) -> None:
    """x_i = s_i z_i + (W x)_i + b_i with W below the diagonal, then with W above it."""
    size = 4
    program = ppgm.program(MAF(size, 2, ()), host=host)
    x = rng.normal(size=(6, size))
    params = hosts.load(host).initial(program, {"x": x}, 0)
    mean, root = np.zeros(size), np.eye(size)
    for n in (1, 0):  # from noise to data
        shift, log_sd = rng.normal(size=(2, size))
        params[f"shift{n}"], params[f"log_scale{n}"] = shift, 0.3 * log_sd
        mean, root = shift + np.exp(0.3 * log_sd) * mean, np.exp(0.3 * log_sd)[:, None] * root
        weight = np.tril(rng.normal(size=(size, size)), -1)
        weight = weight if n == 0 else weight[::-1, ::-1]
        bias, log_scale = rng.normal(size=size), rng.uniform(-1, 1, size)
        raw = 3 * np.arctanh(log_scale / 3)
        params[f"made{n}.layers.0.weight"] = np.concatenate([weight, np.zeros((size, size))])
        params[f"made{n}.layers.0.bias"] = np.concatenate([bias, raw])
        solve = np.linalg.inv(np.eye(size) - weight)
        mean = solve @ (np.exp(log_scale) * mean + bias)
        root = solve @ (np.exp(log_scale)[:, None] * root)
    white = np.linalg.solve(root, (x - mean).T).T
    wanted = -0.5 * (white**2 + np.log(2 * np.pi)).sum(-1) - np.linalg.slogdet(root)[1]
    got = hosts.load(host).log_density(program, params, {"x": x}, {})["x"][0]
    np.testing.assert_allclose(got, wanted, atol=TOLERANCE)
    fit = as_fit(program, {"x": x})._replace(params=params)
    drawn = ppgm.sample(fit, 20_000)["x"]
    white = np.linalg.solve(root, (drawn - mean).T)
    np.testing.assert_allclose(white.mean(1), 0, atol=5 / 20_000**0.5)
    np.testing.assert_allclose(np.cov(white), np.eye(size), atol=5 * 1.5 / 20_000**0.5)


# From training to storage.


@on_numpyro_slow
@pytest.mark.parametrize("name", ["real-nvp", "glow"])
def test_a_flow_is_trained_evaluated_sampled_and_saved(
    host: str, name: str, rng: np.random.Generator, tmp_path: Any
) -> None:
    size = FLOWS[name].columns
    x = rng.normal(size=(60, size)) @ (np.eye(size) + 0.5 * rng.normal(size=(size, size)))
    data = {"x": (x - x.mean(0)) / x.std(0)}
    program = ppgm.program(FLOWS[name], host=host)
    fit = ppgm.fit(
        program, data, ELBO(), epochs=25, batch_size=20, progress=False,
        optimiser=ppgm.optimisers.Adam(0.01),
    )  # fmt: skip
    assert fit.history["bound"][-1] > fit.history["bound"][0] + 0.3
    found = ppgm.evaluate(fit, data)
    bound = probe(program, fit.params, data, ELBO()).metrics["bound"]
    assert found.mean == pytest.approx(bound, abs=1e-5)
    drawn = ppgm.sample(fit, 7, seed=1)["x"]
    assert drawn.shape == (7, size)
    assert np.isfinite(drawn).all()
    assert set(ppgm.graph(fit, data).nodes) >= {"x"}
    fit.save(tmp_path / "run")
    again = ppgm.load(tmp_path / "run")
    np.testing.assert_array_equal(ppgm.evaluate(again, data).log_likelihood, found.log_likelihood)
    np.testing.assert_array_equal(ppgm.sample(again, 7, seed=1)["x"], drawn)


@pytest.mark.parametrize("name", ["real-nvp", "maf", "glow"])
def test_normalised_activations(host: str, name: str, rng: np.random.Generator) -> None:
    """With the last step a normalisation, noise has mean 0 and deviation 1 on those rows."""
    if host == "numpyro" and name != "real-nvp":
        pytest.skip("what differs is the model, which the hosts share")
    declaration = FLOWS[name]
    size = declaration.columns
    x = rng.normal(size=(50, size)) * rng.uniform(0.2, 5, size) + rng.normal(size=size) * 3
    fit = normalised(ppgm.program(declaration, host=host), {"x": x})
    seen = {}

    def norm(number: int, channels: int) -> Any:
        shift, log_scale = fit.params[f"shift{number}"], fit.params[f"log_scale{number}"]
        step = Inverse(ActNorm(ops.float(shift), ops.float(log_scale)))
        return Watched(step, lambda rows: seen.setdefault(number, (numbers(rows), channels)))

    ops = hosts.load(host).OPS
    rows = ops.float(x)
    for step in declaration.steps(Held(host, fit.params), norm):
        rows, _ = step.forward(rows)
    assert len(seen) == sum(n.startswith("shift") for n in fit.params)
    for found, channels in seen.values():
        parts = found.reshape(50, channels, -1)
        np.testing.assert_allclose(parts.mean((0, 2)), 0, atol=TOLERANCE)
        np.testing.assert_allclose(parts.std((0, 2)), 1, atol=TOLERANCE)
    before = ppgm.evaluate(ppgm.program(declaration, host=host), {"x": x}).mean
    assert ppgm.evaluate(fit, {"x": x}).mean > before


@dataclass(frozen=True)
class Watched:
    """A step whose results are looked at."""

    step: Any
    look: Any

    def forward(self, x: Any) -> tuple[Any, Any]:
        y, log_det = self.step.forward(x)
        self.look(y)
        return y, log_det


class Held(Library):
    """Networks and parameters with the values of a fit."""

    def __init__(self, host: str, params: Any) -> None:
        super().__init__(host)
        self.params = params

    def module(self, name: str, spec: Any) -> Any:
        mine = {n.removeprefix(f"{name}."): v for n, v in self.params.items()
                if n.startswith(f"{name}.")}  # fmt: skip
        if self.host == "pyro":
            from ppgm.nets_torch import build

            return build(spec, mine, self.ops.float(0.0).dtype)
        from ppgm.nets_equinox import build

        return build(spec, mine, "float64")

    def param(self, name: str, init: np.ndarray, constraint: str = "real") -> Any:
        return self.ops.float(self.params[name])


def test_what_cannot_be_normalised(rng: np.random.Generator) -> None:
    pytest.importorskip("pyro")
    x = rng.normal(size=(4, 5))
    with pytest.raises(ArgumentError, match="NICE has no activation normalisation"):
        normalised(ppgm.program(FLOWS["nice"], host="pyro"), {"x": x})
    with pytest.raises(ArgumentError, match="at least 2 rows"):
        normalised(ppgm.program(FLOWS["real-nvp"], host="pyro"), {"x": x[:1]})
    with pytest.raises(ArgumentError, match="a program of a density model"):
        normalised(ppgm.program(Normal(), host="pyro"), {"x": x[:, :3]})
    real_nvp: Any = ppgm.program(FLOWS["real-nvp"], host="pyro")
    with pytest.raises(ArgumentError, match="or a fit of it, not int"):
        normalised(3, {"x": x})  # pyright: ignore[reportArgumentType]
    flat = np.where(np.arange(5) == 2, 7.5, x)
    for data, words in (
        ({"x": np.where(x > 0, np.nan, x)}, r"data\['x'\] has \d+ values that are NaN"),
        ({"x": flat}, r"column 2 of data\['x'\], 7.5 in the first row, has a deviation of at"),
        ({"x": x[:, :4]}, r"must have the shape \(N, 5\), not \(4, 4\)"),
        ({}, r"normalised needs data\['x'\], \(N, 5\): the data have nothing"),
        (x, "data must be a dict"),
    ):
        with pytest.raises(DataError, match=words):
            normalised(real_nvp, data)  # pyright: ignore[reportArgumentType]
    glow, pictures = FLOWS["glow"], rng.normal(size=(4, FLOWS["glow"].columns))
    pictures[:, 0] = 0.0
    assert normalised(ppgm.program(glow, host="pyro"), {"x": pictures}).params
    with pytest.raises(DataError, match="channel 0 at 'log_scale0' has a deviation of at most"):
        normalised(ppgm.program(glow, host="pyro"), {"x": np.ones_like(pictures)})


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((4, 2), r"NICE: data\['x'\] must have the shape \(N, 3\), not \(4, 2\)$"),
        ((1, 64, 3), r"not \(1, 64, 3\)$"),
        ((4, 1, 3), r"not \(4, 1, 3\): give x.reshape\(len\(x\), -1\)$"),
        ((3,), r"not \(3,\)$"),
    ],
)
def test_rows_of_another_width_are_refused(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        NICE(3).check_data({"x": np.zeros(shape)})


def test_bad_rows_are_refused_before_a_step(host: str) -> None:
    program, wide = ppgm.program(NICE(3, hidden=(2,)), host=host), {"x": np.zeros((4, 2))}
    with pytest.raises(DataError, match=r"must have the shape \(N, 3\), not \(4, 2\)"):
        ppgm.fit(program, wide, ELBO(), steps=1)
    with pytest.raises(DataError, match=r"must have the shape \(N, 3\), not \(4, 2\)"):
        ppgm.evaluate(program, wide)


def test_whole_numbers_are_taken_for_real_ones(host: str, rng: np.random.Generator) -> None:
    program = ppgm.program(NICE(3, hidden=(2,)), host=host)
    x = rng.integers(-2, 3, size=(4, 3))
    found, wanted = (ppgm.evaluate(program, {"x": v}).log_likelihood for v in (x, x * 1.0))
    np.testing.assert_array_equal(found, wanted)


def test_a_squeeze_makes_channels_of_neighbours() -> None:
    """Of a 4 x 4 picture: channel 0 is the upper left pixel of every 2 x 2 block."""
    order = squeeze_order((1, 4, 4))
    np.testing.assert_array_equal(
        np.reshape(order, (4, 2, 2)),
        [[[0, 2], [8, 10]], [[1, 3], [9, 11]], [[4, 6], [12, 14]], [[5, 7], [13, 15]]],
    )
    two = np.reshape(squeeze_order((2, 2, 2)), (8, 1, 1))[:, 0, 0]
    np.testing.assert_array_equal(two, np.arange(8))


@pytest.mark.slow
@parametrize_with_checks([(FLOWS["nsf, autoregressive"], {"x": np.eye(5)[:3]})])
def test_autoregressive_splines_keep_the_contract(check: Check) -> None:
    check.run()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NICE(1), "features must be an integer of at least 2"),
        (lambda: RealNVP(4, 0), "depth must be an integer"),
        (lambda: RealNVP(4, hidden=3), "hidden must be a tuple"),
        (lambda: RealNVP(4, activation="gelu"), "RealNVP: 'activation' must be one of"),
        (lambda: MAF(9, hidden=(7,)), "widths of at least 8"),
        (lambda: Glow((1, 6, 6)), "sides that are multiples of 4 for 2 levels"),
        (lambda: Glow((64,)), "shape must be"),
        (lambda: Glow((1, 4, 4), 0), "levels must be an integer"),
        (lambda: ConvMap((1, 4, 4), (2,), 2, kernel=2), "kernel must be odd"),
        (lambda: ConvMap((4, 4), (2,), 2), "channels, height, width"),
        (lambda: ConvMap((1, 4, 4), (2,), 2, activation="gelu"), "activation must be one of"),
    ],
)
def test_options_are_checked(make: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make()
