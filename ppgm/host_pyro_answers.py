"""What ppgm asks of a Pyro program besides training it: numpy dicts in, numpy arrays out."""

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
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor

from ppgm.host_pyro_loops import run_in_turn
from ppgm.host_pyro_ops import OPS, to_numpy, to_tensor
from ppgm.host_pyro_ppl import PortableDistribution, support_values
from ppgm.host_pyro_session import ENUMERATION_LIMIT, PyroRunner, Session, seeded_rng, session
from ppgm.host_pyro_trace import base_of, canonical, is_auxiliary, kind_of, plates_of, to_term
from ppgm.layouts import make_layout
from ppgm.programs import Program
from ppgm.rows import row_count
from ppgm.sites import Record, SiteTable, seen_batch, tabulate
from ppgm.terms import Ask, weigh

Arrays = dict[str, np.ndarray]


def initial(source: Program, data: Mapping[str, Any], seed: int = 0) -> Arrays:
    """Returns the constrained parameters that a fit starts from, by canonical name."""
    with session(source, data, None, seed) as work:
        return work.leaves.export()


@pyro.validation_enabled(is_validate=False)
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

    Without `finite`, whether values are finite is not looked at. Pyro's own checks are off: they
    would raise at the very values that this is to report.
    """
    with session(source, data, params, seed) as work, seeded_rng(seed), torch.no_grad():
        runner = PyroRunner(work, {k: to_tensor(v) for k, v in data.items()})
        given = {k: to_tensor(v) for k, v in (values or {}).items()}
        if side == "model" and source.guide is not None:
            drawn = runner._run("guide", given, 1)
            given = {n: m["value"] for n, m in drawn.sites.items()} | drawn.subsamples | given
        run = runner._run(side, given, 1)
        records = {n: _record(m, finite=finite) for n, m in run.sites.items()}
        return records | {canonical(n): _param(n, work) for n in work.groups[side]}


def log_weights(
    source: Program,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    particles: int,
    seed: int,
) -> np.ndarray:
    """Returns log p(x, z) - log q(z | x) of draws from the guide, ``(K, *rows)``."""
    with session(source, data, params, seed) as work, seeded_rng(seed), torch.no_grad():
        runner = PyroRunner(work, {k: to_tensor(v) for k, v in data.items()})
        table, _ = table_of(runner, data)
        with pyro.validation_enabled(False):
            terms, _ = runner.pair(Ask(particles))
        weights = weigh(terms, make_layout(table, work.dims), OPS)
        return to_numpy(weights.log_p - weights.log_q)


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
    with session(source, data, params, seed) as work, seeded_rng(seed), torch.no_grad():
        runner = PyroRunner(work, {k: to_tensor(v) for k, v in data.items()})
        if draws > 1 and not runner.broadcasts():
            return _sample_in_turn(runner, side, given or {}, draws)
        values = _with_plates(given or {}, runner, side, work.dims)
        with pyro.validation_enabled(False):
            run = runner._run(side, values, draws, observe=side == "guide")
        kinds = {n: kind_of(m) for n, m in run.sites.items()}
        shapes = {}
        if draws > 1 and "deterministic" in kinds.values():
            first = {n: to_tensor(v)[0] for n, v in (given or {}).items()} | run.subsamples
            once = runner._run(side, first, 1, observe=side == "guide")
            shapes = {n: tuple(torch.as_tensor(m["value"]).shape) for n, m in once.sites.items()}
        return {
            n: _stacked(m["value"], shapes[n], draws)
            if kinds[n] == "deterministic" and draws > 1
            else _drop_axes(m["value"], m, draws, work.dims)
            for n, m in run.sites.items()
            if kinds[n] != "factor"
        }


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
    draws = len(next(iter(values.values()))) if values else 1
    with session(source, data, params, 0) as work, torch.no_grad():
        runner = PyroRunner(work, {k: to_tensor(v) for k, v in data.items()})
        if draws > 1 and not runner.broadcasts():
            return _density_in_turn(runner, side, values, draws)
        given = _with_plates(values, runner, side, work.dims)
        run = runner._run(side, given, draws)
        return {
            n: _density(m, draws, work.dims)
            for n, m in run.sites.items()
            if kind_of(m) != "deterministic"
        }


def _sample_in_turn(
    runner: PyroRunner, side: str, given: Mapping[str, np.ndarray], draws: int
) -> Arrays:
    values = {n: to_tensor(v) for n, v in given.items()}
    observe = side == "guide"
    runs = run_in_turn(lambda v: runner._run(side, v, 1, observe=observe), values, draws)
    return {
        n: np.stack([to_numpy(r.sites[n]["value"]) for r in runs])
        for n, m in runs[0].sites.items()
        if kind_of(m) != "factor"
    }


def _density_in_turn(
    runner: PyroRunner, side: str, given: Mapping[str, np.ndarray], draws: int
) -> Arrays:
    values = {n: to_tensor(v) for n, v in given.items()}
    runs = run_in_turn(lambda v: runner._run(side, v, 1), values, draws)
    return {
        n: np.stack([_density(r.sites[n], 1, runner.dims)[0] for r in runs])
        for n, m in runs[0].sites.items()
        if kind_of(m) != "deterministic"
    }


def kernel(
    source: Program,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    start: np.ndarray,
    steps: int,
    seed: int,
) -> np.ndarray:
    """Returns rows of values after `steps` of the declaration's Markov kernel."""
    with session(source, data, params, seed) as work, seeded_rng(seed):
        runner = PyroRunner(work, {k: to_tensor(v) for k, v in data.items()})
        value = to_tensor(start)
        for _ in range(steps):
            value = runner.kernel(value)
        return to_numpy(value)


