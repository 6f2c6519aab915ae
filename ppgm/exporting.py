"""Going on with a host's own tools after `ppgm.fit`.

`Fit.native_params` gives what NumPyro's ``Predictive(..., params=...)`` and ``SVI.init`` take.
`Fit.install` puts trained values where Pyro looks for them: into its parameter store and into the
modules of model and guide. `ppgm.fit` itself touches neither.
"""

__all__ = ["install", "native_params"]

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ppgm.errors import ArgumentError
from ppgm.fits import Fit


def native_params(fit: Fit, data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the trained parameters by the host's own names.

    Args:
        fit: The fit.
        data: Data to run the program with, to find its parameters; a few rows will do.

    Returns:
        Constrained tensors on Pyro, arrays and pytrees of networks on NumPyro.
    """
    host = import_module(f"ppgm.host_{fit.program.host}_export")
    return host.native_params(fit.program, fit.params, data)


def install(fit: Fit, data: Mapping[str, Any]) -> None:
    """Sets Pyro's global parameter store, and the modules of model and guide, to the fit's values.

    Args:
        fit: The fit of a Pyro program.
        data: Data to run the program with, to find its parameters; a few rows will do.

    Raises:
        ArgumentError: On NumPyro, which has no store: hand it `Fit.native_params`.
    """
    if fit.program.host != "pyro":
        raise ArgumentError(
            f"fit is of a {fit.program.host} program, which has no parameter store: give "
            "fit.native_params(data) to Predictive or SVI"
        )
    import_module("ppgm.host_pyro_export").install(fit.program, fit.params, data)
