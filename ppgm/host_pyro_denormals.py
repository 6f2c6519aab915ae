"""Subnormal numbers as zero while a program trains on Pyro, as XLA has them on NumPyro.

Weights that decay towards zero become subnormal numbers, with which processors compute many times
slower: an importance-weighted bound of 50 draws then trains at half its speed or less.
"""

__all__ = ["flushed_denormals"]

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Has torch flush subnormal numbers to zero, and then do as it did before."""
    before = _flushes()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _flushes() -> bool:
    """Tells by a trial: torch does not say."""
    return float(torch.tensor(1e-310, dtype=torch.float64) * 0.5) == 0.0
