r"""Networks whose outputs see only some of the inputs, so that a row is predicted in one pass.

With :math:`p(i)` the place of coordinate i in an order, output i depends on the inputs j with
:math:`p(j) < p(i)` alone. Every unit has a degree d: an input its place counted from 1, an output
its place counted from 0, a hidden unit one of those between; a unit sees those below it whose
degree is at most its own.

References:
    | MADE: Masked Autoencoder for Distribution Estimation (Germain et al., 2015),
    | https://arxiv.org/abs/1502.03509
"""

__all__ = ["MADE", "Damped", "order_of"]

from dataclasses import KW_ONLY, dataclass
from itertools import pairwise

import numpy as np

from ppgm.domains import check_size, check_widths
from ppgm.errors import ArgumentError
from ppgm.nets_layers import ACTIVATIONS, Layer, Masked
from ppgm.nets_stack import AbstractStack, Network

Order = tuple[int, ...] | str


@dataclass(frozen=True)
class MADE(AbstractStack):
    """Masked perceptron; from rows ``(*, D)`` to rows ``(*, multiplier * D)``.

    The outputs are parameter-major: the first D are the first parameter of all coordinates. A
    context goes in beside the rows, ``net(x, c)``, each with the batch axes that it has; all
    units of the first layer see it. ``hidden=()`` is a triangular affine map.

    Args:
        features: Number of coordinates D.
        hidden: Widths of the hidden layers, each at least D - 1 (D with a context), since a
            narrower one would cut some coordinate off from an earlier one.
        multiplier: Number of parameters for each coordinate.
        context: Width of the context, 0 for none.
        order: The coordinates from the first to the last: "forward", "reverse" or a permutation
            of 0, ..., D - 1.
        activation: One of `ppgm.nets.ACTIVATIONS`.
    """

    features: int
    hidden: tuple[int, ...]
    multiplier: int
    _: KW_ONLY
    context: int = 0
    order: Order = "forward"
    activation: str = "tanh"

    def __post_init__(self) -> None:
        """Check the fields."""
        check_size(self, "features", "multiplier")
        check_size(self, "context", least=0)
        check_widths(self, "hidden")
        order_of(self.order, self.features)
        if self.activation not in ACTIVATIONS:
            raise ArgumentError(
                f"MADE: activation must be one of {', '.join(ACTIVATIONS)}, "
                f"not {self.activation!r}"
            )
        least = self.features if self.context else self.features - 1
        if self.hidden and min(self.hidden) < least:
            raise ArgumentError(
                f"MADE: hidden must hold widths of at least {least}, so that every one of the "
                f"{self.features} coordinates can depend on all before it, not {self.hidden!r}"
            )

    @property
    def inputs(self) -> int:
        """Width of the rows that go in, with their context."""
        return self.features + self.context

    @property
    def outputs(self) -> int:
        """Width of the rows that come out, ``multiplier * D``."""
        return self.multiplier * self.features

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers, first to last."""
        place = np.argsort(order_of(self.order, self.features))
        degrees = [(*(int(p) + 1 for p in place), *([0] * self.context))]
        degrees += [self._hidden(width) for width in self.hidden]
        degrees += [tuple(int(p) for p in place) * self.multiplier]
        return tuple(Masked(before, after) for before, after in pairwise(degrees))

    def _hidden(self, width: int) -> tuple[int, ...]:
        """Return degrees spread evenly; those of 0 see the context alone."""
        least = 0 if self.context or self.features == 1 else 1
        return tuple(least + unit * (self.features - least) // width for unit in range(width))


@dataclass(frozen=True)
class Damped:
    """A network whose last layer starts small, so that what is made of it starts near a constant.

    Args:
        net: The network.
        factor: What the initial weights and biases of its last layer are multiplied by.
    """

    net: Network
    factor: float = 0.01

    @property
    def inputs(self) -> int:
        """Width of the rows that go in."""
        return self.net.inputs

    @property
    def outputs(self) -> int:
        """Width of the rows that come out."""
        return self.net.outputs

    @property
    def activation(self) -> str:
        """The network's own."""
        return self.net.activation

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers, first to last."""
        return self.net.layers()

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name, in order."""
        return self.net.parameters()

    def initial(self, seed: int, name: str) -> dict[str, np.ndarray]:
        """Return the network's initial parameters, those of the last layer made small."""
        last = f"layers.{len(self.layers()) - 1}."
        arrays = self.net.initial(seed, name)
        return {n: v * self.factor if n.startswith(last) else v for n, v in arrays.items()}


def order_of(order: Order, size: int) -> tuple[int, ...]:
    """Return the coordinates from the first to the last.

    Args:
        order: "forward", "reverse" or a permutation of 0, ..., size - 1.
        size: Number of coordinates.

    Raises:
        ArgumentError: If it is none of these.
    """
    if order == "forward":
        return tuple(range(size))
    if order == "reverse":
        return tuple(range(size))[::-1]
    if isinstance(order, str) or sorted(order) != list(range(size)):
        raise ArgumentError(
            f"order must be 'forward', 'reverse' or a permutation of 0, ..., {size - 1}, "
            f"not {order!r}"
        )
    return tuple(int(i) for i in order)
