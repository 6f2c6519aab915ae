r"""ARM and DisARM: antithetic pairs of bits.

.. math::
    b = [u < \sigma(l)], \; \tilde b = [u > \sigma(-l)], \quad
    \nabla_l E[f(b)] = E\Big[\tfrac{1}{2} \big(f(b) - f(\tilde b)\big) (-1)^{\tilde b}
        [b \ne \tilde b] \, \sigma(|l|)\Big] = E\big[(f(\tilde b) - f(b)) (u - \tfrac{1}{2})\big]

The first form (DisARM) is the second (ARM) with the noise u integrated out given the pair. All
bits of the guide are flipped together, so no bit may depend on another draw of the guide.

References:
    | ARM: Augment-REINFORCE-Merge Gradient for Stochastic Binary Networks (Yin & Zhou, 2019)
    | https://arxiv.org/abs/1807.11143
    | DisARM: An Antithetic Gradient Estimator for Binary Latent Variables
    | (Dong, Mnih & Tucker, 2020), https://arxiv.org/abs/2006.10680
"""

__all__ = ["ARM", "Antithetic", "DisARM", "pair_coefficients"]

from dataclasses import dataclass
from typing import ClassVar, Literal

from ppgm.errors import ArgumentError, EstimatorError
from ppgm.inference.family import AbstractFamily
from ppgm.inference.gradients import AbstractGradient, AnyBound
from ppgm.inference.powers import bound
from ppgm.ops import Array, ops_of
from ppgm.sites import SiteTable
from ppgm.terms import Ask, Weights
from ppgm.views import View


@dataclass(frozen=True)
class Antithetic(AbstractGradient):
    """Antithetic pairs of bits; the first half of the draws against the second.

    Args:
        kind: "disarm", or "arm" with its larger variance.
    """

    kind: Literal["disarm", "arm"] = "disarm"

    def __post_init__(self) -> None:
        if self.kind not in ("disarm", "arm"):
            raise ArgumentError(f"kind must be 'disarm' or 'arm', not '{self.kind}'")

    def weights(self, view: View, ask: Ask) -> Weights:
        """Draws pairs of bits from the guide's logits; the gradient is in the weights' score."""
        stop, half = view.ops.stop_gradient, ask.particles // 2
        first, _ = view.terms(ask._replace(particles=half, logits=True))
        bits = [t for t in first if t.logits is not None and not t.enumerated]
        noise = {t.name: view.rng.uniform(tuple(t.logits.shape)) for t in bits}  # pyright: ignore[reportOptionalMemberAccess]
        pairs = {t.name: draw_pair(stop(t.logits), noise[t.name]) for t in bits}
        given = {n: view.ops.np.concat(both, axis=0) for n, both in pairs.items()}

        weights, total = view.weigh(view.terms(ask, given)[0]), 0.0
        for term in bits:
            c = pair_coefficients(stop(term.logits), noise[term.name], self.kind)
            zero = c * (term.logits - stop(term.logits))
            total = total + _per_row(zero, weights.log_p.ndim)
        return weights._replace(score=total if bits else None)

    def rows(self, weights: Weights, alpha: float, particles: int) -> Array:
        """Returns the bound per row, ``(*rows)``.

        The score of `weights` is that of pairs, ``(K / 2, *rows)``: what the difference of their
        log weights is multiplied by. The score of log q itself, whose mean is zero, is dropped.
        """
        stop, half = ops_of(weights.log_p).stop_gradient, particles // 2
        scores = [p.log_prob - stop(p.log_prob) for p in weights.parts if p.score is not None]
        log_w = weights.log_p - weights.log_q + sum(scores, 0.0)
        value = bound(log_w, alpha, particles)
        if weights.score is None:
            return value
        return value + (stop(log_w[:half] - log_w[half:]) * weights.score).mean(0)

    def check(self, table: SiteTable, of: AnyBound) -> None:
        """Checks that the scored sites are bits, none of which depends on another draw."""
        scored = [s for s in table.select("guide", "latent") if not s.reparameterised]
        if not scored:
            raise EstimatorError(
                f"every site of the guide is reparameterised: {of.title} has no bits to flip; use "
                "gradient='path'"
            )
        for site in scored:
            if site.distribution != "Bernoulli":
                raise EstimatorError(
                    f"site '{site.name}' is {site.distribution}: {of.title} is for Bernoulli "
                    "sites",
                    use=("VIMCO", "RLOO", "NVIL"),
                )
        latent = table.select("guide", "latent")
        if table.influences is None and len(latent) > 1:
            raise EstimatorError(
                f"the guide draws {[s.name for s in latent]}, and whether one is drawn given "
                f"another is not known of this table: {of.title} needs `ppgm.influences`"
            )
        names, reach = {s.name for s in scored}, table.influences or {}
        for site in latent:  # a pair shares its logits, and so all that they are computed from
            later = sorted({n for side, n in reach.get(site.name, ()) if side == "guide"} & names)
            below = [n for n in later if n != site.name]
            if below:
                raise EstimatorError(
                    f"site '{below[0]}' of the guide is drawn given site '{site.name}': "
                    f"{of.title} flips all bits together, so none may depend on another draw",
                    use=("VIMCO", "RLOO", "NVIL"),
                )
        if of.order != 1 or of.particles % 2 or of.enumerate:
            raise EstimatorError(
                f"{of.title} is for the ELBO with an even number of draws and none enumerated, "
                f"not for particles={of.particles}, enumerate={of.enumerate} of a bound of order "
                f"{of.order:g}",
                use=("DisARM(particles=2)", "VIMCO", "ELBO"),
            )

    @property
    def local(self) -> bool:
        """Needs to know which draws depend on which."""
        return True


def arm() -> AbstractGradient:
    """Antithetic pairs of bits with the noise kept: more variance than "disarm"."""
    return Antithetic("arm")


@dataclass(frozen=True)
class DisARM(AbstractFamily):
    """Evidence lower bound by antithetic pairs of bits.

    Args:
        particles: Number of draws K, even: K / 2 pairs.
    """

    particles: int = 2

    LEAST = 2, ": they are drawn in pairs"

    KIND: ClassVar[Literal["disarm", "arm"]] = "disarm"

    @property
    def order(self) -> float:
        """The ELBO's order."""
        return 1.0

    @property
    def estimator(self) -> AbstractGradient:
        """Antithetic pairs."""
        return Antithetic(self.KIND)


@dataclass(frozen=True)
class ARM(DisARM):
    """Evidence lower bound by antithetic pairs of bits, the noise kept.

    Args:
        particles: Number of draws K, even: K / 2 pairs.
    """

    KIND = "arm"


def draw_pair(logits: Array, uniform: Array) -> tuple[Array, Array]:
    """Returns two draws of the bits, each exact, that differ as often as they can."""
    ops = ops_of(logits)
    one, other = uniform < ops.sigmoid(logits), uniform > ops.sigmoid(-logits)
    return ops.float(one), ops.float(other)


def pair_coefficients(logits: Array, uniform: Array, kind: str = "disarm") -> Array:
    r"""Returns c with gradient ``(f(b) - f(b~)) * c`` in the logits, of their shape."""
    ops = ops_of(logits)
    if kind == "arm":
        return 0.5 - uniform
    one, other = draw_pair(logits, uniform)
    sign = 1 - 2 * other  # (-1)**other
    return 0.5 * sign * abs(one - other) * ops.sigmoid(abs(logits))


def _per_row(value: Array, ndim: int) -> Array:
    """Sums ``(K, *plates, *event)`` over the event."""
    axes = tuple(range(ndim, value.ndim))
    return ops_of(value).sum(value, axes)
