"""Pictures: scikit-learn's digits, and the MNIST family from files or from OpenML."""

__all__ = ["digits", "mnist"]

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ppgm.data.binary import binary
from ppgm.data.dataset import Dataset
from ppgm.data.folders import folder_of, place_of
from ppgm.data.idx import read_idx
from ppgm.errors import DataError, missing

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
FOLDERS = {
    "mnist": ("mnist", "MNIST", "MNIST/raw"),
    "fashion-mnist": ("fashion-mnist", "FashionMNIST", "FashionMNIST/raw"),
}
OPENML = {"mnist": "mnist_784", "fashion-mnist": "Fashion-MNIST"}
OPENML_TRAIN = 60_000
DIGITS_TRAIN = 1500

Splits = dict[str, tuple[np.ndarray, np.ndarray]]  # "train" and "test": pictures and classes


def digits(*, binarise: str, seed: int) -> Dataset:
    """Loads 1797 digits of 8 x 8 pixels with 17 grey levels; 1500 of them are for training.

    The split is one fixed shuffle whatever the seed, so that runs can be compared.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise missing("scikit-learn", "data") from error

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    train, test = order[:DIGITS_TRAIN], order[DIGITS_TRAIN:]
    grey = (np.asarray(pixels) / 16).astype(np.float32)
    labels = np.asarray(labels)

    return _pictures(
        "digits",
        {"train": (grey[train], labels[train]), "test": (grey[test], labels[test])},
        shape=(8, 8),
        binarise=binarise,
        seed=seed,
        source="scikit-learn: load_digits (UCI ML hand-written digits)",
    )


def mnist(name: str, *, binarise: str, seed: int, folder: Path | str | None) -> Dataset:
    """Loads a data set of the MNIST family: 60000 and 10000 pictures of 28 x 28 pixels.

    With a folder (the argument or ``PPGM_DATA``) its IDX files are read, and nothing else is
    tried; without one, scikit-learn fetches the set from OpenML and caches it.
    """
    place = folder_of(folder)
    if place:
        raw, source = _from_files(name, place), str(place)
    else:
        raw, source = _from_openml(name), f"OpenML: {OPENML[name]}, version 1"

    scaled = {split: (_grey(images), labels) for split, (images, labels) in raw.items()}
    shape = raw["train"][0].shape[1:]
    return _pictures(name, scaled, shape=shape, binarise=binarise, seed=seed, source=source)


def _pictures(
    name: str,
    splits: Splits,
    *,
    shape: tuple[int, ...],
    binarise: str,
    seed: int,
    source: str,
) -> Dataset:
    (train, train_labels), (test, test_labels) = splits["train"], splits["test"]
    # Two seeds: with one, the noise of the test rows would repeat that of the first training rows.
    seeds = np.random.SeedSequence(seed).generate_state(2)
    return Dataset(
        name,
        train={"x": binary(train, binarise, int(seeds[0]))},
        test={"x": binary(test, binarise, int(seeds[1]))},
        shape=shape,
        description=f"{name}, pictures of {shape[0]} x {shape[1]} pixels, binarise='{binarise}'",
        source=source,
        train_labels=train_labels.astype(np.int64),
        test_labels=test_labels.astype(np.int64),
    )


def _grey(images: np.ndarray) -> np.ndarray:
    """Pictures of bytes, ``(N, H, W)``, as rows in [0, 1], ``(N, H * W)``."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def _from_files(name: str, folder: Path) -> Splits:
    for place in _candidates(name, folder):
        if _find(place, FILES["train"][0]) is not None:
            return {split: _pair(place, *stems) for split, stems in FILES.items()}

    looked = ", ".join(str(place) for place in _candidates(name, folder))
    wanted = ", ".join(f"{stem}[.gz]" for pair in FILES.values() for stem in pair)
    raise DataError(f"{name} was not found in {looked}: one should hold the IDX files {wanted}")


def _candidates(name: str, folder: Path) -> Iterator[Path]:
    """Sub-folders of that name, then the folder itself.

    The whole family has the same file names, so bare files are MNIST unless the folder's own
    name says "fashion": otherwise the one set would be taken for the other in silence.
    """
    yield from (folder / part for part in FOLDERS[name])
    if ("fashion" in folder.resolve().name.lower()) == (name == "fashion-mnist"):
        yield folder


def _find(folder: Path, stem: str) -> Path | None:
    found = [folder / f"{stem}{suffix}" for suffix in ("", ".gz")]
    return next((path for path in found if path.is_file()), None)


def _pair(folder: Path, images: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
    paths = _find(folder, images), _find(folder, labels)
    for path, stem in zip(paths, (images, labels), strict=True):
        if path is None:
            raise DataError(f"{folder} has no file {stem} or {stem}.gz; add it")
    pictures, classes = (read_idx(path) for path in paths if path is not None)

    if pictures.ndim != 3 or classes.shape != pictures.shape[:1] or pictures.dtype != np.uint8:
        raise DataError(
            f"{folder}: {images} should hold bytes of shape (N, height, width) and {labels} N "
            f"classes; they hold {pictures.dtype} {pictures.shape} and {classes.shape}"
        )
    return pictures, classes


def _from_openml(name: str) -> Splits:
    try:
        from sklearn.datasets import fetch_openml
    except ImportError as error:
        raise missing("scikit-learn", "data") from error
    try:
        pixels, labels = fetch_openml(
            OPENML[name], version=1, as_frame=False, return_X_y=True, parser="liac-arff"
        )
    except OSError as error:  # no network, no such host, a refused or broken download
        wanted = ", ".join(f"{stem}[.gz]" for pair in FILES.values() for stem in pair)
        raise DataError(
            f"{name} could not be fetched from OpenML ({error}): put the IDX files {wanted} "
            f"into {place_of(None)}"
        ) from error

    images = np.asarray(pixels).astype(np.uint8).reshape(-1, 28, 28)
    classes = np.asarray(labels).astype(np.int64)
    train, test = slice(OPENML_TRAIN), slice(OPENML_TRAIN, None)
    return {"train": (images[train], classes[train]), "test": (images[test], classes[test])}
