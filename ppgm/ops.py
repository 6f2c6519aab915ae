"""The few array functions that the array API standard lacks, for numpy, torch and jax alike.

`ops_of` finds the functions that fit an array. Objectives are written over these and over the
standard's namespace, so that their mathematics can be tested on plain numpy arrays.
"""

__all__ = ["NUMPY", "Array", "Arrays", "Ops", "Step", "loop", "ops_of"]

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

Array = Any
"""An array of numpy, torch or jax."""

Arrays = tuple[Array, ...]

Step = Callable[[Arrays, Arrays], tuple[Arrays, Arrays]]
"""From a carry and what one step gets to the next carry and what the step puts out."""


class Ops(NamedTuple):
    """Array functions of one library.

    Attributes:
        np: The array API namespace.
        logsumexp: ``(x, axis) -> log(sum(exp(x)))`` over one axis.
        log_softmax: ``(x, axis) -> x - logsumexp(x)``.
        softmax: ``(x, axis)``, the exponential of `log_softmax`.
        softplus: ``(x) -> log(1 + exp(x))``, stable, with derivative `sigmoid` everywhere.
        sigmoid: ``(x) -> 1 / (1 + exp(-x))``.
        one_hot: ``(index, size) -> (*, size)`` in the default float type.
        stop_gradient: ``(x) -> x``, constant under differentiation.
        sum: ``(x, axes) -> x`` summed over a tuple of axes.
        float: ``(x) -> x`` as an array of the default float type.
        grad: ``(fn, x) -> d fn(x).sum() / d x``, itself differentiable.
        scan: ``(step, carry, xs) -> ys`` with ``carry, y = step(carry, x)`` for every x along
            the first axis. All are tuples of arrays; the loop is compiled once under jax.
        tanh_chain: The loop of `ppgm.guides.smoothers.Combiner`, with a faster way back than that
            of `scan`; None without derivatives.
        chosen: ``(mask) -> steps`` for booleans ``(*, T)``: ``steps.take(x)`` has only the steps
            of ``(K, *, T, n)`` for which the mask holds, ``(K, M, n)``, and ``steps.put(terms)``
            puts ``(K, M)`` in their places, zero elsewhere. None where shapes must not depend on
            numbers.
    """

    np: Any
    logsumexp: Callable[[Array, int], Array]
    log_softmax: Callable[[Array, int], Array]
    softmax: Callable[[Array, int], Array]
    softplus: Callable[[Array], Array]
    sigmoid: Callable[[Array], Array]
    one_hot: Callable[[Array, int], Array]
    stop_gradient: Callable[[Array], Array]
    sum: Callable[[Array, tuple[int, ...]], Array]
    float: Callable[[Any], Array]
    grad: Callable[[Callable[[Array], Array], Array], Array]
    scan: Callable[[Step, Arrays, Arrays], Arrays]
    tanh_chain: Callable[..., tuple[Array, Array]] | None = None
    chosen: Callable[[Array], Any] | None = None


def ops_of(array: Array) -> Ops:
    """Returns the functions for the library of `array`; numpy's for anything else."""
    roots = {kind.__module__.partition(".")[0] for kind in type(array).__mro__}
    if "torch" in roots:
        return import_module("ppgm.host_pyro_ops").OPS
    if roots & {"jax", "jaxlib"}:
        return import_module("ppgm.host_numpyro_ops").OPS
    return NUMPY


def _logsumexp(x: np.ndarray, axis: int) -> np.ndarray:
    top = np.max(x, axis=axis, keepdims=True)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):  # the logarithm of nothing is meant
        return np.squeeze(safe, axis) + np.log(np.sum(np.exp(x - safe), axis=axis))


def _log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    return x - np.expand_dims(_logsumexp(x, axis), axis)


def _no_grad(fn: Callable[[Array], Array], x: Array) -> Array:
    raise TypeError(f"numpy has no derivatives: give {fn} torch or jax arrays")


def loop(stack: Callable[[list[Array]], Array]) -> Callable[[Step, Arrays, Arrays], Arrays]:
    """Returns a `scan` that is a plain loop, of a library with the given `stack`."""

    def scan(step: Step, carry: Arrays, xs: Arrays) -> Arrays:
        rows = []
        for x in zip(*xs, strict=True):
            carry, y = step(carry, x)
            rows.append(y)
        return tuple(map(stack, map(list, zip(*rows, strict=True))))

    return scan


NUMPY = Ops(
    np=np,
    logsumexp=_logsumexp,
    log_softmax=_log_softmax,
    softmax=lambda x, axis: np.exp(_log_softmax(x, axis)),
    softplus=lambda x: np.logaddexp(0.0, x),
    sigmoid=lambda x: np.exp(-np.logaddexp(0.0, -x)),
    one_hot=lambda index, size: np.eye(size)[index],
    stop_gradient=lambda x: x,
    sum=lambda x, axes: np.sum(x, axis=axes),
    float=lambda x: np.asarray(x, float),
    grad=_no_grad,
    scan=loop(np.stack),
)
