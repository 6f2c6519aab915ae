"""Graphs of programs: the same on both hosts for every built-in model, and right."""

import networkx as nx
import numpy as np
import pytest

import ppgm
from ppgm import models
from ppgm.nets import Conv, Deconv

pytest.importorskip("torch")
pytest.importorskip("jax")

BITS = (np.random.default_rng(0).random((6, 16)) < 0.5).astype(np.float32)
GREY = np.random.default_rng(1).random((6, 16)).astype(np.float32)
CONV = models.VAE(
    16, 2,
    decoder=Deconv(2, (1, 4, 4), (3,), hidden=(5,)),
    encoder=Conv((1, 4, 4), (3,), 4, hidden=(5,)),
)  # fmt: skip
PLATED = {"x": {"data"}, "z": {"data"}}

CASES = {
    "vae": (models.VAE(16, 2, (5,)), "x", BITS, {("z", "x"), ("decoder", "x")}),
    "vae-continuous": (
        models.VAE(16, 2, (5,), models.ContinuousBernoulli()), "x", GREY,
        {("z", "x"), ("decoder", "x")},
    ),
    "vae-gaussian": (
        models.VAE(16, 2, (5,), models.Gaussian()), "x", GREY, {("z", "x"), ("decoder", "x")},
    ),
    "vae-categorical": (
        models.VAE(16, 2, (5,), models.Categorical(3)), "x", BITS.astype(int),
        {("z", "x"), ("decoder", "x")},
    ),
    "vae-conv": (CONV, "x", BITS, {("z", "x"), ("decoder", "x")}),
    "factor-analysis": (
        models.FactorAnalysis(16), "x", GREY, {("z", "x"), ("decoder", "x"), ("scale", "x")},
    ),
    "sbn": (
        models.SBN(16, (4, 3)), "x", BITS,
        {("prior", "h2"), ("h2", "h1"), ("decoder2", "h1"), ("h1", "x"), ("decoder1", "x")},
    ),
    "generator": (models.Generator(16), "x", GREY, {("z", "x"), ("generator", "x")}),
    "rbm": (
        models.RBM(16, 3), "v", BITS,
        {("v", "energy"), ("weight", "energy"), ("visible", "energy"), ("hidden", "energy")},
    ),
}  # fmt: skip
"""By name: declaration, name and value of its data, and the edges of its graph."""


@pytest.mark.parametrize("case", CASES)
def test_graph_of_a_built_in_is_the_same_on_both_hosts_and_as_written_down(case):
    declaration, name, value, edges = CASES[case]
    first, second = (
        ppgm.graph(ppgm.program(declaration, host=host), {name: value})
        for host in ("pyro", "numpyro")
    )

    assert ppgm.graphs.equal(first, second) == []
    assert set(first.edges) == edges
    assert first.graph["plates"] == {"data": {"size": 6, "dim": -1}}
    assert nx.is_directed_acyclic_graph(first)


def test_every_built_in_model_has_a_case():
    covered = {type(case[0]).__name__ for case in CASES.values()}
    assert covered == {"VAE", "FactorAnalysis", "SBN", "Generator", "RBM"}


def test_kinds_of_nodes(host):
    graph = ppgm.graph(ppgm.program(models.SBN(16, (4,)), host=host), {"x": BITS})
    kinds = dict(graph.nodes(data="kind"))
    assert kinds == {"h1": "latent", "x": "observed", "prior": "param", "decoder1": "param"}
    assert graph.nodes["h1"]["plates"] == ("data",)
    assert graph.nodes["h1"]["event_shape"] == (4,)
    assert graph.nodes["h1"]["enumerable"] == 16
    assert not graph.nodes["h1"]["reparameterised"]
    assert graph.graph["host"] == host


def test_independence_is_read_from_the_graph(host):
    program = ppgm.program(models.SBN(16, (4, 3)), host=host)
    graph = ppgm.graphs.stochastic_subgraph(ppgm.graph(program, {"x": BITS}))
    assert nx.is_d_separator(graph, {"h2"}, {"x"}, {"h1"})
    assert not nx.is_d_separator(graph, {"h2"}, {"x"}, set())
