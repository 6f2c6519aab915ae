"""What the comparisons share: arguments, equal minutes, rows of all kinds, paired differences."""

from argparse import ArgumentParser
from time import process_time
from typing import Any

import numpy as np

import ppgm


def arguments(*files: str) -> ArgumentParser:
    """Returns a parser of what every comparison takes.

    Args:
        files: Names of the data sets that need a folder of files, beside the bundled digits.
    """
    parser = ArgumentParser()
    parser.add_argument("--data", default="digits", choices=("digits", *files))
    parser.add_argument("--folder", help="folder of the data's files")
    parser.add_argument("--host", default="numpyro", choices=("numpyro", "pyro"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a small net and next to no training")
    return parser


def train_for(
    minutes: float, program: ppgm.Program, data: dict[str, Any], objective: Any, **options: Any
) -> ppgm.Fit:
    """Trains for some minutes of the processor, at least two epochs.

    What else runs on the machine then matters little. The first epoch compiles and does not
    count; the second tells how long one takes.
    """
    options = {"progress": False, **options}
    fit = ppgm.fit(program, data, objective, epochs=1, **options)
    began = process_time()
    fit = ppgm.fit(fit, data, objective, epochs=1, **options)
    more = int(60 * minutes / (process_time() - began)) - 1
    if more < 1:
        return fit
    return ppgm.fit(fit, data, objective, epochs=more, **options)


def spread(x: np.ndarray, count: int | None) -> np.ndarray:
    """Returns `count` rows at equal distances: files may be sorted, as static MNIST is in part."""
    if count is None or count >= len(x):
        return x
    return x[np.linspace(0, len(x) - 1, count).astype(int)]


def paired(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Returns the mean of a - b, row by row, and its standard error."""
    gap = a - b
    return float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap)))
