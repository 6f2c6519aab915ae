"""`python -m benchmarks`: measures, prints Markdown, writes JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import exponents, harness, imports, table
from benchmarks.rows import ROWS
from benchmarks.scaling import SERIES

NAMES = (*ROWS, "import")
PACKAGES = ("ppgm", "torch", "pyro-ppl", "jax", "numpyro", "optax", "pixyz", "numpy")


def main(arguments: list[str] | None = None) -> None:
    """Runs the rows that were asked for, or the series."""
    options = _parser().parse_args(arguments)
    limits = harness.Limits(options.rounds, 2, options.threads, options.quick)
    report: dict[str, Any] = {"machine": _machine(options), "rows": []}
    print(json.dumps(report["machine"]), file=sys.stderr)
    (_scaling if options.scaling else _rows)(options, limits, report)


def _rows(options: argparse.Namespace, limits: harness.Limits, report: dict[str, Any]) -> None:
    for name in options.rows:
        report["rows"] += _run(name, options, limits)
        _save(Path(options.out), report)
    _show(report["rows"])
    strange = [r for r in report["rows"] if r.get("differs") and not r["note"]]
    if strange:
        names = ", ".join(f"{r['contestant']} in {r['row']}" for r in strange)
        sys.exit(f"not the step of its baseline (see the check): {names}")


def _run(name: str, options: argparse.Namespace, limits: harness.Limits) -> list[dict[str, Any]]:
    print(f"{name} ...", file=sys.stderr, flush=True)
    if name == "import":
        return imports.measure(limits.rounds)
    row = ROWS[name]
    labels = [label for label in row.contestants if options.compile or label != "torch.compile"]
    if options.only:
        labels = [label for label in labels if label in options.only]
    return harness.measure(row, labels, limits)


def _scaling(options: argparse.Namespace, limits: harness.Limits, report: dict[str, Any]) -> None:
    for series in SERIES:
        print(f"{series.title} ...", file=sys.stderr, flush=True)
        records = exponents.measure(series, limits, options.only)
        report["rows"] += records
        _save(Path(options.out), report)
        if records:
            print(exponents.table(records), end="\n\n")


def _show(records: list[dict[str, Any]]) -> None:
    timed = [record for record in records if record["row"] != "import"]
    imported = [record for record in records if record["row"] == "import"]
    for shown, render in ((timed, table.steps), (imported, table.imports)):
        if shown:
            print(render(shown), end="\n\n")


def _save(path: Path, report: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--rows", nargs="+", choices=NAMES, default=NAMES, metavar="ROW", help=", ".join(NAMES))
    add("--only", nargs="+", metavar="CONTESTANT", help="these contestants, by their table labels")
    add("--rounds", type=int, default=15, help="measured rounds a contestant (default 15)")
    add("--threads", type=int, default=1, help="cores and threads a contestant (default 1)")
    add("--quick", action="store_true", help="a third of the steps in a round")
    add("--scaling", action="store_true", help="no rows: how times grow with T and with K")
    add("--compile", action="store_true", help="torch.compile of the hand-written loss as well")
    add("--out", default="runs/bench.json", help="where the JSON goes (default runs/bench.json)")
    return parser


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "rounds": options.rounds,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
