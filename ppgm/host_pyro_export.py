"""Trained parameters handed over to Pyro's own tools."""

__all__ = ["install", "native_params"]

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor
from torch.distributions import transform_to

from ppgm.host_pyro_ops import to_tensor
from ppgm.host_pyro_session import session
from ppgm.host_pyro_trace import canonical
from ppgm.programs import Program


def native_params(
    source: Program, params: Mapping[str, np.ndarray], data: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Returns constrained parameters by Pyro's own names."""
    with session(source, data, params, 0) as work, torch.no_grad():
        return {n: work.leaves.constrained(n).clone() for n in work.leaves.tensors}


def install(source: Program, params: Mapping[str, np.ndarray], data: Mapping[str, Any]) -> None:
    """Sets Pyro's parameter store, and the modules of model and guide."""
    names = list(native_params(source, params, data))
    store = pyro.get_param_store()
    for name in [n for n in names if n in store]:  # else a module would not be what is stored
        del store[name]
    tensors = {k: to_tensor(v) for k, v in data.items()}
    with torch.no_grad(), torch.random.fork_rng(devices=[]), pyro.poutine.block():
        for call in (source.guide, source.model):
            if call is not None:
                call(**tensors)
        for name in names:
            leaf = store._params[name]
            value = torch.as_tensor(np.array(params[canonical(name)]), dtype=leaf.dtype)
            leaf.copy_(transform_to(store._constraints[name]).inv(value))
