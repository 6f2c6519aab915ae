"""Where the arrays of a posterior go in ArviZ: groups, dimensions, names that xarray can hold."""

__all__ = ["GROUPS", "SAMPLED", "Layout", "Names", "checked", "fields_of", "layout_of", "names_of"]

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ppgm.errors import ArgumentError

if TYPE_CHECKING:
    from ppgm.posterior import Posterior

Layout = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Dimensions by field and variable, without chain and draw."""

GROUPS = {
    "draws": "posterior",
    "sample_stats": "sample_stats",
    "log_likelihood": "log_likelihood",
    "observed": "observed_data",
    "constants": "constant_data",
    "k_hat": "diagnostics",
}
"""Fields of `ppgm.Posterior` and their groups."""

SAMPLED = ("draws", "sample_stats", "log_likelihood")
"""Fields whose arrays start with chain and draw."""


class Names(NamedTuple):
    """Exported names by original name: of variables, and of dimensions."""

    variables: dict[str, str]
    dims: dict[str, str]


def fields_of(posterior: "Posterior") -> dict[str, dict[str, np.ndarray]]:
    """Returns the arrays by field and variable, checked for types that can be exported."""
    k_hat = posterior.k_hat
    if not isinstance(k_hat, Mapping):
        k_hat = {} if k_hat is None else {"k_hat": k_hat}
    values = {field: getattr(posterior, field) for field in GROUPS if field != "k_hat"}
    return {
        field: {name: checked(name, value) for name, value in group.items()}
        for field, group in (values | {"k_hat": k_hat}).items()
    }


def checked(name: str, value: Any) -> np.ndarray:
    """Returns a value as an array of a type that netCDF has."""
    array = np.asarray(value)
    if array.dtype.kind not in "biufU":
        raise ArgumentError(
            f"'{name}' has the type {array.dtype}, which has no place in netCDF: "
            "give real numbers, booleans or strings"
        )
    return array


def layout_of(posterior: "Posterior") -> Layout:
    """Returns the dimensions of all variables by field, without chain and draw."""
    fields = fields_of(posterior)
    _check_draws({(f, n): v.shape for f in SAMPLED for n, v in fields[f].items()})
    return {
        field: {name: _dims(posterior.dims, field, name, value) for name, value in group.items()}
        for field, group in fields.items()
    }


def _check_draws(shapes: Mapping[tuple[str, str], tuple[int, ...]]) -> None:
    expected = next(iter(shapes.values()), ())[:2]
    for (field, name), shape in shapes.items():
        if len(shape) < 2 or shape[:2] != expected:
            raise ArgumentError(
                f"'{name}' of {field} has shape {shape}: it must start with chain and draw, "
                f"here {expected}"
            )
        if name in ("chain", "draw"):
            raise ArgumentError(
                f"a site cannot be called '{name}' in ArviZ, which reserves the name: rename it"
            )


def _dims(
    given: Mapping[str, Iterable[str]], field: str, name: str, value: np.ndarray
) -> tuple[str, ...]:
    names = tuple(given.get(name, ()))
    rank = value.ndim - 2 * (field in SAMPLED)
    if field == "log_likelihood":
        names = names[:rank]  # batch dimensions come first; the event ones are summed away
    if len(names) > rank:
        raise ArgumentError(
            f"dims of '{name}' are {names}, but '{name}' of {field} has {rank} dimensions "
            f"besides chain and draw (shape {value.shape}): name as many"
        )
    return (*names, *(f"{name}_event{i}" for i in range(rank - len(names))))


def names_of(layout: Layout) -> Names:
    """Resolves the names that xarray cannot hold; see `ppgm.Posterior.to_datatree`."""
    names = list(dict.fromkeys(name for group in layout.values() for name in group))
    variables: dict[str, str] = {}
    for name in names:
        variables[name] = _free(name.replace("/", "."), variables.values())
    taken = {*variables.values(), "chain", "draw"}
    dims: dict[str, str] = {}
    for dim in dict.fromkeys(d for g in layout.values() for ds in g.values() for d in ds):
        name = dim.replace("/", ".")
        name = f"{name}_dim" if name in taken else name
        dims[dim] = _free(name, {*taken, *dims.values()})
    return Names(variables, dims)


def _free(name: str, taken: Iterable[str]) -> str:
    taken = set(taken)
    while name in taken:
        name += "_"
    return name
