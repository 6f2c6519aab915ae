"""Deep latent Gaussian models: exact where all is linear, alike on both hosts everywhere."""

from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError
from ppgm.guides import Gaussian as Diagonal
from ppgm.guides import LowRank, RankOne
from ppgm.inference import ELBO, IWAE
from ppgm.models import DLGM, Bernoulli, Gaussian
from ppgm.probes import probe
from ppgm.testing import cubature, differences, gaussian_chain
from ppgm.testing.contract import Check, parametrize_with_checks

D, N, SIGMA = 4, 3, 0.7
LATENTS = (3, 2)
TOLERANCE = 1e-9
STRUCTURES = ("bottom-up", "top-down", "mean-field")
BITS = (np.random.default_rng(0).random((3, D)) < 0.5).astype(float)

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")
every_structure = pytest.mark.parametrize("structure", STRUCTURES)


def linear(structure: Any, latents: tuple[int, ...] = LATENTS) -> DLGM:
    return DLGM(D, latents, (), Gaussian(SIGMA), structure, scales="constant")


def parameters(
    declaration: DLGM, host: str, x: np.ndarray, rng: np.random.Generator
) -> tuple[ppgm.Program, dict[str, np.ndarray]]:
    """Random parameters, scales positive; the guide's own scales alike for all rows."""
    program = ppgm.program(declaration, host=host)
    params = hosts.load(host).initial(program, {"x": x}, 0)
    params = {n: rng.normal(size=v.shape) * 0.6 for n, v in params.items()}
    params |= {n: np.exp(v) for n, v in params.items() if n.startswith("scale")}
    for level, size in enumerate(declaration.latents, 1):
        if f"encoder{level}.layers.0.weight" in params and not declaration.hidden:
            params[f"encoder{level}.layers.0.weight"][size:] = 0
    return program, params


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, D)) * 1.5


# The reference against itself, and the exact likelihood against the reference.


def test_the_reference_keeps_bayes_rule(rng: np.random.Generator, x: np.ndarray) -> None:
    """log p(x, z) - log p(z | x) is log p(x), whatever z."""
    layers = [
        gaussian_chain.Layer(rng.normal(size=s), rng.normal(size=s[0]), rng.uniform(0.5, 2, s[0]))
        for s in ((D, 3), (3, 2))
    ]
    z = [rng.normal(size=(N, 3)), rng.normal(size=(N, 2))]
    mean, covariance = gaussian_chain.posterior(x, layers)
    deviation = np.concatenate(z, -1) - mean
    solved = np.linalg.solve(covariance, deviation.T).T
    log_q = -0.5 * ((deviation * solved).sum(-1) + np.linalg.slogdet(2 * np.pi * covariance)[1])
    wanted = gaussian_chain.log_joint(x, z, layers) - log_q
    np.testing.assert_allclose(gaussian_chain.log_marginal(x, layers), wanted, atol=TOLERANCE)


@pytest.mark.parametrize("latents", [pytest.param((3,), marks=pytest.mark.slow), (2, 3, 2)])
def test_every_weight_is_log_p_at_the_exact_posterior(
    host: str, latents: Any, x: np.ndarray, rng: np.random.Generator
) -> None:
    declaration = linear("exact", latents)
    program, params = parameters(declaration, host, x, rng)
    names = [f"z{n}" for n in range(1, len(latents) + 1)]
    noise = {n: rng.normal(size=(3, N, s)) * 2 for n, s in zip(names, latents, strict=True)}
    got = probe(program, params, {"x": x}, IWAE(3), noise=noise)
    wanted = gaussian_chain.log_marginal(x, declaration.exact_model(params))
    np.testing.assert_allclose(declaration.log_likelihood(params, x), wanted, atol=TOLERANCE)
    assert got.metrics["bound"] == pytest.approx(wanted.mean(), abs=TOLERANCE)
    log_w = hosts.load(host).log_weights(program, params, {"x": x}, 4, 0)
    np.testing.assert_allclose(log_w, np.tile(wanted, (4, 1)), atol=TOLERANCE)


