"""Pictures of fits: each function returns a matplotlib ``Figure`` of its own.

Nothing here touches pyplot or matplotlib's settings, so the functions are safe in servers,
threads and notebooks; ``figure.savefig(path)`` writes a file.
"""

__all__ = [
    "curve",
    "curves",
    "forecast",
    "gradients",
    "images",
    "latent",
    "posterior_compare",
    "reconstructions",
    "scatter2d",
]

from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from ppgm.errors import ArgumentError
from ppgm.plots_gradients import gradients
from ppgm.plots_sequences import forecast
from ppgm.plots_style import (
    CLASSES,
    COLOURS,
    INK,
    QUIET,
    cycle,
    empty,
    legend,
    mosaic,
    show,
    single,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def curve(history: Mapping[str, np.ndarray], *, title: str = "", losses: str = "loss") -> "Figure":
    """Draws the bound by epoch, with the validation bound; or the losses where there is no bound.

    Args:
        history: `Fit.history`.
        title: Title of the picture.
        losses: What the losses are, for the axis, where there is no bound.
    """
    named = {n: n.replace(".", " ") for n in _series(history)}
    lines = {label: (history["epoch"], history[name]) for name, label in named.items()}
    bound = "bound" in named
    return _lines(lines, "nats per datum" if bound else losses, title, clip=bound)


def curves(
    histories: Mapping[str, Mapping[str, np.ndarray]], *, of: str = "bound", title: str = ""
) -> "Figure":
    """Draws one metric of several fits, labelled by the mapping's keys."""
    lines = {name: (h["epoch"], h[of]) for name, h in histories.items() if of in h}
    return _lines(
        lines,
        f"{of} bound, nats per datum" if of == "validation" else f"{of}, nats per datum",
        title,
        clip=True,
    )


def images(
    rows: np.ndarray, shape: Sequence[int], *, columns: int | None = None, title: str = ""
) -> "Figure":
    """Draws rows as pictures in a grid.

    Args:
        rows: ``(N, D)``, intensities; 0 is white and 1 is black.
        shape: Height and width, of product D.
        columns: Pictures side by side; about a square by default.
        title: Title of the picture.
    """
    columns = columns or ceil(sqrt(len(rows)))
    figure, axes = single(0.62 * columns, 0.62 * ceil(len(rows) / columns), title)
    show(axes, mosaic(rows, shape, columns))
    return figure


def reconstructions(
    rows: np.ndarray, means: np.ndarray, shape: Sequence[int], *, title: str = ""
) -> "Figure":
    """Draws rows above what a model makes of them.

    Args:
        rows: Data, ``(N, D)``.
        means: Their reconstructions, ``(N, D)``.
        shape: Height and width, of product D.
        title: Title of the picture.
    """
    figure, axes = single(0.62 * len(rows) + 0.5, 1.3, title)
    pairs = np.concatenate([rows, means])
    show(axes, mosaic(pairs, shape, len(rows)))
    for label, at in (("data", 0.25), ("model", 0.75)):
        axes.text(
            -0.012, 1 - at, label, transform=axes.transAxes, ha="right", va="center",
            size=9, color=QUIET,
        )  # fmt: skip
    return figure


def latent(points: np.ndarray, labels: np.ndarray | None = None, *, title: str = "") -> "Figure":
    """Draws posterior means in the plane: their two principal components if they have more.

    Args:
        points: ``(N, L)``.
        labels: Class of each point, ``(N,)``; colours and a legend.
        title: Title of the picture.
    """
    flat, names = _plane(points.reshape(len(points), -1).astype(float))
    figure, axes = single(5.4 if labels is not None else 4.8, 4.6, title)
    style(axes, *names)
    classes = np.zeros(len(flat), int) if labels is None else labels
    for i, value in enumerate(np.unique(classes)):
        part = flat[classes == value]
        dots = {"s": 22, "alpha": 0.85, "lw": 0.4, "ec": "white", "label": str(value)}
        axes.scatter(*part.T, color=CLASSES[i % len(CLASSES)], **dots)
    if labels is not None:
        legend(axes, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.set_aspect("equal", adjustable="datalim")
    return figure


def scatter2d(
    samples: np.ndarray,
    data: np.ndarray | None = None,
    modes: np.ndarray | None = None,
    *,
    title: str = "",
) -> "Figure":
    """Draws samples in the plane over the data, with a ring around each mode.

    Args:
        samples: ``(S, 2)``.
        data: ``(N, 2)``.
        modes: Centres of the data's components, ``(M, 2)``.
        title: Title of the picture.
    """
    figure, axes = single(4.8, 4.8, title)
    style(axes, "", "")
    if data is not None:
        axes.scatter(*data[:2000].T, s=14, color=COLOURS[1], alpha=0.35, lw=0, label="data")
    axes.scatter(*samples.T, s=5, color=COLOURS[0], alpha=0.45, lw=0, label="model")
    if modes is not None:
        ring = {"s": 260, "fc": "none", "ec": QUIET, "lw": 0.9, "label": "modes"}
        axes.scatter(*modes.T, **ring)
    axes.set_aspect("equal", adjustable="datalim")
    legend(axes, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3)
    return figure


def posterior_compare(
    draws: Mapping[str, np.ndarray],
    *,
    pictures: np.ndarray | None = None,
    shape: Sequence[int] = (),
    title: str = "",
) -> "Figure":
    """Draws the posteriors of a few rows side by side, one panel per row.

    Each coordinate has one interval per method: thin 90 %, thick 50 %, a dot at the median.

    Args:
        draws: By method, ``(S, R, L)``: draws, rows, coordinates.
        pictures: Data of the rows, ``(R, D)``, to show above the panels.
        shape: Height and width of a picture.
        title: Title of the picture.
    """
    flat = {name: np.reshape(v, (*v.shape[:2], -1)) for name, v in draws.items()}
    sizes: set[Any] = {np.shape(v)[1:3] for v in flat.values()}
    if len(sizes) != 1:
        raise ArgumentError(f"draws must be of the same rows and coordinates, not {sizes}")
    rows, coordinates = next(iter(sizes))
    top = 0.8 if pictures is not None else 0.0
    figure = empty(1.25 * rows + 0.6, 0.36 * coordinates + 1.2 + top, title)
    grid = figure.add_gridspec(2 if top else 1, rows, height_ratios=[0.22, 1] if top else [1])
    panels = grid.subplots(squeeze=False, sharex="row", sharey="row")
    for row in range(rows):
        if pictures is not None:
            show(panels[0, row], np.reshape(pictures[row], shape))
        _intervals(panels[-1, row], {n: v[:, row] for n, v in flat.items()}, first=row == 0)
    handles, labels = panels[-1, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(flat), frameon=False,
        fontsize=10, labelcolor=INK,
    )  # fmt: skip
    return figure


def _series(history: Mapping[str, np.ndarray]) -> list[str]:
    bounds = [n for n in ("bound", "validation") if n in history]
    return bounds or [n for n in history if n.endswith(".loss")]


def _lines(
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]], label: str, title: str, *, clip: bool
) -> "Figure":
    figure, axes = single(6.0, 3.6, title)
    style(axes, "epoch", label)
    for (name, (x, y)), colour in zip(lines.items(), cycle(len(lines)), strict=True):
        known = np.isfinite(y)
        few = known.sum() < 3
        axes.plot(
            x[known], y[known], color=colour, lw=1.8, marker="o" if few else None, label=name
        )
    values = np.concatenate([y[np.isfinite(y)] for _, y in lines.values()] or [np.empty(0)])
    if clip and len(values) > 20:
        # the first epochs are far below the rest and would flatten what matters
        low, high = np.quantile(values, 0.05), values.max()
        axes.set_ylim(low - 0.05 * (high - low), high + 0.08 * (high - low))
    if len(lines) > 1:
        legend(axes, loc="best")
    return figure


