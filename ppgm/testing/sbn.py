r"""Exact answers for a layered sigmoid belief network by enumeration.

Model, with bits `x` and layers of bits `h_1 ... h_L`, the top one last:

    h_L ~ Bernoulli(sigmoid(t))
    h_l | h_(l+1) ~ Bernoulli(sigmoid(W_(l+1) h_(l+1) + b_(l+1)))
    x | h_1 ~ Bernoulli(sigmoid(W_1 h_1 + b_1))

Guide, factorised within a layer: `q(h_1 | x) q(h_2 | h_1) ...` with logits `V_l below + c_l`.

Either may have deterministic layers between, and weights within a layer, by which each unit
depends on those before it: a `Deep` in place of weight and bias. A condition `c` enters by biases
of its own for each row, `(N, below)`.

Every function but `bound_gradients` takes parameters of numpy, torch or JAX and returns arrays
of that library, so the exact bounds can be differentiated by autodiff.

References:
    Connectionist learning of belief networks (Neal, 1992), doi:10.1016/0004-3702(92)90065-6.
    Neural Variational Inference and Learning in Belief Networks (Mnih & Gregor, 2014),
    arXiv:1402.0030.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from array_api_compat import array_namespace

from ppgm.testing.arrays import Array, bernoulli, binary_states, convert, logsumexp, sigmoid
from ppgm.testing.enumeration import bound_coefficients, expected_bound


class Deep(NamedTuple):
    """Parameters of a layer's logits: a perceptron of its inputs, and weights within the layer."""

    affine: Sequence[tuple[Array, Array]]
    """Weight `(out, in)` and bias `(out,)`, first to last, with tanh between."""
    within: Array | None = None
    """Weights `(out, out)` of earlier units of the layer; those below the diagonal count."""


Layer = tuple[Array, Array] | Deep


class Network(NamedTuple):
    """Parameters of the model."""

    top: Array
    """Prior logits `t` of the top layer, `(H_L,)`; by row of a condition `(N, H_L)`."""
    layers: Sequence[Layer]
    """Weight `(below, above)` and bias `(below,)` of each layer; the one of `x` first."""
    within: Array | None = None
    """Weights within the top layer, `(H_L, H_L)`, as in `Deep`."""


class Guide(NamedTuple):
    """Parameters of the guide."""

    layers: Sequence[Layer]
    """Weight `(above, below)` and bias `(above,)` of each layer; the one that reads `x` first."""


def hidden_states(network: Network) -> tuple[Array, ...]:
    """All S joint states of the hidden bits, one `(S, 1, H_l)` for each layer, lowest first."""
    sizes = [_affine(layer)[0][0].shape[1] for layer in network.layers]
    states = binary_states(sum(sizes), like=network.top)[:, None, :]
    ends = np.cumsum(sizes).tolist()
    return tuple(states[..., end - size : end] for size, end in zip(sizes, ends, strict=True))


def log_joint(x: Array, hidden: Sequence[Array], network: Network) -> Array:
    """`log p(x, h)` of bits `x (N, D)` and layers `(S, 1, H_l)`, which broadcast to `(S, N)`."""
    total = bernoulli(hidden[-1], _beside(network.top, hidden[-1], network.within))
    for (lower, upper), layer in zip(_pairs(x, hidden), network.layers, strict=True):
        total = total + bernoulli(lower, _logits(lower, upper, layer))
    return total


def log_guide(x: Array, hidden: Sequence[Array], guide: Guide) -> Array:
    """`log q(h | x)` of bits `x (N, D)` and layers `(S, 1, H_l)`, which broadcast to `(S, N)`."""
    terms = [
        bernoulli(upper, _logits(upper, lower, layer))
        for (lower, upper), layer in zip(_pairs(x, hidden), guide.layers, strict=True)
    ]
    return sum(terms[1:], start=terms[0])


def log_marginal(x: Array, network: Network) -> Array:
    """Exact `log p(x)` of each row of `x (N, D)`, `(N,)`."""
    return logsumexp(_joint_table(x, network), axis=0)


def posterior(x: Array, network: Network) -> Array:
    """Exact log posterior `log p(h | x)` of all states for each row of `x (N, D)`, `(S, N)`."""
    return _joint_table(x, network) - log_marginal(x, network)


