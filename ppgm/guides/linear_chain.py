r"""The posterior of a linear-Gaussian Markov chain, as a Markov chain.

With :math:`z_1 \sim N(m, P)`, :math:`z_t | z_{t-1} \sim N(A z_{t-1} + b_t, Q)` and evidence
:math:`\exp(-\frac12 z_t^T \Lambda_t z_t + \eta_t^T z_t)` for each state, messages
:math:`(\bar\Lambda, \bar\eta)` go from the last step back to the first. With
:math:`Q = F F^T` and the message of the steps from t on included in :math:`\Lambda, \eta`,

.. math::
    V = F (I + F^T \Lambda F)^{-1} F^T, \quad M = I - V \Lambda, \quad
    q(z_t | z_{t-1}) = N(M (A z_{t-1} + b_t) + V \eta, V)

.. math::
    \tilde\Lambda = M^T \Lambda M + Y^T Y, \quad Y = (I + F^T \Lambda F)^{-1} F^T \Lambda, \quad
    \bar\Lambda = A^T \tilde\Lambda A, \quad
    \bar\eta = A^T (M^T \eta - \tilde\Lambda b_t)

which is Joseph's form: nothing is subtracted from a precision, so that it stays positive, and no
covariance is inverted.

References:
    | Optimal Filtering (Anderson & Moore, 1979), chapter 6: the information filter
"""

__all__ = ["LinearChain", "normal", "posterior_chain"]

from dataclasses import dataclass

from ppgm.chains import MarkovChain
from ppgm.distributions import Pushed
from ppgm.distributions_normal import DiagonalNormal, TriangularNormal
from ppgm.ops import Array, Arrays, ops_of


@dataclass(frozen=True)
class LinearChain:
    """A linear-Gaussian Markov chain.

    Attributes:
        initial: m, ``(L,)``.
        initial_root: Factor of P: standard deviations ``(L,)`` or lower triangular ``(L, L)``.
        transition: A, ``(L, L)``.
        drift: b, ``(*, T, L)``; that of the first step is not used.
        root: Factor of Q, likewise.
    """

    initial: Array
    initial_root: Array
    transition: Array
    drift: Array
    root: Array

    def __call__(self, z: Array, drift: Array) -> Pushed:
        """Returns the distribution of the states after ``(*, L)``."""
        return normal(z @ self.transition.T + drift, self.root)

    def paths(self, alive: Array | None = None) -> MarkovChain:
        """Returns the distribution of paths, those of shorter rows masked by `alive`."""
        first = normal(self.initial, self.initial_root)
        return MarkovChain(first, self, self.drift.shape[-2], (self.drift,), alive)


def normal(loc: Array, root: Array) -> Pushed:
    """Returns the normal distribution whose factor is a vector or a triangular matrix."""
    return DiagonalNormal(loc, root) if root.ndim == 1 else TriangularNormal(loc, root)


def posterior_chain(
    prior: LinearChain, precision: Array, information: Array, alive: Array | None = None
) -> MarkovChain:
    r"""Returns the distribution of paths given evidence.

    Args:
        prior: The chain.
        precision: :math:`\Lambda`, ``(*, T, L, L)``; fewer axes where rows share them.
        information: :math:`\eta`, ``(*, T, L)``.
        alive: True before the end of each row, ``(*, T)``, or None.
    """
    xp = ops_of(information).np
    steps, size = information.shape[-2:]
    precisions, etas = xp.moveaxis(precision, -3, 0), xp.moveaxis(information, -2, 0)
    drift = xp.broadcast_to(prior.drift, (*prior.drift.shape[:-2], steps, size))
    message, moves = (xp.zeros_like(precisions[0]), xp.zeros_like(etas[0])), None
    if steps > 1:
        xs = (precisions[1:], etas[1:], xp.moveaxis(drift, -2, 0)[1:])
        back = tuple(xp.flip(a, axis=0) for a in xs)
        found = ops_of(information).scan(_Absorb(prior), message, back)
        *moves, inner, outer = (xp.flip(a, axis=0) for a in found)
        message = inner[0], outer[0]
    update = _Update(prior.initial_root, precisions[0] + message[0], etas[0] + message[1])
    first = TriangularNormal(update.mean(prior.initial), update.root)
    inputs = tuple(_after_nothing(xp, m) for m in moves or ())
    step = _step if moves else lambda z: TriangularNormal(z, update.root)
    return MarkovChain(first, step, steps, inputs, alive)


def _step(z: Array, gain: Array, shift: Array, root: Array) -> Pushed:
    size = z.shape[-1]
    square = (size, size)
    gain, root = (a.reshape((*a.shape[:-1], *square)) for a in (gain, root))
    return TriangularNormal((gain @ z[..., None])[..., 0] + shift, root)


def _after_nothing(xp: Array, moves: Array) -> Array:
    """Puts time before the last axis, with an entry for the first step, which is not used."""
    return xp.moveaxis(xp.concat([xp.zeros_like(moves[:1]), moves], axis=0), 0, -2)


class _Update:
    """What evidence does to a Gaussian of covariance F F': V, M and what goes on."""

    def __init__(self, root: Array, precision: Array, information: Array) -> None:
        xp = ops_of(precision).np
        self.precision, self.information = precision, information
        factor = root * xp.eye(root.shape[0]) if root.ndim == 1 else root
        half = xp.linalg.inv(xp.eye(factor.shape[0]) + factor.T @ precision @ factor) @ factor.T
        covariance, self.half = factor @ half, half @ precision
        self.left = xp.eye(factor.shape[0]) - factor @ self.half
        self.shift = _times(covariance, information)
        self.root = xp.linalg.cholesky((covariance + xp.linalg.matrix_transpose(covariance)) / 2)

    def mean(self, before: Array) -> Array:
        """Returns the mean after evidence, from that before."""
        return _times(self.left, before) + self.shift

    def message(self) -> tuple[Array, Array]:
        """Returns precision and information of the evidence for the mean before it."""
        transpose = ops_of(self.left).np.linalg.matrix_transpose
        precision = transpose(self.left) @ self.precision @ self.left
        precision = precision + transpose(self.half) @ self.half
        return precision, _times(transpose(self.left), self.information)


class _Absorb:
    """One step back: takes the evidence for a state, and hands on what it says of the one before.

    Args:
        prior: The chain.
    """

    def __init__(self, prior: LinearChain) -> None:
        self.prior = prior

    def __call__(self, carry: Arrays, x: Arrays) -> tuple[Arrays, Arrays]:
        """Returns the message, and gain, shift and factor of the step with the message."""
        (precision, information), (own, eta, drift) = carry, x
        update = _Update(self.prior.root, own + precision, eta + information)
        a = self.prior.transition
        inner, outer = update.message()
        message = a.T @ inner @ a, (outer - _times(inner, drift)) @ a
        gain, shift = update.left @ a, update.mean(drift)
        flat = tuple(m.reshape((*m.shape[:-2], -1)) for m in (gain, update.root))
        return message, (flat[0], shift, flat[1], *message)


def _times(matrix: Array, vector: Array) -> Array:
    return (matrix @ vector[..., None])[..., 0]
