"""Variational autoencoder 784-200-200-50, tanh, Bernoulli likelihood, batch 128.

With one particle the loss is the negative ELBO, `log q(z | x) - log p(x, z)` at one draw (no
closed form of the divergence, so that everybody computes the same thing); with 50 it is the
negative IWAE bound. Losses are means over the batch.
"""

from __future__ import annotations

import numpy as np

from benchmarks.row import JAX, PPGM, TORCH, Arrays, Row, binary_images, mlp

FEATURES, LATENT, HIDDEN = 784, 50, (200, 200)

CONTESTANTS = {
    **TORCH,
    **JAX,
    "pyro SVI": ("by_pyro", "svi"),
    "numpyro SVI": ("by_numpyro", "svi"),
    "pixyz": ("by_pixyz", "model"),
    **PPGM,
}


def weights() -> Arrays:
    """Returns encoder (mean and log scale side by side) and decoder (logits)."""
    rng = np.random.default_rng(1)
    encoder = mlp(rng, "encoder", (FEATURES, *HIDDEN, 2 * LATENT))
    return encoder | mlp(rng, "decoder", (LATENT, *HIDDEN[::-1], FEATURES))


def _row(particles: int, title: str, steps: int, repeats: int, notes: dict[str, str]) -> Row:
    return Row(
        name=f"vae-{particles}",
        title=title,
        package="benchmarks.vae",
        batch=128,
        steps=steps,
        contestants=CONTESTANTS,
        values=("loss",),
        data=binary_images,
        weights=weights,
        particles=particles,
        repeats=repeats,
        notes=notes,
    )


ROWS = (
    _row(1, "VAE 784-200-200-50, ELBO", 50, 200, {}),
    _row(
        50,
        "VAE 784-200-200-50, IWAE-50",
        6,
        20,
        {"pixyz": "an ELBO over 50 draws: it cannot write IWAE; one Python pass a draw"},
    ),
)
