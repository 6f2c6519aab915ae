"""Programs as directed acyclic graphs.

A graph is a ``networkx.DiGraph`` whose attributes carry meaning, not drawing:

- node: ``kind`` (latent, observed, deterministic, implicit, factor, param), ``distribution``,
  ``support``, ``batch_shape``, ``event_shape``, ``plates`` (outermost first),
  ``reparameterised``, ``discrete``, ``enumerable``;
- edge ``(parent, child)``: the child's distribution or value is computed from the parent;
- graph: ``name``, ``host`` and ``plates = {name: {"size": ..., "dim": ...}}``; of an unrolled
  sequence ``guide``, a graph of what the guide's states depend on.

networkx answers questions about it: ``nx.topological_sort``, ``nx.moral_graph``,
``nx.is_d_separator`` (on the `stochastic_subgraph`).
"""

__all__ = [
    "build",
    "draw",
    "equal",
    "graph",
    "show",
    "stochastic_subgraph",
    "to_dot",
    "to_mermaid",
    "to_text",
    "unrolled",
]

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np

from ppgm import host as hosts
from ppgm.arrays import as_arrays
from ppgm.errors import ArgumentError, ModelError
from ppgm.failures import explained
from ppgm.fits import Fit, as_fit
from ppgm.graphs_draw import draw
from ppgm.graphs_text import guide_edges, to_dot, to_mermaid, to_text
from ppgm.graphs_unrolled import unroll_program
from ppgm.programs import Program
from ppgm.sites import Plate, Site, SiteTable
from ppgm.state_spaces import StateSpace

ATTRIBUTES = (
    "kind", "distribution", "support", "batch_shape", "event_shape", "plates", "reparameterised",
    "discrete", "enumerable",
)  # fmt: skip


def graph(
    program: Program | Fit, data: Mapping[str, Any], *, unroll: int | None = None
) -> nx.DiGraph:
    """Returns the graph of a program's model.

    Args:
        program: The program, or a fit of it.
        data: Its data, as for `ppgm.fit`; a few rows are enough.
        unroll: Show this many steps of a sequence as nodes, without parameters, and what the
            guide's states depend on; see `ppgm.graphs_unrolled`.

    Raises:
        ArgumentError: If `program` is neither, or is to be unrolled and has no Markov chain.
        ModelError: If the relations that the host reports have a cycle.
    """
    given, program = program, program.program if isinstance(program, Fit) else program
    if not isinstance(program, Program):
        raise ArgumentError(
            "graph needs a program, as ppgm.program(declaration, host=...) makes them, or a Fit, "
            f"not {type(program).__name__}"
        )
    source = program.model if program.declaration is None else type(program.declaration)
    name = getattr(source, "__name__", type(source).__name__)
    if unroll is not None and isinstance(program.declaration, StateSpace):
        full = build(program.sites(data), [], host=program.host, name=name)
        return unroll_program(full, as_fit(given, as_arrays(data)), data, unroll)
    with explained(program, data):
        edges = hosts.load(program.host).relations(program, data)
    full = build(_grouped(program.sites(data), edges), edges, host=program.host, name=name)
    if unroll is None:
        return full
    if "MarkovChain" in dict(full.nodes(data="distribution")).values():
        return unrolled(full, unroll)
    sites = ", ".join(f"{n} ~ {d}" for n, d in full.nodes(data="distribution") if d)
    raise ArgumentError(
        f"unroll={unroll!r} needs a site that is a ppgm.chains.MarkovChain, as z of DKF and of "
        f"LinearGaussianSSM; {name} has {sites or 'none'}: leave unroll out"
    )


def _grouped(table: SiteTable, edges: Iterable[tuple[str, str]]) -> SiteTable:
    """Shows the parameters of a network as one node, called as the network is."""
    parents = {parent for parent, _ in edges}
    sites: dict[str, Site] = {}
    for site in table.model:
        heads = (site.name.rsplit(".", n)[0] for n in range(site.name.count(".") + 1))
        name = next((h for h in heads if h in parents), site.name)
        if site.kind != "param" or name == site.name:
            sites[site.name] = site
        else:
            sites[name] = site._replace(
                name=name, distribution="Network", support="real", event_shape=()
            )
    return table._replace(model=tuple(sites.values()))


def build(
    table: SiteTable,
    edges: Iterable[tuple[str, str]],
    *,
    params: Mapping[str, Any] | None = None,
    host: str = "",
    name: str = "",
) -> nx.DiGraph:
    """Builds the graph of the model's sites.

    Args:
        table: The site table.
        edges: Pairs (parent, child). Pairs with a name that is neither a site of the model nor
            in `params` are left out: hosts also report data and subsampling sites.
        params: Further parameters, such as a network's weights, by name.
        host: Name of the host.
        name: Name of the model.

    Raises:
        ModelError: If the edges have a cycle; names it.
    """
    out = nx.DiGraph(name=name, host=host, plates={})
    for site in table.model:
        out.add_node(site.name, **{key: getattr(site, key) for key in ATTRIBUTES})
    for param, value in (params or {}).items():
        if param not in out:
            out.add_node(param, **_param(param, value))
    out.add_edges_from((a, b) for a, b in edges if a in out and b in out)
    out.graph["plates"] = _plates(out, table.plates)
    _check_acyclic(out)
    return out


