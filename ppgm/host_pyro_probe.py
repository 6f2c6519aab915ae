"""One evaluation of an objective on Pyro; see `ppgm.probes`."""

__all__ = ["gradient_moments", "probe"]

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import numpy as np
import pyro
import torch

from ppgm.host_pyro_ops import to_numpy, to_tensor
from ppgm.host_pyro_session import PyroRunner, seeded_rng
from ppgm.host_pyro_trace import canonical
from ppgm.host_pyro_train import PyroTrainer
from ppgm.influences import with_influences
from ppgm.layouts import align, make_layout, total_rows
from ppgm.optimisers import SGD
from ppgm.programs import Program
from ppgm.rows import row_count
from ppgm.views import View

Arrays = dict[str, np.ndarray]

WARM = 3
"""First draws, which are not timed: torch and Pyro fill caches in them."""


def probe(
    source: Program,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    objective: Any,
    player: str,
    values: Mapping[str, np.ndarray],
    noise: Mapping[str, np.ndarray],
    scale: Any,
    total: float | None,
    state: Mapping[str, np.ndarray] | None,
    step: int,
    seed: int,
) -> tuple[float, Arrays, dict[str, float], Arrays]:
    """Returns loss, gradients, metrics and state."""
    table = source.sites(data)
    if objective.local:
        table = with_influences(table, source, data)
    total = total_rows(table, row_count(data)) if total is None else total
    optimisers = {p.name: SGD() for p in objective.players}
    work = PyroTrainer(source, objective, table, data, optimisers, seed, total, params)
    scale = to_tensor(scale)
    try:
        if state is None:
            work.start(None, scale)
        owned = work.state if state is None else _tensors(state)
        if PyroRunner(work.session, work.data).broadcasts():
            values, noise = (align(v, table, work.session.dims) for v in (values, noise))
        runner = PyroRunner(
            work.session, work.data, forced=_tensors(values), noise=_tensors(noise)
        )
        layout = make_layout(table, work.session.dims, scale)
        view = View(runner, table, layout, total=total, step=step, state=owned)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            loss = objective(view, player)
        grads = _gradients(work, loss, player)
        metrics = {k: float(v) for k, v in view.metrics.items()}
        return loss.item(), grads, metrics, {k: to_numpy(v) for k, v in view.state.items()}
    finally:
        work.close()


def gradient_moments(
    source: Program,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    objective: Any,
    player: str,
    batches: np.ndarray,
    seed: int,
) -> tuple[Arrays, Arrays, float]:
    """Returns moments of draws of a player's gradient; see `ppgm.microscope_measures`.

    Args:
        source: The program.
        params: Its parameters.
        data: Its data.
        objective: The objective.
        player: Name of one of its players.
        batches: The batch of each draw, ``(draws,)``, in order from 0.
        seed: Seed of the draws.

    Returns:
        Mean of each batch, sum of squares within batches, seconds per draw.
    """
    table = source.sites(data)
    if objective.local:
        table = with_influences(table, source, data)
    total = total_rows(table, row_count(data))
    optimisers = {p.name: SGD() for p in objective.players}
    work = PyroTrainer(source, objective, table, data, optimisers, seed, total, params)
    try:
        work.start(None, 1.0)
        runner, layout = PyroRunner(work.session, work.data), make_layout(table, work.session.dims)
        leaves, state = work.leaves[player], work.state
        count = int(batches[-1]) + 1
        mean = [torch.zeros((count, *leaf.shape), dtype=torch.float64) for leaf in leaves]
        square = [torch.zeros_like(m[0]) for m in mean]
        seen = [0] * count
        with seeded_rng(seed), pyro.validation_enabled(is_validate=False):
            began, first = perf_counter(), min(WARM, len(batches) - 1)
            for n, batch in enumerate(batches.tolist()):
                began = perf_counter() if n == first else began
                view = View(runner, table, layout, total=total, step=0, state=state)
                loss = objective(view, player)
                grads = torch.autograd.grad(
                    loss, leaves, allow_unused=True, materialize_grads=True
                )
                state = {k: v.detach() for k, v in view.state.items()}
                seen[batch] += 1
                for m, s, g in zip(mean, square, grads, strict=True):
                    gap = g.double() - m[batch]
                    m[batch] += gap / seen[batch]
                    s += gap * (g.double() - m[batch])
            seconds = (perf_counter() - began) / (len(batches) - first)
        names = _names(work)
        keys = [names[id(leaf)] for leaf in leaves]
        means = {k: to_numpy(m.to(o.dtype)) for k, m, o in zip(keys, mean, leaves, strict=True)}
        return means, {k: to_numpy(s) for k, s in zip(keys, square, strict=True)}, seconds
    finally:
        work.close()


def _names(work: PyroTrainer) -> dict[int, str]:
    """Returns the canonical names of all leaves by their identity."""
    names = {id(t): canonical(n) for n, t in work.session.leaves.tensors.items()}
    for net, module in work.session.nets.items():
        names |= {id(p): f"{net}.{n}" for n, p in module.named_parameters()}
    return names


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {k: to_tensor(v) for k, v in arrays.items()}


def _gradients(work: PyroTrainer, loss: torch.Tensor, player: str) -> Arrays:
    names = _names(work)
    leaves = work.leaves[player]
    grads = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return {names[id(leaf)]: to_numpy(g) for leaf, g in zip(leaves, grads, strict=True)}
