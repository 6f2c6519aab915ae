"""Families of posteriors against numpy's dense Gaussians, on numpy and on both hosts."""

from typing import Any

import numpy as np
import pytest

import ppgm
import ppgm.errors
from ppgm import host as hosts
from ppgm.guides import Gaussian, LowRank, RankOne
from ppgm.guides.rank_one import RankOneNormal
from ppgm.inference import ELBO
from ppgm.models import VAE
from ppgm.models import Gaussian as Normal
from ppgm.probes import probe
from ppgm.testing.contract import Check, parametrize_with_checks

L, N = 4, 3
FAMILIES = {"gaussian": Gaussian(), "rank one": RankOne(), "low rank": LowRank(2)}
REAL = np.random.default_rng(0).normal(size=(3, 5))

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")
every_family = pytest.mark.parametrize("family", FAMILIES)


def covariance(family: str, context: np.ndarray) -> np.ndarray:
    """The dense covariances ``(*, L, L)`` that a context ``(*, size)`` means."""
    scale, rest = np.exp(context[..., L : 2 * L]), context[..., 2 * L :]
    diagonal = scale[..., None] ** 2 * np.eye(L)
    if family == "gaussian":
        return diagonal
    if family == "low rank":
        factor = rest.reshape((*rest.shape[:-1], L, 2))
        return diagonal + factor @ np.swapaxes(factor, -1, -2)
    outer = rest[..., None] * rest[..., None, :]
    return np.linalg.inv(np.eye(L) / scale[..., None] ** 2 + outer)


def log_normal(deviation: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Dense log densities of N(0, covariance), ``(*)``."""
    solved = np.linalg.solve(covariance, deviation[..., None])[..., 0]
    log_det = np.linalg.slogdet(2 * np.pi * covariance)[1]
    return -0.5 * ((deviation * solved).sum(-1) + log_det)


class Columns:
    """Noise that is the columns of the identity, so that draws are those of the factor."""

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.broadcast_to(np.eye(L)[:, None], shape)

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        raise AssertionError


def linear_vae(family: Any) -> VAE:
    return VAE(5, L, hidden=(), likelihood=Normal(0.7), posterior=family)


@every_family
def test_the_density_is_that_of_the_dense_gaussian(
    host: str, family: str, rng: np.random.Generator
) -> None:
    """Through a whole program: the guide's density of given draws, for each row its own."""
    program = ppgm.program(linear_vae(FAMILIES[family]), host=host)
    x, z = rng.normal(size=(N, 5)), rng.normal(size=(2, N, L)) * 2
    params = hosts.load(host).initial(program, {"x": x}, 0)
    params = {n: rng.normal(size=v.shape) * 0.5 for n, v in params.items()}
    found = hosts.load(host).log_density(program, params, {"x": x}, {"z": z}, "guide")["z"]
    context = x @ params["encoder.layers.0.weight"].T + params["encoder.layers.0.bias"]
    wanted = log_normal(z - context[:, :L], covariance(family, context))
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("length", [0.0, 1e-9, 1.0, 100.0])
def test_the_factor_of_rank_one_is_a_root_of_its_covariance(
    length: float, rng: np.random.Generator
) -> None:
    context = rng.normal(size=(N, 3 * L))
    context[:, 2 * L :] *= length
    scale, direction = np.exp(context[:, L : 2 * L]), context[:, 2 * L :]
    normal = RankOneNormal(np.zeros((N, L)), scale, direction)
    columns = np.moveaxis(normal.sample(Columns(), (L, N)), 0, -1)
    got, wanted = columns @ np.swapaxes(columns, -1, -2), covariance("rank one", context)
    np.testing.assert_allclose(got, wanted, rtol=1e-12 if length < 2 else 1e-8, atol=1e-13)


@every_family
def test_draws_have_the_covariance_of_the_density(
    host: str, family: str, rng: np.random.Generator
) -> None:
    """Whitened by the dense root, draws are standard normal: mean 0, covariance I."""
    program = ppgm.program(linear_vae(FAMILIES[family]), host=host)
    x = rng.normal(size=(2, 5))
    params = hosts.load(host).initial(program, {"x": x}, 0)
    params = {n: rng.normal(size=v.shape) * 0.5 for n, v in params.items()}
    draws = hosts.load(host).sample(program, "guide", params, {"x": x}, 20_000, 1)["z"]
    context = x @ params["encoder.layers.0.weight"].T + params["encoder.layers.0.bias"]
    for n in range(2):
        root = np.linalg.cholesky(covariance(family, context)[n])
        white = np.linalg.solve(root, (draws[:, n] - context[n, :L]).T)
        np.testing.assert_allclose(white.mean(1), 0, atol=5 / 20_000**0.5)
        np.testing.assert_allclose(np.cov(white), np.eye(L), atol=5 * 1.5 / 20_000**0.5)


@parametrize_with_checks([(linear_vae(RankOne()), {"x": REAL})])
def test_a_vae_with_rank_one_keeps_the_contract(check: Check) -> None:
    check.run()


@pytest.mark.slow
@parametrize_with_checks([(linear_vae(LowRank(2)), {"x": REAL})])
def test_a_vae_with_low_rank_keeps_the_contract(check: Check) -> None:
    check.run()


@pytest.mark.parametrize("family", ["rank one", "low rank"])
def test_without_its_directions_a_family_is_the_diagonal_one(
    host: str, family: str, rng: np.random.Generator
) -> None:
    x, z = rng.normal(size=(N, 5)), rng.normal(size=(1, N, L))
    losses = []
    for name in ("gaussian", family):
        program = ppgm.program(linear_vae(FAMILIES[name]), host=host)
        params = hosts.load(host).initial(program, {"x": x}, 0)
        params = {n: np.ones_like(v) * 0.1 for n, v in params.items()}
        for part in ("weight", "bias"):
            params[f"encoder.layers.0.{part}"][2 * L :] = 0
        losses.append(probe(program, params, {"x": x}, ELBO(), values={"z": z}).loss)
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)


@pytest.mark.parametrize("rank", [0, -1, 1.5, True])
def test_ranks_are_checked(rank: Any) -> None:
    with pytest.raises(ppgm.errors.ArgumentError, match="rank must be an integer"):
        LowRank(rank)
