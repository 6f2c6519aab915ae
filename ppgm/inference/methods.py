"""Methods of inference: how `ppgm.infer` draws from the posterior of the latents.

A method is a value; swapping one for another changes one word. `ppgm.infer` documents what
each returns.
"""

__all__ = ["HMC", "NUTS", "SVI", "Guide", "Importance"]

from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm.domains import check_number
from ppgm.errors import ArgumentError
from ppgm.optimisers import Adam


def _positive(method: Any, *names: str) -> None:
    for name in names:
        value = getattr(method, name)
        number = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not number or value < 1:
            raise ArgumentError(
                f"{type(method).__name__}: {name} must be an integer of at least 1, not {value!r}"
            )


@dataclass(frozen=True)
class SVI:
    """Trains the program by an objective, then draws from the guide.

    Args:
        objective: What to train by.
        steps: Optimisation steps.
        draws: Draws of each chain.
        chains: Restarts, each with a seed of its own.
        batch_size: Rows of a minibatch, or None.
        optimiser: As in `ppgm.fit`.
    """

    objective: Any
    steps: int = 2000
    draws: int = 1000
    chains: int = 1
    batch_size: int | None = None
    optimiser: Any = Adam()

    def __post_init__(self) -> None:
        _positive(self, "steps", "draws", "chains")


@dataclass(frozen=True)
class Guide:
    """Draws from the guide of a trained program.

    Args:
        draws: Number of draws.
    """

    draws: int = 1000

    def __post_init__(self) -> None:
        _positive(self, "draws")


@dataclass(frozen=True)
class Importance:
    """Draws from the guide, resampled by their self-normalised weights, row by row.

    Args:
        particles: Draws of the guide for each row.
        draws: Draws kept for each row.
    """

    particles: int = 1000
    draws: int = 1000

    def __post_init__(self) -> None:
        _positive(self, "particles", "draws")


@dataclass(frozen=True)
class NUTS:
    """The host's no-U-turn sampler, on the latents at the program's parameters.

    Args:
        warmup: Steps of adaptation.
        draws: Draws of each chain.
        chains: Number of chains.
        target_accept: Acceptance rate that the step size is tuned to.
        max_tree_depth: Largest depth of a trajectory's tree.
    """

    warmup: int = 1000
    draws: int = 1000
    chains: int = 4
    target_accept: float = 0.8
    max_tree_depth: int = 10

    def __post_init__(self) -> None:
        _positive(self, "warmup", "draws", "chains", "max_tree_depth")
        check_number(self, "target_accept", above=0, below=1)


@dataclass(frozen=True)
class HMC:
    """The host's Hamiltonian Monte Carlo with trajectories of fixed length.

    Args:
        warmup: Steps of adaptation.
        draws: Draws of each chain.
        chains: Number of chains.
        target_accept: Acceptance rate that the step size is tuned to.
        trajectory: Length of a trajectory.
    """

    warmup: int = 1000
    draws: int = 1000
    chains: int = 4
    target_accept: float = 0.8
    trajectory: float = 2.0

    def __post_init__(self) -> None:
        _positive(self, "warmup", "draws", "chains")
        check_number(self, "target_accept", above=0, below=1)
        check_number(self, "trajectory", above=0)
