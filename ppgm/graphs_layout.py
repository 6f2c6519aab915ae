"""Where the nodes and plates of a picture go.

Levels are topological generations, with roots pulled down to just above their first child.
Positions then minimise `ppgm.graphs_cost` by coordinate descent. Units are inches. Everything is
deterministic.
"""

__all__ = ["Layout", "arrange"]

from collections.abc import Mapping
from typing import NamedTuple

import networkx as nx
import numpy as np

from ppgm.graphs_cost import GAP, ROW, Box, Problem, cost, frames


class Layout(NamedTuple):
    """A picture's geometry.

    Attributes:
        centres: Centre of each node, ``(x, y)``.
        plates: Frame of each plate; a frame holds its nodes and the plates nested in it.
    """

    centres: dict[str, tuple[float, float]]
    plates: dict[str, Box]


def arrange(graph: nx.DiGraph, sizes: Mapping[str, tuple[float, float]]) -> Layout:
    """Places nodes of the given width and height."""
    if not len(graph):
        return Layout({}, {})
    problem = _problem(graph, sizes)
    starts = [_levels(graph)]
    if len(problem.plates) > 1 and len(graph) <= 20:
        # Nodes outside all plates may have to leave the level of those inside.
        inside = {i for members in problem.plates.values() for i in members}
        up = [i not in inside and not problem.parents[i] for i in range(len(graph))]
        starts.append(starts[0] - up)
    ends = [_descend(problem, level) for level in starts]
    x, level = min(ends, key=lambda end: cost(problem, *end))
    centres = {n: (float(x[i]), float(-ROW * level[i])) for i, n in enumerate(graph)}
    return Layout(centres, frames(problem, x, level))


def _descend(problem: Problem, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, groups = _spread(problem, level), list(_groups(problem))
    for _ in range(min(12, 1 + 100 // len(level))):
        before = cost(problem, x, level)
        for group in groups:
            x, level = _improve(problem, x, level, group)
        if cost(problem, x, level) > before - 1e-6:
            break
    return x, level


def _problem(graph: nx.DiGraph, sizes: Mapping[str, tuple[float, float]]) -> Problem:
    index = {n: i for i, n in enumerate(graph)}
    plates = {
        p: [index[n] for n, own in graph.nodes(data="plates") if p in own]
        for p in graph.graph["plates"]
    }
    order = sorted(plates, key=lambda p: len(plates[p]))
    depth = {p: i for i, p in enumerate(order)}
    inner = {
        p: [q for q in order if depth[q] < depth[p] and set(plates[q]) <= set(plates[p])]
        for p in order
    }
    return Problem(
        np.array([sizes[n] for n in graph], float).reshape(-1, 2),
        np.array([(index[a], index[b]) for a, b in graph.edges], int).reshape(-1, 2),
        {p: plates[p] for p in order},
        inner,
        [[index[p] for p in graph.pred[n]] for n in graph],
        [[index[c] for c in graph.succ[n]] for n in graph],
    )


def _levels(graph: nx.DiGraph) -> np.ndarray:
    generations = list(nx.topological_generations(graph))
    level = {n: i for i, nodes in enumerate(generations) for n in nodes}
    for nodes in reversed(generations):
        for n in nodes:
            if graph.succ[n] and not graph.pred[n]:
                level[n] = min(level[c] for c in graph.succ[n]) - 1
    return np.array([level[n] for n in graph], float)


def _spread(problem: Problem, level: np.ndarray) -> np.ndarray:
    """Starts each level as a centred row, nodes of the same plates side by side."""
    x = np.zeros(len(level))
    names = list(problem.plates)
    for value in np.unique(level):
        row = [int(i) for i in np.flatnonzero(level == value)]
        row.sort(key=lambda i: [i in problem.plates[p] for p in names])
        widths = problem.size[row, 0] + 3 * GAP
        x[row] = np.cumsum(widths) - widths / 2 - widths.sum() / 2
    return x


def _groups(problem: Problem) -> list[list[int]]:
    """Returns what is moved together: nodes, plates, and nodes with all that follow them."""
    nodes = range(len(problem.size))
    plates = list(problem.plates.values())
    groups = [[i] for i in nodes] + plates
    groups += [[i for i in nodes if i not in members] for members in plates]
    if len(nodes) <= 30:
        groups += [_descendants(problem, i) for i in nodes]
    return [list(g) for g in dict.fromkeys(map(tuple, groups)) if g]


def _descendants(problem: Problem, node: int) -> list[int]:
    found, todo = {node}, [node]
    while todo:
        new = set(problem.children[todo.pop()]) - found
        found |= new
        todo += new
    return sorted(found)


def _improve(
    problem: Problem, x: np.ndarray, level: np.ndarray, group: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the best of many positions for a group of nodes that move together."""
    best = (cost(problem, x, level), x, level)
    shifts = _shifts(problem, x, group)
    for step in (0, -1, 1) if len(x) <= 30 else (0,):
        lifted = level.copy()
        lifted[group] += step
        if step and not _ordered(problem, lifted):
            continue
        for shift in shifts if not step else shifts[::3]:
            moved = x.copy()
            moved[group] += shift
            value = cost(problem, moved, lifted)
            if value < best[0] - 1e-9:
                best = (value, moved, lifted)
    return best[1], best[2]


def _shifts(problem: Problem, x: np.ndarray, group: list[int]) -> np.ndarray:
    outside = [
        x[j] - x[i] for i in group for j in problem.parents[i] + problem.children[i]
        if j not in group
    ]  # fmt: skip
    steps = np.array([0.1, 0.3, 0.6, 1.0, 1.4, 2.0, 2.8, 4.0])
    if len(problem.size) > 15:  # fewer trials, to stay within seconds
        steps = steps[1::3]
    steps = np.concatenate([-steps[::-1], [0.0], steps])
    if not outside:
        return steps
    align = np.unique(outside)[:6] if len(group) == 1 else []
    return np.concatenate([steps, align, np.mean(outside) + steps[::2], [np.mean(outside)]])


def _ordered(problem: Problem, level: np.ndarray) -> bool:
    if not len(problem.edges):
        return bool(np.ptp(level) < len(level))
    return bool(np.all(level[problem.edges[:, 0]] < level[problem.edges[:, 1]]))
