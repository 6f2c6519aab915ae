"""Deep Kalman filter at the sizes of Pyro's example of a deep Markov model, batch 20.

State 100, emission 100-100, gated transition 200, recurrent network of 600 rectified units, on
sequences of 88 bits and up to 129 steps, with lengths like those of the JSB chorales. The guide
is ST-R; the loss is the negative ELBO at one draw, mean over the rows. No dropout. The steps to
compare with are those of a loop that makes one statement of every state and every observation,
as the example does.
"""

from __future__ import annotations

import numpy as np

from benchmarks.row import PPGM, Arrays, Row, linear, mlp

FEATURES, LATENT, EMISSION, TRANSITION, RNN, STEPS = 88, 100, 100, 200, 600, 129

LOOP = ("pyro loop",)


def lengths(rows: int) -> np.ndarray:
    """Returns numbers of steps `(rows,)`: 25 to 129, half of them below 57."""
    draw = np.random.default_rng(2).lognormal(np.log(57), 0.33, rows)
    return np.clip(np.round(draw), 25, STEPS).astype(np.int64)


def sequences(rows: int) -> np.ndarray:
    """Returns `(rows, STEPS, FEATURES)` zeros and ones, four in a step on average."""
    rng = np.random.default_rng(0)
    bits = rng.random((rows, STEPS, FEATURES)) < 4 / FEATURES
    alive = np.arange(STEPS) < lengths(rows)[:, None]
    return (bits & alive[..., None]).astype(np.float32)


def weights() -> Arrays:
    """Returns the starting weights of model and guide."""
    rng = np.random.default_rng(1)
    made = {"z0": np.zeros(LATENT, np.float32), "z0_guide": np.zeros(LATENT, np.float32)}
    made |= mlp(rng, "transition_gate", (LATENT, TRANSITION, LATENT))
    made |= mlp(rng, "transition_proposal", (LATENT, TRANSITION, LATENT))
    made |= mlp(rng, "transition_carry", (LATENT, LATENT))
    made |= mlp(rng, "transition_spread", (LATENT, LATENT))
    made |= mlp(rng, "decoder", (LATENT, EMISSION, EMISSION, FEATURES))
    made |= mlp(rng, "combiner", (LATENT, RNN)) | mlp(rng, "heads", (RNN, 2 * LATENT))
    for kind, inputs in (("ih", FEATURES), ("hh", RNN)):
        part = linear(rng, kind, inputs, RNN)
        made[f"rnn_right.weight_{kind}_l0"] = part[f"{kind}.weight"]
        made[f"rnn_right.bias_{kind}_l0"] = part[f"{kind}.bias"]
    return made


ROW = Row(
    name="dkf",
    title="DKF 88-100-100, gated 200, RNN 600, T <= 129",
    package="benchmarks.dkf",
    batch=20,
    steps=6,
    contestants={"pyro loop": ("by_pyro", "loop"), "products": ("by_products", ""), **PPGM},
    values=("loss",),
    data=sequences,
    weights=weights,
    repeats=12,
    notes={"products": "the matrix products of a step alone, forward and backward: no loss"},
    baselines={"torch": LOOP, "jax": LOOP},
)
