"""The VAE with a flow in ppgm."""

from __future__ import annotations

from benchmarks import flows, ppgm_kit
from benchmarks.row import Contestant, Row
from ppgm.guides import IAF, Spline
from ppgm.inference import ELBO
from ppgm.models import VAE
from ppgm.optimisers import Adam

POSTERIORS = {
    "iaf": IAF(flows.DEPTH, (flows.WIDTH,), update="affine", activation="relu"),
    "spline": Spline(
        flows.DEPTH, flows.BINS, flows.BOUND, "autoregressive", (flows.WIDTH,), activation="relu"
    ),
}


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are the hosts."""
    posterior = POSTERIORS[row.name]
    declaration = VAE(flows.FEATURES, flows.LATENT, flows.HIDDEN, posterior=posterior)
    entry = ppgm_kit.Entry(declaration, ELBO(), "x", Adam(1e-3))
    return ppgm_kit.contestant(row, variant, entry)
