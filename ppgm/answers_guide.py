r"""Posterior draws from a guide, and the same resampled by their weights.

.. math::
    w_k = \frac{p(x, z_k)}{q(z_k | x)}, \quad z_k \sim q(z | x), \quad
    k \sim \mathrm{Categorical}(w_1, \dots, w_K)

Rows of a program are independent given its parameters, so each is resampled on its own.
"""

__all__ = ["draw", "follow", "resample"]

from typing import Any

import numpy as np

from ppgm import diagnostics
from ppgm import host as hosts
from ppgm.errors import ArgumentError, EstimatorError, ModelError
from ppgm.fits import Fit
from ppgm.inference.methods import Importance
from ppgm.inference.particle_filter import ParticleFilter
from ppgm.layouts import make_layout
from ppgm.ops import NUMPY
from ppgm.posterior import Posterior
from ppgm.sites import SiteTable
from ppgm.terms import to_rows

Arrays = dict[str, np.ndarray]


def draw(
    fits: list[Fit], data: Arrays, table: SiteTable, draws: int, seed: int, facts: dict[str, Any]
) -> Posterior:
    """Draws from the guide, one chain for each fit.

    Args:
        fits: Fits of one program.
        data: The data.
        table: The program's sites on them.
        draws: Draws of a chain.
        seed: Seed of the first chain; each further one adds 1.
        facts: Attributes of the posterior.
    """
    _require_guide(table, "Guide")
    runs = [_guide_draws(f, data, table, draws, seed + c) for c, f in enumerate(fits)]
    log_w = np.concatenate([run[1]["log_weight"] for run in runs])
    k_hat = diagnostics.pareto_k(log_w) if len(log_w) >= diagnostics.FEWEST else None
    draws_, stats, likelihood = (_stack([run[i] for run in runs]) for i in range(3))
    return Posterior(draws_, stats, likelihood, k_hat=k_hat, attrs={"iid_draws": True, **facts})


def _guide_draws(
    source: Fit, data: Arrays, table: SiteTable, draws: int, seed: int
) -> tuple[Arrays, Arrays, Arrays]:
    """Returns draws of the latents, their log densities by row, and log-likelihoods by site."""
    host, program = hosts.load(source.program.host), source.program
    latent = [s.name for s in table.select("guide", "latent")]
    found = host.sample(program, "guide", source.params, data, draws, seed)
    values = {n: found[n] for n in latent}
    model = host.log_density(program, source.params, data, values)
    # a point is a function of an automatic guide's auxiliary draws, so it is these that count
    drawn = {s.name: found[s.name] for s in table.select("guide", "latent", "auxiliary")
             if s.distribution != "Delta"}  # fmt: skip
    guide = host.log_density(program, source.params, data, drawn, "guide")
    lp, log_q = _rows(model, table), _rows(guide, table)
    observed = [s.name for s in table.select("model", "observed")]
    stats = {"lp": lp, "log_q": log_q, "log_weight": lp - log_q}
    return values, stats, {n: model[n] for n in observed}


def resample(
    source: Fit, data: Arrays, table: SiteTable, method: Importance, seed: int
) -> Posterior:
    """Resamples draws of the guide by self-normalised weights, each row on its own."""
    _require_guide(table, "Importance")
    if method.particles < diagnostics.FEWEST:
        raise ArgumentError(
            f"Importance: particles must be at least {diagnostics.FEWEST} for k-hat, not "
            f"{method.particles}: of fewer weights nobody can say how far to trust the draws; "
            "Guide(draws=...) draws without weights"
        )
    values, stats, likelihood = _guide_draws(source, data, table, method.particles, seed)
    log_w = stats["log_weight"].astype(float)
    chosen = _choose(log_w, method.draws, np.random.default_rng(seed))
    sites = {s.name: s for s in table.model + table.guide}

    def pick(name: str, value: np.ndarray) -> np.ndarray:
        plates = sites[name].plates if name in sites else table.rows
        return _take_rows(name, value, chosen, plates, table)

    return Posterior(
        {n: pick(n, v)[None] for n, v in values.items()},
        {n: pick(n, v)[None] for n, v in stats.items()},
        {n: pick(n, v)[None] for n, v in likelihood.items()},
        k_hat=diagnostics.pareto_k(log_w),
        attrs={"iid_draws": True, "num_particles": method.particles},
    )


