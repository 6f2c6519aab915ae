"""The README's Python runs as it stands, in one session from top to bottom."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def snippets() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def test_there_are_snippets():
    assert len(snippets()) >= 5


def test_snippets_run(tmp_path, monkeypatch, capsys):
    for package in ("torch", "jax", "arviz", "sklearn"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "readme"}
    for code in snippets():
        exec(compile(code, str(README), "exec"), names)
    printed = capsys.readouterr().out
    assert "log p(x) =" in printed
    assert "exact log p(x) =" in printed
    assert (tmp_path / "runs/vae/manifest.json").exists()