def _plane(points: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    if points.shape[1] == 2:
        return points, ("$z_1$", "$z_2$")
    if points.shape[1] == 1:
        return np.column_stack([points, np.zeros(len(points))]), ("$z$", "")
    centred = points - points.mean(0)
    _, scale, axes = np.linalg.svd(centred, full_matrices=False)
    share = scale**2 / max(np.sum(scale**2), np.finfo(float).tiny)
    names = tuple(f"component {i + 1} ({share[i]:.0%} of the variance)" for i in range(2))
    return centred @ axes[:2].T, (names[0], names[1])


def _intervals(axes: "Axes", draws: Mapping[str, np.ndarray], *, first: bool) -> None:
    style(axes, "", "")
    size = next(iter(draws.values())).shape[1]
    offsets = np.linspace(-0.16, 0.16, len(draws)) if len(draws) > 1 else [0.0]
    for (name, values), offset, colour in zip(
        draws.items(), offsets, cycle(len(draws)), strict=True
    ):
        at = np.arange(size) + offset
        low, left, mid, right, high = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
        axes.hlines(at, low, high, color=colour, lw=1.1)
        axes.hlines(at, left, right, color=colour, lw=3.4)
        axes.plot(mid, at, "o", ms=4, mfc="white", mec=colour, mew=1.2, label=name)
    axes.set_yticks(range(size), [f"$z_{{{i + 1}}}$" for i in range(size)])
    axes.set_ylim(size - 0.5, -0.5)
    axes.tick_params(labelleft=first, labelsize=10)
    axes.locator_params(axis="x", nbins=4)
