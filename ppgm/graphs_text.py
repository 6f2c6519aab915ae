"""Graphs as mermaid, DOT and plain text.

Names never become identifiers: nodes are ``n0, n1, ...``, so that a site may have any name. A
node can be in one box only, so where plates overlap without nesting, one of them is drawn in
parts, and its label says so.
"""

__all__ = ["guide_edges", "label", "plate_label", "to_dot", "to_mermaid", "to_text"]

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import networkx as nx

MERMAID_SHAPES = {
    "latent": ("((", "))"),
    "observed": ("((", "))"),
    "deterministic": ("(((", ")))"),
    "implicit": ("(((", ")))"),
    "factor": ("[", "]"),
    "param": ("(", ")"),
}
MERMAID_STYLES = """\
    classDef latent fill:#ffffff,stroke:#333333,color:#111111
    classDef observed fill:#cfd8dc,stroke:#333333,color:#111111
    classDef deterministic fill:#ffffff,stroke:#333333,color:#111111,stroke-dasharray:4 3
    classDef implicit fill:#cfd8dc,stroke:#333333,color:#111111,stroke-dasharray:4 3
    classDef factor fill:#111111,stroke:#111111,color:#ffffff
    classDef param fill:#f5f5f5,stroke:#999999,color:#111111"""
DOT_STYLES = {
    "latent": "shape=ellipse",
    "observed": 'shape=ellipse, style=filled, fillcolor="#cfd8dc"',
    "deterministic": "shape=ellipse, style=dashed, peripheries=2",
    "implicit": 'shape=ellipse, style="filled,dashed", peripheries=2, fillcolor="#cfd8dc"',
    "factor": 'shape=square, style=filled, fillcolor=black, width=0.15, label=""',
    "param": 'shape=point, width=0.08, label=""',
}


class _Box(NamedTuple):
    """A plate, or a part of one, with what lies in it."""

    plate: str
    key: str
    nodes: list[str]
    boxes: dict[str, "_Box"]


def label(graph: nx.DiGraph, node: str) -> str:
    """Returns ``"site ~ Distribution"``, or what the site is if it has none."""
    facts = graph.nodes[node]
    if facts["kind"] in ("latent", "observed"):
        return f"{visible(node)} ~ {facts['distribution']}"
    return visible(node)


def plate_label(graph: nx.DiGraph, plate: str) -> str:
    """Returns ``"name: size"``."""
    return f"{visible(plate)}: {graph.graph['plates'][plate]['size']}"


