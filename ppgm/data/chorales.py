"""The JSB chorales: pieces of four voices as sequences of sounding notes, from a packed file.

382 chorales of J. S. Bach in steps of a quarter note; column k says whether key k of a piano's 88
sounds. Reported likelihoods are per step of the third split.

References:
    | Modeling Temporal Dependencies in High-Dimensional Sequences (Boulanger-Lewandowski, Bengio &
    | Vincent, 2012), https://arxiv.org/abs/1206.6392
"""

__all__ = ["KEYS", "NAME", "chorales"]

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ppgm.data.dataset import Dataset
from ppgm.data.folders import folder_of, place_of
from ppgm.data.sequences import padded
from ppgm.errors import DataError

NAME, FILE, KEYS = "jsb-chorales", "jsb_chorales.npz", 88
SPLITS = ("train", "valid", "test")


def chorales(*, folder: Path | str | None) -> Dataset:
    """Loads the three splits, each ``{"x": (N, T, 88), "lengths": (N,)}``, padded with zeros.

    T is the length of the longest piece of the split.
    """
    place = folder_of(folder)
    path = None if place is None else place / FILE
    if path is None or not path.is_file():
        raise DataError(
            f"{NAME} needs the file {FILE} (arrays {', '.join(SPLITS)}, the steps of all pieces "
            f"one after another, {KEYS} bits packed by numpy.packbits, and their numbers of "
            f"steps, train_lengths, ...) in {place_of(place)}"
        )
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            train, validation, test = (_split(held, name) for name in SPLITS)
    except (BadZipFile, KeyError, ValueError, TypeError, EOFError, OSError) as error:
        raise DataError(f"{path} is damaged or is another file ({error})") from error
    return Dataset(
        NAME,
        train=train,
        test=test,
        shape=(KEYS,),
        description="Bach's chorales in quarter notes, the keys that sound at each step",
        source=str(path),
        validation=validation,
    )


def _split(held: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    rows, lengths = held[name], held[f"{name}_lengths"]
    width = -(-KEYS // 8)
    if rows.ndim != 2 or rows.shape[1] != width or lengths.ndim != 1 or lengths.min() < 1:
        raise ValueError(f"{name} has the shapes {rows.shape} and {lengths.shape}")
    if lengths.sum() != len(rows):
        raise ValueError(f"{name} has {len(rows)} steps, and {name}_lengths adds to another sum")
    bits = np.unpackbits(rows, axis=1)[:, :KEYS].astype(np.float32)
    return padded(np.split(bits, np.cumsum(lengths)[:-1]))
