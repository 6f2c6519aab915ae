"""Names: what is listed, what a name loads, and what plug-ins can and cannot do."""

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppgm import registry, specs
from ppgm.errors import ArgumentError, PluginError, StorageError
from ppgm.inference import ELBO
from ppgm.inference.gradients import NAMES, resolve
from ppgm.registry_targets import plain

BUILT_IN = [(kind, name) for kind in registry.KINDS for name in registry._BUILT_IN[kind]]
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Part:
    """A part of something.

    The second paragraph is not its summary.
    """

    value: Any = None
    derived: int = field(default=1, init=False)


@dataclass(frozen=True)
class Picky:
    value: int

    def __post_init__(self) -> None:
        if self.value < 0:
            raise ArgumentError("value is negative")
        self.value.bit_length()


@dataclass
class Mutable:
    value: int = 0


def install(folder: Path, name: str, points: str, modules: dict[str, str] | None = None) -> None:
    """Lays down what pip would: metadata and modules."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
                                   f"Summary: what {name} is for\n")  # fmt: skip
    (info / "entry_points.txt").write_text(points)
    for module, text in (modules or {}).items():
        (folder / f"{module}.py").write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path, to install into."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("PPGM_PLUGINS", raising=False)
    return tmp_path


@pytest.fixture
def parts(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes of this file, as parts of an installed distribution."""
    monkeypatch.setitem(sys.modules, "parts_of_the_test", sys.modules[__name__])
    points = "part = parts_of_the_test:Part\npicky = parts_of_the_test:Picky\n"
    points += "function = parts_of_the_test:install\nmutable = parts_of_the_test:Mutable\n"
    install(site, "Test.Parts", f"[ppgm.models]\n{points}")


# --------------------------------------------------------------------------- listing


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_built_in_parts_load_and_know_their_names(kind: str, name: str) -> None:
    cls = registry.get(kind, name)
    if kind == "gradients" and not isinstance(cls, type):  # one of another name, with options
        assert registry.name_of(type(cls()))[0] == kind
        return
    assert isinstance(cls, type)
    assert dataclasses.is_dataclass(cls)
    assert registry.name_of(cls) == (kind, name)


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_built_in_parts_have_a_summary(kind: str, name: str) -> None:
    entry = next(entry for entry in registry.catalogue(kind) if entry.name == name)
    assert entry.origin == "ppgm"
    assert entry.summary
    line = (registry.get(kind, name).__doc__ or "").strip().split("\n")[0]
    assert entry.summary == plain(line)
    assert not re.search(r":\w+:|\\\\|`", entry.summary)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (r"Bits: :math:`x_d \sim B(\sigma(o_d))`; data in {0, 1}.",
         "Bits: x_d ~ B(sigma(o_d)); data in {0, 1}."),
        (r"Counts: :math:`x_d \sim \mathrm{Poisson}(e^{o_d})`.",
         "Counts: x_d ~ Poisson(e^(o_d))."),
        (r":math:`\mathrm{Cat}(\mathrm{softmax}(o_{d, 1..C}))`", "Cat(softmax(o_(d, 1..C)))"),
        (r":py:class:`VAE` of `rows`, ``x``", "VAE of rows, x"),
        ("as it is", "as it is"),
    ],
)  # fmt: skip
def test_summaries_are_plain(text: str, wanted: str) -> None:
    assert plain(text) == wanted


def test_listed_gradients_are_those_that_bounds_take(site: Path) -> None:
    """Those of a plug-in among them."""
    listed = [entry.name for entry in registry.catalogue("gradients")]
    assert listed == list(NAMES)
    for name in listed:
        assert resolve(name) == registry.get("gradients", name)()
    install(site, "Own", "[ppgm.gradients]\nown = own_gradient:Own\n", {"own_gradient": OWN})
    assert type(ELBO(gradient="own").estimator).__name__ == "Own"
    with pytest.raises(ArgumentError, match="'own', 'path'.*not 'owm'; did you mean 'own'"):
        ELBO(gradient="owm")


OWN = """
from dataclasses import dataclass
from ppgm.inference.path import Path

@dataclass(frozen=True)
class Own(Path):
    \"\"\"Its own.\"\"\"
"""


