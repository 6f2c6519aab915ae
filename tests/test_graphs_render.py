"""Graphs built from hand-made site tables: attributes, comparison, text formats and pictures."""

import re
import sys
from collections.abc import Iterable

import networkx as nx
import numpy as np
import pytest

from ppgm import graphs
from ppgm.errors import ArgumentError, MissingDependencyError, ModelError
from ppgm.sites import Plate, Site, SiteTable

Edges = Iterable[tuple[str, str]]


def site(
    name: str, kind: str = "latent", distribution: str = "Normal", *plates: str,
    event: tuple[int, ...] = (),
) -> Site:  # fmt: skip
    return Site(
        name, "model", kind, distribution, "real", (), event, plates, True, False, 0, True
    )  # fmt: skip


def make(sites: Iterable[Site], edges: Edges, plates: dict[str, int] | None = None) -> nx.DiGraph:
    found = {n: Plate(n, s, -1 - i, s) for i, (n, s) in enumerate((plates or {}).items())}
    table = SiteTable(tuple(sites), (), found, (), (), True)
    return graphs.build(table, edges, host="pyro", name="demo")


def schools() -> nx.DiGraph:
    sites = [
        site("mu"), site("tau", "latent", "HalfCauchy"),
        site("theta", "latent", "Normal", "school"), site("y", "observed", "Normal", "school"),
    ]  # fmt: skip
    return make(sites, [("mu", "theta"), ("tau", "theta"), ("theta", "y")], {"school": 8})


def vae() -> nx.DiGraph:
    sites = [
        site("decoder$params", "param", ""), site("z", "latent", "Normal", "data"),
        site("logits", "deterministic", "Deterministic", "data"),
        site("x", "observed", "Bernoulli", "data"),
    ]  # fmt: skip
    edges = [("decoder$params", "logits"), ("z", "logits"), ("logits", "x")]
    return make(sites, edges, {"data": 64})


def sbn() -> nx.DiGraph:
    names = [("h2", "latent"), ("h1", "latent"), ("x", "observed")]
    sites = [site(n, kind, "Bernoulli", "data") for n, kind in names]
    return make(sites, [("h2", "h1"), ("h1", "x")], {"data": 1797})


def overlapping() -> nx.DiGraph:
    sites = [
        site("w"), site("user", "latent", "Normal", "users"),
        site("item", "latent", "Normal", "items"),
        site("rating", "observed", "OrderedLogistic", "users", "items"),
    ]  # fmt: skip
    edges = [("w", "rating"), ("user", "rating"), ("item", "rating")]
    return make(sites, edges, {"users": 100, "items": 30})


def nested() -> nx.DiGraph:
    sites = [
        site("alpha"), site("topics", "latent", "Dirichlet", "topic"),
        site("theta", "latent", "Dirichlet", "documents"),
        site("word", "observed", "Categorical", "documents", "words"),
        site("penalty", "factor", "Unit"),
    ]  # fmt: skip
    edges = [("alpha", "theta"), ("theta", "word"), ("topics", "word"), ("alpha", "penalty")]
    return make(sites, edges, {"topic": 8, "documents": 50, "words": 64})


def implicit() -> nx.DiGraph:
    sites = [site("z", "latent", "Normal", "data"),
             site("x", "implicit", "Deterministic", "data")]  # fmt: skip
    return make(sites, [("z", "x")], {"data": 100})


HOSTILE = ["end", 'a"b', "new\nline", "back\\slash\\", "<b>&amp;#35;", "$x_1$", "`md`", "δ é", ""]


def hostile() -> nx.DiGraph:
    sites = [site(n, "latent", "Normal", 'pl"ate]\n') for n in HOSTILE]
    return make(sites, list(zip(HOSTILE, HOSTILE[1:], strict=False)), {'pl"ate]\n': 3})


ALL = {
    f.__name__: f for f in (schools, vae, sbn, overlapping, nested, implicit, hostile)
}  # fmt: skip


