r"""The score-function gradient and its baselines: REINFORCE.

.. math::
    \nabla E_q[f] = E_q\Big[\sum_s \frac{f_s - c_s - C_s(x)}{\max(1, \sigma_s)}
        \nabla \log q(h_s | \cdot)\Big] + E_q[\nabla f]

for any centre that does not depend on the draw :math:`h_s`: a constant, the mean of the signal
over the steps before, or a network of the data that learns to predict the signal by least
squares. The signal :math:`f_s` of a site may leave out the terms that the site cannot influence.
Division by the running standard deviation rescales a site's gradient, and is the one part that is
not unbiased.

References:
    | Simple Statistical Gradient-Following Algorithms (Williams, 1992)
    | https://doi.org/10.1007/BF00992696
    | Neural Variational Inference and Learning in Belief Networks (Mnih & Gregor, 2014)
    | https://arxiv.org/abs/1402.0030
"""

__all__ = ["REINFORCE", "Score"]

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from ppgm.domains import check_number, check_widths
from ppgm.errors import ArgumentError, EstimatorError
from ppgm.inference.family import AbstractFamily
from ppgm.inference.gradients import AbstractGradient, AnyBound
from ppgm.inference.path import block_scores, scored
from ppgm.inference.powers import bound, shares
from ppgm.inference.signals import Signal, moments, signals
from ppgm.nets import MLP
from ppgm.ops import Array, Ops
from ppgm.sites import Site, SiteTable
from ppgm.terms import Ask, Part, Weights
from ppgm.views import View

NET = "baseline"
"""Name of the network that predicts signals."""


