"""Two evidences on the same rows."""

__all__ = ["paired", "unreliable"]

import numpy as np

from ppgm.diagnostics import good_k
from ppgm.evaluation import Evidence


def paired(first: Evidence, second: Evidence) -> tuple[float, float]:
    """Returns the mean over rows of the difference of log p(x), and its standard error.

    The rows are the same, so that what is hard about a row cancels: the error is that of the
    differences, much smaller than those of the two means.
    """
    difference = first.log_likelihood - second.log_likelihood
    if len(difference) < 2:
        return float(difference.mean()), float("nan")
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference)))


def unreliable(evidence: Evidence) -> int:
    """Returns the number of rows whose k-hat says not to trust the estimate."""
    if evidence.particles == 0:  # exact: nothing was drawn
        return 0
    return int((evidence.k_hat > good_k(evidence.particles)).sum())
