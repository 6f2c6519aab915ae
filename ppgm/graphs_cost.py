"""What makes a picture of a graph bad, as a number.

Overlaps and outsiders in a plate's frame cost most, then arrows through nodes and crossings,
then slant, length and size.
"""

__all__ = ["GAP", "ROW", "Box", "Problem", "cost", "frames"]

from typing import NamedTuple

import numpy as np

ROW = 1.75
"""Distance of two levels."""
GAP = 0.3
"""Least distance of two nodes on a level."""
PAD = 0.2
"""Distance of a plate's frame from what is in it."""
CAPTION = 0.24
"""Further distance at the bottom, for the plate's name."""

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""


class Problem(NamedTuple):
    """The fixed part of a layout; nodes are numbers.

    Attributes:
        size: Width and height of the nodes, ``(n, 2)``.
        edges: Parent and child, ``(e, 2)``.
        plates: Nodes of each plate, small plates first.
        inner: Plates nested in each plate.
        parents: Parents of each node.
        children: Children of each node.
    """

    size: np.ndarray
    edges: np.ndarray
    plates: dict[str, list[int]]
    inner: dict[str, list[str]]
    parents: list[list[int]]
    children: list[list[int]]


def cost(problem: Problem, x: np.ndarray, level: np.ndarray) -> float:
    """Returns how bad a picture is, for centres ``x`` and levels, both ``(n,)``."""
    y = -ROW * level
    boxes = _boxes(problem, x, y)
    frame = {p: np.array(f) for p, f in frames(problem, x, level).items()}
    total = 200 * _overlap(boxes, GAP).sum() / 2
    for plate, members in problem.plates.items():
        outside = [i for i in range(len(x)) if i not in members]
        total += 200 * _depth(frame[plate], boxes[outside], 0.12).sum()
        apart = [frame[q] for q, o in problem.plates.items() if not set(o) & set(members)]
        total += 100 * _depth(frame[plate], np.reshape(apart, (-1, 4)), 0.15).sum()
        total += 0.3 * (frame[plate][2:] - frame[plate][:2]).sum()
    return float(total + _edge_cost(problem, x, y) + 0.2 * np.ptp(x) + 0.001 * abs(x.mean()))


def _edge_cost(problem: Problem, x: np.ndarray, y: np.ndarray) -> float:
    if not len(problem.edges):
        return 0.0
    a, b = problem.edges.T
    tail, head = np.stack([x[a], y[a]], 1), np.stack([x[b], y[b]], 1)
    slant = np.abs(head[:, 0] - tail[:, 0])
    length = (tail[:, 1] - head[:, 1]) / ROW
    return float(
        np.sum(slant**2) + 0.3 * np.sum(slant) + 0.6 * np.sum(slant > 0.02)
        + 5 * np.sum(length - 1)
        + 6 * _crossings(tail, head, problem.edges) + 30 * _through(problem, x, y, tail, head)
    )  # fmt: skip


def _crossings(tail: np.ndarray, head: np.ndarray, edges: np.ndarray) -> float:
    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.sign((q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1])
                       - (q[..., 1] - p[..., 1]) * (r[..., 0] - p[..., 0]))  # fmt: skip

    p, q, r, s = tail[:, None], head[:, None], tail[None], head[None]
    cross = (side(p, q, r) * side(p, q, s) < 0) & (side(r, s, p) * side(r, s, q) < 0)
    shared = (edges[:, None, :, None] == edges[None, :, None, :]).any((2, 3))
    return float(np.sum(cross & ~shared) / 2)


def _through(
    problem: Problem, x: np.ndarray, y: np.ndarray, tail: np.ndarray, head: np.ndarray
) -> float:
    """Returns how deep arrows run through nodes that are not their ends."""
    centre = np.stack([x, y], 1)[None]
    along = (head - tail)[:, None]
    t = np.sum((centre - tail[:, None]) * along, -1) / np.maximum(np.sum(along**2, -1), 1e-9)
    near = tail[:, None] + np.clip(t, 0, 1)[..., None] * along
    half = problem.size[None] / 2 + 0.1
    inside = np.maximum(1 - np.sqrt(np.sum(((near - centre) / half) ** 2, -1)), 0)
    ends = (problem.edges[:, :, None] == np.arange(len(x))[None, None]).any(1)
    return float(np.sum(np.where(ends, 0, inside)))


def _boxes(problem: Problem, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    centre = np.stack([x, y], 1)
    return np.concatenate([centre - problem.size / 2, centre + problem.size / 2], 1)


def _overlap(boxes: np.ndarray, gap: float) -> np.ndarray:
    depth = np.stack([_depth(box, boxes, gap) for box in boxes])
    np.fill_diagonal(depth, 0)
    return depth


def _depth(box: np.ndarray, others: np.ndarray, gap: float) -> np.ndarray:
    """Returns how far each of the others reaches into the box, 0 if it keeps the gap."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    return np.maximum(np.min(high - low + gap, axis=1), 0)


def frames(problem: Problem, x: np.ndarray, level: np.ndarray) -> dict[str, Box]:
    """Returns the frame of each plate, around its nodes and the plates nested in it."""
    boxes = _boxes(problem, x, -ROW * level)
    found: dict[str, Box] = {}
    for i, (plate, members) in enumerate(problem.plates.items()):
        parts = np.array([*boxes[members], *(found[q] for q in problem.inner[plate])])
        # Plates that overlap without nesting could share a border: give each its own distance.
        nested = all(not set(o) & set(members) or set(o) <= set(members) or set(members) <= set(o)
                     for o in problem.plates.values())  # fmt: skip
        pad = PAD if nested else PAD + 0.09 * (i % 4)
        low, high = parts[:, :2].min(0) - pad, parts[:, 2:].max(0) + pad
        found[plate] = (float(low[0]), float(low[1] - CAPTION), float(high[0]), float(high[1]))
    return found
