r"""Latent coordinates that a guide uses.

.. math::
    A_i = \operatorname{Var}_x E_{q(z | x)}[z_i]

Coordinate i is active if :math:`A_i` is above a threshold; one that the guide leaves at the prior
has a mean that does not move with the data.

References:
    | Importance Weighted Autoencoders (Burda et al., 2016), https://arxiv.org/abs/1509.00519
"""

__all__ = ["ActiveUnits", "active_units"]

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ppgm import host as hosts
from ppgm.arrays import as_array, check_finite
from ppgm.checking import check_all_rows, plates_of_rows
from ppgm.errors import ArgumentError, EstimatorError
from ppgm.fits import Fit
from ppgm.rows import row_count
from ppgm.sites import SiteTable


class ActiveUnits(NamedTuple):
    """Latent coordinates that the guide uses.

    Attributes:
        variance: Variance over rows of the posterior mean, one number per coordinate.
        active: Where it is above the threshold.
    """

    variance: np.ndarray
    active: np.ndarray

    @property
    def count(self) -> int:
        """Number of active coordinates."""
        return int(self.active.sum())


def active_units(
    fit: Fit,
    data: Mapping[str, Any],
    *,
    site: str = "z",
    threshold: float = 0.01,
    draws: int = 100,
    seed: int = 0,
) -> ActiveUnits:
    """Finds the latent coordinates whose posterior mean moves with the data.

    A coordinate is active if Var_x E_q[z | x] > threshold (Burda et al., 2016, section 5.1). The
    mean is estimated from draws; what their noise adds to the variance is taken off.

    Args:
        fit: A trained program with a guide.
        data: The rows.
        site: A latent site with one row per datum.
        threshold: Least variance of an active coordinate.
        draws: Draws for each row.
        seed: Seed of the draws.
    """
    if fit.program.guide is None:
        raise EstimatorError("the program has no guide: active units are coordinates of its draws")
    if draws < 2:
        raise ArgumentError(f"draws must be at least 2, to tell noise from signal, not {draws}")
    arrays = {name: as_array(name, value) for name, value in data.items()}
    check_finite(arrays)
    table = fit.program.sites(arrays)
    check_all_rows(table, "active_units")
    table = table._replace(data_plates=plates_of_rows(fit.program, table, arrays))
    _check_unit_site(table, site, row_count(arrays))
    host = hosts.load(fit.program.host)
    z = host.sample(fit.program, "guide", fit.params, arrays, draws, seed)[site].astype(float)
    noise = z.var(axis=0, ddof=1).mean(axis=0) / draws
    variance = np.maximum(z.mean(axis=0).var(axis=0, ddof=1) - noise, 0.0)
    return ActiveUnits(variance, variance > threshold)


def _check_unit_site(table: SiteTable, site: str, rows: int | None) -> None:
    found = {s.name: s for s in table.select("guide", "latent")}
    if site not in found:
        raise ArgumentError(f"site must be a site of the guide, {sorted(found)}, not '{site}'")
    if found[site].plates[:1] not in [(name,) for name in table.data_plates]:
        raise ArgumentError(
            f"site '{site}' lies in plates {found[site].plates}: active units are of a site with "
            "one row per datum, whose first plate follows the data"
        )
    if rows is None or rows < 2:
        raise ArgumentError(f"active units need at least 2 rows of data, not {rows}")
