"""Bits that depend on each other: each on those before it, as a portable distribution."""

__all__ = ["AutoregressiveBernoulli"]

from dataclasses import dataclass

from ppgm.distributions import Rng
from ppgm.loops import scan
from ppgm.ops import Array, ops_of


@dataclass(frozen=True)
class AutoregressiveBernoulli:
    r"""Bits of which each depends on those before it, with logits :math:`a` and weights W.

    .. math:: p(s) = \prod_i B\Big(s_i; \sigma\Big(a_i + \sum_{j < i} W_{ij} s_j\Big)\Big)

    Only the entries of W below the diagonal are used: the others have the derivative zero. A
    given value is scored in one pass, a draw is made bit by bit.

    Attributes:
        logits: Logits a, ``(*, D)``.
        weight: Weights W, ``(D, D)``.

    References:
        | Connectionist Learning of Belief Networks (Neal, 1992)
        | https://doi.org/10.1016/0004-3702(92)90065-6
        | Deep AutoRegressive Networks (Gregor et al., 2014), https://arxiv.org/abs/1310.8499
    """

    logits: Array
    weight: Array
    support = "boolean"
    reparameterised = False
    normalised = True

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """All but the last axis of the logits."""
        return tuple(self.logits.shape[:-1])

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The last axis of the logits."""
        return tuple(self.logits.shape[-1:])

    def log_prob(self, value: Array) -> Array:
        """Returns the log probability summed over the bits."""
        ops = ops_of(self.logits)
        bits = ops.float(value)
        logits = self.logits + bits @ ops.np.tril(self.weight, k=-1).T
        return (bits * logits - ops.softplus(logits)).sum(-1)

    def sample(self, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Draws the bits in their order."""
        ops = ops_of(self.logits)
        stop, xp = ops.stop_gradient, ops.np
        size = self.event_shape[0]
        uniform = rng.uniform((*shape, size))
        columns = xp.tril(stop(self.weight), k=-1).T

        def step(logits: Array, i: int) -> tuple[Array, Array]:
            bit = ops.float(uniform[..., i] < ops.sigmoid(logits[..., i]))
            return logits + bit[..., None] * columns[i], bit

        return scan(step, xp.broadcast_to(stop(self.logits), (*shape, size)), size)
