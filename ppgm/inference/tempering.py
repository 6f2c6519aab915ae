r"""Tempered weights: annealed divergences, weights of sites, free bits.

.. math::
    \log \tilde w = \sum_{x} c_x \log p(x | \cdot)
        + \sum_{z} \beta\, c_z\, g_z \big(\log p(z | \cdot) - \log q(z | \cdot)\big)

over observed sites x and latent sites z, with weights c, the divergence's weight beta, and gates
:math:`g_z = [\mathrm{KL}_z > \lambda]`: a site whose mean divergence over the batch is below its
free bits has no gradient from it, which is the gradient of :math:`\max(\lambda, \mathrm{KL}_z)`.

References:
    | beta-VAE (Higgins et al., 2017), https://openreview.net/forum?id=Sy2fzU9gl
    | Improving Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
    | https://arxiv.org/abs/1606.04934
"""

__all__ = ["Tempering"]

from typing import NamedTuple

from ppgm.errors import EstimatorError, did_you_mean
from ppgm.inference.schedules import Anneal
from ppgm.ops import Array
from ppgm.sites import SiteTable
from ppgm.terms import Weights, rescaled
from ppgm.views import View


class Tempering(NamedTuple):
    """How weights are tempered.

    Attributes:
        beta: Weight of the divergence from the prior, a number or a schedule of the step.
        free_bits: Nats of every latent site's mean divergence that cost nothing.
        site_weights: Weights of single sites.
    """

    beta: float | Anneal = 1.0
    free_bits: float = 0.0
    site_weights: tuple[tuple[str, float], ...] = ()

    @property
    def active(self) -> bool:
        """Whether the objective differs from the bound."""
        return self != Tempering()

    def apply(self, view: View, weights: Weights, particles: int) -> tuple[Weights, Array | float]:
        """Returns tempered weights, and the nats per datum of sites below their free bits."""
        if not self.active:
            return weights, 0.0
        beta = self.beta(view.ops.float(view.step)) if isinstance(self.beta, Anneal) else self.beta
        chosen, free = dict(self.site_weights), 0.0
        factors: dict[tuple[str, str], Array | float] = {}
        latent = [p.name for p in weights.parts if p.side == "guide" and not p.stopped]
        for name in latent:
            factor = beta * chosen.get(name, 1.0)
            if self.free_bits > 0:
                gate = self._gate(view, weights, name, particles)
                free = free + factor * (1 - gate) * self.free_bits
                factor = factor * gate
            factors |= {(side, name): factor for side in ("model", "guide")}
        for name in chosen.keys() - set(latent):
            factors["model", name] = chosen[name]
        return rescaled(weights, factors, view.ops), free

    def _gate(self, view: View, weights: Weights, name: str, particles: int) -> Array:
        """Returns 1 if the mean divergence of a site is above its free bits, else 0."""
        terms = {p.side: p.log_prob for p in weights.parts if p.name == name and not p.stopped}
        gap = terms["guide"] - terms["model"]
        if weights.log_mass is not None:
            gap = view.ops.np.exp(weights.log_mass) * gap
        divergence = view.mean(gap.sum(0) / particles)
        return view.ops.stop_gradient(view.ops.float(divergence > self.free_bits))

    def check(self, table: SiteTable, name: str) -> None:
        """Checks that the sites exist, and that tempering can be right for them."""
        known = [s.name for s in table.select("model", "latent", "observed", "factor")]
        for site, _ in self.site_weights:
            if site not in known:
                raise EstimatorError(
                    f"{name}: site_weights names '{site}', and the model's sites are "
                    f"{sorted(known)}{did_you_mean(site, known)}"
                )
        helpers = table.select("guide", "auxiliary")
        if helpers and (self.free_bits or self.site_weights):
            raise EstimatorError(
                f"{name}: the guide draws the latents together, from '{helpers[0].name}': a "
                "single one has no divergence of its own for free_bits and site_weights; leave "
                "them out"
            )
        scored = any(not s.reparameterised for s in table.select("guide", "latent"))
        if self.active and scored and not table.rows:
            raise EstimatorError(
                f"{name}: beta other than 1, free_bits and site_weights with global latents need "
                "reparameterised sites: leave them at their defaults"
            )
