"""Either host alone is enough; the other's absence is an error that says what to install."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
for name in {hidden!r}:
    sys.modules[name] = None  # as if it were not installed

import numpy as np
import ppgm
from ppgm.errors import MissingDependencyError
from ppgm.inference import ELBO
from ppgm.models import VAE

x = (np.random.default_rng(0).random((20, 6)) < 0.5).astype("float32")
program = ppgm.program(VAE(6, 2, (4,)), host={host!r})
fit = ppgm.fit(program, {{"x": x}}, ELBO(), epochs=2, batch_size=8)
try:
    ppgm.program(VAE(6, 2), host={other!r})
    message = ""
except MissingDependencyError as error:
    message = str(error)
entries = [entry.name for entry in ppgm.registry.catalogue("models")]
loaded = [name for name in {hidden!r} if sys.modules.get(name) is not None]
print(json.dumps([bool(np.isfinite(fit.history["bound"]).all()), message, entries, loaded]))
"""

HIDDEN = {"pyro": ["jax", "numpyro", "equinox", "optax"], "numpyro": ["torch", "pyro"]}


@pytest.mark.parametrize("host", ["pyro", "numpyro"])
def test_one_host_imports_lists_and_fits_without_the_other(host):
    other = "numpyro" if host == "pyro" else "pyro"
    code = SCRIPT.format(hidden=HIDDEN[host], host=host, other=other)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr

    finite, message, entries, loaded = json.loads(run.stdout.splitlines()[-1])
    assert finite
    assert f"pip install 'ppgm[{other}]'" in message
    assert "vae" in entries
    assert loaded == []
