"""The results as Markdown."""

from __future__ import annotations

from typing import Any

HEAD = "| row | contestant | ms a step | processor ms | ratio | peak MB | ratio | loss | check |"
RULE = "|---|---|---:|---:|---:|---:|---:|---:|---|"


def steps(records: list[dict[str, Any]]) -> str:
    """Returns the table of training steps; ratios are to the baseline, which shows 1.00."""
    return "\n".join([HEAD, RULE, *map(_line, records), *_notes(records)])


def imports(records: list[dict[str, Any]]) -> str:
    """Returns the table of import times."""
    head = ["| import | seconds | over bare Python |", "|---|---:|---:|"]
    cells = ((r["contestant"], r["seconds"], r["over_python"]) for r in records)
    return "\n".join([*head, *(f"| {name} | {a:.3f} | {b:.3f} |" for name, a, b in cells)])


def _line(record: dict[str, Any]) -> str:
    star = "*" if record["note"] else ""
    cells = [
        record["title"],
        record["contestant"] + star,
        f"{record['ms']:.3f}",
        f"{record['cpu_ms']:.3f}",
        f"{record.get('ratio', float('nan')):.2f} of {record.get('baseline', 'none')}",
        f"{record['peak_mb']:.0f}",
        f"{record.get('peak_mb_ratio', float('nan')):.2f}",
        f"{record['loss']:.2f}",
        _check(record),
    ]
    return "| " + " | ".join(cells) + " |"


def _check(record: dict[str, Any]) -> str:
    pairs = list(zip(record["check"].values(), record["check_error"], strict=True))
    values = ", ".join(f"{value:.3f}±{error:.3f}" for value, error in pairs[: record["losses"]])
    differs = record.get("differs")
    return f"{values} differs: {', '.join(differs)}" if differs else values


def _notes(records: list[dict[str, Any]]) -> list[str]:
    noted = [record for record in records if record["note"]]
    lines = [f"\\* {r['contestant']} in {r['title']}: {r['note']}." for r in noted]
    return ["", *lines] if lines else []
