r"""Exact answers for a linear-Gaussian model with a class (M2).

Model, with a class `y` of C, `z` of size L and `x` of size D:

    y ~ Cat(pi),    z ~ N(0, I_L),    x | z, y ~ N(W z + V e_y + b, diag(sigma^2))

Guide:

    q(y | x) = softmax(H x + h),    q(z | x, y) = N(A x + B e_y + c, diag(s^2))

Given the class both are those of `linear_gaussian`, so the labelled bound is a closed form, the
unlabelled bound a sum of C of them, and log p(x) a mixture of C Gaussians.

References:
    Semi-Supervised Learning with Deep Generative Models (Kingma, Rezende, Mohamed & Welling,
    2014), arXiv:1406.5298, equations 6 and 7.
"""

from typing import NamedTuple

import numpy as np

from ppgm.testing import linear_gaussian as exact
from ppgm.testing.arrays import logsumexp


class Pair(NamedTuple):
    """Model and guide."""

    prior: np.ndarray
    """Logits of the classes, `(C,)`."""
    models: tuple[exact.Model, ...]
    """The linear-Gaussian model of each class."""
    guides: tuple[exact.Guide, ...]
    """The guide q(z | x, y) of each class."""
    classifier: tuple[np.ndarray, np.ndarray]
    """`H (C, D)` and `h (C,)`."""


def log_prior(pair: Pair) -> np.ndarray:
    """Log probabilities of the classes, `(C,)`."""
    return _log_softmax(pair.prior[None])[0]


def log_classes(x: np.ndarray, pair: Pair) -> np.ndarray:
    """`log q(y | x)` of every row and class, `(N, C)`."""
    weight, bias = pair.classifier
    return _log_softmax(x @ weight.T + bias)


def log_joint(x: np.ndarray, pair: Pair) -> np.ndarray:
    """Exact `log p(x, y)` of every row and class, `(N, C)`."""
    columns = [exact.log_marginal(x, model) for model in pair.models]
    return np.stack(columns, axis=-1) + log_prior(pair)


def log_marginal(x: np.ndarray, pair: Pair) -> np.ndarray:
    """Exact `log p(x)`, `(N,)`."""
    return logsumexp(log_joint(x, pair), axis=-1)


def labelled(x: np.ndarray, pair: Pair) -> np.ndarray:
    """The paper's labelled bound (minus its equation 6) of every row and class, `(N, C)`."""
    sides = zip(pair.models, pair.guides, strict=True)
    return np.stack([exact.elbo(x, m, g) for m, g in sides], axis=-1) + log_prior(pair)


def unlabelled(x: np.ndarray, pair: Pair) -> np.ndarray:
    """The paper's unlabelled bound (minus its equation 7), `(N,)`."""
    log_q = log_classes(x, pair)
    return np.sum(np.exp(log_q) * (labelled(x, pair) - log_q), axis=-1)


def bound(x: np.ndarray, y: np.ndarray, pair: Pair) -> np.ndarray:
    """The bound of each row: labelled where `y >= 0`, unlabelled elsewhere, `(N,)`."""
    known = np.take_along_axis(labelled(x, pair), np.maximum(y, 0)[:, None], axis=-1)[:, 0]
    return np.where(y >= 0, known, unlabelled(x, pair))


def log_evidence(x: np.ndarray, y: np.ndarray, pair: Pair) -> np.ndarray:
    """`log p(x, y)` where the class is known, `log p(x)` elsewhere, `(N,)`."""
    known = np.take_along_axis(log_joint(x, pair), np.maximum(y, 0)[:, None], axis=-1)[:, 0]
    return np.where(y >= 0, known, log_marginal(x, pair))


def classification(x: np.ndarray, y: np.ndarray, pair: Pair) -> np.ndarray:
    """`-log q(y | x)` where the class is known, 0 elsewhere, `(N,)`."""
    at = np.take_along_axis(log_classes(x, pair), np.maximum(y, 0)[:, None], axis=-1)[:, 0]
    return np.where(y >= 0, -at, 0.0)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - logsumexp(logits, axis=-1)[..., None]
