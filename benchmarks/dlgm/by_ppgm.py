"""The DLGM in ppgm."""

from __future__ import annotations

from benchmarks import dlgm, ppgm_kit
from benchmarks.row import Contestant, Row
from ppgm.inference import IWAE
from ppgm.models import DLGM
from ppgm.optimisers import Adam


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are the hosts."""
    declaration = DLGM(dlgm.FEATURES, latents=dlgm.LATENTS, hidden=dlgm.HIDDEN)
    objective = IWAE(particles=row.particles)
    entry = ppgm_kit.Entry(declaration, objective, "x", Adam(1e-3))
    return ppgm_kit.contestant(row, variant, entry)
