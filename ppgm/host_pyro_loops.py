"""Particles of Pyro programs that do not broadcast: one run for each, in turn.

Particles are an outer plate where a program lets them be. Many programs do not: ``x @ w`` with
one vector ``w``, ``torch.nn.Linear`` with drawn weights, convolutions of drawn images. A plate
would make these fail or, worse, compute something else. `broadcasts` finds out by comparing two
particles in a plate with two runs, once for each program.
"""

__all__ = ["broadcasts", "natural", "pair_in_turn", "run_in_turn"]

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ppgm.host_pyro_trace import Tracer, kind_of, plates_of, to_term
from ppgm.terms import Term

Once = Callable[[Mapping[str, Any], int], tuple[Tracer, Tracer]]
"""Runs guide and model with some values given, for a number of particles."""


def broadcasts(once: Once, dims: int) -> bool:
    """Tells whether particles in a plate get what each gets in a run of its own."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            wide = once({}, 2)
            both = [_terms(run, dims) for run in wide]
        except (RuntimeError, ValueError, IndexError):  # shapes that do not go together
            return False
        shared = {n: v for run in wide for n, v in run.subsamples.items()}
        drawn = {n: natural(m, dims) for n, m in wide[0].sites.items() if kind_of(m) == "latent"}
        for k in range(2):
            alone = once({n: v[k] for n, v in drawn.items()} | shared, 1)
            if not all(
                _agree(terms, _terms(run, dims), k) for terms, run in zip(both, alone, strict=True)
            ):
                return False
    return True


def natural(msg: Any, dims: int) -> Tensor:
    """Returns a site's values ``(K, *batch, *event)``, without axes of plates around it."""
    event = tuple(msg["fn"].event_shape)
    value = msg["value"]
    depth = max([-p.dim for p in plates_of(msg)], default=0)
    lead = value.ndim - len(event)
    batch = tuple(value.shape[lead - depth : lead])
    return value.reshape((-1, *batch, *value.shape[lead:]))


def pair_in_turn(
    once: Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[Any, dict[str, Tensor]]],
    given: Mapping[str, Tensor],
    noise: Mapping[str, Tensor],
    copies: int,
) -> tuple[list[Term], list[Term]]:
    """Returns the terms of all particles; they share one subsample of every plate."""
    found: list[tuple[list[Term], list[Term]]] = []
    shared: dict[str, Tensor] = {}
    for k in range(copies):
        mine = {n: v[k] for n, v in given.items()} | shared
        terms, shared = once(mine, {n: v[k] for n, v in noise.items()})
        found.append(terms)
    return _stack([f[0] for f in found]), _stack([f[1] for f in found])


def run_in_turn(
    run: Callable[[Mapping[str, Any]], Tracer], values: Mapping[str, Tensor], draws: int
) -> list[Tracer]:
    """Runs one side once for each draw; the runs share one subsample of every plate."""
    runs: list[Tracer] = []
    for k in range(draws):
        shared = runs[0].subsamples if runs else {}
        runs.append(run({n: v[k] for n, v in values.items()} | shared))
    return runs


def _stack(runs: list[list[Term]]) -> list[Term]:
    return [
        terms[0]._replace(
            value=torch.stack([torch.as_tensor(t.value) for t in terms]),
            log_prob=torch.cat([t.log_prob for t in terms]),
            drawn=_joined([t.drawn for t in terms]),
            logits=_joined([t.logits for t in terms]),
        )
        for terms in zip(*runs, strict=True)
    ]


def _joined(arrays: list[Tensor | None]) -> Tensor | None:
    found = [a for a in arrays if a is not None]
    return torch.cat(found) if found else None


def _terms(run: Tracer, dims: int) -> dict[str, Tensor]:
    return {
        n: to_term(m, "", dims).log_prob
        for n, m in run.sites.items()
        if kind_of(m) != "deterministic"
    }


def _agree(wide: Mapping[str, Tensor], alone: Mapping[str, Tensor], k: int) -> bool:
    for name, value in alone.items():
        both = wide[name]
        if both.ndim != value.ndim or both.shape[1:] != value.shape[1:] or len(both) > 2:
            return False
        mine = both[k if len(both) == 2 else 0]
        if not torch.allclose(mine, value[0], rtol=1e-3, atol=1e-4, equal_nan=True):
            return False
    return True