def test_build_keeps_the_site_table() -> None:
    graph = vae()
    assert list(graph) == ["decoder$params", "z", "logits", "x"]
    assert graph.nodes["z"] == {
        "kind": "latent", "distribution": "Normal", "support": "real", "batch_shape": (),
        "event_shape": (), "plates": ("data",), "reparameterised": True, "discrete": False,
        "enumerable": 0,
    }  # fmt: skip
    assert graph.graph["plates"] == {"data": {"size": 64, "dim": -1}}
    assert (graph.graph["host"], graph.graph["name"]) == ("pyro", "demo")


def test_build_adds_parameters_and_leaves_unknown_names_out() -> None:
    table = SiteTable(
        (site("x", "observed"),), (), {"idle": Plate("idle", 3, -1, 3)}, (), (), True
    )
    edges = [("w", "x"), ("data", "x"), ("x", "nothing")]
    graph = graphs.build(table, edges, params={"w": np.zeros((2, 3)), "x": 0})
    assert list(graph.edges) == [("w", "x")]
    assert graph.nodes["w"]["kind"] == "param"
    assert graph.nodes["w"]["event_shape"] == (2, 3)
    assert graph.nodes["x"]["kind"] == "observed"
    assert graph.graph["plates"] == {}  # a plate of the guide only


def test_a_circle_is_refused() -> None:
    with pytest.raises(ModelError, match="z -> x -> z|x -> z -> x"):
        make([site("z"), site("x")], [("z", "x"), ("x", "z")])


def test_equal_graphs_have_no_differences() -> None:
    a, b = vae(), vae()
    b.graph |= {"host": "numpyro", "name": "other"}
    assert graphs.equal(a, b) == []


def test_each_difference_is_one_sentence() -> None:
    a, b = vae(), vae()
    b.graph["host"] = "numpyro"
    b.nodes["z"]["distribution"] = "Laplace"
    b.remove_edge("logits", "x")
    b.add_node("extra", **b.nodes["z"])
    b.graph["plates"] = {"data": {"size": 65, "dim": -1}}
    assert graphs.equal(a, b) == [
        "site 'extra' is in numpyro only",
        "edge 'logits -> x' is in pyro only",
        "site 'z' has distribution 'Normal' in pyro and 'Laplace' in numpyro",
        "plate 'data' has size 64 in pyro and 65 in numpyro",
    ]
    b.graph["host"] = "pyro"
    assert graphs.equal(a, b)[0] == "site 'extra' is in pyro (second) only"
    assert graphs.equal(b, a)[0] == "site 'extra' is in pyro (first) only"


def test_d_separation_holds_on_the_stochastic_subgraph() -> None:
    sites = [
        site("z"), site("s"), site("w", "param", ""), site("a", "deterministic", "Deterministic"),
        site("b", "deterministic", "Deterministic"), site("x", "observed"),
    ]  # fmt: skip
    edges = [("z", "a"), ("w", "a"), ("a", "b"), ("b", "x"), ("s", "x")]
    full = make(sites, edges)
    random = graphs.stochastic_subgraph(full)
    assert set(random) == {"z", "s", "x"}
    assert set(random.edges) == {("z", "x"), ("s", "x")}
    assert nx.is_d_separator(random, {"z"}, {"s"}, set())
    assert not nx.is_d_separator(random, {"z"}, {"s"}, {"x"})
    assert len(full) == 6  # not changed in place


def test_subgraph_keeps_implicit_observations_and_drops_empty_plates() -> None:
    assert list(graphs.stochastic_subgraph(implicit()).edges) == [("z", "x")]
    graph = make([site("w", "param", "", "p"), site("x")], [], {"p": 3})
    assert graphs.stochastic_subgraph(graph).graph["plates"] == {}


def test_unrolled_chain() -> None:
    sites = [site("a"), site("z", "latent", "MarkovChain", event=(5, 2)), site("x", "observed")]
    graph = graphs.unrolled(make(sites, [("a", "z"), ("z", "x")]), 2)
    assert set(graph) == {"a", "x", "z[0]", "z[1]"}
    assert set(graph.edges) == {
        ("a", "z[0]"), ("a", "z[1]"), ("z[0]", "z[1]"), ("z[0]", "x"), ("z[1]", "x"),
    }  # fmt: skip
    assert graph.nodes["z[1]"]["event_shape"] == (2,)
    assert set(graphs.unrolled(make(sites, []), 99)) >= {"z[0]", "z[4]"}
    with pytest.raises(ArgumentError, match="at least 1 step, not 0"):
        graphs.unrolled(graph, 0)


