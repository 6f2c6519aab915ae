"""Posterior draws by any method, and draws of new data.

`infer` runs a method of `ppgm.inference` on a program; every method returns a `Posterior`, so
that swapping one for another changes one word.
"""

__all__ = ["infer", "sample"]

from collections.abc import Mapping
from inspect import signature
from typing import Any

import numpy as np

from ppgm import diagnostics
from ppgm import host as hosts
from ppgm.arrays import as_array
from ppgm.checking import check_finite, check_support
from ppgm.errors import ArgumentError, EstimatorError, ModelError
from ppgm.evaluation import check_all_rows
from ppgm.fits import Fit
from ppgm.fitting import fit
from ppgm.inference.methods import HMC, NUTS, SVI, Guide, Importance
from ppgm.posterior import Posterior
from ppgm.programs import Program
from ppgm.saving import check_params
from ppgm.sites import SiteTable

Arrays = dict[str, np.ndarray]


def infer(
    program: Program | Fit,
    data: Mapping[str, Any],
    method: Any,
    *,
    seed: int = 0,
    progress: bool | None = None,
) -> Posterior:
    """Draws from the posterior of the latents given data.

    Args:
        program: A program with its initial parameters, or a `Fit` with its trained ones.
        data: The data, by the names of the model's arguments.
        method: One of `ppgm.inference`: ``SVI(objective)`` trains first, each chain from a seed
            of its own; ``Guide`` draws from the guide; ``Importance`` resamples the guide's
            draws by their weights, row by row; ``NUTS`` and ``HMC`` are the host's, at fixed
            parameters.
        seed: Seed of all draws.
        progress: Whether to show a bar; by default in a terminal only.

    Returns:
        Draws ``(chain, draw, *batch, *event)`` by site, log densities, and k-hat where there
        are weights.

    Raises:
        EstimatorError: If the method cannot be right for the program; names the site.
        DataError: As `ppgm.fit`.
    """
    arrays = {name: as_array(name, value) for name, value in data.items()}
    check_finite(arrays)
    start = program if isinstance(program, Fit) else _untrained(program, arrays)
    table = start.program.sites(arrays)
    check_all_rows(table, "infer")
    check_support(table, arrays)
    check_params(start, arrays)
    match method:
        case SVI():
            found = _svi(start, arrays, table, method, seed, progress=progress)
        case Guide():
            found = _guide([start], arrays, table, method.draws, seed, {})
        case Importance():
            found = _importance(start, arrays, table, method, seed)
        case NUTS() | HMC():
            found = _chains(start, arrays, table, method, seed, progress=bool(progress))
        case _:
            raise ArgumentError(
                f"method must be SVI, Guide, Importance, NUTS or HMC, not {method!r}"
            )
    facts = {"inference_method": type(method).__name__.lower(), "host": start.program.host,
             "seed": seed}  # fmt: skip
    return found._replace(
        observed={s.name: arrays[s.name] for s in table.select("model", "observed")
                  if s.name in arrays},
        constants={n: v for n, v in arrays.items()
                   if hasattr(v, "shape") and n not in {s.name for s in table.model}},
        dims=_dims(table, found),
        attrs=facts | dict(found.attrs),
    )  # fmt: skip


def sample(
    fit: Fit,
    n: int = 1,
    *,
    seed: int = 0,
    data: Mapping[str, Any] | None = None,
    steps: int = 1000,
) -> Arrays:
    """Draws new data from a trained model.

    Args:
        fit: The fit.
        n: Number of rows; for a program of your own, number of whole data sets.
        seed: Seed of the draws.
        data: Inputs of the model that are not drawn. A program of your own needs all its data
            here, since they fix the plates; the observed ones are drawn anew.
        steps: Steps of the Markov kernel from random bits, for unnormalised models.

    Returns:
        By site, latent ones included: ``(n, *event)``; of a program of your own
        ``(n, *batch, *event)``.
    """
    if n < 1:
        raise ArgumentError(f"n must be at least 1, not {n}")
    program, host = fit.program, hosts.load(fit.program.host)
    if program.declaration is None:
        if data is None:
            raise ArgumentError("data is needed to sample a program of your own: it fixes plates")
        check_params(fit, data)
        return host.sample(program, "model", fit.params, data, n, seed)
    if callable(getattr(program.declaration, "kernel", None)):
        return _by_kernel(fit, n, seed, steps)
    model, _ = host.bind(program.declaration, program.seed, n)
    found = host.sample(
        Program(model, None, program.host), "model", fit.params, data or {}, 1, seed
    )
    return {name: value[0] for name, value in found.items()}


def _by_kernel(fit: Fit, n: int, seed: int, steps: int) -> Arrays:
    """Draws rows at the ends of chains of the declaration's kernel, from random bits."""
    size = fit.program.declaration.features
    bits = np.random.default_rng(seed).integers(0, 2, (n, size)).astype(float)
    host = hosts.load(fit.program.host)
    name = list(signature(fit.program.declaration.kernel).parameters)[1]  # after ppl
    ends = host.kernel(fit.program, fit.params, {name: bits}, bits, steps, seed)
    return {name: ends}


