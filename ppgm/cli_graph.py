"""``ppgm graph``: the graph of a run's or a model's program."""

__all__ = ["graph"]

from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ppgm.errors import ArgumentError

if TYPE_CHECKING:
    from networkx import DiGraph

FORMS = ("text", "mermaid", "dot", "png")
ROWS = 5
"""Rows of sequences that are unrolled."""


@click.command()
@click.argument("run_or_model")
@click.option("--format", "form", type=click.Choice(FORMS), default="text", show_default=True)
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    help="File to write in place of the terminal; a picture needs one.  [RUN/graph.png]",
)
@click.option("--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Field of a model.")
@click.option("--data", help="Data that fixes the shapes.  [digits, or the run's]")
@click.option("--host", type=click.Choice(["numpyro", "pyro"]), help="[numpyro, or the run's]")
@click.option("--unroll", type=int, help="Steps of a sequence to show, with the guide's edges.")
def graph(
    run_or_model: str,
    form: str,
    out: str | None,
    sets: tuple[str, ...],
    data: str | None,
    host: str | None,
    unroll: int | None,
) -> None:
    """Show RUN_OR_MODEL as a graph: sites, plates and what depends on what."""
    from ppgm import graphs

    folder = Path(run_or_model)
    is_run = (folder / "manifest.json").exists()
    found = (
        _of_run(folder, sets, data, host, unroll)
        if is_run
        else _of_model(run_or_model, sets, data, host, unroll)
    )
    if form == "png":
        from ppgm.cli_pictures import draw_graph, save_figure

        path = Path(out) if out else (folder if is_run else Path(".")) / "graph.png"
        click.echo(f"saved in {save_figure(draw_graph(found), path)}")
        return
    writers = {"text": graphs.to_text, "mermaid": graphs.to_mermaid, "dot": graphs.to_dot}
    text = writers[form](found)
    if out is None:
        click.echo(text)
        return
    Path(out).write_text(f"{text.rstrip()}\n", encoding="utf-8")
    click.echo(f"saved in {out}")


def _of_run(
    folder: Path, sets: tuple[str, ...], data: str | None, host: str | None, unroll: int | None
) -> "DiGraph":
    import ppgm
    from ppgm.cli_runs import opened

    if sets:
        raise ArgumentError(f"{folder} is a run, whose model is fixed: leave --set out")
    run = opened(folder, data=data, host=host)
    return ppgm.graph(run.fit, _few(run.split("train"), unroll), unroll=unroll)


def _of_model(
    name: str, sets: tuple[str, ...], data: str | None, host: str | None, unroll: int | None
) -> "DiGraph":
    import ppgm
    from ppgm import registry
    from ppgm.cli_data import columns, for_model, load
    from ppgm.cli_values import assignments, build

    if "/" in name or Path(name).is_dir():
        raise ArgumentError(f"'{name}' holds no run")
    cls = registry.get("models", name)
    dataset = load(data or "digits")
    if data is None and "lengths" in signature(cls.model).parameters:  # a row of pixels a step
        train = {"x": dataset.train["x"].reshape(-1, *dataset.shape)}
        dataset = dataset._replace(train=train)
    dataset = for_model(dataset, cls)
    model = build("models", name, assignments(sets), defaults={"features": columns(dataset)})
    return ppgm.graph(
        ppgm.program(model, host=host or "numpyro"), _few(dataset.train, unroll), unroll=unroll
    )


def _few(data: dict[str, Any], unroll: int | None) -> dict[str, Any]:
    """Returns the first rows of sequences that are unrolled, which takes many runs."""
    return data if unroll is None else {name: value[:ROWS] for name, value in data.items()}
