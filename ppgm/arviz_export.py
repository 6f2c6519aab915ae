"""Posteriors as xarray trees and ArviZ objects.

The tree is built with xarray alone, which both ArviZ 0.23 and 1.x depend on, so that nothing
here depends on how their own converters differ.
"""

__all__ = ["build", "optional", "plain", "to_arviz", "tree"]

import json
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from ppgm.arviz_layout import GROUPS, SAMPLED, Layout, checked, fields_of, layout_of, names_of
from ppgm.errors import ArgumentError, did_you_mean, missing

if TYPE_CHECKING:
    from ppgm.posterior import Posterior


def tree(posterior: "Posterior") -> Any:
    """Returns the ``xarray.DataTree`` of a `ppgm.Posterior`; see its `to_datatree`."""
    return build(posterior, layout_of(posterior))


def to_arviz(tree: Any) -> Any:
    """Returns a tree as what the installed ArviZ works on."""
    arviz = optional("arviz", "arviz")
    if int(version("arviz").split(".")[0]) >= 1:
        return tree
    groups = {name: child.to_dataset() for name, child in tree.children.items()}
    return arviz.InferenceData(attrs=dict(tree.attrs), warn_on_custom_groups=False, **groups)


def build(posterior: "Posterior", layout: Layout) -> Any:
    """Returns the tree of a posterior whose layout is known."""
    xarray = optional("xarray", "arviz")
    names = names_of(layout)
    coords = _coords(posterior, names.dims)
    attrs = _attrs(posterior.attrs)
    groups = {}
    for field, arrays in fields_of(posterior).items():
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
    return {known[dim]: checked(dim, labels) for dim, labels in posterior.coords.items()}


def _attrs(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns attributes that netCDF can hold: strings and numbers as they are, else JSON."""
    try:
        own = version("ppgm")
    except PackageNotFoundError:  # run from a source tree that is not installed
        own = "unknown"
    own = {"inference_library": "ppgm", "inference_library_version": own}
    attrs = {**own, "creation_library": "ppgm", "sample_dims": ["chain", "draw"], **given}
    return {k: v if _native(v) else json.dumps(v, default=plain) for k, v in attrs.items()}


def _native(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(v, str) for v in value)
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def plain(value: Any) -> Any:
    """Turns numpy values into what JSON knows, and anything else into its text."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def optional(package: str, extra: str) -> Any:
    """Imports a package, or names the extra that brings it."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise missing(package, extra) from error
