r"""Estimators of the gradient of a bound: which there are, and their contract.

A bound :math:`L(w_1, ..., w_K)` of the Renyi family has many unbiased estimators of its gradient,
and some biased ones. Which is used is a field of the bound, and changes neither its value nor
what is logged: ``IWAE(10, gradient="dreg")``, ``ELBO(4, gradient="rloo")``. A name stands for an
estimator with its usual options; an estimator with others is given as a value,
``ELBO(gradient=Gumbel(temperature=0.3))``.

| name | estimator | draws |
|---|---|---|
| "path" | through reparameterised draws; score function of the others | any |
| "stl" | path without the guide's score (Roeder et al., 2017); biased for K > 1 beside ELBO | reparameterised |
| "dreg" | doubly reparameterised (Tucker et al., 2019) | reparameterised |
| "score" | score function of all draws (Ranganath et al., 2014) | any |
| "rloo", "vimco" | score function, leave-one-out signals (Kool et al., 2019; Mnih & Rezende, 2016) | any |
| "nvil" | score function, learnt baseline, local signals (Mnih & Gregor, 2014) | any |
| "disarm", "arm" | antithetic pairs of bits (Dong et al., 2020; Yin & Zhou, 2019) | bits |
| "gumbel", "straight-through" | relaxed draws (Jang et al., 2017); biased | bits, one-hot |
"""  # noqa: E501

__all__ = ["NAMES", "AbstractGradient", "AnyBound", "Gradient", "resolve"]

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from ppgm import registry
from ppgm.errors import ArgumentError, did_you_mean
from ppgm.inference.schedules import has_schedule
from ppgm.inference.tempering import Tempering
from ppgm.ops import Array
from ppgm.sites import SiteTable
from ppgm.terms import Ask, Weights
from ppgm.views import View

NAMES = (
    "path", "stl", "dreg", "score", "rloo", "vimco", "nvil", "disarm", "arm", "gumbel",
    "straight-through",
)  # fmt: skip
"""Names of the estimators of ppgm; those of plug-ins are names too (``ppgm list gradients``)."""


class AnyBound(Protocol):
    """What an estimator may know of its bound."""

    @property
    def particles(self) -> int:
        """Number of draws K."""
        ...

    @property
    def enumerate(self) -> tuple[str, ...]:
        """Finite sites that are summed over."""
        ...

    @property
    def title(self) -> str:
        """Its name, for messages."""
        ...

    @property
    def order(self) -> float:
        """Its order alpha."""
        ...

    @property
    def tempering(self) -> Tempering:
        """How its weights are tempered."""
        ...


class AbstractGradient(ABC):
    """An estimator of the gradient of a bound of the Renyi family.

    It is a frozen dataclass: what it remembers between steps is state of the view.
    """

    def weights(self, view: View, ask: Ask) -> Weights:
        """Asks the view for the weights that `rows` needs."""
        return view.ask(ask)

    @abstractmethod
    def rows(self, weights: Weights, alpha: float, particles: int) -> Array:
        """Returns the bound per row, ``(*rows)``, with the estimator's gradient.

        Args:
            weights: Log weights of the draws.
            alpha: Order of the bound.
            particles: Number of draws K; the first axis is longer where sites are enumerated.
        """

    def extra(self, view: View, weights: Weights, alpha: float, particles: int) -> Array | float:
        """Returns a scalar of value zero whose gradient belongs to the estimate per datum."""
        return 0.0

    def check(self, table: SiteTable, of: AnyBound) -> None:  # noqa: B027
        """Checks that the estimator can be right for the program's sites.

        Args:
            table: The sites, without those of the guide that are enumerated.
            of: The bound: its `title`, `order`, `particles` and `enumerate` count.

        Raises:
            EstimatorError: Names the site, the reason, and what to use instead.
        """

    def bias(self, of: AnyBound) -> str:
        """Returns what makes its mean another gradient than the bound's, in words, or ""."""
        return ""

    def nets(self, table: SiteTable) -> Mapping[str, Any]:
        """Returns the specs of the networks that the estimator owns."""
        return {}

    def start(self, view: View, alpha: float, ask: Ask) -> dict[str, Array]:
        """Returns the state that the estimator owns at the first step."""
        return {}

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the networks that it trains beside the program."""
        return ()

    @property
    def stateful(self) -> bool:
        """Whether it owns networks or state."""
        return False

    @property
    def scheduled(self) -> bool:
        """Whether it reads `View.step`; by default, whether a field of it is a schedule."""
        return has_schedule(self)

    @property
    def exact(self) -> bool:
        """Whether the value of `rows` is the bound of exact draws."""
        return True

    @property
    def local(self) -> bool:
        """Whether it needs `ppgm.sites.SiteTable.influences`."""
        return False


Gradient: TypeAlias = str | AbstractGradient
"""A name of the table above, or an estimator."""


def resolve(gradient: Gradient) -> AbstractGradient:
    """Returns the estimator that a name stands for.

    Raises:
        ArgumentError: If it is neither a name of the table nor an estimator.
    """
    if isinstance(gradient, AbstractGradient):
        return gradient
    made = None
    if isinstance(gradient, str) and (gradient in NAMES or gradient in _plugins()):
        made = registry.get("gradients", gradient)()
    if not isinstance(made, AbstractGradient):
        names = sorted({*NAMES, *_plugins()})
        hint = did_you_mean(gradient, names) if isinstance(gradient, str) else ""
        raise ArgumentError(
            f"gradient must be one of {names} or an estimator of ppgm.inference.gradients, "
            f"not {gradient!r}{hint}"
        )
    return made


def _plugins() -> list[str]:
    return [e.name for e in registry.catalogue("gradients") if e.origin != "ppgm"]
