"""Posterior families, as parts of declarations' guides."""

__all__ = [
    "IAF",
    "AutoGuided",
    "Coupling",
    "FlowjaxFlow",
    "FullRank",
    "Gaussian",
    "Householder",
    "LowRank",
    "Mixture",
    "Planar",
    "Radial",
    "RankOne",
    "Spline",
    "Sylvester",
    "ZukoFlow",
    "auto",
]

from ppgm.guides.automatic import AutoGuided, auto
from ppgm.guides.coupling import Coupling
from ppgm.guides.flowjax_flow import FlowjaxFlow
from ppgm.guides.full_rank import FullRank
from ppgm.guides.gaussian import Gaussian
from ppgm.guides.householder import Householder
from ppgm.guides.iaf import IAF
from ppgm.guides.low_rank import LowRank
from ppgm.guides.mixture import Mixture
from ppgm.guides.planar import Planar
from ppgm.guides.radial import Radial
from ppgm.guides.rank_one import RankOne
from ppgm.guides.spline import Spline
from ppgm.guides.sylvester import Sylvester
from ppgm.guides.zuko_flow import ZukoFlow
