"""The mutants fit the sources, and every one of them is found."""

import ast
import json

import pytest

from ppgm.errors import ArgumentError
from ppgm.testing import mutants
from ppgm.testing.mutation_run import apply, find_root


def test_every_mutant_is_well_formed():
    names = [m.name for m in mutants.MUTANTS]
    assert len(names) == len(set(names)) >= 24
    assert {m.kind for m in mutants.MUTANTS} == set(mutants.KINDS)
    assert all(m.tests and m.old != m.new for m in mutants.MUTANTS)


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda m: m.name)
def test_a_mutant_fits_its_source(mutant):
    """Its text is there exactly once, what comes out is Python, and its tests exist."""
    root = find_root()
    changed = ast.parse(apply(root, mutant))
    assert ast.dump(changed) != ast.dump(ast.parse((root / mutant.file).read_text()))
    for test in mutant.tests:
        file, _, name = test.partition("::")
        text = (root / file).read_text()
        assert not name or f"def {name.partition('[')[0]}(" in text


def test_a_mutant_that_rots_is_refused():
    with pytest.raises(ArgumentError, match="0 times"):
        apply(find_root(), mutants.MUTANTS[0]._replace(old="no such text"))
    with pytest.raises(ArgumentError, match="not once"):
        apply(find_root(), mutants.MUTANTS[0]._replace(old="import"))


def test_the_list_and_unknown_names(capsys):
    assert mutants.main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(mutants.MUTANTS) + 2
    assert mutants.main(["--only", "nothing"]) == 2
    assert "--list" in capsys.readouterr().err


def test_one_mutant_is_killed_and_one_survives(tmp_path, monkeypatch, capsys):
    """The runner tells a fault that is found from one that is not, in a copy."""
    good = next(m for m in mutants.MUTANTS if m.name == "k-hat of the wrong tail")
    blank = good._replace(name="blank", new=good.old.replace("_tail(log_w)", "_tail(+log_w)"))
    monkeypatch.setattr(mutants, "MUTANTS", (good, blank))
    before = (find_root() / good.file).read_text()
    assert mutants.main(["--jobs", "2", "--json", str(tmp_path / "table.json")]) == 1
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [r["status"] for r in rows] == ["killed", "survived"]
    assert "test_diagnostics.py::" in rows[0]["test"]
    assert "1 of 2 mutants killed" in capsys.readouterr().out
    assert (find_root() / good.file).read_text() == before


@pytest.mark.slow
def test_every_mutant_is_killed():
    assert mutants.main([]) == 0
