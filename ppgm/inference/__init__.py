"""Objectives, which train a program, and methods, which draw from its posterior."""

__all__ = [
    "ARM",
    "CUBO",
    "ELBO",
    "FIVO",
    "GAN",
    "HMC",
    "IWAE",
    "NUTS",
    "NVIL",
    "REINFORCE",
    "RLOO",
    "RWS",
    "STL",
    "SVI",
    "VIMCO",
    "Anneal",
    "Antithetic",
    "Classification",
    "ContrastiveDivergence",
    "DReG",
    "DisARM",
    "DoublyReparameterised",
    "Enumerate",
    "Guide",
    "Gumbel",
    "Importance",
    "LeaveOneOut",
    "ParticleFilter",
    "Path",
    "Quantisation",
    "Reconstruction",
    "Renyi",
    "SemiSupervised",
    "Score",
    "StickTheLanding",
    "Sum",
    "ThermodynamicELBO",
    "WakeSleep",
]

from ppgm.inference.contrastive import ContrastiveDivergence
from ppgm.inference.cubo import CUBO
from ppgm.inference.disarm import ARM, Antithetic, DisARM
from ppgm.inference.dreg import DoublyReparameterised, DReG
from ppgm.inference.elbo import ELBO
from ppgm.inference.enumerated import Enumerate
from ppgm.inference.fivo import FIVO
from ppgm.inference.gan import GAN
from ppgm.inference.gumbel import Gumbel
from ppgm.inference.iwae import IWAE
from ppgm.inference.methods import HMC, NUTS, SVI, Guide, Importance
from ppgm.inference.nvil import NVIL
from ppgm.inference.objective import Sum
from ppgm.inference.particle_filter import ParticleFilter
from ppgm.inference.path import Path
from ppgm.inference.reconstruction import Quantisation, Reconstruction
from ppgm.inference.renyi import Renyi
from ppgm.inference.rws import RWS, WakeSleep
from ppgm.inference.schedules import Anneal
from ppgm.inference.score import REINFORCE, Score
from ppgm.inference.semi_supervised import Classification, SemiSupervised
from ppgm.inference.stl import STL, StickTheLanding
from ppgm.inference.tvo import ThermodynamicELBO
from ppgm.inference.vimco import RLOO, VIMCO, LeaveOneOut