def test_listing_imports_nothing() -> None:
    code = (
        "import sys, ppgm.registry as r; before = set(sys.modules); r.catalogue();"
        "print([m for m in set(sys.modules) - before if m.startswith('ppgm')],"
        "      {'torch', 'jax', 'numpyro', 'pyro', 'arviz', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "PPGM_PLUGINS": "none"},
    )  # fmt: skip
    assert done.stdout.strip() == "[] set()"


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("objectives", "iwea", "did you mean 'iwae'"),
        ("objectives", "ELBO", "there are elbo"),
        ("models", "ppgm.models.vae:VAE", "'ppgm.models.vae'"),
        ("objective", "elbo", "did you mean 'objectives'"),
        ("objectives", "", "unknown"),
        ("os", "system", "unknown"),
    ],
)
def test_unknown_names(kind: str, name: str, message: str) -> None:
    with pytest.raises((ArgumentError, PluginError), match=message):
        registry.get(kind, name)


def test_a_class_without_a_name() -> None:
    with pytest.raises(ArgumentError, match="Part has no name in ppgm"):
        registry.name_of(Part)


# -------------------------------------------------------------------------- plug-ins


@pytest.mark.usefixtures("parts")
def test_a_plugin_is_listed_loaded_and_named() -> None:
    entry = next(entry for entry in registry.catalogue("models") if entry.name == "part")
    assert entry[:3] == ("models", "part", "Test.Parts")
    assert registry.get("models", "part") is Part
    assert registry.get("models", "test-parts:part") is Part
    assert registry.name_of(Part) == ("models", "test-parts:part")


def test_summaries_come_from_the_source_text(site: Path) -> None:
    source = 'raise SystemExit("imported")\nclass A:\n    """First line.\n\n    More.\n    """\n'
    install(site, "documented", "[ppgm.guides]\na = documented_a:A\nb = documented_a:B\n",
            {"documented_a": source})  # fmt: skip
    found = {entry.name: entry.summary for entry in registry.catalogue("guides")}
    assert found["a"] == "First line."
    assert found["b"] == "what documented is for"


def test_listing_and_built_in_names_never_run_a_plugin(site: Path) -> None:
    canary = site / "canary"
    source = f"open({str(canary)!r}, 'w').close()\nclass A: ...\n"
    install(
        site, "hostile", "[ppgm.objectives]\na = hostile_module:A\n", {"hostile_module": source}
    )
    registry.catalogue()
    registry.get("objectives", "elbo")
    registry.name_of(registry.get("objectives", "elbo"))
    with pytest.raises(ArgumentError):
        registry.get("objectives", "unknown")
    assert not canary.exists()
    registry.get("objectives", "a")
    assert canary.exists()  # the canary does sing


