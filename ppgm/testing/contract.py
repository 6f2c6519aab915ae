"""What every declaration and every objective has to satisfy, as checks that anyone can run.

For a plug-in's own tests one line is enough:

    test_contract = parametrize_with_checks([MyObjective(), (MyModel(4), {"x": x})])

The checks are exact: they hold to rounding error, 1e-9 where the hosts compute in double
precision. Nothing is trained and no statistics are taken.
"""

__all__ = ["Check", "ContractError", "Outcome", "check", "checks_for", "parametrize_with_checks"]

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from importlib.util import find_spec
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np

from ppgm import specs
from ppgm.errors import ArgumentError, EstimatorError, PpgmError
from ppgm.host import HOSTS, load
from ppgm.inference import ELBO, GAN, ContrastiveDivergence
from ppgm.inference.objective import AbstractBound, AbstractObjective
from ppgm.models import RBM, SBN, VAE, FactorAnalysis, Gaussian, Generator
from ppgm.probes import Probe, probe
from ppgm.programs import Program, program
from ppgm.rows import row_count, take
from ppgm.sites import SiteTable, check_match

Data = Mapping[str, Any]


class ContractError(PpgmError, AssertionError):
    """A declaration or an objective does not do what all of them have to."""


class Check(NamedTuple):
    """One requirement of one thing.

    Attributes:
        name: The requirement, and the host where it is about one.
        run: Raises `ContractError` where it is not met.
    """

    name: str
    run: Callable[[], None]


class Outcome(NamedTuple):
    """What a check found.

    Attributes:
        name: The requirement.
        error: Why it is not met, None if it is.
    """

    name: str
    error: str | None


def checks_for(
    thing: Any, *, data: Data | None = None, hosts: Sequence[str] | None = None
) -> list[Check]:
    """Lists the checks that a declaration or an objective has to pass.

    Args:
        thing: An objective, or a declaration.
        data: Some rows of data for a declaration, at least 2 of them.
        hosts: Names of the hosts; by default those that are installed.
    """
    hosts = list(_installed() if hosts is None else hosts)
    if isinstance(thing, AbstractObjective):
        return _objective_checks(thing, hosts)
    if not callable(getattr(thing, "model", None)):
        raise ArgumentError(
            f"expected an objective or a declaration (with a method `model`), got {thing!r}."
        )
    if not data or (row_count(data) or 0) < 2:
        raise ArgumentError(
            f"{type(thing).__name__} needs data with at least 2 rows to be checked: data={{...}}."
        )
    return _declaration_checks(thing, data, hosts)


def check(
    thing: Any,
    *,
    data: Data | None = None,
    hosts: Sequence[str] | None = None,
    on_fail: Literal["raise", "collect"] = "raise",
) -> list[Outcome]:
    """Runs all checks.

    Args:
        thing: An objective, or a declaration.
        data: Some rows of data for a declaration.
        hosts: Names of the hosts; by default those that are installed.
        on_fail: Whether the first failure is raised, or all are returned.

    Raises:
        ContractError: With `on_fail="raise"`, for the first check that fails.
    """
    outcomes = []
    for name, run in checks_for(thing, data=data, hosts=hosts):
        try:
            run()
            outcomes.append(Outcome(name, None))
        except Exception as error:
            if on_fail == "raise":
                raise ContractError(f"{type(thing).__name__}: {name}: {error}") from error
            outcomes.append(Outcome(name, f"{type(error).__name__}: {error}"))
    return outcomes


def parametrize_with_checks(things: Iterable[Any]) -> Any:
    """Decorates a test that takes `check` and calls ``check.run()``: one test for each check.

    Args:
        things: Objectives, and pairs (declaration, data).
    """
    import pytest

    rows = []
    for item in things:
        thing, data = item if isinstance(item, tuple) else (item, None)
        rows += [
            pytest.param(c, id=f"{type(thing).__name__}: {c.name}")
            for c in checks_for(thing, data=data)
        ]
    return pytest.mark.parametrize("check", rows)


# Declarations.


def _declaration_checks(declaration: Any, data: Data, hosts: Sequence[str]) -> list[Check]:
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
            _require(record.finite, f"value or density of '{name}' in the {side} is not finite")
    if run.guide:
        check_match(run.sites(data))


def _rows_of_any_number(run: Program, data: Data) -> None:
    size = row_count(data) or 1
    for rows in (1, 2, 7):
        _traces(run, take(data, np.arange(rows) % size))


def _gradients(run: Program, data: Data) -> None:
    params = _params(run, data)
    objective, found = objective_for(run.sites(data)), {}
    for player in objective.players:
        found |= _evaluate(run, data, objective, player=player.name).grads
    for name in params:
        _require(name in found, f"no player of {objective} owns parameter '{name}'")
        _require(np.isfinite(found[name]).all(), f"the gradient of '{name}' is not finite")
        _require(np.any(found[name] != 0), f"the gradient of '{name}' is zero: is it detached?")


