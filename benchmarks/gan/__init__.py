"""Non-saturating GAN on a ring of eight Gaussians, batch 256: one critic and one generator step.

Generator 2-128-128-2 and critic 2-128-128-1, tanh. Each player draws its own noise, as in the
algorithm of the paper; Adam with beta1 = 0.5.
"""

from __future__ import annotations

import numpy as np

from benchmarks.row import JAX, PPGM, TORCH, Arrays, Row, mlp

NOISE, HIDDEN = 2, (128, 128)


def ring(rows: int) -> np.ndarray:
    """Returns `(rows, 2)` draws around eight points at distance 2 from the origin."""
    rng = np.random.default_rng(0)
    angle = rng.integers(0, 8, rows) * (np.pi / 4)
    centres = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (centres + 0.05 * rng.normal(size=(rows, 2))).astype(np.float32)


def weights() -> Arrays:
    """Returns generator and critic."""
    rng = np.random.default_rng(1)
    return mlp(rng, "generator", (NOISE, *HIDDEN, 2)) | mlp(rng, "critic", (2, *HIDDEN, 1))


ROW = Row(
    name="gan",
    title="GAN on the ring",
    package="benchmarks.gan",
    batch=256,
    steps=100,
    contestants={**TORCH, **JAX, "pixyz": ("by_pixyz", "model"), **PPGM},
    values=("critic", "generator"),
    data=ring,
    weights=weights,
    repeats=400,
    notes={"pixyz": "its own losses; a sigmoid critic and one batch of noise for both players"},
)
