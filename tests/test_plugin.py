"""The example plug-in, installed as a third person would install it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the plug-in."""
    source = tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(PLUGIN, source, ignore=shutil.ignore_patterns("__pycache__", "dist", "build"))
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--disable-pip-version-check", "--target", target, source],
        check=True, capture_output=True,
    )  # fmt: skip
    return target


def run(site: Path, *arguments: str, plugins: str = "") -> str:
    path = os.pathsep.join([str(site), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments], cwd=site, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": path, "PPGM_PLUGINS": plugins},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


LISTING = """
import json, sys
from ppgm import registry
entries = [e for e in registry.catalogue() if e.origin != "ppgm"]
print(json.dumps([entries, [m for m in sys.modules if m.startswith("ppgm_example")]]))
"""


def test_is_listed_without_being_imported(site: Path) -> None:
    entries, imported = json.loads(run(site, "-c", LISTING))
    summary = "Chi-square upper bound on log p(x), from particles draws; it trains the guide only."
    assert entries == [
        ["objectives", "chi-bound", "ppgm-example", summary, "ppgm_example.chi_bound:ChiBound"]
    ]
    assert imported == []


@pytest.mark.parametrize("plugins", ["none", "another-distribution"])
def test_is_not_listed_where_it_is_not_allowed(site: Path, plugins: str) -> None:
    assert json.loads(run(site, "-c", LISTING, plugins=plugins)) == [[], []]


def test_loads_by_name_and_survives_json(site: Path) -> None:
    code = """
from ppgm import registry, specs
from ppgm.inference.objective import AbstractObjective
cls = registry.get("objectives", "chi-bound")
assert issubclass(cls, AbstractObjective)
text = specs.to_dict(0.5 * cls(particles=3))
assert specs.from_dict(text, kind="objectives") == 0.5 * cls(particles=3)
print(specs.to_dict(cls(particles=3)))
"""
    expected = {"kind": "objectives", "name": "ppgm-example:chi-bound", "fields": {"particles": 3}}
    assert run(site, "-c", code).strip() == str(expected)


def test_its_own_tests_pass_on_the_installed_copy(site: Path) -> None:
    tests = str(PLUGIN / "tests")
    out = run(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tests, tests)
    assert re.search(r"\b[1-9]\d* passed", out)


def test_is_shown_by_the_command_line(site: Path) -> None:
    if not (ROOT / "ppgm" / "cli.py").exists():
        pytest.skip("no command line yet")
    out = run(site, "-c", "from ppgm.cli import main; main()", "list")
    assert "chi-bound" in out
    assert "ppgm-example" in out


def test_the_docs_show_this_very_code() -> None:
    text = (ROOT / "docs" / "extending.md").read_text()
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", text, re.DOTALL)
    for name in ("ppgm_example/chi_bound.py", "pyproject.toml"):
        assert (PLUGIN / name).read_text() in blocks


# ------------------------------------------------------------------- on either host

LOG_W = np.log(np.array([[1.0, 2.0, 0.5], [3.0, 2.0, 0.1], [5.0, 2.0, 7.0]]))

GRADIENTS = {
    "torch": """
import torch
a = torch.tensor(LOG_W, dtype=torch.float64, requires_grad=True)
s = torch.zeros_like(a, requires_grad=True)
ChiBound().rows(Weights(a, torch.zeros_like(a), score=s)).sum().backward()
print([a.grad.tolist(), s.grad.tolist()])
""",
    "jax": """
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
def total(a, s):
    return ChiBound().rows(Weights(a, jnp.zeros_like(a), score=s)).sum()
a = jnp.asarray(LOG_W, dtype=jnp.float64)
print([g.tolist() for g in jax.grad(total, (0, 1))(a, jnp.zeros_like(a))])
""",
}


@pytest.mark.parametrize("library", GRADIENTS)
def test_gradient_of_weights_and_of_the_score_term(site: Path, library: str) -> None:
    """By hand: d bound / d log w_k = w_k^2 / sum w^2, and each score carries the bound."""
    pytest.importorskip(library)
    head = f"LOG_W = {LOG_W.tolist()}\nfrom ppgm.terms import Weights\n"
    head += "from ppgm_example import ChiBound\n"
    pathwise, score = json.loads(run(site, "-W", "default", "-c", head + GRADIENTS[library]))
    squares = np.exp(2 * LOG_W)
    bound = 0.5 * np.log(squares.mean(0))
    np.testing.assert_allclose(pathwise, squares / squares.sum(0), rtol=1e-12)
    np.testing.assert_allclose(score, np.broadcast_to(bound, (3, 3)), rtol=1e-12)
