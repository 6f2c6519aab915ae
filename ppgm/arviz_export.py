"""Posteriors as xarray trees, ArviZ objects and netCDF files.

The tree is built with xarray alone, which both ArviZ 0.23 and 1.x depend on, so that nothing
here depends on how their own converters differ.
"""

__all__ = ["read", "to_arviz", "tree", "write"]

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ppgm.errors import ArgumentError, StorageError, did_you_mean, missing

if TYPE_CHECKING:
    from ppgm.posterior import Posterior

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

STATE = "ppgm_posterior"
"""Attribute of a file that holds, as JSON, what names and netCDF attributes cannot."""


class _Names(NamedTuple):
    """Exported names by original name: of variables, and of dimensions."""

    variables: dict[str, str]
    dims: dict[str, str]


def tree(posterior: "Posterior") -> Any:
    """Returns the ``xarray.DataTree`` of a `ppgm.Posterior`; see its `to_datatree`."""
    return _tree(posterior, _layout(posterior))


def to_arviz(tree: Any) -> Any:
    """Returns a tree as what the installed ArviZ works on."""
    arviz = _optional("arviz", "arviz")
    if int(version("arviz").split(".")[0]) >= 1:
        return tree
    groups = {name: child.to_dataset() for name, child in tree.children.items()}
    return arviz.InferenceData(attrs=dict(tree.attrs), warn_on_custom_groups=False, **groups)