def weigher(source: Program, params: Mapping[str, np.ndarray], data: Mapping[str, Any]) -> Any:
    """Returns ``(data, particles, seed) -> log weights``."""
    return lambda data, particles, seed: log_weights(source, params, data, particles, seed)


def within(
    source: Program,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    fn: Callable[..., tuple[Tensor, ...]],
) -> Any:
    """Returns ``(data, seed) -> arrays`` of ``fn(declaration, ppl, data, rng)``.

    Args:
        source: The program, of a declaration.
        params: Constrained parameters.
        data: Data like those to come.
        fn: The function.
    """

    def call(data: Mapping[str, Any], seed: int) -> tuple[np.ndarray, ...]:
        with session(source, data, params, seed) as work, seeded_rng(seed), torch.no_grad():
            runner = PyroRunner(work, {k: to_tensor(v) for k, v in data.items()})
            found = runner.within(lambda d, ppl: fn(d, ppl, runner.data, runner.rng))
            return tuple(map(to_numpy, found))

    return call


def table_of(runner: PyroRunner, data: Mapping[str, Any]) -> tuple[SiteTable, int]:
    """Returns the site table of a runner's program, and its number of plate axes."""
    sides: dict[str, dict[str, Record]] = {}
    given: dict[str, Any] = {}
    for side in ("guide", "model"):
        if getattr(runner.program, side) is not None:
            run = runner._run(side, given, 1)
            given = {n: m["value"] for n, m in run.sites.items()} | run.subsamples
            sides[side] = {n: _record(m) for n, m in run.sites.items()}
    table = tabulate(sides["model"], sides.get("guide"), data, row_count(data))
    return table, max([0, *(-p.dim for p in table.plates.values())])


def _with_plates(
    values: Mapping[str, np.ndarray], runner: PyroRunner, side: str, dims: int
) -> dict[str, Tensor]:
    """Gives values of draws the axes of plates that they lie outside of."""
    if not values:
        return {}
    sites = runner._run(side, {}, 1, observe=False).sites if side == "guide" else None
    sites = sites or _latent_messages(runner)
    shaped = {}
    for name, value in values.items():
        event = len(sites[name]["fn"].event_shape)
        tensor = to_tensor(value)
        batch = tuple(tensor.shape[1 : tensor.ndim - event])
        spare = (1,) * (dims - len(batch))
        shaped[name] = tensor.reshape(
            (tensor.shape[0], *spare, *batch, *tensor.shape[tensor.ndim - event :])
        )
        if tensor.shape[0] == 1:
            shaped[name] = tensor[0]
    return shaped


def _latent_messages(runner: PyroRunner) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if runner.program.guide is not None:
        run = runner._run("guide", {}, 1)
        given = {n: m["value"] for n, m in run.sites.items()} | run.subsamples
    return runner._run("model", given, 1).sites


def _drop_axes(value: Any, msg: Any, draws: int, dims: int) -> np.ndarray:
    """Returns ``(draws, *batch, *event)`` without the axes of plates around other sites."""
    array = value.detach()
    event = tuple(msg["fn"].event_shape)
    if draws == 1:
        return to_numpy(array[None])
    depth = max([-p.dim for p in plates_of(msg)], default=0)
    batch = tuple(msg["fn"].batch_shape)[1:][dims - depth :] if depth else ()
    return to_numpy(array.expand((draws, *(1,) * (dims - depth), *batch, *event)).reshape(
        (draws, *batch, *event)
    ))  # fmt: skip


