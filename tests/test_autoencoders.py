"""What generative models are compared with: autoencoders, VQ-VAE, and the VAE with a VampPrior.

Networks are affine, so that losses and gradients can be written down in numpy.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.errors import ArgumentError, EstimatorError
from ppgm.host import load
from ppgm.inference import ELBO, Quantisation, Reconstruction
from ppgm.inference.reconstruction import quantisation_rows
from ppgm.models import VAE, VQVAE, Autoencoder, DenoisingAutoencoder, Gaussian, VampVAE
from ppgm.nets import Conv, Deconv
from ppgm.probes import Probe, probe
from ppgm.testing import differences
from ppgm.testing.arrays import logsumexp

D, L, N = 4, 2, 5
SIGMA = 0.7
TOLERANCE = 1e-9
PLAIN = Autoencoder(D, L, hidden=(), likelihood=Gaussian(SIGMA))
CODES, WIDTH, ENTRIES = 2, 3, 4
VQ = VQVAE(D, CODES, WIDTH, ENTRIES, hidden=(), likelihood=Gaussian(SIGMA))
VAMP = VampVAE(D, L, hidden=(), likelihood=Gaussian(SIGMA), components=3, domain="real")

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")

Params = dict[str, np.ndarray]


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, D))


def drawn(rng: np.random.Generator, inner: int, outer: int) -> Params:
    """Random weights of encoder (D to `outer`) and decoder (`inner` to D)."""
    return {
        "encoder.layers.0.weight": rng.normal(size=(outer, D)),
        "encoder.layers.0.bias": rng.normal(size=outer),
        "decoder.layers.0.weight": rng.normal(size=(D, inner)),
        "decoder.layers.0.bias": rng.normal(size=D),
    }


def affine(p: Params, name: str, rows: np.ndarray) -> np.ndarray:
    return rows @ p[f"{name}.layers.0.weight"].T + p[f"{name}.layers.0.bias"]


def log_normal(x: np.ndarray, mean: np.ndarray, scale: Any) -> np.ndarray:
    density = -0.5 * ((x - mean) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
    return density.sum(-1)


def assert_gradients(got: Params, loss: Any, params: Params) -> None:
    assert got.keys() == params.keys()
    for name, at in params.items():
        wanted = differences.gradient(lambda v, n=name: loss({**params, n: v}), at)
        np.testing.assert_allclose(got[name], wanted, rtol=1e-8, atol=1e-9, err_msg=name)


# Autoencoders.


def test_reconstruction_is_the_likelihood_given_the_code(
    host: str, x: np.ndarray, rng: np.random.Generator
) -> None:
    params = drawn(rng, L, L)

    def loss(p: Params) -> float:
        mean = affine(p, "decoder", affine(p, "encoder", x))
        return -log_normal(x, mean, SIGMA).mean()

    got = probe(ppgm.program(PLAIN, host=host), params, {"x": x}, Reconstruction())
    assert got.loss == pytest.approx(loss(params), abs=TOLERANCE)
    assert got.metrics["reconstruction"] == pytest.approx(-loss(params), abs=TOLERANCE)
    assert "bound" not in got.metrics
    assert_gradients(got.grads, loss, params)


@pytest.mark.parametrize(("corruption", "level"), [("masking", 0.3), ("gaussian", 0.5)])
def test_the_encoder_sees_a_corrupted_row_and_the_loss_the_clean_one(
    host: str, corruption: Any, level: float, rng: np.random.Generator
) -> None:
    """With a code of all columns and an identity for a decoder, code and noise are seen."""
    declaration = DenoisingAutoencoder(
        D, D, hidden=(), likelihood=Gaussian(SIGMA), corruption=corruption, level=level
    )
    params = {n: np.zeros_like(v) for n, v in drawn(rng, D, D).items()}
    for name in ("encoder", "decoder"):
        params[f"{name}.layers.0.weight"] = np.eye(D)
    x = rng.normal(size=(4000, D)) + 3
    run = ppgm.program(declaration, host=host)
    found = load(host).sample(run, "model", params, {"x": x}, 1, 0)
    code, noise = found["code"][0], found["noise"][0]
    if corruption == "masking":
        np.testing.assert_allclose(code, np.where(noise == 1, 0, x))
        assert noise.mean() == pytest.approx(level, abs=0.02)
        expected = level * (x**2).sum(-1)
    else:
        np.testing.assert_allclose(code, x + level * noise)
        assert noise.std() == pytest.approx(1, abs=0.02)
        expected = level**2 * D
    got = probe(run, params, {"x": x}, Reconstruction())
    constant = D * (np.log(SIGMA) + 0.5 * np.log(2 * np.pi))
    wanted = np.mean(0.5 * expected / SIGMA**2) + constant
    assert got.loss == pytest.approx(wanted, rel=0.05)


def test_a_denoising_fit_encodes_clean_rows(host: str, x: np.ndarray) -> None:
    noisy = DenoisingAutoencoder(D, L, hidden=(3,), likelihood=Gaussian(SIGMA))
    fit = ppgm.fit(ppgm.program(noisy, host=host), {"x": x}, Reconstruction(), epochs=3)
    assert "bound" not in fit.history
    clean = ppgm.program(Autoencoder(D, L, hidden=(3,), likelihood=Gaussian(SIGMA)), host=host)
    one, two = (load(host).sample(clean, "model", fit.params, {"x": x}, 1, s) for s in (0, 1))
    np.testing.assert_array_equal(one["code"], two["code"])


def test_convolutions_go_in_as_networks(host: str, rng: np.random.Generator) -> None:
    images = (rng.random((3, 64)) < 0.5).astype(float)
    nets = {"encoder": Conv((1, 8, 8), (2, 4), 3), "decoder": Deconv(3, (1, 8, 8), (4, 2))}
    run = ppgm.program(Autoencoder(64, 3, **nets), host=host)
    fit = ppgm.fit(run, {"x": images}, Reconstruction(), steps=2)
    assert np.isfinite(fit.history["reconstruction"]).all()


def test_what_has_a_guide_or_no_such_site_is_refused(host: str, x: np.ndarray) -> None:
    guided = ppgm.program(VAE(D, L, hidden=()), host=host).sites({"x": x})
    with pytest.raises(EstimatorError, match="use ELBO"):
        Reconstruction().check(guided)
    table = ppgm.program(PLAIN, host=host).sites({"x": x})
    with pytest.raises(EstimatorError, match="observes \\['x'\\]"):
        Reconstruction(on="y").check(table)
    with pytest.raises(EstimatorError, match="'encoded'"):
        Quantisation().check(table)


# VQ-VAE.


@pytest.fixture
def book(rng: np.random.Generator) -> Params:
    size = CODES * WIDTH
    return {**drawn(rng, size, size), "codebook": rng.normal(size=(ENTRIES, WIDTH))}


def encoded(p: Params, x: np.ndarray) -> np.ndarray:
    return affine(p, "encoder", x).reshape(len(x), CODES, WIDTH)


def nearest(p: Params, x: np.ndarray) -> np.ndarray:
    """A loop over all vectors."""
    z = encoded(p, x)
    found = np.zeros(z.shape[:2], int)
    for n, m in np.ndindex(*found.shape):
        found[n, m] = min(range(ENTRIES), key=lambda k: ((z[n, m] - p["codebook"][k]) ** 2).sum())
    return found


def run_vq(host: str, p: Params, x: np.ndarray, objective: Any) -> Probe:
    return probe(ppgm.program(VQ, host=host), p, {"x": x}, objective)


def test_codes_are_the_nearest_of_the_codebook(host: str, x: np.ndarray, book: Params) -> None:
    found = load(host).sample(ppgm.program(VQ, host=host), "model", book, {"x": x}, 1, 0)
    np.testing.assert_array_equal(found["index"][0], nearest(book, x))
    np.testing.assert_allclose(found["code"][0], book["codebook"][nearest(book, x)])
    np.testing.assert_allclose(found["encoded"][0], encoded(book, x))


def test_the_straight_through_gradient(host: str, x: np.ndarray, book: Params) -> None:
    """By hand: what the decoder would pull its input by goes to the encoder as it is."""
    got = run_vq(host, book, x, Reconstruction())
    code = book["codebook"][nearest(book, x)].reshape(N, -1)
    residual = (x - affine(book, "decoder", code)) / SIGMA**2
    assert got.loss == pytest.approx(
        -log_normal(x, affine(book, "decoder", code), SIGMA).mean(), abs=TOLERANCE
    )
    pull = -residual @ book["decoder.layers.0.weight"] / N
    wanted = {
        "decoder.layers.0.weight": -residual.T @ code / N,
        "decoder.layers.0.bias": -residual.sum(0) / N,
        "encoder.layers.0.weight": pull.T @ x,
        "encoder.layers.0.bias": pull.sum(0),
        "codebook": np.zeros((ENTRIES, WIDTH)),
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(got.grads[name], value, atol=TOLERANCE, err_msg=name)


def test_codebook_and_commitment_gradients(host: str, x: np.ndarray, book: Params) -> None:
    """By hand: the codebook moves to the codes, the encoder by beta to the codebook."""
    beta = 0.25
    got = run_vq(host, book, x, Quantisation(beta))
    index = nearest(book, x)
    gap = encoded(book, x) - book["codebook"][index]
    squares = (gap**2).sum((1, 2)).mean()
    assert got.metrics["quantisation"] == pytest.approx(squares, abs=TOLERANCE)
    assert got.loss == pytest.approx((1 + beta) * squares, abs=TOLERANCE)
    pull = 2 * beta * gap.reshape(N, -1) / N
    vectors = np.zeros((ENTRIES, WIDTH))
    np.add.at(vectors, index, -2 * gap / N)
    np.testing.assert_allclose(got.grads["codebook"], vectors, atol=TOLERANCE)
    np.testing.assert_allclose(got.grads["encoder.layers.0.weight"], pull.T @ x, atol=TOLERANCE)
    np.testing.assert_allclose(got.grads["encoder.layers.0.bias"], pull.sum(0), atol=TOLERANCE)
    assert not got.grads["decoder.layers.0.weight"].any()


def test_quantisation_of_rows_by_hand() -> None:
    z, e = np.array([[[1.0, 2.0]], [[0.0, 0.0]]]), np.array([[[0.0, 0.0]], [[0.0, 3.0]]])
    np.testing.assert_allclose(quantisation_rows(z, e, 0.5), [7.5, 13.5])


def test_a_vq_vae_learns_its_codebook(host: str, x: np.ndarray) -> None:
    run = ppgm.program(VQ, host=host)
    objective = Reconstruction() + Quantisation()
    adam = ppgm.optimisers.Adam(0.02)
    fit = ppgm.fit(run, {"x": x}, objective, epochs=60, batch_size=3, optimiser=adam)
    assert fit.history["reconstruction"][-1] > fit.history["reconstruction"][0]


# VampPrior.


@pytest.fixture
def vamp(rng: np.random.Generator) -> Params:
    found = drawn(rng, L, 2 * L)
    found["encoder.layers.0.weight"] *= 0.3
    return {**found, "pseudo_inputs": rng.normal(size=(3, D))}


def log_vamp(p: Params, z: np.ndarray) -> np.ndarray:
    """Log density of the mixture at ``(*, L)``."""
    context = affine(p, "encoder", p["pseudo_inputs"])
    loc, scale = context[:, :L], np.exp(context[:, L:])
    return logsumexp(log_normal(z[..., None, :], loc, scale), axis=-1) - np.log(3)


def test_the_prior_is_the_mixture(host: str, x: np.ndarray, vamp: Params) -> None:
    z = np.random.default_rng(0).normal(size=(7, N, L)) * 2
    run = ppgm.program(VAMP, host=host)
    found = load(host).log_density(run, vamp, {"x": x}, {"z": z})
    np.testing.assert_allclose(found["z"], log_vamp(vamp, z), atol=TOLERANCE)
    means = affine(vamp, "decoder", z)
    np.testing.assert_allclose(found["x"], log_normal(x, means, SIGMA), atol=TOLERANCE)


def test_the_elbo_trains_the_encoder_from_both_sides(
    host: str, x: np.ndarray, vamp: Params, rng: np.random.Generator
) -> None:
    noise = rng.normal(size=(2, N, L))

    def loss(p: Params) -> float:
        context = affine(p, "encoder", x)
        loc, scale = context[:, :L], np.exp(context[:, L:])
        z = loc + scale * noise
        log_p = log_vamp(p, z) + log_normal(x, affine(p, "decoder", z), SIGMA)
        return -(log_p - log_normal(z, loc, scale)).mean()

    got = probe(ppgm.program(VAMP, host=host), vamp, {"x": x}, ELBO(2), noise={"z": noise})
    assert got.loss == pytest.approx(loss(vamp), abs=TOLERANCE)
    assert_gradients(got.grads, loss, vamp)


def test_draws_of_a_vamp_prior(host: str, vamp: Params) -> None:
    run = ppgm.program(VAMP, host=host)
    z = load(host).sample(run, "model", vamp, {"x": np.zeros((4000, D))}, 1, 0)["z"][0]
    context = affine(vamp, "encoder", vamp["pseudo_inputs"])
    np.testing.assert_allclose(z.mean(0), context[:, :L].mean(0), atol=0.15)


@pytest.mark.parametrize(
    ("declaration", "wrong", "words"),
    [
        (PLAIN, {"encoder": ppgm.nets.MLP(D, (), 3)}, "encoder must map 4 numbers to 2"),
        (DenoisingAutoencoder(D), {"corruption": "salt"}, "'masking' or 'gaussian'"),
        (DenoisingAutoencoder(D), {"level": 1.0}, "below 1"),
        (VQ, {"entries": 1}, "at least 2"),
        (VAMP, {"components": 0}, "components must be"),
        (VAMP, {"domain": "positive"}, "'unit_interval' or 'real'"),
    ],
)
def test_fields_out_of_their_domain_are_refused(declaration: Any, wrong: dict, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        replace(declaration, **wrong)


def test_a_bound_of_an_autoencoder_is_refused_for_its_own_objective(host: str) -> None:
    program = ppgm.program(Autoencoder(4, 2, hidden=(3,)), host=host)
    with pytest.raises(EstimatorError, match="no guide.*use Reconstruction"):
        ppgm.fit(program, {"x": np.zeros((3, 4))}, ELBO(), steps=1)
