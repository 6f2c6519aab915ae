r"""Sunspots for one and two cycles to come: linear-Gaussian states against a deep Kalman filter.

.. math::
    x_t = \max(0, m + s y_t)^2, \quad y_t \sim p(y | z_t), \quad z_t \sim p(z | z_{t-1})

Both models learn from windows of 44 years up to 1920. From every year of 1921 to 1998 they see the
44 years before it, by "lengths", and forecast 11 and 22 years; and they fill in 11 missing years
in the middle of windows of the years from 1921 on. They are compared by the continuous ranked
probability score, in sunspots, and by how often the interval of 90 % holds what came, with two
plain answers: any year of those up to 1920 ("climatology"), and the year at the same phase one or
two cycles ago, give or take what such a guess was off by up to 1920. Forecasts from neighbouring
years share most of their truth: errors are those of the means of blocks of 11.

Run ``python examples/forecasts.py --out forecasts.png``. The linear model has 4 states by
forecasts of 1877 to 1920 from models of the years before, of 2, 3, 4 and 6; of the deep one two
guides were tried on the years to train on, ST-R and ST-LR, and no other sizes. ``--arviz FILE.nc``
keeps its draws for ArviZ, with a dimension of time.

References:
    | Structured Inference Networks for Nonlinear State Space Models (Krishnan, Shalit & Sontag,
    | 2017), https://arxiv.org/abs/1609.09869
    | Strictly Proper Scoring Rules, Prediction, and Estimation (Gneiting & Raftery, 2007),
    | https://doi.org/10.1198/016214506000001437
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import arguments, paired

import ppgm
from ppgm import plots, tables
from ppgm.data import missing
from ppgm.inference import ELBO, Anneal
from ppgm.models import DKF, Gaussian, LinearGaussianSSM
from ppgm.optimisers import Adam
from ppgm.trajectories import Trajectories

FIRST, SPLIT, LAST = 1700, 1921, 2008
PAST, CYCLE, AHEAD = 44, 11, 22
COLOURS = {"linear-Gaussian": "#2368a2", "DKF": "#e07a1f"}
ORIGINS = (1921, 1948, 1975)
"""Years from which forecasts are drawn: their 22 years do not overlap."""
MIDDLE, GAPPY = (PAST - CYCLE) // 2, 1943
"""Step at which gaps begin, and first year of the window whose gap is drawn."""


class Series(NamedTuple):
    """The years as numbers of sunspots, and what makes the models' data of them."""

    x: np.ndarray
    loc: float
    scale: float

    @property
    def y(self) -> np.ndarray:
        """Standardised square roots."""
        return (np.sqrt(self.x) - self.loc) / self.scale

    def back(self, y: np.ndarray) -> np.ndarray:
        """Returns numbers of sunspots."""
        return np.maximum(self.loc + self.scale * y, 0) ** 2


def load() -> Series:
    """Returns all years, and location and scale of those to train on."""
    data = ppgm.data.load("sunspots")
    early, late = (part["x"][0, :, 0].astype(float) for part in (data.train, data.test))
    root = np.sqrt(early)
    return Series(np.concatenate([early, late]), root.mean(), root.std())


def windows(values: np.ndarray, starts: np.ndarray, size: int) -> np.ndarray:
    """Returns the values of `size` years from each start on, NaN for years that are not known."""
    longer = np.append(values, np.full(AHEAD, np.nan))
    return longer[(starts - FIRST)[:, None] + np.arange(size)]


def gaps(y: np.ndarray, at: np.ndarray) -> dict[str, np.ndarray]:
    """Returns windows without the cycle from each row's own step on."""
    step = np.arange(y.shape[1])
    gone = (at[:, None] <= step) & (step < at[:, None] + CYCLE)
    return missing(np.where(gone, np.nan, y)[..., None].astype(np.float32))


