"""Posterior families that are flows, full-rank Gaussians and mixtures: densities and gradients."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError, EstimatorError
from ppgm.guides import (
    IAF,
    Coupling,
    FullRank,
    Householder,
    Mixture,
    Planar,
    Radial,
    Spline,
    Sylvester,
)
from ppgm.guides import Gaussian as Diagonal
from ppgm.guides.mixture import DiagonalMixture
from ppgm.inference import ELBO, IWAE, RWS, STL, DReG
from ppgm.models import DLGM, M1, VAE, Gaussian
from ppgm.probes import probe
from ppgm.testing import differences
from ppgm.testing import linear_gaussian as exact
from ppgm.transforms import Flow

D, L, N = 4, 3, 2
SIGMA = 0.7
TOLERANCE = 1e-9

FAMILIES: dict[str, Any] = {
    "full rank": FullRank(),
    "householder": Householder(3),
    "planar": Planar(3),
    "radial": Radial(3),
    "sylvester": Sylvester(2, 2),
    "sylvester, triangular": Sylvester(2, 0),
    "iaf": IAF(2, (5,)),
    "iaf, affine": IAF(3, (), 0, "affine"),
    "coupling": Coupling(3, (5,)),
    "spline": Spline(3, 4, 3.0, hidden=(5,)),
    "spline, autoregressive": Spline(2, 4, 3.0, "autoregressive", (5,)),
    "mixture": Mixture(3),
}
PUSHED = [name for name in FAMILIES if name != "mixture"]

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")
every_family = pytest.mark.parametrize("family", FAMILIES)
every_flow = pytest.mark.parametrize("family", PUSHED)


class Library:
    """What families need of a namespace, without a host: `distribution` returns what it is given.

    Attributes:
        initial: Makes the weights of a network of its spec.
    """

    def __init__(self, host: str, initial: Callable[[Any], dict[str, np.ndarray]]) -> None:
        self.ops = hosts.load(host).OPS
        self.np, self.host, self.initial = self.ops.np, host, initial

    def module(self, name: str, spec: Any) -> Any:
        if self.host == "pyro":
            from ppgm.nets_torch import build

            return build(spec, self.initial(spec), self.ops.float(0.0).dtype)
        from ppgm.nets_equinox import build

        return build(spec, self.initial(spec), "float64")

    def distribution(self, portable: Any) -> Any:
        return portable


def large(spec: Any) -> dict[str, np.ndarray]:
    """Weights with nothing damped, so that a flow is far from the identity."""
    return spec.net.initial(3, "net")


def medium(spec: Any) -> dict[str, np.ndarray]:
    """For a grid: linear scales have tails that are too long, splines ridges that are too thin."""
    return {n: 0.15 * v for n, v in large(spec).items()}


def numbers(array: Any) -> np.ndarray:
    return np.asarray(array.detach() if hasattr(array, "detach") else array)


def portable(family: str, host: str, context: np.ndarray, latent: int = L) -> Any:
    library = Library(host, large)
    return FAMILIES[family](library, library.ops.float(context), latent)


def far(family: str, rng: np.random.Generator, *rows: int, latent: int = L) -> np.ndarray:
    """A context that bends and stretches, of moderate scales."""
    context = rng.normal(size=(*rows, FAMILIES[family].context(latent))) * 1.5
    scales = {"mixture": slice(3 * latent, 6 * latent)}.get(family, slice(latent, 2 * latent))
    context[..., scales] *= 0.2
    return context


# Densities.


@every_family
def test_densities_of_the_plane_integrate_to_one(family: str, rng: np.random.Generator) -> None:
    pytest.importorskip("torch")
    axis = np.linspace(-12, 12, 250)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    weights = medium if family.startswith(("iaf, affine", "spline")) else large
    library = Library("pyro", weights)
    q = FAMILIES[family](library, library.ops.float(far(family, rng, latent=2)), 2)
    density = np.exp(numbers(q.log_prob(library.ops.float(grid))))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-4)
    assert density.min() >= 0


@every_flow
def test_the_density_of_a_draw_is_the_density_of_its_value(
    host: str, family: str, rng: np.random.Generator
) -> None:
    context, noise = far(family, rng, N), rng.normal(size=(5, N, L))

    def both(context: Any, noise: Any) -> tuple[Any, Any, Any]:
        library = Library(host, large)
        q = FAMILIES[family](library, context, L)
        value, log_q = q.push(noise)
        return value, log_q, q.log_prob(value)

    call = both if host == "pyro" else pytest.importorskip("jax").jit(both)
    value, log_q, again = map(numbers, call(*map(hosts.load(host).OPS.float, (context, noise))))
    assert log_q.shape == (5, N)
    np.testing.assert_allclose(again, log_q, atol=TOLERANCE)
    assert np.abs(value - (context[:, :L] + np.exp(context[:, L : 2 * L]) * noise)).max() > 0.1


@pytest.mark.slow
@every_family
def test_hosts_agree_on_densities(family: str, rng: np.random.Generator) -> None:
    for host in ("pyro", "numpyro"):
        pytest.importorskip(host)
    context, z = far(family, rng, N), rng.normal(size=(4, N, L))
    found = [
        numbers(portable(family, host, context).log_prob(hosts.load(host).OPS.float(z)))
        for host in ("pyro", "numpyro")
    ]
    np.testing.assert_allclose(found[1], found[0], atol=TOLERANCE)


@every_family
def test_every_row_has_a_density_of_its_own(family: str, rng: np.random.Generator) -> None:
    pytest.importorskip("torch")
    context, z = far(family, rng, N), rng.normal(size=(4, N, L))
    ops = hosts.load("pyro").OPS
    q = portable(family, "pyro", context)
    assert (q.batch_shape, q.event_shape) == ((N,), (L,))
    whole = numbers(q.log_prob(ops.float(z)))
    for n in range(N):
        alone = numbers(portable(family, "pyro", context[n]).log_prob(ops.float(z[:, n])))
        np.testing.assert_allclose(whole[:, n], alone, atol=1e-11)


@every_family
def test_every_output_of_the_encoder_counts(family: str, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    library = Library("pyro", large)
    context = torch.as_tensor(far(family, rng, N)).requires_grad_()
    value = library.ops.float(rng.normal(size=(N, L)))
    log_q = FAMILIES[family](library, context, L).log_prob(value)
    (grad,) = torch.autograd.grad(log_q.sum(), context)
    assert (grad != 0).all()


@every_flow
def test_flows_start_near_the_gaussian(family: str, rng: np.random.Generator) -> None:
    """With outputs as an untrained encoder gives them, and a network's own initial weights."""
    pytest.importorskip("torch")
    ops = hosts.load("pyro").OPS
    library = Library("pyro", lambda spec: spec.initial(0, "net"))
    context = ops.float(rng.uniform(-0.4, 0.4, size=(50, FAMILIES[family].context(L))))
    value, log_q = FAMILIES[family](library, context, L).push(ops.float(rng.normal(size=(50, L))))
    loc, log_scale = context[:, :L], context[:, L : 2 * L]
    white = (value - loc) / ops.np.exp(log_scale)
    gaussian = -0.5 * (white**2).sum(-1) - log_scale.sum(-1) - 0.5 * L * np.log(2 * np.pi)
    assert 0.003 < np.abs(numbers(log_q - gaussian)).mean() < 0.5


