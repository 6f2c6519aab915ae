"""Simulation-based calibration: draws of model and guide agree with their densities.

A latent drawn with its data from the model is one more draw of their posterior, so its rank among
posterior draws is uniform. Here the posterior is draws of the guide and as many of the prior, so
that none of it is missed, weighted by p(x, z) over the mixture of both densities: what would upset
the ranks is a fault in drawing from either or in its density.

References:
    | Validating Bayesian Inference Algorithms with Simulation-Based Calibration (Talts et al.,
    | 2018), https://arxiv.org/abs/1804.06788
"""

from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.guides import LowRank, RankOne
from ppgm.models import (
    CVAE,
    DLGM,
    M1M2,
    M2,
    SBN,
    VAE,
    ConditionalSBN,
    FactorAnalysis,
    FullSBN,
    VampVAE,
)
from ppgm.models.likelihoods import DiscretisedLogistic, Gaussian, NegativeBinomial, Poisson

ROWS, DRAWS, BINS = 400, 1000, 10
LIMIT = 40.0
"""Of a chi-square with 9 degrees of freedom: exceeded with probability 8e-6."""

MODELS: dict[str, Any] = {
    "vae": VAE(4, 2, hidden=(3,)),
    "vae, gaussian": VAE(4, 2, hidden=(3,), likelihood=Gaussian()),
    "vae, poisson": VAE(4, 2, hidden=(3,), likelihood=Poisson()),
    "vae, negative binomial": VAE(4, 2, hidden=(3,), likelihood=NegativeBinomial()),
    "vae, levels": VAE(4, 2, hidden=(3,), likelihood=DiscretisedLogistic(2, levels=8)),
    "factor-analysis": FactorAnalysis(4, 2),
    "vamp-vae": VampVAE(4, 2, hidden=(3,), components=3),
    "dlgm": DLGM(4, (2, 2), (3,), posterior=RankOne()),
    "dlgm, ladder": DLGM(4, (2, 2), (3,), structure="top-down", posterior=LowRank(1)),
    "cvae": CVAE(4, 2, 2, (3,), baseline=True),
    "sbn": SBN(4, (3, 2)),
    "sbn, autoregressive": SBN(4, (3, 2), autoregressive=True),
    "full-sbn": FullSBN(4, 3),
    "conditional-sbn": ConditionalSBN(4, 2, (3, 2), (3,)),
    "m2": M2(4, 3, 2, hidden=(3,), prior="learnt"),
    "m1m2": M1M2(4, 3, 2, 1, hidden=(3,)),
}
LONG_ON_NUMPYRO = True

pytestmark = pytest.mark.usefixtures("f64")


def simulate(declaration: Any, host: str, *, weighted: bool = True) -> np.ndarray:
    """Returns the rank of a function of each row's own latents, in [0, 1], ``(rows,)``."""
    run, rng = ppgm.program(declaration, host=host), np.random.default_rng(7)
    data = {"x": np.zeros((ROWS, 4))}
    if isinstance(declaration, CVAE | ConditionalSBN):
        data["c"] = rng.normal(size=(ROWS, 2))
    backend = hosts.load(host)
    start = backend.initial(run, data)
    params = {n: v + 0.4 * rng.normal(size=v.shape) * ("scale" not in n) for n, v in start.items()}

    table = run.sites(data)
    latents = [s.name for s in table.select("model", "latent")]
    own = backend.sample(run, "model", params, data, 1, 11)
    data["x"] = np.asarray(own["x"][0], float)
    one = backend.sample(run, "guide", params, data, DRAWS, 12)
    two = backend.sample(run, "model", params, data, DRAWS, 13)
    given = {n: np.concatenate([one[n], two[n]]) for n in latents}
    log_p = backend.log_density(run, params, data, given)
    log_q = _total(backend.log_density(run, params, data, given, "guide"))
    prior = _total({n: log_p[n] for n in latents})
    log_w = _total(log_p) - np.logaddexp(log_q, prior)
    log_w = log_w if weighted else np.where(np.arange(2 * DRAWS)[:, None] < DRAWS, 0.0, -np.inf)

    directions = {n: rng.normal(size=own[n].shape[2:]) for n in latents}
    truth = _projected({n: own[n] for n in latents}, directions)
    values = _projected(given, directions)
    weights = np.exp(log_w - log_w.max(0))
    weights /= weights.sum(0)
    assert not weighted or np.median(1 / (weights**2).sum(0)) > 200
    ties = (weights * np.isclose(values, truth)).sum(0)
    below = (weights * ((values < truth) & ~np.isclose(values, truth))).sum(0)
    return below + rng.random(ROWS) * ties


def _total(parts: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(sum(parts.values()))


def _projected(values: dict[str, np.ndarray], directions: dict[str, np.ndarray]) -> np.ndarray:
    """Returns a random linear function of the latents, ``(draws, rows)``."""
    parts = (
        (values[n] * directions[n]).reshape(*values[n].shape[:2], -1).sum(-1) for n in directions
    )
    return np.asarray(sum(parts))


def distance(ranks: np.ndarray) -> float:
    """Returns the chi-square statistic of the ranks against uniform ones."""
    counts = np.histogram(ranks, BINS, (0.0, 1.0))[0]
    return float(((counts - ROWS / BINS) ** 2).sum() / (ROWS / BINS))


@pytest.mark.parametrize("name", MODELS)
def test_ranks_are_uniform(host: str, name: str) -> None:
    assert distance(simulate(MODELS[name], host)) < LIMIT


def test_ranks_see_a_guide_that_is_not_the_posterior(host: str) -> None:
    """Without their weights its draws are not calibrated: the statistic can fail."""
    assert distance(simulate(MODELS["factor-analysis"], host, weighted=False)) > LIMIT
