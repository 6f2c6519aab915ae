"""The matrix products of a step alone, forward and backward, without padding: a floor of its time.

Whatever lies on no path through time is one product over all steps of all sequences. The
recurrent network and the guide's states go step by step, over the sequences that have that step.
Activations, densities, draws and the optimiser are left out.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks import dkf, torch_kit
from benchmarks.row import Contestant, Row

TOGETHER = (
    (dkf.FEATURES, dkf.RNN),
    *((dkf.LATENT, dkf.TRANSITION), (dkf.TRANSITION, dkf.LATENT)) * 2,
    *((dkf.LATENT, dkf.LATENT),) * 2,
    *((dkf.LATENT, dkf.EMISSION), (dkf.EMISSION, dkf.EMISSION), (dkf.EMISSION, dkf.FEATURES)),
)
"""Inputs and outputs of the layers that take all steps at once."""

ALONG = ((dkf.RNN, dkf.RNN), (dkf.LATENT, dkf.RNN), (dkf.RNN, 2 * dkf.LATENT))
"""Those that take a step after the other."""


def products(lengths: Tensor) -> None:
    """Multiplies matrices of the sizes of one step's layers with sequences of these lengths."""
    alive = [int((lengths > t).sum()) for t in range(int(lengths.max()))]
    rows = sum(alive)
    for inputs, outputs in TOGETHER:
        weight, x, back = _filled(inputs, outputs), _filled(rows, inputs), _filled(rows, outputs)
        torch.mm(x, weight)
        torch.mm(back, weight.T)
        torch.mm(x.T, back)
    for inputs, outputs in ALONG:
        weight, x, back = _filled(inputs, outputs), _filled(rows, inputs), _filled(rows, outputs)
        at = 0
        for count in alive:
            torch.mm(x[at : at + count], weight)
            torch.mm(back[at : at + count], weight.T)
            at += count
        torch.mm(x.T, back)


def _filled(rows: int, columns: int) -> Tensor:
    return torch.full((rows, columns), 0.1)


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; it has no loss."""
    lengths = torch.from_numpy(dkf.lengths(row.size))

    def step(index: Tensor) -> Tensor:
        with torch.no_grad():
            products(lengths[index])
        return torch.zeros(())

    def check(repeats: int) -> np.ndarray:
        return np.zeros((repeats, 1))

    return Contestant(torch_kit.epoch(torch.arange(row.size), row.batch, step), check)
