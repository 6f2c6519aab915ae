"""Data for the command line: a name of `ppgm.data`, or a file of one's own."""

__all__ = ["FILES", "SUMMARIES", "columns", "for_model", "load"]

import csv
import inspect
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ppgm import data as sets
from ppgm.data import Dataset
from ppgm.errors import ArgumentError, DataError, did_you_mean

FILES = (".npz", ".npy", ".csv")
SUMMARIES = {
    "digits": "1797 hand-written digits of 8 x 8 pixels, bundled with scikit-learn",
    "mnist": "70000 hand-written digits of 28 x 28 pixels, from files or OpenML",
    "fashion-mnist": "70000 clothes of 28 x 28 pixels, from files or OpenML",
    "mnist-static": "MNIST's fixed binarisation, from a file",
    "dna": "3186 splice junctions of 180 bits, from a file",
    "mushrooms": "8124 mushrooms, 112 bits of traits, from a file",
    "jsb-chorales": "382 chorales, 88 keys at each step, from a file",
    "linear-states": "5000 noisy views of linear-Gaussian states, 25 steps, with exact answers",
    "sunspots": "309 yearly numbers of sunspots, 1700 to 2008, bundled",
    "two-moons": "two interleaving half circles in the plane",
    "ring": "8 Gaussians on a circle, with modes to count",
    "grid": "25 Gaussians on a lattice, with modes to count",
    "eight-gaussians": "8 overlapping Gaussians on a circle",
    "checkerboard": "8 squares of a checkerboard, evenly filled",
    "protein": "45730 proteins, 10 columns, from a file",
}
Part = dict[str, np.ndarray]
HELD_OUT = 5
"""One row in five of a file is held out, unless the file has arrays "train" and "test"."""


def load(source: str, *, binarise: str | None = None, seed: int = 0) -> Dataset:
    """Loads a data set by name or from a file.

    A .npy file holds rows ``(N, ...)``; a .csv file numbers, with or without a line of titles;
    a .npz file the arrays "train" and "test", or one array of rows, or "x" and, by row, what else
    the model takes, such as "lengths" and "mask" of sequences ``(N, T, D)``.

    Args:
        source: A name of `ppgm.data.names`, or a path.
        binarise: As in `ppgm.data.load`, for names only.
        seed: Seed of the data set, for names only.

    Raises:
        DataError: The file cannot be used; names file, row and column.
    """
    if source in sets.names():
        return sets.load(source, binarise=binarise, seed=seed)
    path = Path(source)
    if path.suffix.lower() not in FILES:
        raise ArgumentError(
            f"data must be one of {', '.join(sets.names())} or a file that ends in "
            f"{', '.join(FILES)}, not '{source}'{did_you_mean(source, sets.names())}"
        )
    if binarise is not None:
        raise ArgumentError(f"binarise is for named data sets: leave it out for '{source}'")
    return _from_file(path)


def for_model(dataset: Dataset, cls: Any) -> Dataset:
    """Gives a model the data as it takes them.

    Rows are called what it calls them (an RBM calls them "v"), and are flat, but for models of
    sequences, which take "lengths". What it does not take is left out, and the description says
    so.
    """
    names = [n for n in inspect.signature(cls.model).parameters if n not in ("self", "ppl")]
    if not names or "x" not in dataset.train:
        return dataset
    first = "x" if "x" in names else names[0]
    flat, own = "lengths" not in names, {"x", *names}
    found = [{n: v for n, v in p.items() if n in own} for p in (dataset.train, dataset.test)]
    train, test = (
        {(first if n == "x" else n): _flat(v) if flat and n == "x" else v for n, v in part.items()}
        for part in found
    )
    rest = ", ".join(f"'{n}'" for n in dataset.train if n not in own)
    words = f"{dataset.description}; {cls.__name__} takes no {rest}"
    return dataset._replace(
        train=train, test=test, description=words if rest else dataset.description
    )


