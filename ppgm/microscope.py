r"""The gradient microscope: bias, variance and cost of gradient estimators.

For a group of parameters with expected gradient :math:`g = E[\hat g]` and reference r,

.. math::
    \mathrm{bias} = \lVert g - r \rVert, \quad
    \mathrm{variance} = \mathrm{tr}\,\mathrm{Cov}[\hat g], \quad
    \mathrm{snr} = \lVert g \rVert / \sqrt{\mathrm{variance}}

estimated from many draws of the estimator at one point of the parameters. Squared norms are
corrected for the noise of the means that they are made of, which would otherwise pass for bias
or signal; the error of a bias and its interval are those of `ppgm.microscope_measures`.

References:
    | Tighter Variational Bounds Are Not Necessarily Better (Rainforth et al., 2018)
    | https://arxiv.org/abs/1802.04537
"""

__all__ = ["gradients"]

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ppgm import host as hosts
from ppgm.arrays import as_arrays, check_finite
from ppgm.checking import check_program, check_support
from ppgm.errors import ArgumentError, missing
from ppgm.fits import Fit
from ppgm.inference.objective import AbstractObjective
from ppgm.influences import relations, with_influences
from ppgm.microscope_measures import Moments, batch_of, measure, moments
from ppgm.programs import Program
from ppgm.sites import SiteTable

if TYPE_CHECKING:
    from xarray import Dataset

VARIABLES = {
    "bias": "norm of the difference from the reference",
    "bias_error": "standard error of the bias",
    "bias_low": "least bias, 95 % sure; 0 where there may be none",
    "bias_high": "largest bias, 95 % sure",
    "variance": "trace of the covariance of one draw",
    "norm": "norm of the expected gradient",
    "snr": "norm divided by the standard deviation",
}


def gradients(
    program: Program | Fit,
    data: Mapping[str, Any],
    objectives: Mapping[str, AbstractObjective] | Sequence[AbstractObjective],
    *,
    reference: AbstractObjective | Mapping[str, AbstractObjective] | None = None,
    draws: int = 200,
    reference_draws: int | None = None,
    seed: int = 0,
) -> "Dataset":
    """Measures gradient estimators at one point of a program's parameters.

    Args:
        program: The program at its initial parameters, or a fit at its own; a fit's networks of
            objectives (baselines) and their names count too.
        data: The batch, arrays ``(N, ...)`` by name.
        objectives: What to measure, by name or named by their text. Each is taken with the
            player that it names first; what an objective remembers goes on from draw to draw.
        reference: Objective whose expected gradient is the right one: exact where it has no
            noise (`Enumerate` on small discrete models), else averaged over `reference_draws`.
            One for all objectives, or one by name; without one there is no bias.
        draws: Number of draws of each estimator, at least 2.
        reference_draws: Number of draws of the reference; by default 20 times `draws`.
        seed: Seed of all draws.

    Returns:
        Dimensions "estimator" and "group" (a network or a parameter, with "side" and the "site"
        whose distribution it makes); variables ``bias``, ``bias_error`` (its standard error),
        ``bias_low`` and ``bias_high`` (each right in 95 % of experiments; the first is 0 where
        the bias cannot be told from none, and the second then is what can be said of it),
        ``variance``, ``norm``, ``snr``, in the units of the loss per datum, and ``seconds`` per
        draw by estimator.

    Raises:
        ArgumentError: For fewer than 2 draws, or references without objectives.
        EstimatorError: For an objective that is not right for the program.
    """
    fitted = program if isinstance(program, Fit) else None
    source = program.program if isinstance(program, Fit) else program
    if not isinstance(source, Program):
        raise ArgumentError(f"gradients needs a program or a Fit, not {type(program).__name__}")
    if draws < 2:
        raise ArgumentError(f"draws must be at least 2, for a variance, not {draws}")
    params = dict(fitted.params) if fitted else hosts.load(source.host).initial(source, data)
    arrays = as_arrays(data)
    check_finite(arrays, " of the data")
    table = source.sites(arrays)
    check_program(table)
    check_support(table, arrays, source.declaration)
    named = _named(objectives)
    references = _references(reference, named)
    table = with_influences(table, source, arrays)

    def measure(objective: AbstractObjective, count: int, seed: int) -> Moments:
        objective.check(table)
        batches = batch_of(count)
        means, within, seconds = hosts.load(source.host).gradient_moments(
            source, params, arrays, objective, batches, seed
        )
        return moments(means, within, np.bincount(batches), seconds)

    known: dict[int, Moments] = {}  # by identity: an objective may hold arrays
    for objective in references.values():
        if id(objective) not in known:
            known[id(objective)] = measure(objective, reference_draws or 20 * draws, seed + 1)
    found = {name: measure(objective, draws, seed) for name, objective in named.items()}
    truths = {name: known[id(r)] for name, r in references.items()}
    groups = _groups(source, table, arrays, params)
    return _dataset(found, truths, groups)


