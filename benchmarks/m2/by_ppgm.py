"""M2 in ppgm; the data have the marker of an unknown class in every row."""

from __future__ import annotations

from benchmarks import m2, ppgm_kit
from benchmarks.row import Contestant, Row
from ppgm.inference import ELBO
from ppgm.models import M2
from ppgm.optimisers import Adam


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are the hosts."""
    declaration = M2(m2.FEATURES, classes=m2.CLASSES, latent=m2.LATENT, hidden=m2.HIDDEN)
    objective = ELBO(enumerate=("y",))
    entry = ppgm_kit.Entry(declaration, objective, "x", Adam(1e-3), {"y": declaration.missing})
    return ppgm_kit.contestant(row, variant, entry)
