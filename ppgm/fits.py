"""What training returns, and what it tells on the way: `Fit`, `Epoch`, and when to stop early."""

__all__ = ["EarlyStopping", "Epoch", "Fit", "as_fit"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ppgm import host as hosts
from ppgm.domains import check_number, check_size
from ppgm.failures import explained
from ppgm.programs import Program


class Epoch(NamedTuple):
    """What a callback is told after an epoch.

    Attributes:
        epoch: Number of epochs done.
        metrics: Means of the epoch by name, "bound" among them.
        params: Function that returns the parameters at this point.
    """

    epoch: int
    metrics: dict[str, float]
    params: Callable[[], dict[str, np.ndarray]]


@dataclass(frozen=True)
class EarlyStopping:
    """Stops when a metric has not risen for `patience` epochs, and keeps the best parameters.

    Only epochs of the running fit count, not those of a `Fit` that it goes on from.

    Args:
        monitor: The metric, "validation" (needs validation data) or "bound".
        patience: Number of epochs without a rise.
        min_delta: The least that counts as a rise.
    """

    monitor: str = "validation"
    patience: int = 10
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        check_size(self, "patience")
        check_number(self, "min_delta")


class Fit(NamedTuple):
    """A trained program.

    Attributes:
        program: The program.
        params: Constrained parameters by canonical name, such as "decoder.layers.0.weight"
            ``(out, in)``; the same names and layouts on both hosts.
        history: Arrays with one entry per epoch: "epoch", "seconds" (from the start), "bound"
            (per datum; of the whole data with global latents), "validation", "<player>.loss".
            An epoch that was left in the middle makes a last entry.
        state: All that a bit-identical continuation needs; empty if dropped.
        config: How it was trained: objective, optimisers, seed, batch size, epochs and steps.
    """

    program: Program
    params: dict[str, np.ndarray]
    history: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    config: dict[str, Any]

    def save(self, folder: str | Path) -> Path:
        """Writes the fit to a folder: safetensors and JSON; see `ppgm.load`."""
        from ppgm.saving import save

        return save(self, folder)

    def to(self, host: str) -> "Fit":
        """Returns the fit on another host; only programs of a declaration can move.

        The parameters go along; the optimiser's state, which is the host's own, does not.
        """
        from ppgm.saving import move

        return move(self, host)

    def native_params(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the parameters by the host's own names, for the host's own tools.

        Args:
            data: Data to run the program with, to find its parameters; a few rows will do.

        Returns:
            Constrained tensors on Pyro; arrays and pytrees of networks on NumPyro, as
            ``Predictive(..., params=...)`` and ``SVI.init`` take them.
        """
        from ppgm.exporting import native_params

        return native_params(self, data)

    def install(self, data: Mapping[str, Any]) -> None:
        """Sets Pyro's parameter store, and the modules of model and guide, to these parameters.

        Args:
            data: Data to run the program with, to find its parameters; a few rows will do.

        Raises:
            ArgumentError: On NumPyro, which has no store: hand it `native_params`.
        """
        from ppgm.exporting import install

        install(self, data)

    def __str__(self) -> str:
        from ppgm.saving import describe

        return describe(self)


def as_fit(program: Program | Fit, data: Mapping[str, Any]) -> Fit:
    """Returns a fit as it is, and a program at its initial parameters."""
    if isinstance(program, Fit):
        return program
    with explained(program, data):
        params = hosts.load(program.host).initial(program, data, program.seed)
    return Fit(program, params, {}, {}, {})
