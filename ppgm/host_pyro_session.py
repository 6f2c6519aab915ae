"""A Pyro program at work: its parameters in hand, and the runner behind a view."""

__all__ = ["PyroRunner", "Session", "seeded_rng", "session"]

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor

from ppgm.errors import EstimatorError
from ppgm.host_pyro_loops import broadcasts, pair_in_turn
from ppgm.host_pyro_ops import OPS, to_tensor
from ppgm.host_pyro_ppl import TorchRng, WholePlate, support_values
from ppgm.host_pyro_trace import (
    EXACT,
    PARTICLES,
    Draws,
    Leaves,
    Tracer,
    kind_of,
    plates_of,
    to_term,
)
from ppgm.programs import Program, program, seeded
from ppgm.terms import PLAIN, Ask, Term

ENUMERATION_LIMIT = 4096


@dataclass
class Session:
    """A program, its parameters, and the networks of its objective.

    Attributes:
        program: The program; for a declaration, a binding of its own.
        leaves: Parameters of model and guide.
        groups: Names of the leaves of each side, and of each network.
        networks: Names of networks that are wholly among the leaves.
        nets: Networks that the objective owns.
        dims: Number of plate axes.
        known: What is known of `PyroRunner.broadcasts`.
    """

    program: Program
    leaves: Leaves
    groups: dict[str, tuple[str, ...]]
    networks: set[str]
    nets: dict[str, torch.nn.Module] = field(default_factory=dict)
    dims: int = 0
    known: dict[Any, bool] = field(default_factory=dict)


@contextmanager
def session(
    source: Program, data: Mapping[str, Any], params: Mapping[str, np.ndarray] | None, seed: int
) -> Iterator[Session]:
    """Opens a program with parameters; the user's own modules get their values back after."""
    work = open_session(source, data, params, seed)
    try:
        yield work
    finally:
        work.leaves.restore()


def open_session(
    source: Program,
    data: Mapping[str, Any],
    params: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
) -> Session:
    """Runs guide and model once to find the parameters, then sets those that are given."""
    own = source
    if source.declaration is not None:
        own = program(source.declaration, host="pyro", seed=seeded(source, seed).seed)
    leaves, groups, dims = Leaves(), {}, 0
    tensors = {k: to_tensor(v) for k, v in data.items()}
    values: dict[str, Any] = {}
    wrote = False
    with seeded_rng(seed), torch.no_grad():
        for side in ("guide", "model"):
            tracer = Tracer(leaves, values, networks=set())
            if getattr(own, side) is not None:
                with tracer:
                    getattr(own, side)(**tensors)
            values = {n: m["value"] for n, m in tracer.sites.items()} | tracer.subsamples
            wrote = wrote or tracer.wrote
            groups[side] = tuple(tracer.params)
            plates = [p for m in tracer.sites.values() for p in plates_of(m)]
            dims = max([dims, *(-p.dim for p in plates)])
    leaves.isolate = wrote
    leaves.load(params or {})
    return Session(own, leaves, groups, _own_networks(own), dims=dims)