TURNING = [
    IAF(2, (5,)),
    Coupling(2, (5,)),
    IAF(2, (), 0, "affine"),
    Spline(2, 4, 3.0, hidden=(5,)),
    Spline(2, 4, 3.0, "autoregressive", (5,)),
]


@pytest.mark.parametrize("family", TURNING)
def test_steps_take_turns_with_the_order(family: Any, rng: np.random.Generator) -> None:
    """After one step some coordinate is left as it was by another; after two none is."""
    torch = pytest.importorskip("torch")
    context = torch.as_tensor(rng.normal(size=family.context(2)))
    for depth, full in ((1, False), (2, True)):
        library = Library("pyro", large)

        def value(noise: Any, depth: int = depth, library: Any = library) -> Any:
            return replace(family, depth=depth)(library, context, 2).push(noise)[0]

        noise = torch.as_tensor(rng.normal(size=2))
        jacobian = torch.autograd.functional.jacobian(value, noise)
        assert bool((jacobian != 0).all()) == full


# Zero variance: a family that holds the exact posterior.


def linear(family: Any) -> VAE:
    return VAE(D, L, hidden=(), likelihood=Gaussian(SIGMA), posterior=family)


def holding(family: str, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], exact.Model]:
    """Random decoder, and parameters of the guide that are its exact posterior A x + c + R e.

    One affine autoregressive step makes (I + W) (l + s e) + b of l + s e; W is below the diagonal.
    """
    truth = exact.Model(rng.normal(size=(D, L)), rng.normal(size=D), np.full(D, np.log(SIGMA)))
    best = exact.exact_guide(truth)
    scale = np.diag(best.scale_tril)
    unit = best.scale_tril / scale  # I + W
    params = {"decoder.layers.0.weight": truth.weight, "decoder.layers.0.bias": truth.bias}
    encoder, bias = best.weight, best.bias
    rest = np.zeros(0)
    if family == "full rank":
        rest = unit[np.tril_indices(L, -1)] / 0.1
    else:
        gate = 1 / (1 + np.exp(-2.0)) if family == "iaf" else 1.0
        step = unit - np.eye(L) if family == "iaf, affine" else (unit - np.eye(L)) * gate
        step = step / (1 - gate) if family == "iaf" else step
        shift = rng.normal(size=L)
        params["z.iaf0.layers.0.weight"] = np.concatenate([step, np.zeros((L, L))])
        params["z.iaf0.layers.0.bias"] = np.concatenate([shift, np.zeros(L)])
        moved = (1 - gate) * shift if family == "iaf" else shift
        encoder, bias = (np.linalg.solve(gate * unit, v) for v in (encoder, bias - moved))
        scale = scale / gate
    weight = np.concatenate([encoder, np.zeros((L + len(rest), D))])
    params["encoder.layers.0.weight"] = weight
    params["encoder.layers.0.bias"] = np.concatenate([bias, np.log(scale), rest])
    return params, truth


