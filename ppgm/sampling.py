"""Draws of new data from a trained model."""

__all__ = ["sample"]

from collections.abc import Mapping
from inspect import signature
from typing import Any

import numpy as np

from ppgm import host as hosts
from ppgm.checking import checked_data
from ppgm.errors import ArgumentError
from ppgm.failures import explained
from ppgm.fits import Fit
from ppgm.programs import Program
from ppgm.saving import check_params

Arrays = dict[str, np.ndarray]


def sample(
    fit: Fit,
    n: int = 1,
    *,
    seed: int = 0,
    data: Mapping[str, Any] | None = None,
    steps: int = 1000,
) -> Arrays:
    """Draws new data from a trained model.

    Args:
        fit: The fit.
        n: Number of rows; for a program of your own, number of whole data sets.
        seed: Seed of the draws.
        data: Inputs of the model that are not drawn. A program of your own needs all its data
            here, since they fix the plates; the observed ones are drawn anew.
        steps: Steps of the Markov kernel from random bits, for unnormalised models.

    Returns:
        By site, latent ones included: ``(n, *event)``; of a program of your own
        ``(n, *batch, *event)``.

    Raises:
        ArgumentError: For fewer than one row, or without data that are needed.
        DataError: As `ppgm.fit`.
    """
    if n < 1:
        raise ArgumentError(f"n must be at least 1, not {n}")
    data = None if data is None else checked_data(fit.program, data)
    program, host = fit.program, hosts.load(fit.program.host)
    if program.declaration is None:
        if data is None:
            raise ArgumentError("data is needed to sample a program of your own: it fixes plates")
        check_params(fit, data)
        with explained(program, data, fit.params):
            return host.sample(program, "model", fit.params, data, n, seed)
    if callable(getattr(program.declaration, "kernel", None)):
        return _by_kernel(fit, n, seed, steps)
    model, _ = host.bind(program.declaration, program.seed, n)
    alone, inputs = Program(model, None, program.host), data or {}
    with explained(alone, inputs, fit.params):
        found = host.sample(alone, "model", fit.params, inputs, 1, seed)
    return {name: value[0] for name, value in found.items()}


def _by_kernel(fit: Fit, n: int, seed: int, steps: int) -> Arrays:
    """Draws rows at the ends of chains of the declaration's kernel, from random bits."""
    size = fit.program.declaration.features
    bits = np.random.default_rng(seed).integers(0, 2, (n, size)).astype(float)
    host = hosts.load(fit.program.host)
    name = list(signature(fit.program.declaration.kernel).parameters)[1]  # after ppl
    ends = host.kernel(fit.program, fit.params, {name: bits}, bits, steps, seed)
    return {name: ends}
