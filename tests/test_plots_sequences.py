"""Pictures of sequences show the quantiles of the draws at their times."""

import numpy as np
import pytest

from ppgm import plots
from ppgm.errors import ArgumentError, DataError
from ppgm.trajectories import Trajectories

pytest.importorskip("matplotlib")


def trajectories(rng, kind="forecast"):
    """Two rows of four steps, the second seen for three; forecasts of three more."""
    seen = rng.normal(size=(2, 4, 2))
    seen[1, 3] = np.nan
    if kind == "interpolation":
        seen[0, 1] = np.nan
        x = np.where(np.isnan(seen), rng.normal(size=(50, 2, 4, 2)), seen)
        x[:, 1, 3] = np.nan  # after the end of its row
        times = np.broadcast_to(np.arange(4), (2, 4))
    else:
        x, times = rng.normal(size=(50, 2, 3, 2)), np.array([[4, 5, 6], [3, 4, 5]])
    facts = {"inference_method": kind, "host": "numpyro", "seed": 0}
    return Trajectories(np.zeros((*x.shape[:3], 1)), x, times, seen, facts)


def shown(figure):
    """Lines, and lower and upper edges of the bands, by label."""
    axes = figure.axes[0]
    lines = {line.get_label(): np.array(line.get_data()) for line in axes.lines}
    bands = {b.get_label(): [p.vertices for p in b.get_paths()] for b in axes.collections}
    return lines, bands


def test_forecast_shows_the_quantiles_of_the_row_asked_for(rng):
    found = trajectories(rng)
    truth = np.array([1.0, 2.0, np.nan])
    figure = plots.forecast(found, row=1, feature=1, truth=truth, first=1900, back=np.exp)
    lines, bands = shown(figure)
    np.testing.assert_array_equal(
        lines["seen"], [range(1900, 1904), np.exp(found.observed[1, :, 1])]
    )
    draws = np.exp(found.x[:, 1, :, 1])
    np.testing.assert_array_equal(lines["median"], [[1903, 1904, 1905], np.median(draws, 0)])
    np.testing.assert_array_equal(lines["what came"], [[1903, 1904, 1905], truth])
    for label, levels in (("90% of the draws", (0.05, 0.95)), ("50% of the draws", (0.25, 0.75))):
        (path,) = bands[label]
        low, high = np.quantile(draws, levels, axis=0)
        for time, a, b in zip((1903, 1904, 1905), low, high, strict=True):
            edges = path[path[:, 0] == time, 1]
            assert (edges.min(), edges.max()) == pytest.approx((a, b))
    assert len(figure.axes[0].get_legend().get_texts()) == 5


def test_interpolation_is_shown_across_its_gap_only(rng):
    found = trajectories(rng, "interpolation")
    lines, bands = shown(plots.forecast(found))
    np.testing.assert_array_equal(np.isnan(lines["median"][1]), [False, False, False, True])
    ends = found.observed[0, [0, 2], 0]
    np.testing.assert_array_equal(lines["median"][1, [0, 2]], ends)
    assert len(bands["90% of the draws"]) == 1


def test_several_rows_share_axes_without_a_legend_of_their_own(rng):
    found = trajectories(rng)
    figure = plots.forecast(found)
    axes = figure.axes[0]
    count = len(axes.lines)
    assert plots.forecast(found, row=1, axes=axes) is figure
    assert len(axes.lines) == 2 * count
    assert figure.axes == [axes]


def test_what_cannot_be_shown_is_refused(rng):
    found = trajectories(rng)
    with pytest.raises(
        ArgumentError, match="row must be below 2 and feature below 2, not 2 and 0"
    ):
        plots.forecast(found, row=2)
    with pytest.raises(ArgumentError, match=r"truth must have the shape \(3,\), not \(2,\)"):
        plots.forecast(found, truth=np.zeros(2))
    with pytest.raises(DataError, match="ppgm.forecast and ppgm.interpolate"):
        plots.forecast(found._replace(x=None))
