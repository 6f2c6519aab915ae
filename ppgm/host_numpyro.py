"""NumPyro as a host of ppgm; see `ppgm.host.Host`."""

__all__ = [
    "NAME",
    "OPS",
    "bind",
    "gradient_moments",
    "initial",
    "kernel",
    "log_density",
    "log_weights",
    "native",
    "nuts",
    "probe",
    "relations",
    "sample",
    "trace",
    "trainer",
    "weigher",
    "within",
]

from ppgm.host_numpyro_answers import (
    initial,
    kernel,
    log_density,
    log_weights,
    sample,
    trace,
    weigher,
    within,
)
from ppgm.host_numpyro_mcmc import nuts
from ppgm.host_numpyro_native import NumpyroLoss as native
from ppgm.host_numpyro_ops import OPS
from ppgm.host_numpyro_ppl import bind
from ppgm.host_numpyro_probe import gradient_moments, probe
from ppgm.host_numpyro_relations import relations
from ppgm.host_numpyro_train import NumpyroTrainer as trainer

NAME = "numpyro"
