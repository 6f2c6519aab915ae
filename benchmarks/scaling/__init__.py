"""Steps of one model at several sizes: their time should grow no faster than the size.

The deep Kalman filter of the row "dkf", every sequence T steps long, and the VAE of the row
"vae-50" with K particles (K = 1 is the ELBO), beside its steps by hand.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks import dkf, vae
from benchmarks.row import JAX, PPGM, Row

STEPS = (16, 32, 64, 128)
PARTICLES = (1, 5, 25, 50)


class Series(NamedTuple):
    """Rows that differ in one size."""

    letter: str
    """What the size is called."""
    title: str
    sizes: tuple[int, ...]
    rows: tuple[Row, ...]


def sequences(steps: int, rows: int) -> np.ndarray:
    """Returns `(rows, steps, dkf.FEATURES)` zeros and ones, four in a step on average."""
    bits = np.random.default_rng(0).random((rows, steps, dkf.FEATURES)) < 4 / dkf.FEATURES
    return bits.astype(np.float32)


def _filter(steps: int) -> Row:
    return replace(
        dkf.ROW,
        name=f"dkf-T{steps}",
        package="benchmarks.scaling",
        steps=3,
        contestants=PPGM,
        data=partial(sequences, steps),
    )


def _bound(particles: int) -> Row:
    row = vae.ROWS[-1]
    contestants = {label: row.contestants[label] for label in ("torch", *JAX, *PPGM)}
    name = f"vae-K{particles}"
    return replace(row, name=name, steps=9, particles=particles, contestants=contestants)


SERIES = (
    Series("T", "DKF 88-100-100, RNN 600, ST-R, batch 20", STEPS, tuple(map(_filter, STEPS))),
    Series("K", "VAE 784-200-200-50, IWAE, batch 128", PARTICLES, tuple(map(_bound, PARTICLES))),
)
