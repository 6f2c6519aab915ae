"""Why a program failed: errors of a host, told as errors that name the host or the site."""

__all__ = ["check_host", "explained"]

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ppgm import host as hosts
from ppgm.errors import ModelError, PpgmError

if TYPE_CHECKING:
    from ppgm.programs import Program


def check_host(program: "Program", data: Mapping[str, Any]) -> None:
    """Checks that model and guide, of which one has failed or has no sites, are of their host.

    A side is run on the other host if that is imported already, as it is where somebody has
    written a program in it.

    Raises:
        ModelError: Names the side that has statements on the other host only.
    """
    (other,) = (name for name in hosts.HOSTS if name != program.host)
    if program.declaration is not None or other not in sys.modules:
        return
    for side in ("model", "guide"):
        call = getattr(program, side)
        alone = replace(program, model=call, guide=None) if call is not None else None
        if alone is None or _has_sites(alone, data):
            continue
        if _has_sites(replace(alone, host=other), data):
            raise ModelError(
                f"the {side} has no sites on {program.host} and has some on {other}: it seems to "
                f"be written in {other}; give Program(model, guide, host='{other}'), both of "
                "one host"
            )


def _has_sites(alone: "Program", data: Mapping[str, Any]) -> bool:
    try:
        return bool(hosts.load(alone.host).trace(alone, "model", data, finite=False))
    except Exception:  # whatever it is: it does not run there
        return False


@contextmanager
def explained(
    program: "Program", data: Mapping[str, Any], params: Mapping[str, Any] | None = None
) -> Iterator[None]:
    """Names the first site that is not finite, if there is one, where a host fails in the block.

    Args:
        program: The program that is run.
        data: Its data.
        params: Its parameters; the initial ones by default.

    Raises:
        ModelError: Names the side and the site; the host's error is its cause.
    """
    try:
        yield
    except PpgmError:
        raise
    except Exception as error:
        program.sites(data)  # tells of a program that does not run at all
        found = _first_bad_site(program, data, params)
        if found is None:
            raise
        raise ModelError(
            f"{found} is NaN or infinite, or a parameter of its distribution is "
            f"({type(error).__name__} of {program.host}): look for a logarithm, division or root "
            "of zero before it, and at the data's scale"
        ) from error


def _first_bad_site(
    program: "Program", data: Mapping[str, Any], params: Mapping[str, Any] | None
) -> str | None:
    host = hosts.load(program.host)
    for side in ("guide", "model"):
        if getattr(program, side) is None:
            continue
        for name, record in host.trace(program, side, data, params).items():
            if not record.finite:
                return f"site '{name}' of the {side}"
    return None
