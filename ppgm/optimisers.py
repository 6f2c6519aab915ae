"""Optimisers that mean the same on both hosts.

`ppgm.fit` also takes the host's own: an optax transformation on NumPyro, and on Pyro a function
from parameters to a ``torch.optim`` optimiser.
"""

__all__ = ["SGD", "Adam", "AdamW", "RMSprop", "refusal"]

from dataclasses import dataclass
from typing import Any

from ppgm.domains import check_number
from ppgm.errors import ArgumentError


def refusal(given: Any, wanted: str, why: str = "") -> ArgumentError:
    """Returns the error for what is no optimiser on a host.

    Args:
        given: What was given.
        wanted: What the host takes beside the classes of this module.
        why: What came of trying it.
    """
    source = type(given).__module__
    what = f"{source.partition('.')[0]}'s {type(given).__name__}"
    if source.startswith(("pyro.optim", "numpyro.optim")):
        what += f", which works in {source.partition('.')[0]}'s own SVI only"
    elif isinstance(given, type):
        what = f"the class {given.__name__}: call it"
    elif source == "builtins":
        what = getattr(given, "__name__", repr(given))
    return ArgumentError(
        "optimiser must be one of ppgm.optimisers, such as Adam(rate=1e-3), or "
        f"{wanted}, not {what}{why}"
    )


def _check(optimiser: Any, *, decays: tuple[str, ...] = ()) -> None:
    """Checks the numbers of an optimiser; a rate of 0 leaves its parameters as they are."""
    check_number(optimiser, "rate", least=0)
    for name in decays:
        check_number(optimiser, name, least=0, below=1)
    if hasattr(optimiser, "eps"):
        check_number(optimiser, "eps", above=0)
    if optimiser.clip_norm is not None:
        check_number(optimiser, "clip_norm", above=0)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba, 2015), https://arxiv.org/abs/1412.6980.

    Args:
        rate: Learning rate; 0 leaves the parameters as they are.
        b1: Decay of the mean of gradients.
        b2: Decay of the mean of squared gradients.
        eps: Added to the root of the latter.
        clip_norm: Largest norm of the whole gradient, or None.
    """

    rate: float = 1e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        _check(self, decays=("b1", "b2"))


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019), arxiv.org/abs/1711.05101."""

    rate: float = 1e-3
    decay: float = 1e-2
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        check_number(self, "decay", least=0)
        _check(self, decays=("b1", "b2"))


@dataclass(frozen=True)
class SGD:
    """Gradient descent with momentum (0 for none)."""

    rate: float = 1e-2
    momentum: float = 0.0
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        _check(self, decays=("momentum",))


@dataclass(frozen=True)
class RMSprop:
    """RMSprop (Tieleman & Hinton, 2012), lecture 6.5 of Neural Networks for Machine Learning."""

    rate: float = 1e-3
    decay: float = 0.99
    eps: float = 1e-8
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        _check(self, decays=("decay",))
