"""Variational autoencoder 784-256-256-32 whose posterior is a flow, tanh, batch 128.

The decoder is Bernoulli. Beside the 32 means and log scales the encoder gives a summary of 32
numbers, which both steps of the flow see; their masked networks have one layer of 256 rectified
units. Forward, which is how draws are made, is the direction that takes one pass. "iaf" scales
and shifts, with log scales in [-3, 3]; "spline" bends by autoregressive splines of 8 bins on
[-5, 5] before the scale and shift. The loss is the negative ELBO at one draw, mean over the batch.

The steps to compare with are loops by hand around zuko and flowjax. In "iaf" they are the same
function of the same weights, which are put into each library's order of units and outputs. In
"spline" the libraries have bounds of their own on bins and slopes, so that only times compare:
zuko's networks are as large, flowjax's have 25 outputs for a coordinate where the others have 23
(3 % more parameters in all), and start from weights of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.row import PPGM, Arrays, Row, binary_images, mlp

FEATURES, LATENT, HIDDEN = 784, 32, (256, 256)
DEPTH, WIDTH, BINS, BOUND = 2, 256, 8, 5.0

ZUKO = {"zuko, torch": ("by_zuko", "adam")}
FLOWJAX = {
    "flowjax, jax scan": ("by_flowjax", "scan"),
    "flowjax, jax step": ("by_flowjax", "step"),
}
OTHER = "the libraries bound bins and slopes in other ways, so that only the times compare"


@dataclass(frozen=True, kw_only=True)
class FlowRow(Row):
    """A row of this package.

    Attributes:
        outputs: What the networks give for each coordinate.
    """

    outputs: int


def degrees() -> np.ndarray:
    """Returns how many coordinates each hidden unit sees of a flow's networks, `(WIDTH,)`."""
    return np.arange(WIDTH) * LATENT // WIDTH


def weights(kind: str, outputs: int) -> Arrays:
    """Returns encoder, decoder (logits) and the flow's networks, outputs parameter-major."""
    rng = np.random.default_rng(1)
    made = mlp(rng, "encoder", (FEATURES, *HIDDEN, 3 * LATENT))
    made |= mlp(rng, "decoder", (LATENT, *HIDDEN[::-1], FEATURES))
    for t in range(DEPTH):
        net = mlp(rng, f"z.{kind}{t}", (2 * LATENT, WIDTH, outputs * LATENT))
        made |= {name: 0.3 * v if ".layers.1." in name else v for name, v in net.items()}
    return made


def _row(kind: str, title: str, outputs: int, notes: dict[str, str]) -> FlowRow:
    return FlowRow(
        name=kind,
        title=title,
        package="benchmarks.flows",
        batch=128,
        steps=24,
        contestants={**ZUKO, **FLOWJAX, **PPGM},
        values=("loss",),
        data=binary_images,
        weights=lambda: weights(kind, outputs),
        gradients=True,
        repeats=90,
        notes=notes,
        baselines={"torch": tuple(ZUKO), "jax": tuple(FLOWJAX)},
        outputs=outputs,
    )


ROWS = (
    _row("iaf", "VAE 784-256-256-32, IAF of 2 steps", 2, {}),
    _row(
        "spline",
        "VAE 784-256-256-32, autoregressive splines, 2 steps",
        3 * BINS - 1,
        dict.fromkeys((*ZUKO, *FLOWJAX, *PPGM), OTHER),
    ),
)