def _untrained(program: Program, data: Arrays) -> Fit:
    params = hosts.load(program.host).initial(program, data, program.seed)
    return Fit(program, params, {}, {}, {})


def _svi(
    start: Fit, data: Arrays, table: SiteTable, method: SVI, seed: int, *, progress: bool | None
) -> Posterior:
    fits = []
    for chain in range(method.chains):
        # without the state of an earlier fit, from which chains would all go on alike
        before = start._replace(state={}) if start.history else start.program
        fits.append(
            fit(
                before, data, method.objective, steps=method.steps, batch_size=method.batch_size,
                optimiser=method.optimiser, seed=seed + chain, progress=progress,
            )
        )  # fmt: skip
    return _guide(fits, data, table, method.draws, seed, {"objective": repr(method.objective)})


def _guide(
    fits: list[Fit], data: Arrays, table: SiteTable, draws: int, seed: int, facts: dict[str, Any]
) -> Posterior:
    """One chain of draws from the guide of each fit."""
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
    lp, log_q = _to_rows(model, table), _to_rows(guide, table)
    observed = [s.name for s in table.select("model", "observed")]
    stats = {"lp": lp, "log_q": log_q, "log_weight": lp - log_q}
    return values, stats, {n: model[n] for n in observed}


def _importance(
    source: Fit, data: Arrays, table: SiteTable, method: Importance, seed: int
) -> Posterior:
    """Resamples draws of the guide by self-normalised weights, each row on its own."""
    _require_guide(table, "Importance")
    values, stats, likelihood = _guide_draws(source, data, table, method.particles, seed)
    log_w = stats["log_weight"].astype(float)
    chosen = _resample(log_w, method.draws, np.random.default_rng(seed))
    sites = {s.name: s for s in table.model + table.guide}

    def pick(name: str, value: np.ndarray) -> np.ndarray:
        plates = sites[name].plates if name in sites else table.rows
        return _take_rows(name, value, chosen, plates, table)

    k_hat = diagnostics.pareto_k(log_w) if len(log_w) >= diagnostics.FEWEST else None
    return Posterior(
        {n: pick(n, v)[None] for n, v in values.items()},
        {n: pick(n, v)[None] for n, v in stats.items()},
        {n: pick(n, v)[None] for n, v in likelihood.items()},
        k_hat=k_hat,
        attrs={"iid_draws": True, "num_particles": method.particles},
    )


def _resample(log_w: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
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


def _chains(
    source: Fit, data: Arrays, table: SiteTable, method: Any, seed: int, *, progress: bool
) -> Posterior:
    """The host's own Markov chains."""
    for site in table.select("model", "latent"):
        if site.discrete:
            raise EstimatorError(
                f"site '{site.name}' is {site.distribution}: {type(method).__name__} needs "
                "continuous latents; use Guide, Importance or SVI"
            )
    options = {"kernel": type(method).__name__.lower(), "target_accept": method.target_accept}
    options |= (
        {"max_tree_depth": method.max_tree_depth}
        if isinstance(method, NUTS)
        else {"trajectory": method.trajectory}
    )
    host, program = hosts.load(source.program.host), source.program
    draws, stats = host.nuts(
        program, source.params, data, warmup=method.warmup, draws=method.draws,
        chains=method.chains, seed=seed, progress=progress, **options,
    )  # fmt: skip
    flat = {n: v.reshape((-1, *v.shape[2:])) for n, v in draws.items()}
    density = host.log_density(program, source.params, data, flat)
    shape = (method.chains, method.draws)
    observed = [s.name for s in table.select("model", "observed")]
    return Posterior(
        draws, stats, {n: density[n].reshape((*shape, *density[n].shape[1:])) for n in observed},
        attrs={"iid_draws": False},
    )  # fmt: skip


def _to_rows(density: Arrays, table: SiteTable) -> np.ndarray:
    """Sums log densities ``(S, *batch)`` by site to rows ``(S, *rows)``, subsamples scaled up."""
    sites = {s.name: s for s in table.model + table.guide}
    total: Any = 0.0
    for name, value in density.items():
        plates = sites[name].plates
        depth = value.ndim - 1
        dims = {depth + 1 + table.plates[p].dim: p for p in plates}
        part = value
        for axis in range(depth, 0, -1):
            plate = dims.get(axis)
            if plate in table.rows:
                continue
            part = part.sum(axis)
            if plate is not None:
                part = part * (table.plates[plate].full_size / table.plates[plate].size)
        total = total + part
    return np.asarray(total)


def _stack(runs: list[Arrays]) -> Arrays:
    return {name: np.stack([run[name] for run in runs]) for name in runs[0]}


def _dims(table: SiteTable, found: Posterior) -> dict[str, tuple[str, ...]]:
    """Names the batch axes of sites, and the rows of statistics, by plates."""
    kinds = ("latent", "observed")
    sites = {s.name: s.plates for s in table.model + table.guide if s.kind in kinds}
    by_row = [n for n, v in found.sample_stats.items() if v.ndim == 2 + len(table.rows)]
    return sites | dict.fromkeys([*by_row, "k_hat"], table.rows)


def _require_guide(table: SiteTable, name: str) -> None:
    if not table.has_guide:
        raise EstimatorError(f"the program has no guide: {name} draws from one; use NUTS")