EXACT = {
    "full rank": FullRank(),
    "iaf": IAF(1, (), 0),
    "iaf, affine": IAF(1, (), 0, "affine"),
}


@pytest.mark.parametrize(("host", "family"), [*(("pyro", f) for f in EXACT), ("numpyro", "iaf")])
def test_every_weight_is_log_p_at_the_exact_posterior(
    host: str, family: str, rng: np.random.Generator
) -> None:
    """Value; no gradient of STL and DReG in the guide; the gradient of log p in the model."""
    params, truth = holding(family, rng)
    x = rng.normal(size=(N, D)) * 1.5
    program = ppgm.program(linear(EXACT[family]), host=host)
    wanted = exact.log_marginal(x, truth)
    noise = {"z": rng.normal(size=(3, N, L)) * 2}
    for objective in (IWAE(3), STL(3), DReG(3)):
        got = probe(program, params, {"x": x}, objective, noise=noise)
        assert got.metrics["bound"] == pytest.approx(wanted.mean(), abs=TOLERANCE)
        if not isinstance(objective, IWAE):
            for name, grad in got.grads.items():
                if not name.startswith("decoder"):
                    np.testing.assert_allclose(grad, 0, atol=TOLERANCE, err_msg=name)
    log_w = hosts.load(host).log_weights(program, params, {"x": x}, 4, 0)
    np.testing.assert_allclose(log_w, np.tile(wanted, (4, 1)), atol=TOLERANCE)


