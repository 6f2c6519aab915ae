"""Markov chain Monte Carlo by NumPyro's own kernels."""

__all__ = ["nuts"]

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from numpyro import handlers
from numpyro.infer import HMC, MCMC, NUTS

from ppgm.host_numpyro_ops import to_array, to_numpy
from ppgm.host_numpyro_run import open_setup
from ppgm.programs import Program

Arrays = dict[str, np.ndarray]

FIELDS = {
    "potential_energy": "lp",
    "energy": "energy",
    "diverging": "diverging",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "adapt_state.step_size": "step_size",
}
"""NumPyro's names of statistics, and ArviZ's."""


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
    arrays = {k: to_array(v) for k, v in data.items()}
    setup = open_setup(source, data, params, seed)
    model = handlers.substitute(setup.program.model, data=setup.params)
    made = (
        NUTS(model, target_accept_prob=target_accept, max_tree_depth=max_tree_depth)
        if kernel == "nuts"
        else HMC(model, target_accept_prob=target_accept, trajectory_length=trajectory)
    )
    mcmc = MCMC(
        made, num_warmup=warmup, num_samples=draws, num_chains=chains, progress_bar=progress,
        chain_method="vectorized",
    )  # fmt: skip
    mcmc.run(jax.random.key(seed), extra_fields=tuple(FIELDS), **arrays)
    found = mcmc.get_extra_fields(group_by_chain=True)
    statistics = {FIELDS[n]: to_numpy(v) for n, v in found.items()}
    statistics["lp"] = -statistics["lp"]
    if kernel == "nuts":
        steps = np.asarray(statistics["n_steps"])
        statistics["tree_depth"] = np.floor(np.log2(np.maximum(steps, 1))).astype(int) + 1
    latent = {n for n, s in _sites(model, arrays, seed).items() if not s["is_observed"]}
    samples = mcmc.get_samples(group_by_chain=True)
    return {n: to_numpy(v) for n, v in samples.items() if n in latent}, statistics


def _sites(model: Any, arrays: Mapping[str, Any], seed: int) -> dict[str, Any]:
    sites = handlers.trace(handlers.seed(model, seed)).get_trace(**arrays)
    return {n: s for n, s in sites.items() if s["type"] == "sample"}
