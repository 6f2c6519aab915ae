"""What hangs on what in unusual places: masks, data before latents, draws before classes."""

from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError, EstimatorError
from ppgm.inference import (
    ELBO,
    NVIL,
    REINFORCE,
    RWS,
    VIMCO,
    Anneal,
    Classification,
    Gumbel,
    Renyi,
    SemiSupervised,
)
from ppgm.inference.powers import left_out
from ppgm.models import SBN
from ppgm.probes import probe
from tests.test_oracles_paths import fixed_noise

TOLERANCE = 1e-9
pytestmark = pytest.mark.usefixtures("f64")


def log_normal(x: Any, loc: Any, scale: Any) -> Any:
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


class Masked:
    """h ~ Bernoulli, or z ~ N; x counts only where the draw says so."""

    broadcasts = True

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def model(self, ppl: Any, x: Any = None) -> None:
        a = ppl.param("a", np.array(1.0))
        with ppl.plate("data", x):
            seen = self.draw(ppl, 0 * a)
            with ppl.mask(mask=seen > 0):
                ppl.sample("x", ppl.distributions.Normal(a, 1.0), obs=x)

    def guide(self, ppl: Any, x: Any) -> None:
        t = ppl.param("t", np.array(0.3))
        with ppl.plate("data", x):
            self.draw(ppl, t + 0 * x)

    def draw(self, ppl: Any, at: Any) -> Any:
        if self.kind == "bit":
            return ppl.sample("h", ppl.distributions.Bernoulli(logits=at))
        return ppl.sample("h", ppl.distributions.Normal(at, 1.0))


@pytest.mark.parametrize("kind", ["bit", "number"])
def test_a_mask_is_an_edge(host: str, kind: str) -> None:
    run = ppgm.program(Masked(kind), host=host)
    assert ("h", "x") in ppgm.graph(run, {"x": np.array([2.5, 1.0])}).edges


def test_a_local_signal_has_what_a_draw_masks(host: str) -> None:
    """E of NVIL's gradient is that of the bound with the bit summed over."""
    run, x = ppgm.program(Masked("bit"), host=host), np.array([2.5])
    q = 1 / (1 + np.exp(-0.3))
    nvil = NVIL(hidden=None, centre=False, normalise=False)
    got = sum(
        p * probe(run, {}, {"x": x}, nvil, values={"h": np.full((1, 1), h)}).grads["t"]
        for h, p in ((0.0, 1 - q), (1.0, q))
    )
    wanted = probe(run, {}, {"x": x}, ELBO(enumerate=("h",))).grads["t"]
    np.testing.assert_allclose(got, wanted, atol=TOLERANCE)


class After:
    """A latent h drawn given x1, which is data, and x2 given h; the guide tosses a coin."""

    broadcasts = True

    def model(self, ppl: Any, x1: Any = None, x2: Any = None) -> None:
        with ppl.plate("data", x2 if x1 is None else x1):
            half = ppl.distributions.Bernoulli(logits=ppl.np.zeros(()))
            x1 = ppl.sample("x1", half, obs=x1)
            sure = 80.0 * (ppl.ops.float(x1) - 0.5)
            h = ppl.sample("h", ppl.distributions.Bernoulli(logits=sure))
            ppl.sample("x2", ppl.distributions.Normal(ppl.ops.float(h), 1.0), obs=x2)

    def guide(self, ppl: Any, x1: Any, x2: Any) -> None:
        t = ppl.param("t", np.array(0.4))
        with ppl.plate("data", x1):
            ppl.sample("h", ppl.distributions.Bernoulli(logits=t + 0 * x2))