def _named(objectives: Any) -> dict[str, AbstractObjective]:
    if isinstance(objectives, AbstractObjective):
        objectives = [objectives]
    named = objectives if isinstance(objectives, Mapping) else {str(o): o for o in objectives}
    for name, objective in named.items():
        if not isinstance(objective, AbstractObjective):
            raise ArgumentError(
                f"objectives['{name}'] must be an objective such as ELBO(), not {objective!r}"
            )
    return dict(named)


def _references(reference: Any, named: Mapping[str, Any]) -> dict[str, AbstractObjective]:
    if reference is None:
        return {}
    if isinstance(reference, AbstractObjective):
        return dict.fromkeys(named, reference)
    unknown = sorted(set(reference) - set(named))
    if unknown:
        raise ArgumentError(
            f"reference names {unknown}, and the objectives are {sorted(named)}: give a reference "
            "for some of these"
        )
    return dict(reference)


def _groups(
    source: Program, table: SiteTable, data: Mapping[str, Any], params: Mapping[str, Any]
) -> dict[str, tuple[str, str]]:
    """Returns side and sites of each group of parameters."""
    found: dict[str, tuple[str, list[str]]] = {}
    for side, edges in relations(source, data).items():
        kinds = {s.name for s in getattr(table, side) if s.kind in ("latent", "observed")}
        for parent, child in edges:
            if child in kinds:
                sites = found.setdefault(parent, (side, []))[1]
                sites += [child] if child not in sites else []
    groups = dict.fromkeys(_group(name, found) for name in sorted(params))
    return {g: (found[g][0], ", ".join(found[g][1])) if g in found else ("", "") for g in groups}


def _group(name: str, known: Mapping[str, Any]) -> str:
    """Returns the network, or the parameter itself, that a canonical name belongs to."""
    heads = [name.rsplit(".", n)[0] for n in range(name.count(".") + 1)]
    return next((h for h in heads if h in known), heads[-1])


def _dataset(
    found: Mapping[str, Moments],
    truths: Mapping[str, Moments],
    groups: Mapping[str, tuple[str, str]],
) -> "Dataset":
    try:
        import xarray
    except ImportError as error:
        raise missing("xarray", "arviz") from error
    kept = [
        g for g in groups if any(_group(n, groups) == g for m in found.values() for n in m.means)
    ]
    table = np.full((len(VARIABLES), len(found), len(kept)), np.nan)
    for i, (name, seen) in enumerate(found.items()):
        for j, group in enumerate(kept):
            names = [n for n in seen.means if _group(n, groups) == group]
            if names:
                table[:, i, j] = measure(seen, truths.get(name), names)
    dims = ("estimator", "group")
    variables = {
        key: (dims, table[i], {"description": VARIABLES[key]}) for i, key in enumerate(VARIABLES)
    }
    seconds = ("estimator", [m.seconds for m in found.values()], {"description": "per draw"})
    coords = {
        "estimator": list(found),
        "group": kept,
        "side": ("group", [groups[g][0] for g in kept]),
        "site": ("group", [groups[g][1] for g in kept]),
    }
    draws = next(iter(found.values())).draws if found else 0
    return xarray.Dataset({**variables, "seconds": seconds}, coords, {"draws": draws})
