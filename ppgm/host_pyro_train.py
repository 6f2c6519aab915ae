"""Training on Pyro: one vectorised pass per step, parameters in the session, no global store."""

__all__ = ["PyroTrainer"]

import threading
from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import pyro
import torch
from pyro.optim import PyroOptim
from torch import Tensor

from ppgm.batches import Steps
from ppgm.errors import ModelError
from ppgm.host_pyro_denormals import flushed_denormals
from ppgm.host_pyro_ops import to_numpy, to_tensor
from ppgm.host_pyro_session import PyroRunner, open_session, seeded_rng
from ppgm.host_pyro_trace import canonical
from ppgm.inference.objective import AbstractObjective
from ppgm.layouts import make_layout
from ppgm.nets_torch import build
from ppgm.optimisers import SGD, Adam, AdamW, RMSprop, refusal
from ppgm.programs import Program
from ppgm.rows import row_names
from ppgm.sites import SiteTable
from ppgm.terms import Layout
from ppgm.views import View


class _Snapshot(NamedTuple):
    """All that a step changes, copied."""

    tensors: list[Tensor]
    slots: dict[str, dict[int, dict[str, Any]]]
    state: dict[str, Tensor]
    rng: Tensor
    step: int


class PyroTrainer:
    """Steps the players of an objective; the state is in its session and optimisers.

    Args:
        source: The program.
        objective: What to train by.
        table: Sites of the program for a batch.
        data: The whole data, or the first batch of a stream.
        optimisers: Optimiser of each player.
        seed: Seed of weights and draws.
        total: Number of rows of the whole data (1 with global latents).
        params: Parameters to start from; those of the program where absent.
        sample: A batch to find the parameters with; by default the data.
    """

    def __init__(
        self,
        source: Program,
        objective: AbstractObjective,
        table: SiteTable,
        data: Mapping[str, Any],
        optimisers: Mapping[str, Any],
        seed: int,
        total: float,
        params: Mapping[str, np.ndarray] | None = None,
        sample: Mapping[str, Any] | None = None,
    ) -> None:
        self.objective, self.table, self.total = objective, table, total
        self.data = {k: to_tensor(v) for k, v in data.items()}
        self.sliced = row_names(self.data)
        with pyro.validation_enabled(is_validate=False):  # a bad start is told of by `fit`
            self.session = open_session(source, sample or data, params, seed)
        self._build_nets(seed, params or {})
        self.leaves = {p.name: self._leaves_of(p.groups) for p in objective.players}
        self.optimisers = {
            p.name: _optimiser(optimisers[p.name], self.leaves[p.name]) for p in objective.players
        }
        self.state: dict[str, Tensor] = {}
        self.step = 0
        self.interrupted: threading.Event | None = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.rng = torch.get_rng_state()

    def start(self, index: np.ndarray | None, scale: float, step: int = 0) -> None:
        """Lets the objective make its state from the first batch, after `step` steps."""
        self.step = step
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.set_rng_state(self.rng)
            rows = None if index is None else torch.from_numpy(index)
            layout = make_layout(self.table, self.session.dims, scale)
            self.state = self.objective.start(self._view(self._batch(rows), layout))
            self.rng = torch.get_rng_state()

    def run(
        self, index: np.ndarray | None, mask: np.ndarray | None, scale: float, steps: int
    ) -> Steps:
        """Runs steps over rows of the data, up to the last that leaves everything finite.

        Args:
            index: Rows of each step, ``(steps, B)``, or None for all rows in every step.
            mask: Which of them count, ``(steps, B)``, or None for all.
            scale: Number of data that a row stands for.
            steps: Number of steps.
        """
        rows: list[Any] = [None] * steps
        if index is not None:
            parts = index if mask is None else (i[m] for i, m in zip(index, mask, strict=True))
            rows = [torch.from_numpy(np.ascontiguousarray(part)) for part in parts]
        return self._guarded([partial(self._batch, r) for r in rows], scale)

    def run_batch(self, batch: Mapping[str, Any], scale: float) -> Steps:
        """Runs one step with a batch that is not among the data."""
        tensors = {k: to_tensor(v) for k, v in batch.items()}
        return self._guarded([lambda: tensors], scale)

    def _guarded(self, plan: list[Callable[[], dict[str, Any]]], scale: float) -> Steps:
        """Runs steps; if one goes wrong, ends at the last that left everything finite."""
        before = self._snapshot()
        log, bad = self._loop(plan, scale)
        if not bad and self._finite():
            return _steps(log)
        count = len(log)
        self._replay(before, plan[:count], scale)
        while count and not self._finite():  # a finite loss, and a step that was not
            count -= 1
            bad = log[count] | {"parameters": float("nan")}
            self._replay(before, plan[:count], scale)
        return _steps(log[:count])._replace(bad=bad)

    def _replay(self, before: Any, plan: list[Any], scale: float) -> None:
        self._return_to(before)
        self._loop(plan, scale, interruptible=False)

    def _loop(
        self, plan: list[Callable[[], dict[str, Any]]], scale: float, *, interruptible: bool = True
    ) -> tuple[list[dict[str, float]], dict[str, float]]:
        """Returns the log of every finished step, and that of one that was not finite."""
        log: list[dict[str, float]] = []
        layout = make_layout(self.table, self.session.dims, scale)
        with (
            flushed_denormals(),
            torch.random.fork_rng(devices=[]),
            pyro.validation_enabled(is_validate=False),
        ):
            torch.set_rng_state(self.rng)
            for batch in plan:
                entry, finite = self._step(batch(), layout)
                if not finite:
                    return log, entry
                log.append(entry)
                self.step += 1
                if interruptible and self.interrupted is not None and self.interrupted.is_set():
                    break
            self.rng = torch.get_rng_state()
        return log, {}

    def _step(self, batch: dict[str, Any], layout: Layout) -> tuple[dict[str, float], bool]:
        log: dict[str, float] = {}
        for player in self.objective.players:
            for _ in range(player.steps):
                view = self._view(batch, layout)
                loss = self.objective(view, player.name)
                log |= {k: float(v) for k, v in view.metrics.items()}
                log[f"{player.name}.loss"] = loss.item()
                if not all(map(isfinite, log.values())):
                    return log, False
                self._update(player.name, loss)
                self.state = {k: v.detach() for k, v in view.state.items()}
        return log, True

    def _update(self, player: str, loss: Tensor) -> None:
        leaves = self.leaves[player]
        if not loss.requires_grad:
            return
        # gradients of this player's parameters only: the others' are neither made nor touched
        grads = torch.autograd.grad(loss, leaves, materialize_grads=True)
        for leaf, grad in zip(leaves, grads, strict=True):
            leaf.grad = _laid_out(grad, leaf)
        self.optimisers[player].step()

    def _tensors(self) -> list[Tensor]:
        nets = (p for net in self.session.nets.values() for p in net.parameters())
        return [*self.session.leaves.tensors.values(), *nets]

    def _finite(self) -> bool:
        leaves = self.session.leaves
        with torch.no_grad():
            # as the program sees them, too: the exponential of a large number overflows
            seen = [leaves.constrained(name) for name in leaves.tensors]
            return all(bool(t.isfinite().all()) for t in {*self._tensors(), *seen})

    def _snapshot(self) -> _Snapshot:
        return _Snapshot(
            [t.detach().clone() for t in self._tensors()],
            {name: _copied(o.state_dict()["state"]) for name, o in self.optimisers.items()},
            self.state, self.rng, self.step,
        )  # fmt: skip

    def _return_to(self, point: _Snapshot) -> None:
        with torch.no_grad():
            for tensor, value in zip(self._tensors(), point.tensors, strict=True):
                tensor.copy_(value)
        for name, optimiser in self.optimisers.items():
            groups = optimiser.state_dict()["param_groups"]
            slots = _copied(point.slots[name])
            optimiser.load_state_dict({"state": slots, "param_groups": groups})
        self.state, self.rng, self.step = point.state, point.rng, point.step

    def _view(self, batch: dict[str, Any], layout: Layout, total: float | None = None) -> View:
        return View(
            PyroRunner(self.session, batch), self.table, layout,
            total=total or self.total, step=self.step, state=self.state,
        )  # fmt: skip

    def _batch(self, rows: Tensor | None) -> dict[str, Any]:
        if rows is None:
            return self.data
        return {k: v[rows] if k in self.sliced else v for k, v in self.data.items()}

    def _build_nets(self, seed: int, params: Mapping[str, np.ndarray]) -> None:
        for name, spec in self.objective.nets(self.table).items():
            net = build(spec, spec.initial(seed, name), torch.get_default_dtype())
            self.session.nets[name] = net
            with torch.no_grad():
                for leaf, weight in net.named_parameters():
                    if f"{name}.{leaf}" in params:
                        weight.copy_(torch.as_tensor(np.array(params[f"{name}.{leaf}"])))

    def _leaves_of(self, groups: tuple[str, ...]) -> list[Tensor]:
        work, leaves = self.session, {}
        for group in groups:
            if group in work.nets:
                leaves |= {f"{group}.{n}": p for n, p in work.nets[group].named_parameters()}
            else:
                leaves |= {n: work.leaves.tensors[n] for n in work.groups[group]}
        found = [leaf for leaf in leaves.values() if leaf.requires_grad]
        if not found:
            raise ModelError(
                f"there is nothing to train: {' and '.join(groups)} have no parameters"
            )
        return found

    def params(self) -> dict[str, np.ndarray]:
        """Returns constrained parameters, the objective's networks among them."""
        nets = {
            f"{name}.{leaf}": to_numpy(weight)
            for name, net in self.session.nets.items()
            for leaf, weight in net.named_parameters()
        }
        return self.session.leaves.export() | nets

    def export(self) -> dict[str, np.ndarray]:
        """Returns all that a bit-identical continuation needs, as flat arrays."""
        flat = {"step": np.array(self.step), "rng": to_numpy(self.rng)}
        leaves = self.session.leaves.tensors
        flat |= {f"leaf/{canonical(n)}": to_numpy(t) for n, t in leaves.items()}
        flat |= {f"state/{n}": to_numpy(t) for n, t in self.state.items()}
        for player, optimiser in self.optimisers.items():
            for i, slots in optimiser.state_dict()["state"].items():
                for slot, value in slots.items():
                    if value is not None:
                        flat[f"optimiser/{player}/{i}/{slot}"] = to_numpy(value)
        return flat

    def restore(self, flat: Mapping[str, np.ndarray]) -> None:
        """Sets the state from what `export` returned."""
        self.step = int(flat["step"])
        self.rng = torch.from_numpy(np.array(flat["rng"]))
        with torch.no_grad():
            for name, leaf in self.session.leaves.tensors.items():
                leaf.copy_(torch.from_numpy(np.array(flat[f"leaf/{canonical(name)}"])))
        self.state = {
            k.removeprefix("state/"): torch.from_numpy(np.array(v))
            for k, v in flat.items()
            if k.startswith("state/")
        }
        for player, optimiser in self.optimisers.items():
            _restore_optimiser(optimiser, f"optimiser/{player}/", flat)

    def bound(self, data: Mapping[str, Any], seed: int, total: float) -> dict[str, float]:
        """Returns losses and metrics on other data of `total` rows, without a step."""
        batch = {k: to_tensor(v) for k, v in data.items()}
        layout = make_layout(self.table, self.session.dims)
        log: dict[str, float] = {}
        with seeded_rng(seed), torch.no_grad(), pyro.validation_enabled(is_validate=False):
            for player in self.objective.players:
                view = self._view(batch, layout, total)
                log[f"{player.name}.loss"] = float(self.objective(view, player.name))
                log |= {k: float(v) for k, v in view.metrics.items()}
        return log

    def close(self) -> None:
        """Gives the user's own modules back the values that they came with."""
        for leaf in self._tensors():
            leaf.grad = None
        self.session.leaves.restore()


