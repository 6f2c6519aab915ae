"""Invertible maps with their log determinants, for flows; numpy, torch and jax alike."""

__all__ = [
    "Affine",
    "Autoregressive",
    "Chain",
    "Coupling",
    "Flow",
    "Gated",
    "Householder",
    "Inverse",
    "Permutation",
    "Planar",
    "Radial",
    "Shift",
    "Spline",
    "Sylvester",
    "Transform",
    "masked_autoregressive",
]

from ppgm.transforms.autoregressive import Autoregressive, masked_autoregressive
from ppgm.transforms.coupling import Coupling
from ppgm.transforms.elementwise import Affine, Gated, Shift
from ppgm.transforms.flow import Flow
from ppgm.transforms.householder import Householder
from ppgm.transforms.permutation import Permutation
from ppgm.transforms.planar import Planar
from ppgm.transforms.radial import Radial
from ppgm.transforms.spline import Spline
from ppgm.transforms.sylvester import Sylvester
from ppgm.transforms.transform import Chain, Inverse, Transform
