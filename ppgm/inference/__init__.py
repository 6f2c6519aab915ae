"""Objectives, which train a program, and methods, which draw from its posterior."""

__all__ = [
    "ELBO",
    "GAN",
    "HMC",
    "IWAE",
    "NUTS",
    "STL",
    "SVI",
    "VIMCO",
    "Anneal",
    "Classification",
    "ContrastiveDivergence",
    "Guide",
    "Importance",
    "Quantisation",
    "Reconstruction",
    "Renyi",
    "SemiSupervised",
    "Sum",
]

from ppgm.inference.contrastive import ContrastiveDivergence
from ppgm.inference.elbo import ELBO, Anneal
from ppgm.inference.gan import GAN
from ppgm.inference.iwae import IWAE
from ppgm.inference.methods import HMC, NUTS, SVI, Guide, Importance
from ppgm.inference.objective import Sum
from ppgm.inference.reconstruction import Quantisation, Reconstruction
from ppgm.inference.renyi import Renyi
from ppgm.inference.semi_supervised import Classification, SemiSupervised
from ppgm.inference.stl import STL
from ppgm.inference.vimco import VIMCO
