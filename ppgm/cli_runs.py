"""Run folders of the command line: a saved fit that remembers its data."""

__all__ = ["Run", "opened", "remember"]

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import ppgm
from ppgm import cli_data
from ppgm.data import Dataset
from ppgm.errors import ArgumentError
from ppgm.fits import Fit


class Run(NamedTuple):
    """A run folder.

    Attributes:
        folder: The folder.
        fit: The fit in it.
        data: The data set that it was trained on, or that was asked for in its place.
    """

    folder: Path
    fit: Fit
    data: Dataset

    def split(self, name: str, rows: int | None = None) -> dict[str, np.ndarray]:
        """Returns the "train" or "test" split, or its first rows."""
        part = self.data.train if name == "train" else self.data.test
        return part if rows is None else {k: v[:rows] for k, v in part.items()}

    def labels(self, name: str) -> np.ndarray | None:
        """Returns the classes of the rows of a split, or None."""
        return self.data.train_labels if name == "train" else self.data.test_labels


def remember(fit: Fit, source: str, binarise: str | None, seed: int) -> Fit:
    """Returns the fit with its data set written into its configuration."""
    facts = {"source": source, "binarise": binarise, "seed": seed}
    return fit._replace(config={**fit.config, "data": facts})


def opened(folder: str | Path, *, data: str | None = None, host: str | None = None) -> Run:
    """Opens a run folder.

    Args:
        folder: The folder.
        data: Data set to use in place of the one that the run remembers.
        host: Host to load the run on; its own by default.

    Raises:
        StorageError: The folder holds no run.
        ArgumentError: The run was saved without its data set, and none is given.
    """
    fit = ppgm.load(folder, host=host)
    facts: Any = fit.config.get("data") if data is None else {"source": data}
    if not isinstance(facts, dict):
        raise ArgumentError(f"{folder} does not say what data it was trained on: add --data")
    dataset = cli_data.load(**facts)
    return Run(Path(folder), fit, cli_data.for_model(dataset, type(fit.program.declaration)))
