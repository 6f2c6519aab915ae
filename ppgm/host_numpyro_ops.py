"""Array functions of jax; see `ppgm.ops.Ops`."""

__all__ = ["OPS", "softplus", "to_array", "to_numpy"]

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppgm.host_numpyro_chains import tanh_chain
from ppgm.ops import Ops


def to_array(value: Any) -> Any:
    """Returns arrays as jax arrays, floats in jax's default type; other values unchanged."""
    if isinstance(value, jax.Array):
        return value
    if not isinstance(value, np.ndarray | np.generic) and not hasattr(value, "__array__"):
        return value
    array = np.asarray(value)
    if np.issubdtype(array.dtype, np.floating):
        return jnp.asarray(array, jnp.result_type(float))
    return jnp.asarray(array, jax.dtypes.canonicalize_dtype(array.dtype))


def to_numpy(value: Any) -> np.ndarray:
    """Returns a copy of an array as a numpy array."""
    return np.array(value)


@jax.custom_jvp
def softplus(x: Array) -> Array:
    """Returns log(1 + exp(x)).

    The derivative is one sigmoid; that of `jax.nn.softplus` guards two exponentials, which costs
    a step with a Bernoulli likelihood a seventh of its time (rows "sbn" and "vae-50" of
    `benchmarks`).
    """
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


@softplus.defjvp
def _softplus_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return softplus(*primals), tangents[0] * jax.nn.sigmoid(*primals)


def _grad(fn: Callable[[Array], Array], x: Array) -> Array:
    return jax.grad(lambda v: fn(v).sum())(x)


OPS = Ops(
    np=jnp,
    logsumexp=lambda x, axis: jax.nn.logsumexp(x, axis=axis),
    log_softmax=lambda x, axis: jax.nn.log_softmax(x, axis=axis),
    softmax=lambda x, axis: jax.nn.softmax(x, axis=axis),
    softplus=softplus,
    sigmoid=jax.nn.sigmoid,
    one_hot=jax.nn.one_hot,
    stop_gradient=jax.lax.stop_gradient,
    sum=lambda x, axes: jnp.sum(x, axis=axes),
    float=lambda x: jnp.asarray(x, jnp.result_type(float)),
    grad=_grad,
    scan=lambda step, carry, xs: jax.lax.scan(step, carry, xs)[1],
    tanh_chain=tanh_chain,
)
