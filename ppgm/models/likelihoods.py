r"""Likelihoods: what a decoder's output means for a row of data.

Each is a frozen dataclass with ``size(features)``, the number of outputs that it needs, and
``__call__(ppl, outputs)``, the host's distribution of a row with event shape ``(features,)``.
"""

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretisedLogistic",
    "Gaussian",
    "Likelihood",
    "NegativeBinomial",
    "Poisson",
]

from dataclasses import dataclass
from typing import Any, Protocol

from ppgm import distributions
from ppgm.domains import check_number, check_size
from ppgm.ops import Array

LOG_RATE = 20.0
"""Largest size of the log of a rate: a count of e^20 is near the end of 32 bits."""
LOG_COUNT = 10.0
"""Largest size of the log of a total count: far above it log-gammas cancel in single precision."""


class Likelihood(Protocol):
    """Distribution of a row given a decoder's outputs."""

    def size(self, features: int) -> int:
        """Returns the number of outputs for `features` columns."""
        ...

    def __call__(self, ppl: Any, outputs: Array) -> Any:
        """Returns the host's distribution, event shape ``(features,)``, of ``(*, size)``."""
        ...


@dataclass(frozen=True)
class Bernoulli:
    r"""Bits: :math:`x_d \sim B(\sigma(o_d))`; data in {0, 1}."""

    support = "boolean"

    def size(self, features: int) -> int:
        """One logit per column."""
        return features

    def __call__(self, ppl: Any, outputs: Array) -> Any:
        """Takes the outputs as logits."""
        return ppl.distributions.Bernoulli(logits=outputs).to_event(1)


@dataclass(frozen=True)
class ContinuousBernoulli:
    r"""Intensities in [0, 1]: continuous Bernoulli with logits :math:`o_d`.

    References:
        | The continuous Bernoulli: fixing a pervasive error in variational autoencoders
        | (Loaiza-Ganem & Cunningham, 2019), https://arxiv.org/abs/1907.06845
    """

    support = "unit_interval"

    def size(self, features: int) -> int:
        """One logit per column."""
        return features

    def __call__(self, ppl: Any, outputs: Array) -> Any:
        """Takes the outputs as logits."""
        return ppl.distribution(distributions.ContinuousBernoulli(outputs))


@dataclass(frozen=True)
class Gaussian:
    r"""Real numbers: :math:`x_d \sim N(o_d, s^2)`, or with a scale of its own for each.

    Args:
        scale: Standard deviation s of every column; None for :math:`s_d = \exp(o_{D + d})`.
    """

    support = "real"

    scale: float | None = None

    def __post_init__(self) -> None:
        if self.scale is not None:
            check_number(self, "scale", above=0)

    def size(self, features: int) -> int:
        """A mean, and a log scale unless it is fixed, per column."""
        return features if self.scale is not None else 2 * features

    def __call__(self, ppl: Any, outputs: Array) -> Any:
        """Takes the outputs as means, then log scales."""
        if self.scale is not None:
            return ppl.distributions.Normal(outputs, self.scale).to_event(1)
        half = outputs.shape[-1] // 2
        loc, log_scale = outputs[..., :half], outputs[..., half:]
        return ppl.distributions.Normal(loc, ppl.np.exp(log_scale)).to_event(1)


@dataclass(frozen=True)
class Categorical:
    r"""Classes: :math:`x_d \sim \mathrm{Cat}(\mathrm{softmax}(o_{d, 1..C}))`; data are integers.

    Args:
        classes: Number of classes C of every column.
    """

    support = "nonnegative_integer"

    classes: int

    def __post_init__(self) -> None:
        check_size(self, "classes", least=2)

    def size(self, features: int) -> int:
        """C logits per column."""
        return features * self.classes

    def __call__(self, ppl: Any, outputs: Array) -> Any:
        """Takes the outputs as logits, the classes of a column side by side."""
        logits = outputs.reshape((*outputs.shape[:-1], -1, self.classes))
        return ppl.distributions.Categorical(logits=logits).to_event(1)


