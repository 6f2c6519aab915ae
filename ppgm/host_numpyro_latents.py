"""The latents of a NumPyro model; see `ppgm.latents`."""

__all__ = ["latents"]

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from numpyro import handlers
from numpyro.distributions import biject_to

from ppgm.host_numpyro_run import kind_of, plates_of
from ppgm.latents import Latent


def latents(
    model: Callable[..., Any], args: tuple[Any, ...], data: Mapping[str, Any]
) -> list[Latent]:
    """Returns the latents of a model; the runs are hidden from all handlers around.

    They are part of no compiled program: nothing but shapes and supports is kept of them.
    """
    one, two = (_run(model, args, data, seed) for seed in (0, 1))
    return [_latent(n, s, one, two.get(n)) for n, s in one.items() if kind_of(s) == "latent"]


def _run(
    model: Callable[..., Any], args: tuple[Any, ...], data: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    with handlers.block():
        return handlers.trace(handlers.seed(model, jax.random.key(seed))).get_trace(*args, **data)


def _latent(name: str, site: Any, sites: Mapping[str, Any], again: Any) -> Latent:
    fn, shape = site["fn"], jnp.shape(site["value"])
    plates = plates_of(site, sites)
    if fn.support.is_discrete:
        return Latent(name, shape, fn.event_dim, plates, None, ())
    transform = biject_to(fn.support)
    free = tuple(transform.inverse_shape(shape))
    moves = again is not None and _differ(fn.support, again["fn"].support, free)
    return Latent(name, shape, fn.event_dim, plates, transform, free, moves)


def _differ(one: Any, two: Any, free: tuple[int, ...]) -> bool:
    """Tells whether two supports map the same reals differently, where there are numbers."""
    zeros = jnp.zeros(free)
    first, second = (biject_to(support)(zeros) for support in (one, two))
    if any(isinstance(value, Tracer) for value in (first, second)):
        return False
    return first.shape != second.shape or not bool((first == second).all())