# Gradients.


@dataclass(frozen=True)
class Unpushed:
    """A flow whose draws do not come with their density: it is always that of the inverse."""

    flow: Flow
    support = "real"
    reparameterised = True
    normalised = True

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return self.flow.batch_shape

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.flow.event_shape

    def sample(self, rng: Any, shape: tuple[int, ...]) -> Any:
        return self.flow.sample(rng, shape)

    def log_prob(self, value: Any) -> Any:
        return self.flow.log_prob(value)


@dataclass
class Unpushing:
    """A namespace whose flows are `Unpushed`."""

    ppl: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ppl, name)

    def distribution(self, portable: Any) -> Any:
        return self.ppl.distribution(Unpushed(portable))


@dataclass(frozen=True)
class ByInverse:
    """A family without the densities of its own draws."""

    family: Any

    def context(self, latent: int) -> int:
        return self.family.context(latent)

    def __call__(self, ppl: Any, context: Any, latent: int, name: str = "z") -> Any:
        return self.family(Unpushing(ppl), context, latent, name)


OBJECTIVES = {"elbo": ELBO(2), "stl": STL(2), "dreg": DReG(2), "rws": RWS(2)}


def moved(program: ppgm.Program, x: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """Parameters away from their start, the guide's networks not damped."""
    params = hosts.load(program.host).initial(program, {"x": x}, 0)
    return {n: v + 0.3 * rng.normal(size=v.shape) for n, v in params.items()}


CUT = ("iaf", "planar", "sylvester", "coupling", "full rank")


@pytest.mark.parametrize(
    ("host", "family", "objective"),
    [
        *(("pyro", f, o) for f in CUT for o in OBJECTIVES),
        *(("numpyro", "iaf", o) for o in ("stl", "rws")),
    ],
)
def test_a_draws_own_density_has_the_gradients_of_the_inverse(
    host: str, family: str, objective: str, rng: np.random.Generator
) -> None:
    """Also where draws are cut from their parameters (RWS), or parameters are held (STL, DReG)."""
    x = rng.normal(size=(N, D))
    found = []
    for kind in (FAMILIES[family], ByInverse(FAMILIES[family])):
        program = ppgm.program(VAE(D, L, (4,), Gaussian(SIGMA), kind), host=host)
        params = moved(program, x, np.random.default_rng(5))
        found.append(probe(program, params, {"x": x}, OBJECTIVES[objective], seed=3))
    assert found[0].loss == pytest.approx(found[1].loss, abs=TOLERANCE)
    assert found[0].grads.keys() == found[1].grads.keys()
    for name, grad in found[0].grads.items():
        np.testing.assert_allclose(grad, found[1].grads[name], atol=1e-8, err_msg=name)
        assert np.abs(grad).max() > 0


@every_flow
def test_the_gradient_of_a_bound_is_that_of_its_value(
    family: str, rng: np.random.Generator
) -> None:
    """At fixed noise the bound is a smooth function of the parameters."""
    pytest.importorskip("pyro")
    program = ppgm.program(VAE(D, L, (4,), Gaussian(SIGMA), FAMILIES[family]), host="pyro")
    x, noise = rng.normal(size=(N, D)), {"z": rng.normal(size=(3, N, L))}
    params = moved(program, x, rng)
    way = {n: rng.normal(size=v.shape) for n, v in params.items()}

    def loss(step: np.ndarray) -> float:
        there = {n: v + step * way[n] for n, v in params.items()}
        return probe(program, there, {"x": x}, IWAE(3), noise=noise).loss

    got = probe(program, params, {"x": x}, IWAE(3), noise=noise)
    slope = sum((grad * way[n]).sum() for n, grad in got.grads.items())
    wanted = differences.gradient(loss, np.zeros(()), step=1e-4)
    assert slope == pytest.approx(float(wanted), rel=1e-8)


# Mixtures.


def test_a_mixture_counts_all_its_components(rng: np.random.Generator) -> None:
    logits, loc = rng.normal(size=(N, 3)), rng.normal(size=(N, 3, L))
    scale, z = rng.uniform(0.5, 2, size=(N, 3, L)), rng.normal(size=(5, N, L))
    got = DiagonalMixture(logits, loc, scale).log_prob(z)
    share = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    white = (z[:, :, None] - loc) / scale
    parts = np.exp(-0.5 * white**2) / scale / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(got, np.log((share * parts.prod(-1)).sum(-1)), atol=1e-12)
    mean = DiagonalMixture(logits, loc, scale).mean
    np.testing.assert_allclose(mean, (share[..., None] * loc).sum(1), atol=1e-14)


def test_draws_of_a_mixture_have_its_distribution(host: str) -> None:
    """The distribution function at some points of one coordinate; deviations below 5 sigma."""
    program = ppgm.program(VAE(D, 1, (), Gaussian(SIGMA), Mixture(3)), host=host)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, D))
    params = hosts.load(host).initial(program, {"x": x}, 0)
    params["encoder.layers.0.weight"] = 0.2 * rng.normal(size=(9, D))
    params["encoder.layers.0.bias"] = np.array([-2, 0.5, 3, -0.7, 0, 0.4, 1, 0, 0.5])
    count = 20_000
    z = hosts.load(host).sample(program, "guide", params, {"x": x}, count, 1)["z"][..., 0]
    grid = np.linspace(-20, 20, 20_001)
    at = {"z": np.broadcast_to(grid[:, None, None], (len(grid), 2, 1))}
    log_q = hosts.load("pyro").log_density(
        ppgm.program(program.declaration, host="pyro"), params, {"x": x}, at, "guide"
    )["z"]
    below = np.cumsum(np.exp(log_q), 0) * (grid[1] - grid[0])
    np.testing.assert_allclose(below[-1], 1, atol=1e-9)
    for point in (0.1, 0.3, 0.5, 0.7, 0.9):
        for n in range(2):
            edge = grid[np.searchsorted(below[:, n], point)] + (grid[1] - grid[0]) / 2
            sigma = (point * (1 - point) / count) ** 0.5
            assert abs((z[:, n] < edge).mean() - point) < 5 * sigma + 1e-4


