"""Posterior draws with their evidence: what every inference method returns.

Draws follow ArviZ's convention. For MCMC a *chain* is a Markov chain; for a guide it is an
independent restart with its own seed, so that comparing chains shows a fit that went astray.
Names in ``sample_stats`` are ArviZ's:

- guides: ``lp`` (log joint density), ``log_q`` and ``log_weight = lp - log_q``, by row;
- NUTS: ``diverging``, ``energy``, ``tree_depth``, ``n_steps``, ``acceptance_rate``,
  ``step_size`` and ``lp``.
"""

__all__ = ["Posterior", "load"]

from collections.abc import Mapping, Sequence
from os import PathLike
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ppgm import arviz_export, arviz_files
from ppgm.errors import StorageError
from ppgm.posterior_text import summary

Arrays = Mapping[str, np.ndarray]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Posterior(NamedTuple):
    """Draws from a posterior or an approximation of it.

    Attributes:
        draws: By site, ``(chain, draw, *batch, *event)``.
        sample_stats: By statistic, ``(chain, draw, *rows)``.
        log_likelihood: By observed site, ``(chain, draw, *batch)``.
        observed: The data by observed site, ``(*batch, *event)``.
        constants: Other inputs of the model.
        dims: By variable of any group, the names of its dimensions after chain and draw:
            plates, outermost first, then event dimensions. Trailing names may be missing; they
            are then called ``"{variable}_event0"`` and so on. Rows of statistics are named
            here too, for example ``{"log_weight": ("data",)}``.
        coords: Labels by dimension; 0, 1, ... for those that are not given.
        k_hat: `ppgm.diagnostics.pareto_k` by row, dimensions from ``dims["k_hat"]``; or a
            mapping with several such arrays; or None where there are no weights.
        attrs: Facts: ``inference_method``, ``objective``, ``host``, ``seed``, ``num_particles``,
            ...; ``iid_draws=True`` says that the draws within a chain are independent.
    """

    draws: Arrays
    sample_stats: Arrays = _NOTHING
    log_likelihood: Arrays = _NOTHING
    observed: Arrays = _NOTHING
    constants: Arrays = _NOTHING
    dims: Mapping[str, Sequence[str]] = _NOTHING
    coords: Mapping[str, Sequence[Any] | np.ndarray] = _NOTHING
    k_hat: np.ndarray | Arrays | None = None
    attrs: Mapping[str, Any] = _NOTHING

    def mean(self) -> dict[str, np.ndarray]:
        """Returns the mean of each site over chains and draws, ``(*batch, *event)``."""
        return {name: np.mean(value, axis=(0, 1)) for name, value in self.draws.items()}

    def sd(self) -> dict[str, np.ndarray]:
        """Returns the standard deviation over chains and draws, ``(*batch, *event)``."""
        flat = {n: np.reshape(v, (-1, *np.shape(v)[2:])) for n, v in self.draws.items()}
        return {n: np.std(v, axis=0, ddof=min(1, len(v) - 1)) for n, v in flat.items()}

    def to_datatree(self) -> Any:
        """Returns an ``xarray.DataTree`` with ArviZ's groups.

        The groups are ``posterior``, ``sample_stats``, ``log_likelihood``, ``observed_data``,
        ``constant_data`` and our own ``diagnostics`` (k-hat), as far as there is anything in
        them. A dimension called like a variable is renamed to ``"{name}_dim"``, and a "/" in a
        name becomes ".", as xarray allows neither.

        Raises:
            ArgumentError: If shapes, dims and coords do not fit; names the variable.
            MissingDependencyError: If xarray is not installed.
        """
        return arviz_export.tree(self)

    def to_arviz(self) -> Any:
        """Returns ArviZ's container: ``InferenceData`` on 0.x, a ``DataTree`` from 1.0 on.

        ``az.summary``, ``az.loo`` and the plots take it as it is. See `to_datatree`.
        """
        return arviz_export.to_arviz(self.to_datatree())

    def save(self, path: str | PathLike[str]) -> None:
        """Writes a netCDF file that `load`, ``az.from_netcdf`` and xarray read.

        Raises:
            StorageError: If the file cannot be written.
        """
        arviz_files.write(self, path)

    def __str__(self) -> str:
        return summary(self)

    def __repr__(self) -> str:
        sites = ", ".join(f"{n}{list(np.shape(v))}" for n, v in self.draws.items())
        return f"<Posterior {sites}>"


def load(path: str | PathLike[str]) -> Posterior:
    """Reads what `Posterior.save` wrote: equal bit for bit.

    Raises:
        StorageError: If the file cannot be read or was written by something else.
    """
    fields = arviz_files.read(path)
    try:
        return Posterior(**fields)
    except TypeError as error:
        raise StorageError(f"'{path}' was not written by this version of ppgm") from error