def train(y: np.ndarray, *, host: str, seed: int, smoke: bool) -> dict[str, ppgm.Fit]:
    """Trains both models on windows.

    The exact guide of the linear-Gaussian model is right whatever is missing. The networks of the
    deep Kalman filter's have to see gaps to know what to do with them.
    """
    starts = np.arange(FIRST, SPLIT - PAST + 1)
    rows = windows(y, starts, PAST)
    whole = {"x": rows[..., None].astype(np.float32)}
    # a gap anywhere, also beyond the end, which leaves the window whole
    where = np.random.default_rng(seed).integers(0, 2 * PAST, 4 * len(rows))
    holes = gaps(np.tile(rows, (4, 1)), where)
    options = {"batch_size": 32, "seed": seed, "progress": False}
    linear = LinearGaussianSSM(features=1, latent=2 if smoke else 4)
    deep = DKF(
        features=1, latent=4, hidden=(4,) if smoke else (32,), emitter=(), activation="tanh",
        likelihood=Gaussian(0.2), guide="ST-LR", rnn=4 if smoke else 32, indicator=True,
    )  # fmt: skip
    steps = 3 if smoke else 5000
    return {
        "linear-Gaussian": ppgm.fit(
            ppgm.program(linear, host=host), whole, ELBO(), steps=3 if smoke else 600,
            optimiser=Adam(0.03), **options,
        ),
        "DKF": ppgm.fit(
            ppgm.program(deep, host=host), holes, ELBO(beta=Anneal(0.1, 1.0, steps // 2)),
            steps=steps, optimiser=Adam(3e-3, clip_norm=10.0), **options,
        ),
    }  # fmt: skip


def plain(series: Series, origins: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yields name and values ``(draws, N, 22)`` of the two plain forecasts."""
    early = series.x[: SPLIT - FIRST]
    shape = (len(early), len(origins), AHEAD)
    yield "climatology", np.broadcast_to(early[:, None, None], shape)
    parts = []
    for lag in (CYCLE, 2 * CYCLE):
        before = windows(series.y, origins - CYCLE, CYCLE)
        y = series.y[: SPLIT - FIRST]
        off = (y[lag:] - y[:-lag])[2 * CYCLE - lag :]
        parts.append(series.back(before + off[:, None, None]))
    yield "a cycle ago", np.concatenate(parts, axis=2)


def crps(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns the scores of truths ``(N, S)`` under the distributions of draws, NaN if unknown.

    E |X - x| - E |X - X'| / 2, the latter by ranks.
    """
    n = len(draws)
    weights = (2 * np.arange(1, n + 1) - n - 1) / n**2
    return np.abs(draws - truth).mean(0) - np.tensordot(weights, np.sort(draws, 0), 1)


def inside(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns whether the interval of 90 % holds each truth, NaN if unknown."""
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return np.where(np.isnan(truth), np.nan, (low <= truth) & (truth <= high))


def blocks(values: np.ndarray) -> np.ndarray:
    """Returns means of blocks of 11 rows ``(N, S)`` of which everything is known."""
    means = values.mean(1)
    means = means[~np.isnan(means)]
    return means[: len(means) // CYCLE * CYCLE].reshape(-1, CYCLE).mean(1)


def compare(draws: dict[str, np.ndarray], truth: np.ndarray, title: str) -> list[tuple[str, ...]]:
    """Returns rows of the table, with paired gains on climatology and on the linear model."""
    scores = {name: blocks(crps(values, truth)) for name, values in draws.items()}
    first, rows = next(iter(scores.values())), []
    for name, score in scores.items():
        held = blocks(inside(draws[name], truth))
        gain = "" if score is first else tables.measured(*paired(first, score))
        deep = tables.measured(*paired(scores["linear-Gaussian"], score)) if name == "DKF" else ""
        share = tables.measured(100 * held.mean(), 100 * held.std(ddof=1) / len(held) ** 0.5, 0)
        rows.append((title, name, tables.number(score.mean()), gain, deep, share))
    return rows


def picture(
    series: Series, found: dict[str, Trajectories], filled: dict[str, Trajectories],
    origins: np.ndarray, starts: np.ndarray, path: Path,
) -> None:  # fmt: skip
    """Saves forecasts from three years, and years that were filled in, a row for each model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), dpi=160, layout="constrained")
    grid: Any = figure.subplots(2, 2, sharey=True, sharex="col", width_ratios=[2.2, 1])
    years, gap = np.arange(FIRST, LAST + 1), GAPPY + MIDDLE + np.arange(CYCLE)
    for (left, right), (name, colour) in zip(grid, COLOURS.items(), strict=True):
        shown = {"back": series.back, "colour": colour}
        for i in np.flatnonzero(np.isin(origins, ORIGINS)):
            first = int(origins[i]) - PAST
            plots.forecast(found[name], row=int(i), first=first, axes=left, **shown)
            left.axvline(origins[i] - 0.5, color="#5f6c7b", lw=0.8, ls=(0, (4, 3)))
        row = int(np.flatnonzero(starts == GAPPY)[0])
        plots.forecast(filled[name], row=row, first=GAPPY, axes=right, **shown)
        for axes, part in ((left, years >= SPLIT), (right, np.isin(years, gap))):
            dots = {"ms": 3.2, "mfc": "white", "mec": "#1f2933", "mew": 0.8, "zorder": 4}
            axes.plot(years[part], series.x[part], "o", **dots)
            axes.grid(color="#e4e9ee", lw=0.8)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        left.set(ylabel="sunspot number, yearly mean", ylim=(0, None), xlim=(1899, LAST + 1))
        words = f"{name}: 22 years from each dashed line, given 44 before it"
        left.set_title(words, loc="left", size=10)
        right.set_title(f"{name}: 11 missing years", loc="left", size=10)
    for axes in grid[-1]:
        axes.set_xlabel("year")
    figure.legend(*marks(), loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    figure.savefig(path)


def marks() -> tuple[list[Any], list[str]]:
    """Returns marks and words of a legend for both models: their bands are grey in it."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    grey = "#5f6c7b"
    dot = {"marker": "o", "ls": "", "ms": 3.2, "mfc": "white", "mec": "#1f2933"}
    found = {
        "seen by the model": Line2D([], [], color="#1f2933", lw=1.2),
        "held out": Line2D([], [], **dot),
        "median": Line2D([], [], color=grey, lw=1.6),
        "50 % of the draws": Patch(color=grey, alpha=0.46, lw=0),
        "90 % of the draws": Patch(color=grey, alpha=0.18, lw=0),
    }
    return list(found.values()), list(found)


def main() -> None:
    """Prints a table, and saves a picture."""
    parser = arguments()
    parser.add_argument("--draws", type=int, default=1000, help="draws of each forecast")
    parser.add_argument("--out", type=Path, help="a .png for the picture")
    parser.add_argument("--arviz", type=Path, help="a .nc for the DKF's forecasts")
    args = parser.parse_args()
    series = load()
    options = {"draws": 50 if args.smoke else args.draws, "seed": args.seed}
    fits = train(series.y, host=args.host, seed=args.seed, smoke=args.smoke)

    origins = np.arange(SPLIT, LAST - CYCLE + 2)
    rows = np.nan_to_num(windows(series.y, origins - PAST, PAST + AHEAD))
    cut = {"x": rows[..., None].astype(np.float32), "lengths": np.full(len(rows), PAST)}
    found = {n: ppgm.forecast(fit, cut, steps=AHEAD, **options) for n, fit in fits.items()}
    draws = dict(plain(series, origins))
    draws |= {name: series.back(f.x[..., 0]) for name, f in found.items() if f.x is not None}
    truth, table = windows(series.x, origins, AHEAD), []
    for steps in (CYCLE, AHEAD):
        part = {name: values[..., :steps] for name, values in draws.items()}
        table += compare(part, truth[:, :steps], f"{steps} years ahead")

    starts = np.arange(SPLIT, LAST - PAST + 2)
    holed = gaps(windows(series.y, starts, PAST), np.full(len(starts), MIDDLE))
    filled = {n: ppgm.interpolate(fit, holed, **options) for n, fit in fits.items()}
    gap = slice(MIDDLE, MIDDLE + CYCLE)
    any_year = draws["climatology"][:, : len(starts), :CYCLE]
    draws = {"climatology": any_year} | {
        name: series.back(f.x[:, :, gap, 0]) for name, f in filled.items() if f.x is not None
    }
    table += compare(draws, windows(series.x, starts + MIDDLE, CYCLE), f"{CYCLE} years missing")

    header = ("years", "by", "CRPS", "below climatology", "below linear", "in 90 %, of 100")
    print(tables.text(header, table))
    if args.arviz:  # dimensions chain, draw, row, time and feature, and what was seen
        found["DKF"].to_arviz().to_netcdf(args.arviz)
    if args.out:
        picture(series, found, filled, origins, starts, args.out)


if __name__ == "__main__":
    main()
