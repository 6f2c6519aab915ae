"""The `ppl` namespace: the names that Pyro and NumPyro share, for programs written once.

A declaration's ``model(self, ppl, ...)`` and ``guide(self, ppl, ...)`` get a `Namespace` of the
host that they are bound to.
"""

__all__ = ["Namespace", "guide_of", "plate_size"]

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from numpy import ndarray

from ppgm.errors import ModelError
from ppgm.latents import Latent
from ppgm.ops import Array, Ops


class Namespace(Protocol):
    """What a declaration may use of its host.

    Attributes:
        host: Name of the host.
        np: Array API namespace of the host.
        ops: The array functions that the standard lacks.
        distributions: The host's distributions, with its known faults mended.
        seed: Seed of initial values.
    """

    host: str
    seed: int
    np: Any
    ops: Ops
    distributions: Any

    def sample(
        self, name: str, fn: Any, obs: Array | None = None, *, infer: dict[str, Any] | None = None
    ) -> Array:
        """Draws or observes a site; `infer` says more about it to the host."""
        ...

    def plate(self, name: str, x: Any, dim: int | None = None) -> AbstractContextManager[Any]:
        """Independent rows: `x` is an array with one row each, or the number of rows.

        Its size and, under minibatches, the number of data that a row stands for come from
        the engine. With ``x=None`` it has as many rows as the engine asks for, or one.
        """
        ...

    def param(
        self, name: str, init: ndarray | Callable[[], ndarray], constraint: str = "real"
    ) -> Array:
        """A parameter: `constraint` is "real", "positive", "unit_interval" or "simplex"."""
        ...

    def module(self, name: str, net: Any, **options: Any) -> Callable[[Array], Array]:
        """A network: a spec of `ppgm.nets`, or a module of the host's libraries."""
        ...

    def deterministic(self, name: str, value: Array) -> Array:
        """Names a value."""
        ...

    def factor(self, name: str, log_factor: Array) -> None:
        """Adds to the log density."""
        ...

    def mask(self, mask: Array) -> AbstractContextManager[Any]:
        """Leaves rows out of the log density."""
        ...

    def distribution(self, portable: Any) -> Any:
        """Turns a portable distribution into one of the host."""
        ...

    def latents(
        self, model: Callable[..., Any], args: tuple[Any, ...], data: Mapping[str, Any]
    ) -> list[Latent]:
        """Runs a model of the host apart from everything else, and returns its latent sites."""
        ...


def guide_of(declaration: Any) -> Callable[..., Any] | None:
    """Returns the guide of a declaration, None if it has none.

    It is the method `guide`; or, of a declaration whose field `guide` is the name of one of
    several, the method `guided`.
    """
    guide = getattr(declaration, "guide", None)
    return declaration.guided if isinstance(guide, str) else guide


def plate_size(name: str, x: Any, rows: int | None) -> int:
    """Returns the size of a plate that a declaration opens over `x`."""
    if x is None:
        return 1 if rows is None else rows
    if isinstance(x, int):
        return x
    shape = getattr(x, "shape", None)
    if not shape:
        raise ModelError(
            f"plate '{name}' needs an array with one row per datum, a number of rows or None, "
            f"not {type(x).__name__}"
        )
    return int(shape[0])
