"""One evaluation of an objective on NumPyro; see `ppgm.probes`."""

__all__ = ["probe"]

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import Array

from ppgm.host_numpyro_ops import to_array, to_numpy
from ppgm.host_numpyro_run import flatten
from ppgm.host_numpyro_runner import NumpyroRunner
from ppgm.host_numpyro_train import NumpyroTrainer
from ppgm.layouts import make_layout, total_rows
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
    scale: float,
    total: float | None,
    state: Mapping[str, np.ndarray] | None,
    step: int,
    seed: int,
) -> tuple[float, Arrays, dict[str, float], Arrays]:
    """Returns loss, gradients, metrics and state."""
    table = source.sites(data)
    total = total_rows(table, row_count(data)) if total is None else total
    optimisers = {p.name: SGD() for p in objective.players}
    work = NumpyroTrainer(source, objective, table, data, optimisers, seed, total, params)
    if state is None:
        work.start(None, scale)
    owned = work.state.owned if state is None else {k: to_array(v) for k, v in state.items()}
    forced = {k: to_array(v) for k, v in values.items()}
    given = {k: to_array(v) for k, v in noise.items()}
    mine = next(p for p in objective.players if p.name == player)

    def evaluate(own: Any, forced: Any, given: Any, owned: Any) -> tuple[Array, Any]:
        seen = work._constrained(work.state.params | own)
        nets = {n: seen.pop(n) for n in work.nets}
        runner = NumpyroRunner(
            work.setup.program, seen, jax.random.key(seed), {**work.data, **work.static},
            work.setup.dims, nets, forced=forced, noise=given,
        )  # fmt: skip
        layout = make_layout(table, work.setup.dims, scale)
        view = View(runner, table, layout, total=total, step=step, state=owned)
        return objective(view, player), (view.metrics, view.state)

    own = work._mine(work.state.params, mine)
    call = jax.jit(jax.value_and_grad(evaluate, has_aux=True))
    (loss, (metrics, after)), grads = call(own, forced, given, owned)
    logged = {k: float(v) for k, v in metrics.items()}
    return float(loss), flatten(grads), logged, {k: to_numpy(v) for k, v in after.items()}