def tables(x: Array, network: Network, guide: Guide) -> tuple[Array, Array]:
    """`log p(x, h) - log q(h | x)` and `log q(h | x)` of all states, each `(S, N)`."""
    log_q = log_guide(convert(x, like=network.top), hidden_states(network), guide)
    return _joint_table(x, network) - log_q, log_q


def elbo(x: Array, network: Network, guide: Guide) -> Array:
    """Exact `E_q[log p(x, h) - log q(h | x)]` of each row of `x (N, D)`, `(N,)`."""
    return renyi(x, network, guide, 1, alpha=1.0)


def iwae(x: Array, network: Network, guide: Guide, particles: int) -> Array:
    """Exact K-particle bound `E[log mean_k w_k]` of each row of `x (N, D)`, `(N,)`."""
    return renyi(x, network, guide, particles, alpha=0.0)


def renyi(x: Array, network: Network, guide: Guide, particles: int, *, alpha: float) -> Array:
    """Exact expected K-particle Renyi bound of each row of `x (N, D)`, `(N,)`."""
    log_w, log_q = tables(x, network, guide)
    return expected_bound(log_w, log_q, particles, alpha=alpha)


def bound_gradients(
    x: np.ndarray, network: Network, guide: Guide, particles: int, *, alpha: float = 0.0
) -> tuple[Network, Guide]:
    """Exact gradient of the sum over the rows of the `renyi` bound, in closed form.

    For nets of weights and biases only, without a `Deep`.

    Args:
        x: Bits, `(N, D)`, numpy as are the parameters.
        network: The model.
        guide: The guide.
        particles: K.
        alpha: Order of the bound; 0 is the IWAE bound, and with K = 1 it is the ELBO.

    Returns:
        The gradients, in containers of the shapes of `network` and `guide`.
    """
    hidden = hidden_states(network)
    coefficients = bound_coefficients(*tables(x, network, guide), particles, alpha=alpha)
    in_log_p, in_log_q = coefficients
    pairs = _pairs(x, hidden)

    top = np.einsum("sn,sno->o", in_log_p, hidden[-1] - sigmoid(network.top))
    decoder = [
        _layer_gradient(in_log_p, lower, upper, layer)
        for (lower, upper), layer in zip(pairs, network.layers, strict=True)
    ]
    encoder = [
        _layer_gradient(in_log_q, upper, lower, layer)
        for (lower, upper), layer in zip(pairs, guide.layers, strict=True)
    ]
    return Network(top, decoder), Guide(encoder)


def perceptron(rows: Array, affine: Sequence[tuple[Array, Array]]) -> Array:
    """Affine maps of rows `(*, in)` one after the other, tanh between, `(*, out)`."""
    *inner, (weight, bias) = affine
    for first, offset in inner:
        outputs = rows @ first.T + offset
        rows = array_namespace(outputs).tanh(outputs)
    return rows @ weight.T + bias


def _joint_table(x: Array, network: Network) -> Array:
    return log_joint(convert(x, like=network.top), hidden_states(network), network)


def _pairs(x: Array, hidden: Sequence[Array]) -> list[tuple[Array, Array]]:
    """Neighbouring layers (below, above), the pair of `x` first."""
    return list(zip((x, *hidden[:-1]), hidden, strict=True))


def _affine(layer: Layer) -> Sequence[tuple[Array, Array]]:
    return layer.affine if isinstance(layer, Deep) else [layer]


def _logits(value: Array, inputs: Array, layer: Layer) -> Array:
    """Logits of the units `value` of a layer, given its inputs and its own earlier units."""
    logits = perceptron(inputs, _affine(layer))
    return _beside(logits, value, layer.within if isinstance(layer, Deep) else None)


def _beside(logits: Array, value: Array, within: Array | None) -> Array:
    """Adds what the earlier units of a layer contribute to its logits."""
    if within is None:
        return logits
    return logits + value @ array_namespace(within).tril(within, k=-1).T


def _layer_gradient(
    coefficient: np.ndarray, value: np.ndarray, inputs: np.ndarray, layer: Layer
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of `coefficient (S, N)` times the gradient of the log probability of `value`."""
    ((weight, bias),) = _affine(layer)
    residual = value - sigmoid(inputs @ weight.T + bias)
    full = np.broadcast_to(residual, (*coefficient.shape, residual.shape[-1]))
    given = np.broadcast_to(inputs, (*coefficient.shape, inputs.shape[-1]))
    in_weight = np.einsum("sn,sno,sni->oi", coefficient, full, given)
    return in_weight, np.einsum("sn,sno->o", coefficient, full)
