"""What the checks of `ppgm.testing.contract` are made of."""

__all__ = [
    "Check",
    "ContractError",
    "Data",
    "agree",
    "copies",
    "draws",
    "evaluate",
    "fixed",
    "initial",
    "installed",
    "require",
    "same",
    "total",
    "values_of",
]

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ppgm.errors import PpgmError
from ppgm.host import HOSTS, load
from ppgm.inference.objective import AbstractBound, AbstractObjective
from ppgm.probes import Probe, probe
from ppgm.programs import Program
from ppgm.sites import SiteTable

Data = Mapping[str, Any]


class ContractError(PpgmError, AssertionError):
    """A declaration or an objective does not do what all of them have to."""


class Check(NamedTuple):
    """One requirement of one thing.

    Attributes:
        name: The requirement, and the host where it is about one.
        run: Raises `ContractError` where it is not met.
    """

    name: str
    run: Callable[[], None]


def installed() -> list[str]:
    """Returns the names of the hosts that can be imported."""
    return [name for name, parts in HOSTS.items() if all(map(find_spec, parts))]


def require(condition: Any, message: str) -> None:
    """Raises `ContractError` unless the condition holds."""
    if not condition:
        raise ContractError(message)


def same(one: Any, two: Any, what: str) -> None:
    """Requires equality to rounding error, relative to the larger of the numbers and 1."""
    one, two = np.asarray(one), np.asarray(two)
    require(one.shape == two.shape, f"{what} differ in shape: {one.shape} and {two.shape}")
    error = np.max(np.abs(one - two) / np.maximum(1, np.abs(one)), initial=0.0)
    require(error < _tolerance(), f"{what} differ by {error:.3g} relative")


def _tolerance() -> float:
    kinds = [str(load(h).OPS.float(0.0).dtype) for h in installed()]
    return 1e-9 if all("64" in kind for kind in kinds) else 1e-4


def initial(run: Program, data: Data) -> dict[str, np.ndarray]:
    """Returns initial parameters."""
    return load(run.host).initial(run, data, 0)


def draws(run: Program, data: Data, table: SiteTable, count: int) -> dict[str, np.ndarray]:
    """Returns draws of the latents, by the guide if there is one, and what it made them of."""
    side = "guide" if table.has_guide else "model"
    kinds = {s.name: s.support for s in table.select(side, "latent", "auxiliary")}
    if not kinds:
        return {}
    found = load(run.host).sample(run, side, initial(run, data), data, count, 0)
    return {
        n: np.asarray(found[n], int if kind == "integer_interval" else float)
        for n, kind in kinds.items()
    }


def copies(objective: AbstractBound, table: SiteTable) -> int:
    """Returns how many draws the objective makes of each site."""
    sizes = {s.name: s.enumerable for s in table.guide}
    return objective.particles * prod(sizes[n] for n in getattr(objective, "enumerate", ()))


def values_of(
    values: Mapping[str, np.ndarray], table: SiteTable, rows: Any
) -> dict[str, np.ndarray]:
    """Returns the draws that belong to some rows of the data."""
    sites = {s.name: s for s in table.guide}
    chosen = {}
    for name, value in values.items():
        dims = [table.plates[p].dim for p in sites[name].plates if p in table.data_plates]
        axis = 1 + len(sites[name].batch_shape) + dims[0] if dims else None
        chosen[name] = value if axis is None else np.take(value, rows, axis=axis)
    return chosen


def total(table: SiteTable) -> float:
    """Returns the number of rows of the whole data."""
    return float(prod(table.plates[name].full_size for name in table.rows))


def evaluate(
    run: Program, data: Data, objective: AbstractObjective, *, player: str | None = None
) -> Probe:
    """Evaluates an objective once at the initial parameters."""
    return probe(run, initial(run, data), data, objective, player=player)


def fixed(
    objective: AbstractBound,
    run: Program,
    params: Any,
    data: Data,
    values: Any,
) -> bool:
    """Tells whether given draws fix loss and gradient.

    Some estimators draw pairs of their own, or start what they remember from draws.
    """
    one, two = (probe(run, params, data, objective, values=values, seed=s) for s in (0, 1))
    same_grads = all(np.array_equal(one.grads[n], two.grads[n]) for n in one.grads)
    return one.loss == two.loss and same_grads


def agree(
    objective: AbstractBound, runs: list[Program], params: Any, data: Data, values: Any
) -> None:
    """Requires the same loss and gradients of two runs at given draws."""
    one, two = (probe(run, params, data, objective, values=values) for run in runs)
    same(one.loss, two.loss, "loss on the two hosts")
    require(one.grads.keys() == two.grads.keys(), "gradients on the two hosts differ in names")
    for name in one.grads:
        same(one.grads[name], two.grads[name], f"gradient of '{name}' on the two hosts")
