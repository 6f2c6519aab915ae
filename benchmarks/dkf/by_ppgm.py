"""The deep Kalman filter in ppgm: a path is one site."""

from __future__ import annotations

from benchmarks import dkf, ppgm_kit
from benchmarks.row import Contestant, Row
from ppgm.inference import ELBO
from ppgm.models import DKF
from ppgm.optimisers import Adam

DECLARATION = DKF(
    dkf.FEATURES, dkf.LATENT, hidden=(dkf.TRANSITION,), emitter=(dkf.EMISSION,) * 2,
    rnn=dkf.RNN, cell="rnn",
)  # fmt: skip


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are the hosts."""
    others = {"lengths": dkf.lengths(row.size)}
    entry = ppgm_kit.Entry(DECLARATION, ELBO(), "x", Adam(1e-3), others=others)
    return ppgm_kit.contestant(row, variant, entry)
