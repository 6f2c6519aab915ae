"""Deep latent Gaussian model 784-100-50 between networks 200-200, tanh; IWAE-50, batch 20.

z2 ~ N(0, I), z1 | z2 Gaussian and x | z1 Bernoulli; the guide draws z1 | x, then z2 | z1, all
with means and log scales of networks. The loss is the negative IWAE bound, mean over the batch.

As training goes on, most of the 50 normalised weights fall below the normal range of single
precision, with which x86 computes two to three times slower. XLA has them as zero; the contestants
by hand in torch tell torch to, and so does ppgm while it trains.
"""

from __future__ import annotations

import numpy as np

from benchmarks.row import JAX, PPGM, TORCH, Arrays, Row, binary_images, mlp

FEATURES, LATENTS, HIDDEN = 784, (100, 50), (200, 200)


def weights() -> Arrays:
    """Returns encoders (guide, up), prior (z1 given z2) and decoder (logits of x given z1)."""
    rng = np.random.default_rng(1)
    lower, upper = LATENTS
    encoder1 = mlp(rng, "encoder1", (FEATURES, *HIDDEN[::-1], 2 * lower))
    encoder2 = mlp(rng, "encoder2", (lower, *HIDDEN[::-1], 2 * upper))
    prior = mlp(rng, "prior1", (upper, *HIDDEN, 2 * lower))
    return encoder1 | encoder2 | prior | mlp(rng, "decoder", (lower, *HIDDEN, FEATURES))


ROW = Row(
    name="dlgm",
    title="DLGM 784-100-50, IWAE-50",
    package="benchmarks.dlgm",
    batch=20,
    steps=12,
    contestants={**TORCH, **JAX, **PPGM},
    values=("loss",),
    data=binary_images,
    weights=weights,
    gradients=True,
    particles=50,
    repeats=480,
)