@contextmanager
def seeded_rng(seed: int) -> Iterator[None]:
    """Runs with torch's generator seeded, and leaves the caller's as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class PyroRunner:
    """Runs a session's program with one batch; see `ppgm.views.Runner`.

    Args:
        work: The session, or None to leave parameters to Pyro's own store.
        own: The program, where there is no session.
        data: The batch, as tensors.
        args: Positional arguments of model and guide (the host's own calling convention).
        dims: Number of plate axes, where there is no session.
        forced: Values of the guide's sites, ``(K, *batch, *event)``, in place of draws.
        noise: Standard normal noise of its Gaussian sites, likewise.
        known: What is known of programs' `broadcasts`; by default the session's.
        nets: Networks that the objective owns; by default the session's.
    """

    ops = OPS
    rng = TorchRng()

    def __init__(
        self,
        work: Session | None,
        data: dict[str, Any],
        own: Program | None = None,
        args: tuple[Any, ...] = (),
        dims: int = 0,
        forced: Mapping[str, Tensor] | None = None,
        noise: Mapping[str, Tensor] | None = None,
        known: dict[Any, bool] | None = None,
        nets: Mapping[str, torch.nn.Module] | None = None,
    ) -> None:
        self.known: dict[Any, bool] = (work.known if work else {}) if known is None else known
        self.forced, self.noise = forced or {}, noise or {}
        self.nets: Any = (work.nets if work else {}) if nets is None else nets
        self.work, self.data, self.args = work, data, args
        self.program: Any = own if work is None else work.program
        self.dims = dims if work is None else work.dims

    def pair(
        self, ask: Ask, given: Mapping[str, Tensor] | None = None
    ) -> tuple[list[Term], list[Term]]:
        """Returns the terms of guide and model, and those with parameters held constant."""
        values, copies = dict(given or {}), ask.particles
        if ask.enumerate:
            every, copies = self._all_values(copies, ask.enumerate)
            values |= every
        values = {**self.forced, **values}
        if copies > 1 and not self.broadcasts():
            return pair_in_turn(
                lambda mine, noise: self._pair(ask, mine, noise, 1), values, self.noise, copies
            )
        noise = self.noise
        if copies == 1:  # then there is no plate of particles
            values, noise = ({n: v[0] for n, v in d.items()} for d in (values, noise))
        return self._pair(ask, values, noise, copies)[0]

    def broadcasts(self) -> bool:
        """Tells whether particles can be a plate around the program, by its word or by a test."""
        if getattr(self.program.declaration, "broadcasts", False):
            return True
        key = (self.program.model, self.program.guide)
        if key not in self.known:
            self.known[key] = broadcasts(self._once, self.dims)
        return self.known[key]

    def _once(
        self,
        given: Mapping[str, Any],
        copies: int,
        noise: Mapping[str, Tensor] | None = None,
        ask: Ask = PLAIN,
    ) -> tuple[Tracer, Tracer]:
        """Runs the guide, then the model at its draws."""
        guide = Tracer()
        values = dict(given)
        if self.program.guide is not None:
            draws = Draws(ask.detached, ask.relaxed)
            guide = self._run("guide", given, copies, noise=noise, draws=draws)
            values |= _values_of(guide)
        return guide, self._run("model", values, copies)

    def _pair(
        self, ask: Ask, given: Mapping[str, Any], noise: Mapping[str, Tensor], copies: int
    ) -> tuple[tuple[list[Term], list[Term]], dict[str, Tensor]]:
        with pyro.validation_enabled(False) if ask.relaxed else nullcontext():
            guide, model = self._once(given, copies, noise, ask)
            drawn = [
                to_term(
                    m, "guide", self.dims, enumerated=n in ask.enumerate,
                    detached=ask.detached, logits=ask.logits,
                )
                for n, m in guide.sites.items()
                if kind_of(m) != "deterministic"
            ]  # fmt: skip
            constant = [
                term
                for side in ask.stopped
                if getattr(self.program, side) is not None
                for term in self._stopped(side, _values_of(guide), copies)
            ]
            terms = drawn + _terms_of(model, "model", self.dims), constant
        return terms, guide.subsamples | model.subsamples

    def single(
        self, side: str, values: Mapping[str, Tensor], *, observe: bool, particles: int = 1
    ) -> tuple[dict[str, Tensor], list[Term]]:
        """Runs one side with some values given: all its values, and its terms."""
        if particles > 1 and not self.broadcasts():
            raise EstimatorError(
                f"several draws of the {side} by itself need a program that broadcasts: write it "
                "as a declaration with `broadcasts = True`, or use RWS(defensive=0)"
            )
        data = {**self.data, **_in(values, self.data)}
        run = self._run(side, values, particles, observe=observe, data=data)
        terms = _terms_of(run, side, self.dims) if observe else []
        return {n: m["value"] for n, m in run.sites.items()}, terms

    def kernel(self, value: Tensor) -> Tensor:
        """Applies the declaration's Markov kernel to rows of values."""
        model = self.program.model
        with torch.no_grad(), Tracer(self._leaves, {}, networks=self._networks):
            return self.program.declaration.kernel(model.args[0], value)

    def within(self, fn: Callable[[Any, Any], Any]) -> Any:
        """Returns ``fn(declaration, ppl)``, called with the program's parameters in place."""
        if self.program.declaration is None:
            return fn(None, None)
        with Tracer(self._leaves, {}, networks=self._networks):
            return fn(self.program.declaration, self.program.model.args[0])

    def net(self, name: str) -> Callable[[Tensor], Tensor]:
        """Returns a network that the objective owns."""
        return self.nets[name]

    @property
    def _leaves(self) -> Leaves | None:
        return self.work and self.work.leaves

    @property
    def _networks(self) -> set[str] | None:
        return self.work and self.work.networks

    def _run(
        self,
        side: str,
        values: Mapping[str, Any],
        particles: int,
        *,
        observe: bool = True,
        data: Mapping[str, Any] | None = None,
        noise: Mapping[str, Tensor] | None = None,
        draws: Draws = EXACT,
    ) -> Tracer:
        tracer = Tracer(
            self._leaves, values, observe=observe, networks=self._networks, noise=noise,
            draws=draws,
        )  # fmt: skip
        call = getattr(self.program, side)
        with tracer:
            if particles == 1:
                call(*self.args, **(self.data if data is None else data))
            else:
                with WholePlate(PARTICLES, particles, dim=-1 - self.dims):
                    call(*self.args, **(self.data if data is None else data))
        return tracer

    def _stopped(self, side: str, values: Mapping[str, Any], particles: int) -> list[Term]:
        """Scores one side at the guide's draws again with its parameters held constant."""
        frozen = [p for p in self._parameters(side) if p.requires_grad]
        try:
            for leaf in frozen:
                leaf.requires_grad_(False)
            return _terms_of(self._run(side, values, particles), side, self.dims)
        finally:
            for leaf in frozen:
                leaf.requires_grad_(True)

    def _parameters(self, side: str) -> list[Tensor]:
        if self.work is not None:
            return [self.work.leaves.tensors[n] for n in self.work.groups[side]]
        return [p for _, p in pyro.get_param_store().named_parameters()]

    def _all_values(self, particles: int, names: tuple[str, ...]) -> tuple[dict[str, Tensor], int]:
        """Returns every joint value of the sites, each for `particles` copies."""
        with torch.no_grad():
            sites = self._run("guide", {}, 1).sites
        supports = [support_values(sites[n]["fn"], ENUMERATION_LIMIT) for n in names]
        counts = [len(s) for s in supports if s is not None]
        grid = torch.cartesian_prod(*[torch.arange(c) for c in counts]).reshape(-1, len(counts))
        index = grid.repeat_interleave(particles, 0)
        given = {}
        for column, (name, support) in enumerate_columns(names, supports):
            fn = sites[name]["fn"]
            spare = (1,) * (self.dims - len(fn.batch_shape))
            rows = support[index[:, column]].reshape(
                (-1,) + (1,) * self.dims + tuple(fn.event_shape)
            )
            given[name] = rows.expand((len(index), *spare, *fn.batch_shape, *fn.event_shape))
        return given, len(index)


def enumerate_columns(names: tuple[str, ...], supports: list[Any]) -> Iterator[tuple[int, Any]]:
    """Yields (column, (name, support))."""
    yield from enumerate(zip(names, supports, strict=True))


def _values_of(guide: Tracer) -> dict[str, Any]:
    return {n: m["value"] for n, m in guide.sites.items()} | guide.subsamples


def _terms_of(run: Tracer, side: str, dims: int) -> list[Term]:
    return [to_term(m, side, dims) for m in run.sites.values() if kind_of(m) != "deterministic"]


def _in(values: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k in data}


def _own_networks(own: Program) -> set[str]:
    """Returns the networks of a declaration's namespace, all of whose parameters are leaves."""
    if own.declaration is None:
        return set()
    sides = (own.model, own.guide) if own.guide else (own.model,)
    return {name for side in sides for name in side.args[0].networks}