def follow(
    source: Fit, data: Arrays, table: SiteTable, method: ParticleFilter, seed: int
) -> Posterior:
    """Draws paths of states from those of a particle filter's last particles, row by row."""
    host, program = hosts.load(source.program.host), source.program
    found = method.filter(source, data, seed=seed, keep=True)
    paths, log_w = found.paths()
    chosen = _choose(log_w.astype(float), method.draws, np.random.default_rng(seed))
    name = table.select("model", "latent")[0].name
    values = {name: np.take_along_axis(paths, chosen[..., None, None], 0)}
    model = host.log_density(program, source.params, data, values)
    observed = [s.name for s in table.select("model", "observed")]
    return Posterior(
        {name: values[name][None]},
        {"lp": _rows(model, table)[None]},
        {n: model[n][None] for n in observed},
        attrs={
            "iid_draws": False,
            "num_particles": method.particles,
            "inference_method": "particle-filter",
        },
    )


def _choose(log_w: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Returns indices of draws ``(draws, *rows)``, drawn by weight, systematically per row."""
    weights = np.exp(log_w - log_w.max(axis=0))
    edges = np.cumsum(weights / weights.sum(axis=0), axis=0).reshape(len(log_w), -1)
    points = (np.arange(draws) + rng.random((edges.shape[1], 1))) / draws
    index = np.stack(
        [np.searchsorted(edges[:, i], points[i]) for i in range(edges.shape[1])], axis=-1
    )
    index = np.minimum(index, len(log_w) - 1)
    shuffled = rng.permuted(index, axis=0)  # draws of different rows are independent
    return shuffled.reshape(draws, *log_w.shape[1:])


def _take_rows(
    name: str,
    value: np.ndarray,
    chosen: np.ndarray,
    plates: tuple[str, ...],
    table: SiteTable,
) -> np.ndarray:
    """Takes the chosen draws of every row of a value ``(K, *batch, *event)``."""
    index = chosen
    axes = {p: i for i, p in enumerate(plates)}
    order = [p for p in plates if p in table.rows]
    if list(table.rows) != order:
        raise ModelError(
            f"site '{name}' lies in plates {plates}, and the program's rows are {table.rows}: "
            "Importance needs the row plates around every site, in one order"
        )
    for p, i in axes.items():
        if p not in table.rows:
            index = np.expand_dims(index, 1 + i)
    spare = value.ndim - index.ndim
    return np.take_along_axis(value, index.reshape(index.shape + (1,) * spare), axis=0)


def _rows(density: Arrays, table: SiteTable) -> np.ndarray:
    """Sums log densities ``(S, *batch)`` by site to rows ``(S, *rows)``, subsamples scaled up."""
    plates = {s.name: s.plates for s in table.model + table.guide}
    dims = max((value.ndim - 1 for value in density.values()), default=0)
    layout = make_layout(table, dims)
    total: Any = 0.0
    for name, value in density.items():
        spread = value.reshape((len(value), *(1,) * (dims + 1 - value.ndim), *value.shape[1:]))
        total = total + to_rows(spread, plates[name], layout, NUMPY)
    return np.asarray(total)


def _stack(runs: list[Arrays]) -> Arrays:
    return {name: np.stack([run[name] for run in runs]) for name in runs[0]}


def _require_guide(table: SiteTable, name: str) -> None:
    if not table.has_guide:
        raise EstimatorError(f"the program has no guide: {name} draws from one; use NUTS")