def test_the_bound_at_the_exact_posterior_has_the_gradient_of_log_p(
    host: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    declaration = linear("exact")
    program, params = parameters(declaration, host, x, rng)
    noise = {"z1": rng.normal(size=(2, N, 3)), "z2": rng.normal(size=(2, N, 2))}
    got = probe(program, params, {"x": x}, IWAE(2), noise=noise)
    for name, value in params.items():

        def mean(v: np.ndarray, name: str = name) -> float:
            v = np.exp(v) if name.startswith("scale") else v
            return float(declaration.log_likelihood(params | {name: v}, x).mean())

        point = np.log(value) if name.startswith("scale") else value
        wanted = -differences.gradient(mean, point)
        np.testing.assert_allclose(got.grads[name], wanted, atol=1e-8, err_msg=name)


# Cubature: the exact ELBO and its gradient, for every structure of the guide.


def exact_elbo(declaration: DLGM, params: dict[str, np.ndarray], x: np.ndarray) -> float:
    """E_q[log p(x, z)] + H(q), with q written down as one Gaussian over all layers."""
    mean, root, entropy = guide_joint(declaration, params, x)
    layers, cuts = declaration.exact_model(params), np.cumsum(declaration.latents)[:-1]

    def at(z: np.ndarray) -> np.ndarray:
        return gaussian_chain.log_joint(x, np.split(z, cuts, -1), layers)

    # of a quadratic, the second difference is exact
    spread = sum(at(mean + c) + at(mean - c) - 2 * at(mean) for c in root.T)
    return float((at(mean) + spread / 2 + entropy).mean())


def guide_joint(
    declaration: DLGM, params: dict[str, np.ndarray], x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Means ``(N, sum L)`` and factor ``(sum L, sum L)`` of q(z | x), and its entropy."""
    sizes, total = declaration.latents, sum(declaration.latents)
    starts = np.cumsum([0, *sizes])
    order = range(len(sizes))
    summaries, means, factors = [x], {}, {}
    if declaration.structure == "top-down":
        order = order[::-1]
        for level in range(1, len(sizes) + 1):
            summaries.append(_affine(params, f"upward{level}", summaries[-1]))
    entropy = 0.5 * total * (1 + np.log(2 * np.pi))
    for i in order:
        name, size = f"encoder{i + 1}", sizes[i]
        weight = params[f"{name}.layers.0.weight"][:size]
        log_scale = params[f"{name}.layers.0.bias"][size:]
        fixed, other = x, None
        if declaration.structure == "top-down":
            fixed, other = summaries[i + 1], i + 1 if i + 1 < len(sizes) else None
        elif declaration.structure == "bottom-up" and i:
            fixed, other = np.zeros((len(x), 0)), i - 1
        before = fixed.shape[1]
        mean = fixed @ weight[:, :before].T + params[f"{name}.layers.0.bias"][:size]
        factor = np.zeros((size, total))
        factor[:, starts[i] : starts[i + 1]] = np.diag(np.exp(log_scale))
        if other is not None:
            mean = mean + means[other] @ weight[:, before:].T
            factor = factor + weight[:, before:] @ factors[other]
        means[i], factors[i] = mean, factor
        entropy += log_scale.sum()
    parts = range(len(sizes))
    mean = np.concatenate([means[i] for i in parts], -1)
    return mean, np.concatenate([factors[i] for i in parts]), float(entropy)


def _affine(params: dict[str, np.ndarray], name: str, rows: np.ndarray) -> np.ndarray:
    return rows @ params[f"{name}.layers.0.weight"].T + params[f"{name}.layers.0.bias"]


@every_structure
def test_cubature_gives_the_elbo_and_its_gradient(
    host: str, structure: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    declaration = linear(structure)
    program, params = parameters(declaration, host, x, rng)
    total = sum(LATENTS)
    points = np.repeat(cubature.points(total)[:, None], N, axis=1)
    noise = {"z1": points[..., : LATENTS[0]], "z2": points[..., LATENTS[0] :]}
    got = probe(program, params, {"x": x}, ELBO(particles=2 * total), noise=noise)
    assert got.loss == pytest.approx(-exact_elbo(declaration, params, x), abs=TOLERANCE)
    for name, value in params.items():
        is_scale = name.startswith("scale")

        def mean(v: np.ndarray, name: str = name, is_scale: bool = is_scale) -> float:  # noqa: FBT001
            return exact_elbo(declaration, params | {name: np.exp(v) if is_scale else v}, x)

        point = np.log(value) if is_scale else value
        wanted, found = -differences.gradient(mean, point), got.grads[name]
        if name.startswith("encoder") and name.endswith("weight"):
            size = declaration.latents[int(name[7]) - 1]
            wanted, found = wanted[:size], found[:size]  # those of the scales are not constant
        np.testing.assert_allclose(found, wanted, atol=1e-7, err_msg=name)


# Networks between the layers, other families, what is refused.


NONLINEAR = {
    "bottom-up": DLGM(D, (3, 2), (4,), Bernoulli(), posterior=RankOne()),
    "top-down": DLGM(D, (3, 2), (4, 3), Bernoulli(), "top-down"),
    "mean-field": DLGM(D, (2, 2, 1), (3,), Bernoulli(), "mean-field", scales="constant"),
}


@pytest.mark.slow
@parametrize_with_checks((declaration, {"x": BITS}) for declaration in NONLINEAR.values())
def test_every_structure_keeps_the_contract(check: Check) -> None:
    check.run()


@every_structure
def test_hosts_agree_on_weights(structure: str, rng: np.random.Generator) -> None:
    for host in ("pyro", "numpyro"):
        pytest.importorskip(host)
    declaration = NONLINEAR[structure]
    values = {
        f"z{n}": rng.normal(size=(2, len(BITS), s)) for n, s in enumerate(declaration.latents, 1)
    }
    found = []
    for host in ("pyro", "numpyro"):
        program = ppgm.program(declaration, host=host)
        params = hosts.load(host).initial(program, {"x": BITS}, 0)
        found.append(probe(program, params, {"x": BITS}, IWAE(2), values=values))
    assert found[0].loss == pytest.approx(found[1].loss, abs=1e-11)
    for name, grad in found[0].grads.items():
        np.testing.assert_allclose(found[1].grads[name], grad, atol=1e-11, err_msg=name)


@every_structure
def test_layers_depend_on_what_the_structure_says(
    host: str, structure: str, rng: np.random.Generator
) -> None:
    """The guide's density of a layer moves with another layer's value, or does not."""
    declaration = linear(structure)
    x = rng.normal(size=(N, D))
    program, params = parameters(declaration, host, x, rng)
    z = {"z1": rng.normal(size=(1, N, 3)), "z2": rng.normal(size=(1, N, 2))}
    density = hosts.load(host).log_density
    before = density(program, params, {"x": x}, z, "guide")
    for moved, other in (("z1", "z2"), ("z2", "z1")):
        after = density(program, params, {"x": x}, z | {moved: z[moved] + 1}, "guide")
        same = np.allclose(after[other], before[other], atol=1e-12)
        assert same == ((structure, moved) not in (("bottom-up", "z1"), ("top-down", "z2")))


@pytest.mark.parametrize("family", [Diagonal(), RankOne(), LowRank(2)])
def test_every_family_trains(host: str, family: Any) -> None:
    program = ppgm.program(DLGM(D, (3, 2), (4,), posterior=family), host=host)
    fit = ppgm.fit(program, {"x": BITS}, ELBO(), steps=2, progress=False)
    assert np.isfinite(fit.history["bound"]).all()


def test_evaluate_has_the_exact_value(host: str, x: np.ndarray) -> None:
    found = ppgm.evaluate(ppgm.program(linear("exact"), host=host), {"x": x}, particles=30)
    assert found.exact is not None
    np.testing.assert_allclose(found.log_likelihood, found.exact, atol=TOLERANCE)
    deep = ppgm.program(NONLINEAR["bottom-up"], host=host)
    assert ppgm.evaluate(deep, {"x": BITS}, particles=30).exact is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"latents": ()}, "at least one layer"),
        ({"latents": (3, 0)}, "latents must be a tuple of integers"),
        ({"structure": "ladder"}, "structure must be one of 'bottom-up'"),
        ({"structure": "exact"}, "needs a linear-Gaussian model"),
        ({"scales": "fixed"}, "scales must be one of"),
        ({"posterior": "gaussian"}, "posterior must be Gaussian"),
        ({"likelihood": Bernoulli}, "likelihood must be Bernoulli"),
        ({"features": 0}, "features must be an integer"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    options = {"features": D} | options
    with pytest.raises(ArgumentError, match=words):
        DLGM(**options)


def test_a_nonlinear_model_has_no_exact_likelihood() -> None:
    with pytest.raises(ArgumentError, match="linear-Gaussian"):
        NONLINEAR["bottom-up"].log_likelihood({}, BITS)
