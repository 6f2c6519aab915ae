"""Sets of binary rows that come with three splits, from files of packed bits.

Reported log-likelihoods of these sets are of these very splits.

References:
    | Static MNIST and the UCI sets as split in: The Neural Autoregressive Distribution Estimator
    | (Larochelle & Murray, 2011), https://proceedings.mlr.press/v15/larochelle11a
"""

__all__ = ["PACKED", "packed"]

from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from ppgm.data.dataset import Dataset
from ppgm.data.folders import folder_of, place_of
from ppgm.errors import DataError


class _File(NamedTuple):
    """A file: its name, the names of its splits, the columns and shape of a row."""

    name: str
    splits: tuple[str, str, str]
    columns: int
    shape: tuple[int, ...]
    description: str


UCI = ("train_data", "valid_data", "test_data")
PACKED = {
    "mnist-static": _File(
        "mnist_static_binarized.npz", ("train", "valid", "test"), 784, (28, 28),
        "MNIST, the fixed binarisation of Larochelle & Murray (2011)",
    ),
    "dna": _File("dna.npz", UCI, 180, (180,), "UCI splice junctions, 60 bases of 3 bits"),
    "mushrooms": _File("mushrooms.npz", UCI, 112, (112,), "UCI mushrooms, traits one-hot"),
}  # fmt: skip


def packed(name: str, *, folder: Path | str | None) -> Dataset:
    """Loads the splits for training, validation and testing of a set of `PACKED`, no labels."""
    file, place = PACKED[name], folder_of(folder)
    path = None if place is None else place / file.name
    if path is None or not path.is_file():
        raise DataError(
            f"{name} needs the file {file.name} (arrays {', '.join(file.splits)}; rows of "
            f"{file.columns} bits packed by numpy.packbits) in {place_of(place)}"
        )
    train, validation, test = _unpacked(path, file)
    return Dataset(
        name,
        train={"x": train},
        test={"x": test},
        shape=file.shape,
        description=file.description,
        source=str(path),
        validation={"x": validation},
    )


def _unpacked(path: Path, file: _File) -> list[np.ndarray]:
    width = -(-file.columns // 8)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            arrays = [held[key] for key in file.splits]
        if any(a.ndim != 2 or a.shape[1] != width for a in arrays):
            raise ValueError(f"they have shapes {[a.shape for a in arrays]}")
        rows = [np.unpackbits(array, axis=1)[:, : file.columns] for array in arrays]
    except (BadZipFile, KeyError, ValueError, TypeError, EOFError, OSError) as error:
        raise DataError(
            f"{path} is damaged or is another file: it should hold byte arrays "
            f"{', '.join(file.splits)} of shape (N, {width}) ({error})"
        ) from error
    return [array.astype(np.float32) for array in rows]
