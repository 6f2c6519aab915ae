r"""Reweighted wake-sleep, and the wake-sleep algorithm.

.. math::
    \nabla_\theta = E\Big[\sum_k \tilde w_k \nabla_\theta \log p_\theta(x, h_k)\Big], \quad
    \nabla_\phi^{wake} = E\Big[\sum_k \tilde w_k \nabla_\phi \log q_\phi(h_k | x)\Big], \quad
    \nabla_\phi^{sleep} = E_{p_\theta(x, h)}\big[\nabla_\phi \log q_\phi(h | x)\big]

with :math:`h_k \sim q_\phi(\cdot | x)` and weights
:math:`w_k = p_\theta(x, h_k) / q_\phi(h_k | x)` normalised over k for each datum. The model climbs
the importance weighted bound; the guide falls towards the posterior, KL(p || q), at the data
(wake) or at the model's own draws (sleep). Draws carry no gradient, so discrete latents cost
nothing. With a share delta of the draws from the prior, the weights are taken against the
mixture, which keeps them finite where the guide has no mass ("defensive").

Wake-sleep has one draw, whose weight is one, and the sleep phase for the guide.

Tempered weights (see `ppgm.inference.tempering`) stand in the place of w in the wake phases, whose
guide then falls towards the posterior that they define; dreams are the model's own.

References:
    | The Wake-Sleep Algorithm for Unsupervised Neural Networks (Hinton et al., 1995)
    | https://doi.org/10.1126/science.7761831
    | Reweighted Wake-Sleep (Bornschein & Bengio, 2015), https://arxiv.org/abs/1406.2751
    | Revisiting Reweighted Wake-Sleep (Le et al., 2019), https://arxiv.org/abs/1805.10469
"""

__all__ = ["RWS", "WakeSleep", "wake_rows"]

from collections.abc import Collection
from dataclasses import dataclass
from math import log, log1p

from ppgm.domains import check_number
from ppgm.errors import ArgumentError, EstimatorError
from ppgm.inference.counts import set_count
from ppgm.inference.objective import AbstractMultiSample
from ppgm.inference.powers import bound
from ppgm.inference.tempered import AbstractTempered
from ppgm.ops import Array, ops_of
from ppgm.sites import SiteTable
from ppgm.terms import Ask, Weights
from ppgm.views import View

ASLEEP = "dreams for data in the guide"
"""The bias of a sleep phase as a gradient of the bound."""