def visible(name: str) -> str:
    r"""Returns a name with line breaks and control characters written out, as ``\n``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def guide_edges(graph: nx.DiGraph) -> list[tuple[str, str]]:
    """Returns the pairs (parent, child) of the guide, if the graph has them."""
    guide = graph.graph.get("guide")
    return [] if guide is None else list(guide.edges)


def to_text(graph: nx.DiGraph) -> str:
    """Returns the graph as lines of text: plates, then the sites with their children.

    Further parents stand behind a site's name (``╾``); ``...`` stands for children that were
    shown before. Lines at the end say what the guide's states depend on.
    """
    shown = nx.DiGraph()
    for node, facts in graph.nodes(data=True):
        notes = [*map(visible, facts["plates"])]
        notes += [facts["kind"]] if facts["kind"] != "latent" else []
        text = label(graph, node) + (f"  [{', '.join(notes)}]" if notes else "")
        shown.add_node(node, label=text)
    shown.add_edges_from(graph.edges)
    head = " on ".join(filter(None, [graph.graph.get("name"), graph.graph.get("host")]))
    plates = [f"plate {plate_label(graph, plate)}" for plate in graph.graph["plates"]]
    parents: dict[str, list[str]] = {}
    for parent, child in guide_edges(graph):
        parents.setdefault(visible(child), []).append(visible(parent))
    guide = [f"guide {child} given {', '.join(given)}" for child, given in parents.items()]
    lines = [*filter(None, [visible(head)]), *plates, *nx.generate_network_text(shown), *guide]
    return "\n".join(lines)


def to_mermaid(graph: nx.DiGraph) -> str:
    """Returns the graph as a mermaid flowchart, which GitHub, GitLab and Sphinx render."""
    ids = _ids(graph)

    def node(name: str) -> str:
        facts = graph.nodes[name]
        left, right = MERMAID_SHAPES[facts["kind"]]
        second = _mermaid(visible(_subtitle(facts)))
        text = _mermaid(visible(name)) + (f"<br/><small>{second}</small>" if second else "")
        return f'{ids[name]}{left}"{text}"{right}:::{facts["kind"]}'

    def open_box(key: str, text: str) -> str:
        return f'subgraph {key}["{_mermaid(text)}"]'

    body = _body(graph, node, open_box, "end")
    edges = (f"    {ids[a]} {_arrow(graph, b, '-->', '---')} {ids[b]}" for a, b in graph.edges)
    guide = (f"    {ids[a]} -.-> {ids[b]}" for a, b in guide_edges(graph))
    return "\n".join(["flowchart TD", *body, *edges, *guide, MERMAID_STYLES])


def to_dot(graph: nx.DiGraph) -> str:
    """Returns the graph in Graphviz's DOT language, plates as clusters."""
    ids = _ids(graph)

    def node(name: str) -> str:
        facts = graph.nodes[name]
        second = _subtitle(facts)
        text = _dot(visible(name)) + (f"\\n{_dot(visible(second))}" if second else "")
        small = facts["kind"] in ("factor", "param")
        key = "xlabel" if small else "label"
        return f'{ids[name]} [{key}="{text}", {DOT_STYLES[facts["kind"]]}];'

    def open_box(key: str, text: str) -> str:
        style = "labeljust=r; labelloc=b; style=rounded;"
        return f'subgraph cluster_{key} {{ label="{_dot(text)}"; {style}'

    body = _body(graph, node, open_box, "}")
    edges = (
        f"    {ids[a]} -> {ids[b]}{_arrow(graph, b, '', ' [arrowhead=none]')};"
        for a, b in graph.edges
    )
    title = _dot(visible(graph.graph.get("name") or "model"))
    dashed = "style=dashed, constraint=false"
    guide = (f"    {ids[a]} -> {ids[b]} [{dashed}];" for a, b in guide_edges(graph))
    return "\n".join([f'digraph "{title}" {{', *body, *edges, *guide, "}"])


def _ids(graph: nx.DiGraph) -> dict[str, str]:
    return {name: f"n{i}" for i, name in enumerate(graph.nodes)}


def _arrow(graph: nx.DiGraph, child: str, directed: str, undirected: str) -> str:
    """An arrow, or a line to a factor: a factor ties its parents and is drawn from none."""
    return undirected if graph.nodes[child]["kind"] == "factor" else directed


def _subtitle(facts: dict[str, Any]) -> str:
    return facts["distribution"] if facts["kind"] in ("latent", "observed") else ""


def _mermaid(text: str) -> str:
    """Escapes what mermaid or the HTML it makes would read as markup."""
    plain = set(" -_.,:;[](){}'/=+~*@!?^|%")
    return "".join(c if c.isalnum() or c in plain else f"#{ord(c)};" for c in text)


def _dot(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _body(
    graph: nx.DiGraph,
    node: Callable[[str], str],
    open_box: Callable[[str, str], str],
    close: str,
) -> Iterator[str]:
    root = _boxes(graph)
    parts, seen = Counter(_plates_of(root)), Counter[str]()

    def lines(box: _Box, indent: str) -> Iterator[str]:
        yield from (indent + node(name) for name in box.nodes)
        for inner in box.boxes.values():
            seen[inner.plate] += 1
            text = plate_label(graph, inner.plate)
            if parts[inner.plate] > 1:
                text += f" (part {seen[inner.plate]} of {parts[inner.plate]})"
            yield indent + open_box(inner.key, text)
            yield from lines(inner, indent + "    ")
            yield indent + close

    return lines(root, "    ")


def _boxes(graph: nx.DiGraph) -> _Box:
    """Nests the plates: larger ones outside, ties as the program nests them."""
    members = Counter(p for _, plates in graph.nodes(data="plates") for p in plates)
    root, made = _Box("", "", [], {}), 0
    for name, plates in graph.nodes(data="plates"):
        box = root
        for plate in sorted(plates, key=lambda p: -members[p]):  # a stable sort keeps ties
            if plate not in box.boxes:
                box.boxes[plate] = _Box(plate, f"p{made}", [], {})
                made += 1
            box = box.boxes[plate]
        box.nodes.append(name)
    return root


def _plates_of(box: _Box) -> Iterator[str]:
    for inner in box.boxes.values():
        yield inner.plate
        yield from _plates_of(inner)
