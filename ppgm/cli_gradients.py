"""``ppgm estimators`` and ``ppgm gradients``: which objectives fit a run, and how well."""

__all__ = ["estimators", "gradients"]

from collections.abc import Mapping
from math import isinf, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ppgm import tables
from ppgm.cli_values import build_word
from ppgm.errors import ArgumentError

if TYPE_CHECKING:
    from xarray import Dataset

_RUN = click.argument("run", type=click.Path(file_okay=False))
_DATA = click.option("--data", help="Data in place of those that the run was trained on.")
_ROWS = click.option(
    "--rows", type=click.IntRange(min=2), default=32, show_default=True, help="Rows of the batch."
)


@click.command()
@_RUN
@_ROWS
@_DATA
@click.option("--minibatch", is_flag=True, help="For steps that see only some rows.")
def estimators(run: str, rows: int, data: str | None, minibatch: bool) -> None:  # noqa: FBT001
    """List all objectives: whether each is right for RUN's program, and why not."""
    import ppgm
    from ppgm.cli_runs import opened

    opening = opened(run, data=data)
    click.echo(ppgm.estimators(opening.fit, opening.split("train", rows), minibatch=minibatch))


@click.command()
@_RUN
@click.option(
    "--objective", "texts", multiple=True, required=True, metavar="NAME[:FIELD=VALUE,...]",
    help="What to measure, such as iwae:particles=10,gradient=dreg; may be repeated.",
)  # fmt: skip
@click.option(
    "--reference", "references", multiple=True, metavar="NAME[:FIELD=VALUE,...]",
    help="The right gradient, for objectives of the same bound; may be repeated.",
)  # fmt: skip
@click.option("--draws", type=click.IntRange(min=2), default=200, show_default=True)
@_ROWS
@_DATA
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False), help="A picture (.png) or data (.nc).")
def gradients(
    run: str,
    texts: tuple[str, ...],
    references: tuple[str, ...],
    draws: int,
    rows: int,
    data: str | None,
    seed: int,
    out: str | None,
) -> None:
    """Measure gradients of objectives at RUN's parameters: bias, variance, cost.

    Values of a field may have commas, tvo:betas=0.1,0.5,particles=4, or names,
    iwae:site_weights=x:2,z:0.5.

    A bias that cannot be told from none is shown as the most that it can be, with 95 % confidence.
    """
    import ppgm
    from ppgm.cli_runs import opened

    if out is not None and not out.endswith((".png", ".nc")):
        raise ArgumentError(f"--out must end in .png or .nc, not '{out}'")
    opening = opened(run, data=data)
    found = ppgm.gradients(
        opening.fit, opening.split("train", rows), _objectives("--objective", texts),
        reference=list(_objectives("--reference", references).values()) or None, draws=draws,
        seed=seed,
    )  # fmt: skip
    click.echo(table(found))
    for name in found.estimator.values[found.reference.values == ""] if references else ():
        click.echo(f"no bias of {name}: no --reference is of its bound")
    if out is not None:
        _save(found, out)
        click.echo(f"saved in {out}")


def table(found: "Dataset") -> str:
    """Returns the dataset as a table, a line for each estimator and group."""
    header = ("estimator", "group", "site", "bias", "variance", "snr", "ms a draw")
    rows = []
    for i, name in enumerate(found.estimator.values):
        for j, group in enumerate(found.group.values):
            cell = {str(k): float(v[i, j]) for k, v in found.data_vars.items() if v.ndim == 2}
            if isnan(cell["variance"]):
                continue
            rows.append((
                name, group, found.site.values[j], _bias(cell),
                f"{cell['variance']:.3g}", f"{cell['snr']:.3g}",
                tables.number(1000 * float(found.seconds.values[i]), 3),
            ))  # fmt: skip
    kept = [k for k, title in enumerate(header) if title != "bias" or any(r[k] for r in rows)]
    return tables.text([header[k] for k in kept], [[row[k] for k in kept] for row in rows])


def _bias(cell: Mapping[str, float]) -> str:
    """Returns a bias with its error, or the most that it can be; nothing without a reference."""
    if isnan(cell["bias"]):
        return ""
    if cell["bias_low"] > 0:
        return f"{cell['bias']:.3g} ± {cell['bias_error']:.2g}"
    return "unknown" if isinf(cell["bias_high"]) else f"< {cell['bias_high']:.2g}"


def _objectives(option: str, texts: tuple[str, ...]) -> dict[str, Any]:
    """Returns the objectives by what they are written as, each once."""
    twice = [text for text in texts if texts.count(text) > 1]
    if twice:
        raise ArgumentError(f"{option} {twice[0]} is given twice")
    return {text: build_word("objectives", text) for text in texts}


def _save(found: "Dataset", out: str) -> None:
    if out.endswith(".nc"):
        found.to_netcdf(out, engine="h5netcdf")
        return
    from ppgm.cli_pictures import save_figure
    from ppgm.plots import gradients as draw

    save_figure(draw(found), Path(out))
