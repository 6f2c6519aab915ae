"""What depends on what in a Pyro model.

Pyro's own inspection follows values through torch functions. It sees neither the parameters of
modules nor observed parents, and it loses a value that is copied (``torch.as_tensor(h,
dtype=...)``) or leaves torch for a while, and it does not look at masks and scales. So these
are followed too, and every site is asked by its numbers: with the values of all others held, what
it depends on gives it a gradient, or changes it when it changes.
"""

__all__ = ["relations", "relations_in_use"]

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pyro
import torch
from pyro.distributions.util import scale_and_mask
from pyro.infer.inspect import TrackProvenance, get_model_relations
from pyro.ops.provenance import get_provenance
from pyro.poutine.messenger import Messenger
from torch import Tensor

from ppgm.host_pyro_ops import OPS, to_tensor
from ppgm.host_pyro_session import PyroRunner, seeded_rng, session
from ppgm.host_pyro_trace import base_of, kind_of
from ppgm.programs import Program

Edge = tuple[str, str]
Numbers = dict[str, Tensor]


def relations(source: Program, data: Mapping[str, Any]) -> list[Edge]:
    """Returns the edges (parent, child) between sites of the model, parameters among them."""
    tensors = {k: to_tensor(v) for k, v in data.items()}
    with pyro.get_param_store().scope(), torch.random.fork_rng(devices=[]):
        edges = _followed(source.model, (), tensors)
    with session(source, data, None, 0) as work, seeded_rng(0):
        runner = PyroRunner(work, tensors)
        edges |= _asked(runner, observed=source.declaration is not None)
    return sorted(edges)


def relations_in_use(
    program: Program, args: tuple[Any, ...], data: Mapping[str, Any]
) -> dict[str, list[Edge]]:
    """Returns the edges between the sites of each side of a program that Pyro's own SVI runs.

    The parameters stay where they are, in Pyro's store. The handlers around, SVI's own among
    them, see nothing of it: values that are followed are no parameters to an optimiser.
    """
    edges = {}
    with pyro.poutine.block(), torch.random.fork_rng(devices=[]), torch.enable_grad():
        for side in ("model", "guide"):
            alone = replace(program, model=getattr(program, side), guide=None)
            runner = PyroRunner(None, dict(data), alone, args)
            found = _followed(alone.model, args, dict(data)) | _asked(runner, observed=False)
            edges[side] = sorted(found)
    return edges


def _followed(call: Callable[..., Any], args: tuple[Any, ...], data: dict[str, Any]) -> set[Edge]:
    """Returns the edges between sites that Pyro's own inspection follows."""
    found = get_model_relations(call, args, data, include_deterministic=True)
    edges = {(p, c) for c, ps in found["sample_sample"].items() for p in ps if p != c}
    with torch.no_grad(), pyro.validation_enabled(is_validate=False), _Tempered() as tempered:
        with TrackProvenance(include_deterministic=True):
            call(*args, **data)
    sites = found["sample_sample"].keys()
    return edges | {(p, c) for p, c in tempered.edges if p in sites and c in sites}


class _Tempered(Messenger):
    """Keeps what the mask and the scale of each site were computed from."""

    def __init__(self) -> None:
        super().__init__()
        self.edges: set[Edge] = set()

    def _pyro_post_sample(self, msg: Any) -> None:
        parents = get_provenance(msg["mask"]) | get_provenance(msg["scale"])
        self.edges |= {(p, msg["name"]) for p in parents}


def _asked(runner: PyroRunner, *, observed: bool) -> set[Edge]:
    """Returns the edges that the numbers of the sites tell of; for `observed` see below."""
    with torch.no_grad():
        run = runner._run("model", {}, 1)
    # a plate that drew other rows would change everything in it
    given = {n: m["value"].detach() for n, m in run.sites.items()} | run.subsamples
    edges = {*_gradient_edges(runner, run.sites, given, observed=observed)}
    edges |= {*_changes(runner, run.sites, given)}
    return edges


