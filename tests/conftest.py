"""Fixtures for all tests, and what is skipped when a host is not installed."""

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from ppgm.errors import MissingDependencyError

os.environ.setdefault("MPLBACKEND", "Agg")

PACKAGES = {"pyro": ("pyro", "torch"), "numpyro": ("numpyro", "jax")}
MISSING = {host for host, parts in PACKAGES.items() if not all(map(find_spec, parts))}
# Values of test parameters that stand for a host or for its array library.
NEEDED = {"pyro": "pyro", "torch": "pyro", "numpyro": "numpyro", "jax": "numpyro"}


def pytest_report_header() -> str:
    have = ", ".join(sorted(PACKAGES.keys() - MISSING)) or "none"
    return f"ppgm hosts: {have}"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leaves out files that import a missing host at the top: the other half still runs."""
    if collection_path.suffix != ".py" or not MISSING:
        return None
    roots = "|".join(part for host in MISSING for part in (*PACKAGES[host], "equinox", "optax"))
    text = collection_path.read_text()
    return True if re.search(rf"^(import|from) ({roots})\b", text, re.MULTILINE) else None


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs a missing host, and marks what compiles for long.

    A file with ``LONG_ON_NUMPYRO = True`` runs on NumPyro among the slow tests only: each test
    compiles for seconds there, and the contract compares the hosts with each other.
    """
    for item in items:
        parameters = getattr(item, "callspec", None)
        values = parameters.params.values() if parameters else ()
        long = getattr(getattr(item, "module", None), "LONG_ON_NUMPYRO", False)
        if long and not MISSING and "numpyro" in [v for v in values if isinstance(v, str)]:
            item.add_marker(pytest.mark.slow)
        for value in values:
            host = NEEDED.get(value) if isinstance(value, str) else None
            if host in MISSING:
                item.add_marker(pytest.mark.skip(reason=f"{host} is not installed"))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Skips a test that turns to a missing host by name: its error says which."""
    try:
        return (yield)
    except MissingDependencyError as error:
        for host in MISSING:
            if str(error).startswith(f"'{host}' is needed here"):
                pytest.skip(f"{host} is not installed")
        raise


@pytest.fixture(params=["pyro", "numpyro"])
def host(request: pytest.FixtureRequest) -> str:
    """Name of a host; a test that asks for it runs on each one that is installed."""
    return request.param


@pytest.fixture(autouse=True)
def isolated():
    """Seeds what has a global seed, and clears what is global, where it is loaded."""
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    yield
    if "pyro" in sys.modules:
        sys.modules["pyro"].clear_param_store()


@pytest.fixture
def f64():
    """Double precision by default in torch and in JAX, restored afterwards."""
    restore = []
    if "pyro" not in MISSING:
        import torch

        before = torch.get_default_dtype()
        restore.append(lambda: torch.set_default_dtype(before))
        torch.set_default_dtype(torch.float64)
    if "numpyro" not in MISSING:
        import jax

        x64 = jax.config.jax_enable_x64
        restore.append(lambda: jax.config.update("jax_enable_x64", x64))
        jax.config.update("jax_enable_x64", True)
    yield
    for undo in restore:
        undo()


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(20_260_101)
