"""Deliberate faults, each of which some test must find: ``python -m ppgm.testing.mutants``.

A suite that passes says little until it has been seen to fail. Every mutant is one classic bug
of this kind of software, as a small substitution in a copy of the sources; its tests must fail
on the copy, and pass on an unchanged one. Exit status 1 says that a mutant survived, 2 that
nothing was found out: a test fails without a mutant, or a mutant no longer fits the source.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ppgm.errors import ArgumentError
from ppgm.tables import text
from ppgm.testing.mutation_list import KINDS, MUTANTS, Mutant
from ppgm.testing.mutation_run import (
    Outcome,
    apply,
    copies_of,
    find_root,
    run_control,
    run_mutants,
)

__all__ = ["KINDS", "MUTANTS", "Mutant", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs mutants and prints a table; returns the exit status."""
    options = _parse(arguments)
    try:
        chosen = _choose(options.only)
        if options.list:
            print(_catalogue(chosen))
            return 0
        found = _run(chosen, options.jobs)
    except ArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(_report(found))
    if options.json:
        _write(options.json, found)
    statuses = {o.status for o in found}
    return 2 if "broken" in statuses else int("survived" in statuses)


def _run(mutants: Sequence[Mutant], jobs: int) -> list[Outcome]:
    with copies_of(find_root(), jobs) as copies:
        for mutant in mutants:
            apply(copies[0], mutant)
        failure = run_control(copies, mutants)
        if failure:
            raise ArgumentError(f"the unchanged copy fails a test of its own: {failure}")
        return run_mutants(copies, mutants, _announce)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ppgm.testing.mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these mutants")
    parser.add_argument("--list", action="store_true", help="show the mutants and stop")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time (default: 2)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the table here too")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1, not {options.jobs}")
    return options


def _choose(names: Sequence[str] | None) -> list[Mutant]:
    known = {m.name: m for m in MUTANTS}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ArgumentError(f"no mutant is called {unknown[0]!r}: see --list")
    return [known[name] for name in names or known]


def _catalogue(mutants: Sequence[Mutant]) -> str:
    rows = [(m.name, m.kind, m.file, " ".join(m.tests)) for m in mutants]
    return text(("mutant", "kind", "file", "tests"), rows)


def _announce(outcome: Outcome) -> None:
    print(f"{outcome.status:9} {outcome.mutant.name}  {outcome.test}", file=sys.stderr, flush=True)


def _report(found: Sequence[Outcome]) -> str:
    rows = [
        (o.mutant.name, o.mutant.kind, o.mutant.file, o.test if o.status == "killed"
         else f"{o.status.upper()} {o.test}".strip(), f"{o.seconds:.0f}")
        for o in found
    ]  # fmt: skip
    killed = sum(o.status == "killed" for o in found)
    head = ("mutant", "kind", "file", "killed by", "seconds")
    return f"{text(head, rows)}\n{killed} of {len(found)} mutants killed"


def _write(path: Path, found: Sequence[Outcome]) -> None:
    rows = [
        {"mutant": o.mutant.name, "kind": o.mutant.kind, "file": o.mutant.file,
         "status": o.status, "test": o.test, "seconds": round(o.seconds, 1)}
        for o in found
    ]  # fmt: skip
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
