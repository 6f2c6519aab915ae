"""Flows of flowjax as maps of ppgm; see `ppgm.guides.flowjax_flow`."""

__all__ = ["FlowjaxMap", "FlowjaxNet"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
from flowjax import flows
from flowjax.bijections import RationalQuadraticSpline
from flowjax.distributions import Normal
from jax import Array
from jax.core import eval_context

from ppgm.errors import ArgumentError, did_you_mean
from ppgm.nets_equinox import flatten, unflatten
from ppgm.nets_stack import AbstractForeign, generator_of


@dataclass(frozen=True)
class FlowjaxNet(AbstractForeign):
    """A flow of flowjax as a network.

    Attributes:
        flow: Name of a function of `flowjax.flows`, or a callable of the same arguments.
        features: Number of coordinates.
        context: Width of the context.
        knots: Number of knots of splines; 0 for the flow's own transformer.
        interval: Half the length of the interval on which splines bend.
        options: Further arguments, as pairs.
    """

    flow: str | Callable[..., Any]
    features: int
    context: int
    knots: int
    interval: float
    options: tuple[tuple[str, Any], ...]

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name, in order."""
        return {n: tuple(v.shape) for n, v in flatten(_split(self)[0]).items()}

    def initial(self, seed: int, name: str) -> dict[str, np.ndarray]:
        """Return initial parameters, flowjax's own."""
        drawn = int(generator_of(seed, name, "flowjax").integers(2**31))
        trained, _ = _partition(self.made(drawn))
        return {n: np.array(v) for n, v in flatten(trained).items()}

    def build(self, arrays: Mapping[str, Any], dtype: Any) -> "FlowjaxModule":
        """Return the module; what it draws beside parameters, such as orders, is always alike."""
        return FlowjaxModule(unflatten(_split(self)[0], arrays), self)

    def made(self, seed: int) -> Any:
        """Return the flow's bijection, in the direction in which draws are fast."""
        make = self.flow if callable(self.flow) else _function_of(self.flow)
        options = dict(self.options)
        if self.knots:
            spline = RationalQuadraticSpline(knots=self.knots, interval=self.interval)
            options["transformer"] = spline
        # with numbers, even where the program runs abstractly; flowjax checks its arguments by
        # `equinox.error_if`, which fails under `jax.ensure_compile_time_eval`
        with eval_context():
            return make(
                jax.random.key(seed), base_dist=Normal(jnp.zeros(self.features)),
                cond_dim=self.context or None, invert=False, **options,
            ).bijection  # fmt: skip


class FlowjaxModule(eqx.Module):
    """Trained arrays of a bijection; the rest of it is that of the spec."""

    trained: Any
    spec: FlowjaxNet = eqx.field(static=True)

    def __call__(self) -> Any:
        """Return the bijection."""
        return paramax.unwrap(eqx.combine(self.trained, _split(self.spec)[1]))


@dataclass(frozen=True)
class FlowjaxMap:
    """The bijection of a flow of flowjax, row by row.

    Attributes:
        bijection: The bijection.
        context: What it is conditional on, ``(*, C)``; None for nothing.
    """

    bijection: Any
    context: Array | None

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant ``(*)``."""
        return self._rows(self.bijection.transform_and_log_det, x)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``(*)``."""
        return self._rows(self.bijection.inverse_and_log_det, y)

    def _rows(self, one: Callable[..., Any], x: Array) -> tuple[Array, Array]:
        if self.context is None:
            return jnp.vectorize(one, signature="(d)->(d),()")(x)
        return jnp.vectorize(one, signature="(d),(c)->(d),()")(x, self.context)


def _partition(bijection: Any) -> tuple[Any, Any]:
    """Returns the arrays that are trained, and the rest."""
    frozen = paramax.NonTrainable
    return eqx.partition(
        bijection, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, frozen)
    )


def _split(spec: FlowjaxNet) -> tuple[Any, Any]:
    """Returns the arrays of a flow that are trained, and the rest, which is always alike."""
    return _split_of(spec, str(jnp.result_type(float)))


@lru_cache(maxsize=64)
def _split_of(spec: FlowjaxNet, _: str) -> tuple[Any, Any]:
    return _partition(spec.made(0))


def _function_of(name: str) -> Any:
    known = [n for n in dir(flows) if n.endswith("_flow")]
    if name not in known:
        raise ArgumentError(
            f"FlowjaxFlow: flow must be one of {', '.join(known)}, not {name!r}"
            f"{did_you_mean(name, known)}"
        )
    return getattr(flows, name)
