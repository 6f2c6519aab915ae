"""Sequences unrolled in time: the model's edges, and what each guide conditions on."""

from typing import Any

import networkx as nx
import numpy as np
import pytest

import ppgm
from ppgm import graphs, models
from ppgm.errors import ArgumentError
from ppgm.graphs_text import guide_edges
from ppgm.models import DKF, HMM, VAE, Gaussian, LinearGaussianSSM

D, L, T = 3, 2, 5
DATA = {
    "x": (np.random.default_rng(0).random((4, T, D)) < 0.5).astype(float),
    "lengths": np.array([2, 5, 3, 1]),
    "mask": (np.random.default_rng(1).random((4, T)) < 0.6).astype(float),
}
MODEL = {("z[0]", "z[1]"), ("z[1]", "z[2]")} | {(f"z[{t}]", f"x[{t}]") for t in range(3)}
CHAIN = {("z[0]", "z[1]"), ("z[1]", "z[2]")}
READS = {
    "ST-R": lambda s, t: s >= t,
    "ST-L": lambda s, t: s <= t,
    "ST-LR": lambda s, t: True,
    "MF-LR": lambda s, t: True,
    "exact": lambda s, t: s >= t,
}
"""Whether the guide's state t depends on the data of step s."""

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")


def wanted(guide: str, steps: int = 3) -> set[tuple[str, str]]:
    pairs = [(s, t) for s in range(steps) for t in range(steps) if READS[guide](s, t)]
    read = {(f"x[{s}]", f"z[{t}]") for s, t in pairs}
    return read if guide == "MF-LR" else read | CHAIN


def dkf(guide: Any, **options: Any) -> DKF:
    return DKF(D, L, guide=guide, **{"hidden": (4,), "emitter": (5,), "rnn": 4, **options})


def unrolled(declaration: Any, host: str, data: Any = DATA, steps: int = 3) -> nx.DiGraph:
    return ppgm.graph(ppgm.program(declaration, host=host), data, unroll=steps)


@pytest.mark.parametrize("guide", ["ST-R", "ST-L", "ST-LR", "MF-LR"])
def test_edges_of_every_guide(guide: str, host: str) -> None:
    graph = unrolled(dkf(guide), host)
    assert set(graph.edges) == MODEL
    assert set(guide_edges(graph)) == wanted(guide)


def test_both_hosts_agree() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    first, second = (unrolled(dkf("ST-R"), host) for host in ("pyro", "numpyro"))
    assert graphs.equal(first, second) == []
    assert set(guide_edges(second)) == wanted("ST-R")


def test_both_sides_are_acyclic_and_say_which_they_are() -> None:
    graph = unrolled(dkf("ST-R"), "pyro")
    assert list(graph) == ["z[0]", "z[1]", "z[2]", "x[0]", "x[1]", "x[2]"]
    for part, side in ((graph, "model"), (graph.graph["guide"], "guide")):
        assert nx.is_directed_acyclic_graph(part)
        assert {s for *_, s in part.edges(data="side")} == {side}
    assert graph.nodes["z[1]"]["event_shape"] == (L,)
    assert graph.nodes["x[1]"]["event_shape"] == (D,)
    assert graph.nodes["x[1]"]["kind"] == "observed"
    assert graph.graph["plates"] == {"data": {"size": 4, "dim": -1}}
    assert nx.is_d_separator(graph, {"z[0]"}, {"z[2]"}, {"z[1]"})
    assert not nx.is_d_separator(graph, {"x[0]"}, {"x[2]"}, {"x[1]"})


@pytest.mark.parametrize(
    "declaration",
    [
        LinearGaussianSSM(D, L, error="full"),
        DKF(D, L, "linear", (), (), likelihood=Gaussian(1.0), guide="exact"),
    ],
    ids=["ssm", "dkf"],
)
def test_the_exact_posterior_looks_ahead(declaration: Any) -> None:
    graph = unrolled(declaration, "pyro")
    assert set(graph.edges) == MODEL
    assert set(guide_edges(graph)) == wanted("exact")


@pytest.mark.parametrize(
    ("likelihood", "x"),
    [(Gaussian(), DATA["x"] - 0.3), (models.Poisson(), 3 * DATA["x"]),
     (models.Categorical(3), 2 * DATA["x"])],
    ids=["gaussian", "poisson", "categorical"],
)  # fmt: skip
def test_other_data_and_inputs(likelihood: Any, x: np.ndarray) -> None:
    u = np.random.default_rng(2).normal(size=(4, T, 1))
    graph = unrolled(dkf("ST-L", likelihood=likelihood, inputs=1), "pyro", {"x": x, "u": u})
    assert set(graph.edges) == MODEL
    assert set(guide_edges(graph)) == wanted("ST-L")


def test_single_precision_finds_the_same() -> None:
    torch = pytest.importorskip("torch")
    torch.set_default_dtype(torch.float32)
    graph = unrolled(dkf("ST-R"), "pyro")
    assert (set(graph.edges), set(guide_edges(graph))) == (MODEL, wanted("ST-R"))


def test_steps_are_those_that_there_are() -> None:
    assert len(unrolled(dkf("ST-R"), "pyro", steps=99)) == 2 * T
    single = unrolled(dkf("ST-R"), "pyro", steps=1)
    assert set(single.edges) == {("z[0]", "x[0]")}
    assert guide_edges(single) == [("x[0]", "z[0]")]
    with pytest.raises(ArgumentError, match="at least 1 step, not 0"):
        unrolled(dkf("ST-R"), "pyro", steps=0)


def test_equal_sees_the_guide() -> None:
    first, second = (unrolled(dkf(guide), "pyro") for guide in ("ST-R", "ST-L"))
    assert any("guide's edge 'x[2] -> z[0]'" in line for line in graphs.equal(first, second))


def test_guide_edges_are_dashed() -> None:
    pytest.importorskip("matplotlib")
    graph = unrolled(dkf("ST-R"), "pyro")
    count = len(guide_edges(graph))
    mermaid, dot = graphs.to_mermaid(graph), graphs.to_dot(graph)
    assert mermaid.count(" -.-> ") == count
    assert mermaid.count(" --> ") == len(MODEL)
    assert "n5 -.-> n0" in mermaid
    assert dot.count("style=dashed, constraint=false") == count
    assert "guide z[2] given z[1], x[2]" in graphs.to_text(graph).splitlines()
    axes = graphs.draw(graph)
    styles = [p.get_linestyle() for p in axes.patches if type(p).__name__ == "FancyArrowPatch"]
    assert (styles.count("--"), styles.count("-")) == (count, len(MODEL))


@pytest.mark.parametrize("declaration", [VAE(D), HMM(D)], ids=["vae", "hmm"])
def test_a_program_without_a_chain_is_refused(declaration: Any) -> None:
    data = {"x": DATA["x"] if isinstance(declaration, HMM) else DATA["x"][:, 0]}
    with pytest.raises(ArgumentError, match=r"needs a site that is a ppgm.chains.MarkovChain"):
        unrolled(declaration, "pyro", data)
