r"""Who draws a site that is to be predicted: the model alone, or the guide before it.

A model can be run forward as long as nothing observed depends on what it draws; the draws are
then exact. Else the guide has to draw the latents, given the data without the site. Latents that
all rows share are the guide's in any case: it knows them from the data that it was trained on.
"""

__all__ = ["Plan", "alone", "choose", "make_plan", "records", "table_of_model"]

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np

from ppgm import host as hosts
from ppgm import store
from ppgm.checking import check_all_rows, check_support, plates_of_rows
from ppgm.errors import ArgumentError, ModelError, PpgmError, did_you_mean
from ppgm.fits import Fit
from ppgm.ppl import guide_of
from ppgm.programs import Program, program
from ppgm.rows import row_count
from ppgm.sites import Record, Site, SiteTable, tabulate

Edges = list[tuple[str, str]]


@dataclass(frozen=True)
class Plan:
    """How a site is predicted.

    Attributes:
        params: Constrained parameters.
        model: The model alone, as a program.
        guide: The guide alone, as the model of a program, where it has to draw latents.
        drawn: Names of the latents that it draws for the model.
        table: The model's sites.
        site: The site, as the side has it that draws it.
        by_guide: Whether that is the guide.
        parents: Whether the site depends on drawn sites.
    """

    params: Mapping[str, np.ndarray]
    model: Program
    guide: Program | None
    drawn: frozenset[str]
    table: SiteTable
    site: Site
    by_guide: bool
    parents: bool

    @property
    def source(self) -> Program:
        """The side that has the site, as the model of a program."""
        return self.guide if self.by_guide and self.guide else self.model

    @property
    def values(self) -> np.ndarray | None:
        """All values of one draw, ``(values, *event)``; None if there is no short list of them."""
        site = self.site
        if site.kind == "deterministic" or not site.discrete or not site.enumerable:
            return None
        if site.distribution.startswith("OneHotCategorical"):
            return np.eye(site.enumerable)
        low = 0 if site.bounds is None else site.bounds[0]
        return None if site.event_shape else np.arange(low, low + site.enumerable)

    @property
    def axis(self) -> int | None:
        """Axis of the site's batch that follows the rows of the data, None if there is none."""
        plates = [p for p in self.table.rows if p in self.table.data_plates]
        return self.site.plates.index(plates[0]) if len(plates) == 1 else None


@dataclass(frozen=True)
class _Side:
    """One side of a declaration, as a declaration: a model without a guide."""

    declaration: Any
    side: str

    @property
    def broadcasts(self) -> bool:
        """Whether particles can be a plate around it."""
        return bool(getattr(self.declaration, "broadcasts", False))

    def model(self, ppl: Any, **data: Any) -> None:
        """Runs that side."""
        guide = guide_of(self.declaration)
        run = guide if self.side == "guide" and guide else self.declaration.model
        run(ppl, **data)


def alone(source: Program, side: str) -> Program:
    """Returns a program whose model is one side of another."""
    if source.declaration is not None:
        return program(_Side(source.declaration, side), host=source.host, seed=source.seed)
    return replace(source, model=getattr(source, side), guide=None)


def choose(source: Program, data: Mapping[str, Any]) -> str:
    """Returns the one site that the data could have and do not, or the only one they could."""
    arguments = signature(source.model).parameters
    table = table_of_model(alone(source, "model"), data)
    known = [s.name for s in table.select("model", "latent", "observed") if s.name in arguments]
    missing = [n for n in known if data.get(n) is None]
    for found in (missing, known):
        if len(found) == 1:
            return found[0]
    raise ArgumentError(
        f"site is needed: the arguments of the model that are sites are {known}, and the data "
        f"have {sorted(data)}"
    )


def make_plan(source: Program, fit: Fit | None, data: Mapping[str, Any], name: str) -> Plan:
    """Decides who draws what.

    Args:
        source: The program.
        fit: Its fit, or None to take initial parameters.
        data: The data without the site.
        name: The site.
    """
    if not row_count(data):
        raise ArgumentError(
            f"there is nothing to predict '{name}' from: the data without it are {sorted(data)}; "
            "use ppgm.sample for draws of new data"
        )
    model = alone(source, "model")
    table = table_of_model(model, data)
    check_all_rows(table, "predict")
    check_support(table, data)
    table = table._replace(data_plates=plates_of_rows(model, table, data))
    site = _site(table, name)

    host = hosts.load(source.host)
    edges = host.relations(model, data)
    guided = _guided(table, edges)
    latent = {s.name for s in table.select("model", "latent")}
    guide, by_guide = None, False
    if guided:
        guide = _guide(source, guided)
        inner = {s.name: s for s in table_of_model(guide, data).select("model", "latent")}
        if name in inner and name in guided:
            site, by_guide, latent = inner[name], True, set(inner)
            edges = host.relations(guide, data)
    parents = bool((_reach({name}, [(c, p) for p, c in edges]) - {name}) & latent)
    sides = [model] if guide is None else [model, guide]
    return Plan(
        _params(fit, sides, data), model, guide, guided - {name}, table, site, by_guide, parents
    )


def table_of_model(model: Program, data: Mapping[str, Any]) -> SiteTable:
    """Returns the sites of a model alone."""
    return tabulate(records(model, data), None, data, row_count(data))


def records(source: Program, data: Mapping[str, Any]) -> dict[str, Record]:
    """Traces a model alone, and says what may be wrong if it does not run."""
    try:
        return hosts.load(source.host).trace(source, "model", data, finite=False)
    except PpgmError:
        raise
    except Exception as error:
        side = getattr(source.declaration, "side", "model or guide")
        raise ModelError(
            f"the {side} does not run on {sorted(data)} without the site that is to be predicted "
            f"({type(error).__name__}: {error}): predict another site, or give that argument the "
            "default None"
        ) from error


def _guided(table: SiteTable, edges: Edges) -> frozenset[str]:
    """Returns the latents that the guide has to draw: all of them, or those that rows share."""
    latent = {s.name: s for s in table.select("model", "latent")}
    if _reach(latent, edges) & {s.name for s in table.select("model", "observed")}:
        return frozenset(latent)
    return frozenset(n for n, s in latent.items() if not set(s.plates) & set(table.data_plates))


def _guide(source: Program, names: Iterable[str]) -> Program:
    if source.guide is None:
        raise ModelError(
            f"sites {sorted(names)} have a posterior that forward draws do not know, and the "
            "program has no guide: give one"
        )
    return alone(source, "guide")


def _params(
    fit: Fit | None, sides: list[Program], data: Mapping[str, Any]
) -> Mapping[str, np.ndarray]:
    wanted = {}
    for side in sides:
        wanted |= hosts.load(side.host).initial(side, data, side.seed)
    if fit is None:
        return wanted
    found = {n: fit.params[n].shape for n in wanted if n in fit.params}
    store.match({n: v.shape for n, v in wanted.items()}, {n: fit.params[n] for n in found})
    return fit.params


def _site(table: SiteTable, name: str) -> Site:
    found = {s.name: s for s in table.select("model", "latent", "observed", "deterministic")}
    if name not in found:
        raise ArgumentError(
            f"site must be a site of the model, {list(found)}, not '{name}'"
            f"{did_you_mean(name, found)}"
        )
    return found[name]


def _reach(start: Iterable[str], edges: Edges) -> set[str]:
    """Returns the nodes that can be reached along edges, the first ones among them."""
    seen = set(start)
    while more := {child for parent, child in edges if parent in seen} - seen:
        seen |= more
    return seen
