"""What is checked before the first step: data, sites, and the objective against both."""

__all__ = [
    "Bound",
    "bind",
    "check_all_rows",
    "check_declared",
    "check_finite",
    "check_objective",
    "check_program",
    "following_plates",
    "check_support",
    "check_validation",
    "checked_data",
    "checked_sites",
    "plates_of_rows",
]

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ppgm import host as hosts
from ppgm.arrays import as_arrays, check_finite
from ppgm.errors import DataError, EstimatorError, ModelError, PpgmError
from ppgm.influences import with_influences
from ppgm.layouts import subsampled_plates, total_rows
from ppgm.legality import check_legal
from ppgm.programs import Program
from ppgm.rows import row_count, row_names, take
from ppgm.sites import SiteTable, check_match, tabulate
from ppgm.supports import check_support


class Bound(NamedTuple):
    """A program checked against data and objective.

    Attributes:
        program: The program.
        table: Its sites for a batch.
        total: Number of rows of the whole data; 1 with global latents.
        rows_follow: Whether the rows are data rows.
    """

    program: Program
    table: SiteTable
    total: float
    rows_follow: bool


def bind(program: Program, source: Any, objective: Any) -> Bound:
    """Checks a program against its data and objective.

    Args:
        program: The program.
        source: The source of batches (see `ppgm.sources`).
        objective: The objective.
    """
    batch = source.sample_rows()
    check_declared(program, batch)
    table = program.sites(batch)
    if source.batch_size is not None:
        table = _with_minibatches(table, following_plates(program, table, batch), source.rows)
    check_program(table)
    if source.steps_per_epoch > 1:
        _check_joint(table)
    for part in source.all_batches():
        check_declared(program, part)
        check_support(table, part, program.declaration)
    minibatch = source.steps_per_epoch > 1
    table = check_objective(program, table, batch, objective, minibatch=minibatch)
    follow = bool(set(table.rows) & set(table.data_plates))
    return Bound(program, table, total_rows(table, source.rows), follow)


def check_objective(
    program: Program, table: SiteTable, data: Mapping[str, Any], objective: Any, *, minibatch: bool
) -> SiteTable:
    """Checks that an objective can be right for a program.

    Args:
        program: The program.
        table: Its sites.
        data: Its data, or a batch.
        objective: The objective.
        minibatch: Whether a step sees only some rows of the data.

    Returns:
        The sites, with their influences where the objective needs them.
    """

    def influenced() -> SiteTable:
        return with_influences(table, program, data)

    seen = influenced() if objective.local and table.influences is None else table
    check_legal(objective, seen, subsampled_plates(table, minibatch=minibatch), influenced)
    return seen


def checked_data(program: Program, data: Any) -> dict[str, Any]:
    """Returns data as arrays that can be given to a program; `checked_sites` comes next.

    Raises:
        DataError: If they are no dict, or what is in it is not for the program.
    """
    if not isinstance(data, Mapping):
        raise DataError(
            f"data must be a dict of arrays by argument name, not {type(data).__name__}"
        )
    check_declared(program, data)
    arrays = as_arrays(data)
    check_finite(arrays)
    return arrays


def checked_sites(program: Program, data: Mapping[str, Any]) -> SiteTable:
    """Returns the sites of a program, checked, with data that lie in their supports."""
    table = program.sites(data)
    check_program(table)
    check_support(table, data, program.declaration)
    return table


def _with_minibatches(table: SiteTable, names: tuple[str, ...], rows: int) -> SiteTable:
    """Lets the plates that follow a batch stand for all rows, by the engine's scale alone.

    ``plate("data", N, subsample_size=len(x))`` says by itself that a row stands for N/B data: the
    engine's scale says it too, and better for a ragged last batch.
    """
    plates = dict(table.plates)
    for name in names:
        plate = plates[name]
        if plate.full_size not in (plate.size, rows):
            raise ModelError(
                f"plate '{name}' draws {plate.size} of {plate.full_size}, and there are {rows} "
                "rows of data: minibatches need a plate of size len(x), or of the number of rows"
            )
        plates[name] = plate._replace(full_size=plate.size)
    return table._replace(plates=plates, data_plates=names)


def _check_joint(table: SiteTable) -> None:
    """Checks that no automatic guide holds the latents of rows that change from step to step.

    Raises:
        ModelError: Names the site and the plate.
    """
    joint = table.select("guide", "auxiliary")
    for site in table.select("guide", "latent"):
        local = [name for name in site.plates if name in table.data_plates]
        outside = [s.name for s in joint if not set(local) & set(s.plates)]
        if site.distribution == "Delta" and local and outside:
            raise ModelError(
                f"site '{site.name}' is in plate '{local[0]}', whose rows change from step to "
                f"step, and the guide's joint draw '{outside[0]}' is over the same rows in every "
                "step: fit without batch_size, or write a guide with an encoder of the rows"
            )


