"""What ppgm needs of a host, and how a host is loaded.

A host is a module, `ppgm.host_pyro` or `ppgm.host_numpyro`, with the functions that `Host`
lists. Only those modules (and their ``host_pyro_*``, ``host_numpyro_*`` parts and the network
builders) import a probabilistic programming language or its array library.
"""

__all__ = ["HOSTS", "Host", "load"]

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, cast

import numpy as np

from ppgm.errors import ArgumentError, did_you_mean, missing

HOSTS = {"pyro": ("pyro", "torch"), "numpyro": ("numpyro", "jax", "equinox", "optax")}
"""Names of the hosts, each with the packages that it imports."""

Arrays = dict[str, np.ndarray]


class Host(Protocol):
    """Functions of a host module: data and parameters are numpy dicts, in and out."""

    NAME: str
    OPS: Any
    bind: Callable[..., tuple[Callable[..., Any], Callable[..., Any] | None]]
    initial: Callable[..., Arrays]
    trace: Callable[..., dict[str, Any]]
    log_weights: Callable[..., np.ndarray]
    weigher: Callable[..., Any]
    within: Callable[..., Any]
    sample: Callable[..., Arrays]
    log_density: Callable[..., Arrays]
    kernel: Callable[..., np.ndarray]
    nuts: Callable[..., tuple[Arrays, Arrays]]
    gradient_moments: Callable[..., tuple[Any, ...]]
    relations: Callable[..., list[tuple[str, str]]]
    trainer: Callable[..., Any]
    native: Callable[..., Any]
    probe: Callable[..., Any]


def load(name: str) -> Host:
    """Imports the host called `name` and returns its module.

    Raises:
        ArgumentError: If `name` is not a host.
        MissingDependencyError: If the host is not installed; names the pip command.
    """
    if name not in HOSTS:
        hint = did_you_mean(name, HOSTS)
        raise ArgumentError(f"host must be one of {sorted(HOSTS)}, not '{name}'{hint}")
    for package in HOSTS[name]:
        if find_spec(package) is None:
            raise missing(package, name)
    return cast(Host, import_module(f"ppgm.host_{name}"))
