"""The VAE in ppgm."""

from __future__ import annotations

from benchmarks import ppgm_kit, vae
from benchmarks.row import Contestant, Row
from ppgm.inference import ELBO, IWAE
from ppgm.models import VAE
from ppgm.optimisers import Adam


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are the hosts."""
    declaration = VAE(features=vae.FEATURES, latent=vae.LATENT, hidden=vae.HIDDEN)
    objective = ELBO() if row.particles == 1 else IWAE(particles=row.particles)
    entry = ppgm_kit.Entry(declaration, objective, "x", Adam(1e-3))
    return ppgm_kit.contestant(row, variant, entry)
