"""The `ppl` namespace on NumPyro."""

__all__ = ["NumpyroNamespace", "bind", "support_values"]

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array
from numpy import asarray, ndarray
from numpyro.contrib import module as modules
from numpyro.distributions import constraints

from ppgm.errors import ArgumentError
from ppgm.host_numpyro_keys import JaxRng
from ppgm.host_numpyro_one_hot import OneHotCategorical
from ppgm.host_numpyro_ops import OPS
from ppgm.latents import Latent
from ppgm.nets_equinox import build
from ppgm.ppl import guide_of, plate_size

CONSTRAINTS = {
    "real": constraints.real,
    "positive": constraints.positive,
    "unit_interval": constraints.unit_interval,
    "simplex": constraints.simplex,
    "boolean": constraints.boolean,
    "nonnegative_integer": constraints.nonnegative_integer,
}


class BernoulliLogits(dist.BernoulliLogits):
    """Bernoulli with the right derivative at logit 0.

    NumPyro's `binary_cross_entropy_with_logits` clips and takes an absolute value, whose
    derivative at 0 comes out as 0 or 1 in place of a half (seen in NumPyro 0.22).
    """

    def log_prob(self, value: Array) -> Array:
        return value * self.logits - OPS.softplus(self.logits)


def _bernoulli(
    probs: Any = None, logits: Any = None, *, validate_args: bool | None = None
) -> dist.Distribution:
    if logits is not None:
        return BernoulliLogits(logits, validate_args=validate_args)
    return dist.Bernoulli(probs, validate_args=validate_args)


DISTRIBUTIONS = SimpleNamespace(**{name: getattr(dist, name) for name in dist.__all__})
DISTRIBUTIONS.Bernoulli = _bernoulli
DISTRIBUTIONS.BernoulliLogits = BernoulliLogits
DISTRIBUTIONS.OneHotCategorical = OneHotCategorical


@dataclass(frozen=True)
class NumpyroNamespace:
    """The host's names for declarations; see `ppgm.ppl.Namespace`.

    Attributes:
        seed: Seed of initial weights.
        rows: Number of rows of a plate over nothing, or None.
    """

    seed: int = 0
    rows: int | None = None

    host = "numpyro"
    np = OPS.np
    ops = OPS
    distributions = DISTRIBUTIONS
    sample = staticmethod(numpyro.sample)
    factor = staticmethod(numpyro.factor)
    deterministic = staticmethod(numpyro.deterministic)

    def plate(self, name: str, x: Any, dim: int | None = None) -> Any:
        return numpyro.plate(name, plate_size(name, x, self.rows), dim=dim)

    def mask(self, mask: Array) -> Any:
        return numpyro.handlers.mask(mask=mask)

    def param(
        self, name: str, init: ndarray | Callable[[], ndarray], constraint: str = "real"
    ) -> Array:
        if constraint not in CONSTRAINTS:
            raise ArgumentError(
                f"param '{name}': constraint must be one of {sorted(CONSTRAINTS)}, "
                f"not '{constraint}'"
            )

        @jax.ensure_compile_time_eval()
        def start(_: Array) -> Array:
            value = init() if callable(init) else init
            return jnp.asarray(asarray(value), jnp.result_type(float))

        value: Any = numpyro.param(name, start, constraint=CONSTRAINTS[constraint])
        return value

    def module(self, name: str, net: Any, **options: Any) -> Callable[[Array], Array]:
        origins = {base.__module__ for base in type(net).__mro__}
        if isinstance(net, eqx.Module):
            bound: Any = modules.eqx_module(name, net)
            return bound
        if any(origin.startswith("flax.nnx") for origin in origins):
            return modules.nnx_module(name, net)
        if any(origin.startswith("flax.linen") for origin in origins):
            return modules.flax_module(name, net, **options)
        built: Any = numpyro.param(f"{name}$params", lambda _: _built(net, name, self.seed))
        return built

    def distribution(self, portable: Any) -> dist.Distribution:
        return PortableDistribution(portable, tuple(portable.batch_shape))

    def latents(
        self, model: Callable[..., Any], args: tuple[Any, ...], data: Mapping[str, Any]
    ) -> list[Latent]:
        from ppgm.host_numpyro_latents import latents  # which needs this file's names

        return latents(model, args, data)


