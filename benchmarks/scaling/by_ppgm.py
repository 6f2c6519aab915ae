"""The deep Kalman filter in ppgm, on sequences of one length."""

from __future__ import annotations

from benchmarks import ppgm_kit
from benchmarks.dkf.by_ppgm import DECLARATION
from benchmarks.row import Contestant, Row
from ppgm.inference import ELBO
from ppgm.optimisers import Adam


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are the hosts."""
    return ppgm_kit.contestant(row, variant, ppgm_kit.Entry(DECLARATION, ELBO(), "x", Adam(1e-3)))
