"""The Python of README and docs runs as it stands, each file in one session from top to bottom."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PACKAGES = ("torch", "jax", "arviz", "sklearn")


def snippets(path: Path = README) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def test_there_are_snippets():
    assert len(snippets()) >= 5


def test_snippets_run(tmp_path, monkeypatch, capsys):
    for package in PACKAGES:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "readme"}
    for code in snippets():
        exec(compile(code, str(README), "exec"), names)
    printed = capsys.readouterr().out
    assert "log p(x) =" in printed
    assert "exact log p(x) =" in printed
    assert (tmp_path / "runs/vae/manifest.json").exists()


PRELUDES = {
    "models": "",
    "estimators": """
import numpyro, optax, ppgm
from ppgm.models import SBN
from ppgm.inference import ELBO, NVIL
program = ppgm.program(SBN(64, (6,)), host="numpyro")
data = {"x": ppgm.data.load("digits").train["x"][:50]}
model, guide = program.model, program.guide
""",
}
"""What the text says of "your program", before the first snippet."""


@pytest.mark.slow
@pytest.mark.parametrize("name", PRELUDES)
def test_snippets_of_docs_run(name, tmp_path, monkeypatch):
    for package in (*PACKAGES, "zuko", "flowjax"):
        pytest.importorskip(package)
    if name == "models" and not os.environ.get("PPGM_DATA"):
        pytest.skip("PPGM_DATA names no folder of data, which the chorales of docs/models.md need")
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": name}
    exec(PRELUDES[name], names)
    for i, code in enumerate(snippets(ROOT / "docs" / f"{name}.md")):
        exec(compile(code, f"{name}.md, snippet {i + 1}", "exec"), names)
