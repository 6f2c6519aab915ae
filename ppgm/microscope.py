r"""The gradient microscope: bias, variance and cost of gradient estimators.

For a group of parameters with expected gradient :math:`g = E[\hat g]` and reference r,

.. math::
    \mathrm{bias} = \lVert g - r \rVert, \quad
    \mathrm{variance} = \mathrm{tr}\,\mathrm{Cov}[\hat g], \quad
    \mathrm{snr} = \lVert g \rVert / \sqrt{\mathrm{variance}}

estimated from many draws of the estimator at one point of the parameters. Squared norms are
corrected for the noise of the means that they are made of, which would otherwise pass for bias
or signal.

References:
    | Tighter Variational Bounds Are Not Necessarily Better (Rainforth et al., 2018)
    | https://arxiv.org/abs/1802.04537
"""

__all__ = ["Moments", "gradients"]

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ppgm import host as hosts
from ppgm.arrays import as_arrays, check_finite
from ppgm.checking import check_program, check_support
from ppgm.errors import ArgumentError, missing
from ppgm.fits import Fit
from ppgm.inference.objective import AbstractObjective
from ppgm.influences import relations, with_influences
from ppgm.programs import Program
from ppgm.sites import SiteTable

if TYPE_CHECKING:
    from xarray import Dataset

VARIABLES = {
    "bias": "norm of the difference from the reference",
    "bias_error": "standard error of the bias",
    "variance": "trace of the covariance of one draw",
    "norm": "norm of the expected gradient",
    "snr": "norm divided by the standard deviation",
}


class Moments(NamedTuple):
    """Moments of an estimator's draws.

    Attributes:
        mean: Mean gradient by parameter.
        variance: Variance of one draw by parameter, elementwise, unbiased.
        draws: Number of draws.
        seconds: Seconds per draw, without compilation.
    """

    mean: dict[str, np.ndarray]
    variance: dict[str, np.ndarray]
    draws: int
    seconds: float


class _Measured(NamedTuple):
    """Squared norms of one group, corrected for noise."""

    bias: float
    bias_error: float
    variance: float
    norm: float
    snr: float


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
        host = hosts.load(source.host)
        return Moments(*host.gradient_moments(source, params, arrays, objective, count, seed))

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
        g for g in groups if any(_group(n, groups) == g for m in found.values() for n in m.mean)
    ]
    table = np.full((len(VARIABLES), len(found), len(kept)), np.nan)
    for i, (name, moments) in enumerate(found.items()):
        for j, group in enumerate(kept):
            names = [n for n in moments.mean if _group(n, groups) == group]
            if names:
                table[:, i, j] = _measured(moments, truths.get(name), names)
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


def _measured(moments: Moments, truth: Moments | None, names: Sequence[str]) -> _Measured:
    """Measures one group of parameters.

    A squared norm of a difference of means exceeds that of the expectations by the variance of
    the difference, on average: it is subtracted.
    """

    def joined(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.concatenate([np.ravel(arrays[n]) for n in names])

    mean, variance = joined(moments.mean), joined(moments.variance)
    total = float(variance.sum())
    norm = np.sqrt(max(float(mean @ mean) - total / moments.draws, 0.0))
    snr = norm / np.sqrt(total) if total > 0 else (np.inf if norm > 0 else np.nan)
    if truth is None or any(n not in truth.mean for n in names):
        return _Measured(np.nan, np.nan, total, norm, snr)
    gap = mean - joined(truth.mean)
    noise = variance / moments.draws + joined(truth.variance) / truth.draws
    square = float(gap @ gap) - float(noise.sum())
    # of a squared norm: 4 g' C g from its mean, 2 tr(C^2) from the noise alone
    error = np.sqrt(4 * max(square, 0.0) * float(noise.max()) + 2 * float(noise @ noise))
    bias = np.sqrt(max(square, 0.0))
    return _Measured(
        bias, error / (2 * bias) if square > error else np.sqrt(error), total, norm, snr
    )
