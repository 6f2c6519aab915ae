"""Models of the literature, as declarations that run on both hosts."""

__all__ = [
    "CVAE",
    "DKF",
    "DLGM",
    "FFJORD",
    "HMM",
    "Autoencoder",
    "DenoisingAutoencoder",
    "M1",
    "M1M2",
    "M2",
    "MAF",
    "NICE",
    "NSF",
    "RBM",
    "SBN",
    "VAE",
    "VQVAE",
    "VampVAE",
    "Bernoulli",
    "Categorical",
    "ConditionalNet",
    "ConditionalSBN",
    "ContinuousBernoulli",
    "DiscretisedLogistic",
    "FactorAnalysis",
    "FullSBN",
    "Gaussian",
    "Generator",
    "Glow",
    "LinearGaussianSSM",
    "NegativeBinomial",
    "Poisson",
    "RealNVP",
    "features",
    "normalised",
]

from ppgm.models.autoencoder import Autoencoder, DenoisingAutoencoder
from ppgm.models.conditional_net import ConditionalNet
from ppgm.models.cvae import CVAE
from ppgm.models.density import normalised
from ppgm.models.dkf import DKF
from ppgm.models.dlgm import DLGM
from ppgm.models.factor_analysis import FactorAnalysis
from ppgm.models.ffjord import FFJORD
from ppgm.models.generator import Generator
from ppgm.models.glow import Glow
from ppgm.models.hmm import HMM
from ppgm.models.likelihoods import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    DiscretisedLogistic,
    Gaussian,
    NegativeBinomial,
    Poisson,
)
from ppgm.models.linear_gaussian_ssm import LinearGaussianSSM
from ppgm.models.m1 import M1, features
from ppgm.models.m1m2 import M1M2
from ppgm.models.m2 import M2
from ppgm.models.maf import MAF
from ppgm.models.nice import NICE
from ppgm.models.rbm import RBM
from ppgm.models.real_nvp import RealNVP
from ppgm.models.sbn import SBN
from ppgm.models.sbn_conditional import ConditionalSBN
from ppgm.models.sbn_full import FullSBN
from ppgm.models.spline_flow import NSF
from ppgm.models.vae import VAE
from ppgm.models.vamp import VampVAE
from ppgm.models.vqvae import VQVAE
