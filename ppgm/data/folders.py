"""The folder that data files are read from: an argument, or an environment variable."""

__all__ = ["VARIABLE", "folder_of", "place_of"]

import os
from pathlib import Path

VARIABLE = "PPGM_DATA"


def folder_of(folder: Path | str | None) -> Path | None:
    """Returns the argument, else what the variable names, else None."""
    chosen = folder if folder is not None else os.environ.get(VARIABLE)
    return Path(chosen) if chosen else None


def place_of(folder: Path | None) -> str:
    """Returns words for an error about it."""
    return f"the folder {folder}" if folder else f"a folder named by folder= or by {VARIABLE}"
