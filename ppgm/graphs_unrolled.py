"""Graphs of sequences unrolled in time, with what the guide's states depend on beside them.

Edges are found by numbers: values of one step are changed, and the log density of which other
steps moves is looked at, in the model and in the guide. Sequences are cut to the steps that are
shown, so that a guide that reads backward starts at the last of these.
"""

__all__ = ["unroll_program"]

from collections.abc import Mapping
from typing import Any

import networkx as nx
import numpy as np

from ppgm import host as hosts
from ppgm.arrays import as_arrays
from ppgm.chains import MarkovChain
from ppgm.errors import ArgumentError
from ppgm.fits import Fit
from ppgm.ops import Array, ops_of
from ppgm.series import Series

ROWS = 8
"""Draws of the model at which steps are changed: a change may have no effect at some of them."""
MARGIN = 64
"""Units in the last place below which a log density counts as unchanged."""

Edges = list[tuple[str, str]]


def unroll_program(graph: nx.DiGraph, fit: Fit, data: Mapping[str, Any], steps: int) -> nx.DiGraph:
    """Returns the graph of some steps of a state space, "z[0]" -> "z[1]" -> ..., "x[0]", ...

    An effect that is exactly zero at the parameters of the fit makes no edge.

    Args:
        graph: The graph of the model, with its sites "z" and "x".
        fit: The program, of a `ppgm.state_spaces.StateSpace`, and its parameters.
        data: The data, of which inputs and the number of steps are taken.
        steps: Number of steps to show; fewer if the data are shorter.

    Returns:
        States and data without parameters: the model's edges, with ``side="model"``. The guide's
        make a graph of their own over the same nodes, with ``side="guide"``, at
        ``graph.graph["guide"]``, so that both are acyclic.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ArgumentError(f"unroll must be at least 1 step, not {steps!r}")
    arrays = as_arrays(data)
    steps = min(steps, int(graph.nodes["z"]["event_shape"][0]))
    moved = {side: value > 0 for side, value in _effects(fit, arrays, steps).items()}
    out = nx.DiGraph(**{**graph.graph, "name": graph.graph.get("name", "")})
    for site in ("z", "x"):
        facts = graph.nodes[site]
        event = tuple(facts["event_shape"][1:])
        out.add_nodes_from(_names(site, steps), **{**facts, "event_shape": event})
    guide = nx.DiGraph()
    guide.add_nodes_from(out.nodes)
    out.add_edges_from(_edges(moved["model"], ("z", "x"), steps), side="model")
    guide.add_edges_from(_edges(moved["guide"], ("z",), steps), side="guide")
    used = {p for _, plates in out.nodes(data="plates") for p in plates}
    out.graph["plates"] = {n: p for n, p in graph.graph["plates"].items() if n in used}
    out.graph["guide"] = guide
    return out


def _names(site: str, steps: int) -> list[str]:
    return [f"{site}[{t}]" for t in range(steps)]


def _edges(moved: np.ndarray, children: tuple[str, ...], steps: int) -> Edges:
    """Returns the pairs of which the first moves the density of the second.

    Args:
        moved: Booleans, from what was changed, z and x by step, to whose density moved.
        children: Sites of the densities.
        steps: Number of steps.
    """
    parents = [*_names("z", steps), *_names("x", steps)]
    names = [name for site in children for name in _names(site, steps)]
    pairs = [(parents[i], names[j]) for i, j in np.argwhere(moved)]
    return [(a, b) for a, b in pairs if a != b]


def _effects(fit: Fit, data: Mapping[str, Any], steps: int) -> dict[str, np.ndarray]:
    """Returns by side how far densities move, past rounding: changed steps by terms."""
    x = np.asarray(data["x"])
    longest = int(np.argmax(data["lengths"])) if data.get("lengths") is not None else 0
    given = {n: np.asarray(data[n]) for n in ("x", "u") if data.get(n) is not None}
    given = {n: np.repeat(v[[longest], :steps], ROWS, 0) for n, v in given.items()}
    call = hosts.load(fit.program.host).within(fit.program, fit.params, given, _terms)
    found = {}
    for side, terms in zip(("model", "guide"), call(given, 0), strict=True):
        blocks = terms.reshape((1 + 2 * x[:, :steps].shape[1], ROWS, -1))
        rounding = MARGIN * np.finfo(blocks.dtype).eps * (1 + np.abs(blocks[0]))
        found[side] = (np.abs(blocks[1:] - blocks[0]) - rounding).max(1)
    return found


def _terms(declaration: Any, ppl: Any, data: Mapping[str, Any], rng: Any) -> tuple[Array, Array]:
    """Returns log densities by step, of z and x in the model and of z in the guide.

    Rows come in blocks: as drawn, with each state changed in turn, and with each step of the data.
    """
    xp = ppl.np
    drawn = Series(ppl, data["x"], u=data.get("u"))
    rows, steps = (int(n) for n in data["x"].shape[:2])
    prior, emit = declaration.prior(drawn), declaration.emission(drawn)
    z, other = (prior.push(rng.normal((rows, *prior.event_shape)))[0] for _ in range(2))
    seen = emit(z, None)
    x, fresh = (ppl.ops.float(seen.sample(rng, (rows,))) for _ in range(2))
    if getattr(seen, "support", "real") == "boolean":
        fresh = 1 - x
    paths, values = [z], [x]
    for name in ("z", "x"):
        for t in range(steps):
            here = (xp.arange(steps) == t)[:, None]
            paths.append(xp.where(here, other, z) if name == "z" else z)
            values.append(xp.where(here, fresh, x) if name == "x" else x)
    z, x = xp.concat(paths, axis=0), xp.concat(values, axis=0)
    u = data.get("u")
    u = None if u is None else xp.concat([u] * len(paths), axis=0)
    series = Series(ppl, x, u=u)
    states = _by_step(declaration.prior(series), z)
    data_terms = declaration.emission(series)(z, None).steps(x)
    return xp.concat([states, data_terms], axis=-1), _by_step(declaration.posterior(series), z)


def _by_step(chain: MarkovChain, z: Array) -> Array:
    """Returns the log densities of the states of paths ``(*, T, L)``, ``(*, T)``."""
    first = chain.first.log_prob(z[..., 0, :])[..., None]
    if chain.length == 1:
        return first
    inputs = (a[..., 1:, :] for a in chain.inputs)
    later = chain.step(z[..., :-1, :], *inputs).log_prob(z[..., 1:, :])
    return ops_of(z).np.concat([first, later], axis=-1)
