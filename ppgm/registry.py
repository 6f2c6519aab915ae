"""Names of models, guides, objectives and their parts, and how a name becomes a class.

Built-in parts stand in one table below; parts of other distributions come from their entry points
(group `ppgm.<kind>`, one `name = "package.module:Class"` each). Listing reads metadata and source
text only, so it never runs a plug-in; `get` imports the one part that was asked for.

The environment variable `PPGM_PLUGINS` limits whose entry points count: `none`, or the names of
the trusted distributions separated by commas. Unset or empty, all installed ones count.
"""

import ast
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, NamedTuple

from ppgm.errors import ArgumentError, PluginError, did_you_mean

__all__ = ["KINDS", "Entry", "catalogue", "get", "name_of"]

_BUILT_IN = {
    "models": {
        "vae": "ppgm.models.vae:VAE",
        "factor-analysis": "ppgm.models.factor_analysis:FactorAnalysis",
        "sbn": "ppgm.models.sbn:SBN",
        "generator": "ppgm.models.generator:Generator",
        "rbm": "ppgm.models.rbm:RBM",
    },
    "guides": {
        "gaussian": "ppgm.guides.gaussian:Gaussian",
    },
    "objectives": {
        "elbo": "ppgm.inference.elbo:ELBO",
        "stl": "ppgm.inference.stl:STL",
        "iwae": "ppgm.inference.iwae:IWAE",
        "renyi": "ppgm.inference.renyi:Renyi",
        "vimco": "ppgm.inference.vimco:VIMCO",
        "gan": "ppgm.inference.gan:GAN",
        "cd": "ppgm.inference.contrastive:ContrastiveDivergence",
        "sum": "ppgm.inference.objective:Sum",
    },
    "methods": {
        "svi": "ppgm.inference.methods:SVI",
        "nuts": "ppgm.inference.methods:NUTS",
        "hmc": "ppgm.inference.methods:HMC",
        "guide": "ppgm.inference.methods:Guide",
        "importance": "ppgm.inference.methods:Importance",
    },
    "likelihoods": {
        "bernoulli": "ppgm.models.likelihoods:Bernoulli",
        "continuous-bernoulli": "ppgm.models.likelihoods:ContinuousBernoulli",
        "gaussian": "ppgm.models.likelihoods:Gaussian",
        "categorical": "ppgm.models.likelihoods:Categorical",
    },
    "networks": {
        "mlp": "ppgm.nets:MLP",
        "conv": "ppgm.nets:Conv",
        "deconv": "ppgm.nets:Deconv",
    },
    "schedules": {
        "anneal": "ppgm.inference.elbo:Anneal",
    },
    "optimisers": {
        "adam": "ppgm.optimisers:Adam",
        "adamw": "ppgm.optimisers:AdamW",
        "sgd": "ppgm.optimisers:SGD",
        "rmsprop": "ppgm.optimisers:RMSprop",
    },
}

KINDS = tuple(_BUILT_IN)

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*", re.ASCII)
_TARGET = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")


class Entry(NamedTuple):
    """One part that can be asked for by name.

    Attributes:
        kind: Its kind, one of `KINDS`.
        name: Its name; `distribution:name` where the plain name belongs to another part.
        origin: The distribution that ships it.
        summary: The first line of its docstring, or else its distribution's summary.
        target: Where it is, as `module:attribute`.
    """

    kind: str
    name: str
    origin: str
    summary: str
    target: str


class _Plugin(NamedTuple):
    kind: str
    name: str
    target: str
    distribution: metadata.Distribution

    @property
    def origin(self) -> str:
        return self.distribution.metadata["Name"]

    @property
    def qualified(self) -> str:
        return f"{_normal(self.origin)}:{self.name}"


def catalogue(kind: str | None = None) -> list[Entry]:
    """Lists what `get` can find, built-in parts first, without importing any of it."""
    kinds = KINDS if kind is None else (_known_kind(kind),)
    plugins = list(_plugins())

    return [entry for kind in kinds for entry in (*_built_in(kind), *_third_party(kind, plugins))]


def get(kind: str, name: str) -> Any:
    """Imports and returns the part of that kind and name.

    Args:
        kind: One of `KINDS`.
        name: A name from `catalogue(kind)`, or `distribution:name`.

    Raises:
        ArgumentError: There is no such kind or name, or two distributions use the name.
        PluginError: The part belongs to a distribution that is not available or does not load.
    """
    table = _BUILT_IN[_known_kind(kind)]

    return _resolve(table[name]) if name in table else _load(_find(kind, name))


def name_of(cls: type) -> tuple[str, str]:
    """Finds the kind and the name under which `get` returns a class.

    The name of a third party's class is `distribution:name`, which stays right when another
    distribution, or a later ppgm, takes the plain name.

    Raises:
        ArgumentError: The class is neither built in nor an entry point.
    """
    for kind, table in _BUILT_IN.items():
        for name, target in table.items():
            if _is_target(cls, target):
                return kind, name

    for plugin in _plugins():
        if _is_target(cls, plugin.target):
            return plugin.kind, plugin.qualified

    raise ArgumentError(
        f"class {cls.__module__}.{cls.__qualname__} has no name in ppgm: publish it as an entry "
        f"point of one of the groups {', '.join(f'ppgm.{kind}' for kind in KINDS)}, and check "
        f"that PPGM_PLUGINS allows its distribution."
    )


def _known_kind(kind: str) -> str:
    if kind not in KINDS:
        raise ArgumentError(
            f"kind {kind!r} is unknown; there are {', '.join(KINDS)}{did_you_mean(kind, KINDS)}"
        )
    return kind