@dataclass(frozen=True)
class RWS(AbstractMultiSample, AbstractTempered):
    """Reweighted wake-sleep with `particles` draws; what is logged is the bound L_K.

    Args:
        particles: Number of draws K.
        wake: Weight of the guide's wake phase.
        sleep: Weight of its sleep phase.
        defensive: Share of the draws that come from the prior, from 0 to below 1.
    """

    particles: int = 5
    wake: float = 1.0
    sleep: float = 0.0
    defensive: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        set_count(self, "particles")
        for name in ("wake", "sleep", "defensive"):
            check_number(self, name, least=0.0)
        check_number(self, "defensive", least=0.0, below=1.0)
        if not self.wake + self.sleep > 0:
            raise ArgumentError(
                "RWS: wake=0 and sleep=0 leave the guide untrained: set one of them"
            )
        if self.defensive and self.tempering.active:
            raise ArgumentError(
                f"RWS: defensive={self.defensive:g} weighs its draws against a mixture, which "
                "beta, free_bits and site_weights do not temper: leave one of them out"
            )

    def weights(self, view: View) -> Weights:
        """Asks for constant draws."""
        ask = Ask(self.particles, detached=True)
        return defended(view, ask, self.defensive) if self.defensive else view.ask(ask)

    def rows(self, weights: Weights) -> Array:
        """Returns minus the bound per row, ``(*rows)``, with the gradients of the wake phases."""
        log_q = weights.log_q if weights.log_q_stopped is None else weights.log_q_stopped
        climbs = weights.log_p + self.wake * weights.log_q
        return wake_rows(weights.log_p - log_q, climbs)

    def tempered_rows(self, weights: Weights, drawn: Weights) -> Array:
        """Returns the same for tempered weights of draws."""
        return wake_rows(weights.log_p - weights.log_q, weights.log_p + self.wake * drawn.log_q)

    def __call__(self, view: View, player: str) -> Array:
        """Returns minus the bound per datum, with the gradients of all phases."""
        value = super().__call__(view, player)
        return value + self.sleep * asleep(view) if self.sleep else value

    @property
    def bias(self) -> str:
        """The guide's gradient is that of another divergence, and of one by ratios of means."""
        return "normalised weights in the guide" if self.wake else ASLEEP

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that weights are per datum, and that the model can be drawn from."""
        super().check(table, subsampled)
        if self.sleep or self.defensive:
            check_dreams(table, "RWS")
        if self.sleep:
            check_shown(table, table.data)


@dataclass(frozen=True)
class WakeSleep(AbstractTempered):
    """The wake-sleep algorithm, averaged over `particles` draws; the ELBO is logged.

    Args:
        particles: Number of draws K of the wake phase.
    """

    particles: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        set_count(self, "particles")

    def weights(self, view: View) -> Weights:
        """Asks for constant draws."""
        return view.ask(Ask(self.particles, detached=True))

    def rows(self, weights: Weights) -> Array:
        """Returns minus the ELBO per row, ``(*rows)``, with the gradient of the model."""
        stop = ops_of(weights.log_p).stop_gradient
        return -(weights.log_p - stop(weights.log_q)).mean(0)

    def __call__(self, view: View, player: str) -> Array:
        """Returns minus the ELBO per datum, with the gradients of both phases."""
        return super().__call__(view, player) + asleep(view)

    @property
    def bias(self) -> str:
        """The guide's gradient is that of another divergence."""
        return ASLEEP

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that the model can be drawn from."""
        super().check(table, subsampled)
        check_dreams(table, "WakeSleep")
        check_shown(table, table.data)


def wake_rows(log_w: Array, climbs: Array) -> Array:
    """Returns minus the bound per row, ``(*rows)``, with the gradients of the wake phases.

    Args:
        log_w: Log weights of constant draws, against what they came from, ``(K, *rows)``.
        climbs: What rises, weighted: log densities of model and guide, ``(K, *rows)``.
    """
    ops = ops_of(log_w)
    stop = ops.stop_gradient
    share = ops.softmax(stop(log_w), 0)
    zero = (share * (climbs - stop(climbs))).sum(0)
    return -bound(stop(log_w), 0.0, log_w.shape[0]) - zero


def asleep(view: View) -> Array:
    """Is zero; its gradient is minus that of log q at a draw of the model, per datum."""
    stop = view.ops.stop_gradient
    check_shown(view.table, view.data)
    dream = {name: stop(value) for name, value in view.dream().values.items()}
    log_q = view.log_guide(dream)
    return view.mean(stop(log_q) - log_q)


def defended(view: View, ask: Ask, share: float) -> Weights:
    """Returns weights of draws of which a share comes from the prior.

    Their `log_q_stopped` is the log density of the mixture that they came from.
    """
    xp, stop = view.ops.np, view.ops.stop_gradient
    terms, _ = view.terms(ask)
    guide = {t.name: t for t in terms if t.side == "guide"}
    prior = view.prior(ask.particles)
    coin = view.rng.uniform(tuple(view.weigh(terms).log_p.shape)) < share
    given = {}
    for name, term in guide.items():
        mask = coin.reshape(tuple(coin.shape) + (1,) * (term.value.ndim - coin.ndim))
        given[name] = stop(xp.where(mask, prior[name], term.value))
    weights = view.weigh(view.terms(ask, given)[0])
    log_prior = sum(p.log_prob for p in weights.parts if p.side == "model" and p.kind == "latent")
    mixture = xp.logaddexp(log(share) + log_prior, log1p(-share) + weights.log_q)
    return weights._replace(log_q_stopped=stop(mixture))


def check_shown(table: SiteTable, names: Collection[str] | None) -> None:
    """Checks that the guide can be shown a dream of every observed site in place of the data.

    Args:
        table: The program's sites.
        names: Names of the data; None where they are not known.

    Raises:
        EstimatorError: Names the first site that the data call by another name.
    """
    if names is None:
        return
    for site in table.select("model", "observed"):
        if site.name not in names:
            raise EstimatorError(
                f"the data call observed site '{site.name}' by another name ({sorted(names)}):"
                " the sleep phase cannot show the guide a dream of it; name the argument "
                f"'{site.name}'"
            )


def check_dreams(table: SiteTable, name: str) -> None:
    """Checks that the model is all draws, and that there is a guide.

    Raises:
        EstimatorError: Names the first factor, or that the rows are not those of the data.
    """
    if not table.has_guide:
        raise EstimatorError(
            f"the program has no guide: {name}'s sleep phase and defensive draws need one; use "
            "ELBO"
        )
    for site in table.select("model", "factor"):
        raise EstimatorError(
            f"factor '{site.name}' leaves the model without draws: {name}'s sleep phase and "
            "defensive draws need them",
            use=("RWS(sleep=0, defensive=0)",),
        )
    if not table.rows:
        raise EstimatorError(
            f"{name} draws data from the model row by row, and the program has latents outside "
            "its rows",
            use=("ELBO",),
        )
