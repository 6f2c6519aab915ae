"""Invertible maps with their log determinants, for flows; numpy, torch and jax alike."""

__all__ = ["Chain", "Flow", "Inverse", "Transform"]

from ppgm.transforms.flow import Flow
from ppgm.transforms.transform import Chain, Inverse, Transform