def _flat(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(len(rows), -1)


def columns(dataset: Dataset) -> int:
    """Returns D, the last axis of rows ``(N, D)`` and of sequences ``(N, T, D)``."""
    part = dataset.train
    return int(np.shape(part.get("x", next(iter(part.values()))))[-1])


def _from_file(path: Path) -> Dataset:
    if not path.is_file():
        raise DataError(f"there is no file '{path}'")
    reader = {".npz": _read_npz, ".npy": _read_npy, ".csv": _read_csv}[path.suffix.lower()]
    try:
        train, test = reader(path)
    except (OSError, ValueError, EOFError, BadZipFile, UnicodeDecodeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"'{path}' cannot be read: {_first_line(error)}") from error
    return Dataset(
        str(path),
        train=train,
        test=test,
        shape=train["x"].shape[1:],
        description=f"{len(train['x'])} rows to fit and {len(test['x'])} held out",
        source=str(path),
    )


def _read_npy(path: Path) -> tuple[Part, Part]:
    with path.open("rb") as file:
        return _split({"x": _rows(path, "its array", np.load(file, allow_pickle=False))})


def _read_npz(path: Path) -> tuple[Part, Part]:
    # np.load leaves a damaged file open when it opens it itself
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if {"train", "test"} <= set(arrays):
        train, test = (_rows(path, f"'{n}'", arrays[n]) for n in ("train", "test"))
        if train.shape[1:] != test.shape[1:]:
            raise DataError(
                f"'{path}': rows of 'train' have shape {train.shape[1:]}, of 'test' "
                f"{test.shape[1:]}: they must be alike"
            )
        return {"x": train}, {"x": test}
    if len(arrays) != 1 and "x" not in arrays:
        raise DataError(
            f"'{path}' has the arrays {sorted(arrays)}: expected 'train' and 'test', 'x', or a "
            "single one"
        )
    name = "x" if "x" in arrays else next(iter(arrays))
    x = _rows(path, f"'{name}'", arrays.pop(name))
    for other, array in arrays.items():
        if array.shape[:1] != x.shape[:1]:
            raise DataError(
                f"'{path}': '{other}' has the shape {array.shape}, and 'x' {len(x)} rows: give "
                f"'{other}' by row, or leave it out"
            )
    return _split({"x": x, **arrays})


def _read_csv(path: Path) -> tuple[Part, Part]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        lines = [(reader.line_num, cells) for cells in reader if any(c.strip() for c in cells)]
    titles: list[str] = []
    if lines and all(_number(cell) is None for cell in lines[0][1]):
        titles = lines.pop(0)[1]
    if not lines:
        raise DataError(f"'{path}' has no rows of numbers")
    x = np.array([_csv_row(path, at, cells, lines, titles) for at, cells in lines])
    return _split({"x": x})


def _csv_row(
    path: Path, at: int, cells: list[str], lines: list[tuple[int, list[str]]], titles: list[str]
) -> np.ndarray:
    width = len(lines[0][1])
    if len(cells) != width:
        raise DataError(
            f"'{path}', line {at}: {len(cells)} columns, where the first row has {width}"
        )
    values = [_number(cell) for cell in cells]
    for i, (cell, value) in enumerate(zip(cells, values, strict=True)):
        if value is None or not np.isfinite(value):
            title = f" ('{titles[i].strip()}')" if i < len(titles) else ""
            raise DataError(
                f"'{path}', line {at}, column {i + 1}{title}: '{cell.strip()}' is not a finite "
                "number: correct it, or leave the row out"
            )
    return np.array(values, np.float32)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _rows(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """Checks that an array has rows of finite numbers; returns it as float32."""
    if array.dtype.kind not in "fiub" or array.ndim < 2 or not array.size:
        raise DataError(
            f"'{path}': {name} is {array.dtype} of shape {array.shape}: expected numbers of "
            "shape (rows, columns)"
        )
    if not np.isfinite(array).all():
        row, *column = np.argwhere(~np.isfinite(array))[0].tolist()
        raise DataError(
            f"'{path}': {name} is {array[(row, *column)]} in row {row}, column "
            f"{', '.join(map(str, column))} (counted from 0): correct it, or leave the row out"
        )
    return array.astype(np.float32)


def _split(rows: Part) -> tuple[Part, Part]:
    """Holds out one row in five, the same ones each time."""
    count = len(rows["x"])
    if count < HELD_OUT:
        raise DataError(f"there are {count} rows: at least {HELD_OUT} are needed")
    order, size = np.random.default_rng(0).permutation(count), count // HELD_OUT
    kept, held = np.sort(order[size:]), np.sort(order[:size])
    return {n: a[kept] for n, a in rows.items()}, {n: a[held] for n, a in rows.items()}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
