"""The site table: what a program declares, read once from one trace.

A *site* is a named statement of a model or guide. A *row plate* is a plate that holds every
stochastic site of model and guide: log weights are per row of these plates, so a multi-sample
bound is a sum of bounds, one per datum. With a global latent there is none, and the bound is
over the whole data set.
"""

__all__ = [
    "Plate",
    "Record",
    "Site",
    "SiteTable",
    "check_match",
    "is_exact",
    "seen_batch",
    "tabulate",
]

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ppgm.errors import ModelError, did_you_mean


class Plate(NamedTuple):
    """A plate.

    Attributes:
        name: Its name.
        size: Number of rows in this run (the subsample's size under subsampling).
        dim: Its batch dimension, counted from the right: -1, -2, ...
        full_size: Number of rows of which `size` were drawn.
    """

    name: str
    size: int
    dim: int
    full_size: int


class Record(NamedTuple):
    """What a host reports of one statement of a trace.

    Attributes:
        type: "sample", "auxiliary" (a guide's draw that other sites are made of), "factor",
            "deterministic" or "param".
        observed: Whether a value was given.
        distribution: Name of the distribution, without event wrapping.
        support: Name of its support.
        batch_shape: Batch shape.
        event_shape: Event shape.
        plates: Plates around it, in the order of their batch axes (leftmost first).
        reparameterised: Whether draws carry gradients to the distribution's parameters.
        discrete: Whether the support is discrete.
        enumerable: Number of values, 0 if not finite or too many to list.
        normalised: Whether it is a density that integrates to one (a factor is not).
        finite: Whether value and log density are finite.
        bounds: Least and largest value of a bounded support of integers, if they are known.
    """

    type: str
    observed: bool
    distribution: str
    support: str
    batch_shape: tuple[int, ...]
    event_shape: tuple[int, ...]
    plates: tuple[Plate, ...]
    reparameterised: bool
    discrete: bool
    enumerable: int
    normalised: bool
    finite: bool
    bounds: tuple[int, int] | None = None


class Site(NamedTuple):
    """One row of the site table; see `Record` for the shared attributes.

    Attributes:
        side: "model" or "guide".
        kind: "latent", "observed", "implicit" (observed in the data, but without a density),
            "auxiliary", "deterministic", "factor" or "param".
        plates: Names of the plates around it, in the order of their batch axes.
        normalised: Whether it is a density that integrates to one (a factor is not).
    """

    name: str
    side: str
    kind: str
    distribution: str
    support: str
    batch_shape: tuple[int, ...]
    event_shape: tuple[int, ...]
    plates: tuple[str, ...]
    reparameterised: bool
    discrete: bool
    enumerable: int
    normalised: bool
    bounds: tuple[int, int] | None = None


class SiteTable(NamedTuple):
    """The sites of a program.

    Attributes:
        model: Sites of the model, in order of execution.
        guide: Sites of the guide, in order of execution.
        plates: All plates by name.
        rows: Names of the row plates, in the order of their axes; empty with global latents.
        data_plates: Plates whose size is the number of data rows.
        has_guide: Whether the program has a guide.
        influences: By site of the guide, the (side, site) of all log densities that its draw
            can change; None unless `ppgm.influences` found them.
        exact: Whether the density of the data is that of the observed sites: there are no
            latents, and the model does not see what it observes.
        data: Names of the data; None where they are not known.
        estimate_noise: Latents that are the noise of an unbiased estimate of log p(x), and what
            to do where log p(x) itself is needed; None unless the declaration has some.
    """

    model: tuple[Site, ...]
    guide: tuple[Site, ...]
    plates: dict[str, Plate]
    rows: tuple[str, ...]
    data_plates: tuple[str, ...]
    has_guide: bool
    influences: dict[str, frozenset[tuple[str, str]]] | None = None
    exact: bool = False
    data: tuple[str, ...] | None = None
    estimate_noise: Mapping[str, str] | None = None

    def select(self, side: str, *kinds: str) -> tuple[Site, ...]:
        """Returns the sites of one side ("model" or "guide") that are of one of the kinds."""
        return tuple(s for s in getattr(self, side) if s.kind in kinds)

    def __str__(self) -> str:
        head = ("site", "side", "kind", "distribution", "batch", "event", "plates")
        rows = [
            (s.name, s.side, s.kind, s.distribution, _shape(s.batch_shape), _shape(s.event_shape),
             ", ".join(s.plates))
            for s in self.model + self.guide
        ]  # fmt: skip
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        padded = ([c.ljust(w) for c, w in zip(r, widths, strict=True)] for r in (head, *rows))
        return "\n".join("  ".join(cells).rstrip() for cells in padded)


DENSITIES = ("sample", "auxiliary", "factor")
"""Types of records that have a log density."""


def seen_batch(
    batch: Sequence[int], event: Sequence[int], value: Sequence[int]
) -> tuple[int, ...]:
    """Returns the batch shape of a site's density: an observed value can be wider than it.

    Args:
        batch: Batch shape of the distribution.
        event: Its event shape.
        value: Shape of the value.
    """
    return np.broadcast_shapes(tuple(batch), tuple(value[: max(len(value) - len(event), 0)]))