def test_the_score_terms_of_a_mixture_are_the_gradient_of_the_bound(
    rng: np.random.Generator,
) -> None:
    """The mean of the estimator over all draws, by quadrature; nothing is silently left out."""
    pytest.importorskip("pyro")
    program = ppgm.program(VAE(2, 1, (), Gaussian(SIGMA), Mixture(2)), host="pyro")
    host, grid = hosts.load("pyro"), np.linspace(-9, 9, 91)
    x, z = np.tile(rng.normal(size=2), (len(grid), 1)), {"z": grid[None, :, None]}
    params = host.initial(program, {"x": x}, 0)
    params = {n: rng.normal(size=v.shape) * 0.5 for n, v in params.items()}

    def densities(there: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        log_q = host.log_density(program, there, {"x": x}, z, "guide")["z"][0]
        both = host.log_density(program, there, {"x": x}, z)
        return log_q, (both["z"] + both["x"])[0]

    mass = np.exp(densities(params)[0]) * (grid[1] - grid[0])
    assert mass.sum() == pytest.approx(1, abs=1e-9)
    # every row is one point of the grid, and stands for as many data as it has mass
    got = probe(program, params, {"x": x}, ELBO(), values=z, scale=mass, total=1)

    way = {n: rng.normal(size=v.shape) for n, v in params.items()}

    def bound(step: np.ndarray) -> float:
        log_q, log_p = densities({n: v + step * way[n] for n, v in params.items()})
        return float((np.exp(log_q) * (log_p - log_q)).sum() * (grid[1] - grid[0]))

    assert got.loss == pytest.approx(-bound(np.zeros(())), abs=TOLERANCE)
    slope = -sum((grad * way[n]).sum() for n, grad in got.grads.items())
    assert slope == pytest.approx(float(differences.gradient(bound, np.zeros(()))), abs=1e-8)
    assert all(np.abs(grad).max() > 1e-3 for grad in got.grads.values())


@pytest.mark.parametrize("objective", [STL(), DReG(2)])
def test_objectives_of_reparameterised_draws_refuse_a_mixture(host: str, objective: Any) -> None:
    program = ppgm.program(VAE(D, L, (3,), posterior=Mixture(2)), host=host)
    with pytest.raises(EstimatorError, match="'z'"):
        ppgm.fit(program, {"x": np.ones((2, D))}, objective, steps=1, progress=False)


# What is refused, and models with several sites.


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Planar(0), "depth must be an integer"),
        (lambda: Radial(-1), "depth must be an integer"),
        (lambda: Householder(0), "depth must be an integer"),
        (lambda: Sylvester(2, -1), "reflections must be an integer"),
        (lambda: IAF(0), "depth must be an integer"),
        (lambda: IAF(hidden=4), "hidden must be a tuple"),
        (lambda: IAF(update="tanh"), "update must be one of 'gated'"),
        (lambda: IAF(activation="sin"), "activation must be one of"),
        (lambda: VAE(D, 8, posterior=IAF(2, (7,))), "widths of at least 8"),
        (lambda: Coupling(bound=0.0), "bound must be a number above 0"),
        (lambda: VAE(D, 1, posterior=Coupling()), "1 coordinate has no halves"),
        (lambda: Mixture(0), "components must be an integer"),
        (lambda: M1(D, 2, posterior=IAF()), "mean of the posterior"),
        (lambda: VAE(D, 2, posterior=IAF), "posterior must be Gaussian"),
    ],
)
def test_options_are_checked(make: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make()


@pytest.mark.parametrize("family", [FullRank(), Householder(2), Mixture(2), Diagonal()])
def test_m1_takes_families_with_a_mean(family: Any, rng: np.random.Generator) -> None:
    pytest.importorskip("pyro")
    from ppgm.models.m1 import features

    x = rng.normal(size=(N, D))
    program = ppgm.program(M1(D, 2, (3,), Gaussian(SIGMA), family), host="pyro")
    found = features(program, {"x": x})
    params = hosts.load("pyro").initial(program, {"x": x}, 0)
    draws = hosts.load("pyro").sample(program, "guide", params, {"x": x}, 4000, 0)["z"]
    np.testing.assert_allclose(found, draws.mean(0), atol=5 * draws.std() / 4000**0.5)


def test_every_site_has_networks_of_its_own(host: str, rng: np.random.Generator) -> None:
    """And every step: all of them are trained."""
    declaration = DLGM(D, (3, 2), (4,), posterior=IAF(2, (4,)))
    program = ppgm.program(declaration, host=host)
    bits = (rng.random((3, D)) < 0.5).astype(float)
    params = hosts.load(host).initial(program, {"x": bits}, 0)
    own = {n: v for n, v in params.items() if ".iaf" in n}
    assert {n.partition(".layers")[0] for n in own} == {
        f"{site}.iaf{t}" for site in ("z1", "z2") for t in (0, 1)
    }
    assert own["z1.iaf0.layers.0.weight"].shape == (4, 6)
    assert own["z2.iaf1.layers.0.weight"].shape == (4, 4)
    fit = ppgm.fit(program, {"x": bits}, ELBO(), steps=2, progress=False)
    assert np.isfinite(fit.history["bound"]).all()
    assert all((fit.params[n] != v).any() for n, v in own.items())
