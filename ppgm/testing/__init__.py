"""Exact answers to test models, guides and objectives against.

The modules are namespaces; all of them are numpy in float64, and none imports a host. Four kinds
of check need no statistics and no tolerance above rounding:

- a closed form or an enumeration of the same quantity (`linear_gaussian`, `kalman`,
  `hidden_markov`, `sbn`, `rbm`, `jsd`, `semi_supervised`, `densities`, and `weights` for the
  mathematics of an objective alone);
- the exact posterior as the guide, where every importance weight is `p(x)`
  (`linear_gaussian.exact_guide`);
- `cubature` points in place of noise, which make the gradient of an ELBO exact;
- the expectation of an estimator over all its outcomes (`enumeration.expected`).
"""

from ppgm.testing import (
    arrays,
    cubature,
    densities,
    differences,
    enumeration,
    hidden_markov,
    jsd,
    kalman,
    kalman_smoother,
    linear_gaussian,
    rbm,
    sbn,
    semi_supervised,
    weights,
)

__all__ = [
    "arrays",
    "cubature",
    "densities",
    "differences",
    "enumeration",
    "hidden_markov",
    "jsd",
    "kalman",
    "kalman_smoother",
    "linear_gaussian",
    "rbm",
    "sbn",
    "semi_supervised",
    "weights",
]
