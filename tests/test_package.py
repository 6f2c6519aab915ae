"""What is built, what an import loads, and who may import a host."""

import ast
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ppgm"
LINKS = ("models", "guides", "inference")

HOST_PACKAGES = {
    *("torch", "pyro", "zuko", "torchdiffeq"),
    *("jax", "jaxlib", "numpyro", "equinox", "optax", "flowjax", "paramax", "diffrax"),
}
HOST_FILES = ("host_pyro*.py", "host_numpyro*.py", "nets_torch*.py", "nets_equinox*.py")
LAZY_PACKAGES = {"arviz", "matplotlib", "safetensors", "sklearn", "h5netcdf", "h5py", "pandas"}
SOURCES = sorted(PACKAGE.rglob("*.py"))
SOURCE_IDS = [str(path.relative_to(ROOT)) for path in SOURCES]


def run(*arguments, cwd=ROOT, **environment):
    """Runs Python in a process of its own; returns what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# -- wheel and sdist -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel that is built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A folder with the wheel's packages and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    options = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    run("-m", "pip", "install", *options, "--target", str(target), str(built[0]))
    return target


def test_wheel_holds_the_package_and_nothing_else(built):
    names = set(zipfile.ZipFile(built[0]).namelist())
    modules = {str(path.relative_to(ROOT)) for path in SOURCES}
    assert modules | {"ppgm/py.typed", "ppgm/data/sunspots.csv"} <= names
    assert {name.split("/")[0] for name in names} == {"ppgm", "ppgm-0.1.0.dist-info"}
    assert any(name.endswith("LICENSE") for name in names)


def test_wheel_declares_the_command_and_the_extras(built):
    with zipfile.ZipFile(built[0]) as wheel:
        scripts = wheel.read("ppgm-0.1.0.dist-info/entry_points.txt").decode()
        metadata = wheel.read("ppgm-0.1.0.dist-info/METADATA").decode()
    assert "ppgm = ppgm.cli:main" in scripts
    for extra in ("pyro", "numpyro", "arviz", "io", "viz", "data", "all"):
        assert f"Provides-Extra: {extra}\n" in metadata
    core = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    core = [line for line in core if "extra ==" not in line]
    assert not any(package in line for line in core for package in HOST_PACKAGES | {"arviz"})


def test_sdist_holds_real_folders_and_the_tests(built):
    with tarfile.open(built[1]) as archive:
        members = {member.name.split("/", 1)[-1]: member for member in archive.getmembers()}
    assert {str(path.relative_to(ROOT)) for path in SOURCES} <= set(members)
    assert {"tests/conftest.py", "LICENSE", "README.md", "pyproject.toml"} <= set(members)
    assert "ppgm/data/sunspots.csv" in members
    assert all(member.isfile() or member.isdir() for member in members.values())


def test_installed_wheel_imports_from_an_empty_folder(installed, tmp_path):
    parts = ", ".join(f"ppgm.{name}" for name in (*LINKS, "data"))
    code = f"import ppgm, {parts}; print(ppgm.__file__); print(ppgm.__version__)"
    place, version = run("-c", code, cwd=tmp_path, PYTHONPATH=str(installed)).splitlines()
    assert Path(place).is_relative_to(installed)
    assert version == "0.1.0"


# -- what an import loads --------------------------------------------------------------------


@pytest.mark.parametrize(
    "module", ["ppgm", "ppgm.data", "ppgm.models", "ppgm.guides", "ppgm.inference", "ppgm.cli"]
)
def test_import_loads_no_host_and_nothing_heavy(module, tmp_path):
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = set(run("-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT)).split())
    assert "ppgm" in loaded
    assert not loaded & (HOST_PACKAGES | LAZY_PACKAGES | {"scipy"})


@pytest.mark.parametrize("host", ["pyro", "numpyro"])
def test_one_host_loads_without_the_other(host, tmp_path):
    absent = {"pyro": ("jax", "numpyro", "equinox", "optax"), "numpyro": ("torch", "pyro")}[host]
    code = f"""
import sys
sys.modules.update(dict.fromkeys({absent}))  # None makes their import fail
import ppgm, ppgm.host
print(ppgm.host.load("{host}").__name__)
"""
    assert run("-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT)) == f"ppgm.host_{host}"


@pytest.mark.parametrize(("name", "absent"), [("pyro", "torch"), ("numpyro", "jax")])
def test_missing_host_names_the_command_that_installs_it(name, absent, tmp_path):
    code = f"""
import sys
sys.modules["{absent}"] = sys.modules["{name}"] = None
import ppgm.errors, ppgm.host
try:
    ppgm.host.load("{name}")
except ppgm.errors.MissingDependencyError as error:
    print(error)
"""
    printed = run("-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert f"pip install 'ppgm[{name}]'" in printed


# -- who imports what ------------------------------------------------------------------------


def imported(tree):
    """Top names of every package that a syntax tree imports, at any depth or by a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]
        elif isinstance(node, ast.Call) and is_import_call(node.func) and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value.split(".")[0]


def is_import_call(called):
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
    return name in ("import_module", "__import__")


def at_the_top(tree):
    """The statements that run on import, without bodies of functions."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


def test_imported_sees_every_form():
    text = """
import os, torch.nn as nn
from pyro.infer import SVI
def f():
    import jax
    importlib.import_module("numpyro.infer")
from . import torch_like
"""
    assert set(imported(ast.parse(text))) == {"os", "torch", "pyro", "jax", "numpyro"}


@pytest.mark.parametrize("path", SOURCES, ids=SOURCE_IDS)
def test_only_host_files_import_a_host(path):
    allowed = path.parent == PACKAGE and any(path.match(pattern) for pattern in HOST_FILES)
    hosts = set(imported(ast.parse(path.read_text()))) & HOST_PACKAGES
    assert allowed or not hosts, f"{path} imports {hosts}"


@pytest.mark.parametrize("path", SOURCES, ids=SOURCE_IDS)
def test_optional_packages_are_imported_inside_functions(path):
    for node in at_the_top(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            lazy = set(imported(node)) & LAZY_PACKAGES
            assert not lazy, f"{path}:{node.lineno} imports {lazy} at the top"


@pytest.mark.parametrize("path", SOURCES, ids=SOURCE_IDS)
def test_nothing_is_ever_unpickled(path):
    tree = ast.parse(path.read_text())
    assert not set(imported(tree)) & {"pickle", "cloudpickle", "dill", "joblib", "marshal"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) != "torch.load", f"{path}:{node.lineno}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert ast.unparse(node.value) == "False", f"{path}:{node.value.lineno}"


@pytest.mark.parametrize("name", LINKS)
def test_root_links_lead_into_the_package(name):
    link = ROOT / name
    if not link.is_symlink():
        pytest.skip("this checkout was made without links")
    assert os.readlink(link) == f"ppgm/{name}"
    assert (link / "__init__.py").samefile(PACKAGE / name / "__init__.py")
