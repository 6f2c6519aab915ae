"""Deep generative models as probabilistic programs, on Pyro and NumPyro.

Names are imported on first use: ``import ppgm`` loads no host and no plotting library.
"""

__all__ = [
    "EarlyStopping",
    "Fit",
    "Posterior",
    "Prediction",
    "Program",
    "__version__",
    "active_units",
    "data",
    "diagnostics",
    "errors",
    "estimators",
    "evaluate",
    "fit",
    "forecast",
    "gradients",
    "graph",
    "graphs",
    "guides",
    "infer",
    "inference",
    "interpolate",
    "load",
    "models",
    "nets",
    "optimisers",
    "plots",
    "predict",
    "program",
    "registry",
    "sample",
    "smooth",
    "testing",
    "transforms",
]

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ppgm import (
        data,
        diagnostics,
        errors,
        graphs,
        guides,
        inference,
        models,
        nets,
        optimisers,
        plots,
        registry,
        testing,
        transforms,
    )
    from ppgm.answers import infer
    from ppgm.estimator_table import estimators
    from ppgm.evaluation import evaluate
    from ppgm.fits import EarlyStopping, Fit
    from ppgm.fitting import fit
    from ppgm.forecasting import forecast, interpolate, smooth
    from ppgm.graphs import graph
    from ppgm.microscope import gradients
    from ppgm.posterior import Posterior
    from ppgm.predicting import Prediction, predict
    from ppgm.programs import Program, program
    from ppgm.sampling import sample
    from ppgm.saving import load
    from ppgm.units import active_units

_HOMES = {
    "EarlyStopping": "fits",
    "Fit": "fits",
    "fit": "fitting",
    "forecast": "forecasting",
    "interpolate": "forecasting",
    "smooth": "forecasting",
    "Posterior": "posterior",
    "Prediction": "predicting",
    "predict": "predicting",
    "Program": "programs",
    "program": "programs",
    "active_units": "units",
    "estimators": "estimator_table",
    "evaluate": "evaluation",
    "gradients": "microscope",
    "graph": "graphs",
    "infer": "answers",
    "sample": "sampling",
    "load": "saving",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"ppgm.{_HOMES[name]}"), name)
    if name in __all__:
        return import_module(f"ppgm.{name}")
    raise AttributeError(f"module 'ppgm' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