def test_text() -> None:
    assert graphs.to_text(schools()).splitlines() == [
        "demo on pyro",
        "plate school: 8",
        "╟── mu ~ Normal",
        "╎   └─╼ theta ~ Normal  [school] ╾ tau ~ HalfCauchy",
        "╎       └─╼ y ~ Normal  [school, observed]",
        "╙── tau ~ HalfCauchy",
        "    └─╼  ...",
    ]


def test_show_prints_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    graphs.show(sbn())
    assert capsys.readouterr().out == graphs.to_text(sbn()) + "\n"


def test_mermaid() -> None:
    lines = graphs.to_mermaid(nested()).splitlines()
    assert lines[:13] == [
        "flowchart TD",
        '    n0(("alpha<br/><small>Normal</small>")):::latent',
        '    n4["penalty"]:::factor',
        '    subgraph p0["topic: 8"]',
        '        n1(("topics<br/><small>Dirichlet</small>")):::latent',
        "    end",
        '    subgraph p1["documents: 50"]',
        '        n2(("theta<br/><small>Dirichlet</small>")):::latent',
        '        subgraph p2["words: 64"]',
        '            n3(("word<br/><small>Categorical</small>")):::observed',
        "        end",
        "    end",
        "    n0 --> n2",
    ]
    assert "    n0 --- n4" in lines  # a factor is tied, not caused


@pytest.mark.parametrize("name", ALL)
def test_mermaid_is_well_formed(name: str) -> None:
    graph = ALL[name]()
    text = r'"[^"`<>]*(<br/><small>[^"`<>]*</small>)?"'
    node = rf" +n\d+(\(\(\(|\(\(|\(|\[){text}(\)\)\)|\)\)|\)|\]):::(latent|observed|deterministic|implicit|factor|param)"  # noqa: E501
    line = rf'{node}| +subgraph p\d+\["[^"`<>]+"\]| +end| +n\d+ --[->] n\d+| +classDef .*'
    head, *body = graphs.to_mermaid(graph).splitlines()
    assert head == "flowchart TD"
    for entry in body:
        assert re.fullmatch(line, entry), entry
    assert sum(":::" in e for e in body) == len(graph)
    assert sum("subgraph" in e for e in body) == sum(e.strip() == "end" for e in body)
    assert sum("--> " in e or "--- " in e for e in body) == graph.number_of_edges()


@pytest.mark.parametrize("name", ALL)
def test_dot_is_well_formed(name: str) -> None:
    graph = ALL[name]()
    dot = graphs.to_dot(graph)
    bare = re.sub(r'"(\\.|[^"\\])*"', "S", dot)
    assert '"' not in bare
    assert bare.count("{") == bare.count("}")
    attributes = r"\[(\w+=[\w.]+(, )?)+\]"
    line = rf"digraph S \{{| +n\d+ {attributes};| +subgraph cluster_p\d+ \{{ (\w+=\w+;? ?)+| +n\d+ -> n\d+( {attributes})?;| *\}}"  # noqa: E501
    for entry in bare.splitlines():
        assert re.fullmatch(line, entry), entry
    assert bare.count("->") == graph.number_of_edges()


def test_dot_escapes_names() -> None:
    dot = graphs.to_dot(hostile())
    for quoted in (r'"a\"b\nNormal"', r'"new\\nline\nNormal"', r'"back\\slash\\\nNormal"'):
        assert quoted in dot
    assert r'label="pl\"ate]\\n: 3"' in dot


def test_mermaid_escapes_names() -> None:
    mermaid = graphs.to_mermaid(hostile())
    for escaped in ('"end<br', '"a#34;b<br', '"new#92;nline<br', "#60;b#62;#38;amp;#35;35;",
                    '"#36;x_1#36;<br', '"#96;md#96;<br', '"δ é<br'):  # fmt: skip
        assert escaped in mermaid


def test_overlapping_plates_are_drawn_in_parts() -> None:
    for text in (graphs.to_mermaid(overlapping()), graphs.to_dot(overlapping())):
        assert text.count('"users: 100"') == 1
        assert text.count('"items: 30 (part 1 of 2)"') == 1
        assert text.count('"items: 30 (part 2 of 2)"') == 1


