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

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ppgm import host as hosts
from ppgm.checking import check_objective, checked_data, checked_sites
from ppgm.errors import ArgumentError, missing
from ppgm.fits import Fit
from ppgm.inference.objective import AbstractObjective
from ppgm.influences import relations, with_influences
from ppgm.microscope_arguments import Case, cases, check_numbers, sums_all
from ppgm.microscope_measures import Moments, batch_of, measure, moments
from ppgm.programs import Program
from ppgm.saving import check_params
from ppgm.sites import SiteTable

if TYPE_CHECKING:
    from xarray import Dataset

ENOUGH = 3
"""Draws of an objective without noise that show that it has none."""

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
    objectives: Mapping[str, AbstractObjective] | Sequence[AbstractObjective] | AbstractObjective,
    *,
    reference: Mapping[str, AbstractObjective]
    | Sequence[AbstractObjective]
    | AbstractObjective
    | None = None,
    draws: int = 200,
    reference_draws: int | None = None,
    seed: int = 0,
) -> "Dataset":
    """Measures gradient estimators at one point of a program's parameters.

    Args:
        program: The program at its initial parameters, or a fit at its own; a fit's networks of
            objectives (baselines) and their names count too.
        data: The batch, arrays ``(N, ...)`` by name.
        objectives: What to measure, by name or named by their text. One with several players
            (a game) is measured for each; what an objective remembers goes on from draw to draw.
        reference: Objectives whose expected gradient is the right one, each for the objectives
            of its own bound; or one by the name of each objective, whatever its bound. Without
            one there is no bias. A reference that sums over all latents (`Enumerate` on small
            discrete models) is exact, and evaluated a few times only.
        draws: Number of draws of each estimator, at least 2.
        reference_draws: Number of draws of a reference, at least 2; by default 20 times `draws`.
        seed: Seed of all draws.

    Returns:
        Dimensions "estimator" (with its "reference", "" without one) and "group" (a network or a
        parameter, with "side" and the "site" whose distribution it makes); variables ``bias``,
        ``bias_error`` (its standard error), ``bias_low`` and ``bias_high`` (each right in 95 % of
        experiments; the first is 0 where the bias cannot be told from none, and the second then
        is what can be said of it), ``variance``, ``norm``, ``snr``, in the units of the loss per
        datum, and ``seconds`` per draw by estimator.

    Raises:
        ArgumentError: For fewer than 2 draws, none or equal objectives, or references that are
            for none of them.
        DataError: As `ppgm.fit`.
        EstimatorError: For an objective that is not right for the program.
    """
    fitted = program if isinstance(program, Fit) else None
    source = program.program if isinstance(program, Fit) else program
    if not isinstance(source, Program):
        raise ArgumentError(f"gradients needs a program or a Fit, not {type(program).__name__}")
    reference_draws = check_numbers(draws, reference_draws, seed)
    asked = cases(objectives, reference)
    arrays = checked_data(source, data)
    if fitted:
        check_params(fitted, arrays)
    table = with_influences(checked_sites(source, arrays), source, arrays)
    for case in asked:
        for objective in (case.objective, case.reference):
            if objective is not None:
                check_objective(source, table, arrays, objective, minibatch=False)
                _check_nets(objective, table, fitted)

    params = dict(fitted.params) if fitted else hosts.load(source.host).initial(source, arrays)
    work = _Work(source, table, params, arrays)
    truths: dict[tuple[int, str], Moments] = {}  # by identity: an objective may hold arrays
    for case in asked:
        if case.reference is not None and _truth(case) not in truths:
            _, player = _truth(case)
            truths[_truth(case)] = work.exact(case.reference, player) or work.measure(
                case.reference, player, reference_draws, seed + 1
            )
    found = {c.name: work.measure(c.objective, c.player, draws, seed) for c in asked}
    rights = {c.name: truths[_truth(c)] for c in asked if c.reference is not None}
    titles = [c.title for c in asked]
    return _dataset(found, rights, titles, work.groups(found))


class _Work(NamedTuple):
    """A program at one point of its parameters."""

    source: Program
    table: SiteTable
    params: dict[str, np.ndarray]
    data: dict[str, Any]

    def measure(self, objective: AbstractObjective, player: str, draws: int, seed: int) -> Moments:
        """Returns the moments of draws of a player's gradient."""
        batches = batch_of(draws)
        means, within, seconds = hosts.load(self.source.host).gradient_moments(
            self.source, self.params, self.data, objective, player, batches, seed
        )
        return moments(means, within, np.bincount(batches), seconds)

    def exact(self, objective: AbstractObjective, player: str) -> Moments | None:
        """Returns the gradient of an objective that draws nothing; None of one that does."""
        if not sums_all(objective, self.table):
            return None
        found = self.measure(objective, player, ENOUGH, 0)
        return found if found.exact else None

    def groups(self, found: Mapping[str, Moments]) -> dict[str, tuple[str, str]]:
        """Returns side and sites of each group of parameters.

        A network of an objective (a baseline) is a group where a fit has it, and where there is
        nothing else of a player (a critic).
        """
        names = set(self.params)
        for seen in found.values():
            names |= set() if names & set(seen.means) else set(seen.means)
        return _groups(self.source, self.table, self.data, names)


def _truth(case: Case) -> tuple[int, str]:
    """Returns which moments a case is compared with: the reference, and its player."""
    players = [] if case.reference is None else [p.name for p in case.reference.players]
    return id(case.reference), case.player if case.player in players else players[0]


def _check_nets(objective: AbstractObjective, table: SiteTable, fitted: Fit | None) -> None:
    """Checks that the objective's networks have the shapes of a fit's."""
    for name, spec in objective.nets(table).items():
        for inner, shape in spec.parameters().items():
            known = (fitted.params if fitted else {}).get(f"{name}.{inner}")
            if known is not None and known.shape != tuple(shape):
                raise ArgumentError(
                    f"'{name}.{inner}' of the fit has shape {known.shape}, and of {objective} "
                    f"{tuple(shape)}: measure with the networks of the fit's own objective"
                )


def _groups(
    source: Program, table: SiteTable, data: Mapping[str, Any], names: Iterable[str]
) -> dict[str, tuple[str, str]]:
    """Returns side and sites of each group of parameters."""
    found: dict[str, tuple[str, list[str]]] = {}
    for side, edges in relations(source, data).items():
        kinds = {s.name for s in getattr(table, side) if s.kind in ("latent", "observed")}
        for parent, child in edges:
            if child in kinds:
                sites = found.setdefault(parent, (side, []))[1]
                sites += [child] if child not in sites else []
    groups = dict.fromkeys(_group(name, found) for name in sorted(names))
    return {g: (found[g][0], ", ".join(found[g][1])) if g in found else ("", "") for g in groups}


def _group(name: str, known: Mapping[str, Any]) -> str:
    """Returns the network, or the parameter itself, that a canonical name belongs to."""
    heads = [name.rsplit(".", n)[0] for n in range(name.count(".") + 1)]
    return next((h for h in heads if h in known), heads[-1])


def _dataset(
    found: Mapping[str, Moments],
    truths: Mapping[str, Moments],
    titles: Sequence[str],
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
        "reference": ("estimator", list(titles)),
        "group": kept,
        "side": ("group", [groups[g][0] for g in kept]),
        "site": ("group", [groups[g][1] for g in kept]),
    }
    draws = next(iter(found.values())).draws
    return xarray.Dataset({**variables, "seconds": seconds}, coords, {"draws": draws})
