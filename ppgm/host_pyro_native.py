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
from ppgm.host_pyro_native_guide import PyroGuide
from ppgm.host_pyro_relations import relations_in_use
from ppgm.host_pyro_session import PyroRunner
from ppgm.inference.native import check_native, keeps, place_of
from ppgm.inference.objective import AbstractObjective
from ppgm.influences import Reach
from ppgm.layouts import make_layout, subsampled_plates, total_rows
from ppgm.legality import check_legal
from ppgm.programs import Program
from ppgm.sites import SiteTable
from ppgm.views import View


class PyroLoss(ELBO):
    """Drop-in ``loss`` of ``pyro.infer.SVI``; also callable as ``loss(model, guide)``.

    Its value is the objective summed over all data, as Pyro's own losses are. Plates scale it
    by ``size / subsample_size`` outside any logarithm.

    Args:
        objective: An objective with one player, which trains model and guide.
    """

    def __init__(self, objective: AbstractObjective) -> None:
        check_native(objective)
        super().__init__(
            num_particles=getattr(objective, "particles", 1), vectorize_particles=True
        )
        self.objective = objective
        self._known: dict[Any, bool] = {}
        self._reach = Reach()

    def __call__(self, model: torch.nn.Module, guide: torch.nn.Module) -> ELBOModule:
        """Returns the loss as a ``torch.nn.Module`` of two modules, as Pyro's ELBOs do."""
        return ELBOModule(model, guide, self)

    def guide(
        self, model: Callable[..., Any], guide: Callable[..., Any], seed: int = 0
    ) -> Callable[..., Any]:
        """Returns the guide with a place for what the objective owns; see `PyroGuide`.

        It is the guide itself if the objective owns nothing.

        Args:
            model: The model that SVI is given too.
            guide: The guide.
            seed: Seed of the initial weights of the objective's networks.
        """
        return PyroGuide(self.objective, guide, seed) if keeps(self.objective) else guide

    def differentiable_loss(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Tensor:
        """Returns the loss, a scalar with a gradient.

        It counts as a step of a guide that keeps something, unless gradients are off.
        """
        place = place_of(self.objective, guide, PyroGuide)
        inner = guide.guide if isinstance(guide, PyroGuide) else guide
        runner = PyroRunner(None, kwargs, Program(model, inner, "pyro"), args, known=self._known)
        table = self._check(runner)
        view = _view(runner, table)
        if place is not None:
            runner.nets = place.open_nets(table)
            # what a view has drawn once it keeps: the first state has a view of its own
            view.step, view.state = place.steps, place.before(_view(runner, table))
        loss = self.objective(view, self.objective.players[0].name) * view.total
        if place is not None and torch.is_grad_enabled():
            place.keep(view, loss)
        return loss

    def _check(self, runner: PyroRunner) -> SiteTable:
        """Returns the sites of the program, checked."""
        table, runner.dims = table_of(runner, runner.data)
        check_program(table)
        if self.objective.local:
            program, data = runner.program, runner.data
            arguments = dict(enumerate(runner.args)) | data
            find = lambda: relations_in_use(program, runner.args, data)  # noqa: E731
            table = self._reach.add(table, program, arguments, find)
        check_legal(self.objective, table, subsampled_plates(table, minibatch=False))
        return table

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
        """Returns the loss; nothing that the guide keeps changes."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs).item()


def _view(runner: PyroRunner, table: SiteTable) -> View:
    return View(runner, table, make_layout(table, runner.dims), total=total_rows(table, None))