@dataclass(frozen=True)
class Score(AbstractGradient):
    """Score function of every draw, or of those that are not reparameterised.

    Args:
        baseline: What is subtracted from a signal: a number in nats, or "running" for its mean
            over the steps before.
        decay: Weight of the past in running means.
        hidden: Widths of a network from the observed sites of a row to what else is subtracted,
            or None for none. It does not see the conditions of a conditional model.
        normalise: Whether signals are divided by their running standard deviation, if above 1.
        downstream: Whether the signal of a site has only the terms that its draw can influence,
            as the program's graph says; of the ELBO, whose terms add.
        everywhere: Whether reparameterised draws have a score too, and no path.
    """

    baseline: float | Literal["running"] = 0.0
    decay: float = 0.8
    hidden: tuple[int, ...] | None = None
    normalise: bool = False
    downstream: bool = False
    everywhere: bool = True

    def __post_init__(self) -> None:
        if self.baseline != "running":
            if isinstance(self.baseline, str):
                raise ArgumentError(
                    f"baseline must be a number or 'running', not '{self.baseline}'; a learnt one "
                    "is hidden=(100,), widths of its network"
                )
            check_number(self, "baseline")
        check_number(self, "decay", least=0.0, below=1.0)
        if self.hidden is not None:
            check_widths(self, "hidden")

    def weights(self, view: View, ask: Ask) -> Weights:
        """Asks for constant draws, where all of them have a score."""
        return view.ask(ask._replace(detached=self.everywhere))

    def rows(self, weights: Weights, alpha: float, particles: int) -> Array:
        """Returns the bound per row, ``(*rows)``, the score-function term apart: see `extra`."""
        log_w = weights.log_p - weights.log_q
        return bound(log_w, alpha, particles, weights.log_mass)

    def extra(self, view: View, weights: Weights, alpha: float, particles: int) -> Array | float:
        """Returns the score-function terms, and minus the square error of the baseline."""
        if weights.blocks and alpha == 1:
            return block_scores(view, weights, particles)
        if weights.score is None:
            return 0.0
        stop, total = view.ops.stop_gradient, 0.0
        learnt = self._predictions(view, weights)
        coefficient = 1.0
        if alpha == 1:
            log_w = weights.log_p - weights.log_q
            coefficient = shares(log_w, alpha, particles, weights.log_mass)
        for i, signal in enumerate(self._signals(view, weights, alpha, particles)):
            value = stop(signal.value)
            centred = value - self._centre(view, signal.name)
            if learnt is not None:
                error = centred - learnt[..., i]
                total = total - view.mean(_zero((error**2).mean(0), stop))
                centred = stop(error)
            centred = centred / self._spread(view, signal.name)
            total = total + view.mean(scored(coefficient * centred, signal.score))
            self._remember(view, signal.name, value)
        return total

    def start(self, view: View, alpha: float, ask: Ask) -> dict[str, Array]:
        """Returns mean and variance of every signal over a first draw."""
        if not self._running:
            return {}
        weights, state = self.weights(view, ask), {}
        if weights.blocks or weights.score is None:
            return {}
        for name, value, _ in self._signals(view, weights, alpha, ask.particles):
            mean, variance = moments(view, value)
            state |= {f"mean.{name}": mean, f"variance.{name}": variance}
        return state

    def nets(self, table: SiteTable) -> Mapping[str, Any]:
        """Returns the spec of the network, sized by the observed sites and the signals."""
        if self.hidden is None or not self._scored(table):
            return {}
        inputs = sum(prod(s.event_shape) for s in _observed(table))
        outputs = len(self._scored(table)) if self._splits(table) else 1
        return {NET: MLP(inputs, tuple(self.hidden), outputs)}

    def bias(self, of: AnyBound) -> str:
        """Returns that signals are rescaled."""
        return "signals divided by their deviation" if self.normalise else ""

    def check(self, table: SiteTable, of: AnyBound) -> None:
        """Checks that a baseline has rows of its own, and data to look at."""
        if not self._scored(table):
            if self.stateful:
                raise EstimatorError(
                    f"every site of the guide is reparameterised: {of.title}'s baselines have "
                    "nothing to predict; use gradient='path'"
                )
            return
        if not table.rows and (self.hidden is not None or self.baseline != 0 or self.normalise):
            site = self._scored(table)[0]
            raise EstimatorError(
                f"site '{site.name}' is scored and lies outside the plates of the data: "
                f"{of.title}'s baselines are per datum; use gradient='path' or 'rloo'"
            )
        if self.hidden is not None and (len(table.rows) != 1 or not _observed(table)):
            raise EstimatorError(
                f"{of.title}'s learnt baseline is a function of a row of the data, and the "
                f"program has rows {table.rows} and observes "
                f"{[s.name for s in _observed(table)]} of them: use baseline='running', or "
                "gradient='rloo'"
            )

    @property
    def groups(self) -> tuple[str, ...]:
        """The baseline, if it is learnt."""
        return () if self.hidden is None else (NET,)

    @property
    def stateful(self) -> bool:
        """Whether there is a network or a running mean."""
        return self.hidden is not None or self._running

    @property
    def local(self) -> bool:
        """Whether signals are split by what sites can influence."""
        return self.downstream

    @property
    def _running(self) -> bool:
        return self.baseline == "running" or self.normalise

    def _scored(self, table: SiteTable) -> tuple[Site, ...]:
        sites = table.select("guide", "latent")
        return tuple(s for s in sites if self.everywhere or not s.reparameterised)

    def _splits(self, table: SiteTable) -> bool:
        return self.downstream and bool(table.influences)

    def _signals(self, view: View, weights: Weights, alpha: float, particles: int) -> list[Signal]:
        split = self._splits(view.table)
        return signals(view, weights, alpha, particles, downstream=split)

    def _predictions(self, view: View, weights: Weights) -> Array | None:
        """Returns what the network predicts for every row and signal, ``(*rows, signals)``."""
        if self.hidden is None:
            return None
        seen = {p.name: p for p in weights.parts if p.side == "model" and not p.stopped}
        flat = [_by_row(seen[s.name], s, view.ops) for s in _observed(view.table)]
        return view.net(NET)(flat[0] if len(flat) == 1 else view.ops.np.concat(flat, axis=-1))

    def _centre(self, view: View, name: str) -> Array | float:
        return view.state[f"mean.{name}"] if self.baseline == "running" else self.baseline

    def _spread(self, view: View, name: str) -> Array | float:
        if not self.normalise:
            return 1.0
        variance = view.state[f"variance.{name}"]
        return view.ops.np.sqrt(view.ops.np.where(variance > 1, variance, 0 * variance + 1))

    def _remember(self, view: View, name: str, signal: Array) -> None:
        if not self._running:
            return
        for key, new in zip((f"mean.{name}", f"variance.{name}"), moments(view, signal),
                            strict=True):  # fmt: skip
            view.state[key] = self.decay * view.state[key] + (1 - self.decay) * new


@dataclass(frozen=True)
class REINFORCE(AbstractFamily):
    """Evidence lower bound by the score function of all draws, with a baseline.

    Args:
        particles: Number of draws K.
        baseline: A number in nats, or "running" for the signal's mean over the steps before.
        decay: Weight of the past in the running mean.
        hidden: Widths of a network "baseline", trained with the program, from the observed sites
            of a row to what else is subtracted; None for no network.
    """

    particles: int = 1
    baseline: float | Literal["running"] = "running"
    decay: float = 0.8
    hidden: tuple[int, ...] | None = None

    @property
    def order(self) -> float:
        """The ELBO's order."""
        return 1.0

    @property
    def estimator(self) -> AbstractGradient:
        """The score function."""
        return Score(self.baseline, self.decay, self.hidden)


def _observed(table: SiteTable) -> list[Site]:
    """Returns the observed sites with one value per row."""
    return [s for s in table.select("model", "observed") if s.plates == table.rows]


def _by_row(part: Part, site: Site, ops: Ops) -> Array:
    """Returns what the model observed at a site, ``(B, numbers)``.

    It is not asked of the data: an argument may have another name than the site, be given by
    position, and hold rows that a plate has not drawn.
    """
    flat = ops.float(part.value).reshape((-1, prod(site.event_shape)))
    return flat[: part.log_prob.shape[-1]]  # the particles repeat them


def _zero(value: Array, stop: Any) -> Array:
    return value - stop(value)
