"""The errors that ppgm raises.

Every message is one sentence that names the site, file or argument, says what was expected
and what came, and what to do about it. All classes derive from `PpgmError`, and each also
from the built-in exception that a caller would expect.
"""

__all__ = [
    "ArgumentError",
    "DataError",
    "EstimatorError",
    "MissingDependencyError",
    "ModelError",
    "NonFiniteError",
    "PluginError",
    "PpgmError",
    "StorageError",
    "did_you_mean",
    "missing",
]

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class PpgmError(Exception):
    """Base of all errors that ppgm raises on purpose."""


class ArgumentError(PpgmError, ValueError):
    """An argument is out of its domain."""


class DataError(PpgmError, ValueError):
    """The data cannot be used as given."""


class ModelError(PpgmError, ValueError):
    """A program is not well formed: its sites, plates or shapes do not fit."""


class EstimatorError(PpgmError, ValueError):
    """An objective or method cannot be right for the sites of a program.

    Attributes:
        fact: What is wrong.
        use: Objectives and methods that may be right instead, as they are written; the message
            ends with them.
    """

    def __init__(self, fact: str, use: Iterable[str] = ()) -> None:
        self.fact, self.use = fact, tuple(use)
        super().__init__(f"{fact}; use {', '.join(self.use)}" if self.use else fact)


class StorageError(PpgmError, OSError):
    """A saved run cannot be written, or what was read is not what was written."""


class PluginError(PpgmError, ImportError):
    """A third-party plug-in cannot be loaded."""


class MissingDependencyError(PpgmError, ImportError):
    """An optional dependency is not installed."""


class NonFiniteError(PpgmError, ArithmeticError):
    """A loss or a parameter became NaN or infinite.

    Attributes:
        fact: What happened, without advice.
        fit: The `ppgm.Fit` up to the last step with a finite loss and finite parameters, or None.
    """

    def __init__(self, fact: str, fit: Any = None, advice: str = "") -> None:
        super().__init__(f"{fact}: {advice}" if advice else fact)
        self.fact = fact
        self.fit = fit


def missing(package: str, extra: str) -> MissingDependencyError:
    """Returns the error for an absent optional package, with the command that installs it."""
    return MissingDependencyError(
        f"'{package}' is needed here and is not installed: pip install 'ppgm[{extra}]'"
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x'?"`` for the nearest known name, or an empty string."""
    folded = {k.casefold(): k for k in known}
    close = get_close_matches(name.casefold(), list(folded), n=1)
    return f"; did you mean '{folded[close[0]]}'?" if close else ""
