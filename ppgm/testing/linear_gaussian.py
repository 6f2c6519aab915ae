r"""Exact answers for the linear-Gaussian latent variable model.

Model, with `z` of size L and `x` of size D:

    z ~ N(0, I_L)
    x | z ~ N(W z + b, Psi),    Psi = diag(sigma^2)

Guide, with a lower triangular `C`:

    q(z | x) = N(A x + c, C C')

Everything about the pair is in closed form: the marginal `N(b, W W' + Psi)`, the posterior
`N(S W' Psi^-1 (x - b), S)` with `S = (I + W' Psi^-1 W)^-1`, which the guide family contains, the
ELBO and its gradient. At the exact posterior the weight `p(x, z) / q(z | x)` is `p(x)` for every
`z`, so each of ELBO, IWAE and Renyi equals `log p(x)` with zero variance.

References:
    Probabilistic Principal Component Analysis (Tipping & Bishop, 1999),
    doi:10.1111/1467-9868.00196.
    Don't Blame the ELBO! (Lucas et al., 2019), arXiv:1911.02469, for the ELBO in closed form.
"""

from typing import NamedTuple

import numpy as np

LOG_2PI = float(np.log(2 * np.pi))


class Model(NamedTuple):
    """Parameters of the model."""

    weight: np.ndarray
    """`W`, `(D, L)`."""
    bias: np.ndarray
    """`b`, `(D,)`."""
    log_sigma: np.ndarray
    """Log standard deviation of the noise, `(D,)`."""


class Guide(NamedTuple):
    """Parameters of the guide."""

    weight: np.ndarray
    """`A`, `(L, D)`."""
    bias: np.ndarray
    """`c`, `(L,)`."""
    scale_tril: np.ndarray
    """`C`, lower triangular with a positive diagonal, `(L, L)`."""


class Gradients(NamedTuple):
    """Gradient of the ELBO, summed over the rows, in each parameter."""

    weight: np.ndarray
    """In `W`, `(D, L)`."""
    bias: np.ndarray
    """In `b`, `(D,)`."""
    log_sigma: np.ndarray
    """In `log sigma`, `(D,)`."""
    guide_weight: np.ndarray
    """In `A`, `(L, D)`."""
    guide_bias: np.ndarray
    """In `c`, `(L,)`."""
    guide_scale_tril: np.ndarray
    """In the lower triangle of `C`, `(L, L)`."""
    guide_log_scale: np.ndarray
    """In the log of the diagonal of `C`, `(L,)`: all there is to `C` in a mean-field guide."""


def mean_field(weight: np.ndarray, bias: np.ndarray, log_scale: np.ndarray) -> Guide:
    """The guide `N(A x + c, diag(s^2))` from `A (L, D)`, `c (L,)` and `log s (L,)`."""
    return Guide(weight, bias, np.diag(np.exp(log_scale)))


def log_marginal(x: np.ndarray, model: Model) -> np.ndarray:
    """Exact `log p(x)` of each row of `x (N, D)`, `(N,)`."""
    covariance = model.weight @ model.weight.T + np.diag(np.exp(2 * model.log_sigma))
    return _normal(x - model.bias, np.linalg.cholesky(covariance))