def write(posterior: "Posterior", path: str | os.PathLike[str]) -> None:
    """Writes a `ppgm.Posterior`, in one step, to a netCDF file."""
    _optional("h5netcdf", "io")
    layout = _layout(posterior)
    content = _tree(posterior, layout)
    content.attrs[STATE] = json.dumps(_state(posterior, layout), default=_plain)
    target = Path(path)
    part = target.with_name(target.name + ".part")
    try:
        content.to_netcdf(part, engine="h5netcdf")
        os.replace(part, target)
    except OSError as error:
        raise StorageError(f"cannot write the posterior to '{target}': {error}") from error
    finally:
        part.unlink(missing_ok=True)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a file of `write` and returns the fields of the `ppgm.Posterior`."""
    xarray = _optional("xarray", "arviz")
    _optional("h5netcdf", "io")
    try:
        content = xarray.load_datatree(path, engine="h5netcdf", mask_and_scale=False)
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read a posterior from '{path}': {error}") from error
    if STATE not in content.attrs:
        raise StorageError(
            f"'{path}' has no attribute '{STATE}': it was not written by `Posterior.save` "
            "(read it with `arviz.from_netcdf`)"
        )
    state = json.loads(content.attrs[STATE])
    fields: dict[str, Any] = {
        field: {old: _array(content[GROUPS[field]][new]) for old, new in names.items()}
        for field, names in state["variables"].items()
    }
    fields["k_hat"] = _restore_k_hat(fields["k_hat"], state["k_hat"])
    fields["dims"] = {name: tuple(dims) for name, dims in state["dims"].items()}
    fields["coords"] = {old: _coordinate(content, new) for old, new in state["coords"].items()}
    fields["attrs"] = state["attrs"]
    return fields


def _fields(posterior: "Posterior") -> dict[str, dict[str, np.ndarray]]:
    """Returns the arrays by field and variable, checked for types that can be exported."""
    k_hat = posterior.k_hat
    if not isinstance(k_hat, Mapping):
        k_hat = {} if k_hat is None else {"k_hat": k_hat}
    values = {field: getattr(posterior, field) for field in GROUPS if field != "k_hat"}
    return {
        field: {name: _checked(name, value) for name, value in group.items()}
        for field, group in (values | {"k_hat": k_hat}).items()
    }


def _checked(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "biufU":
        raise ArgumentError(
            f"'{name}' has the type {array.dtype}, which has no place in netCDF: "
            "give real numbers, booleans or strings"
        )
    return array


def _layout(posterior: "Posterior") -> dict[str, dict[str, tuple[str, ...]]]:
    """Returns the dimensions of all variables by field, without chain and draw."""
    fields = _fields(posterior)
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


def _names(layout: Mapping[str, Mapping[str, tuple[str, ...]]]) -> _Names:
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
    return _Names(variables, dims)


def _free(name: str, taken: Iterable[str]) -> str:
    taken = set(taken)
    while name in taken:
        name += "_"
    return name


def _tree(posterior: "Posterior", layout: Mapping[str, Mapping[str, tuple[str, ...]]]) -> Any:
    xarray = _optional("xarray", "arviz")
    names = _names(layout)
    coords = _coords(posterior, names.dims)
    attrs = _attrs(posterior.attrs)
    groups = {}
    for field, arrays in _fields(posterior).items():
        lead = ("chain", "draw") if field in SAMPLED else ()
        variables = {
            names.variables[n]: ((*lead, *(names.dims[d] for d in layout[field][n])), value)
            for n, value in arrays.items()
        }
        if variables:
            groups[GROUPS[field]] = _dataset(xarray.Dataset, field, variables, coords, attrs)
    out = xarray.DataTree.from_dict(groups)
    out.attrs.update(attrs)
    return out


def _dataset(
    make: Callable[..., Any],
    field: str,
    variables: Mapping[str, tuple[tuple[str, ...], np.ndarray]],
    coords: Mapping[str, np.ndarray],
    attrs: Mapping[str, Any],
) -> Any:
    sizes: dict[str, tuple[int, str]] = {}
    for name, (dims, value) in variables.items():
        repeated = [d for d, n in Counter(dims).items() if n > 1]
        if repeated:
            raise ArgumentError(f"dims of '{name}' name '{repeated[0]}' twice: {dims}")
        for dim, size in zip(dims, value.shape, strict=True):
            known, first = sizes.setdefault(dim, (size, name))
            if known != size:
                raise ArgumentError(
                    f"dimension '{dim}' has size {known} in '{first}' and {size} in '{name}' "
                    f"of {field}: give them different names in dims"
                )
    for dim, (size, name) in sizes.items():
        if dim in coords and len(coords[dim]) != size:
            raise ArgumentError(
                f"coords of '{dim}' has {len(coords[dim])} labels, but '{name}' of {field} has "
                f"size {size} there"
            )
    labels = {dim: coords.get(dim, np.arange(size)) for dim, (size, _) in sizes.items()}
    return make(dict(variables), coords=labels, attrs=dict(attrs))


def _coords(posterior: "Posterior", dims: Mapping[str, str]) -> dict[str, np.ndarray]:
    known = {**dims, "chain": "chain", "draw": "draw"}
    for dim in posterior.coords:
        if dim not in known:
            hint = did_you_mean(dim, known)
            raise ArgumentError(
                f"coords name a dimension '{dim}' that no variable has; there are "
                f"{sorted(known)}{hint}"
            )
    return {known[dim]: _checked(dim, labels) for dim, labels in posterior.coords.items()}


def _attrs(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns attributes that netCDF can hold: strings and numbers as they are, else JSON."""
    try:
        own = version("ppgm")
    except PackageNotFoundError:  # run from a source tree that is not installed
        own = "unknown"
    own = {"inference_library": "ppgm", "inference_library_version": own}
    attrs = {**own, "creation_library": "ppgm", "sample_dims": ["chain", "draw"], **given}
    return {k: v if _native(v) else json.dumps(v, default=_plain) for k, v in attrs.items()}


def _native(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(v, str) for v in value)
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """Turns numpy values into what JSON knows, and anything else into its text."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _state(
    posterior: "Posterior", layout: Mapping[str, Mapping[str, tuple[str, ...]]]
) -> dict[str, Any]:
    names = _names(layout)
    dims = {**names.dims, "chain": "chain", "draw": "draw"}
    k_hat = posterior.k_hat
    return {
        "attrs": dict(posterior.attrs),
        "dims": {name: list(given) for name, given in posterior.dims.items()},
        "coords": {dim: dims[dim] for dim in posterior.coords},
        "variables": {f: {n: names.variables[n] for n in group} for f, group in layout.items()},
        "k_hat": "none" if k_hat is None else "many" if isinstance(k_hat, Mapping) else "one",
    }


def _restore_k_hat(group: dict[str, np.ndarray], kind: str) -> Any:
    return {"none": None, "one": group.get("k_hat"), "many": group}[kind]


def _coordinate(content: Any, dim: str) -> np.ndarray:
    return next(_array(c[dim]) for c in content.children.values() if dim in c.coords)


def _array(variable: Any) -> np.ndarray:
    array = np.asarray(variable.values)
    return array.astype(str) if array.dtype.kind in "OT" else array  # strings come as objects


def _optional(package: str, extra: str) -> Any:
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise missing(package, extra) from error
