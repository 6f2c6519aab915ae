r"""Particle filters over the chains of a state-space model, as functions of arrays.

With particles :math:`z^k` of normalised weights :math:`w^k`, at every step

.. math::
    z_t^k \sim q(z_t | z_{t-1}^{a_k}), \quad
    \alpha_t^k = \frac{p(z_t^k | z_{t-1}^{a_k})\, p(x_t | z_t^k)}{q(z_t^k | z_{t-1}^{a_k})}, \quad
    c_t = \sum_k w_{t-1}^k \alpha_t^k, \quad w_t^k = \frac{w_{t-1}^k \alpha_t^k}{c_t}

where, in rows whose effective number of particles is below a threshold, the ancestors
:math:`a_k` are drawn by weight and the weights set to 1/K; elsewhere :math:`a_k = k`. The product
of all :math:`c_t` is an unbiased estimate of p(x). Ancestors are constants to the gradient.

References:
    | Novel approach to nonlinear/non-Gaussian Bayesian state estimation (Gordon, Salmond & Smith,
    | 1993), https://doi.org/10.1049/ip-f-2.1993.0015
    | Feynman-Kac Formulae (Del Moral, 2004), theorem 7.4.2, for the estimate of p(x)
"""

__all__ = ["Moves", "Steps", "moves_of", "run"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from typing import Any, NamedTuple

from ppgm.chains import MarkovChain
from ppgm.distributions import Pushed
from ppgm.ops import Array, Arrays, ops_of
from ppgm.resampling import ancestors, effective_size
from ppgm.series import Series
from ppgm.state_spaces import StateSpace


class Steps(NamedTuple):
    """What a particle filter found, time first.

    Attributes:
        log_c: Logs of the c, 0 after the end of a row, ``(T, N)``.
        size: Effective number of particles after each step, ``(T, N)``.
        states: Particles, ``(T, K, N, L)``.
        log_w: Logs of their normalised weights, ``(T, K, N)``.
        ancestors: Of each particle, its index one step before, ``(T, K, N)``.
    """

    log_c: Array
    size: Array
    states: Array
    log_w: Array
    ancestors: Array


@dataclass(frozen=True)
class Moves:
    """A filter of one batch of sequences.

    Attributes:
        target: Distribution of paths before data are seen.
        proposal: Distribution to draw the states from; None draws them from the target.
        emit: From states ``(*, L)`` and what has been seen to the distribution of their data.
        x: Data, ``(N, T, D)``.
        seen: What has been seen, ``(N, T, D)`` or ``(N, T, 1)``, or None.
        scheme: How to resample, one of `ppgm.resampling.SCHEMES`.
        threshold: Share of the particles below which an effective number leads to resampling.
    """

    target: MarkovChain
    proposal: MarkovChain | None
    emit: Callable[[Array, Array | None], Any]
    x: Array
    seen: Array | None
    scheme: str
    threshold: float

    def first(self, noise: Array, now: dict[str, Array]) -> Arrays:
        """Makes the first states of noise ``(K, N, L)``: what `Steps` has of the step."""
        ops = ops_of(noise)
        equal = ops.np.zeros_like(noise[..., 0]) - log(noise.shape[0])
        z, alpha = self._weighted(self._parts(None, (), ()), noise, now)
        log_c, log_w = _reweighted(equal, _counted(alpha, now))
        return log_c, effective_size(log_w), z, log_w, _indices(ops, log_w)

    def later(self, carry: Arrays, x: Arrays) -> tuple[Arrays, Arrays]:
        """Makes the states of one step of those before."""
        (z, log_w), (noise, uniform, *rest) = carry, x
        ops = ops_of(z)
        xp, now = ops.np, self._unpacked(rest)
        origin = _indices(ops, log_w)
        if self.threshold > 0:
            held, count = ops.stop_gradient(log_w), log_w.shape[0]
            # weights that are equal but for rounding are left as they are
            poor = effective_size(held) < count * (self.threshold - 1e-6)
            poor = poor if now["alive"] is None else poor & now["alive"]
            origin = xp.where(poor, ancestors(held, uniform, self.scheme), origin)
            z = xp.take_along_axis(z, origin[..., None], axis=0)
            log_w = xp.where(poor, xp.zeros_like(log_w) - log(count), log_w)
        parts = self._parts(z, now["target"], now["proposal"])
        new, alpha = self._weighted(parts, noise, now)
        new = new if now["alive"] is None else xp.where(now["alive"][:, None], new, z)
        log_c, log_w = _reweighted(log_w, _counted(alpha, now))
        found = (log_c, effective_size(log_w), new, log_w, origin)
        return (new, log_w), found

    def packed(self) -> Arrays:
        """Returns what the steps get beside noise, time first."""
        chains = [self.target] + ([] if self.proposal is None else [self.proposal])
        arrays = [a for chain in chains for a in chain.inputs] + [self.x]
        arrays += [] if self.seen is None else [self.seen]
        xp, alive = ops_of(self.x).np, self.target.mask
        found = tuple(xp.moveaxis(a, -2, 0) for a in arrays)
        return found if alive is None else (*found, xp.moveaxis(alive, -1, 0))

    def _unpacked(self, rest: list[Array]) -> dict[str, Any]:
        own = len(self.target.inputs)
        other = own + (0 if self.proposal is None else len(self.proposal.inputs))
        x, *more = rest[other:]
        return {
            "target": rest[:own],
            "proposal": rest[own:other],
            "x": x,
            "seen": None if self.seen is None else more[0],
            "alive": None if self.target.mask is None else more[-1],
        }

    def _parts(self, z: Array | None, target: Any, proposal: Any) -> tuple[Pushed, Pushed | None]:
        """Returns the distributions of the next states, of target and proposal."""
        first, other = z is None, self.proposal
        mine = self.target.first if first else self.target.step(z, *target)
        if other is None:
            return mine, None
        return mine, other.first if first else other.step(z, *proposal)

    def _weighted(
        self, parts: tuple[Pushed, Pushed | None], noise: Array, now: dict[str, Any]
    ) -> tuple[Array, Array]:
        """Returns states at some noise, and their log alpha ``(K, N)``."""
        target, proposal = parts
        z, log_q = (proposal or target).push(noise)
        seen = self.emit(z, now["seen"]).steps(now["x"])
        return z, seen if proposal is None else target.log_prob(z) - log_q + seen


def moves_of(
    declaration: StateSpace,
    ppl: Any,
    data: Mapping[str, Any],
    *,
    guided: bool,
    scheme: str,
    threshold: float,
) -> Moves:
    """Returns the filter of a declaration and a batch.

    Args:
        declaration: The model.
        ppl: The namespace.
        data: "x", and optionally "lengths", "mask" and "u".
        guided: Whether the states are drawn from the guide's chain.
        scheme: How to resample.
        threshold: Share of the particles below which to resample.
    """
    lengths, mask, u = (data.get(name) for name in ("lengths", "mask", "u"))
    series = Series(ppl, data["x"], lengths, mask, u)
    proposal = declaration.posterior(series) if guided else None
    return Moves(
        declaration.prior(series), proposal, declaration.emission(series), data["x"],
        series.seen, scheme, threshold,
    )  # fmt: skip


def run(moves: Moves, noise: Array, uniform: Array) -> Steps:
    """Runs a particle filter.

    Args:
        moves: The filter.
        noise: Standard normal, ``(K, N, T, L)``.
        uniform: Uniform in [0, 1), ``(K, N, T)``; that of the first step is not used.
    """
    ops = ops_of(noise)
    xp = ops.np
    inputs = moves.packed()
    noises, uniforms = xp.moveaxis(noise, -2, 0), xp.moveaxis(uniform, -1, 0)
    first = moves.first(noises[0], moves._unpacked([a[0] for a in inputs]))
    if noise.shape[-2] == 1:
        return Steps(*(a[None] for a in first))
    xs = tuple(a[1:] for a in (noises, uniforms, *inputs))
    found = ops.scan(moves.later, (first[2], first[3]), xs)
    return Steps(*(xp.concat([a[None], b], axis=0) for a, b in zip(first, found, strict=True)))


def _counted(alpha: Array, now: dict[str, Any]) -> Array:
    """Returns log alpha with 0 after the end of a row."""
    if now["alive"] is None:
        return alpha
    return ops_of(alpha).np.where(now["alive"], alpha, ops_of(alpha).np.zeros_like(alpha))


def _reweighted(log_w: Array, alpha: Array) -> tuple[Array, Array]:
    """Returns log c and the logs of the new weights, which are equal where c is zero."""
    ops = ops_of(alpha)
    xp, total = ops.np, log_w + alpha
    log_c = ops.logsumexp(total, 0)
    lost = log_c == -float("inf")
    equal = xp.zeros_like(total) - log(total.shape[0])
    return log_c, xp.where(lost, equal, total - xp.where(lost, xp.zeros_like(log_c), log_c))


def _indices(ops: Any, log_w: Array) -> Array:
    count = log_w.shape[0]
    own = ops.np.arange(count).reshape((count,) + (1,) * (log_w.ndim - 1))
    return ops.np.broadcast_to(own, tuple(log_w.shape))
