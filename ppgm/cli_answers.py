"""Commands that ask something of a run: ``evaluate``, ``infer``, ``sample`` and ``compare``."""

__all__ = ["compare", "evaluate", "infer", "sample"]

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ppgm import tables
from ppgm.cli_values import assignments, build
from ppgm.errors import ArgumentError

if TYPE_CHECKING:
    from ppgm.cli_runs import Run
    from ppgm.evaluation import Evidence

_RUN = click.argument("run", type=click.Path(file_okay=False))
_DATA = click.option("--data", help="Data in place of those that the run was trained on.")
_SEED = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
_SPLIT = click.option(
    "--split", type=click.Choice(["test", "train"]), default="test", show_default=True
)


def _particles(default: int) -> Any:
    return click.option(
        "--particles", type=int, default=default, show_default=True, help="Draws for each row."
    )


@click.command()
@_RUN
@_particles(1000)
@click.option("--chunk", type=click.IntRange(min=1), help="Rows of one pass.")
@click.option("--rows", type=click.IntRange(min=1), help="The first rows only.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@_SPLIT
@_DATA
@_SEED
def evaluate(
    run: str,
    particles: int,
    chunk: int | None,
    rows: int | None,
    form: str,
    split: str,
    data: str | None,
    seed: int,
) -> None:
    """Estimate log p(x) of held-out rows, with how far it can be trusted."""
    import ppgm
    from ppgm.cli_runs import opened

    opening = opened(run, data=data)
    evidence = ppgm.evaluate(
        opening.fit, opening.split(split, rows), particles=particles, chunk=chunk, seed=seed
    )
    click.echo(json.dumps(_facts(evidence), indent=2) if form == "json" else str(evidence))


@click.command()
@_RUN
@click.option("--method", default="guide", show_default=True, help="See ppgm list methods.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Field of the method, such as draws=500.",
)
@click.option("--rows", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False), help="[RUN/posterior.nc]")
@_SPLIT
@_DATA
@_SEED
def infer(
    run: str,
    method: str,
    options: tuple[str, ...],
    rows: int,
    out: str | None,
    split: str,
    data: str | None,
    seed: int,
) -> None:
    """Draw from the posterior of a few rows' latents, into a netCDF file for ArviZ."""
    import ppgm
    from ppgm.cli_runs import opened

    opening = opened(run, data=data)
    value = build("methods", method, assignments(options))
    posterior = ppgm.infer(opening.fit, opening.split(split, rows), value, seed=seed)
    path = Path(out) if out else opening.folder / "posterior.nc"
    path.parent.mkdir(parents=True, exist_ok=True)
    posterior.save(path)
    click.echo(str(posterior))
    click.echo(f"saved in {path}")


@click.command()
@_RUN
@click.option("-n", "--count", type=click.IntRange(min=1), default=64, show_default=True)
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    help="File: .npz for arrays, .png for a picture.  [RUN/samples.npz]",
)
@_SEED
def sample(run: str, count: int, out: str | None, seed: int) -> None:
    """Draw new rows from a trained model."""
    from ppgm.cli_pictures import draw_samples, save_figure
    from ppgm.cli_runs import opened

    opening = opened(run)
    path = Path(out) if out else opening.folder / "samples.npz"
    if path.suffix == ".png":
        figure = draw_samples(opening, count, seed=seed)
        if figure is None:
            raise ArgumentError(f"rows of {opening.data.name} are no pictures: use --out FILE.npz")
        save_figure(figure, path)
    elif path.suffix == ".npz":
        _save_samples(opening, count, path, seed)
    else:
        raise ArgumentError(f"--out must end in .npz or .png, not '{path.name}'")
    click.echo(f"{count} draws saved in {path}")


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(file_okay=False))
@_particles(1000)
@click.option("--rows", type=click.IntRange(min=1), help="The first rows only.")
@_SPLIT
@_DATA
@_SEED
def compare(
    runs: tuple[str, ...],
    particles: int,
    rows: int | None,
    split: str,
    data: str | None,
    seed: int,
) -> None:
    """Compare RUNS on the same rows: bounds, log p(x), and differences from the first."""
    import ppgm
    from ppgm.cli_runs import opened

    if len(runs) < 2:
        raise click.UsageError("compare needs two runs or more")
    opening = [opened(run, data=data) for run in runs]
    _check_same(opening, split)
    found = [
        ppgm.evaluate(o.fit, o.split(split, rows), particles=particles, seed=seed) for o in opening
    ]
    click.echo(comparison(opening, found))
    click.echo()
    click.echo(differences(runs, found))


def comparison(runs: "list[Run]", found: "list[Evidence]") -> str:
    """Returns the table of runs with their bounds and log p(x)."""
    header = ("run", "model", "objective", "host", "bound", "validation", "log p(x)", "k-hat bad")
    return tables.text(header, [_compared(r, e) for r, e in zip(runs, found, strict=True)])


def differences(names: tuple[str, ...], found: "list[Evidence]") -> str:
    """Returns the table of differences of log p(x) from the first run, paired by rows."""
    from ppgm.cli_pairs import paired

    rows = []
    for name, evidence in zip(names[1:], found[1:], strict=True):
        difference, error = paired(evidence, found[0])
        rows.append((f"{name} - {names[0]}", tables.measured(difference, error, 3)))
    return tables.text(("difference, paired by rows", "log p(x)"), rows)


def _compared(run: "Run", evidence: "Evidence") -> tuple[object, ...]:
    from ppgm.cli_pairs import unreliable

    history = run.fit.history
    ends = [history[n][-1] if n in history else float("nan") for n in ("bound", "validation")]
    bad, rows = unreliable(evidence), len(evidence.log_likelihood)
    return (
        run.folder,
        type(run.fit.program.declaration).__name__,
        type(run.fit.config["objective"]).__name__,
        run.fit.program.host,
        *(tables.number(end, 3) for end in ends),
        tables.measured(evidence.mean, evidence.standard_error, 3),
        "exact" if evidence.particles == 0 else f"{bad} of {rows}",
    )


def _check_same(runs: "list[Run]", split: str) -> None:
    import numpy as np

    first, *others = [next(iter(run.split(split).values())) for run in runs]
    for run, rows in zip(runs[1:], others, strict=True):
        if rows.shape != first.shape or not np.array_equal(rows, first):
            raise ArgumentError(
                f"{run.folder} was trained on {run.data.name} and {runs[0].folder} on "
                f"{runs[0].data.name}, whose {split} rows differ: add --data to compare on one set"
            )


def _facts(evidence: "Evidence") -> dict[str, Any]:
    from ppgm.cli_pairs import unreliable

    return {
        "log_likelihood": evidence.mean,
        "standard_error": evidence.standard_error,
        "monte_carlo_error": evidence.monte_carlo_error,
        "rows": len(evidence.log_likelihood),
        "particles": evidence.particles,
        "rows_with_bad_k_hat": unreliable(evidence),
        "elbo": None if evidence.elbo is None else float(evidence.elbo.mean()),
        "exact": None if evidence.exact is None else float(evidence.exact.mean()),
    }


def _save_samples(run: "Run", count: int, path: Path, seed: int) -> None:
    import numpy as np

    import ppgm

    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = ppgm.sample(run.fit, count, seed=seed)
    np.savez_compressed(path, **arrays)
