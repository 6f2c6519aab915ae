r"""State-space models: what a declaration offers to methods that go through time step by step.

.. math:: p(x, z) = p(z_1) \prod_{t=2}^{T} p(z_t | z_{t-1}) \prod_{t=1}^{T} p(x_t | z_t), \quad
    q(z | x) = q(z_1 | x) \prod_{t=2}^{T} q(z_t | z_{t-1}, x)

A declaration with these methods is a `StateSpace`: its states are one site "z" of paths ``(T, L)``
and its data one site "x" of sequences ``(T, D)``, and its model and guide are made of the same
parts, so that a particle filter weighs what an importance weighted bound would.
"""

__all__ = ["Emitted", "StateSpace"]

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from ppgm.chains import MarkovChain
from ppgm.distributions import Portable
from ppgm.ops import Array
from ppgm.series import Series


class Emitted(Portable, Protocol):
    """Distribution of data given states, events ``(T, D)``."""

    def steps(self, value: Array) -> Array:
        """Returns the log densities of the steps of ``(*, D)``, what is missing left out."""
        ...


@runtime_checkable
class StateSpace(Protocol):
    """A declaration of sequences whose states are a Markov chain."""

    def prior(self, series: Series) -> MarkovChain:
        """Returns the distribution of paths before data are seen."""
        ...

    def posterior(self, series: Series) -> MarkovChain:
        """Returns the guide's distribution of paths."""
        ...

    def emission(self, series: Series) -> Callable[[Array, Array | None], Emitted]:
        """Returns the map from states ``(*, L)`` to the distribution of their data.

        Its second argument says what has been seen, ``(*, D)`` or ``(*, 1)``; None for all.
        """
        ...
