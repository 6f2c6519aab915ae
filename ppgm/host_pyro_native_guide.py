"""A guide of Pyro's own `SVI` that keeps what an objective owns."""

__all__ = ["PyroGuide"]

from collections.abc import Callable, Mapping
from typing import Any

import pyro
import torch
from torch import Tensor

from ppgm.inference.objective import AbstractObjective
from ppgm.nets_torch import build
from ppgm.sites import SiteTable
from ppgm.views import View


class PyroGuide(torch.nn.Module):
    """A guide, and beside it the networks, the state and the number of steps of an objective.

    The networks are made at the first loss, which knows their sizes, and registered with Pyro as
    ``pyro.module("baseline", ...)``, so that SVI finds their parameters. A step is a loss with
    gradients: ``SVI.step``, or ``differentiable_loss``. ``SVI.evaluate_loss`` is none. One guide
    is for one SVI; its `state_dict` has all that it keeps.

    Args:
        objective: The objective.
        guide: The guide; a module becomes a part of this one.
        seed: Seed of the networks' initial weights.

    Attributes:
        nets: Networks of the objective by name.
        state: What the objective remembers; nothing before the first step.
        steps: Number of steps done.
    """

    def __init__(
        self, objective: AbstractObjective, guide: Callable[..., Any], seed: int = 0
    ) -> None:
        super().__init__()
        self.objective, self.guide, self.seed = objective, guide, seed
        self.nets = torch.nn.ModuleDict()
        self.state: dict[str, Tensor] = {}
        self.steps = 0

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the guide, as Pyro's `Predictive` does."""
        return self.guide(*args, **kwargs)

    def open_nets(self, table: SiteTable) -> Mapping[str, torch.nn.Module]:
        """Returns the networks, registered with Pyro's store."""
        for name, spec in self.objective.nets(table).items():
            if name not in self.nets:
                weights = spec.initial(self.seed, name)
                self.nets[name] = build(spec, weights, torch.get_default_dtype())
            # a store that was loaded from a file has weights of its own
            pyro.module(name, self.nets[name], update_module_params=True)
        return dict(self.nets.items())

    def before(self, view: View) -> dict[str, Tensor]:
        """Returns the state that a loss is computed with, which may write to it.

        Before the first step the objective makes it from a first draw of the view.
        """
        if self.steps:
            return dict(self.state)
        with torch.no_grad():
            return self.objective.start(view)

    def keep(self, view: View, loss: Tensor) -> None:
        """Counts a step, and keeps the state after it.

        One whose loss is not finite is no step: its signals would be in all running means after.
        """
        if bool(loss.isfinite()):
            self.state = {k: v.detach() for k, v in view.state.items()}
            self.steps += 1

    def get_extra_state(self) -> dict[str, Any]:
        """Returns steps and state, for `state_dict`."""
        return {"steps": self.steps, "state": dict(self.state)}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Sets what `get_extra_state` returned."""
        self.steps, self.state = state["steps"], dict(state["state"])
