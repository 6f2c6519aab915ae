"""Tables of real columns: split by rows, standardised by what is trained on.

A row that a table has several times is in one split only, so that no held-out row was trained
on. Columns of whole numbers get uniform noise from their value to the next, since a density has
no upper bound on a lattice; then every column has mean 0 and deviation 1 on the training rows,
which `Dataset.loc` and `Dataset.scale` tell. A density of the columns as they were measured is
that of the standardised ones divided by the product of the scales.

References:
    | Physicochemical Properties of Protein Tertiary Structure (Rana, 2013), UCI,
    | https://doi.org/10.24432/C5QW3H
    | Columns dequantised and standardised as in: Masked Autoregressive Flow for Density
    | Estimation (Papamakarios, Pavlakou & Murray, 2017), https://arxiv.org/abs/1705.07057
"""

__all__ = ["TABLES", "table"]

from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from ppgm.data.dataset import Dataset
from ppgm.data.folders import folder_of, place_of
from ppgm.errors import DataError

SHARES = (0.8, 0.1)
"""Shares of the distinct rows to train on and to validate on; the rest is held out."""


class _Table(NamedTuple):
    """A file: its name, the name of its array, the number of columns."""

    name: str
    array: str
    columns: int
    description: str


TABLES = {
    "protein": _Table("protein.npz", "x", 10, "UCI protein tertiary structure, 10 columns"),
}


def table(name: str, *, seed: int = 0, folder: Path | str | None = None) -> Dataset:
    """Loads a table of `TABLES` in splits for training, validation and testing.

    Args:
        name: Its name.
        seed: Seed of the splits and of the noise on whole numbers.
        folder: Folder of its file; by default the environment variable ``PPGM_DATA``.

    Raises:
        DataError: If the file is missing or damaged.
    """
    file, place = TABLES[name], folder_of(folder)
    path = None if place is None else place / file.name
    if path is None or not path.is_file():
        raise DataError(
            f"{name} needs the file {file.name} (array {file.array}, shape (N, {file.columns})) "
            f"in {place_of(place)}"
        )
    x = _read(path, file)
    rng = np.random.default_rng(seed)
    splits = _split(x, rng)
    whole = (x == np.round(x)).all(axis=0)
    noisy = x + rng.random(x.shape) * whole
    train = noisy[splits[0]]
    loc, scale = train.mean(axis=0), train.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    parts = [((noisy[rows] - loc) / scale).astype(np.float32) for rows in splits]
    return Dataset(
        name,
        train={"x": parts[0]},
        test={"x": parts[2]},
        shape=(file.columns,),
        description=f"{file.description}, standardised by the training rows",
        source=str(path),
        validation={"x": parts[1]},
        loc=loc,
        scale=scale,
    )


def _split(x: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Returns the rows of each split, in random order; equal rows are in the same one."""
    group = np.unique(x, axis=0, return_inverse=True)[1].reshape(-1)
    count = int(group.max()) + 1
    place = rng.permutation(count)[group]
    cuts = np.cumsum([round(share * count) for share in SHARES])
    split = np.searchsorted(cuts, place, side="right")
    order = rng.permutation(len(x))
    return [order[split[order] == k] for k in range(len(SHARES) + 1)]


def _read(path: Path, file: _Table) -> np.ndarray:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            x = np.asarray(held[file.array], np.float64)
        if x.ndim != 2 or x.shape[1] != file.columns or len(x) < 10 or not np.isfinite(x).all():
            raise ValueError(f"it has shape {x.shape}, or values that are not finite")
    except (BadZipFile, KeyError, ValueError, TypeError, EOFError, OSError) as error:
        raise DataError(
            f"{path} is damaged or is another file: it should hold the array {file.array} of "
            f"shape (N, {file.columns}), finite numbers ({error})"
        ) from error
    return x
