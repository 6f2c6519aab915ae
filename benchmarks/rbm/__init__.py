"""Restricted Boltzmann machine 784-200 by PCD-1: batch 128, 128 persistent chains.

One block-Gibbs sweep of the chains (hidden given visible, visible given hidden), then a step of
Adam on mean F(data) - mean F(chains) with the free energy F(v) = -b.v - sum softplus(W v + c).
The chains start at the first batch. The loss is no bound: it falls, then rises as the chains mix.
"""

from __future__ import annotations

import numpy as np

from benchmarks.row import JAX, PPGM, TORCH, Arrays, Row, binary_images

VISIBLE, HIDDEN = 784, 200


def weights() -> Arrays:
    """Returns weight `(H, V)`, visible bias `(V,)` and hidden bias `(H,)`."""
    rng = np.random.default_rng(1)
    draw = lambda *shape: rng.normal(0, 0.05, shape).astype(np.float32)  # noqa: E731
    return {"weight": draw(HIDDEN, VISIBLE), "visible": draw(VISIBLE), "hidden": draw(HIDDEN)}


ROW = Row(
    name="pcd",
    title="RBM 784-200, PCD-1",
    package="benchmarks.rbm",
    batch=128,
    steps=100,
    contestants={**TORCH, **JAX, **PPGM},
    values=("loss",),
    data=binary_images,
    weights=weights,
)