def show(graph: nx.DiGraph) -> None:
    """Prints the graph as text."""
    print(to_text(graph))


def equal(a: nx.DiGraph, b: nx.DiGraph) -> list[str]:
    """Returns the differences of two graphs as sentences; an empty list if there are none.

    Plates, nodes with their attributes, and edges, a guide's too, are compared; names and hosts
    are not.
    """
    first, second = (g.graph.get("host") or side for g, side in ((a, "first"), (b, "second")))
    if first == second:
        first, second = f"{first} (first)", f"{second} (second)"
    return [
        *_presence("site", a.nodes, b.nodes, first, second),
        *_presence("edge", _arrows(a.edges), _arrows(b.edges), first, second),
        *_presence(
            "guide's edge", _arrows(guide_edges(a)), _arrows(guide_edges(b)), first, second
        ),
        *_presence("plate", a.graph["plates"], b.graph["plates"], first, second),
        *_values("site", a.nodes, b.nodes, first, second),
        *_values("plate", a.graph["plates"], b.graph["plates"], first, second),
    ]


def stochastic_subgraph(graph: nx.DiGraph) -> nx.DiGraph:
    """Returns the graph of the random sites, on which d-separation means independence.

    Parameters are dropped. Deterministic sites are contracted: their parents become parents of
    their children. Observed sites without a density ("implicit") stay, as they are conditioned
    on.
    """
    out = graph.copy()
    for node, kind in graph.nodes(data="kind"):
        if kind == "deterministic":
            out.add_edges_from([(p, c) for p in out.pred[node] for c in out.succ[node]])
        if kind in ("deterministic", "param"):
            out.remove_node(node)
    used = {p for _, plates in out.nodes(data="plates") for p in plates}
    out.graph["plates"] = {n: p for n, p in graph.graph["plates"].items() if n in used}
    return out


def unrolled(graph: nx.DiGraph, steps: int) -> nx.DiGraph:
    """Returns the graph with each Markov chain ``z`` as ``z[0] -> z[1] -> ...``.

    A Markov chain is a site whose distribution has "Markov" in its name and whose first event
    dimension is time. All its parents act on every step. A child is kept as one node with an
    edge from every step: which steps it depends on cannot be read from a trace.

    Args:
        graph: The graph.
        steps: Number of steps to show, at least one; fewer if the chain is shorter.
    """
    if steps < 1:
        raise ArgumentError(f"unroll must be at least 1 step, not {steps}")
    out = graph.copy()
    for node in [n for n, d in graph.nodes(data="distribution") if "Markov" in d]:
        facts = graph.nodes[node]
        length, *event = facts["event_shape"]
        names = [f"{node}[{t}]" for t in range(min(steps, length))]
        out.add_nodes_from(names, **{**facts, "event_shape": tuple(event)})
        out.add_edges_from(pairwise(names))
        out.add_edges_from([(p, t) for p in out.pred[node] for t in names])
        out.add_edges_from([(t, c) for c in out.succ[node] for t in names])
        out.remove_node(node)
    return out


def _param(name: str, value: Any) -> dict[str, Any]:
    shape = tuple(np.shape(value))
    site = Site(name, "model", "param", "", "", (), shape, (), False, False, 0, False)  # noqa: FBT003
    return {key: getattr(site, key) for key in ATTRIBUTES}


def _plates(out: nx.DiGraph, plates: Mapping[str, Plate]) -> dict[str, dict[str, int]]:
    used = {p for _, names in out.nodes(data="plates") for p in names}
    return {n: {"size": p.size, "dim": p.dim} for n, p in plates.items() if n in used}


def _check_acyclic(out: nx.DiGraph) -> None:
    if nx.is_directed_acyclic_graph(out):
        return
    nodes = [a for a, _ in nx.find_cycle(out)]
    raise ModelError(
        f"the sites depend on each other in a circle, {' -> '.join([*nodes, nodes[0]])}: this is "
        "what a host reports of a loop over time (numpyro.contrib.control_flow.scan); write the "
        "loop as one site with a time axis, or in Python"
    )


def _arrows(edges: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{a} -> {b}" for a, b in edges]


def _presence(what: str, a: Iterable[str], b: Iterable[str], first: str, second: str) -> list[str]:
    a, b = list(a), list(b)
    return [
        *(f"{what} '{n}' is in {first} only" for n in a if n not in b),
        *(f"{what} '{n}' is in {second} only" for n in b if n not in a),
    ]


def _values(
    what: str, a: Mapping[str, Any], b: Mapping[str, Any], first: str, second: str
) -> list[str]:
    return [
        f"{what} '{name}' has {key} {a[name].get(key)!r} in {first} and "
        f"{b[name].get(key)!r} in {second}"
        for name in a
        if name in b
        for key in {**a[name], **b[name]}
        if a[name].get(key) != b[name].get(key)
    ]
