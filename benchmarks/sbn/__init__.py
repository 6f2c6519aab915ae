"""Sigmoid belief networks over 784 binary pixels, batch 128, by three estimators.

The top layer ~ Bernoulli(prior), the layers below it and x Bernoulli with linear logits of the
layer above; the guide draws h1 | x, then h2 | h1 and so on. The loss is the negative bound, mean
over the batch: the multi-sample bound for VIMCO and reweighted wake-sleep, the ELBO for NVIL,
whose baseline is a network 784-100-L of the data that learns with the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from benchmarks.row import JAX, PPGM, TORCH, Arrays, Row, binary_images, linear, mlp

FEATURES, BASELINE = 784, (100,)
DECAY = 0.8
"""Weight of the past in NVIL's running moments."""


@dataclass(frozen=True, kw_only=True)
class SBNRow(Row):
    """A row of this package.

    Attributes:
        layers: Widths of the hidden layers, from x upward.
        estimator: "vimco", "nvil" or "rws".
    """

    layers: tuple[int, ...]
    estimator: str


def weights(layers: tuple[int, ...], estimator: str) -> Arrays:
    """Returns encoders (guide, up) and decoders (model, down) by level, and the prior's logits."""
    rng = np.random.default_rng(1)
    found = {"prior": rng.normal(0, 0.1, layers[-1]).astype(np.float32)}
    for level, (below, above) in enumerate(pairwise((FEATURES, *layers)), 1):
        found |= linear(rng, f"encoder{level}.layers.0", below, above)
        found |= linear(rng, f"decoder{level}.layers.0", above, below)
    if estimator == "nvil":
        found |= mlp(rng, "baseline", (FEATURES, *BASELINE, len(layers)))
        found["baseline.layers.1.bias"] += 3  # so that its gradient is not all noise at the start
    return found


def _row(name: str, layers: tuple[int, ...], estimator: str, particles: int, steps: int) -> SBNRow:
    shape = "-".join(map(str, (FEATURES, *layers)))
    count = f"-{particles}" if particles > 1 else ""
    return SBNRow(
        name=name,
        title=f"SBN {shape}, {estimator.upper()}{count}",
        package="benchmarks.sbn",
        batch=128,
        steps=steps,
        contestants={**TORCH, **JAX, **PPGM},
        values=("loss",),
        data=binary_images,
        weights=partial(weights, layers, estimator),
        gradients=True,
        particles=particles,
        repeats=240,
        layers=layers,
        estimator=estimator,
    )


ROWS = (
    _row("sbn", (200, 200), "vimco", particles=10, steps=15),
    _row("sbn-3-vimco", (200, 200, 200), "vimco", particles=10, steps=15),
    _row("sbn-3-nvil", (200, 200, 200), "nvil", particles=1, steps=60),
    _row("sbn-3-rws", (200, 200, 200), "rws", particles=10, steps=15),
)
