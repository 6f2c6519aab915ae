"""An objective as a loss for NumPyro's own `SVI`."""

__all__ = ["NumpyroLoss"]

from collections.abc import Callable
from typing import Any

import jax
from jax import Array
from numpyro.infer import ELBO

from ppgm.checking import check_program
from ppgm.host_numpyro_answers import table_of
from ppgm.host_numpyro_keys import JaxRng
from ppgm.host_numpyro_runner import NumpyroRunner
from ppgm.inference.objective import AbstractObjective, check_native
from ppgm.layouts import make_layout, subsampled_plates, total_rows
from ppgm.programs import Program
from ppgm.views import View


class NumpyroLoss(ELBO):
    """Drop-in ``loss`` of ``numpyro.infer.SVI``.

    Its value is the objective summed over all data, as NumPyro's own losses are. Plates scale
    it by ``size / subsample_size`` outside any logarithm.

    Args:
        objective: An objective with one player and no networks or state of its own.
    """

    can_infer_discrete = True

    def __init__(self, objective: AbstractObjective) -> None:
        check_native(objective)
        super().__init__(num_particles=getattr(objective, "particles", 1))
        self.objective = objective

    def loss_with_mutable_state(
        self,
        rng_key: Array,
        param_map: dict[str, Any],
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Returns the loss; programs with mutable state are refused elsewhere."""
        program = Program(model, guide, "numpyro")
        first, second = jax.random.split(rng_key)
        table, dims = table_of(program, param_map, first, kwargs, args)
        check_program(table)
        self.objective.check(table, subsampled_plates(table, minibatch=False))
        runner = NumpyroRunner(program, param_map, JaxRng(second), kwargs, dims, args=args)
        view = View(runner, table, make_layout(table, dims), total=total_rows(table, None))
        loss = self.objective(view, self.objective.players[0].name) * view.total
        return {"loss": loss, "mutable_state": None}
