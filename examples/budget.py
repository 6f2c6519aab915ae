"""Training for minutes rather than epochs, so that estimators can be compared at equal cost.

Minutes are of the processor, not of the wall: what else runs on the machine then matters little.
"""

from time import process_time
from typing import Any

import ppgm


def train_for(
    minutes: float, program: ppgm.Program, data: dict[str, Any], objective: Any, **options: Any
) -> ppgm.Fit:
    """Trains for some minutes, at least two epochs.

    The first epoch compiles and does not count; the second tells how long one takes.
    """
    options = {"progress": False, **options}
    fit = ppgm.fit(program, data, objective, epochs=1, **options)
    began = process_time()
    fit = ppgm.fit(fit, data, objective, epochs=1, **options)
    more = int(60 * minutes / (process_time() - began)) - 1
    if more < 1:
        return fit
    return ppgm.fit(fit, data, objective, epochs=more, **options)
