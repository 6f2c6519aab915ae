"""Latents of a model as an automatic guide needs to know them."""

__all__ = ["Latent"]

from typing import Any, NamedTuple

from ppgm.sites import Plate


class Latent(NamedTuple):
    """A latent site of a model.

    Attributes:
        name: The site.
        shape: Shape of its value, ``(*batch, *event)``.
        event_dim: Number of event axes.
        plates: Plates around it, in the order of their batch axes.
        transform: The host's bijection from the reals to its support; None if it is discrete.
        free: Shape of the reals that the bijection takes, ``(*batch, *free event)``.
        moves: Whether the support changes with the values of other latents.
    """

    name: str
    shape: tuple[int, ...]
    event_dim: int
    plates: tuple[Plate, ...]
    transform: Any
    free: tuple[int, ...]
    moves: bool = False
