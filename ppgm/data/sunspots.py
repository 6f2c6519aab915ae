r"""Yearly mean numbers of sunspots, 1700 to 2008: one real sequence, cut in two by time.

The Zurich or international number, version 1.0, which the Sun's cycle of some 11 years drives from
0 to 190. (Version 2.0 of 2015 has another scale.) Models are customarily trained up to 1920 and
forecast the years after. Variances grow with the level: a square root evens them out.

The numbers are those of the National Geophysical Data Center (NOAA), in the public domain, as
statsmodels has them; the Royal Observatory of Belgium (SILSO) keeps the record.

References:
    | https://www.sidc.be/SILSO and https://www.ngdc.noaa.gov/stp/solar/ssndata.html
    | Predicting the Future: a Connectionist Approach (Weigend, Huberman & Rumelhart, 1990),
    | International Journal of Neural Systems 1(3)
"""

__all__ = ["NAME", "sunspots"]

from importlib.resources import files

import numpy as np

from ppgm.data.dataset import Dataset
from ppgm.errors import ArgumentError

NAME, FILE = "sunspots", "sunspots.csv"
FIRST, LAST = 1700, 2008


def sunspots(*, until: int = 1920) -> Dataset:
    """Returns one sequence ``{"x": (1, T, 1)}`` to train on, and the one that follows it.

    Args:
        until: Last year to train on.
    """
    if not FIRST <= until < LAST:
        raise ArgumentError(f"until should be a year from {FIRST} to {LAST - 1} and is {until}")
    with files("ppgm.data").joinpath(FILE).open() as lines:
        numbers = np.loadtxt(lines, np.float32, delimiter=",", skiprows=1, usecols=1)
    x, at = numbers[None, :, None], until + 1 - FIRST
    return Dataset(
        NAME,
        train={"x": x[:, :at]},
        test={"x": x[:, at:]},
        shape=(1,),
        description=f"yearly mean numbers of sunspots from {FIRST}, and from {until + 1}",
        source="NOAA National Geophysical Data Center, of SILSO; bundled",
    )
