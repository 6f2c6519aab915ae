"""A program of NumPyro's own `SVI`, opened for an objective."""

__all__ = ["Opened", "open_program"]

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jax import Array

from ppgm.checking import check_program
from ppgm.host_numpyro_answers import table_of
from ppgm.host_numpyro_keys import JaxRng
from ppgm.host_numpyro_relations import relations_in_use
from ppgm.host_numpyro_run import Params
from ppgm.host_numpyro_runner import NumpyroRunner
from ppgm.inference.objective import AbstractObjective
from ppgm.influences import Reach
from ppgm.layouts import make_layout, subsampled_plates, total_rows
from ppgm.legality import check_legal
from ppgm.programs import Program
from ppgm.sites import SiteTable
from ppgm.views import View


class Opened(NamedTuple):
    """A checked program with its parameters and arguments.

    Attributes:
        objective: The objective.
        program: The program.
        params: Constrained parameters.
        args: Positional arguments of model and guide.
        data: Keyword arguments.
        table: The program's sites.
        dims: Number of plate axes.
        nets: Networks of the objective.
    """

    objective: AbstractObjective
    program: Program
    params: Params
    args: tuple[Any, ...]
    data: dict[str, Any]
    table: SiteTable
    dims: int
    nets: Mapping[str, Any]

    def view(self, key: Array, step: Any = 0, state: Mapping[str, Array] | None = None) -> View:
        """Returns a view with the draws of a key."""
        runner = NumpyroRunner(
            self.program, self.params, JaxRng(key), self.data, self.dims, self.nets, self.args
        )
        layout, total = make_layout(self.table, self.dims), total_rows(self.table, None)
        return View(runner, self.table, layout, total=total, step=step, state=state)

    def with_nets(self, params: Params) -> "Opened":
        """Returns it with the objective's networks, which are among the parameters."""
        names = self.objective.nets(self.table)
        return self._replace(nets={name: params[f"{name}$params"] for name in names})

    def start(self, key: Array) -> dict[str, Array]:
        """Returns the state before the first step, which the objective makes from a first draw."""
        params, nets = jax.lax.stop_gradient((self.params, self.nets))
        return self.objective.start(self._replace(params=params, nets=nets).view(key))


def open_program(
    objective: AbstractObjective,
    program: Program,
    params: Params,
    key: Array,
    args: tuple[Any, ...],
    data: dict[str, Any],
    reach: Reach,
) -> Opened:
    """Reads the sites of a program, also under `jax.jit`, and checks them.

    Args:
        objective: The objective.
        program: The program.
        params: Constrained parameters; those missing are drawn anew in every run.
        key: Key of the draws that the sites are read from.
        args: Positional arguments of model and guide.
        data: Keyword arguments.
        reach: What is known of programs' influences.
    """
    table, dims = table_of(program, params, key, data, args)
    check_program(table)
    if objective.local:
        arguments = dict(enumerate(args)) | data
        table = reach.add(
            table, program, arguments, lambda: relations_in_use(program, params, args, data)
        )
    check_legal(objective, table, subsampled_plates(table, minibatch=False))
    return Opened(objective, program, params, args, data, table, dims, {})
