"""Posterior families, as parts of declarations' guides."""

__all__ = ["Gaussian"]

from ppgm.guides.gaussian import Gaussian
