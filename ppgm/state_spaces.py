r"""State-space models: what a declaration offers to methods that go through time step by step.

.. math:: p(x, z) = p(z_1) \prod_{t=2}^{T} p(z_t | z_{t-1}) \prod_{t=1}^{T} p(x_t | z_t), \quad
    q(z | x) = q(z_1 | x) \prod_{t=2}^{T} q(z_t | z_{t-1}, x)

A declaration with these methods is a `StateSpace`: its states are one site "z" of paths ``(T, L)``
and its data one site "x" of sequences ``(T, D)``, and its model and guide are made of the same
parts, so that a particle filter weighs what an importance weighted bound would.
"""

__all__ = ["Emitted", "StateSpace", "require"]

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from ppgm.chains import MarkovChain
from ppgm.distributions import Portable
from ppgm.errors import EstimatorError
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


def require(declaration: Any, name: str, *, use: str) -> StateSpace:
    """Returns the declaration of a program if it is a state space.

    Args:
        declaration: The declaration, or None for a program of the host's own.
        name: What needs it, for the message.
        use: What to use instead.

    Raises:
        EstimatorError: Says what is missing, and what to use instead.
    """
    if isinstance(declaration, StateSpace):
        return declaration
    what = "a program of the host's own" if declaration is None else type(declaration).__name__
    methods = ("prior", "posterior", "emission")
    missing = [m for m in methods if not callable(getattr(declaration, m, None))]
    raise EstimatorError(
        f"{name} goes through the states of a sequence one by one: it needs a declaration with "
        f"the methods {', '.join(methods)} (see ppgm.state_spaces), such as DKF or "
        f"LinearGaussianSSM, run by ppgm itself, and {what} has no {', '.join(missing)}",
        use=(use,),
    )
