"""Parts of other distributions, from their entry points.

Each is one `name = "package.module:Class"` in the group `ppgm.<kind>`. Only metadata are read.
The environment variable `PPGM_PLUGINS` limits whose entry points count; see `ppgm.registry`.
"""

__all__ = ["Plugin", "plugins_of", "warn"]

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import NamedTuple

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*", re.ASCII)
_TARGET = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")


class Plugin(NamedTuple):
    """A part of another distribution.

    Attributes:
        kind: Its kind.
        name: Its name.
        target: Where it is, as `module:attribute`.
        distribution: The distribution.
    """

    kind: str
    name: str
    target: str
    distribution: metadata.Distribution

    @property
    def origin(self) -> str:
        """Name of the distribution, as it writes it."""
        return self.distribution.metadata["Name"]

    @property
    def qualified(self) -> str:
        """Name that no other distribution can take."""
        return f"{_normal(self.origin)}:{self.name}"


def plugins_of(kinds: Sequence[str]) -> Iterator[Plugin]:
    """Reads the entry points of every allowed distribution; a broken one is named and left out.

    Args:
        kinds: The kinds of parts that there are.
    """
    seen: set[str] = set()
    for distribution in metadata.distributions():
        try:
            origin, points = _points(distribution)
        except Exception as error:  # each way to be malformed raises another
            warn(f"distribution {_label(distribution)} has unreadable metadata: {error!r}")
            continue
        if points and origin not in seen and _allowed(origin):
            # A distribution that comes later on the path is hidden by the first of its name.
            seen.add(origin)
            yield from _read(distribution, points, kinds)


def _points(distribution: metadata.Distribution) -> tuple[str, list[metadata.EntryPoint]]:
    # The plain text decides first: most distributions have nothing for us, and parsing the
    # metadata of all of them would cost more than the rest of the listing.
    if "ppgm." not in (distribution.read_text("entry_points.txt") or ""):
        return "", []
    points = [point for point in distribution.entry_points if point.group.startswith("ppgm.")]
    if "Name" not in distribution.metadata:  # indexing would warn, from Python 3.12 on
        raise ValueError("it has no Name")
    return _normal(distribution.metadata["Name"]), points


def _label(distribution: metadata.Distribution) -> str:
    try:
        if "Name" in distribution.metadata:
            return repr(distribution.metadata["Name"])
        return f"in {str(distribution.locate_file(''))!r}"
    except Exception:  # even that is broken: say at least where it lies
        return f"in {str(distribution.locate_file(''))!r}"


def _read(
    distribution: metadata.Distribution, points: list[metadata.EntryPoint], kinds: Sequence[str]
) -> Iterator[Plugin]:
    origin = distribution.metadata["Name"]
    for point in points:
        kind = point.group.removeprefix("ppgm.")
        if kind in kinds and _NAME.fullmatch(point.name) and _TARGET.fullmatch(point.value):
            yield Plugin(kind, point.name, point.value, distribution)
        else:
            warn(
                f"distribution {origin!r} has an entry point that ppgm does not understand: "
                f"{point.name!r} = {point.value!r} in {point.group!r}; expected "
                f"lower-case-name = 'module:Class' in one of {', '.join(kinds)}."
            )


def _allowed(name: str) -> bool:
    policy = os.environ.get("PPGM_PLUGINS", "").strip()
    if policy.lower() == "none":
        return False
    return not policy or name in [_normal(part.strip()) for part in policy.split(",")]


def _normal(name: str) -> str:
    """Normalises a distribution's name as PEP 503 does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def warn(message: str) -> None:
    """Warns of a distribution that is not as it should be."""
    warnings.warn(message, UserWarning, stacklevel=3)
