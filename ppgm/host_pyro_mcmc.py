"""Markov chain Monte Carlo by Pyro's own kernels."""

__all__ = ["nuts"]

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pyro.infer import HMC, MCMC, NUTS

from ppgm.host_pyro_ops import to_numpy, to_tensor
from ppgm.host_pyro_session import session
from ppgm.host_pyro_trace import Tracer
from ppgm.programs import Program

Arrays = dict[str, np.ndarray]


def nuts(
    source: Program,
    params: Mapping[str, np.ndarray],
    data: Mapping[str, Any],
    *,
    warmup: int,
    draws: int,
    chains: int,
    seed: int,
    kernel: str = "nuts",
    target_accept: float = 0.8,
    max_tree_depth: int = 10,
    trajectory: float = 2.0,
    progress: bool = False,
) -> tuple[Arrays, Arrays]:
    """Draws from the posterior of the latents at fixed parameters.

    Returns:
        Draws by site, ``(chains, draws, *shape)``, and statistics by ArviZ's names,
        ``(chains, draws)``.
    """
    tensors = {k: to_tensor(v) for k, v in data.items()}
    found: list[tuple[Arrays, Arrays]] = []
    with session(source, data, params, seed) as work, torch.random.fork_rng(devices=[]):
        work.leaves.freeze()

        def model() -> None:
            with Tracer(work.leaves, networks=work.networks):
                work.program.model(**tensors)

        for chain in range(chains):
            torch.manual_seed(seed + chain)
            found.append(
                _chain(
                    model, kernel, warmup, draws, target_accept, max_tree_depth, trajectory,
                    progress=progress,
                )
            )  # fmt: skip
    stacked = [
        {name: np.stack([run[i][name] for run in found]) for name in found[0][i]} for i in (0, 1)
    ]
    return stacked[0], stacked[1]


def _chain(
    model: Any,
    kind: str,
    warmup: int,
    draws: int,
    target: float,
    depth: int,
    trajectory: float,
    *,
    progress: bool,
) -> tuple[Arrays, Arrays]:
    rows: list[dict[str, float]] = []

    def keep(kernel: Any, _: Any, stage: str, __: int) -> None:
        if stage == "Sample":
            rows.append(_statistics(kernel))

    kernel = (
        NUTS(model, target_accept_prob=target, max_tree_depth=depth)
        if kind == "nuts"
        else HMC(model, target_accept_prob=target, trajectory_length=trajectory)
    )
    mcmc = MCMC(
        kernel, num_samples=draws, warmup_steps=warmup, disable_progbar=not progress, hook_fn=keep
    )
    mcmc.run()
    statistics = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    statistics["acceptance_rate"] = _acceptance(statistics.pop("mean_accept"))
    divergent = np.diff(statistics.pop("divergences"), prepend=0.0) > 0
    samples = {n: to_numpy(v) for n, v in mcmc.get_samples().items()}
    return samples, statistics | {"diverging": divergent}


def _statistics(kernel: Any) -> dict[str, float]:
    return {
        "lp": -float(kernel._potential_energy_last),
        "step_size": float(kernel.step_size),
        "mean_accept": float(kernel._mean_accept_prob),
        "divergences": len(kernel.diagnostics()["divergences"]),
    }


def _acceptance(means: np.ndarray) -> np.ndarray:
    """Returns each draw's acceptance rate from Pyro's running means."""
    totals = means * np.arange(1, len(means) + 1)
    return np.diff(totals, prepend=0.0)
