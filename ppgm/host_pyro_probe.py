"""One evaluation of an objective on Pyro; see `ppgm.probes`."""

__all__ = ["probe"]

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ppgm.host_pyro_ops import to_numpy, to_tensor
from ppgm.host_pyro_session import PyroRunner
from ppgm.host_pyro_trace import canonical
from ppgm.host_pyro_train import PyroTrainer
from ppgm.layouts import align, make_layout, total_rows
from ppgm.optimisers import SGD
from ppgm.programs import Program
from ppgm.rows import row_count
from ppgm.views import View

Arrays = dict[str, np.ndarray]


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


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {k: to_tensor(v) for k, v in arrays.items()}


def _gradients(work: PyroTrainer, loss: torch.Tensor, player: str) -> Arrays:
    names = {id(t): canonical(n) for n, t in work.session.leaves.tensors.items()}
    for net, module in work.session.nets.items():
        names |= {id(p): f"{net}.{n}" for n, p in module.named_parameters()}
    leaves = work.leaves[player]
    grads = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return {names[id(leaf)]: to_numpy(g) for leaf, g in zip(leaves, grads, strict=True)}
