"""What every objective has to satisfy; see `ppgm.testing.contract`."""

__all__ = ["objective_checks"]

import json
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ppgm import specs
from ppgm.errors import EstimatorError
from ppgm.inference.objective import AbstractBound, AbstractObjective
from ppgm.models import (
    M2,
    RBM,
    SBN,
    VAE,
    VQVAE,
    FactorAnalysis,
    Gaussian,
    Generator,
    LinearGaussianSSM,
)
from ppgm.probes import probe
from ppgm.programs import Program, program
from ppgm.rows import row_count, take
from ppgm.sites import SiteTable
from ppgm.testing.contract_parts import (
    Check,
    ContractError,
    agree,
    copies,
    draws,
    evaluate,
    fixed,
    initial,
    require,
    same,
    values_of,
)


def objective_checks(objective: AbstractObjective, hosts: Sequence[str]) -> list[Check]:
    """Lists the checks of an objective, on each host and between them."""
    checks = [Check("is written down and read again", partial(_round_trip, objective))]
    for host in hosts:
        for name, requirement in _OBJECTIVE.items():
            checks.append(Check(f"{name} ({host})", partial(requirement, objective, host)))
    if isinstance(objective, AbstractBound) and len(hosts) > 1:
        checks.append(Check("agrees on both hosts", partial(_hosts_agree, objective, hosts)))
    return checks


@lru_cache(maxsize=2)
def _programs(host: str) -> dict[str, tuple[Program, dict[str, np.ndarray], SiteTable]]:
    """Small programs of every kind, each with data and its sites."""
    rng = np.random.default_rng(0)
    real, bits = rng.normal(size=(3, 3)), (rng.random((3, 3)) < 0.5).astype(float)
    kinds = {
        "exact": (FactorAnalysis(3, 2, posterior="exact"), {"x": real}),
        "gaussian": (VAE(3, 2, hidden=(4,), likelihood=Gaussian(0.7)), {"x": real}),
        "bits": (SBN(3, (2, 1)), {"x": bits}),
        "flat": (SBN(3, (2,)), {"x": bits}),
        "labels": (M2(3, 2, 2, hidden=(4,)), {"x": bits, "y": np.array([1, -1, 0])}),
        "codes": (VQVAE(3, 2, 2, 4, hidden=(4,)), {"x": bits}),
        "implicit": (Generator(3, hidden=(4,)), {"x": real}),
        "energy": (RBM(3, 2), {"v": bits}),
    }
    return _bound(kinds, host)


@lru_cache(maxsize=2)
def _sequences(host: str) -> dict[str, tuple[Program, dict[str, np.ndarray], SiteTable]]:
    """The same of sequences, for objectives that take nothing else."""
    model, x = LinearGaussianSSM(2, 2), np.random.default_rng(0).normal(size=(3, 3, 2))
    # before the last step the weights of an exact posterior are not equal: one step is exact
    return _bound({"gaussian": (model, {"x": x}), "exact": (model, {"x": x[:, :1]})}, host)


def _bound(
    kinds: dict[str, tuple[Any, dict[str, np.ndarray]]], host: str
) -> dict[str, tuple[Program, dict[str, np.ndarray], SiteTable]]:
    bound = {name: (program(d, host=host), data) for name, (d, data) in kinds.items()}
    return {name: (run, data, run.sites(data)) for name, (run, data) in bound.items()}


def _legal(objective: AbstractObjective, host: str) -> dict[str, tuple[Program, dict[str, Any]]]:
    """Returns the programs that the objective accepts; it names a site for those it refuses."""
    for kinds in (_programs, _sequences):
        found = {}
        for name, (run, data, table) in kinds(host).items():
            try:
                objective.check(table)
            except EstimatorError:
                continue
            found[name] = (run, data)
        if found:
            return found
    known = sorted([*_programs(host), "sequences"])
    raise ContractError(f"{objective} refuses every kind of program: {known}")


def _discrete_first(objective: AbstractObjective, host: str) -> tuple[str, Program, Any]:
    """Returns one program whose guide is not exact."""
    legal = _legal(objective, host)
    name = next((n for n in ("bits", "gaussian") if n in legal), next(iter(legal)))
    return name, *legal[name]


def _round_trip(objective: AbstractObjective) -> None:
    again = specs.from_dict(json.loads(json.dumps(specs.to_dict(objective))))
    require(again == objective, f"it came back as {again!r}")


def _finite_losses(objective: AbstractObjective, host: str) -> None:
    for name, (run, data) in _legal(objective, host).items():
        for player in objective.players:
            got = evaluate(run, data, objective, player=player.name)
            fine = all(np.isfinite(a).all() for a in (got.loss, *got.grads.values()))
            require(fine, f"loss or gradient of '{player.name}' is not finite on '{name}'")


def _is_log_p_at_the_posterior(objective: AbstractObjective, host: str) -> None:
    legal = _legal(objective, host)
    if not isinstance(objective, AbstractBound) or "exact" not in legal:
        return
    run, data = legal["exact"]
    params = initial(run, data)
    wanted = run.declaration.log_likelihood(params, data["x"]).mean()
    got = evaluate(run, data, objective).metrics
    require("bound" in got, "a bound must log itself: view.record('bound', value)")
    same(got["bound"], wanted, "bound at the exact posterior and log p(x)")


def _adds_over_rows(objective: AbstractObjective, host: str) -> None:
    """A mean over particles inside a logarithm is to be taken row by row."""
    if not isinstance(objective, AbstractBound):
        return
    name, run, data = _discrete_first(objective, host)
    table, params, size = run.sites(data), initial(run, data), row_count(data) or 1
    values = draws(run, data, table, copies(objective, table))
    whole = probe(run, params, data, objective, values=values)
    if not fixed(objective, run, params, data, values):
        return
    losses = [
        probe(run, params, take(data, [n]), objective, values=values_of(values, table, [n])).loss
        for n in range(size)
    ]
    same(whole.loss, np.mean(losses), f"loss of the rows of '{name}' together and alone")


def _hosts_agree(objective: AbstractBound, hosts: Sequence[str]) -> None:
    legal = [_legal(objective, host).keys() for host in hosts]
    require(legal[0] == legal[1], f"legal programs differ: {legal}")
    runs = [_discrete_first(objective, host)[1] for host in hosts]
    data = _discrete_first(objective, hosts[0])[2]
    table = runs[0].sites(data)
    values = draws(runs[0], data, table, copies(objective, table))
    params = initial(runs[0], data)
    if fixed(objective, runs[0], params, data, values):
        agree(objective, runs, params, data, values)


_OBJECTIVE = {
    "has finite losses and gradients": _finite_losses,
    "is log p(x) at the exact posterior": _is_log_p_at_the_posterior,
    "adds over the rows of a batch": _adds_over_rows,
}
