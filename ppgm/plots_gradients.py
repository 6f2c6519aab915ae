"""Pictures of the gradient microscope."""

__all__ = ["gradients"]

from typing import TYPE_CHECKING

import numpy as np

from ppgm.plots_style import cycle, empty, legend, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import Dataset


def gradients(found: "Dataset", *, title: str = "") -> "Figure":
    """Draws variance and signal-to-noise ratio of each estimator by group of parameters.

    Args:
        found: What `ppgm.gradients` returned.
        title: Title of the picture.
    """
    groups, names = list(found.group.values), list(found.estimator.values)
    figure = empty(8.1, 0.9 + 0.34 * len(groups) + 0.22 * len(names), title)
    axes = figure.subplots(1, 2, sharey=True)
    height = np.arange(len(groups))[::-1]
    labels = [f"{g} ({s})" if s else g for g, s in zip(groups, found.site.values, strict=True)]
    for key, words, one in zip(
        ("variance", "snr"), ("variance of a draw", "signal-to-noise ratio"), axes, strict=True
    ):
        style(one, words, "")
        for i, (name, colour) in enumerate(zip(names, cycle(len(names)), strict=True)):
            value = found[key].values[i]
            shown = np.isfinite(value) & (value > 0)
            shift = 0.5 * (i / max(len(names) - 1, 1) - 0.5)
            one.scatter(value[shown], (height - shift)[shown], s=26, color=colour, label=name)
        one.set_xscale("log")
    axes[0].set_yticks(height, labels)
    legend(axes[1], loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