def _minibatches(run: Program, data: Data) -> None:
    """The mean over the batches of an epoch, the last one ragged, is the full-data loss."""
    table, size = run.sites(data), row_count(data) or 1
    objective = objective_for(table, particles=1)
    if not isinstance(objective, AbstractBound):
        return
    values = _draws(run, data, table, 1)
    whole = probe(run, _params(run, data), data, objective, values=values)
    cuts = np.array_split(np.arange(size)[::-1], 2)
    parts = [
        probe(
            run, _params(run, data), take(data, rows), objective, scale=2.0, total=_total(table),
            values=_values_of(values, table, rows),
        )
        for rows in cuts
    ]  # fmt: skip
    _same(whole.loss, np.mean([p.loss for p in parts]), "loss of an epoch and of the full data")
    for name, grad in whole.grads.items():
        _same(grad, np.mean([p.grads[name] for p in parts], axis=0), f"gradient of '{name}'")


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
        _require(here == there, f"the {side}'s sites differ: {here} and {there}")
    _require(one.plates == two.plates, f"plates differ: {one.plates} and {two.plates}")
    _require(one.rows == two.rows, f"rows differ: {one.rows} and {two.rows}")


def _same_parameters(runs: list[Program], data: Data) -> None:
    one, two = (_params(run, data) for run in runs)
    _require(one.keys() == two.keys(), f"parameters differ: {sorted(one)} and {sorted(two)}")
    for name in one:
        _same(one[name], two[name], f"initial value of '{name}'")


def _same_densities(runs: list[Program], data: Data) -> None:
    """Log density of every site, and loss and gradients, at the same weights and draws."""
    table, params = runs[0].sites(data), _params(runs[0], data)
    values = _draws(runs[0], data, table, 2)
    for side in ("model", "guide") if table.has_guide else ("model",):
        found = [
            load(run.host).log_density(run, params, data, values, side) for run in runs
        ]
        _require(found[0].keys() == found[1].keys(), f"the {side}'s sites differ: {found}")
        for name in found[0]:
            _same(found[0][name], found[1][name], f"log density of '{name}' in the {side}")
    objective = objective_for(table)
    if isinstance(objective, AbstractBound):
        _agree(objective, runs, params, data, values)


_BETWEEN = {
    "has the same sites on both hosts": _same_sites,
    "has the same initial weights on both hosts": _same_parameters,
    "has the same densities and gradients on both hosts": _same_densities,
}


def objective_for(table: SiteTable, particles: int = 2) -> AbstractObjective:
    """Returns an objective that can train a program of these sites."""
    implicit = table.select("model", "implicit")
    if implicit:
        return GAN(on=tuple(s.name for s in implicit))
    if not table.has_guide:
        return ContrastiveDivergence(on=table.select("model", "observed")[0].name)
    return ELBO(particles=particles)


# Objectives.


def _objective_checks(objective: AbstractObjective, hosts: Sequence[str]) -> list[Check]:
    checks = [Check("is written down and read again", partial(_round_trip, objective))]
    for host in hosts:
        for name, requirement in _OBJECTIVE.items():
            checks.append(Check(f"{name} ({host})", partial(requirement, objective, host)))
    if isinstance(objective, AbstractBound) and len(hosts) > 1:
        checks.append(Check("agrees on both hosts", partial(_hosts_agree, objective, hosts)))
    return checks


@lru_cache(maxsize=2)
def _programs(host: str) -> dict[str, tuple[Program, dict[str, np.ndarray]]]:
    """Small programs of every kind, each with data."""
    rng = np.random.default_rng(0)
    real, bits = rng.normal(size=(3, 3)), (rng.random((3, 3)) < 0.5).astype(float)
    kinds = {
        "exact": (FactorAnalysis(3, 2, posterior="exact"), {"x": real}),
        "gaussian": (VAE(3, 2, hidden=(4,), likelihood=Gaussian(0.7)), {"x": real}),
        "bits": (SBN(3, (2, 1)), {"x": bits}),
        "implicit": (Generator(3, hidden=(4,)), {"x": real}),
        "energy": (RBM(3, 2), {"v": bits}),
    }
    return {name: (program(d, host=host), data) for name, (d, data) in kinds.items()}


def _legal(objective: AbstractObjective, host: str) -> dict[str, tuple[Program, dict[str, Any]]]:
    """Returns the programs that the objective accepts; it names a site for those it refuses."""
    found = {}
    for name, (run, data) in _programs(host).items():
        try:
            objective.check(run.sites(data))
        except EstimatorError:
            continue
        found[name] = (run, data)
    _require(bool(found), f"{objective} refuses every kind of program: {sorted(_programs(host))}")
    return found


def _discrete_first(objective: AbstractObjective, host: str) -> tuple[str, Program, Any]:
    """Returns one program whose guide is not exact."""
    legal = _legal(objective, host)
    name = next((n for n in ("bits", "gaussian") if n in legal), next(iter(legal)))
    return name, *legal[name]


def _round_trip(objective: AbstractObjective) -> None:
    again = specs.from_dict(json.loads(json.dumps(specs.to_dict(objective))))
    _require(again == objective, f"it came back as {again!r}")


