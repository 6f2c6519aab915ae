r"""Latent-feature model: a variational autoencoder whose codes a classifier is trained on (M1).

.. math::
    z_n \sim N(0, I_L), \quad x_n | z_n \sim p(x | f_\theta(z_n)), \quad
    q(z_n | x_n) = N(\mu_\phi(x_n), \mathrm{diag}(\sigma_\phi^2(x_n)))

All rows train it, with or without a label. A classifier, or `M2`, then sees the features
:math:`\mu_\phi(x)` of the rows that have one.

References:
    | Semi-Supervised Learning with Deep Generative Models (Kingma, Rezende, Mohamed & Welling,
    | 2014), https://arxiv.org/abs/1406.5298
"""

__all__ = ["M1", "features"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm import host as hosts
from ppgm.arrays import as_arrays, check_finite
from ppgm.errors import ArgumentError
from ppgm.fits import Fit, as_fit
from ppgm.models.vae import VAE
from ppgm.nets import MLP
from ppgm.ops import Array
from ppgm.programs import Program

FEATURES = "z_mean"


@dataclass(frozen=True)
class M1(VAE):
    """VAE that names its features: site "z_mean" of the guide is the mean of q(z | x).

    Its fields are those of `VAE`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not getattr(self.posterior, "has_mean", True):
            raise ArgumentError(
                f"M1: its features are the mean of the posterior, which {self.posterior!r} does "
                "not have in closed form: use Gaussian(), FullRank() or another Gaussian"
            )

    def guide(self, ppl: Any, x: Array) -> None:
        """Draws z from the encoder's posterior, and names its mean."""
        size = self.posterior.context(self.latent)
        spec = self.encoder or MLP(self.features, self.hidden[::-1], size)
        encode = ppl.module("encoder", spec)
        with ppl.plate("data", x):
            posterior = self.posterior(ppl, encode(ppl.ops.float(x)), self.latent)
            ppl.deterministic(FEATURES, posterior.mean)
            ppl.sample("z", posterior)


def features(fit: Fit | Program, data: Mapping[str, Any]) -> np.ndarray:
    """Returns the features of every row, ``(N, latent)``, without randomness.

    Args:
        fit: A trained program of `M1`, or a program to be taken at its initial parameters.
        data: The rows, ``{"x": (N, features)}``.

    Raises:
        ArgumentError: If the program's guide does not name its features.
    """
    arrays = as_arrays(data)
    check_finite(arrays)
    fit = as_fit(fit, arrays)
    host = hosts.load(fit.program.host)
    found = host.sample(fit.program, "guide", fit.params, arrays, 1, 0)
    if FEATURES not in found:
        raise ArgumentError(
            f"the guide has no site '{FEATURES}', its sites are {sorted(found)}: features are "
            "those of M1, or of a guide with ppl.deterministic('z_mean', mean)"
        )
    return found[FEATURES][0]
