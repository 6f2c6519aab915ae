r"""Vector-quantised autoencoder: a code of M vectors out of a codebook of K.

.. math::
    z = g_\phi(x) \in R^{M \times d}, \quad k_m = \arg\min_k \| z_m - e_k \|, \quad
    x \sim p(x | f_\theta(e_{k_1}, \dots, e_{k_M}))

The decoder's gradient goes straight through the choice to the encoder; the codebook follows
`Quantisation`. Train by ``Reconstruction() + Quantisation(commitment=0.25)``. With the uniform
prior of the paper, log p(x | code) - M log K is a lower bound on log p(x).

References:
    | Neural Discrete Representation Learning (van den Oord, Vinyals & Kavukcuoglu, 2017),
    | https://arxiv.org/abs/1711.00937
"""

__all__ = ["VQVAE"]

from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm.domains import check_size, check_widths
from ppgm.models.checks import check_network
from ppgm.models.likelihoods import Bernoulli, Likelihood
from ppgm.models.parts import check_part
from ppgm.models.vae import LIKELIHOODS
from ppgm.nets import MLP, Network
from ppgm.ops import Array


@dataclass(frozen=True)
class VQVAE:
    """VQ-VAE of rows; sites "encoded", "code" ``(codes, width)``, "index" ``(codes,)`` and "x".

    Args:
        features: Number of columns of the data.
        codes: Number M of vectors of a code.
        width: Number d of coordinates of each.
        entries: Number K of vectors of the codebook.
        hidden: Widths of the decoder's hidden layers; the encoder has them in reverse.
        likelihood: Distribution of a row given the decoder's outputs.
        decoder: Network in place of the MLP, from M d to the likelihood's size.
        encoder: Network in place of the MLP, from `features` to M d.
    """

    broadcasts = True

    features: int
    codes: int = 8
    width: int = 8
    entries: int = 64
    hidden: tuple[int, ...] = (200, 200)
    likelihood: Likelihood = Bernoulli()
    decoder: Network | None = None
    encoder: Network | None = None

    def __post_init__(self) -> None:
        check_size(self, "features", "codes", "width")
        check_size(self, "entries", least=2)
        check_widths(self, "hidden")
        check_part("likelihood", self.likelihood, "size", LIKELIHOODS)
        size, outputs = self.codes * self.width, self.likelihood.size(self.features)
        check_network("decoder", self.decoder, size, outputs)
        check_network("encoder", self.encoder, self.features, size)

    def model(self, ppl: Any, x: Array) -> None:
        """Encodes x, takes the nearest vectors of the codebook, and draws x from them."""
        size, outputs = self.codes * self.width, self.likelihood.size(self.features)
        down = self.encoder or MLP(self.features, self.hidden[::-1], size)
        up = self.decoder or MLP(size, self.hidden, outputs)
        encode, decode = ppl.module("encoder", down), ppl.module("decoder", up)
        book = ppl.param("codebook", lambda: self._start(ppl.seed))
        stop = ppl.ops.stop_gradient
        with ppl.plate("data", x):
            flat = encode(ppl.ops.float(x))
            z = flat.reshape((*flat.shape[:-1], self.codes, self.width))
            index = _nearest(ppl, stop(z), stop(book))
            chosen = book[index]
            ppl.deterministic("encoded", z)
            ppl.deterministic("code", chosen)
            ppl.deterministic("index", index)
            through = (z + stop(chosen - z)).reshape(flat.shape)
            ppl.sample("x", self.likelihood(ppl, decode(through)), obs=x)

    def _start(self, seed: int) -> np.ndarray:
        """Returns a first codebook, standard normal as the encoder's outputs are about."""
        return np.random.default_rng([seed, self.entries]).normal(size=(self.entries, self.width))


def _nearest(ppl: Any, z: Array, book: Array) -> Array:
    """Returns the number of the nearest vector of the codebook, ``(*, M)``."""
    squares = (book**2).sum(-1) - 2 * z @ book.T
    return ppl.np.argmin(squares, axis=-1)
