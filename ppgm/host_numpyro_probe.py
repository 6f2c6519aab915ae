"""One evaluation of an objective on NumPyro; see `ppgm.probes`."""

__all__ = ["gradient_moments", "probe"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppgm.host_numpyro_keys import JaxRng
from ppgm.host_numpyro_ops import to_array, to_numpy
from ppgm.host_numpyro_run import flatten
from ppgm.host_numpyro_runner import NumpyroRunner
from ppgm.host_numpyro_train import NumpyroTrainer
from ppgm.influences import with_influences
from ppgm.layouts import align, make_layout, total_rows
from ppgm.optimisers import SGD
from ppgm.programs import Program
from ppgm.rows import row_count
from ppgm.sites import SiteTable
from ppgm.views import View

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class _Case:
    """What an evaluation is compiled for: equal cases differ in the numbers only.

    Attributes:
        scale: The number of data that a row stands for, None where rows differ in it.
        sites: The site table as text.
        static: Data that are not arrays.
        x64: Whether jax computes in double precision.
    """

    source: Program
    objective: Any
    player: str
    total: float
    scale: float | None
    sites: str
    static: tuple[tuple[str, Any], ...]
    x64: bool
    work: NumpyroTrainer = field(compare=False, repr=False)
    table: SiteTable = field(compare=False, repr=False)


def probe(
    source: Program,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    objective: Any,
    player: str,
    values: Mapping[str, np.ndarray],
    noise: Mapping[str, np.ndarray],
    scale: Any,
    total: float | None,
    state: Mapping[str, np.ndarray] | None,
    step: int,
    seed: int,
) -> tuple[float, Arrays, dict[str, float], Arrays]:
    """Returns loss, gradients, metrics and state."""
    table = source.sites(data)
    if objective.local:
        table = with_influences(table, source, data)
    total = total_rows(table, row_count(data)) if total is None else total
    optimisers = {p.name: SGD() for p in objective.players}
    work = NumpyroTrainer(source, objective, table, data, optimisers, seed, total, params)
    if state is None:
        work.start(None, scale)
    owned = work.state.owned if state is None else {k: to_array(v) for k, v in state.items()}
    mine = next(p for p in objective.players if p.name == player)
    own = work._mine(work.state.params, mine)

    static = tuple(sorted(work.static.items()))
    even = isinstance(scale, float | int)
    # jax makes the attributes of its config at run time.
    double = bool(jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]
    case = _Case(
        source, objective, player, total, scale if even else None, repr(table), static,
        double, work, table,
    )  # fmt: skip
    forced, given = dict(values), dict(noise)
    if getattr(
        source.declaration, "broadcasts", False
    ):  # the particles of other programs are mapped one by one
        forced, given = (align(v, table, work.setup.dims) for v in (values, noise))
    forced, given = jax.tree.map(to_array, (forced, given))
    (loss, (metrics, after)), grads = _compiled(case)(
        own, work.state.params, work.data, forced, given, owned, to_array(scale), step,
        jax.random.key(seed),
    )  # fmt: skip
    logged = {k: float(v) for k, v in metrics.items()}
    return float(loss), flatten(grads), logged, {k: to_numpy(v) for k, v in after.items()}


def gradient_moments(
    source: Program,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    objective: Any,
    player: str,
    batches: np.ndarray,
    seed: int,
) -> tuple[Arrays, Arrays, float]:
    """Returns moments of draws of a player's gradient; see `ppgm.microscope_measures`.

    Args:
        source: The program.
        params: Its parameters.
        data: Its data.
        objective: The objective.
        player: Name of one of its players.
        batches: The batch of each draw, ``(draws,)``, in order from 0.
        seed: Seed of the draws.

    Returns:
        Mean of each batch, sum of squares within batches, seconds per draw.
    """
    table = source.sites(data)
    if objective.local:
        table = with_influences(table, source, data)
    total = total_rows(table, row_count(data))
    optimisers = {p.name: SGD() for p in objective.players}
    work = NumpyroTrainer(source, objective, table, data, optimisers, seed, total, params)
    work.start(None, 1.0)
    mine = next(p for p in objective.players if p.name == player)
    own, draws = work._mine(work.state.params, mine), len(batches)
    sizes = np.bincount(batches)
    which = jnp.asarray(batches)
    seen = jnp.asarray(np.arange(draws) - (np.cumsum(sizes) - sizes)[batches] + 1)

    def gradient(own: Any, owned: Any, key: Array) -> tuple[Any, Any]:
        def loss(own: Any) -> tuple[Array, Any]:
            view = work._view(work.state.params | own, JaxRng(key), work.data, 1.0, owned, 0)
            return objective(view, player), view.state

        grads, owned = jax.grad(loss, has_aux=True)(own)
        return grads, jax.lax.stop_gradient(owned)

    def body(n: Any, carry: Any) -> Any:
        means, square, owned, keys = carry
        at = which[n]
        grads, owned = gradient(own, owned, keys[n])
        old = jax.tree.map(lambda m: m[at], means)
        gaps = jax.tree.map(lambda g, m: g - m, grads, old)
        new = jax.tree.map(lambda m, gap: m + gap / seen[n], old, gaps)
        square = jax.tree.map(lambda s, gap, g, m: s + gap * (g - m), square, gaps, grads, new)
        means = jax.tree.map(lambda m, row: m.at[at].set(row), means, new)
        return means, square, owned, keys

    def all_draws(count: Any, owned: Any, keys: Array) -> tuple[Any, Any]:
        zeros = jax.tree.map(jnp.zeros_like, own)
        rows = jax.tree.map(lambda z: jnp.zeros((len(sizes), *z.shape), z.dtype), zeros)
        return jax.lax.fori_loop(0, count, body, (rows, zeros, owned, keys))[:2]

    run, keys = jax.jit(all_draws), jax.random.split(jax.random.key(seed), draws)
    jax.block_until_ready(run(1, work.state.owned, keys))  # compiles
    began = perf_counter()
    means, square = jax.block_until_ready(run(draws, work.state.owned, keys))
    seconds = (perf_counter() - began) / draws
    return flatten(means), flatten(square), seconds


def _compiled(case: _Case) -> Callable[..., Any]:
    """Returns the evaluation of a case, a kept one where the case can be told from others."""
    try:
        hash(case)
    except TypeError:  # a declaration or an objective that holds arrays
        return _compile.__wrapped__(case)
    return _compile(case)


@lru_cache(maxsize=32)
def _compile(case: _Case) -> Callable[..., Any]:
    work, table = case.work, case.table

    def evaluate(
        own: Any, params: Any, data: Any, forced: Any, given: Any, owned: Any, scale: Any,
        step: Any, key: Array,
    ) -> tuple[Array, Any]:  # fmt: skip
        seen = work._constrained(params | own)
        nets = {n: seen.pop(n) for n in work.nets}
        runner = NumpyroRunner(
            work.setup.program, seen, JaxRng(key), {**data, **work.static}, work.setup.dims, nets,
            forced=forced, noise=given,
        )  # fmt: skip
        layout = make_layout(table, work.setup.dims, scale if case.scale is None else case.scale)
        view = View(runner, table, layout, total=case.total, step=step, state=owned)
        return case.objective(view, case.player), (view.metrics, view.state)

    return jax.jit(jax.value_and_grad(evaluate, has_aux=True))
