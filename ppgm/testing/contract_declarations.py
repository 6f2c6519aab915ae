"""What every declaration has to satisfy; see `ppgm.testing.contract`."""

__all__ = ["declaration_checks", "objective_for"]

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ppgm.graphs import equal, graph
from ppgm.host import load
from ppgm.inference import ELBO, GAN, ContrastiveDivergence, Quantisation, Reconstruction
from ppgm.inference.objective import AbstractBound, AbstractObjective
from ppgm.influences import with_influences
from ppgm.probes import probe
from ppgm.programs import Program, program
from ppgm.rows import row_count, take
from ppgm.sites import SiteTable, check_match
from ppgm.testing.contract_parts import (
    Check,
    Data,
    agree,
    draws,
    evaluate,
    initial,
    require,
    same,
    total,
    values_of,
)


def declaration_checks(declaration: Any, data: Data, hosts: Sequence[str]) -> list[Check]:
    """Lists the checks of a declaration, on each host and between them."""
    checks = []
    runs = [program(declaration, host=host) for host in hosts]
    for host, run in zip(hosts, runs, strict=True):
        for name, requirement in _BY_HOST.items():
            checks.append(Check(f"{name} ({host})", partial(requirement, run, data)))
    if len(runs) > 1:
        checks += [Check(name, partial(test, runs, data)) for name, test in _BETWEEN.items()]
    return checks


def _traces(run: Program, data: Data) -> None:
    for side in ("model", "guide") if run.guide else ("model",):
        for name, record in load(run.host).trace(run, side, data).items():
            require(record.finite, f"value or density of '{name}' in the {side} is not finite")
    if run.guide:
        check_match(run.sites(data))


def _rows_of_any_number(run: Program, data: Data) -> None:
    size = row_count(data) or 1
    for rows in (1, 2, 7):
        _traces(run, take(data, np.arange(rows) % size))


def _gradients(run: Program, data: Data) -> None:
    params = initial(run, data)
    objective, found = objective_for(run.sites(data)), {}
    for player in objective.players:
        found |= evaluate(run, data, objective, player=player.name).grads
    for name in params:
        require(name in found, f"no player of {objective} owns parameter '{name}'")
        require(np.isfinite(found[name]).all(), f"the gradient of '{name}' is not finite")
        require(np.any(found[name] != 0), f"the gradient of '{name}' is zero: is it detached?")


def _minibatches(run: Program, data: Data) -> None:
    """The mean over the batches of an epoch, the last one ragged, is the full-data loss."""
    table, size = run.sites(data), row_count(data) or 1
    objective = objective_for(table, particles=1)
    if not isinstance(objective, AbstractBound):
        return
    values = draws(run, data, table, 1)
    whole = probe(run, initial(run, data), data, objective, values=values)
    cuts = np.array_split(np.arange(size)[::-1], 2)
    parts = [
        probe(
            run, initial(run, data), take(data, rows), objective, scale=2.0, total=total(table),
            values=values_of(values, table, rows),
        )
        for rows in cuts
    ]  # fmt: skip
    same(whole.loss, np.mean([p.loss for p in parts]), "loss of an epoch and of the full data")
    for name, grad in whole.grads.items():
        same(grad, np.mean([p.grads[name] for p in parts], axis=0), f"gradient of '{name}'")


_BY_HOST = {
    "traces with its data, its guide matching its model": _traces,
    "takes 1, 2 and 7 rows": _rows_of_any_number,
    "has a finite gradient in every parameter": _gradients,
    "averages to the full data over minibatches": _minibatches,
}


def _same_sites(runs: list[Program], data: Data) -> None:
    one, two = (run.sites(data) for run in runs)
    for side in ("model", "guide"):
        here, there = ({s.name: s for s in getattr(t, side)} for t in (one, two))
        require(here == there, f"the {side}'s sites differ: {here} and {there}")
    require(one.plates == two.plates, f"plates differ: {one.plates} and {two.plates}")
    require(one.rows == two.rows, f"rows differ: {one.rows} and {two.rows}")


def _same_parameters(runs: list[Program], data: Data) -> None:
    one, two = (initial(run, data) for run in runs)
    require(one.keys() == two.keys(), f"parameters differ: {sorted(one)} and {sorted(two)}")
    for name in one:
        same(one[name], two[name], f"initial value of '{name}'")


def _same_densities(runs: list[Program], data: Data) -> None:
    """Log density of every site, and loss and gradients, at the same weights and draws."""
    table, params = runs[0].sites(data), initial(runs[0], data)
    values = draws(runs[0], data, table, 2)
    for side in ("model", "guide") if table.has_guide else ("model",):
        given = {s.name: values[s.name] for s in getattr(table, side) if s.name in values}
        found = [load(run.host).log_density(run, params, data, given, side) for run in runs]
        require(found[0].keys() == found[1].keys(), f"the {side}'s sites differ: {found}")
        for name in found[0]:
            same(found[0][name], found[1][name], f"log density of '{name}' in the {side}")
    objective = objective_for(table)
    if isinstance(objective, AbstractBound):
        agree(objective, runs, params, data, values)


def _same_relations(runs: list[Program], data: Data) -> None:
    """The graph, and what each draw of the guide can change: local signals rest on it."""
    found = [with_influences(run.sites(data), run, data).influences for run in runs]
    require(found[0] == found[1], f"what draws can change differs: {found[0]} and {found[1]}")
    differences = equal(*(graph(run, data) for run in runs))
    require(not differences, f"the graphs differ: {differences}")


_BETWEEN = {
    "has the same sites on both hosts": _same_sites,
    "has the same graph on both hosts": _same_relations,
    "has the same initial weights on both hosts": _same_parameters,
    "has the same densities and gradients on both hosts": _same_densities,
}


def _without_guide(table: SiteTable) -> AbstractObjective:
    on = table.select("model", "observed")[0].name
    if table.select("model", "factor"):
        return ContrastiveDivergence(on=on)
    named = {s.name for s in table.select("model", "deterministic")}
    plain = Reconstruction(on=on)
    return plain + Quantisation() if {"encoded", "code"} <= named else plain


def objective_for(table: SiteTable, particles: int = 2) -> AbstractObjective:
    """Returns an objective that can train a program of these sites."""
    implicit = table.select("model", "implicit")
    if implicit:
        return GAN(on=tuple(s.name for s in implicit))
    if not table.has_guide and not table.exact:
        return _without_guide(table)
    return ELBO(particles=particles)
