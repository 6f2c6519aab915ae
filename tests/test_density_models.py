"""Models of densities without latents: exact likelihoods, whatever the objective calls itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError, EstimatorError
from ppgm.fits import as_fit
from ppgm.inference import ELBO, IWAE, NUTS, RWS, STL, SVI, VIMCO, DReG, Guide, WakeSleep
from ppgm.models import RBM, Autoencoder
from ppgm.probes import probe

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
