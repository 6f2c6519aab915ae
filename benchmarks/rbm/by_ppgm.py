"""The RBM in ppgm."""

from __future__ import annotations

from benchmarks import ppgm_kit, rbm
from benchmarks.row import Contestant, Row
from ppgm.inference import ContrastiveDivergence
from ppgm.models import RBM
from ppgm.optimisers import Adam


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are the hosts."""
    declaration = RBM(features=rbm.VISIBLE, hidden=rbm.HIDDEN)
    objective = ContrastiveDivergence(steps=1, persistent=True)
    entry = ppgm_kit.Entry(declaration, objective, "v", Adam(1e-3))
    return ppgm_kit.contestant(row, variant, entry)
