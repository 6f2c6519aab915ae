"""A plug-in for ppgm: one objective, found by its entry point."""

from ppgm_example.chi_bound import ChiBound

__all__ = ["ChiBound"]