def _built(net: Any, name: str, seed: int) -> eqx.Module:
    dtype = jnp.result_type(float)
    initial = net.initial(seed, name)
    with jax.ensure_compile_time_eval():  # numbers, even where the program runs abstractly
        weights = {n: jnp.asarray(v, dtype) for n, v in initial.items()}
    return build(net, weights, dtype)


class PortableDistribution(dist.Distribution):
    """A portable distribution as one of NumPyro's."""

    arg_constraints = {}

    def __init__(self, portable: Any, batch_shape: tuple[int, ...]) -> None:
        self.portable = portable
        self.reparametrized_params = ["portable"] if portable.reparameterised else []
        super().__init__(batch_shape, tuple(portable.event_shape), validate_args=False)

    @property
    def has_rsample(self) -> bool:
        return bool(self.portable.reparameterised)

    @property
    def mean(self) -> Array:
        mean = getattr(self.portable, "mean", None)
        if mean is None:
            raise NotImplementedError(f"the mean of {type(self.portable).__name__} is not known")
        return mean

    @property
    def support(self) -> Any:
        return constraints.independent(
            CONSTRAINTS[self.portable.support], len(self.portable.event_shape)
        )

    def expand(self, batch_shape: tuple[int, ...]) -> "PortableDistribution":
        return PortableDistribution(self.portable, tuple(batch_shape))

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        return self.sample_with_intermediates(key, sample_shape)[0]

    def sample_with_intermediates(
        self, key: Array, sample_shape: tuple[int, ...] = ()
    ) -> tuple[Array, list[Array]]:
        """Returns draws and, of a `Pushed` distribution, their log density beside them."""
        rng, shape = JaxRng(key), (*sample_shape, *self.batch_shape)
        if not hasattr(self.portable, "push"):
            return self.portable.sample(rng, shape), []
        value, log_p = self.push(rng.normal((*shape, *self.event_shape)))
        return value, [log_p]

    def push(self, noise: Array) -> tuple[Array, Array]:
        """Returns the draws at some noise, and their log density."""
        value, log_p = self.portable.push(noise)
        return value, self._whole(log_p)

    def log_prob(self, value: Array, intermediates: Any = None) -> Array:
        return intermediates[0] if intermediates else self._whole(self.portable.log_prob(value))

    def _whole(self, log_p: Array) -> Array:
        return jnp.broadcast_to(log_p, jnp.broadcast_shapes(log_p.shape, self.batch_shape))


def bind(
    declaration: Any, seed: int = 0, rows: int | None = None
) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
    """Returns the declaration's model and guide as plain NumPyro callables."""
    ppl = NumpyroNamespace(seed, rows)
    guide = guide_of(declaration)
    return partial(declaration.model, ppl), guide and partial(guide, ppl)


def base_of(fn: Any) -> Any:
    """Returns the distribution without event, batch and mask wrappers."""
    while hasattr(fn, "base_dist") and not hasattr(fn, "transforms"):
        fn = fn.base_dist
    return fn


def support_values(fn: Any, limit: int) -> ndarray | None:
    """Returns all values of one draw, ``(values, *event)``, or None if more than `limit`."""
    base = base_of(fn)
    if isinstance(base, PortableDistribution) or not getattr(base, "has_enumerate_support", False):
        return None
    units = math.prod(fn.event_shape[: len(fn.event_shape) - len(base.event_shape)])
    with jax.ensure_compile_time_eval():
        single = asarray(base.enumerate_support(expand=False))
    single = single.reshape((len(single), *base.event_shape))
    if len(single) ** units > limit:
        return None
    index = asarray(list(product(range(len(single)), repeat=units))).reshape(-1, units)
    return single[index].reshape((-1, *fn.event_shape))
