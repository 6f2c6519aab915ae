"""Posterior families, as parts of declarations' guides."""

__all__ = ["Gaussian", "LowRank", "RankOne"]

from ppgm.guides.gaussian import Gaussian
from ppgm.guides.low_rank import LowRank
from ppgm.guides.rank_one import RankOne
