"""Graphs as pictures with matplotlib, in plate notation.

White ellipses are latent, shaded ones observed; a double border means that the value is
computed, not drawn; squares are factors and dots parameters. A rounded frame is a plate. Dashed
arrows lead to the guide's states from what these depend on.
"""

__all__ = ["draw"]

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import networkx as nx

from ppgm.errors import missing
from ppgm.graphs_cost import Box
from ppgm.graphs_layout import Layout, arrange
from ppgm.graphs_text import guide_edges, plate_label, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, QUIET, SHADE, FRAME = "#1f2933", "#5f6c7b", "#d5dde5", "#8aa0b6"
LETTER = 0.1
"""Width of a letter of a site's name, in inches at full size; a distribution's are smaller."""
MARGIN = 0.25
LONGEST = 28
"""Letters of a name that are shown."""


def draw(graph: nx.DiGraph, ax: "Axes | None" = None) -> "Axes":
    """Draws a graph.

    Args:
        graph: A graph of `ppgm.graph`.
        ax: Axes to draw into; a figure of fitting size by default.

    Returns:
        The axes; ``ax.figure.savefig(path)`` writes a file.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        raise missing("matplotlib", "viz") from error
    layout = arrange(graph, {n: _size(n, facts) for n, facts in graph.nodes(data=True)})
    left, bottom, right, top = _extent(graph, layout)
    if ax is None:
        _, ax = plt.subplots(figsize=(right - left, top - bottom))
        ax.set_position((0, 0, 1, 1))
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.set_axis_off()
    scale = _scale(ax, right - left, top - bottom)

    _draw_plates(ax, graph, layout, scale)
    patches = {n: _draw_node(ax, n, graph.nodes[n], layout.centres[n], scale) for n in graph}
    for parent, child in graph.edges:
        _draw_edge(ax, patches, parent, child, graph.nodes[child]["kind"], scale)
    for parent, child in guide_edges(graph):
        _draw_edge(ax, patches, parent, child, "guide", scale)
    return ax


def _size(name: str, facts: Mapping[str, Any]) -> tuple[float, float]:
    if facts["kind"] == "factor":
        return max(0.26, 0.08 * len(_short(name))), 0.62
    if facts["kind"] == "param":
        return max(0.16, 0.08 * len(_short(name))), 0.5
    text = max(LETTER * len(_short(name)), 0.068 * len(_second(facts)))
    return max(0.9, text + 0.42), 0.9


def _second(facts: Mapping[str, Any]) -> str:
    return facts["distribution"] if facts["kind"] in ("latent", "observed") else ""


def _short(name: str) -> str:
    name = visible(name)
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _extent(graph: nx.DiGraph, layout: Layout) -> Box:
    boxes = [*layout.plates.values(), (-0.5, -0.5, 0.5, 0.5)][: len(layout.plates) or 1]
    for n, (x, y) in layout.centres.items():
        w, h = _size(n, graph.nodes[n])
        boxes.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    if layout.centres and not layout.plates:
        boxes = boxes[1:]
    left, bottom, right, top = zip(*boxes, strict=True)
    return (min(left) - MARGIN, min(bottom) - MARGIN, max(right) + MARGIN, max(top) + MARGIN)


def _scale(ax: Any, width: float, height: float) -> float:
    """Returns how many inches on paper one unit of the layout takes."""
    inches = ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted())
    return min(inches.width / width, inches.height / height)


def _draw_node(
    ax: Any, name: str, facts: Mapping[str, Any], centre: tuple[float, float], scale: float
) -> Any:
    from matplotlib.patches import Circle, Ellipse, Rectangle

    (x, y), (width, height) = centre, _size(name, facts)
    kind, line = facts["kind"], {"lw": 1.2 * scale, "ec": INK, "zorder": 3}
    if kind in ("factor", "param"):
        below = kind == "factor"
        patch = (
            Rectangle((x - 0.11, y - 0.11), 0.22, 0.22, fc=INK, **line)
            if below else Circle(centre, 0.06, fc=INK, **line)
        )  # fmt: skip
        at = y - 0.22 if below else y + 0.17
        _write(ax, x, at, _short(name), 8.5 * scale, QUIET)
        return ax.add_patch(patch)
    shade = SHADE if kind in ("observed", "implicit") else "white"
    patch = ax.add_patch(Ellipse(centre, width, height, fc=shade, **line))
    if kind in ("deterministic", "implicit"):
        ax.add_patch(Ellipse(centre, width - 0.12, height - 0.12, fc="none", **line))
    second = _second(facts)
    _write(ax, x, y + (0.09 if second else 0), _short(name), 12 * scale, INK)
    _write(ax, x, y - 0.14, second, 7.5 * scale, QUIET)
    return patch


def _write(ax: Any, x: float, y: float, text: str, size: float, color: str, **style: Any) -> None:
    style = {"ha": "center", "va": "center", "zorder": 4, **style}
    ax.text(x, y, text, size=size, color=color, parse_math=False, **style)


def _draw_plates(ax: Any, graph: nx.DiGraph, layout: Layout, scale: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    captions: list[Box] = []
    for plate, (left, bottom, right, top) in reversed(layout.plates.items()):
        shape = "round,pad=0,rounding_size=0.15"
        frame = FancyBboxPatch(
            (left, bottom), right - left, top - bottom, shape,
            fc=(0.35, 0.5, 0.65, 0.05), ec=FRAME, lw=1.1 * scale, zorder=1,
        )  # fmt: skip
        ax.add_patch(frame)
        text = plate_label(graph, plate)
        x, align = _corner((left, bottom, right, top), len(text) * 0.075, layout, plate, captions)
        _write(ax, x, bottom + 0.14, text, 8.5 * scale, QUIET, ha=align)


def _corner(
    frame: Box, width: float, layout: Layout, plate: str, taken: list[Box]
) -> tuple[float, str]:
    """Returns the corner at the bottom, right or left, whose caption meets fewest other things."""
    left, bottom, right, _ = frame
    corners = {
        "right": (right - 0.12 - width, bottom + 0.04, right - 0.12, bottom + 0.24),
        "left": (left + 0.12, bottom + 0.04, left + 0.12 + width, bottom + 0.24),
    }
    others = [f for p, f in layout.plates.items() if p != plate] + taken
    align = min(corners, key=lambda c: sum(_meets(corners[c], o) for o in others))
    taken.append(corners[align])
    return (corners[align][2] if align == "right" else corners[align][0]), align


def _meets(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw_edge(
    ax: Any, patches: Mapping[str, Any], parent: str, child: str, kind: str, scale: float
) -> None:
    from matplotlib.patches import FancyArrowPatch

    ends, guide = [p.get_center() for p in (patches[parent], patches[child])], kind == "guide"
    arrow = FancyArrowPatch(
        *ends, patchA=patches[parent], patchB=patches[child], shrinkA=0, shrinkB=0.6 * scale,
        arrowstyle="-" if kind == "factor" else "-|>", mutation_scale=13 * scale,
        lw=1.2 * scale, color=QUIET if guide else INK, zorder=2,
        ls="--" if guide else "-", connectionstyle=f"arc3,rad={0.25 if guide else 0}",
    )  # fmt: skip
    ax.add_patch(arrow)
