"""The pictures of a run, as far as its model and data have any."""

__all__ = ["bound_curve", "draw_graph", "draw_samples", "pictures", "save_figure"]

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import networkx as nx
import numpy as np

import ppgm
from ppgm import graphs, plots
from ppgm import host as hosts
from ppgm.cli_runs import Run
from ppgm.errors import missing
from ppgm.inference import GAN, ContrastiveDivergence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = 500
"""Held-out rows whose latents are drawn."""
SHOWN = 12
DRAWS = 100
"""Draws of the model that a reconstruction is the mean of."""

LOSSES = {
    GAN: "loss of each player, nats per row\n(a game: no bound, and neither need fall)",
    ContrastiveDivergence: "log density, chains less data, nats per row\n"
    "(its gradient trains; its value is no bound)",
}
"""What the losses are of objectives that have no bound."""


def pictures(run: Run, *, seed: int = 0) -> list[Path]:
    """Draws what there is to draw of a run into its folder, and returns the files."""
    draws = _guide_draws(run, seed)
    makers: dict[str, Callable[[], Figure | None]] = {
        "curve.png": lambda: bound_curve(run),
        "samples.png": lambda: draw_samples(run, seed=seed),
        "reconstructions.png": lambda: _reconstructions(run, draws, seed + 1),
        "latent.png": lambda: _latent(run, draws),
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
    losses = next((text for cls, text in LOSSES.items() if isinstance(objective, cls)), "loss")
    title = f"{_name(run)}, {type(objective).__name__}"
    return plots.curve(run.fit.history, title=title, losses=losses)


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


class _Draws(NamedTuple):
    """Draws of the guide for held-out rows: one pass that several pictures share."""

    rows: dict[str, np.ndarray]
    sites: dict[str, np.ndarray]
    continuous: tuple[str, ...]


def _guide_draws(run: Run, seed: int) -> _Draws | None:
    """Draws from the guide, ``(DRAWS, N, *event)`` by latent site; None without a guide."""
    fit = run.fit
    if fit.program.guide is None:
        return None
    rows = run.split("test", ROWS)
    latent = fit.program.sites(rows).select("guide", "latent")
    found = hosts.load(fit.program.host).sample(
        fit.program, "guide", fit.params, rows, DRAWS, seed
    )
    continuous = tuple(s.name for s in latent if s.plates and not s.discrete)
    return _Draws(rows, {s.name: found[s.name] for s in latent}, continuous)


def _reconstructions(run: Run, draws: _Draws | None, seed: int) -> "Figure | None":
    """Draws held-out rows over the means of the model's draws at draws of the guide."""
    if len(run.data.shape) != 2 or draws is None:
        return None
    fit = run.fit
    found = hosts.load(fit.program.host).sample(
        fit.program, "model", fit.params, draws.rows, DRAWS, seed, draws.sites
    )
    means = _observed(run, found).mean(0)[:SHOWN]
    return plots.reconstructions(draws.rows[_site(run)][:SHOWN], means, run.data.shape)


def _latent(run: Run, draws: _Draws | None) -> "Figure | None":
    if draws is None or not draws.continuous:
        return None
    means = draws.sites[draws.continuous[0]].mean(0)
    labels = run.labels("test")
    labels = None if labels is None else labels[: len(means)]
    return plots.latent(means, labels, title=f"posterior means, {_name(run)}")