def _stacked(value: Any, shape: tuple[int, ...], draws: int) -> np.ndarray:
    """Returns ``(draws, *shape)`` of a value that has its shape in one draw, `shape`.

    Where plates begin in the value of a `deterministic` nothing says but a run of one draw.
    """
    array = torch.as_tensor(value).detach()
    if tuple(array.shape) == shape:  # alike in every draw
        return to_numpy(array.expand((draws, *shape)))
    return to_numpy(array.reshape((draws, *shape)))


def _density(msg: Any, draws: int, dims: int) -> np.ndarray:
    log_p = to_term(msg, "model", dims).log_prob
    depth = max([-p.dim for p in plates_of(msg)], default=0)
    batch = tuple(log_p.shape[1:])[dims - depth :] if depth else ()
    return to_numpy(log_p.expand((draws, *log_p.shape[1:])).reshape((draws, *batch)))


def _param(name: str, work: Session) -> Record:
    value = work.leaves.constrained(name)
    return Record(
        type="param",
        observed=True,
        distribution="Param",
        support=_support_name(work.leaves.constraints[name]),
        batch_shape=(),
        event_shape=tuple(value.shape),
        plates=(),
        reparameterised=True,
        discrete=False,
        enumerable=0,
        normalised=True,
        finite=bool(value.isfinite().all()),
    )


_TYPES = {"latent": "sample", "observed": "sample"}


def _record(msg: Any, *, finite: bool = True) -> Record:
    fn, kind = msg["fn"], kind_of(msg)
    base, value, plates = base_of(fn), msg["value"], plates_of(msg)
    depth = max([-p.dim for p in plates], default=0)
    portable = base.portable if isinstance(base, PortableDistribution) else None
    name = type(portable or base).__name__
    support = getattr(fn, "support", None)
    if finite:
        finite = bool(torch.as_tensor(value).isfinite().all())
        finite = finite and (kind == "deterministic" or bool(fn.log_prob(value).isfinite().all()))
    else:
        finite = True
    values = support_values(fn, ENUMERATION_LIMIT) if kind in ("latent", "observed") else None
    return Record(
        type="auxiliary" if is_auxiliary(msg) else _TYPES.get(kind, kind),
        observed=kind == "observed",
        distribution="Deterministic" if kind == "deterministic" else _plain_name(name),
        support=_support_name(support),
        batch_shape=tuple(value.shape[:depth])
        if kind == "deterministic"
        else seen_batch(fn.batch_shape, fn.event_shape, tuple(torch.as_tensor(value).shape)),
        event_shape=_event_shape(kind, fn, value, depth),
        plates=plates,
        reparameterised=bool(fn.has_rsample),
        discrete=bool(getattr(support, "is_discrete", False)),
        enumerable=0 if values is None else len(values),
        normalised=kind in ("latent", "observed") and getattr(portable, "normalised", True),
        finite=finite,
        bounds=_bounds(support),
    )


def _bounds(support: Any) -> tuple[int, int] | None:
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    if _support_name(support) != "integer_interval":
        return None
    ends = [torch.as_tensor(e) for e in (support.lower_bound, support.upper_bound)]
    return None if any(e.ndim for e in ends) else (int(ends[0]), int(ends[1]))


def _event_shape(kind: str, fn: Any, value: Tensor, depth: int) -> tuple[int, ...]:
    if kind == "factor":
        return ()
    return tuple(value.shape[depth:] if kind == "deterministic" else fn.event_shape)


def _plain_name(name: str) -> str:
    return {"Unit": "Factor"}.get(name, name)


def _support_name(support: Any) -> str:
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    name = str(support).lower().replace("()", "").lstrip("_").removesuffix("_constraint")
    if name.startswith("integerinterval"):
        return "integer_interval"
    return SUPPORTS.get(name, name)


SUPPORTS = {
    "interval(lower_bound=0.0, upper_bound=1.0)": "unit_interval",
    "unitinterval": "unit_interval",
    "greaterthan(lower_bound=0.0)": "positive",
    "greaterthaneq(lower_bound=0.0)": "positive",
    "greaterthaneq(lower_bound=0)": "nonnegative_integer",
    "integergreaterthan(lower_bound=0)": "nonnegative_integer",
}
