"""Posteriors in netCDF files, which ArviZ reads too and from which they come back whole."""

__all__ = ["read", "write"]

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ppgm.arviz_export import build, optional, plain
from ppgm.arviz_layout import GROUPS, Layout, layout_of, names_of
from ppgm.errors import StorageError

if TYPE_CHECKING:
    from ppgm.posterior import Posterior

STATE = "ppgm_posterior"
"""Attribute of a file that holds, as JSON, what names and netCDF attributes cannot."""


def write(posterior: "Posterior", path: str | os.PathLike[str]) -> None:
    """Writes a `ppgm.Posterior`, in one step, to a netCDF file."""
    optional("h5netcdf", "io")
    layout = layout_of(posterior)
    content = build(posterior, layout)
    content.attrs[STATE] = json.dumps(_state(posterior, layout), default=plain)
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
    xarray = optional("xarray", "arviz")
    optional("h5netcdf", "io")
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


def _state(posterior: "Posterior", layout: Layout) -> dict[str, Any]:
    names = names_of(layout)
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
