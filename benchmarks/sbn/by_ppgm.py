"""The SBN in ppgm."""

from __future__ import annotations

from benchmarks import ppgm_kit, sbn
from benchmarks.row import Contestant, Row
from ppgm.inference import VIMCO
from ppgm.models import SBN
from ppgm.optimisers import Adam


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are the hosts."""
    declaration = SBN(features=sbn.FEATURES, layers=sbn.LAYERS)
    objective = VIMCO(particles=row.particles)
    entry = ppgm_kit.Entry(declaration, objective, "x", Adam(1e-3))
    return ppgm_kit.contestant(row, variant, entry)
