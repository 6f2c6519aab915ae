"""Training on Pyro: one vectorised pass per step, parameters in the session, no global store."""

__all__ = ["PyroTrainer"]

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor

from ppgm.errors import ArgumentError
from ppgm.host_pyro_ops import to_numpy, to_tensor
from ppgm.host_pyro_session import PyroRunner, Session, open_session
from ppgm.host_pyro_trace import canonical
from ppgm.inference.objective import AbstractObjective
from ppgm.layouts import make_layout
from ppgm.nets_torch import build
from ppgm.optimisers import SGD, Adam, AdamW, RMSprop
from ppgm.programs import Program
from ppgm.rows import row_names
from ppgm.sites import SiteTable
from ppgm.views import View


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
    ) -> None:
        self.objective, self.table, self.total = objective, table, total
        self.data = {k: to_tensor(v) for k, v in data.items()}
        self.sliced = row_names(self.data)
        self.session = open_session(source, data, params, seed)
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

    def start(self, index: np.ndarray | None, scale: float) -> None:
        """Lets the objective make its state from the first batch."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.set_rng_state(self.rng)
            self.state = self.objective.start(self._view(self._batch(index), scale))
            self.rng = torch.get_rng_state()

    def run(
        self, index: np.ndarray | None, mask: np.ndarray | None, scale: float, steps: int
    ) -> dict[str, np.ndarray]:
        """Runs steps over rows of the data; stops before an update by a non-finite loss.

        Args:
            index: Rows of each step, ``(steps, B)``, or None for all rows in every step.
            mask: Which of them count, ``(steps, B)``, or None for all.
            scale: Number of data that a row stands for.
            steps: Number of steps.

        Returns:
            Losses and metrics of the steps done, each ``(done,)``; the last one is not finite
            if fewer than `steps` were done.
        """
        rows: list[Any] = [None] * steps if index is None else list(index)
        if index is not None and mask is not None:
            rows = [i[m] for i, m in zip(index, mask, strict=True)]
        return self._loop([(r, None, scale) for r in rows])

    def run_batch(self, batch: Mapping[str, Any], scale: float) -> dict[str, np.ndarray]:
        """Runs one step with a batch that is not among the data."""
        return self._loop([(None, {k: to_tensor(v) for k, v in batch.items()}, scale)])

    def _loop(self, plan: list[tuple[Any, Any, float]]) -> dict[str, np.ndarray]:
        log: list[dict[str, float]] = []
        with torch.random.fork_rng(devices=[]), pyro.validation_enabled(False):
            torch.set_rng_state(self.rng)
            for rows, batch, scale in plan:
                log.append(self._step(self._batch(rows) if batch is None else batch, scale))
                if not all(np.isfinite(v) for v in log[-1].values()):
                    break
                self.step += 1
                if self.interrupted is not None and self.interrupted.is_set():
                    break
            self.rng = torch.get_rng_state()
        return {name: np.array([entry[name] for entry in log]) for name in log[0]}

    def _step(self, batch: dict[str, Any], scale: float) -> dict[str, float]:
        log: dict[str, float] = {}
        for player in self.objective.players:
            for _ in range(player.steps):
                view = self._view(batch, scale)
                loss = self.objective(view, player.name)
                log |= {k: float(v) for k, v in view.metrics.items()}
                log[f"{player.name}.loss"] = loss.item()
                if not all(np.isfinite(v) for v in log.values()):
                    return self._filled(log)
                self._update(player.name, loss)
                self.state = {k: v.detach() for k, v in view.state.items()}
        return log

    def _filled(self, log: dict[str, float]) -> dict[str, float]:
        """A step cut short still has an entry for every player."""
        return {f"{p.name}.loss": float("nan") for p in self.objective.players} | log

    def _update(self, player: str, loss: Tensor) -> None:
        leaves = self.leaves[player]
        # gradients of this player's parameters only: the others' are neither made nor touched
        for leaf, grad in zip(
            leaves, torch.autograd.grad(loss, leaves, allow_unused=True), strict=True
        ):
            leaf.grad = grad
        self.optimisers[player].step()

    def _view(self, batch: dict[str, Any], scale: float, total: float | None = None) -> View:
        layout = make_layout(self.table, self.session.dims, scale)
        return View(
            PyroRunner(self.session, batch), self.table, layout,
            total=total or self.total, step=self.step, state=self.state,
        )  # fmt: skip

    def _batch(self, rows: np.ndarray | None) -> dict[str, Any]:
        if rows is None:
            return self.data
        index = torch.from_numpy(np.ascontiguousarray(rows))
        return {k: v[index] if k in self.sliced else v for k, v in self.data.items()}

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
        return [leaf for leaf in leaves.values() if leaf.requires_grad]

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
        flat |= {f"leaf/{canonical(n)}": to_numpy(t) for n, t in self.session.leaves.tensors.items()}
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
        log: dict[str, float] = {}
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            for player in self.objective.players:
                view = self._view(batch, 1.0, total)
                log[f"{player.name}.loss"] = float(self.objective(view, player.name))
                log |= {k: float(v) for k, v in view.metrics.items()}
        return log

    def close(self) -> None:
        """Gives the user's own modules back the values that they came with."""
        self.session.leaves.restore()


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
        case _ if callable(spec):
            made = spec(leaves)
        case _:
            made = None
    if not isinstance(made, torch.optim.Optimizer):
        raise ArgumentError(
            "optimiser must be one of ppgm.optimisers or a function from parameters to a "
            f"torch.optim optimiser, not {type(spec).__name__}"
        )
    norm = getattr(spec, "clip_norm", None)
    if norm is not None:
        made.register_step_pre_hook(
            lambda *_: torch.nn.utils.clip_grad_norm_([p for p in leaves if p.grad is not None], norm)
        )
    return made


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