BROKEN = {
    "import": "import a_module_that_does_not_exist",
    "raise": "raise RuntimeError('broken')",
    "exit": "raise SystemExit(3)",
    "syntax": "def f(:",
    "null": "\0",
    "absent": "",
    "constant": "A = 3",
    "recursion": "def f(): f()\nf()",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_plugin_names_its_distribution_and_hurts_nobody(site: Path, how: str) -> None:
    module = f"broken_{how}"
    install(site, "broken-one", f"[ppgm.models]\na = {module}:A\n", {module: BROKEN[how]})
    install(site, "good-one", "[ppgm.models]\nb = collections:OrderedDict\n")
    assert {"a", "b", "vae"} <= {entry.name for entry in registry.catalogue("models")}
    with pytest.raises(PluginError, match="broken-one"):
        registry.get("models", "a")
    assert callable(registry.get("models", "b"))


@pytest.mark.parametrize(
    "points",
    [
        "[ppgm.models]\nno equals sign\n",
        "[ppgm.models\nx = y\n",
        "[ppgm.models]\nA B = m:A\n",
        "[ppgm.models]\na = m\n",
        "[ppgm.models]\na = m:A; import os\n",
        "[ppgm.models]\n\x1b[31m = m:A\n",
        "[ppgm.models]\na:b = m:A\n",
        "[ppgm.unknown]\na = m:A\n",
    ],
    ids=range(8),
)
def test_malformed_entry_points_are_named_and_left_out(site: Path, points: str) -> None:
    before = registry.catalogue()
    install(site, "malformed", points)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert registry.catalogue() == before
    assert all("malformed" in str(w.message) for w in seen)
    assert seen or points.startswith("[ppgm.models\n")
    assert all(str(w.message).isprintable() for w in seen)


def test_metadata_without_a_name(site: Path) -> None:
    install(site, "nameless", "[ppgm.models]\na = m:A\n")
    (site / "nameless-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\n")
    with pytest.warns(UserWarning, match="has unreadable metadata"):
        assert "a" not in {entry.name for entry in registry.catalogue("models")}


def test_a_built_in_name_cannot_be_taken(site: Path) -> None:
    install(site, "usurper", "[ppgm.objectives]\nelbo = collections:OrderedDict\n")
    with pytest.warns(UserWarning, match="'elbo' of distribution 'usurper'"):
        found = {entry.name: entry.origin for entry in registry.catalogue("objectives")}
    assert found["elbo"] == "ppgm"
    assert found["usurper:elbo"] == "usurper"
    assert registry.get("objectives", "elbo").__module__ == "ppgm.inference.elbo"
    assert registry.get("objectives", "usurper:elbo").__name__ == "OrderedDict"


def test_two_plugins_of_one_name(site: Path) -> None:
    install(site, "one", "[ppgm.models]\ntwin = collections:OrderedDict\n")
    install(site, "two", "[ppgm.models]\ntwin = collections:Counter\n")
    with pytest.warns(UserWarning, match="'twin'"):
        found = {entry.name for entry in registry.catalogue("models")}
    assert {"one:twin", "two:twin"} <= found
    assert "twin" not in found
    with pytest.raises(ArgumentError, match="'one:twin' or 'two:twin'|'two:twin' or 'one:twin'"):
        registry.get("models", "twin")
    assert registry.get("models", "two:twin").__name__ == "Counter"


def test_the_first_on_the_path_hides_a_second_copy(
    site: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "twice", "[ppgm.models]\ntwice = collections:OrderedDict\n")
    other = tmp_path_factory.mktemp("other")
    install(other, "Twice", "[ppgm.models]\ntwice = collections:Counter\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(other)])
    assert registry.get("models", "twice").__name__ == "OrderedDict"


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ("", True),
        ("none", False),
        ("NONE", False),
        ("test-parts", True),
        ("other, TEST_parts", True),
        ("other", False),
        ("test", False),
        (",", False),
    ],
)
def test_policy(monkeypatch: pytest.MonkeyPatch, policy: str, allowed: bool) -> None:  # noqa: FBT001
    monkeypatch.setenv("PPGM_PLUGINS", policy)
    assert ("part" in {entry.name for entry in registry.catalogue("models")}) == allowed
    if not allowed:
        with pytest.raises(PluginError, match="not allowed by PPGM_PLUGINS"):
            registry.get("models", "test-parts:part")
        with pytest.raises(ArgumentError, match="PPGM_PLUGINS"):
            registry.name_of(Part)


def test_a_missing_distribution_is_named() -> None:
    with pytest.raises(PluginError, match="distribution 'not-here', which is not installed"):
        registry.get("models", "not-here:thing")


# ----------------------------------------------------------------------------- specs

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner, max_size=3)
        | inner.map(Part)
    ),
    max_leaves=8,
)


def alike(a: Any, b: Any) -> bool:
    """Equality that also compares types, and holds for NaN and tells -0.0 from 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or a.hex() == b.hex()
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return alike(list(a.items()), list(b.items()))
    return alike(a.value, b.value) if isinstance(a, Part) else a == b


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes of this file under built-in names, as looking for plug-ins takes longer."""
    table = {
        f"test-{c.__name__.lower()}": f"{__name__}:{c.__name__}" for c in (Part, Picky, Mutable)
    }
    table["test-function"] = f"{__name__}:install"
    monkeypatch.setitem(registry._BUILT_IN, "models", {**registry._BUILT_IN["models"], **table})


def test_every_value_comes_back(named: None) -> None:
    @given(VALUES)
    def check(value: Any) -> None:
        text = json.dumps(specs.to_dict(Part(value)), allow_nan=False)
        assert alike(specs.from_dict(json.loads(text)), Part(value))

    check()


