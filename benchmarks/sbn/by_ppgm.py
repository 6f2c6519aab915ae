"""The SBN in ppgm."""

from __future__ import annotations

from benchmarks import ppgm_kit, sbn
from benchmarks.row import Contestant
from ppgm.inference import NVIL, RWS, VIMCO
from ppgm.models import SBN
from ppgm.optimisers import Adam

OBJECTIVES = {"vimco": VIMCO, "nvil": NVIL, "rws": RWS}


def build(row: sbn.SBNRow, variant: str) -> Contestant:
    """Returns the contestant; variants are the hosts."""
    declaration = SBN(features=sbn.FEATURES, layers=row.layers)
    objective = OBJECTIVES[row.estimator](particles=row.particles)
    entry = ppgm_kit.Entry(declaration, objective, "x", Adam(1e-3))
    return ppgm_kit.contestant(row, variant, entry)
