"""Pictures of sequences: what was seen, and draws of what was not."""

__all__ = ["forecast"]

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ppgm.errors import ArgumentError, DataError
from ppgm.plots_style import COLOURS, INK, QUIET, legend, single, style
from ppgm.trajectories import Trajectories

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

BANDS = ((0.05, 0.95, 0.18), (0.25, 0.75, 0.34))
"""Lower and upper quantile of each band, and how opaque it is."""


def forecast(
    found: Trajectories,
    *,
    row: int = 0,
    feature: int = 0,
    truth: np.ndarray | None = None,
    first: float = 0,
    back: Callable[[np.ndarray], np.ndarray] | None = None,
    x: str = "time",
    y: str = "x",
    colour: str = COLOURS[0],
    title: str = "",
    axes: "Axes | None" = None,
) -> "Figure | SubFigure":
    """Draws one column of one row: what was seen of it, and median and bands of what was not.

    Bands hold 50 % and 90 % of the draws. Those of an interpolation are drawn across its gaps.

    Args:
        found: What `ppgm.forecast` or `ppgm.interpolate` returned.
        row: Which row.
        feature: Which column of it.
        truth: What came in fact at the times of the draws, ``(S,)``, if it is known, in the
            units of the picture; NaN where it is not.
        first: Time of the row's first step, as a year.
        back: Function from the units of the data to those of the picture, as an exponential.
        x: Label of the times.
        y: Label of the values, with their unit.
        colour: Colour of the draws.
        title: Title of the picture.
        axes: Axes to draw in, without a legend; by default those of a new picture.

    Returns:
        The picture.

    Raises:
        DataError: If there are no draws of the data, as from `ppgm.smooth`.
        ArgumentError: If there is no such row or column, or `truth` has another shape.
    """
    draws, times, seen = _column(found, row, feature)
    if truth is not None and np.shape(truth) != times.shape:
        raise ArgumentError(f"truth must have the shape {times.shape}, not {np.shape(truth)}")
    back = back or np.asarray
    own = axes is None
    if axes is None:
        axes = single(6.4, 3.2, title)[1]
        style(axes, x, y)
    axes.plot(first + np.arange(len(seen)), back(seen), color=INK, lw=1.2, label="seen")
    if truth is not None:
        circles = {"ms": 3.2, "mfc": "white", "mec": QUIET, "mew": 0.9, "label": "what came"}
        axes.plot(first + times, truth, "o", zorder=3, **circles)
    values = back(draws)
    for low, high, alpha in BANDS:
        edges = np.quantile(values, [low, high], axis=0)
        band = {"alpha": alpha, "lw": 0, "label": f"{high - low:.0%} of the draws"}
        axes.fill_between(first + times, *edges, color=colour, **band)
    axes.plot(first + times, np.median(values, 0), color=colour, lw=1.6, label="median")
    if own:
        legend(axes, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=5)
    return axes.figure


def _column(
    found: Trajectories, row: int, feature: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns draws ``(draws, S)``, their times, and what was seen, ``(T,)``.

    In a row with gaps the draws are NaN away from them, so that nothing is drawn there; next to a
    gap they are what was seen, where bands begin and end.
    """
    if found.x is None:
        raise DataError(
            "there are no draws of the data to show: ppgm.forecast and ppgm.interpolate make them"
        )
    rows, features = found.x.shape[1], found.x.shape[3]
    if not (0 <= row < rows and 0 <= feature < features):
        raise ArgumentError(
            f"row must be below {rows} and feature below {features}, not {row} and {feature}"
        )
    draws, times = found.x[:, row, :, feature], found.times[row]
    seen = found.observed[row, :, feature]
    if found.attrs["inference_method"] != "interpolation":
        return draws, times, seen
    gap = np.isnan(seen)
    near = gap | np.append(gap[1:], False) | np.append(False, gap[:-1])
    return np.where(near, draws, np.nan), times, seen
