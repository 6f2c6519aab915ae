"""The latents of a Pyro model; see `ppgm.latents`."""

__all__ = ["latents"]

from collections.abc import Callable, Mapping
from typing import Any

import pyro
import torch
from pyro.poutine.subsample_messenger import _Subsample
from torch.distributions import biject_to

from ppgm.host_pyro_trace import kind_of, plates_of
from ppgm.latents import Latent

Plans = dict[Any, list[Latent]]


def latents(
    plans: Plans, model: Callable[..., Any], args: tuple[Any, ...], data: Mapping[str, Any]
) -> list[Latent]:
    """Returns the latents of a model, which is run for each new shape of its arguments only.

    The runs are hidden from all handlers around, and leave parameters and noise as they were.
    """
    shapes = [*enumerate(args), *sorted(data.items())]
    key = tuple((name, getattr(v, "shape", v)) for name, v in shapes)
    if key not in plans:
        one, two = (_run(model, args, data, seed) for seed in (0, 1))
        plans[key] = [_latent(n, m, two.get(n)) for n, m in one.items()]
    return plans[key]


def _run(
    model: Callable[..., Any], args: tuple[Any, ...], data: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    store = pyro.get_param_store()
    with (
        store.scope(store.get_state()),
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
        pyro.poutine.block(),
    ):
        torch.manual_seed(seed)
        nodes: Any = pyro.poutine.trace(model).get_trace(*args, **data).nodes
    sampled = {n: m for n, m in nodes.items() if m["type"] == "sample"}
    drawn = {n: m for n, m in sampled.items() if not isinstance(m["fn"], _Subsample)}
    return {n: m for n, m in drawn.items() if kind_of(m) == "latent"}


def _latent(name: str, msg: Any, again: Any) -> Latent:
    fn, shape = msg["fn"], tuple(msg["value"].shape)
    plates = plates_of(msg)
    if fn.support.is_discrete:
        return Latent(name, shape, fn.event_dim, plates, None, ())
    transform = biject_to(fn.support)
    free = tuple(transform.inverse_shape(shape))
    moves = again is not None and _differ(fn.support, again["fn"].support, free)
    return Latent(name, shape, fn.event_dim, plates, transform, free, moves)


def _differ(one: Any, two: Any, free: tuple[int, ...]) -> bool:
    """Tells whether two supports map the same reals differently."""
    zeros = torch.zeros(free)
    values = [biject_to(support)(zeros) for support in (one, two)]
    return values[0].shape != values[1].shape or not torch.equal(*values)
