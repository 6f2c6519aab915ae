"""Pyro as a host of ppgm; see `ppgm.host.Host`."""

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

from ppgm.host_pyro_answers import (
    initial,
    kernel,
    log_density,
    log_weights,
    sample,
    trace,
    weigher,
    within,
)
from ppgm.host_pyro_mcmc import nuts
from ppgm.host_pyro_native import PyroLoss as native
from ppgm.host_pyro_ops import OPS
from ppgm.host_pyro_ppl import bind
from ppgm.host_pyro_probe import gradient_moments, probe
from ppgm.host_pyro_relations import relations
from ppgm.host_pyro_train import PyroTrainer as trainer

NAME = "pyro"
