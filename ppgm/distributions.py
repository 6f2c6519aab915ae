"""Portable distributions: written once over array functions, wrapped for each host.

A portable distribution is a frozen dataclass with the attributes of `Portable`. A declaration
turns one into a distribution of its host by ``ppl.distribution(...)``.
"""

__all__ = [
    "ContinuousBernoulli",
    "Counting",
    "DiscretisedLogistic",
    "Portable",
    "Pushed",
    "Rng",
    "standard_normal",
]

from dataclasses import dataclass
from typing import Any, Protocol

from ppgm.errors import ModelError
from ppgm.ops import Array, ops_of


class Rng(Protocol):
    """Source of noise that a host hands to `Portable.sample`."""

    def normal(self, shape: tuple[int, ...]) -> Array:
        """Returns standard normal noise."""
        ...

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Returns noise uniform in [0, 1)."""
        ...


class Portable(Protocol):
    """A distribution over arrays of shape ``(*batch_shape, *event_shape)``.

    One of vectors of independent columns has their log densities ``(*, D)`` as ``terms(value)``.

    Attributes:
        support: "real", "positive", "unit_interval", "boolean" or "nonnegative_integer".
        reparameterised: Whether `sample` is differentiable in the parameters.
        normalised: Whether the density integrates to one.
    """

    support: str
    reparameterised: bool
    normalised: bool

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of independent, differently parameterised copies."""
        ...

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one draw."""
        ...

    def sample(self, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Draws values of shape ``(*shape, *event_shape)``; `shape` ends with the batch shape."""
        ...

    def log_prob(self, value: Array) -> Array:
        """Returns the log density of values ``(*, *event_shape)``, shape ``(*)``."""
        ...


class Pushed(Portable, Protocol):
    """A portable distribution whose draws are a function of standard normal noise.

    The hosts keep the log density of their own draw, so that what costs most the other way
    round (a flow with a slow inverse) is not inverted.
    """

    def push(self, noise: Array) -> tuple[Array, Array]:
        """Returns the draws at some noise, and their log density.

        Args:
            noise: Standard normal, ``(*shape, *batch_shape, *event_shape)``.

        Returns:
            Values of the noise's shape, and log densities ``(*shape, *batch_shape)``.
        """
        ...


def standard_normal(ppl: Any, size: int) -> Any:
    """Returns the host's N(0, I) of event shape ``(size,)``."""
    zeros = ppl.np.zeros(size)
    return ppl.distributions.Normal(zeros, ppl.np.ones_like(zeros)).to_event(1)


