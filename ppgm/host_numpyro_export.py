"""Trained parameters handed over to NumPyro's own tools."""

__all__ = ["native_params"]

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppgm.host_numpyro_run import Params, open_setup
from ppgm.programs import Program


def native_params(
    source: Program, params: Mapping[str, np.ndarray], data: Mapping[str, Any]
) -> Params:
    """Returns constrained parameters by NumPyro's own names; those of a module are a pytree."""
    return open_setup(source, data, params).params
