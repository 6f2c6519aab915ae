"""Seconds that an import adds to a bare interpreter, each in fresh processes that take turns."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import numpy as np

STATEMENTS = {
    "python": "pass",
    "ppgm": "import ppgm",
    "numpy": "import numpy",
    "pyro": "import pyro",
    "numpyro": "import numpyro",
    "pixyz": "import pixyz.distributions, pixyz.losses, pixyz.models",
}


def seconds(statement: str) -> float:
    """Returns the wall time of an interpreter that runs the statement and ends."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def measure(rounds: int) -> list[dict[str, Any]]:
    """Returns one record a statement: median seconds, and seconds over the bare interpreter."""
    for statement in STATEMENTS.values():
        seconds(statement)
    times = [[seconds(statement) for statement in STATEMENTS.values()] for _ in range(rounds)]
    medians = np.median(times, axis=0)
    return [
        {"row": "import", "contestant": name, "seconds": total, "over_python": total - medians[0]}
        for name, total in zip(STATEMENTS, medians.tolist(), strict=True)
    ]