@dataclass(frozen=True)
class Counting:
    r"""Counting measure on :math:`\{0, 1\}^D`: log density 0, so a factor gives the whole density.

    It cannot be sampled: a program with it is not normalised.
    """

    size: int
    support = "boolean"
    reparameterised = False
    normalised = False

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """No batch."""
        return ()

    @property
    def event_shape(self) -> tuple[int, ...]:
        """One vector of bits."""
        return (self.size,)

    def sample(self, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Raises: a measure that is not normalised has no draws."""
        raise ModelError(
            "a site with the counting measure was asked for a draw: the program's density is "
            "not normalised; give the value as data, or sample by the declaration's kernel"
        )

    def log_prob(self, value: Array) -> Array:
        """Returns zeros of shape ``value.shape[:-1]``."""
        return ops_of(value).np.zeros_like(value[..., 0])


@dataclass(frozen=True)
class ContinuousBernoulli:
    r"""Independent continuous Bernoulli units with logits :math:`l`, shape ``(*, D)``.

    .. math::
        \log p(x) = l x - \log \frac{e^l - 1}{l}, \quad x \in [0, 1]

    Stable for every logit: near 0, where the quotient is 0/0, by its series.

    References:
        | The continuous Bernoulli: fixing a pervasive error in variational autoencoders
        | (Loaiza-Ganem & Cunningham, 2019), https://arxiv.org/abs/1907.06845
    """

    logits: Array
    support = "unit_interval"
    reparameterised = True
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
        """Returns the log density summed over the units."""
        return self.terms(value).sum(-1)

    def terms(self, value: Array) -> Array:
        """Returns the log density of every unit, ``(*, D)``."""
        return self.logits * value - _log_normaliser(self.logits)

    def sample(self, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Draws by the inverse distribution function."""
        xp = ops_of(self.logits).np
        uniform = rng.uniform((*shape, *self.event_shape))
        # x(u; l) = 1 - x(1 - u; -l): only negative logits are used, so exp cannot overflow
        rising = self.logits > 0
        low = -xp.abs(self.logits)
        u = xp.where(rising, 1 - uniform, uniform)
        small = low > -1e-5
        safe = xp.where(small, -xp.ones_like(low), low)
        near_zero = u + low * u * (1 - u) / 2
        x = xp.where(small, near_zero, xp.log1p(u * xp.expm1(safe)) / safe)
        return xp.where(rising, 1 - x, x)


def _log_normaliser(logits: Array) -> Array:
    """Returns log((e^l - 1) / l), even about l / 2."""
    xp = ops_of(logits).np
    size = xp.abs(logits)
    small = size < 0.1
    safe = xp.where(small, xp.ones_like(size), size)
    exact = safe / 2 + xp.log(-xp.expm1(-safe) / safe)
    square = logits * logits
    series = square / 24 * (1 - square / 120 * (1 - square / 63))
    return logits / 2 + xp.where(small, series, exact)


@dataclass(frozen=True)
class DiscretisedLogistic:
    r"""Levels 0, ..., L - 1: in each column a mixture of logistics, cut into L bins.

    With the levels at :math:`v = 2 x / (L - 1) - 1`, half a bin :math:`h = 1 / (L - 1)` and
    the distribution function :math:`\sigma((v - m) / s)` of a logistic,

    .. math::
        p(x) = \sum_c \pi_c \Big[\sigma\Big(\frac{v + h - m_c}{s_c}\Big) -
        \sigma\Big(\frac{v - h - m_c}{s_c}\Big)\Big]

    where the lowest bin begins at minus infinity and the highest ends at infinity.

    Attributes:
        logits: Of the weights, ``(*, D, C)``.
        loc: Locations m, likewise.
        log_scale: Logs of the scales s, likewise.
        levels: Number of levels L.

    References:
        | PixelCNN++ (Salimans et al., 2017), https://arxiv.org/abs/1701.05517
    """

    logits: Array
    loc: Array
    log_scale: Array
    levels: int
    support = "nonnegative_integer"
    reparameterised = False
    normalised = True

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """All but the last two axes of the locations."""
        return tuple(self.loc.shape[:-2])

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The columns."""
        return tuple(self.loc.shape[-2:-1])

    def log_prob(self, value: Array) -> Array:
        """Returns the log probability summed over the columns, minus infinity off the levels."""
        return self.terms(value).sum(-1)

    def terms(self, value: Array) -> Array:
        """Returns the log probability of every column, ``(*, D)``."""
        ops = ops_of(self.loc)
        xp, top = ops.np, self.levels - 1
        x = ops.float(value)[..., None]
        centre = (2 * x / top - 1 - self.loc) * xp.exp(-self.log_scale)
        half = xp.exp(-self.log_scale) / top
        # s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)) is a sum of logarithms, and needs no
        # difference of nearly equal numbers
        below = xp.where(x >= top, xp.zeros_like(centre), -ops.softplus(-centre - half))
        above = xp.where(x <= 0, xp.zeros_like(centre), -ops.softplus(centre - half))
        inner = (x > 0) & (x < top)
        between = xp.where(inner, xp.log(-xp.expm1(-2 * half)), xp.zeros_like(centre))
        mixed = ops.logsumexp(ops.log_softmax(self.logits, -1) + below + above + between, -1)
        known = (x[..., 0] >= 0) & (x[..., 0] <= top)
        return xp.where(known, mixed, xp.full_like(mixed, -float("inf")))

    def sample(self, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Draws a component, a logistic, and its level."""
        ops = ops_of(self.loc)
        xp, size = ops.np, (*shape, *self.event_shape)
        race = self.logits - xp.log(-xp.log(rng.uniform((*size, self.loc.shape[-1]))))
        chosen = ops.one_hot(xp.argmax(race, axis=-1), self.loc.shape[-1])
        loc, log_scale = (chosen * self.loc).sum(-1), (chosen * self.log_scale).sum(-1)
        u = rng.uniform(size)
        v = loc + xp.exp(log_scale) * (xp.log(u) - xp.log1p(-u))
        top = self.levels - 1
        return xp.clip(xp.round((v + 1) / 2 * top), 0, top)
