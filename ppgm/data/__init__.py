"""Data sets by name: numpy arrays, split, that need no network unless they say so.

===================  ==========================================  ====================
name                 what                                        customary binarise
===================  ==========================================  ====================
``digits``           scikit-learn's 8 x 8 digits                 ``"threshold"``
``mnist``            28 x 28 digits, from files or OpenML        ``"static"``
``fashion-mnist``    28 x 28 clothes, from files or OpenML       ``"static"``
``mnist-static``     MNIST's fixed binarisation, from a file     already binary
``dna``              splice junctions, 180 bits, from a file     already binary
``mushrooms``        traits of mushrooms, 112 bits, from a file  already binary
``jsb-chorales``     chorales, 88 keys a step, from a file       already binary
``linear-states``    one noisy column of linear-Gaussian states  not for sequences
``sunspots``         yearly numbers of sunspots, 1700 to 2008    not for sequences
``protein``          10 columns of proteins, from a file         not for tables
``two-moons``        two half circles in the plane               not for points
``ring``             8 Gaussians on a circle                     not for points
``grid``             25 Gaussians on a lattice                   not for points
``eight-gaussians``  8 Gaussians on a circle, overlapping        not for points
``checkerboard``     8 squares, evenly filled                    not for points
===================  ==========================================  ====================
"""

__all__ = [
    "Dataset",
    "Halves",
    "ModeCount",
    "Quadrants",
    "bits_per_pixel",
    "checkerboard",
    "count_modes",
    "dequantise",
    "eight_gaussians",
    "entropy",
    "grid",
    "linear_states",
    "linear_states_truth",
    "load",
    "missing",
    "names",
    "one_hot",
    "padded",
    "read_idx",
    "resample",
    "ring",
    "sunspots",
    "two_moons",
]

from pathlib import Path

from ppgm.data.binary import check_rule, resample
from ppgm.data.chorales import NAME as CHORALES
from ppgm.data.chorales import chorales
from ppgm.data.conditions import Halves, Quadrants, one_hot
from ppgm.data.dataset import Dataset
from ppgm.data.idx import read_idx
from ppgm.data.images import digits, mnist
from ppgm.data.levels import bits_per_pixel, dequantise
from ppgm.data.packed import PACKED, packed
from ppgm.data.sequences import missing, padded
from ppgm.data.states import NAME as STATES
from ppgm.data.states import linear_states, linear_states_truth
from ppgm.data.sunspots import NAME as SUNSPOTS
from ppgm.data.sunspots import sunspots
from ppgm.data.tabular import TABLES, table
from ppgm.data.toys import (
    ModeCount,
    checkerboard,
    count_modes,
    eight_gaussians,
    entropy,
    grid,
    ring,
    two_moons,
)
from ppgm.errors import ArgumentError, did_you_mean

CUSTOMARY = {"digits": "threshold", "mnist": "static", "fashion-mnist": "static"}
POINTS = {
    "two-moons": two_moons,
    "ring": ring,
    "grid": grid,
    "eight-gaussians": eight_gaussians,
    "checkerboard": checkerboard,
}


def names() -> tuple[str, ...]:
    """Returns the names that `load` knows."""
    return (*CUSTOMARY, *PACKED, CHORALES, STATES, SUNSPOTS, *TABLES, *POINTS)


def load(
    name: str, *, binarise: str | None = None, seed: int = 0, folder: Path | str | None = None
) -> Dataset:
    """Loads a data set.

    Args:
        name: One of `names`.
        binarise: For pictures of grey levels: ``"static"``, ``"dynamic"``, ``"threshold"`` or
            ``"none"`` (see `ppgm.data.binary`). None is the customary rule of the data set.
        seed: Seed of everything random: static binarisation, splits of tables, points in the
            plane, and sequences.
        folder: Folder of the files of sets that need one; by default the environment variable
            ``PPGM_DATA``.

    Raises:
        ArgumentError: The name is unknown, or binarisation makes no sense for it.
        DataError: Files are missing or damaged.
    """
    if name not in names():
        raise ArgumentError(
            f"there is no data set '{name}'{did_you_mean(name, names())} (known: "
            f"{', '.join(names())})"
        )
    if name in CUSTOMARY:
        return _pictures(name, CUSTOMARY[name] if binarise is None else binarise, seed, folder)
    if binarise not in (None, "none"):
        raise ArgumentError(f"'{name}' has no grey levels: leave binarise='{binarise}' out")
    if name == CHORALES:
        return chorales(folder=folder)
    if name == STATES:
        return linear_states(seed=seed)
    if name == SUNSPOTS:
        return sunspots()
    if name in TABLES:
        return table(name, seed=seed, folder=folder)
    return packed(name, folder=folder) if name in PACKED else POINTS[name](seed=seed)


def _pictures(name: str, binarise: str, seed: int, folder: Path | str | None) -> Dataset:
    check_rule(binarise)
    if name == "digits":
        return digits(binarise=binarise, seed=seed)
    return mnist(name, binarise=binarise, seed=seed, folder=folder)
