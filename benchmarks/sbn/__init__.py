"""Sigmoid belief network 200-200 over 784 binary pixels, VIMCO with ten particles, batch 128.

h2 ~ Bernoulli(prior), h1 | h2 and x | h1 Bernoulli with linear logits; the guide draws h1 | x,
then h2 | h1. The loss is the negative multi-sample bound, mean over the batch.
"""

from __future__ import annotations

import numpy as np

from benchmarks.row import JAX, PPGM, TORCH, Arrays, Row, binary_images, linear

FEATURES, LAYERS, PARTICLES = 784, (200, 200), 10


def weights() -> Arrays:
    """Returns encoders (guide, up) and decoders (model, down) by level, and the prior's logits."""
    rng = np.random.default_rng(1)
    sizes = (FEATURES, *LAYERS)
    found = {"prior": rng.normal(0, 0.1, LAYERS[-1]).astype(np.float32)}
    for level, (below, above) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
        found |= linear(rng, f"encoder{level}.layers.0", below, above)
        found |= linear(rng, f"decoder{level}.layers.0", above, below)
    return found


ROW = Row(
    name="sbn",
    title="SBN 784-200-200, VIMCO-10",
    package="benchmarks.sbn",
    batch=128,
    steps=15,
    contestants={**TORCH, **JAX, **PPGM},
    values=("loss",),
    data=binary_images,
    weights=weights,
    particles=PARTICLES,
    repeats=50,
)