@dataclass(frozen=True)
class Poisson:
    r"""Counts: :math:`x_d \sim \mathrm{Poisson}(e^{o_d})`; data in {0, 1, 2, ...}.

    Log rates beyond 20 in size count as 20, with the derivative of those within.
    """

    support = "nonnegative_integer"

    def size(self, features: int) -> int:
        """One log rate per column."""
        return features

    def __call__(self, ppl: Any, outputs: Array) -> Any:
        """Takes the outputs as log rates."""
        rate = ppl.np.exp(_held(ppl, outputs, LOG_RATE))
        return ppl.distributions.Poisson(rate).to_event(1)


@dataclass(frozen=True)
class NegativeBinomial:
    r"""Counts spread wider than Poisson's: mean m and total count r, variance m + m^2 / r.

    .. math::
        p(x) = \frac{\Gamma(x + r)}{x!\, \Gamma(r)} \Big(\frac{r}{r + m}\Big)^r
        \Big(\frac{m}{r + m}\Big)^x, \quad m_d = e^{o_d}

    It tends to Poisson(m) as r grows. Log means beyond 20 in size count as 20 and log total
    counts beyond 10 as 10, with the derivative of those within.

    Args:
        count: Total count r of every column; None for :math:`r_d = \exp(o_{D + d})`.
    """

    support = "nonnegative_integer"

    count: float | None = None

    def __post_init__(self) -> None:
        if self.count is not None:
            check_number(self, "count", above=0)

    def size(self, features: int) -> int:
        """A log mean, and a log total count unless it is fixed, per column."""
        return features if self.count is not None else 2 * features

    def __call__(self, ppl: Any, outputs: Array) -> Any:
        """Takes the outputs as log means, then log total counts."""
        half = outputs.shape[-1] // (1 if self.count is not None else 2)
        mean = _held(ppl, outputs[..., :half], LOG_RATE)
        if self.count is not None:
            log_count = ppl.np.log(ppl.np.ones_like(mean) * self.count)
        else:
            log_count = _held(ppl, outputs[..., half:], LOG_COUNT)
        made = ppl.distributions.NegativeBinomial(ppl.np.exp(log_count), logits=mean - log_count)
        return made.to_event(1)


@dataclass(frozen=True)
class DiscretisedLogistic:
    r"""Levels of intensity 0, ..., L - 1: mixtures of logistics, cut into L bins.

    Each column has C weights, locations and log scales of its own, in units in which the levels
    go from -1 to 1; see `ppgm.distributions.DiscretisedLogistic`. The columns are independent
    given the outputs: channels are not regressed on each other.

    Args:
        components: Number of logistics C in the mixture of a column.
        levels: Number of levels L.

    References:
        | PixelCNN++ (Salimans et al., 2017), https://arxiv.org/abs/1701.05517
    """

    support = "nonnegative_integer"

    components: int
    levels: int = 256

    def __post_init__(self) -> None:
        check_size(self, "components")
        check_size(self, "levels", least=2)

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and largest value of the data."""
        return 0, self.levels - 1

    def size(self, features: int) -> int:
        """C weights, locations and log scales per column; a single logistic has no weight."""
        return features * self.components * (3 if self.components > 1 else 2)

    def __call__(self, ppl: Any, outputs: Array) -> Any:
        """Takes locations, log scales and logits of the weights, those of a column together."""
        parts = 3 if self.components > 1 else 2
        split = outputs.reshape((*outputs.shape[:-1], -1, parts, self.components))
        loc, log_scale = split[..., 0, :], _held(ppl, split[..., 1, :], LOG_RATE)
        logits = split[..., 2, :] if parts == 3 else ppl.np.zeros_like(loc)
        made = distributions.DiscretisedLogistic(logits, loc, log_scale, self.levels)
        return ppl.distribution(made)


def _held(ppl: Any, values: Array, limit: float) -> Array:
    """Returns values within -limit and limit, with the derivative of what was there.

    An exponential of far outputs is no number in single precision; a derivative of zero would
    leave them there.
    """
    stop = ppl.ops.stop_gradient
    return stop(ppl.np.clip(values, -limit, limit)) + (values - stop(values))
