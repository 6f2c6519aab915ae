r"""Restricted Boltzmann machine.

.. math::
    \tilde p(v) = \sum_h e^{v^T b + h^T c + h^T W v}
                = e^{v^T b + \sum_j \log(1 + e^{c_j + (W v)_j})}

The hidden units are summed out, so the program's density of v is a factor, known up to the
partition function; `kernel` is block Gibbs sampling, which leaves p(v) invariant.

References:
    | A Practical Guide to Training Restricted Boltzmann Machines (Hinton, 2012)
    | https://www.cs.toronto.edu/~hinton/absps/guideTR.pdf
"""

__all__ = ["RBM"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm.distributions import Counting
from ppgm.domains import check_size
from ppgm.errors import ArgumentError
from ppgm.nets import MLP
from ppgm.ops import Array
from ppgm.testing import rbm

ENUMERABLE_UNITS = 20


@dataclass(frozen=True)
class RBM:
    """Restricted Boltzmann machine of rows of bits ``(N, features)``; site "v", factor "energy".

    Args:
        features: Number of visible units.
        hidden: Number of hidden units.
    """

    broadcasts = True

    features: int
    hidden: int = 64

    def __post_init__(self) -> None:
        check_size(self, "features", "hidden")

    def model(self, ppl: Any, v: Array | None = None) -> None:
        """Scores rows of bits by the free energy."""
        weight, visible, hidden = self._parameters(ppl)
        with ppl.plate("data", v):
            v = ppl.sample("v", ppl.distribution(Counting(self.features)), obs=v)
            v = ppl.ops.float(v)
            inputs = v @ weight.T + hidden
            ppl.factor("energy", v @ visible + ppl.ops.softplus(inputs).sum(-1))

    def kernel(self, ppl: Any, v: Array) -> Array:
        """Returns rows after one step of block Gibbs sampling from rows `v`."""
        weight, visible, hidden = self._parameters(ppl)
        bits = ppl.distributions.Bernoulli
        v = ppl.ops.float(v)
        with ppl.plate("chains", v):
            h = ppl.sample("h", bits(logits=v @ weight.T + hidden).to_event(1))
            h = ppl.ops.float(h)
            v = ppl.sample("v", bits(logits=h @ weight + visible).to_event(1))
        return ppl.ops.float(v)

    def log_likelihood(self, params: Mapping[str, np.ndarray], v: np.ndarray) -> np.ndarray:
        """Returns the exact log p(v) by row, ``(N,)``, with the partition function enumerated.

        Raises:
            ArgumentError: With more than 20 units on both sides.
        """
        if min(self.features, self.hidden) > ENUMERABLE_UNITS:
            raise ArgumentError(
                f"an RBM of {self.features} x {self.hidden} units is too large for the exact log "
                f"Z, which sums over all states of one side of at most {ENUMERABLE_UNITS} units: "
                f"take hidden={ENUMERABLE_UNITS} or fewer for an exact log p(v)"
            )
        return rbm.log_density(np.asarray(v, float), self.exact_model(params))

    def exact_model(self, params: Mapping[str, np.ndarray]) -> rbm.Machine:
        """Returns the parameters as the reference functions of `ppgm.testing` take them."""
        return rbm.Machine(*(params[n].astype(float) for n in ("weight", "visible", "hidden")))

    def _parameters(self, ppl: Any) -> tuple[Array, Array, Array]:
        """Small random weights: at zero all hidden units would learn alike."""
        spec = MLP(self.features, (), self.hidden)
        return (
            ppl.param("weight", lambda: spec.initial(ppl.seed, "rbm")["layers.0.weight"] * 0.1),
            ppl.param("visible", lambda: np.zeros(self.features)),
            ppl.param("hidden", lambda: np.zeros(self.hidden)),
        )