def test_defensive_draws_of_a_latent_after_data(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every draw from the prior, h is x1 and all weights are the same number."""
    x1, x2, share = np.array([1.0, 0.0]), np.array([0.3, -1.2]), 0.3
    fixed_noise(monkeypatch, host, np.zeros((3, 2)))
    run = ppgm.program(After(), host=host)
    got = probe(run, {}, {"x1": x1, "x2": x2}, RWS(3, defensive=share))
    q = 1 / (1 + np.exp(-np.where(x1 == 1, 0.4, -0.4)))
    log_p = np.log(0.5) + log_normal(x2, x1, 1.0)
    wanted = log_p - np.log(share + (1 - share) * q)
    assert got.metrics["bound"] == pytest.approx(wanted.mean(), abs=TOLERANCE)


class Before:
    """The guide draws a bit, and the classes' logits from it."""

    broadcasts = True

    def model(self, ppl: Any, x: Any = None, y: Any = None) -> None:
        with ppl.plate("data", x):
            zeros = ppl.np.zeros(2)
            y = ppl.sample("y", ppl.distributions.Categorical(logits=zeros))
            h = ppl.sample("h", ppl.distributions.Bernoulli(logits=ppl.ops.float(y)))
            ppl.sample("x", ppl.distributions.Normal(ppl.ops.float(h), 1.0), obs=x)

    def guide(self, ppl: Any, x: Any, y: Any = None) -> None:
        t = ppl.param("t", np.array(0.5))
        with ppl.plate("data", x):
            h = ppl.sample("h", ppl.distributions.Bernoulli(logits=t + 0 * x))
            at = ppl.ops.float(h)
            logits = ppl.deterministic("y_logits", ppl.np.stack([0 * at, 1.5 * at], -1))
            ppl.sample("y", ppl.distributions.Categorical(logits=logits))


def test_classes_after_a_draw_without_gradient_are_refused(host: str) -> None:
    data = {"x": np.array([0.4, 1.0]), "y": np.array([1, 0])}
    run = ppgm.program(Before(), host=host)
    for objective in (SemiSupervised(ELBO()), ELBO() + Classification()):
        with pytest.raises(EstimatorError, match="site 'h'"):
            ppgm.fit(run, data, objective, steps=1)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
def test_left_out_bounds_of_zero_weights_are_finite(alpha: float, mean: str) -> None:
    zero = -np.inf
    log_w = np.array([[zero, -1.0], [zero, zero], [-2.0, -3.0]]).T
    with np.errstate(invalid="ignore", divide="ignore"):
        others = left_out(log_w, alpha, mean)
    assert np.isfinite(others).all()
    np.testing.assert_allclose(others[:, 2], [-3.0, -2.0] if alpha else others[:, 2])


def test_a_learnt_baseline_of_reinforce(host: str) -> None:
    """Centred by its own network, whatever that says the gradient is the same on average."""
    rng = np.random.default_rng(0)
    run, x = ppgm.program(SBN(3, (1,)), host=host), (rng.random((1, 3)) < 0.5).astype(float)
    params = hosts.load(host).initial(run, {"x": x}, 0)
    weight, bias = (params[f"encoder1.layers.0.{part}"] for part in ("weight", "bias"))
    q = float(1 / (1 + np.exp(-(x[0] @ weight.T + bias)[0])))
    name, found = "encoder1.layers.0.bias", []
    for hidden in (None, (2,)):
        objective = REINFORCE(baseline=0.0, hidden=hidden)
        each = [
            probe(run, params, {"x": x}, objective, values={"h1": np.full((1, 1, 1), h)}).grads
            for h in (0.0, 1.0)
        ]
        found.append(each)
    plain, centred = ([float(g[name][0]) for g in each] for each in found)
    assert abs(plain[0] - centred[0]) > 1e-3
    mean = [(1 - q) * low + q * high for low, high in (plain, centred)]
    assert mean[0] == pytest.approx(mean[1], abs=TOLERANCE)
    assert any(n.startswith("baseline") for n in found[1][0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: ELBO(enumerate=("y", "y")),
        lambda: ELBO(enumerate=[1]),  # pyright: ignore[reportArgumentType]
        lambda: ELBO(enumerate=None),  # pyright: ignore[reportArgumentType]
        lambda: ELBO(site_weights=["x"]),  # pyright: ignore[reportArgumentType]
        lambda: ELBO(site_weights={"x": np.inf}),
        lambda: VIMCO(mean="harmonic"),  # pyright: ignore[reportArgumentType]
        lambda: REINFORCE(baseline="runing"),  # pyright: ignore[reportArgumentType]
        lambda: NVIL(decay=2.0),
        lambda: NVIL(hidden=5),  # pyright: ignore[reportArgumentType]
        lambda: Renyi(float("nan")),
        lambda: Renyi("a"),  # pyright: ignore[reportArgumentType]
        lambda: Anneal(float("nan")),
        lambda: Gumbel(Anneal()),
        lambda: SBN(3, (2,), autoregressive=1),  # pyright: ignore[reportArgumentType]
    ],
)
def test_a_wrong_field_is_refused_when_it_is_set(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make()
