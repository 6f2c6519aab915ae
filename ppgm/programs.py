"""Programs: a model and a guide of one host.

`Program` holds anyone's plain Pyro or NumPyro callables. `program` binds a *declaration*, an
object with ``model(ppl, ...)`` and ``guide(ppl, ...)``, to a host.
"""

__all__ = ["Program", "program", "seeded"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import Parameter, signature
from typing import Any

from ppgm import host as hosts
from ppgm.errors import ArgumentError, DataError, ModelError, PpgmError, did_you_mean
from ppgm.failures import check_host
from ppgm.rows import row_count
from ppgm.sites import SiteTable, check_match, is_exact, tabulate


@dataclass(frozen=True)
class Program:
    """A model and its guide: plain callables of a host, never wrapped.

    Both are called with the data as keywords, ``model(**data)``, and work unchanged in the
    host's own ``SVI``, ``Predictive`` and ``NUTS``.

    Args:
        model: The generative program.
        guide: The recognition program, or None (for MCMC, adversarial and energy objectives).
        host: "pyro" or "numpyro".
        declaration: The portable declaration that both came from, if any.
        seed: Seed of the initial weights of a declaration's networks.
    """

    model: Callable[..., Any]
    guide: Callable[..., Any] | None = None
    host: str = ""
    declaration: Any = None
    seed: int = 0

    def __post_init__(self) -> None:
        hosts.load(self.host)
        for side in ("model", "guide"):
            value = getattr(self, side)
            if not callable(value) and not (side == "guide" and value is None):
                raise ArgumentError(
                    f"{side} must be a callable of {self.host}, not {type(value).__name__}"
                )

    def sites(self, data: Mapping[str, Any]) -> SiteTable:
        """Returns the site table, read from one trace of model and guide with `data`.

        Raises:
            DataError: If model or guide has no argument of a name in the data, or needs one that
                the data lack.
            ModelError: If model or guide cannot run with the data, whose host's error is then
                its cause, or seem to be written in the other host.
        """
        host = hosts.load(self.host)
        try:
            model = host.trace(self, "model", data, finite=False)
            guide = None
            if self.guide is not None:
                guide = host.trace(self, "guide", data, finite=False)
        except PpgmError:
            raise
        except Exception as error:
            self._check_names(data)
            self._check_given(data)
            check_host(self, data)
            self._check_apart(host, data)
            shapes = {k: getattr(v, "shape", v) for k, v in data.items()}
            raise ModelError(
                f"model or guide failed on data of shapes {shapes}, "
                f"{type(error).__name__}: {error}"
            ) from error
        if not model or (guide is not None and not guide):
            check_host(self, data)
        table = tabulate(model, guide, data, row_count(data))
        noise = getattr(self.declaration, "estimate_noise", None) or None
        return table._replace(exact=is_exact(table, _needed(self.model)), estimate_noise=noise)

    def _check_names(self, data: Mapping[str, Any]) -> None:
        """Blames a name in the data that is no argument, if there is one, for a failure."""
        for side in ("model", "guide"):
            call = getattr(self, side)
            known = None if call is None else _arguments(call)
            unknown = [] if known is None else [str(n) for n in data if n not in known]
            if known is not None and unknown:
                raise DataError(
                    f"data['{unknown[0]}'] is no argument of the {side}, which has "
                    f"{', '.join(known) or 'none'}{did_you_mean(unknown[0], known)}"
                )

    def _check_given(self, data: Mapping[str, Any]) -> None:
        """Blames an argument that the data lack, if there is one, for a failure."""
        for side in ("model", "guide"):
            call = getattr(self, side)
            needed = [] if call is None else _needed(call)
            lacking = [n for n in needed if data.get(n) is None]
            if call is None or not lacking:
                continue
            owner = "" if self.declaration is None else f" of {type(self.declaration).__name__}"
            rest = ", ".join(n for n in _arguments(call) or () if n not in needed)
            came = ", ".join(f"'{n}'" for n, v in data.items() if v is not None) or "nothing"
            raise DataError(
                f"the {side}{owner} needs data['{lacking[0]}'], and the data have {came}: it "
                f"takes {', '.join(needed)}{f' and optionally {rest}' if rest else ''}"
            )

    def _check_apart(self, host: Any, data: Mapping[str, Any]) -> None:
        """Blames a mismatch of model and guide, if there is one, for a model that fails."""
        if self.guide is None:
            return
        alone = replace(self, guide=None)
        try:
            model = host.trace(alone, "model", data, finite=False)
            guide = host.trace(replace(alone, model=self.guide), "model", data, finite=False)
        except Exception:  # then it is not for the other side that it fails
            return
        check_match(tabulate(model, guide, data, row_count(data)))


def _arguments(call: Callable[..., Any]) -> list[str] | None:
    """Returns the keyword arguments of a callable; None if it takes any, or does not say."""
    try:
        found = signature(call).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in found):
        return None
    return [p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _needed(call: Callable[..., Any]) -> list[str]:
    """Returns the arguments of a callable that have no default, as far as it says."""
    try:
        found = signature(call).parameters.values()
    except (TypeError, ValueError):
        return []
    anything = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return [p.name for p in found if p.default is p.empty and p.kind not in anything]


def program(declaration: Any, *, host: str, seed: int = 0) -> Program:
    """Binds a declaration to a host.

    Args:
        declaration: An object with ``model(ppl, ...)`` and, optionally, ``guide(ppl, ...)``;
            `ppgm.models` has those of the literature.
        host: "pyro" or "numpyro".
        seed: Seed of the networks' initial weights (the same on both hosts).

    Raises:
        ArgumentError: If `declaration` has no ``model`` method or `host` is unknown.
        MissingDependencyError: If the host is not installed.
    """
    if not callable(getattr(declaration, "model", None)):
        raise ArgumentError(
            f"a declaration needs a method `model(self, ppl, ...)`; {type(declaration).__name__} "
            "has none (for a model and guide of a host use `ppgm.Program(model, guide, host=...)`)"
        )
    model, guide = hosts.load(host).bind(declaration, seed)
    return Program(model, guide, host, declaration, seed)


def seeded(source: Program, seed: int) -> Program:
    """Returns the program with the networks of its declaration initialised by `seed`."""
    if source.declaration is None or source.seed == seed:
        return replace(source, seed=seed)
    return program(source.declaration, host=source.host, seed=seed)
