"""Models of the literature, as declarations that run on both hosts."""

__all__ = [
    "DLGM",
    "RBM",
    "SBN",
    "VAE",
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "FactorAnalysis",
    "Gaussian",
    "Generator",
]

from ppgm.models.dlgm import DLGM
from ppgm.models.factor_analysis import FactorAnalysis
from ppgm.models.generator import Generator
from ppgm.models.likelihoods import Bernoulli, Categorical, ContinuousBernoulli, Gaussian
from ppgm.models.rbm import RBM
from ppgm.models.sbn import SBN
from ppgm.models.vae import VAE
