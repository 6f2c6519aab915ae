"""The GAN in ppgm."""

from __future__ import annotations

from benchmarks import gan, ppgm_kit
from benchmarks.row import Contestant, Row
from ppgm.inference import GAN
from ppgm.models import Generator
from ppgm.nets import MLP
from ppgm.optimisers import Adam


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are the hosts."""
    sizes = {"features": 2, "latent": gan.NOISE, "hidden": gan.HIDDEN}
    declaration = Generator(**sizes, activation="tanh")
    objective = GAN(critic=MLP(2, gan.HIDDEN, 1, activation="tanh"))
    entry = ppgm_kit.Entry(declaration, objective, "x", Adam(1e-3, b1=0.5))
    return ppgm_kit.contestant(row, variant, entry)
