r"""Factor analysis, and probabilistic PCA.

.. math::
    z_n \sim N(0, I_L), \quad x_n | z_n \sim N(W z_n + b, \Psi), \quad
    \Psi = \mathrm{diag}(\psi_1^2 \dots \psi_D^2)

With isotropic noise, :math:`\Psi = \psi^2 I`, this is probabilistic PCA. Marginal and posterior
are Gaussian in closed form, :math:`p(x) = N(b, W W^T + \Psi)` and
:math:`p(z | x) = N(M^{-1} W^T \Psi^{-1} (x - b), M^{-1})` with
:math:`M = I + W^T \Psi^{-1} W`: the model is the exact reference for every bound.

References:
    | Probabilistic Principal Component Analysis (Tipping & Bishop, 1999)
    | https://doi.org/10.1111/1467-9868.00196
"""

__all__ = ["FactorAnalysis"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ppgm.distributions import standard_normal
from ppgm.domains import check_size
from ppgm.errors import ArgumentError
from ppgm.guides.gaussian import Gaussian
from ppgm.nets import MLP
from ppgm.ops import Array
from ppgm.testing import linear_gaussian


@dataclass(frozen=True)
class FactorAnalysis:
    """Linear-Gaussian latent variables; rows ``(N, features)``, sites "z" and "x".

    Args:
        features: Number of columns D.
        latent: Number of factors L.
        isotropic: Whether all columns share one noise scale (probabilistic PCA).
        posterior: Guide: "mean-field", a linear encoder with independent coordinates, or
            "exact", the posterior computed from the model's own parameters.
    """

    broadcasts = True

    features: int
    latent: int = 2
    isotropic: bool = False
    posterior: Literal["mean-field", "exact"] = "mean-field"

    def __post_init__(self) -> None:
        check_size(self, "features", "latent")
        if self.posterior not in ("mean-field", "exact"):
            raise ArgumentError(
                f"posterior must be 'mean-field' or 'exact', not '{self.posterior}'"
            )

    def model(self, ppl: Any, x: Array | None = None) -> None:
        """Draws factors from the prior and rows from the linear-Gaussian likelihood."""
        affine, scale = self._parameters(ppl)
        with ppl.plate("data", x):
            z = ppl.sample("z", standard_normal(ppl, self.latent))
            ppl.sample("x", ppl.distributions.Normal(affine(z), scale).to_event(1), obs=x)

    def guide(self, ppl: Any, x: Array) -> None:
        """Draws factors from the posterior, exact or by a linear encoder."""
        x = ppl.ops.float(x)
        if self.posterior == "exact":
            self._exact_guide(ppl, x)
            return
        encode = ppl.module("encoder", MLP(self.features, (), 2 * self.latent))
        with ppl.plate("data", x):
            ppl.sample("z", Gaussian()(ppl, encode(x), self.latent))

    def log_likelihood(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        """Returns the exact log p(x) by row, ``(N,)``, at constrained parameters."""
        return linear_gaussian.log_marginal(np.asarray(x, float), self.exact_model(params))

    def exact_posterior(
        self, params: Mapping[str, np.ndarray], x: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean ``(N, latent)`` and covariance ``(latent, latent)`` of p(z | x)."""
        return linear_gaussian.posterior(np.asarray(x, float), self.exact_model(params))

    def exact_model(self, params: Mapping[str, np.ndarray]) -> linear_gaussian.Model:
        """Returns the parameters as the reference functions of `ppgm.testing` take them."""
        log_scale = np.log(np.broadcast_to(params["scale"], (self.features,)).astype(float))
        weight, bias = params["decoder.layers.0.weight"], params["decoder.layers.0.bias"]
        return linear_gaussian.Model(weight.astype(float), bias.astype(float), log_scale)

    def _parameters(self, ppl: Any) -> tuple[Any, Array]:
        affine = ppl.module("decoder", MLP(self.latent, (), self.features))
        size = 1 if self.isotropic else self.features
        scale = ppl.param("scale", np.ones(size), constraint="positive")
        return affine, scale + ppl.np.zeros(self.features)

    def _exact_guide(self, ppl: Any, x: Array) -> None:
        affine, scale = self._parameters(ppl)
        xp = ppl.np
        bias = affine(xp.zeros(self.latent))
        weight = xp.permute_dims(affine(xp.eye(self.latent)) - bias, (1, 0))

        scaled = weight / scale[:, None]
        precision = xp.eye(self.latent) + scaled.T @ scaled
        covariance = xp.linalg.inv(precision)
        loc = ((x - bias) / scale) @ scaled @ covariance

        with ppl.plate("data", x):
            root = xp.linalg.cholesky(covariance)
            ppl.sample("z", ppl.distributions.MultivariateNormal(loc, scale_tril=root))
