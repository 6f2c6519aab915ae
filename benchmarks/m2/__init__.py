"""M2, a VAE with a class and a style behind each row, no row labelled; batch 100.

y ~ Cat(1/10), z ~ N(0, I), x | y, z Bernoulli; classifier 784-500-10, encoder 794-500-100 and
decoder 60-500-784, tanh, the class beside x and beside z as a one-hot vector. The loss is the
negative ELBO summed over the classes, one draw of z for each,

    U(x) = sum_y q(y | x) [log q(y | x) + log q(z | x, y) - log p(y) - log p(z) - log p(x | y, z)]

mean over the batch. Everybody makes one pass with a leading axis of ten classes. By hand there
are two such passes: "m2-pass" gives the networks x and the one-hot vector side by side, ten times
over; "m2" uses that the product of x with the encoder's first weight is the same for all classes,
and that of a one-hot vector with a weight is a column of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.row import JAX, PPGM, TORCH, Arrays, Row, binary_images, mlp

FEATURES, CLASSES, LATENT, HIDDEN = 784, 10, 50, (500,)


@dataclass(frozen=True, kw_only=True)
class M2Row(Row):
    """A row of this package.

    Attributes:
        shared: Whether the steps by hand compute once what is the same for all classes.
    """

    shared: bool


def weights() -> Arrays:
    """Returns classifier, encoder (mean and log scale side by side) and decoder (logits)."""
    rng = np.random.default_rng(1)
    classifier = mlp(rng, "classifier", (FEATURES, *HIDDEN, CLASSES))
    encoder = mlp(rng, "encoder", (FEATURES + CLASSES, *HIDDEN, 2 * LATENT))
    return classifier | encoder | mlp(rng, "decoder", (LATENT + CLASSES, *HIDDEN, FEATURES))


def _row(name: str, title: str, *, shared: bool) -> M2Row:
    return M2Row(
        name=name,
        title=title,
        package="benchmarks.m2",
        batch=100,
        steps=15,
        contestants={**TORCH, **JAX, **PPGM},
        values=("loss",),
        data=binary_images,
        weights=weights,
        gradients=True,
        repeats=120,
        shared=shared,
    )


ROWS = (
    _row("m2", "M2 unlabelled, 10 classes, first layers shared by hand", shared=True),
    _row("m2-pass", "M2 unlabelled, 10 classes, one pass by hand", shared=False),
)