def _built_in(kind: str) -> list[Entry]:
    root = Path(__file__).parents[1]
    return [
        Entry(kind, name, "ppgm", _docstring(root, target), target)
        for name, target in _BUILT_IN[kind].items()
    ]


def _third_party(kind: str, plugins: list[_Plugin]) -> list[Entry]:
    mine = [plugin for plugin in plugins if plugin.kind == kind]
    taken = Counter([*_BUILT_IN[kind], *(plugin.name for plugin in mine)])
    return [_describe(plugin, clash=taken[plugin.name] > 1) for plugin in mine]


def _describe(plugin: _Plugin, *, clash: bool) -> Entry:
    if clash:
        _warn(
            f"{plugin.kind}: the name {plugin.name!r} of distribution {plugin.origin!r} is also "
            f"used elsewhere; ask for it as {plugin.qualified!r}."
        )
    name = plugin.qualified if clash else plugin.name
    root = Path(str(plugin.distribution.locate_file("")))
    summary = _docstring(root, plugin.target) or plugin.distribution.metadata["Summary"] or ""
    return Entry(plugin.kind, name, plugin.origin, _printable(summary), plugin.target)


def _find(kind: str, name: str) -> _Plugin:
    plugins = [plugin for plugin in _plugins() if plugin.kind == kind]
    found = [plugin for plugin in plugins if name in (plugin.name, plugin.qualified)]
    if len(found) == 1:
        return found[0]
    if found:
        choices = " or ".join(repr(plugin.qualified) for plugin in found)
        raise ArgumentError(f"{kind}: the name {name!r} is ambiguous: ask for {choices}.")
    if ":" in name:
        raise PluginError(
            f"{kind}: {name!r} belongs to distribution {name.partition(':')[0]!r}, which is not "
            f"installed, not allowed by PPGM_PLUGINS or has no such entry point; install it if "
            f"you trust it."
        )
    known = [*_BUILT_IN[kind], *(plugin.name for plugin in plugins)]
    raise ArgumentError(
        f"{kind}: the name {name!r} is unknown; there are {', '.join(known)}"
        f"{did_you_mean(name, known)}"
    )


def _load(plugin: _Plugin) -> Any:
    try:
        value = _resolve(plugin.target)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{plugin.kind} {plugin.name!r} of distribution {plugin.origin!r} "
            f"({plugin.target}) does not load: {type(error).__name__}: {error}"
        ) from error

    if not callable(value):
        raise PluginError(
            f"{plugin.kind} {plugin.name!r} of distribution {plugin.origin!r} is "
            f"a {type(value).__name__}: expected a class."
        )
    return value


def _resolve(target: str) -> Any:
    module, _, path = target.partition(":")
    value = import_module(module)
    for attribute in path.split("."):
        value = getattr(value, attribute)
    return value


def _is_target(cls: type, target: str) -> bool:
    module, _, path = target.partition(":")
    if path != cls.__qualname__:
        return False
    if module == cls.__module__:
        return True
    # A package may re-export a class: compare the object itself, where its module is imported.
    return getattr(sys.modules.get(module), path, None) is cls


def _plugins() -> Iterator[_Plugin]:
    """Reads the entry points of every allowed distribution; a broken one is named and left out."""
    seen: set[str] = set()
    for distribution in metadata.distributions():
        try:
            origin, points = _points(distribution)
        except Exception as error:  # each way to be malformed raises another
            _warn(f"distribution {_label(distribution)} has unreadable metadata: {error!r}")
            continue
        if points and origin not in seen and _allowed(origin):
            # A distribution that comes later on the path is hidden by the first of its name.
            seen.add(origin)
            yield from _read(distribution, points)


def _points(distribution: metadata.Distribution) -> tuple[str, list[metadata.EntryPoint]]:
    # The plain text decides first: most distributions have nothing for us, and parsing the
    # metadata of all of them would cost more than the rest of the listing.
    if "ppgm." not in (distribution.read_text("entry_points.txt") or ""):
        return "", []
    points = [point for point in distribution.entry_points if point.group.startswith("ppgm.")]
    return _normal(distribution.metadata["Name"]), points


def _label(distribution: metadata.Distribution) -> str:
    try:
        return repr(distribution.metadata["Name"])
    except Exception:  # even that is broken: say at least where it lies
        return f"in {str(distribution.locate_file(''))!r}"


def _read(
    distribution: metadata.Distribution, points: list[metadata.EntryPoint]
) -> Iterator[_Plugin]:
    origin = distribution.metadata["Name"]
    for point in points:
        kind = point.group.removeprefix("ppgm.")
        if kind in KINDS and _NAME.fullmatch(point.name) and _TARGET.fullmatch(point.value):
            yield _Plugin(kind, point.name, point.value, distribution)
        else:
            _warn(
                f"distribution {origin!r} has an entry point that ppgm does not understand: "
                f"{point.name!r} = {point.value!r} in {point.group!r}; expected "
                f"lower-case-name = 'module:Class' in one of {', '.join(KINDS)}."
            )


def _allowed(name: str) -> bool:
    policy = os.environ.get("PPGM_PLUGINS", "").strip()
    if policy.lower() == "none":
        return False
    return not policy or name in [_normal(part.strip()) for part in policy.split(",")]


def _normal(name: str) -> str:
    """Normalises a distribution's name as PEP 503 does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=3)


def _docstring(root: Path, target: str) -> str:
    """Reads the first line of a class's or function's docstring from its source text."""
    module, _, name = target.partition(":")
    stem = root.joinpath(*module.split("."))
    source = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return ""  # not in plain files here, or broken: then `get` says how

    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def _printable(text: str) -> str:
    return "".join(c for c in text.partition("\n")[0] if c.isprintable())