def _finite_losses(objective: AbstractObjective, host: str) -> None:
    for name, (run, data) in _legal(objective, host).items():
        for player in objective.players:
            got = _evaluate(run, data, objective, player=player.name)
            fine = all(np.isfinite(a).all() for a in (got.loss, *got.grads.values()))
            _require(fine, f"loss or gradient of '{player.name}' is not finite on '{name}'")


def _is_log_p_at_the_posterior(objective: AbstractObjective, host: str) -> None:
    legal = _legal(objective, host)
    if not isinstance(objective, AbstractBound) or "exact" not in legal:
        return
    run, data = legal["exact"]
    params = _params(run, data)
    wanted = run.declaration.log_likelihood(params, data["x"]).mean()
    got = _evaluate(run, data, objective).metrics
    _require("bound" in got, "a bound must log itself: view.record('bound', value)")
    _same(got["bound"], wanted, "bound at the exact posterior and log p(x)")


def _adds_over_rows(objective: AbstractObjective, host: str) -> None:
    """A mean over particles inside a logarithm is to be taken row by row."""
    if not isinstance(objective, AbstractBound):
        return
    name, run, data = _discrete_first(objective, host)
    table, params, size = run.sites(data), _params(run, data), row_count(data) or 1
    values = _draws(run, data, table, _copies(objective, table))
    whole = probe(run, params, data, objective, values=values)
    losses = [
        probe(
            run, params, take(data, [n]), objective, values=_values_of(values, table, [n])
        ).loss
        for n in range(size)
    ]
    _same(whole.loss, np.mean(losses), f"loss of the rows of '{name}' together and alone")


def _hosts_agree(objective: AbstractBound, hosts: Sequence[str]) -> None:
    legal = [_legal(objective, host).keys() for host in hosts]
    _require(legal[0] == legal[1], f"legal programs differ: {legal}")
    runs = [_discrete_first(objective, host)[1] for host in hosts]
    data = _discrete_first(objective, hosts[0])[2]
    table = runs[0].sites(data)
    values = _draws(runs[0], data, table, _copies(objective, table))
    _agree(objective, runs, _params(runs[0], data), data, values)


_OBJECTIVE = {
    "has finite losses and gradients": _finite_losses,
    "is log p(x) at the exact posterior": _is_log_p_at_the_posterior,
    "adds over the rows of a batch": _adds_over_rows,
}


# Parts.


def _installed() -> list[str]:
    return [name for name, parts in HOSTS.items() if all(map(find_spec, parts))]


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise ContractError(message)


def _same(one: Any, two: Any, what: str) -> None:
    """Requires equality to rounding error, relative to the larger of the numbers and 1."""
    one, two = np.asarray(one), np.asarray(two)
    _require(one.shape == two.shape, f"{what} differ in shape: {one.shape} and {two.shape}")
    error = np.max(np.abs(one - two) / np.maximum(1, np.abs(one)), initial=0.0)
    _require(error < _tolerance(), f"{what} differ by {error:.3g} relative")


def _tolerance() -> float:
    kinds = [str(load(h).OPS.float(0.0).dtype) for h in _installed()]
    return 1e-9 if all("64" in kind for kind in kinds) else 1e-4


def _params(run: Program, data: Data) -> dict[str, np.ndarray]:
    return load(run.host).initial(run, data, 0)


def _draws(run: Program, data: Data, table: SiteTable, count: int) -> dict[str, np.ndarray]:
    """Returns draws of the latents, by the guide if there is one."""
    side = "guide" if table.has_guide else "model"
    latent = {s.name for s in table.select(side, "latent")}
    if not latent:
        return {}
    found = load(run.host).sample(run, side, _params(run, data), data, count, 0)
    return {n: np.asarray(v, float) for n, v in found.items() if n in latent}


def _copies(objective: AbstractBound, table: SiteTable) -> int:
    sizes = {s.name: s.enumerable for s in table.guide}
    return objective.particles * prod(sizes[n] for n in getattr(objective, "enumerate", ()))


def _values_of(
    values: Mapping[str, np.ndarray], table: SiteTable, rows: Any
) -> dict[str, np.ndarray]:
    """Returns the draws that belong to some rows of the data."""
    sites = {s.name: s for s in table.guide}
    chosen = {}
    for name, value in values.items():
        dims = [table.plates[p].dim for p in sites[name].plates if p in table.data_plates]
        axis = 1 + len(sites[name].batch_shape) + dims[0] if dims else None
        chosen[name] = value if axis is None else np.take(value, rows, axis=axis)
    return chosen


def _total(table: SiteTable) -> float:
    return float(prod(table.plates[name].full_size for name in table.rows))


def _evaluate(
    run: Program, data: Data, objective: AbstractObjective, *, player: str | None = None
) -> Probe:
    return probe(run, _params(run, data), data, objective, player=player)


def _agree(
    objective: AbstractBound, runs: list[Program], params: Any, data: Data, values: Any
) -> None:
    one, two = (probe(run, params, data, objective, values=values) for run in runs)
    _same(one.loss, two.loss, "loss on the two hosts")
    _require(one.grads.keys() == two.grads.keys(), "gradients on the two hosts differ in names")
    for name in one.grads:
        _same(one.grads[name], two.grads[name], f"gradient of '{name}' on the two hosts")
