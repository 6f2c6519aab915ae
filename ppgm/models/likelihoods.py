r"""Likelihoods: what a decoder's output means for a row of data.

Each is a frozen dataclass with ``size(features)``, the number of outputs that it needs, and
``__call__(ppl, outputs)``, the host's distribution of a row with event shape ``(features,)``.
"""

__all__ = ["Bernoulli", "Categorical", "ContinuousBernoulli", "Gaussian", "Likelihood"]

from dataclasses import dataclass
from typing import Any, Protocol

from ppgm import distributions
from ppgm.domains import check_number, check_size
from ppgm.ops import Array


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
