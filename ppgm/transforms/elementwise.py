r"""Maps of each coordinate by itself, the parts of coupling and of autoregressive maps.

.. math::
    y = x e^{a} + m, \quad a = B \tanh(r / B) \quad \text{(affine)}, \qquad
    y = \sigma x + (1 - \sigma) m, \quad \sigma = \mathrm{sigmoid}(r + 2) \quad \text{(gated)}

for outputs (m, r) of a network. The gate, which never lets a step blow up, starts nearly open.

References:
    | Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2017),
    | https://arxiv.org/abs/1605.08803
    | Improving Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016),
    | https://arxiv.org/abs/1606.04934
"""

__all__ = ["GATE", "Affine", "Gated", "Shift"]

from dataclasses import dataclass

from ppgm.ops import Array, ops_of

GATE = 2.0
"""What is added to the logit of a gate: sigmoid(2) is 0.88."""


@dataclass(frozen=True)
class Affine:
    """Scales and shifts.

    Attributes:
        raw: m and r of every coordinate, ``(*, D, 2)``. Zeros are the identity.
        bound: B, the largest absolute log scale.
    """

    raw: Array
    bound: float = 3.0

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant ``(*)``."""
        log_scale = self._log_scale()
        return x * ops_of(x).np.exp(log_scale) + self.raw[..., 0], log_scale.sum(-1)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``(*)``."""
        log_scale = self._log_scale()
        return (y - self.raw[..., 0]) * ops_of(y).np.exp(-log_scale), -log_scale.sum(-1)

    def _log_scale(self) -> Array:
        raw = self.raw[..., 1]
        return self.bound * ops_of(raw).np.tanh(raw / self.bound)


@dataclass(frozen=True)
class Gated:
    """Mixes each coordinate with a new value.

    Attributes:
        raw: m and r of every coordinate, ``(*, D, 2)``.
    """

    raw: Array

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant ``(*)``."""
        ops, logit = ops_of(x), self.raw[..., 1] + GATE
        y = ops.sigmoid(logit) * x + ops.sigmoid(-logit) * self.raw[..., 0]
        return y, -ops.softplus(-logit).sum(-1)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``(*)``."""
        ops, logit = ops_of(y), self.raw[..., 1] + GATE
        # 1 / sigmoid(l) is 1 + exp(-l), and sigmoid(-l) / sigmoid(l) is exp(-l)
        closed = ops.np.exp(-logit)
        x = y + closed * (y - self.raw[..., 0])
        return x, ops.softplus(-logit).sum(-1)


@dataclass(frozen=True)
class Shift:
    """Adds numbers; volume is kept.

    Attributes:
        by: What is added, ``(*, D)``.
    """

    by: Array

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant, zeros ``(*)``."""
        return x + self.by, ops_of(x).np.zeros_like(x[..., 0])

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant, zeros ``(*)``."""
        return y - self.by, ops_of(y).np.zeros_like(y[..., 0])