# Pictures


@pytest.fixture
def plt() -> Iterable[object]:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_the_layout_keeps_what_plates_mean() -> None:
    from ppgm.graphs_layout import arrange

    for name, build in ALL.items():
        graph = build()
        layout = arrange(graph, dict.fromkeys(graph, (0.9, 0.9)))
        centres = layout.centres
        for parent, child in graph.edges:
            assert centres[parent][1] > centres[child][1], name
        points = np.array(list(centres.values()))
        apart = np.abs(points[:, None] - points[None]).max(-1) + np.eye(len(points))
        assert apart.min() >= 0.9, name
        for plate, (left, bottom, right, top) in layout.plates.items():
            for node, (x, y) in centres.items():
                member = plate in graph.nodes[node]["plates"]
                half = 0.45 if member else -0.45  # all of a member, nothing of an outsider
                inside = left <= x - half and x + half <= right
                inside = inside and bottom <= y - half and y + half <= top
                assert inside == member, (name, plate, node)


def test_layout_is_straight_symmetric_and_repeatable() -> None:
    from ppgm.graphs_layout import arrange

    sizes = dict.fromkeys(schools(), (0.9, 0.9))
    centres = arrange(schools(), sizes).centres
    assert centres == arrange(schools(), sizes).centres
    assert centres["theta"][0] == pytest.approx(centres["y"][0])
    middle = (centres["mu"][0] + centres["tau"][0]) / 2
    assert centres["theta"][0] == pytest.approx(middle, abs=0.05)


@pytest.mark.parametrize("name", ALL)
def test_pictures(name: str, plt: object) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch, Rectangle

    from ppgm.graphs_draw import SHADE

    graph = ALL[name]()
    ax = graphs.draw(graph)
    ax.figure.canvas.draw()  # a warning, such as of math text, is an error
    kinds = [facts["kind"] for _, facts in graph.nodes(data=True)]
    double = sum(k in ("deterministic", "implicit") for k in kinds)
    count = {
        c: sum(type(p) is c for p in ax.patches) for c in (Ellipse, Rectangle, FancyBboxPatch)
    }
    arrows = [p for p in ax.patches if type(p) is FancyArrowPatch]
    assert count[Ellipse] == sum(k not in ("factor", "param") for k in kinds) + double
    assert count[Rectangle] == kinds.count("factor")
    assert count[FancyBboxPatch] == len(graph.graph["plates"])
    assert len(arrows) == graph.number_of_edges()
    shaded = [p for p in ax.patches if type(p) is Ellipse and p.get_facecolor() == to_rgba(SHADE)]
    assert len(shaded) == sum(k in ("observed", "implicit") for k in kinds)


def test_arrowheads_stop_at_nodes(plt: object) -> None:
    from matplotlib.patches import Ellipse, FancyArrowPatch

    ax = graphs.draw(schools())
    ax.figure.canvas.draw()
    ellipses = [p for p in ax.patches if type(p) is Ellipse]
    to_data = ax.transData.inverted()
    for arrow in (p for p in ax.patches if type(p) is FancyArrowPatch):
        points = np.concatenate([p.vertices for p in arrow._get_path_in_displaycoord()[0]])
        points = to_data.transform(points)
        for e in ellipses:
            scaled = 2 * (points - e.get_center()) / [e.width, e.height]
            assert np.hypot(*scaled.T).min() > 0.985


def test_draw_into_given_axes_scales_the_text(plt: object) -> None:
    import matplotlib.pyplot as pyplot

    full = graphs.draw(schools())
    _, (left, _right) = pyplot.subplots(1, 2, figsize=(4, 2))
    assert graphs.draw(schools(), ax=left) is left
    assert left.texts[-1].get_size() < 0.6 * full.texts[-1].get_size()


def test_an_empty_graph_can_be_shown_in_every_way(plt: object) -> None:
    graph = make([], [])
    assert graphs.to_text(graph).startswith("demo on pyro")
    assert graphs.to_mermaid(graph).startswith("flowchart TD")
    assert graphs.to_dot(graph) == 'digraph "demo" {\n}'
    graphs.draw(graph)


def test_missing_matplotlib_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ppgm\[viz\]'"):
        graphs.draw(schools())
