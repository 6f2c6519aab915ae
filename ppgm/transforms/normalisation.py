r"""Activation normalisation: a shift and a scale for each coordinate, from noise to data.

.. math:: y = m + e^s x

Turned round, as a density model applies it to data, it takes a mean m away and divides by a
standard deviation :math:`e^s`: the values to start from are those of the activations of some
rows of data, which `ActNorm.of` finds.

References:
    | Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
    | https://arxiv.org/abs/1807.03039
"""

__all__ = ["ActNorm"]

from dataclasses import dataclass

from ppgm.ops import Array, ops_of

LEAST = 1e-3
"""Least standard deviation that `ActNorm.of` takes for one: a column may be constant."""


@dataclass(frozen=True)
class ActNorm:
    """Shift and scale of channels; a vector holds the positions of one channel side by side.

    Attributes:
        shift: m, ``(*, C)``.
        log_scale: s, ``(*, C)``.
    """

    shift: Array
    log_scale: Array

    @staticmethod
    def of(y: Array, channels: int) -> "ActNorm":
        """Returns the map whose inverse gives rows mean 0 and standard deviation 1 by channel.

        Args:
            y: Rows, ``(N, C * P)``.
            channels: Number of channels C.
        """
        xp = ops_of(y).np
        parts = xp.reshape(y, (-1, channels, y.shape[-1] // channels))
        mean = xp.mean(parts, axis=(0, 2))
        square = xp.mean((parts - mean[:, None]) ** 2, axis=(0, 2))
        return ActNorm(mean, xp.log(xp.clip(square, LEAST**2, None)) / 2)

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant ``(*)``, P times the sum of s."""
        shift, log_scale = self._spread(x)
        return shift + ops_of(x).np.exp(log_scale) * x, log_scale.sum(-1)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``(*)``."""
        shift, log_scale = self._spread(y)
        return (y - shift) * ops_of(y).np.exp(-log_scale), -log_scale.sum(-1)

    def _spread(self, x: Array) -> tuple[Array, Array]:
        """Returns both parameters for every coordinate, ``(*, D)``."""
        positions = x.shape[-1] // self.shift.shape[-1]
        if positions == 1:
            return self.shift, self.log_scale
        return _repeated(self.shift, positions), _repeated(self.log_scale, positions)


def _repeated(by_channel: Array, positions: int) -> Array:
    """Returns ``(*, C)`` with every number in as many places, ``(*, C * positions)``."""
    shape = (*by_channel.shape, positions)
    whole = ops_of(by_channel).np.broadcast_to(by_channel[..., None], shape)
    return whole.reshape((*shape[:-2], shape[-2] * positions))
