"""The statements of a run of a NumPyro program, as records of sites."""

__all__ = ["records_of"]

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpyro.distributions import constraints

from ppgm.host_numpyro_ppl import PortableDistribution, base_of, support_values
from ppgm.host_numpyro_run import Setup, flatten, is_auxiliary, kind_of, plates_of, to_term
from ppgm.host_numpyro_runner import ENUMERATION_LIMIT
from ppgm.sites import Record, seen_batch


def records_of(
    sites: Mapping[str, Any], setup: Setup, side: str, *, finite: bool = True
) -> dict[str, Record]:
    """Returns records of the statements of a run of one side, and of its parameters.

    Args:
        sites: The statements.
        setup: The program.
        side: "model" or "guide".
        finite: Whether to look at numbers: whether values are finite.
    """
    kinds = ("latent", "observed", "factor", "deterministic")
    records = {
        n: _record(s, sites, finite=finite) for n, s in sites.items() if kind_of(s) in kinds
    }
    own = {n: setup.params[n] for n in setup.groups[side]}
    return records | {
        n: _param(v, _support_name(setup.constraints.get(n) or constraints.real))
        for n, v in flatten(own).items()
    }


def _param(value: np.ndarray, constraint: str) -> Record:
    return Record(
        "param", True, "Param", constraint, (), value.shape, (), True, False, 0, True,
        bool(np.isfinite(value).all()),
    )  # fmt: skip


def _record(site: Mapping[str, Any], sites: Mapping[str, Any], *, finite: bool) -> Record:
    kind, plates = kind_of(site), plates_of(site, sites)
    if kind == "deterministic":
        return _deterministic(site, plates, finite=finite)
    fn, base = site["fn"], base_of(site["fn"])
    portable = base.portable if isinstance(base, PortableDistribution) else None
    support = getattr(fn, "support", None)
    values = support_values(fn, ENUMERATION_LIMIT) if kind != "factor" else None
    return Record(
        type="auxiliary" if is_auxiliary(site) else "factor" if kind == "factor" else "sample",
        observed=kind == "observed",
        distribution=_plain_name(type(portable or base).__name__),
        support=_support_name(support),
        batch_shape=seen_batch(fn.batch_shape, fn.event_shape, jnp.shape(site["value"])),
        event_shape=() if kind == "factor" else tuple(fn.event_shape),
        plates=plates,
        reparameterised=bool(fn.has_rsample),
        discrete=bool(getattr(support, "is_discrete", False)),
        enumerable=0 if values is None else len(values),
        normalised=kind != "factor" and bool(getattr(portable, "normalised", True)),
        finite=not finite or _is_finite(site["value"], to_term(site, sites, "", 0).log_prob),
        bounds=_bounds(support),
    )


def _bounds(support: Any) -> tuple[int, int] | None:
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    if _support_name(support) != "integer_interval":
        return None
    ends = (support.lower_bound, support.upper_bound)
    if any(isinstance(e, Tracer) or jnp.ndim(e) for e in ends):
        return None
    return int(ends[0]), int(ends[1])


def _deterministic(site: Mapping[str, Any], plates: Any, *, finite: bool) -> Record:
    value = site["value"]
    depth = max([-p.dim for p in plates], default=0)
    shape = tuple(jnp.shape(value))
    return Record(
        "deterministic", True, "Deterministic", "real", shape[:depth], shape[depth:], plates,
        True, False, 0, False, not finite or _is_finite(value),
    )  # fmt: skip


def _is_finite(*arrays: Any) -> bool:
    return all(bool(jnp.isfinite(jnp.asarray(a)).all()) for a in arrays)


def _plain_name(name: str) -> str:
    return {"Unit": "Factor"}.get(name, name.removesuffix("Logits").removesuffix("Probs"))


def _support_name(support: Any) -> str:
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    name = type(support).__name__.lstrip("_").lower()
    return SUPPORTS.get(name, name)


SUPPORTS = {
    "unitinterval": "unit_interval",
    "integernonnegative": "nonnegative_integer",
    "integergreaterthan": "nonnegative_integer",
    "integerinterval": "integer_interval",
}
