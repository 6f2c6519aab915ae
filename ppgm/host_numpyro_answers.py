"""What ppgm asks of a NumPyro program besides training it: numpy dicts in, numpy arrays out."""

__all__ = [
    "initial",
    "kernel",
    "log_density",
    "log_weights",
    "sample",
    "table_of",
    "trace",
    "weigher",
    "within",
]

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import numpyro
from jax import Array

from ppgm.host_numpyro_kept import kept
from ppgm.host_numpyro_keys import JaxRng
from ppgm.host_numpyro_ops import OPS, to_array, to_numpy
from ppgm.host_numpyro_records import records_of
from ppgm.host_numpyro_run import (
    Setup,
    flatten,
    kind_of,
    open_setup,
    refuse_mutable,
    run,
    to_term,
)
from ppgm.host_numpyro_runner import NumpyroRunner
from ppgm.layouts import make_layout
from ppgm.programs import Program
from ppgm.rows import row_count
from ppgm.sites import Record, SiteTable, tabulate
from ppgm.terms import Ask, weigh

Arrays = dict[str, np.ndarray]


def initial(source: Program, data: Mapping[str, Any], seed: int = 0) -> Arrays:
    """Returns the constrained parameters that a fit starts from, by canonical name."""
    return flatten(open_setup(source, data, None, seed).params)


@numpyro.validation_enabled(is_validate=False)
def trace(
    source: Program,
    side: str,
    data: Mapping[str, Any],
    params: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
    values: Mapping[str, np.ndarray] | None = None,
    *,
    finite: bool = True,
) -> dict[str, Record]:
    """Runs one side once and returns its statements; the model after the guide, at its draws.

    Without `finite`, whether values are finite is not looked at, and shapes alone are run.
    NumPyro's own checks are off: they would raise at the very values that this is to report.
    """
    setup = open_setup(source, data, params, seed)
    arrays = {k: to_array(v) for k, v in data.items()}
    static = {k: v for k, v in arrays.items() if not isinstance(v, jax.Array)}
    traced = {k: v for k, v in arrays.items() if k not in static}
    given = {k: to_array(v) for k, v in (values or {}).items()}
    found: dict[str, Record] = {}

    def look(key: Array, traced: dict[str, Array], *, finite: bool) -> None:
        sites = _trace_sides(setup, {**traced, **static}, key, given)[side]
        found.update(records_of(sites, setup, side, finite=finite))

    key = jax.random.key(seed)
    try:
        if not finite:
            jax.eval_shape(partial(look, finite=False), key, traced)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):  # it looks at numbers
        found.clear()
    if not found:
        look(key, traced, finite=finite)
    return found


def table_of(
    program: Program, params: Any, key: Array, data: Mapping[str, Any], args: tuple[Any, ...] = ()
) -> tuple[SiteTable, int]:
    """Returns the site table of a program under `jax.jit`, and its number of plate axes."""
    setup = Setup(program, params, {}, {"model": (), "guide": ()}, 0)
    sides = _trace_sides(setup, data, key, {}, args)
    for side, sites in sides.items():
        refuse_mutable(sites, side)
    records = {s: records_of(v, setup, s, finite=False) for s, v in sides.items()}
    table = tabulate(records["model"], records.get("guide"), data, row_count(data))
    return table, max([0, *(-p.dim for p in table.plates.values())])


def log_weights(
    source: Program,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    particles: int,
    seed: int,
) -> np.ndarray:
    """Returns log p(x, z) - log q(z | x) of draws from the guide, ``(K, *rows)``."""
    return weigher(source, params, data)(data, particles, seed)


def weigher(source: Program, params: Mapping[str, np.ndarray], data: Mapping[str, Any]) -> Any:
    """Returns ``(data, particles, seed) -> log weights``, compiled once for each shape."""
    setup = open_setup(source, data, params)
    own, static = setup.program, _static(data)

    def make() -> Callable[..., Any]:
        @partial(jax.jit, static_argnums=3)
        def weigh_batch(params: Any, key: Array, batch: Any, particles: int) -> Array:
            full = {**batch, **static}
            table, dims = table_of(own, params, key, full)
            runner = NumpyroRunner(own, params, JaxRng(key), full, dims)
            terms, _ = runner.pair(Ask(particles))
            weights = weigh(terms, make_layout(table, dims), OPS)
            return weights.log_p - weights.log_q

        return weigh_batch

    weigh_batch = kept(own, ("weights", *static.items()), make)

    def call(data: Mapping[str, Any], particles: int, seed: int) -> np.ndarray:
        batch = {k: to_array(v) for k, v in data.items() if k not in static}
        return to_numpy(weigh_batch(setup.params, jax.random.key(seed), batch, particles))

    return call


