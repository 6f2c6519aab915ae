"""What the tour collects and how it is told: lines of measured numbers."""

__all__ = ["Line", "Report", "Tour", "header"]

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import ppgm
from ppgm import tables
from ppgm.cli_pairs import unreliable
from ppgm.cli_pictures import pictures
from ppgm.cli_runs import Run, remember
from ppgm.data import Dataset
from ppgm.evaluation import Evidence
from ppgm.fits import Fit

EXACT = "exact: the partition function is enumerated"
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
        self,
        what: str,
        measured: str,
        value: float,
        error: float = float("nan"),
        *,
        text: str = "",
        trust: str = "",
        seconds: float = float("nan"),
    ) -> None:
        """Adds a line of the summary."""
        plain = tables.measured(value, error) if error == error else tables.number(value)
        self.lines.append(Line(what, measured, value, error, text or plain, trust, seconds))

    def add_evidence(self, what: str, fit: Fit, evidence: Evidence) -> None:
        """Adds a line on the held-out log p(x) of a fit."""
        bad, rows = unreliable(evidence), len(evidence.log_likelihood)
        spread = evidence.monte_carlo_error
        exact = evidence.particles == 0
        self.add(
            what,
            "held-out log p(x), nats",
            evidence.mean,
            evidence.standard_error,
            trust=EXACT
            if exact
            else f"Monte Carlo {spread:.3f}, k-hat bad in {bad} of {rows} rows",
            seconds=float(fit.history["seconds"][-1]),
        )

    def keep(self, name: str, fit: Fit, data: Dataset) -> Run:
        """Saves a fit, with its pictures if there is time, as a run of the command line."""
        run = Run(self.folder / name, remember(fit, data.name, None, 0), data)
        run.fit.save(run.folder)
        if not self.quick or name == "vae-iwae":
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
            "ppgm": ppgm.__version__,
            "host": tour.host,
            "seed": tour.seed,
            "quick": tour.quick,
            "seconds": self.seconds,
            "lines": [_plain(line) for line in self.lines],
        }
        path = tour.folder / "summary.json"
        path.write_text(f"{json.dumps(facts, indent=2, allow_nan=False)}\n", encoding="utf-8")

    def hints(self, tour: Tour) -> str:
        """Returns what to look at and what to try next."""
        place = tour.folder
        lines = [
            f"{self.seconds:.0f} s in all. In {place}: summary.md, bounds.png, posterior.png,",
            "graph.png, graph.mmd, posterior.nc (NUTS) and guide.nc for ArviZ, and a run folder",
            "with pictures for each fit.",
            f"Next: ppgm compare {place / 'vae-elbo'} {place / 'vae-iwae'}",
        ]
        return "\n".join(lines)

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
