"""Log densities of vectors of which some entries were not seen."""

__all__ = ["log_seen"]

from typing import Any

from ppgm.errors import ModelError
from ppgm.ops import Array, ops_of


def log_seen(fn: Any, value: Array, seen: Array | None) -> Array:
    """Returns the log density of what was seen of vectors.

    Args:
        fn: The host's distribution, batch ``(*)`` and event ``(D,)``.
        value: Vectors ``(*, D)``, with any numbers for what was not seen.
        seen: Booleans ``(*, D)``, or ``(*, 1)`` where all entries of a vector were seen or none;
            None for all.

    Raises:
        ModelError: If single entries are missing, and the columns are not independent.
    """
    if seen is None:
        return fn.log_prob(value)
    xp = ops_of(seen).np
    value = xp.where(seen, value, xp.zeros_like(value))
    if seen.shape[-1] == 1:
        terms = fn.log_prob(value)
        return xp.where(seen[..., 0], terms, xp.zeros_like(terms))
    terms = _by_column(fn, value)
    return xp.where(seen, terms, xp.zeros_like(terms)).sum(-1)


def _by_column(fn: Any, value: Array) -> Array:
    """Returns the log density of every column, ``(*, D)``."""
    portable = getattr(fn, "portable", None)
    if portable is not None and hasattr(portable, "terms"):
        return portable.terms(value)
    inner = getattr(fn, "base_dist", None)
    if inner is None or tuple(inner.event_shape):
        name = type(fn if portable is None else portable).__name__
        raise ModelError(
            f"single entries are missing, and {name} has no density of a column "
            "alone: use a likelihood of independent columns, such as Bernoulli(), Gaussian() or "
            "Poisson(), or mask whole steps"
        )
    return inner.log_prob(value)