def within(
    source: Program,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    fn: Callable[..., tuple[Array, ...]],
) -> Any:
    """Returns ``(data, seed) -> arrays`` of ``fn(declaration, ppl, data, rng)``, compiled once.

    Args:
        source: The program, of a declaration.
        params: Constrained parameters.
        data: Data like those to come.
        fn: The function; one that is a frozen dataclass is found again by later calls.
    """
    setup = open_setup(source, data, params)
    own, dims, static = setup.program, setup.dims, _static(data)

    def make() -> Callable[..., Any]:
        @jax.jit
        def compiled(params: Any, key: Array, batch: Any) -> tuple[Array, ...]:
            rng = JaxRng(key)
            runner = NumpyroRunner(own, params, rng, {**batch, **static}, dims)
            return runner.within(lambda d, ppl: fn(d, ppl, runner.data, rng))

        return compiled

    known = is_dataclass(fn)
    compiled = kept(own, ("within", fn, dims, *static.items()), make) if known else make()

    def call(data: Mapping[str, Any], seed: int) -> tuple[np.ndarray, ...]:
        batch = {k: to_array(v) for k, v in data.items() if k not in static}
        return tuple(map(to_numpy, compiled(setup.params, jax.random.key(seed), batch)))

    return call


def _static(data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns data that are no arrays: a function is compiled for their values."""
    return {k: v for k, v in data.items() if not isinstance(to_array(v), jax.Array)}


def sample(
    source: Program,
    side: str,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    draws: int,
    seed: int,
    given: Mapping[str, np.ndarray] | None = None,
) -> Arrays:
    """Returns draws of one side, each ``(draws, *batch, *event)``.

    Args:
        source: The program.
        side: "guide", or "model", whose observed sites are then drawn too.
        params: Constrained parameters.
        data: The data; it fixes the plates.
        draws: Number of draws.
        seed: Seed of the draws.
        given: Values of latents, ``(draws, *batch, *event)``, to condition the model on.
    """
    setup, arrays = open_setup(source, data, params), {k: to_array(v) for k, v in data.items()}
    own = setup.program
    # a host's own program may look at numbers, to count groups for instance
    static = arrays if own.declaration is None else _static(data)
    plates, key = jax.random.split(jax.random.key(seed))

    def one(params: Any, plates: Array, batch: Any, key: Array, values: Any) -> dict[str, Array]:
        sites = run(
            getattr(own, side), params, JaxRng(key), {**batch, **static},
            values=values, plates=JaxRng(plates), observe=side == "guide",
        )  # fmt: skip
        kinds = ("latent", "observed", "deterministic")
        return {n: s["value"] for n, s in sites.items() if kind_of(s) in kinds}

    def make() -> Callable[..., Any]:
        return jax.jit(jax.vmap(one, in_axes=(None, None, None, 0, 0)))

    batch = {k: v for k, v in arrays.items() if k not in static}
    fixed = {n: to_array(v) for n, v in (given or {}).items()}
    draw = kept(own, ("draws", side, *static.items()), make)
    found = draw(setup.params, plates, batch, jax.random.split(key, draws), fixed)
    return {n: to_numpy(v) for n, v in found.items()}


def log_density(
    source: Program,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    values: Mapping[str, np.ndarray],
    side: str = "model",
) -> Arrays:
    """Returns the log density of every site of a side at latents ``(S, *batch, *event)``.

    Returns:
        By site, ``(S, *batch)``.
    """
    setup = open_setup(source, data, params)
    arrays = {k: to_array(v) for k, v in data.items()}

    def one(values: dict[str, Array]) -> dict[str, Array]:
        call = getattr(setup.program, side)
        sites = run(call, setup.params, JaxRng(jax.random.key(0)), arrays, values=values)
        return {
            n: to_term(s, sites, side, 0).log_prob
            for n, s in sites.items()
            if kind_of(s) in ("latent", "observed", "factor")
        }

    given = {n: to_array(v) for n, v in values.items()}
    found = jax.jit(jax.vmap(one))(given) if given else jax.tree.map(lambda a: a[None], one({}))
    return {n: to_numpy(v) for n, v in found.items()}


def kernel(
    source: Program,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    start: np.ndarray,
    steps: int,
    seed: int,
) -> np.ndarray:
    """Returns rows of values after `steps` of the declaration's Markov kernel."""
    setup = open_setup(source, data, params, seed)
    arrays = {k: to_array(v) for k, v in data.items()}

    def body(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        value, key = carry
        key, mine = jax.random.split(key)
        runner = NumpyroRunner(setup.program, setup.params, JaxRng(mine), arrays, setup.dims)
        return runner.kernel(value).astype(value.dtype), key

    carry = (to_array(np.asarray(start, float)), jax.random.key(seed))
    return to_numpy(jax.jit(lambda c: jax.lax.fori_loop(0, steps, body, c))(carry)[0])


def _trace_sides(
    setup: Setup,
    data: Mapping[str, Any],
    key: Array,
    given: Mapping[str, Any],
    args: tuple[Any, ...] = (),
) -> dict[str, dict[str, Any]]:
    sides: dict[str, dict[str, Any]] = {}
    values, rng = dict(given), JaxRng(key)
    for side in ("guide", "model"):
        call = getattr(setup.program, side)
        if call is None:
            continue
        sides[side] = run(call, setup.params, rng, data, args=args, values=values)
        drawn = {n: s["value"] for n, s in sides[side].items() if s["type"] in ("sample", "plate")}
        values = drawn | values
    return sides