class _Held(Messenger):
    """Gives deterministic sites the values that are given, and keeps what they computed."""

    def __init__(self, given: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.given = given
        self.computed: Numbers = {}

    def _pyro_post_sample(self, msg: Any) -> None:
        if kind_of(msg) == "deterministic":
            self.computed[msg["name"]] = msg["value"]
            msg["value"] = self.given[msg["name"]]


def _numbers(runner: PyroRunner, given: Mapping[str, Tensor]) -> Numbers:
    """Returns the log density of every site at given values; what deterministic sites compute."""
    with _Held(given) as held:
        run = runner._run("model", given, 1).sites
    return held.computed | {
        n: scale_and_mask(m["fn"].log_prob(m["value"]), m["scale"], m["mask"])
        for n, m in run.items()
        if kind_of(m) != "deterministic"
    }


def _gradient_edges(
    runner: PyroRunner, sites: Mapping[str, Any], values: Mapping[str, Tensor], *, observed: bool
) -> Iterator[Edge]:
    """Yields the edges from parameters and continuous values, by the gradient of each site.

    Observed values become floating ones where the program takes them so (`observed`).
    """
    given, parents = dict(values), _parameters(runner)
    for name, msg in sites.items():
        cast = observed and kind_of(msg) == "observed"
        if cast or (given[name].is_floating_point() and not _is_discrete(msg)):
            given[name] = OPS.float(given[name]).clone().requires_grad_()
            parents[name] = [given[name]]
    for name, value in _numbers(runner, given).items():
        yield from ((p, name) for p in _dependences(value, parents) if p != name)


def _changes(
    runner: PyroRunner, sites: Mapping[str, Any], given: Mapping[str, Tensor]
) -> Iterator[Edge]:
    """Yields the edges from parameters and values, by what changes when they do."""
    with torch.no_grad(), pyro.validation_enabled(is_validate=False):
        before = _numbers(runner, given)

        def changed(parent: str, after: Numbers) -> Iterator[Edge]:
            for child, value in after.items():
                if child != parent and not torch.equal(value, before[child]):
                    yield parent, child

        for name, msg in sites.items():
            if kind_of(msg) in ("latent", "deterministic"):
                yield from changed(name, _numbers(runner, {**given, name: _other(msg)}))
        for name, leaves in _parameters(runner).items():
            yield from changed(name, _moved(leaves, lambda: _numbers(runner, given)))


def _parameters(runner: PyroRunner) -> dict[str, list[Tensor]]:
    """Returns the model's unconstrained parameters, those of a network together.

    Those in Pyro's own store are left alone.
    """
    if runner.work is None:
        return {}
    found: dict[str, list[Tensor]] = {}
    for name in runner.work.groups["model"]:
        found.setdefault(name.split("$$$")[0], []).append(runner.work.leaves.tensors[name])
    return found


def _moved(leaves: list[Tensor], call: Callable[[], Numbers]) -> Numbers:
    """Calls with other values of the parameters, and gives them theirs back."""
    kept = [leaf.clone() for leaf in leaves]
    try:
        for leaf in leaves:
            leaf.add_(torch.randn_like(leaf))
        return call()
    finally:
        for leaf, value in zip(leaves, kept, strict=True):
            leaf.copy_(value)


def _is_discrete(msg: Any) -> bool:
    return bool(getattr(getattr(msg["fn"], "support", None), "is_discrete", False))


def _other(msg: Any) -> Tensor:
    """Returns other values of a site: the other bit, the next class or count, numbers nearby."""
    base, value = base_of(msg["fn"]), msg["value"]
    if isinstance(base, torch.distributions.OneHotCategorical):
        return value.roll(1, -1)
    if isinstance(base, torch.distributions.Categorical):
        return (value + 1) % base.logits.shape[-1]
    if value.is_floating_point() and not _is_discrete(msg):
        return 0.99 * value  # stays within an interval that starts at zero
    if value.dtype == torch.bool:
        return ~value
    return 1 - value if ((value == 0) | (value == 1)).all() else value + 1


def _dependences(value: Tensor, parents: Mapping[str, list[Tensor]]) -> Iterator[str]:
    """Yields the parents that a value depends on."""
    if not parents or not value.requires_grad:
        return
    names = [name for name, parts in parents.items() for _ in parts]
    inputs = [part for parts in parents.values() for part in parts]
    grads = torch.autograd.grad(value.sum(), inputs, allow_unused=True, retain_graph=True)
    yield from {n: None for n, grad in zip(names, grads, strict=True) if grad is not None}
