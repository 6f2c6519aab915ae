"""Posterior draws by any method.

`infer` runs a method of `ppgm.inference` on a program; every method returns a `Posterior`, so
that swapping one for another changes one word.
"""

__all__ = ["infer"]

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppgm import host as hosts
from ppgm.answers_guide import draw, follow, resample
from ppgm.arrays import as_array
from ppgm.checking import (
    check_all_rows,
    check_declared,
    check_finite,
    check_program,
    check_support,
)
from ppgm.errors import ArgumentError, EstimatorError
from ppgm.failures import explained
from ppgm.fits import Fit, as_fit
from ppgm.fitting import fit
from ppgm.inference.methods import HMC, NUTS, SVI, Guide, Importance
from ppgm.inference.particle_filter import ParticleFilter
from ppgm.legality import check_density
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
            draws by their weights, row by row; ``ParticleFilter`` draws paths of states;
            ``NUTS`` and ``HMC`` are the host's, at fixed parameters.
        seed: Seed of all draws.
        progress: Whether to show a bar; by default in a terminal only.

    Returns:
        Draws ``(chain, draw, *batch, *event)`` by site, log densities, and k-hat where there
        are weights.

    Raises:
        EstimatorError: If the method cannot be right for the program; names the site.
        DataError: As `ppgm.fit`.
    """
    check_declared(program, data)
    arrays = {name: as_array(name, value) for name, value in data.items()}
    check_finite(arrays)
    start = as_fit(program, arrays)
    table = start.program.sites(arrays)
    check_all_rows(table, "infer")
    check_support(table, arrays, start.program.declaration)
    check_params(start, arrays)
    _check_latents(table, method)
    if isinstance(method, Guide | Importance):
        check_program(table)
    if isinstance(method, Importance):
        check_density(table, "Importance")
    with explained(start.program, arrays, start.params):
        found = _found(start, arrays, table, method, seed, progress=progress)
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


def _found(
    start: Fit, data: Arrays, table: SiteTable, method: Any, seed: int, *, progress: bool | None
) -> Posterior:
    match method:
        case SVI():
            return _svi(start, data, table, method, seed, progress=progress)
        case Guide():
            return draw([start], data, table, method.draws, seed, {})
        case Importance():
            return resample(start, data, table, method, seed)
        case ParticleFilter():
            return follow(start, data, table, method, seed)
        case NUTS() | HMC():
            return _chains(start, data, table, method, seed, progress=bool(progress))
    raise ArgumentError(
        f"method must be SVI, Guide, Importance, ParticleFilter, NUTS or HMC, not {method!r}"
    )


def _check_latents(table: SiteTable, method: Any) -> None:
    known = isinstance(method, SVI | Guide | Importance | NUTS | HMC)
    if known and not table.select("model", "latent"):
        raise EstimatorError(
            f"the model has no latent sites: {type(method).__name__} has nothing to draw; train "
            "it with ppgm.fit, and for draws of the data use ppgm.sample"
        )


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
    return draw(fits, data, table, method.draws, seed, {"objective": repr(method.objective)})


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


def _dims(table: SiteTable, found: Posterior) -> dict[str, tuple[str, ...]]:
    """Names the batch axes of sites, and the rows of statistics, by plates."""
    kinds = ("latent", "observed")
    sites = {s.name: s.plates for s in table.model + table.guide if s.kind in kinds}
    by_row = [n for n, v in found.sample_stats.items() if v.ndim == 2 + len(table.rows)]
    return sites | dict.fromkeys([*by_row, "k_hat"], table.rows)
