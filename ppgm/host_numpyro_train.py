"""Training on NumPyro: chunks of steps in one compiled loop, the data on the device."""

__all__ = ["NumpyroTrainer"]

import threading
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
from jax import Array
from numpyro.optim import _NumPyroOptim

from ppgm.batches import CHUNK, Steps
from ppgm.errors import ModelError
from ppgm.host_numpyro_keys import JaxRng
from ppgm.host_numpyro_ops import to_array, to_numpy
from ppgm.host_numpyro_run import constrain, flatten, open_setup, unconstrain, unflatten
from ppgm.host_numpyro_runner import NumpyroRunner
from ppgm.inference.objective import AbstractObjective, Player
from ppgm.layouts import make_layout
from ppgm.nets_equinox import build
from ppgm.optimisers import SGD, Adam, AdamW, RMSprop, refusal
from ppgm.programs import Program
from ppgm.rows import row_names
from ppgm.sites import SiteTable
from ppgm.views import View


class State(NamedTuple):
    """All that changes in a step.

    Attributes:
        params: Unconstrained parameters and networks, by name.
        slots: State of each player's optimiser.
        owned: State that the objective owns.
        key: Key of the draws to come.
        step: Number of steps done.
    """

    params: dict[str, Any]
    slots: dict[str, Any]
    owned: dict[str, Array]
    key: Array
    step: Array


