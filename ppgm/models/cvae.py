r"""Conditional variational autoencoder: outputs x given conditions c.

.. math::
    z_n | c_n \sim N(\mu_\theta(c_n), \mathrm{diag}(\sigma_\theta^2(c_n))), \quad
    x_n | z_n, c_n \sim p(x | g_\theta(c_n) + f_\theta(z_n, c_n)), \quad
    q(z_n | x_n, c_n)

where the deterministic baseline g, a first guess from c alone, is optional; the prior network then
sees its outputs too. Conditions are any numbers: labels as one-hot vectors, or the part of a
picture that is seen.

References:
    | Learning Structured Output Representation using Deep Conditional Generative Models
    | (Sohn, Lee & Yan, 2015), https://papers.nips.cc/paper/5775
"""

__all__ = ["CVAE"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from ppgm.domains import check_size, check_widths
from ppgm.errors import ArgumentError
from ppgm.guides.gaussian import FAMILIES, Family, Gaussian
from ppgm.models import likelihoods
from ppgm.models.likelihoods import Bernoulli, Likelihood
from ppgm.models.parts import affine_of, beside, check_part
from ppgm.models.vae import LIKELIHOODS
from ppgm.nets import MLP
from ppgm.ops import Array

NEEDED = "needs hidden=() and a Gaussian likelihood of fixed scale, such as Gaussian(1.0)"


class _Nets(NamedTuple):
    """The model's networks; `baseline` is None without one."""

    baseline: Any
    prior: Any
    decode: Any


@dataclass(frozen=True)
class CVAE:
    """Conditional VAE of rows x ``(N, features)`` given c ``(N, condition)``; sites "z" and "x".

    Args:
        features: Number of columns of x.
        condition: Number of columns of c.
        latent: Number of latent coordinates L.
        hidden: Widths of the hidden layers of the model's networks; the recognition network has
            them in reverse. () is for affine networks.
        likelihood: Distribution of a row of x given the generation network's outputs.
        posterior: Family of the guide, one of `ppgm.guides`; or "exact", the posterior of a
            linear-Gaussian model computed from the model's own parameters.
        baseline: Whether there is a network from c alone, named as that of `ConditionalNet`, to
            whose outputs the generation network adds.
    """

    broadcasts = True

    features: int
    condition: int
    latent: int = 20
    hidden: tuple[int, ...] = (200, 200)
    likelihood: Likelihood = Bernoulli()
    posterior: Family | Literal["exact"] = Gaussian()
    baseline: bool = False

    def __post_init__(self) -> None:
        check_size(self, "features", "condition", "latent")
        check_widths(self, "hidden")
        check_part("likelihood", self.likelihood, "size", LIKELIHOODS)
        if self.posterior != "exact":
            check_part("posterior", self.posterior, "context", FAMILIES)
        elif self._noise is None:
            raise ArgumentError(f"CVAE: posterior 'exact' {NEEDED}")

    @property
    def _noise(self) -> float | None:
        """Scale of the columns of x in a linear-Gaussian model, None in others."""
        given = self.likelihood
        if self.hidden or not isinstance(given, likelihoods.Gaussian):
            return None
        return given.scale

    def model(self, ppl: Any, c: Array, x: Array | None = None) -> None:
        """Draws z from the prior network and x from the generation network."""
        nets, c = self._nets(ppl), ppl.ops.float(c)
        with ppl.plate("data", c):
            guess, prior = self._prior(ppl, nets, c)
            z = ppl.sample("z", prior)
            outputs = nets.decode(beside(ppl, z, c))
            outputs = outputs if guess is None else outputs + guess
            ppl.sample("x", self.likelihood(ppl, outputs), obs=x)

    def guide(self, ppl: Any, c: Array, x: Array) -> None:
        """Draws z from the recognition network."""
        c, x = ppl.ops.float(c), ppl.ops.float(x)
        if isinstance(self.posterior, str):
            self._exact(ppl, c, x)
            return
        inputs, size = self.features + self.condition, self.posterior.context(self.latent)
        encode = ppl.module("encoder", MLP(inputs, self.hidden[::-1], size))
        with ppl.plate("data", c):
            context = encode(beside(ppl, x, c))
            ppl.sample("z", self.posterior(ppl, context, self.latent))

    def log_likelihood(
        self, params: Mapping[str, np.ndarray], x: np.ndarray, c: np.ndarray
    ) -> np.ndarray:
        """Returns the exact log p(x | c) by row, ``(N,)``, of a linear-Gaussian model.

        Raises:
            ArgumentError: If the model is not linear-Gaussian.
        """
        if self._noise is None:
            raise ArgumentError(f"CVAE: the exact log p(x | c) {NEEDED}; use ppgm.evaluate")
        x, c = np.asarray(x, float), np.asarray(c, float)
        guess = _affine(params, "baseline", c) if self.baseline else np.zeros((len(c), 0))
        prior = _affine(params, "prior", np.concatenate([c, guess], -1))
        loc, scale = prior[:, : self.latent], np.exp(prior[:, self.latent :])
        mean = _affine(params, "decoder", np.concatenate([loc, c], -1))
        mean = mean + guess if self.baseline else mean

        factor = params["decoder.layers.0.weight"][:, : self.latent] * scale[:, None]
        covariance = factor @ np.swapaxes(factor, -1, -2) + self._noise**2 * np.eye(self.features)
        deviation = x - mean
        solved = np.linalg.solve(covariance, deviation[..., None])[..., 0]
        log_det = np.linalg.slogdet(2 * np.pi * covariance)[1]
        return -0.5 * ((deviation * solved).sum(-1) + log_det)

    def _nets(self, ppl: Any) -> _Nets:
        size = self.likelihood.size(self.features)
        wide, context = self.condition, Gaussian().context(self.latent)
        guess = None
        if self.baseline:
            guess = ppl.module("baseline", MLP(self.condition, self.hidden, size))
            wide += size
        prior = ppl.module("prior", MLP(wide, self.hidden, context))
        inputs = self.latent + self.condition
        return _Nets(guess, prior, ppl.module("decoder", MLP(inputs, self.hidden, size)))

    def _prior(self, ppl: Any, nets: _Nets, c: Array) -> tuple[Array | None, Any]:
        """Returns the baseline's outputs, if there is one, and p(z | c)."""
        guess = None if nets.baseline is None else nets.baseline(c)
        seen = c if guess is None else beside(ppl, c, guess)
        return guess, Gaussian()(ppl, nets.prior(seen), self.latent)

    def _exact(self, ppl: Any, c: Array, x: Array) -> None:
        """Draws z from p(z | x, c).

        With p(z | c) = N(m, diag(v)) and p(x | z, c) = N(W z + b, s^2 I) its precision is
        P = diag(1 / v) + W'W / s^2 and its mean m + P^-1 W'(x - W m - b) / s^2.
        """
        nets, xp, noise = self._nets(ppl), ppl.np, self._noise or 1.0
        guess = None if nets.baseline is None else nets.baseline(c)
        prior = nets.prior(c if guess is None else beside(ppl, c, guess))
        loc, scale = prior[..., : self.latent], xp.exp(prior[..., self.latent :])
        weight = affine_of(ppl, nets.decode, self.latent + self.condition)[0][:, : self.latent]
        mean = nets.decode(beside(ppl, loc, c))
        residual = x - (mean if guess is None else mean + guess)

        eye = xp.eye(self.latent)
        covariance = xp.linalg.inv(eye / scale[..., None] ** 2 + weight.T @ weight / noise**2)
        pull = residual @ weight / noise**2
        loc = loc + (covariance @ pull[..., None])[..., 0]
        with ppl.plate("data", c):
            root = xp.linalg.cholesky(covariance)
            ppl.sample("z", ppl.distributions.MultivariateNormal(loc, scale_tril=root))


def _affine(params: Mapping[str, np.ndarray], name: str, rows: np.ndarray) -> np.ndarray:
    return rows @ params[f"{name}.layers.0.weight"].T + params[f"{name}.layers.0.bias"]
