"""Pictures of the gradient microscope."""

__all__ = ["gradients"]

from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any

import numpy as np

from ppgm.plots_style import INK, cycle, empty, legend, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from xarray import Dataset


def gradients(found: "Dataset", *, title: str = "") -> "Figure":
    """Draws bias, variance, signal-to-noise ratio and cost of gradient estimators.

    A bias is drawn with its interval of 95 % to either side; one that cannot be told from none
    is an open triangle at the most that it can be. Without references there is no such panel.

    Args:
        found: What `ppgm.gradients` returned.
        title: Title of the picture.
    """
    groups, names = list(found.group.values), list(found.estimator.values)
    known = bool(np.isfinite(found.bias.values).any())
    count = 3 if known else 2
    figure = empty(3.3 + 2.4 * count, 0.9 + 0.34 * len(groups) + 0.22 * len(names), title)
    spec = figure.add_gridspec(1, count + 1, width_ratios=[1] * count + [0.7])
    first = figure.add_subplot(spec[0])
    axes = [first, *(figure.add_subplot(spec[i], sharey=first) for i in range(1, count))]
    cost = figure.add_subplot(spec[count])

    height = np.arange(len(groups))[::-1]
    for i, (name, colour) in enumerate(zip(names, cycle(len(names)), strict=True)):
        at = height - 0.5 * (i - (len(names) - 1) / 2) / max(len(names) - 1, 1)
        if known:
            _biases(axes[0], found.isel(estimator=i), at, colour)
        for one, key in zip(axes[-2:], ("variance", "snr"), strict=True):
            value = found[key].values[i]
            shown = np.isfinite(value) & (value > 0)
            one.scatter(value[shown], at[shown], s=26, color=colour, label=name)

    words = ("bias (open: at most)", "variance of a draw", "signal-to-noise ratio")[-count:]
    for one, label in zip(axes, words, strict=True):
        style(one, label, "")
        _logarithmic(one)
        one.tick_params(labelleft=one is first)
    labels = [f"{g} ({s})" if s else g for g, s in zip(groups, found.site.values, strict=True)]
    first.set_yticks(height, labels)
    first.set_ylim(-0.6, len(groups) - 0.4)
    _costs(cost, 1000 * found.seconds.values, names)
    legend(cost, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _biases(axes: "Axes", found: "Dataset", at: np.ndarray, colour: str) -> None:
    """Draws the biases of one estimator at the heights of its groups."""
    bias, low, high = (found[k].values for k in ("bias", "bias_low", "bias_high"))
    clear = low > 0
    most = ~clear & np.isfinite(high) & (high > 0)
    axes.scatter(bias[clear], at[clear], s=26, color=colour)
    axes.hlines(at[clear], low[clear], high[clear], color=colour, lw=1.2)
    axes.scatter(high[most], at[most], s=26, marker="<", facecolor="none", edgecolor=colour)


def _logarithmic(axes: "Axes") -> None:
    """Makes the axis of values logarithmic, with few labels that do not overlap."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(FixedLocator(_ticks(*axes.get_xlim())))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _ticks(low: float, high: float) -> list[float]:
    """Returns a few round numbers of a logarithmic axis."""
    first, last = floor(log10(low)), ceil(log10(high))
    stride = ceil((last - first) / 4)
    choices = [[10.0**n for n in range(first, last + 1, stride)]]
    for steps in ((1, 3), (1, 2, 5)):
        choices.append([s * 10.0**n for n in range(first, last + 1) for s in steps])
    for ticks in choices:
        inside = [t for t in ticks if low <= t <= high]
        if 2 <= len(inside) <= 4:
            return inside
    step = 10.0 ** floor(log10(high - low))
    step = next(s for s in (step / 2, step, 2 * step, 5 * step) if (high - low) / s <= 4)
    return [step * n for n in range(ceil(low / step), floor(high / step) + 1)]


def _costs(axes: "Axes", milliseconds: np.ndarray, names: list[Any]) -> None:
    """Draws the time of a draw, one bar for each estimator in the legend's order."""
    style(axes, "ms a draw", "")
    axes.grid(visible=False)
    for i, (value, colour) in enumerate(zip(milliseconds, cycle(len(names)), strict=True)):
        axes.barh(-i, value, height=0.6, color=colour, label=names[i])
        axes.annotate(
            f"{value:.3g}", (value, -i), xytext=(3, 0), textcoords="offset points", va="center",
            size=8, color=INK,
        )  # fmt: skip
    axes.set_xlim(0, 1.35 * max([*milliseconds, 1e-9]))
    axes.set_ylim(0.8 - max(len(names), 3), 0.8)
    axes.set_yticks([])
