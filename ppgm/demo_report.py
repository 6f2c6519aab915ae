"""What the tour collects and how it is told: lines of measured numbers."""

__all__ = ["Line", "Report", "Tour", "header"]

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import ppgm
from ppgm import tables
from ppgm.cli_pictures import pictures
from ppgm.cli_runs import Run, remember
from ppgm.data import Dataset
from ppgm.fitting import Fit

COLUMNS = ("what", "measured", "value", "how far to trust it", "seconds")


class Line(NamedTuple):
    """One line of the summary.

    Attributes:
        what: What was done.
        measured: What the number is.
        value: The number.
        error: Its standard error, NaN for a count.
        text: Value and error as shown.
        trust: What is known of its quality.
        seconds: Time of the training or the draws.
    """

    what: str
    measured: str
    value: float
    error: float
    text: str
    trust: str
    seconds: float


@dataclass
class Tour:
    """The settings of a tour and what it found so far."""

    folder: Path
    host: str
    seed: int
    quick: bool
    say: Callable[[str], None]
    lines: list[Line] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)

    def size(self, full: int, quick: int) -> int:
        """Returns a number of steps, draws or particles for this kind of tour."""
        return quick if self.quick else full

    def add(
        self, what: str, measured: str, value: float, error: float = float("nan"), *,
        text: str = "", trust: str = "", seconds: float = float("nan"), digits: int = 2,
    ) -> None:  # fmt: skip
        """Adds a line of the summary."""
        plain = tables.number(value, digits)
        shown = text or (tables.measured(value, error, digits) if error == error else plain)
        self.lines.append(Line(what, measured, value, error, shown, trust, seconds))

    def keep(self, name: str, fit: Fit, data: Dataset) -> Run:
        """Saves a fit with its pictures as a run folder of the command line."""
        run = Run(self.folder / name, remember(fit, data.name, None, 0), data)
        run.fit.save(run.folder)
        pictures(run, seed=self.seed)
        self.runs[name] = run
        return run


class Report(NamedTuple):
    """The summary of a tour.

    Attributes:
        lines: Its lines.
        seconds: Time of the whole tour.
    """

    lines: tuple[Line, ...]
    seconds: float

    def __str__(self) -> str:
        return tables.text(COLUMNS, self._rows())

    def write(self, tour: Tour) -> None:
        """Writes ``summary.md`` and ``summary.json``."""
        head = f"# ppgm demo\n\n{header(tour)}; {self.seconds:.0f} s in all.\n"
        text = f"{head}\n{tables.markdown(COLUMNS, self._rows())}\n"
        (tour.folder / "summary.md").write_text(text, encoding="utf-8")
        facts = {
            "ppgm": ppgm.__version__, "host": tour.host, "seed": tour.seed, "quick": tour.quick,
            "seconds": self.seconds, "lines": [_plain(line) for line in self.lines],
        }  # fmt: skip
        path = tour.folder / "summary.json"
        path.write_text(f"{json.dumps(facts, indent=2, allow_nan=False)}\n", encoding="utf-8")

    def hints(self, tour: Tour) -> str:
        """Returns what to look at and what to try next."""
        place = tour.folder
        return "\n".join(
            [
                f"{self.seconds:.0f} s in all. In {place}: summary.md, bounds.png, posterior.png, "
                "graph.png,",
                "graph.mmd, posterior.nc (NUTS) and guide.nc for ArviZ, and a folder for each fit.",
                f"Next: ppgm compare {place / 'vae-elbo'} {place / 'vae-iwae'}",
            ]
        )

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (n.what, n.measured, n.text, n.trust, tables.number(n.seconds, 1)) for n in self.lines
        ]


def header(tour: Tour) -> str:
    """Returns one line on what runs."""
    quick = ", a few steps of everything: the numbers mean nothing" if tour.quick else ""
    return f"ppgm {ppgm.__version__} on {tour.host}, seed {tour.seed}{quick}"


def _plain(line: Line) -> dict[str, Any]:
    """Returns a line for JSON, which has no NaN."""
    return {k: None if v != v else v for k, v in line._asdict().items()}