def check_validation(
    table: SiteTable, data: Mapping[str, Any], declaration: Any = None
) -> dict[str, Any]:
    """Returns validation data as arrays, checked like the data of the fit."""
    if not isinstance(data, Mapping):
        raise DataError(
            f"validation must be a dict of arrays by argument name, not {type(data).__name__}"
        )
    arrays = as_arrays(data)
    check_finite(arrays, " of the validation data")
    check_support(table, arrays, declaration)
    return arrays


def check_declared(source: Any, data: Any) -> None:
    """Lets a declaration refuse data by its method `check_data`, given them as they came.

    Args:
        source: A program or a fit.
        data: Data by name, not yet turned into arrays; anything else is left alone.
    """
    program = getattr(source, "program", source)
    check = getattr(getattr(program, "declaration", None), "check_data", None)
    if check is not None and isinstance(data, Mapping):
        check(data)


def check_program(table: SiteTable) -> None:
    """Checks that every batch axis is in a plate, and that guide, model and data match."""
    check_plates(table)
    _check_observed(table)
    if table.has_guide:
        check_match(table)


def _check_observed(table: SiteTable) -> None:
    """Checks that a model alone observes something: all that it draws may be what is missing.

    Raises:
        DataError: Names what the model draws, and what came.
    """
    drawn = [s.name for s in table.select("model", "latent")]
    if table.has_guide or not drawn or table.select("model", "observed", "implicit", "factor"):
        return
    came = ", ".join(f"'{n}'" for n in table.data or ()) or "nothing"
    raise DataError(
        f"the data have {came}, and the model, which has no guide, draws "
        f"{', '.join(map(repr, drawn))} and observes nothing: give the observed one, "
        f"data['{drawn[-1]}'], or a guide"
    )


def check_plates(table: SiteTable) -> None:
    """Checks that every batch axis of a site lies in a plate.

    Raises:
        ModelError: Names the site and the axis.
    """
    for site in table.select("model", "latent", "observed") + table.select("guide", "latent"):
        dims = {table.plates[p].dim for p in site.plates}
        for axis, size in enumerate(site.batch_shape, -len(site.batch_shape)):
            if size > 1 and axis not in dims:
                raise ModelError(
                    f"site '{site.name}' of the {site.side} has batch shape {site.batch_shape}, "
                    f"and axis {axis} is in no plate: declare it by a plate, or make it part of "
                    "the event by .to_event()"
                )


def following_plates(
    program: Program, table: SiteTable, batch: Mapping[str, Any]
) -> tuple[str, ...]:
    """Returns the plates that have one row per row of the batch, whatever its size."""
    size = len(batch[row_names(batch)[0]])
    other = size - 1 if size > 1 else 2
    rows = np.arange(other) % size
    host = hosts.load(program.host)
    try:
        records = host.trace(program, "model", take(batch, rows), finite=False)
    except PpgmError:
        raise
    except Exception as error:
        raise ModelError(
            f"the model runs with {size} rows and not with {other} ({type(error).__name__}: "
            f"{error}): give its plate the size len(x), or use the full data (batch_size=None)"
        ) from error
    again = tabulate(records, None, batch, other)
    found = tuple(
        n
        for n, p in table.plates.items()
        if p.size == size and n in again.plates and again.plates[n].size == other
    )
    if not found:
        sizes = {n: p.size for n, p in table.plates.items()}
        raise ModelError(
            f"no plate follows the {size} rows of a batch (plates: {sizes}): put the sites with "
            "one value per row in a plate of size len(x), or train on the full data "
            "(batch_size=None)"
        )
    return found


def check_all_rows(table: SiteTable, name: str) -> None:
    """Checks that the program sees all rows of its plates.

    Raises:
        EstimatorError: Names the first plate of which only some rows are drawn.
    """
    for plate in subsampled_plates(table, minibatch=False):
        size, full = table.plates[plate].size, table.plates[plate].full_size
        raise EstimatorError(
            f"{name} needs all rows: plate '{plate}' draws {size} of {full}; give the full data "
            "(subsample_size=None)"
        )


def plates_of_rows(program: Program, table: SiteTable, data: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the plates that follow the rows of the data, found by a second size of the data."""
    if row_count(data) is None:
        return ()
    try:
        return following_plates(program, table, data)
    except ModelError:  # no plate does; or on other rows the program does not run at all
        return ()
