"""Plain tables for the terminal and for Markdown."""

__all__ = ["markdown", "measured", "number", "text"]

import unicodedata
from collections.abc import Iterable, Sequence
from math import isfinite

Rows = Iterable[Sequence[object]]


def text(header: Sequence[str], rows: Rows) -> str:
    """Returns a table with aligned columns: numbers to the right, everything else to the left.

    Args:
        header: Titles of the columns.
        rows: Cells, one sequence per row; None is shown as a blank.
    """
    cells = _cells(header, rows)
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    right = _numeric(cells)
    lines = [_line(row, widths, right) for row in cells]
    rule = "  ".join("─" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1:]])


def markdown(header: Sequence[str], rows: Rows) -> str:
    """Returns the same table in Markdown."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in _cells(header, rows)]
    marks = ["---:" if right else "---" for right in _numeric(cells)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [cells[0], marks, *cells[1:]])


def number(value: float, digits: int = 2) -> str:
    """Returns a number with fixed digits, or "" for NaN."""
    if isfinite(value):
        return f"{value:.{digits}f}"
    return "" if value != value else str(value)


def measured(value: float, error: float, digits: int = 2) -> str:
    """Returns ``"value ± error"``."""
    return f"{number(value, digits)} ± {number(error, digits)}"


def _cells(header: Sequence[str], rows: Rows) -> list[list[str]]:
    return [list(header), *(["" if c is None else str(c) for c in row] for row in rows)]


def _numeric(cells: list[list[str]]) -> list[bool]:
    return [
        any(column[1:]) and all(_is_number(c) for c in column[1:] if c)
        for column in zip(*cells, strict=True)
    ]


def _is_number(cell: str) -> bool:
    try:
        [float(part) for part in cell.replace(",", "").split("±")]
    except ValueError:
        return False
    return True


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for cell, width, to_right in zip(row, widths, right, strict=True):
        blank = " " * (width - _width(cell))
        parts.append(blank + cell if to_right else cell + blank)
    return "  ".join(parts).rstrip()


def _width(cell: str) -> int:
    """Returns the columns of a terminal that a cell takes: wide letters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in cell)