def posterior(x: np.ndarray, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Exact posterior of the latents.

    Args:
        x: Data, `(N, D)`.
        model: The model.

    Returns:
        The means `(N, L)` and the covariance `(L, L)`, which all rows share.
    """
    guide = exact_guide(model)
    return guide_mean(x, guide), guide.scale_tril @ guide.scale_tril.T


def exact_guide(model: Model) -> Guide:
    """The guide that is the exact posterior: zero variance of every estimator."""
    scaled = model.weight * np.exp(-2 * model.log_sigma)[:, None]
    covariance = np.linalg.inv(np.eye(model.weight.shape[1]) + model.weight.T @ scaled)
    weight = covariance @ scaled.T
    return Guide(weight, -weight @ model.bias, np.linalg.cholesky(covariance))


def guide_mean(x: np.ndarray, guide: Guide) -> np.ndarray:
    """Mean `A x + c` of the guide for each row of `x (N, D)`, `(N, L)`."""
    return x @ guide.weight.T + guide.bias


def draws(x: np.ndarray, noise: np.ndarray, guide: Guide) -> np.ndarray:
    """Latents that the guide makes of standard normal noise.

    Args:
        x: Data, `(N, D)`.
        noise: `(K, N, L)`, or `(K, 1, L)` for the same noise in each row.
        guide: The guide.

    Returns:
        `(K, N, L)`.
    """
    return guide_mean(x, guide) + noise @ guide.scale_tril.T


def log_weights(x: np.ndarray, z: np.ndarray, model: Model, guide: Guide) -> np.ndarray:
    """`log p(x, z) - log q(z | x)` of `x (N, D)` and `z (K, N, L)`, `(K, N)`."""
    prior = _normal(z, np.eye(z.shape[-1]))
    noise = np.diag(np.exp(model.log_sigma))
    likelihood = _normal(x - model.bias - z @ model.weight.T, noise)
    return prior + likelihood - _normal(z - guide_mean(x, guide), guide.scale_tril)


def expected_log_likelihood(x: np.ndarray, model: Model, guide: Guide) -> np.ndarray:
    """Exact `E_q[log p(x | z)]` of each row of `x (N, D)`, `(N,)`."""
    residual = x - model.bias - guide_mean(x, guide) @ model.weight.T
    spread = np.sum((model.weight @ guide.scale_tril) ** 2, axis=1)
    squares = (residual**2 + spread) * np.exp(-2 * model.log_sigma)
    return -0.5 * np.sum(squares + 2 * model.log_sigma + LOG_2PI, axis=1)


def divergence(x: np.ndarray, guide: Guide) -> np.ndarray:
    """Exact `KL(q(z | x) || N(0, I))` of each row of `x (N, D)`, `(N,)`."""
    log_det = 2 * np.sum(np.log(np.diag(guide.scale_tril)))
    trace = np.sum(guide.scale_tril**2)
    squares = np.sum(guide_mean(x, guide) ** 2, axis=1)
    return 0.5 * (trace + squares - guide.bias.size - log_det)


def elbo(x: np.ndarray, model: Model, guide: Guide, *, beta: float = 1.0) -> np.ndarray:
    """Exact `E_q[log p(x | z)] - beta KL(q || p)` of each row of `x (N, D)`, `(N,)`."""
    return expected_log_likelihood(x, model, guide) - beta * divergence(x, guide)


def elbo_gradients(x: np.ndarray, model: Model, guide: Guide, *, beta: float = 1.0) -> Gradients:
    """Exact gradient of the sum over the rows of `elbo`.

    With `m = A x + c`, `r = x - b - W m` and `S = C C'`, the ELBO of a row is, up to a constant,

        - sum log sigma - (r' Psi^-1 r + tr Psi^-1 W S W') / 2 - beta (tr S + m'm - log det S) / 2

    Args:
        x: Data, `(N, D)`.
        model: The model.
        guide: The guide.
        beta: Weight of the divergence.

    Returns:
        One gradient for each parameter.
    """
    rows, precision = len(x), np.exp(-2 * model.log_sigma)
    mean, tril = guide_mean(x, guide), guide.scale_tril
    covariance = tril @ tril.T
    residual = x - model.bias - mean @ model.weight.T
    scaled = residual * precision
    spread = np.sum((model.weight @ tril) ** 2, axis=1)

    in_mean = scaled @ model.weight - beta * mean
    curvature = (model.weight.T * precision) @ model.weight + beta * np.eye(len(tril))
    # d/dC of -tr(H C C') / 2 is -H C, and of log det C C' / 2 the inverse of C'.
    in_tril = rows * np.tril(beta * np.linalg.inv(tril).T - curvature @ tril)
    return Gradients(
        weight=scaled.T @ mean - rows * precision[:, None] * (model.weight @ covariance),
        bias=scaled.sum(axis=0),
        log_sigma=np.sum((residual**2 + spread) * precision - 1, axis=0),
        guide_weight=in_mean.T @ x,
        guide_bias=in_mean.sum(axis=0),
        guide_scale_tril=in_tril,
        guide_log_scale=np.diag(in_tril) * np.diag(tril),
    )


def _normal(deviation: np.ndarray, tril: np.ndarray) -> np.ndarray:
    """Log density of `N(0, C C')` at deviations `(..., D)`, `(...)`."""
    white = deviation @ np.linalg.inv(tril).T
    log_det = np.sum(np.log(np.diag(tril)))
    return -0.5 * np.sum(white**2, axis=-1) - log_det - 0.5 * len(tril) * LOG_2PI