def tabulate(
    model: Mapping[str, Record],
    guide: Mapping[str, Record] | None,
    data: Mapping[str, Any] | Iterable[str],
    rows: int | None,
) -> SiteTable:
    """Builds the table from the records of both sides.

    Args:
        model: Records of the model by name.
        guide: Records of the guide by name, or None.
        data: The data, or their names, to tell an implicit site from a deterministic one.
        rows: Number of data rows, or None.
    """
    given = data.items() if isinstance(data, Mapping) else ((n, n) for n in data)
    names = tuple(name for name, value in given if value is not None)
    data = set(data)
    # with `obs_mask` a host observes part of a site, and names the whole of it as a value
    data = data - {n for n in data if f"{n}_observed" in model}
    sides = [_site(n, "model", r, data) for n, r in model.items()]
    inner = [_site(n, "guide", r, data) for n, r in (guide or {}).items()]
    records = [*model.values(), *(guide or {}).values()]
    plates = {p.name: p for r in records for p in r.plates}
    common = _common([r.plates for r in records if r.type in DENSITIES])
    sized = tuple(n for n, p in plates.items() if rows is not None and p.size == rows)
    table = SiteTable(tuple(sides), tuple(inner), plates, common, sized, guide is not None)
    return table._replace(data=names)


def is_exact(table: SiteTable, needed: Iterable[str]) -> bool:
    """Tells whether the density of the data is that of the observed sites.

    Args:
        table: The program's sites.
        needed: Arguments that the model cannot run without: an observed site of such a name may
            depend on what it observes, as that of an autoencoder does.
    """
    drawn = table.select("model", "latent", "implicit") + table.select("guide", "latent")
    observed = table.select("model", "observed")
    whole = all(s.normalised for s in observed) and not table.select("model", "factor")
    seen = {s.name for s in observed} & set(needed)
    return bool(observed) and whole and not drawn and not seen


def check_match(table: SiteTable) -> None:
    """Checks that the guide draws exactly the model's latents, alike in shape and support.

    Raises:
        ModelError: Names the site, both sides, and the nearest name where one is missing.
    """
    latent = {s.name: s for s in table.select("model", "latent")}
    drawn = {s.name: s for s in table.select("guide", "latent")}
    for name in [n for n in latent if n not in drawn]:
        hint = did_you_mean(name, drawn.keys() - latent.keys())
        raise ModelError(
            f"latent site '{name}' of the model is not in the guide: the model draws "
            f"{sorted(latent)}, the guide draws {sorted(drawn)}{hint}; add it to the guide, or "
            f"give data['{name}'] if it is observed"
        )
    for name in [n for n in drawn if n not in latent]:
        hint = did_you_mean(name, latent)
        raise ModelError(
            f"site '{name}' of the guide is not a latent site of the model: the model draws "
            f"{sorted(latent)}, the guide draws {sorted(drawn)}{hint}"
        )
    for name, site in drawn.items():
        _check_pair(latent[name], site)


def _check_pair(model: Site, guide: Site) -> None:
    for field in ("event_shape", "batch_shape", "plates"):
        here, there = getattr(model, field), getattr(guide, field)
        if here != there:
            raise ModelError(
                f"site '{model.name}' has {field} {here} in the model and {there} in the guide: "
                "give both the same plates and `to_event`"
            )
    if not _supports_match(model, guide):
        raise ModelError(
            f"site '{model.name}' is {model.distribution} (support {model.support}) in the model "
            f"and {guide.distribution} (support {guide.support}) in the guide: the guide must "
            "draw values that the model can have, both discrete or both continuous"
        )


def _supports_match(model: Site, guide: Site) -> bool:
    """Tells what is plainly wrong; a guide may have less support than the model, not more."""
    if guide.distribution == "Delta":  # a point has no support of its own
        return True
    if model.discrete != guide.discrete:
        return False
    if model.discrete and model.enumerable:
        return 0 < guide.enumerable <= model.enumerable
    return model.discrete or guide.support != "real" or model.support == "real"


def _site(name: str, side: str, r: Record, data: set[str]) -> Site:
    plates = tuple(p.name for p in r.plates)
    kind = _kind(name, side, r, data)
    return Site(
        name, side, kind, r.distribution, r.support, r.batch_shape, r.event_shape, plates,
        r.reparameterised, r.discrete, r.enumerable, r.normalised, r.bounds,
    )  # fmt: skip


def _kind(name: str, side: str, r: Record, data: set[str]) -> str:
    if r.type == "sample":
        return "observed" if r.observed else "latent"
    if r.type == "deterministic" and side == "model" and name in data:
        return "implicit"
    return r.type


def _common(stacks: list[tuple[Plate, ...]]) -> tuple[str, ...]:
    if not stacks:
        return ()
    shared = set.intersection(*({p.name for p in s} for s in stacks))
    return tuple(p.name for p in stacks[0] if p.name in shared)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "-"
