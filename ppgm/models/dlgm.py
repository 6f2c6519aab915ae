r"""Deep latent Gaussian model: stochastic layers with deterministic networks between them.

.. math::
    z_L \sim N(0, I), \quad
    z_l | z_{l+1} \sim N(\mu_l(z_{l+1}), \mathrm{diag}(\sigma_l^2(z_{l+1}))), \quad
    x | z_1 \sim p(x | f(z_1))

and the guide, of one family for every layer, is one of

.. math::
    \prod_l q(z_l | z_{l-1}) \text{ with } z_0 = x \quad \text{(bottom-up)}, \quad
    \prod_l q(z_l | d_l(x), z_{l+1}) \quad \text{(top-down)}, \quad
    \prod_l q(z_l | x) \quad \text{(mean-field)}

where :math:`d_l(x)` is a deterministic pass upward: the ladder form. With affine networks,
constant scales and a Gaussian likelihood of fixed scale everything is Gaussian, log p(x) is exact,
and ``structure="exact"`` is the posterior computed from the model's own parameters.

References:
    | Stochastic Backpropagation and Approximate Inference in Deep Generative Models (Rezende,
    | Mohamed & Wierstra, 2014), https://arxiv.org/abs/1401.4082
    | Importance Weighted Autoencoders (Burda et al., 2016), https://arxiv.org/abs/1509.00519
    | Ladder Variational Autoencoders (Sonderby et al., 2016), https://arxiv.org/abs/1602.02282
"""

__all__ = ["DLGM"]

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Literal

import numpy as np

from ppgm.distributions import standard_normal
from ppgm.domains import check_size, check_widths
from ppgm.errors import ArgumentError
from ppgm.guides.gaussian import FAMILIES, Family, Gaussian
from ppgm.models import likelihoods
from ppgm.models.likelihoods import Bernoulli, Likelihood
from ppgm.models.parts import affine_of, beside, check_choice, check_part
from ppgm.models.vae import LIKELIHOODS
from ppgm.nets import MLP
from ppgm.ops import Array
from ppgm.testing import gaussian_chain

Structure = Literal["bottom-up", "top-down", "mean-field", "exact"]
STRUCTURES = ("bottom-up", "top-down", "mean-field", "exact")
NEEDED = (
    "needs a linear-Gaussian model: hidden=(), scales='constant' and a Gaussian likelihood of "
    "fixed scale, such as Gaussian(1.0)"
)