class NumpyroTrainer:
    """Steps the players of an objective; the state is one pytree, `state`.

    Args:
        source: The program.
        objective: What to train by.
        table: Sites of the program for a batch.
        data: The whole data, or the first batch of a stream.
        optimisers: Optimiser of each player.
        seed: Seed of weights and draws.
        total: Number of rows of the whole data (1 with global latents).
        params: Parameters to start from; those of the program where absent.
        sample: A batch to find the parameters with; by default the data.
    """

    def __init__(
        self,
        source: Program,
        objective: AbstractObjective,
        table: SiteTable,
        data: Mapping[str, Any],
        optimisers: Mapping[str, Any],
        seed: int,
        total: float,
        params: Mapping[str, np.ndarray] | None = None,
        sample: Mapping[str, Any] | None = None,
    ) -> None:
        self.objective, self.table, self.total = objective, table, total
        arrays = {k: to_array(v) for k, v in data.items()}
        self.static = {k: v for k, v in arrays.items() if not isinstance(v, jax.Array)}
        self.data = {k: v for k, v in arrays.items() if isinstance(v, jax.Array)}
        self.sliced = row_names(self.data)
        with numpyro.validation_enabled(is_validate=False):  # a bad start is told of by `fit`
            self.setup = open_setup(source, sample or data, params, seed)
        nets = {
            name: build(spec, spec.initial(seed, name), jnp.result_type(float))
            for name, spec in objective.nets(table).items()
        }
        self.nets = unflatten(nets, params or {})
        self.optimisers = {p.name: _optimiser(optimisers[p.name]) for p in objective.players}
        free = unconstrain(self.setup, self.setup.params) | self.nets
        slots = {
            p.name: self.optimisers[p.name].init(self._mine(free, p)) for p in objective.players
        }
        self.interrupted: threading.Event | None = None  # a compiled chunk runs to its end
        self._steps, self._measure = self._functions(source, optimisers)
        self.state = State(free, slots, {}, jax.random.key(seed), jnp.zeros((), int))

    def _functions(self, source: Program, optimisers: Mapping[str, Any]) -> tuple[Any, Any]:
        """Returns the compiled functions: those of an earlier fit, if only numbers differ.

        This is known of frozen declarations alone: what a function of the user's closes over
        may have changed since.
        """
        engine = copy(self)
        engine.data = {}  # compiled functions must not keep data alive
        options = getattr(source.declaration, "__dataclass_params__", None)
        static = tuple((name, type(value), value) for name, value in self.static.items())
        key = (
            source.declaration, self.objective, tuple(optimisers.items()), self.total, static,
            tuple(self.sliced), repr(self.table), jnp.result_type(float),
        )  # fmt: skip
        recipe = _Recipe(key, engine)
        if options is None or not options.frozen:
            return _compiled.__wrapped__(recipe)
        try:
            return _compiled(recipe)
        except TypeError:  # a part of the key has no hash
            return _compiled.__wrapped__(recipe)

    def start(self, index: np.ndarray | None, scale: float, step: int = 0) -> None:
        """Lets the objective make its state from the first batch, after `step` steps."""
        key, first = jax.random.split(self.state.key)
        batch = self._batch(self.data, None if index is None else jnp.asarray(index))
        view = self._view(self.state.params, JaxRng(first), batch, scale, {}, step)
        owned = self.objective.start(view)
        self.state = self.state._replace(owned=owned, key=key, step=jnp.asarray(step, int))

    def run(
        self, index: np.ndarray | None, mask: np.ndarray | None, scale: float, steps: int
    ) -> Steps:
        """Runs steps over rows of the data, up to the last that leaves everything finite.

        Args:
            index: Rows of each step, ``(steps, B)``, or None for all rows in every step.
            mask: Which of them count, ``(steps, B)``, or None for all.
            scale: Number of data that a row stands for.
            steps: Number of steps.
        """
        weights = None if mask is None else _padded(mask * scale, steps)
        rows = None if index is None else _padded(index, steps)
        call = partial(self._steps, data=self.data, rows=rows, weights=weights, scale=scale)
        return self._guarded(call, steps)

    def run_batch(self, batch: Mapping[str, Any], scale: float) -> Steps:
        """Runs one step with a batch that is not among the data."""
        arrays = {k: to_array(v) for k, v in batch.items() if k not in self.static}
        return self._guarded(
            partial(self._steps, data=arrays, rows=None, weights=None, scale=scale), 1
        )

    def _guarded(self, call: Any, steps: int) -> Steps:
        """Runs steps; if one goes wrong, ends at the last that left everything finite."""
        before = self.state
        self.state, log, finite = call(before, count=steps)
        found = {name: np.asarray(values)[:steps] for name, values in log.items()}
        good = np.all([np.isfinite(v) for v in found.values()], axis=0)
        if finite and good.all():
            return Steps(found)
        count, cause = steps, {}
        if not good.all():
            count = int(np.argmin(good))
            cause = {name: float(v[count]) for name, v in found.items()}
            self.state, _, finite = call(before, count=count)
        while count and not finite:  # a finite loss, and a step that was not
            count -= 1
            cause = {name: float(v[count]) for name, v in found.items()}
            cause["parameters"] = float("nan")
            self.state, _, finite = call(before, count=count)
        return Steps({name: values[:count] for name, values in found.items()}, cause)

    def _run_steps(
        self, state: State, data: Any, rows: Any, weights: Any, scale: Any, count: Any
    ) -> tuple[State, dict[str, Array], Array]:
        """Runs `count` steps; the last value tells whether all parameters are finite after."""

        def step(state: State, i: Any) -> tuple[State, dict[str, Array]]:
            batch = self._batch(data, None if rows is None else rows[i])
            return self._step(state, batch, scale if weights is None else weights[i])

        shapes = jax.eval_shape(step, state, 0)[1]
        log = {name: jnp.zeros((CHUNK,), s.dtype) for name, s in shapes.items()}

        def body(i: Any, carry: tuple[State, dict[str, Array]]) -> tuple[State, dict[str, Array]]:
            state, values = step(carry[0], i)
            return state, {name: carry[1][name].at[i].set(values[name]) for name in values}

        state, log = jax.lax.fori_loop(0, count, body, (state, log))
        # as the program sees them, too: the exponential of a large number overflows
        seen = jax.tree.leaves((state.params, self._constrained(state.params)))
        finite = [jnp.isfinite(leaf).all() for leaf in seen]
        return state, log, jnp.stack(finite).all()

    def _step(self, state: State, batch: Any, scale: Any) -> tuple[State, dict[str, Array]]:
        log: dict[str, Array] = {}
        for player in self.objective.players:
            for _ in range(player.steps):
                state, log = self._play(state, player, batch, scale, log)
        return state._replace(step=state.step + 1), log

    def _play(
        self, state: State, player: Player, batch: Any, scale: Any, log: dict[str, Array]
    ) -> tuple[State, dict[str, Array]]:
        rng = JaxRng(state.key)
        key = rng.split()

        def loss(own: Any) -> tuple[Array, tuple[Any, Any]]:
            params = state.params | own
            view = self._view(params, rng, batch, scale, state.owned, state.step)
            value = self.objective(view, player.name)
            return value, (view.state, view.metrics)

        own = self._mine(state.params, player)
        (value, (owned, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(own)
        updates, slots = self.optimisers[player.name].update(grads, state.slots[player.name], own)

        state = State(
            state.params | cast(dict[str, Any], optax.apply_updates(own, updates)),
            state.slots | {player.name: slots},
            jax.lax.stop_gradient(owned), key, state.step,
        )  # fmt: skip
        return state, log | metrics | {f"{player.name}.loss": value}

    def _losses(self, state: State, data: Any, key: Array, total: float) -> dict[str, Array]:
        log: dict[str, Array] = {}
        for player in self.objective.players:
            view = self._view(state.params, JaxRng(key), data, 1.0, state.owned, state.step, total)
            log[f"{player.name}.loss"] = self.objective(view, player.name)
            log |= view.metrics
        return log

    def bound(self, data: Mapping[str, Any], seed: int, total: float) -> dict[str, float]:
        """Returns losses and metrics on other data of `total` rows, without a step."""
        arrays = {k: to_array(v) for k, v in data.items() if k not in self.static}
        log = self._measure(self.state, arrays, jax.random.key(seed), total)
        return {name: float(value) for name, value in log.items()}

    def params(self) -> dict[str, np.ndarray]:
        """Returns constrained parameters, the objective's networks among them."""
        return flatten(self._constrained(self.state.params))

    def export(self) -> dict[str, np.ndarray]:
        """Returns all that a bit-identical continuation needs, as flat arrays."""
        flat = {"step": np.asarray(self.state.step), "rng": to_numpy(_key_data(self.state.key))}
        flat |= {f"leaf/{n}": v for n, v in flatten(self.state.params).items()}
        flat |= {f"state/{n}": to_numpy(v) for n, v in self.state.owned.items()}
        for player, slots in self.state.slots.items():
            for i, leaf in enumerate(jax.tree.leaves(slots)):
                flat[f"optimiser/{player}/{i}"] = to_numpy(leaf)
        return flat

    def restore(self, flat: Mapping[str, np.ndarray]) -> None:
        """Sets the state from what `export` returned."""
        leaves = {k.removeprefix("leaf/"): v for k, v in flat.items() if k.startswith("leaf/")}
        owned = {k.removeprefix("state/"): v for k, v in flat.items() if k.startswith("state/")}
        slots = {}
        for player, template in self.state.slots.items():
            old, tree = jax.tree.flatten(template)
            new = [
                jnp.asarray(flat[f"optimiser/{player}/{i}"], leaf.dtype)
                for i, leaf in enumerate(old)
            ]
            slots[player] = jax.tree.unflatten(tree, new)
        self.state = State(
            unflatten(self.state.params, leaves), slots,
            {n: jnp.asarray(v) for n, v in owned.items()},
            jax.random.wrap_key_data(jnp.asarray(flat["rng"])), jnp.asarray(flat["step"], int),
        )  # fmt: skip

    def close(self) -> None:
        """Nothing of the user's was touched."""

    def _mine(self, params: Mapping[str, Any], player: Player) -> dict[str, Any]:
        names = dict.fromkeys(
            n for g in player.groups for n in ((g,) if g in self.nets else self.setup.groups[g])
        )
        if not names:
            raise ModelError(
                f"there is nothing to train: {' and '.join(player.groups)} have no parameters"
            )
        return {n: params[n] for n in names}

    def _constrained(self, params: dict[str, Any]) -> dict[str, Any]:
        own = {n: params[n] for n in self.setup.params}
        return constrain(self.setup, own) | {n: params[n] for n in self.nets}

    def _view(
        self,
        params: dict[str, Any],
        rng: JaxRng,
        batch: Any,
        scale: Any,
        owned: Any,
        step: Any,
        total: float | None = None,
    ) -> View:
        seen = self._constrained(params)
        nets = {n: seen.pop(n) for n in self.nets}
        runner = NumpyroRunner(
            self.setup.program, seen, rng, {**batch, **self.static}, self.setup.dims, nets
        )
        layout = make_layout(self.table, self.setup.dims, scale)
        return View(runner, self.table, layout, total=total or self.total, step=step, state=owned)

    def _batch(self, data: Any, rows: Any) -> dict[str, Array]:
        if rows is None:
            return data
        return {k: v[rows] if k in self.sliced else v for k, v in data.items()}


@dataclass(frozen=True)
class _Recipe:
    """What a trainer's functions are made from: equal keys, equal functions."""

    key: tuple[Any, ...]
    engine: NumpyroTrainer = field(compare=False)


@lru_cache(maxsize=8)
def _compiled(recipe: _Recipe) -> tuple[Any, Any]:
    engine = recipe.engine
    steps = jax.jit(engine._run_steps, static_argnames="scale")
    return steps, jax.jit(engine._losses, static_argnums=3)


def _padded(array: np.ndarray, steps: int) -> np.ndarray:
    """One shape for every chunk, so that it compiles once."""
    spare = [(0, CHUNK - steps)] + [(0, 0)] * (array.ndim - 1)
    return np.pad(array, spare)


def _key_data(key: Array) -> Array:
    return jax.random.key_data(key)


def _optimiser(spec: Any) -> optax.GradientTransformation:
    match spec:
        case AdamW():
            made = optax.adamw(spec.rate, spec.b1, spec.b2, spec.eps, weight_decay=spec.decay)
        case Adam():
            made = optax.adam(spec.rate, spec.b1, spec.b2, spec.eps)
        case SGD():
            made = optax.sgd(spec.rate, spec.momentum or None)
        case RMSprop():
            made = optax.rmsprop(spec.rate, spec.decay, spec.eps, eps_in_sqrt=False)
        case _NumPyroOptim() | type():  # they have the two methods as well, which take others
            raise refusal(spec, "an optax transformation such as optax.adam(1e-3)")
        case _ if hasattr(spec, "init") and hasattr(spec, "update"):
            made = spec
        case _:
            raise refusal(spec, "an optax transformation such as optax.adam(1e-3)")
    norm = getattr(spec, "clip_norm", None)
    return made if norm is None else optax.chain(optax.clip_by_global_norm(norm), made)
