"""What the draw of each site can change: the basis of local learning signals.

The draw of a site of the guide changes the density of the sites drawn after it from it, and that
of the model's sites whose distribution is computed from it or from them. All other terms of a
bound are constants for it, which only add variance to its score-function gradient.
"""

__all__ = ["Reach", "influences", "relations", "with_influences"]

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import networkx as nx

from ppgm import host as hosts
from ppgm.programs import Program
from ppgm.sites import SiteTable


def with_influences(table: SiteTable, program: Program, data: Mapping[str, Any]) -> SiteTable:
    """Returns the table with its `influences`.

    Args:
        table: The program's sites.
        program: The program.
        data: Its data, or a batch.
    """
    return table._replace(influences=influences(table, relations(program, data)))


def relations(program: Program, data: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Returns the edges (parent, child) between the sites and parameters of each side."""
    found = hosts.load(program.host).relations
    edges = {"model": found(program, data)}
    if program.guide is not None:
        # a declaration would be bound anew, with its own model
        guide = replace(program, model=program.guide, guide=None, declaration=None)
        edges["guide"] = found(guide, data)
    return edges


def influences(
    table: SiteTable, edges: Mapping[str, Iterable[tuple[str, str]]]
) -> dict[str, frozenset[tuple[str, str]]]:
    """Returns by site of the guide the (side, site) that its draw can change.

    Args:
        table: The program's sites.
        edges: Pairs (parent, child) of both sides.
    """
    later = nx.DiGraph(list(edges.get("guide", ())))
    children = nx.DiGraph(_contracted(table, edges["model"]))
    found = {}
    for site in table.select("guide", "latent", "auxiliary"):
        drawn = {site.name} | (nx.descendants(later, site.name) if site.name in later else set())
        drawn &= {s.name for s in table.guide}
        heads = {c for n in drawn if n in children for c in children.successors(n)}
        changed = [("guide", n) for n in drawn] + [("model", n) for n in drawn | heads]
        found[site.name] = frozenset(changed)
    return found


class Reach:
    """What draws can influence in programs that a host's own SVI runs, found once for each.

    A program whose sites, or whose arguments of words and flags, are others than before is asked
    anew; one of which other numbers make another program, with the same sites, is not.
    """

    def __init__(self) -> None:
        self._known: dict[Any, tuple[Program, dict[str, frozenset[tuple[str, str]]]]] = {}

    def add(
        self,
        table: SiteTable,
        program: Program,
        arguments: Mapping[Any, Any],
        find: Callable[[], Mapping[str, Iterable[tuple[str, str]]]],
    ) -> SiteTable:
        """Returns the table with its `influences`.

        Args:
            table: The program's sites.
            program: The program.
            arguments: What model and guide are called with, by position or name.
            find: Returns the edges of both sides.
        """
        sites = tuple((s.side, s.name, s.kind) for s in table.model + table.guide)
        flags = tuple((k, v) for k, v in arguments.items() if isinstance(v, bool | str | None))
        key = (id(program.model), id(program.guide), sites, flags)
        if key not in self._known:  # the program is kept, so that its `id` stays its own
            self._known[key] = program, influences(table, find())
        return table._replace(influences=self._known[key][1])


def _contracted(table: SiteTable, edges: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns the model's edges with the deterministic sites between replaced by shortcuts."""
    graph = nx.DiGraph(list(edges))
    for site in table.model:
        if site.kind in ("deterministic", "implicit") and site.name in graph:
            above, below = list(graph.predecessors(site.name)), list(graph.successors(site.name))
            graph.add_edges_from((a, b) for a in above for b in below)
            graph.remove_node(site.name)
    return list(graph.edges)