@dataclass(frozen=True)
class DLGM:
    """Deep latent Gaussian model of rows ``(N, features)``; sites "z1" (next to x) ... and "x".

    Args:
        features: Number of columns of the data.
        latents: Widths of the stochastic layers, from the one next to x upward.
        hidden: Widths of the hidden layers of the model's networks; the guide's have them in
            reverse. () is for affine networks.
        likelihood: Distribution of a row given the lowest network's outputs.
        structure: How the guide's layers follow from each other: "bottom-up", "top-down" (the
            ladder form), "mean-field", or "exact", the posterior of a linear-Gaussian model.
        posterior: Family of each layer of the guide.
        scales: Whether a "network" makes the scales of the layers below the top, or they are
            "constant".
    """

    broadcasts = True

    features: int
    latents: tuple[int, ...] = (20, 10)
    hidden: tuple[int, ...] = (200,)
    likelihood: Likelihood = Bernoulli()
    structure: Structure = "bottom-up"
    posterior: Family = Gaussian()
    scales: Literal["network", "constant"] = "network"

    def __post_init__(self) -> None:
        check_size(self, "features")
        check_widths(self, "latents")
        check_widths(self, "hidden")
        if not self.latents:
            raise ArgumentError("DLGM: latents must have a width for at least one layer, not ()")
        check_part("likelihood", self.likelihood, "size", LIKELIHOODS)
        check_part("posterior", self.posterior, "context", FAMILIES)
        check_choice(self, "structure", STRUCTURES)
        check_choice(self, "scales", ("network", "constant"))
        if self.structure == "exact" and not self.linear:
            raise ArgumentError(f"DLGM: structure 'exact' {NEEDED}")

    @property
    def linear(self) -> bool:
        """Whether latents and data are jointly Gaussian."""
        return not self.hidden and self.scales == "constant" and self._noise is not None

    @property
    def _noise(self) -> float | None:
        """Scale of the data's columns, None unless it is one number."""
        given = self.likelihood
        return given.scale if isinstance(given, likelihoods.Gaussian) else None

    def model(self, ppl: Any, x: Array | None = None) -> None:
        """Draws the layers from the top down."""
        layers, decode = self._generative(ppl)
        with ppl.plate("data", x):
            z = ppl.sample(f"z{len(self.latents)}", standard_normal(ppl, self.latents[-1]))
            for level in range(len(self.latents) - 1, 0, -1):
                net, scale = layers[level - 1]
                z = ppl.sample(f"z{level}", self._layer(ppl, net(z), scale, level))
            ppl.sample("x", self.likelihood(ppl, decode(z)), obs=x)

    def guide(self, ppl: Any, x: Array) -> None:
        """Draws the layers as `structure` says."""
        run = {
            "bottom-up": self._bottom_up,
            "top-down": self._top_down,
            "mean-field": self._mean_field,
            "exact": self._exact,
        }[self.structure]
        run(ppl, ppl.ops.float(x))

    def log_likelihood(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        """Returns the exact log p(x) by row, ``(N,)``, of a linear-Gaussian model.

        Raises:
            ArgumentError: If the model is not linear-Gaussian.
        """
        return gaussian_chain.log_marginal(np.asarray(x, float), self.exact_model(params))

    def exact_model(self, params: Mapping[str, np.ndarray]) -> list[gaussian_chain.Layer]:
        """Returns the layers from x upward as the reference functions of `ppgm.testing` take them.

        Raises:
            ArgumentError: If the model is not linear-Gaussian.
        """
        if not self.linear:
            raise ArgumentError(f"DLGM: the exact log p(x) {NEEDED}; use ppgm.evaluate")
        names = ["decoder", *(f"prior{level}" for level in range(1, len(self.latents)))]
        scales = [np.full(self.features, self._noise, float)]
        scales += [params[f"scale{level}"].astype(float) for level in range(1, len(names))]
        weights = (params[f"{name}.layers.0.weight"].astype(float) for name in names)
        biases = (params[f"{name}.layers.0.bias"].astype(float) for name in names)
        return [
            gaussian_chain.Layer(*parts) for parts in zip(weights, biases, scales, strict=True)
        ]

    def _generative(self, ppl: Any) -> tuple[list[tuple[Any, Any]], Any]:
        """Returns network and constant scale of each layer below the top, and the decoder."""
        layers = []
        for level, (width, above) in enumerate(pairwise(self.latents), 1):
            constant = self.scales == "constant"
            size = width if constant else Gaussian().context(width)
            net = ppl.module(f"prior{level}", MLP(above, self.hidden, size))
            ones = np.ones(width)
            scale = ppl.param(f"scale{level}", ones, constraint="positive") if constant else None
            layers.append((net, scale))
        size = self.likelihood.size(self.features)
        return layers, ppl.module("decoder", MLP(self.latents[0], self.hidden, size))

    def _layer(self, ppl: Any, outputs: Array, scale: Array | None, level: int) -> Any:
        if scale is None:
            return Gaussian()(ppl, outputs, self.latents[level - 1])
        return ppl.distributions.Normal(outputs, scale).to_event(1)

    def _encoders(self, ppl: Any, widths: list[int]) -> list[Any]:
        """Returns the networks of the guide's layers, from z1 upward; `widths` of their inputs."""
        return [
            ppl.module(f"encoder{n}", MLP(width, self.hidden[::-1], self.posterior.context(size)))
            for n, (width, size) in enumerate(zip(widths, self.latents, strict=True), 1)
        ]

    def _draw(self, ppl: Any, context: Array, level: int) -> Array:
        return ppl.sample(
            f"z{level}", self.posterior(ppl, context, self.latents[level - 1], f"z{level}")
        )

    def _bottom_up(self, ppl: Any, x: Array) -> None:
        nets = self._encoders(ppl, [self.features, *self.latents[:-1]])
        with ppl.plate("data", x):
            z = x
            for level, net in enumerate(nets, 1):
                z = self._draw(ppl, net(z), level)

    def _mean_field(self, ppl: Any, x: Array) -> None:
        nets = self._encoders(ppl, [self.features] * len(self.latents))
        with ppl.plate("data", x):
            for level, net in enumerate(nets, 1):
                self._draw(ppl, net(x), level)

    def _top_down(self, ppl: Any, x: Array) -> None:
        width = self.hidden[0] if self.hidden else self.features
        inputs = [width + above for above in (*self.latents[1:], 0)]
        nets = self._encoders(ppl, inputs)
        passes = self._upward(ppl, width)
        with ppl.plate("data", x):
            summaries = list(accumulate(passes, lambda rows, step: step(rows), initial=x))
            context = summaries[-1]
            for level in range(len(nets), 0, -1):
                z = self._draw(ppl, nets[level - 1](context), level)
                context = beside(ppl, summaries[level - 1], z)

    def _upward(self, ppl: Any, width: int) -> list[Any]:
        """Returns the steps of the deterministic pass, each to `width` numbers."""
        inner = self.hidden[:0:-1]
        widths = [self.features] + [width] * len(self.latents)
        steps = [
            ppl.module(f"upward{n}", MLP(ends[0], inner, ends[1]))
            for n, ends in enumerate(pairwise(widths), 1)
        ]
        if not self.hidden:
            return steps
        return [lambda rows, step=step: ppl.np.tanh(step(rows)) for step in steps]

    def _exact(self, ppl: Any, x: Array) -> None:
        """Draws p(z_L | x), then every p(z_l | z_{l+1}, x).

        With p(x | z_l) = N(M z_l + m, V) and the prior's mean p and variances s^2, the posterior
        of z_l has the precision P = diag(s^-2) + M' V^-1 M and the mean
        p + P^-1 M' V^-1 (x - m - M p).
        """
        xp, messages = ppl.np, self._messages(ppl)
        with ppl.plate("data", x):
            z = None
            for level in range(len(self.latents), 0, -1):
                prior, scale, weight, bias, noise = messages[level - 1]
                loc = xp.zeros(self.latents[-1]) if z is None else prior(z)
                pull = weight.T @ xp.linalg.inv(noise)
                covariance = xp.linalg.inv(pull @ weight + xp.eye(len(scale)) / scale**2)
                loc = loc + (x - bias - loc @ weight.T) @ (covariance @ pull).T
                root = xp.linalg.cholesky(covariance)
                q = ppl.distributions.MultivariateNormal(loc, scale_tril=root)
                z = ppl.sample(f"z{level}", q)

    def _messages(self, ppl: Any) -> list[tuple[Any, Array, Array, Array, Array]]:
        """Returns prior network and scale of z_l, and M, m and V of p(x | z_l), from z1 upward."""
        xp = ppl.np
        layers, decode = self._generative(ppl)
        ones = xp.ones(self.latents[-1])
        weight, bias = affine_of(ppl, decode, self.latents[0])
        noise = xp.eye(self.features) * (self._noise or 1.0) ** 2
        found = []
        for level, (prior, scale) in enumerate([*layers, (None, ones)], 1):
            found.append((prior, scale, weight, bias, noise))
            if prior is not None:
                a, b = affine_of(ppl, prior, self.latents[level])
                noise = noise + (weight * scale**2) @ weight.T
                weight, bias = weight @ a, weight @ b + bias
        return found
