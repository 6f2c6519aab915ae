"""The pictures of a run, as far as its model and data have any."""

__all__ = ["bound_curve", "draw_graph", "draw_samples", "pictures", "save_figure"]

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

import ppgm
from ppgm import graphs, plots
from ppgm import host as hosts
from ppgm.cli_runs import Run
from ppgm.errors import missing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 12
DRAWS = 100
"""Draws of the model that a reconstruction is the mean of."""


def pictures(run: Run, *, seed: int = 0) -> list[Path]:
    """Draws what there is to draw of a run into its folder, and returns the files."""
    makers: dict[str, Callable[[], "Figure | None"]] = {
        "curve.png": lambda: bound_curve(run),
        "samples.png": lambda: draw_samples(run, seed=seed),
        "reconstructions.png": lambda: _reconstructions(run, seed),
        "latent.png": lambda: _latent(run, seed),
        "graph.png": lambda: draw_graph(ppgm.graph(run.fit.program, run.split("train"))),
    }
    return list(_saved(run.folder, makers))


def save_figure(figure: "Figure", path: Path) -> Path:
    """Writes a figure as a PNG file, and returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
    return path


def bound_curve(run: Run) -> "Figure":
    """Draws the history of a run."""
    objective = run.fit.config["objective"]
    return plots.curve(run.fit.history, title=f"{_name(run)}, {type(objective).__name__}")


def draw_samples(run: Run, count: int = 64, *, seed: int = 0) -> "Figure | None":
    """Draws new rows: pictures in a grid, or points over the data; None for other data."""
    if len(run.data.shape) == 2:
        rows = _observed(run, ppgm.sample(run.fit, count, seed=seed))
        return plots.images(rows, run.data.shape, title=f"draws of {_name(run)}")
    if run.data.shape == (2,):
        points = _observed(run, ppgm.sample(run.fit, 2000, seed=seed))
        data = _rows(run, "test")
        return plots.scatter2d(points, data, run.data.modes, title=f"draws of {_name(run)}")
    return None


def draw_graph(graph: nx.DiGraph) -> "Figure":
    """Draws a graph into a figure of its size."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise missing("matplotlib", "viz") from error

    # drawn once to learn how large it is, and again at that size
    width, height = 4.0, 3.0
    figure = Figure()
    for _ in range(2):
        figure = Figure(figsize=(width, height), dpi=200)
        axes = graphs.draw(graph, figure.add_axes((0, 0, 1, 1)))
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        width, height = right - left, top - bottom
    return figure


def _guide_means(run: Run, split: str, rows: int | None, seed: int) -> np.ndarray | None:
    """Returns the guide's means of the first continuous latent, ``(N, L)``, or None."""
    data = run.split(split, rows)
    sites = run.fit.program.sites(run.split(split, 8))
    named = [s.name for s in sites.select("guide", "latent") if s.plates and not s.discrete]
    if not named:
        return None
    draws = hosts.load(run.fit.program.host).sample(
        run.fit.program, "guide", run.fit.params, data, DRAWS, seed
    )
    return draws[named[0]].mean(0).reshape(len(_rows(run, split, rows)), -1)


def _saved(folder: Path, makers: dict[str, Callable[[], "Figure | None"]]) -> Iterator[Path]:
    for name, make in makers.items():
        figure = make()
        if figure is not None:
            yield save_figure(figure, folder / name)


def _name(run: Run) -> str:
    return f"{type(run.fit.program.declaration).__name__} on {run.data.name}"


def _site(run: Run) -> str:
    return next(iter(run.data.train))


def _rows(run: Run, split: str, rows: int | None = None) -> np.ndarray:
    return run.split(split, rows)[_site(run)]


def _observed(run: Run, found: dict[str, Any]) -> np.ndarray:
    return np.asarray(found[_site(run)], float)


def _reconstructions(run: Run, seed: int) -> "Figure | None":
    """Draws held-out rows over the means of the model's draws at draws of the guide."""
    if len(run.data.shape) != 2 or run.fit.program.guide is None:
        return None
    data, fit = run.split("test", SHOWN), run.fit
    host = hosts.load(fit.program.host)
    given = host.sample(fit.program, "guide", fit.params, data, DRAWS, seed)
    latent = [s.name for s in fit.program.sites(data).select("guide", "latent")]
    drawn = host.sample(
        fit.program, "model", fit.params, data, DRAWS, seed + 1, {n: given[n] for n in latent}
    )
    means = _observed(run, drawn).mean(0)
    return plots.reconstructions(_rows(run, "test", SHOWN), means, run.data.shape)


def _latent(run: Run, seed: int) -> "Figure | None":
    if run.fit.program.guide is None:
        return None
    means = _guide_means(run, "test", 1000, seed)
    if means is None:
        return None
    labels = run.labels("test")
    labels = None if labels is None else labels[: len(means)]
    return plots.latent(means, labels, title=f"posterior means, {_name(run)}")
