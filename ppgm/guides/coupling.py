r"""Posteriors by affine coupling layers.

.. math::
    z_B' = z_B \odot e^{a} + m, \quad z_A' = z_A, \quad (m, a) = f_t(z_A, h(x))

with the halves A and B taking turns. Both directions take one pass, so that the density of any
value is as cheap as a draw: the family of choice where an objective cuts draws (RWS, STL, DReG).

References:
    | Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2017),
    | https://arxiv.org/abs/1605.08803
"""

__all__ = ["Coupling"]

from dataclasses import dataclass
from functools import partial
from typing import Any

from ppgm import transforms
from ppgm.domains import check_number, check_size, check_widths
from ppgm.errors import ArgumentError
from ppgm.guides.flows import AbstractFlow
from ppgm.nets import MLP, Damped
from ppgm.ops import Array
from ppgm.transforms import Affine, Chain, Transform
from ppgm.transforms.coupling import halves


@dataclass(frozen=True)
class Coupling(AbstractFlow):
    """Affine coupling layers; networks "<site>.coupling0", "<site>.coupling1", ...

    Args:
        depth: Number of layers; every coordinate is moved by every other one.
        hidden: Widths of the hidden layers of each network.
        summary: Width of h; None for as many numbers as coordinates, 0 for none.
        bound: Largest absolute log scale of a layer.
        activation: Activation of the networks.
    """

    depth: int = 4
    hidden: tuple[int, ...] = (64, 64)
    summary: int | None = None
    bound: float = 3.0
    activation: str = "tanh"

    def __post_init__(self) -> None:
        check_size(self, "depth")
        check_widths(self, "hidden")
        check_number(self, "bound", above=0.0)
        if self.summary is not None:
            check_size(self, "summary", least=0)
        MLP(1, (), 1, activation=self.activation)

    def extra(self, latent: int) -> int:
        """The summary."""
        if latent < 2:
            raise ArgumentError(
                f"Coupling: a posterior of {latent} coordinate has no halves; use Planar(...), "
                "IAF(...) or Mixture(...)"
            )
        return latent if self.summary is None else self.summary

    def transform(self, ppl: Any, context: Array, latent: int, name: str) -> Transform:
        """Returns the layers, one after another."""
        seen = context if self.extra(latent) else None
        build = partial(Affine, bound=self.bound)
        layers = []
        for t in range(self.depth):
            flip = t % 2 == 1
            kept, moved = halves(latent, flip=flip)
            spec = MLP(kept + self.extra(latent), self.hidden, 2 * moved,
                       activation=self.activation)  # fmt: skip
            net = ppl.module(f"{name}.coupling{t}", Damped(spec))
            layers.append(transforms.Coupling(net, build, flip, seen))
        return Chain(tuple(layers))