def test_the_text_of_a_spec(named: None) -> None:
    assert specs.to_dict(Part(((1, 2.5), [math.inf], {"a": Part()}))) == {
        "kind": "models",
        "name": "test-part",
        "fields": {
            "value": {
                "tuple": [
                    {"tuple": [1, 2.5]},
                    [{"float": "inf"}],
                    {"dict": [["a", {"kind": "models", "name": "test-part",
                                     "fields": {"value": None}}]]},
                ]
            }
        },
    }  # fmt: skip


def test_numpy_scalars_become_numbers(named: None) -> None:
    value = (np.int64(3), np.float64(0.1), np.float32(0.1), np.bool_(1), np.float64("inf"))
    back = specs.from_dict(specs.to_dict(Part(value)))
    assert alike(back.value, (3, 0.1, float(np.float32(0.1)), True, math.inf))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(2), "Part.value is a ndarray"),
        (print, "Part.value is a builtin_function_or_method"),
        ({"a": [1, {2}]}, r"Part.value\['a'\]\[1\]\[1\] is a set"),
        ((1, b"x"), r"Part.value\[1\] is a bytes"),
        (1j, "complex"),
        (Part, "is a type"),
        (Mutable(), "is a Mutable"),
    ],
)
def test_what_cannot_be_described(named: None, value: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        specs.to_dict(Part(value))


@pytest.mark.parametrize("value", [3, "vae", None, Part, Mutable()])
def test_only_frozen_dataclasses(value: Any) -> None:
    with pytest.raises(ArgumentError, match="frozen dataclass"):
        specs.to_dict(value)


def described(**fields: Any) -> dict[str, Any]:
    return {"kind": "models", "name": "test-part", "fields": fields}


NESTED: Any = 1
for _ in range(500):
    NESTED = {"tuple": [NESTED]}


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (None, "keys kind, name and fields"),
        ([], "keys kind, name and fields"),
        ({"kind": "models", "name": "vae"}, "keys kind, name and fields"),
        (described() | {"_target_": "os.system"}, "keys kind, name and fields"),
        (described() | {"name": ["vae"]}, "two strings"),
        (described() | {"fields": []}, "two strings"),
        (described() | {"name": "os:system"}, "'os'"),
        (described() | {"name": "ppgm.models.vae.VAE"}, "unknown"),
        (described() | {"kind": "builtins"}, "unknown"),
        (described() | {"name": "test-function"}, "not a dataclass"),
        (described(valeu=1), "has no field 'valeu'.*did you mean 'value'"),
        (described(derived=2), "has no field 'derived'"),
        (described(__class__=1), "has no field '__class__'"),
        (described(value={"a": 1}), "is marked by"),
        (described(value={}), "is marked by"),
        (described(value={"tuple": 1}), "is marked by"),
        (described(value={"tuple": [], "dict": []}), "is marked by"),
        (described(value={"float": "1e5"}), "is marked by"),
        (described(value={"float": 1.0}), "is marked by"),
        (described(value={"dict": [[1]]}), "list of pairs"),
        (described(value={"dict": [[[], 1]]}), "cannot be one"),
        (described(value={"kind": 1, "name": 2, "fields": 3}), "two strings"),
        (described(value=NESTED), "deeper than 32"),
        ({"kind": "models", "name": "test-picky", "fields": {}}, "missing 1 required"),
        ({"kind": "models", "name": "test-picky", "fields": {"value": "x"}}, "refuses"),
        ({"kind": "models", "name": "test-picky", "fields": {"value": -1}}, "is negative"),
    ],
    ids=range(26),
)
def test_hostile_descriptions(named: None, description: Any, message: str) -> None:
    with pytest.raises((StorageError, ArgumentError, PluginError), match=message):
        specs.from_dict(description)


def test_another_kind_than_expected(named: None) -> None:
    assert specs.from_dict(described(), kind="models") == Part()
    with pytest.raises(StorageError, match="kind 'objectives' was expected; got kind 'models'"):
        specs.from_dict(described(), kind="objectives")


@pytest.mark.usefixtures("parts")
def test_a_plugin_is_described_with_its_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    description = specs.to_dict(Part(3))
    assert description["name"] == "test-parts:part"
    assert specs.from_dict(description) == Part(3)
    monkeypatch.setenv("PPGM_PLUGINS", "none")
    with pytest.raises(PluginError, match="distribution 'test-parts'"):
        specs.from_dict(description)