def _laid_out(grad: Tensor, leaf: Tensor) -> Tensor:
    """Returns the gradient with the leaf's strides.

    torch's fused optimisers walk both as one run of memory: with the gradient of a sum, which is
    one number expanded, they read past its end (torch 2.13).
    """
    return grad if grad.stride() == leaf.stride() else torch.empty_like(leaf).copy_(grad)


def _steps(log: list[dict[str, float]]) -> Steps:
    names = log[0] if log else ()
    return Steps({name: np.array([entry[name] for entry in log]) for name in names})


def _copied(slots: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    return {
        i: {k: v.clone() if isinstance(v, Tensor) else v for k, v in slot.items()}
        for i, slot in slots.items()
    }


def _optimiser(spec: Any, leaves: list[Tensor]) -> torch.optim.Optimizer:
    match spec:
        case AdamW():
            made = torch.optim.AdamW(
                leaves, spec.rate, (spec.b1, spec.b2), spec.eps, spec.decay, fused=True
            )
        case Adam():
            made = torch.optim.Adam(leaves, spec.rate, (spec.b1, spec.b2), spec.eps, fused=True)
        case SGD():
            made = torch.optim.SGD(leaves, spec.rate, spec.momentum)
        case RMSprop():
            made = torch.optim.RMSprop(leaves, spec.rate, spec.decay, spec.eps)
        case _:
            made = _own_optimiser(spec, leaves)
    norm = getattr(spec, "clip_norm", None)
    if norm is not None:
        made.register_step_pre_hook(lambda *_: _clip(leaves, norm))
    return made


def _own_optimiser(spec: Any, leaves: list[Tensor]) -> torch.optim.Optimizer:
    """Calls the user's function from parameters to an optimiser."""
    wanted = (
        "a function from parameters to a torch.optim optimiser, such as "
        "lambda p: torch.optim.Adam(p, lr=1e-3)"
    )
    own_class = isinstance(spec, type) and issubclass(spec, Adam | AdamW | SGD | RMSprop)
    if own_class or isinstance(spec, PyroOptim) or not callable(spec):
        raise refusal(spec, wanted)
    call: Any = spec
    try:
        made = call(leaves)
    except Exception as error:
        raise refusal(spec, wanted, f" (it raised {type(error).__name__}: {error})") from error
    if not isinstance(made, torch.optim.Optimizer):
        raise refusal(spec, wanted, f" (it returned {type(made).__name__})")
    return made


def _clip(leaves: list[Tensor], norm: float) -> None:
    """Scales the whole gradient to a norm; torch's own adds 1e-6 to the divisor."""
    grads = [leaf.grad for leaf in leaves if leaf.grad is not None]
    norms = [torch.linalg.vector_norm(grad) for grad in grads]
    found = float(torch.linalg.vector_norm(torch.stack(norms)))
    if found > norm:
        for leaf in leaves:  # not in place: two leaves may share one tensor of gradients
            leaf.grad = None if leaf.grad is None else leaf.grad * (norm / found)


def _restore_optimiser(
    optimiser: torch.optim.Optimizer, prefix: str, flat: Mapping[str, np.ndarray]
) -> None:
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        if key.startswith(prefix):
            number, slot = key.removeprefix(prefix).split("/")
            slots.setdefault(int(number), {})[slot] = torch.from_numpy(np.array(value))
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": slots, "param_groups": groups})
