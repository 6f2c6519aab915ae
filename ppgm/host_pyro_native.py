"""An objective as a loss for Pyro's own `SVI`."""

__all__ = ["PyroLoss"]

import math
from collections.abc import Callable
from typing import Any

import torch
from pyro.infer import ELBO
from pyro.infer.elbo import ELBOModule
from pyro.infer.enum import get_importance_trace
from torch import Tensor

from ppgm.checking import check_program
from ppgm.host_pyro_answers import table_of
from ppgm.host_pyro_session import PyroRunner
from ppgm.inference.objective import AbstractObjective, check_native
from ppgm.layouts import make_layout, subsampled_plates, total_rows
from ppgm.programs import Program
from ppgm.views import View


class PyroLoss(ELBO):
    """Drop-in ``loss`` of ``pyro.infer.SVI``; also callable as ``loss(model, guide)``.

    Its value is the objective summed over all data, as Pyro's own losses are. Plates scale it
    by ``size / subsample_size`` outside any logarithm.

    Args:
        objective: An objective with one player and no networks or state of its own.
    """

    def __init__(self, objective: AbstractObjective) -> None:
        check_native(objective)
        super().__init__(
            num_particles=getattr(objective, "particles", 1), vectorize_particles=True
        )
        self.objective = objective
        self._known: dict[Any, bool] = {}

    def __call__(self, model: torch.nn.Module, guide: torch.nn.Module) -> ELBOModule:
        """Returns the loss as a ``torch.nn.Module`` of two modules, as Pyro's ELBOs do."""
        return ELBOModule(model, guide, self)

    def differentiable_loss(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Tensor:
        """Returns the loss, a scalar with a gradient."""
        runner = PyroRunner(None, kwargs, Program(model, guide, "pyro"), args, known=self._known)
        table, runner.dims = table_of(runner, kwargs)
        check_program(table)
        self.objective.check(table, subsampled_plates(table, minibatch=False))
        view = View(runner, table, make_layout(table, runner.dims), total=total_rows(table, None))
        return self.objective(view, self.objective.players[0].name) * view.total

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Returns traces of model and guide, which Pyro's base class asks for."""
        return get_importance_trace("flat", math.inf, model, guide, args, kwargs)

    def loss_and_grads(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> float:
        """Returns the loss and adds its gradient to the parameters'."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        if loss.requires_grad:
            loss.backward()
        return loss.item()

    def loss(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> float:
        """Returns the loss."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs).item()
