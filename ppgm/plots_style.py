"""The look of `ppgm.plots`: colours, figures, axes, legends, and pictures in a grid."""

__all__ = [
    "CLASSES",
    "COLOURS",
    "INK",
    "QUIET",
    "cycle",
    "empty",
    "legend",
    "mosaic",
    "show",
    "single",
    "style",
]

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from ppgm.errors import ArgumentError, missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, FAINT, PAPER = "#1f2933", "#5f6c7b", "#e4e9ee", "#f0f3f6"
COLOURS = ("#2368a2", "#e07a1f", "#1f8a70", "#b33a5b", "#7357a8", "#8a6d1f")
CLASSES = (
    "#2368a2", "#e07a1f", "#1f8a70", "#c0392b", "#7357a8",
    "#8c5a3c", "#d667a6", "#6b7785", "#a9a61c", "#18a5b8",
)  # fmt: skip
"""Ten colours that stay apart on white, for classes."""


def empty(width: float, height: float, title: str) -> "Figure":
    """Returns a white figure with room for its title; sizes are in inches."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise missing("matplotlib", "viz") from error
    figure = Figure(
        figsize=(width, height + (0.35 if title else 0)), dpi=160, layout="constrained"
    )
    figure.set_facecolor("white")
    layout: Any = figure.get_layout_engine()
    layout.set(w_pad=0.1, h_pad=0.1)
    if title:
        figure.suptitle(title, size=11, color=INK)
    return figure


def single(width: float, height: float, title: str) -> tuple["Figure", "Axes"]:
    """Returns a figure and its one pair of axes."""
    figure = empty(width, height, title)
    return figure, figure.add_subplot()


def style(axes: "Axes", x: str, y: str) -> None:
    """Gives axes their labels, a faint grid and no frame."""
    axes.set_xlabel(x, size=9, color=QUIET)
    axes.set_ylabel(y, size=9, color=QUIET)
    axes.tick_params(colors=QUIET, labelsize=8, length=0)
    axes.grid(color=FAINT, lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def legend(axes: "Axes", **options: Any) -> None:
    """Adds a legend; `options` are those of matplotlib's."""
    made = axes.legend(frameon=False, fontsize=9, labelcolor=INK, handletextpad=0.3, **options)
    handles: list[Any] = list(made.legend_handles)
    for handle in handles:
        handle.set_alpha(1)
        if hasattr(handle, "set_sizes"):  # of scattered points: as large as their text
            handle.set_sizes([36])


def cycle(count: int) -> list[str]:
    """Returns a colour for each of `count` lines."""
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def mosaic(rows: np.ndarray, shape: Sequence[int], columns: int) -> np.ndarray:
    """Returns pictures in a grid as one array ``(H, W)``, NaN between them."""
    if len(shape) != 2 or np.prod(shape) != np.prod(np.shape(rows)[1:]):
        raise ArgumentError(
            f"shape must be a height and a width of product {np.prod(np.shape(rows)[1:])}, "
            f"not {tuple(shape)}"
        )
    gap = max(1, round(shape[0] / 10))
    height, width = shape[0] + gap, shape[1] + gap
    lines = ceil(len(rows) / columns)
    out = np.full((lines * height - gap, columns * width - gap), np.nan)
    for i, row in enumerate(rows):
        top, left = i // columns * height, i % columns * width
        out[top : top + shape[0], left : left + shape[1]] = np.reshape(row, shape)
    return out


def show(axes: "Axes", picture: np.ndarray) -> None:
    """Draws one picture ``(H, W)`` without axes; NaN is white."""
    from matplotlib.colors import LinearSegmentedColormap

    inks = LinearSegmentedColormap.from_list("ink", [PAPER, INK]).with_extremes(bad="white")
    axes.imshow(np.ma.masked_invalid(picture), cmap=inks, vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
