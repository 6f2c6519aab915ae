"""A guide of NumPyro's own `SVI` that keeps what an objective owns."""

__all__ = ["KEPT", "NumpyroGuide", "after", "before"]

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer
from numpyro import handlers
from numpyro.primitives import mutable

from ppgm.host_numpyro_native_view import Opened, open_program
from ppgm.host_numpyro_ppl import NumpyroNamespace
from ppgm.inference.objective import AbstractObjective
from ppgm.influences import Reach
from ppgm.nets_equinox import build
from ppgm.programs import Program
from ppgm.views import View

KEPT = "objective"
"""Name of the mutable state: ``{"step": ..., "state": {...}}``."""


class NumpyroGuide:
    """A guide, and beside it the networks, the state and the number of steps of an objective.

    ``SVI.init`` runs it and finds the networks as parameters, ``"baseline$params"``, and the rest
    as mutable state, `KEPT`; both are in the state of SVI from then on, and nothing is here. The
    state is zero until the first step, which makes it from a first draw.

    Args:
        objective: The objective.
        program: Model and guide.
        reach: What is known of programs' influences.
        seed: Seed of the networks' initial weights.

    Attributes:
        guide: The guide alone.
    """

    def __init__(
        self, objective: AbstractObjective, program: Program, reach: Reach, seed: int = 0
    ) -> None:
        self.objective = objective
        self.guide: Any = program.guide
        self._program, self._reach, self._ppl = program, reach, NumpyroNamespace(seed)
        self._found: tuple[Mapping[str, Any], dict[str, jax.ShapeDtypeStruct]] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the guide, and declares what the objective owns."""
        drawn = self.guide(*args, **kwargs)  # an automatic guide keeps its first run
        if self._found is None:
            with handlers.block():
                self._found = self._look(args, kwargs)
        nets, state = self._found
        for name, spec in nets.items():
            self._ppl.module(name, spec)
        zeros = {name: jnp.zeros(s.shape, s.dtype) for name, s in state.items()}
        # numpyro annotates arrays alone, and its own modules hold trees as well
        mutable(KEPT, {"step": jnp.zeros((), int), "state": zeros})  # pyright: ignore[reportArgumentType]
        return drawn

    def _look(
        self, args: tuple[Any, ...], data: dict[str, Any]
    ) -> tuple[Mapping[str, Any], dict[str, jax.ShapeDtypeStruct]]:
        """Returns the networks' specs, and shapes and types of the state."""
        specs: dict[str, Any] = {}

        def start(key: Array) -> dict[str, Array]:
            opened = open_program(self.objective, self._program, {}, key, args, data, self._reach)
            specs.update(self.objective.nets(opened.table))
            dtype = jnp.result_type(float)
            nets = {n: build(s, s.initial(self._ppl.seed, n), dtype) for n, s in specs.items()}
            return opened._replace(nets=nets).start(key)

        key = jax.random.key(0)
        try:
            shapes = jax.eval_shape(start, key)
        except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):  # it looks at numbers
            shapes = start(key)
        return specs, {n: jax.ShapeDtypeStruct(v.shape, v.dtype) for n, v in shapes.items()}


def before(opened: Opened, kept: Any, key: Array) -> tuple[Any, dict[str, Array]]:
    """Returns step and state that a loss is computed with.

    Args:
        opened: The program.
        kept: What the guide keeps, or None where NumPyro does not say.
        key: Key of the draw that the first state is made from.
    """
    if kept is None:
        return 0, opened.start(key)
    step, state = kept["step"], kept["state"]
    if not state:
        return step, {}

    def first() -> dict[str, Array]:
        return _like(state, opened.start(key))

    if isinstance(step, Tracer):
        return step, jax.lax.cond(step == 0, first, lambda: state)
    return step, first() if step == 0 else state


def after(kept: Any, view: View, loss: Array) -> Any:
    """Returns what the guide keeps after a step.

    One whose loss is not finite is no step: `SVI.stable_update` leaves the parameters as they
    were, and its signals would be in all running means after.
    """
    new = _like(kept, {"step": view.step + 1, "state": view.state})
    return jax.tree.map(lambda n, o: jnp.where(jnp.isfinite(loss), n, o), new, kept)


def _like(old: Any, new: Any) -> Any:
    """Gives arrays the types of others, which a compiled loop holds them to; cuts gradients."""
    return jax.tree.map(lambda o, n: jax.lax.stop_gradient(jnp.asarray(n, o.dtype)), old, new)
