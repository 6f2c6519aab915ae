r"""Noise that integrates exactly, in place of random noise.

For `e ~ N(0, I_d)` the 2d points `+-sqrt(d) e_i`, equally weighted, have the mean 0 and the
covariance I, and all their odd moments vanish: the average of any polynomial of degree at most
three over them is its expectation. The log weight of a linear-Gaussian model under a Gaussian
guide is a quadratic in the noise, and so is every derivative of it, so an ELBO estimator that is
fed these points has to return the exact ELBO *and* its exact gradient.

References:
    McNamee & Stenger, Construction of fully symmetric numerical integration formulas (1967),
    doi:10.1007/BF02162160. Arasaratnam & Haykin, Cubature Kalman filters (2009),
    doi:10.1109/TAC.2009.2019800.
"""

import numpy as np

from ppgm.errors import ArgumentError


def points(dimension: int) -> np.ndarray:
    """The 2d cubature points of a standard normal, each of weight `1 / 2d`.

    Args:
        dimension: The dimension d of the noise. With several latent sites it is their joint
            dimension: split the last axis between them.

    Returns:
        `(2d, d)`: first `+sqrt(d) e_i` for each i, then `-sqrt(d) e_i`.
    """
    _require_positive("dimension", dimension)
    positive = np.sqrt(dimension) * np.eye(dimension)
    return np.concatenate([positive, -positive])


def gauss_hermite(dimension: int, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Tensor grid of Gauss-Hermite nodes for a standard normal.

    It is exact for polynomials of degree at most `2 degree - 1` in each coordinate.

    Args:
        dimension: The dimension d of the noise; the grid has `degree**d` points.
        degree: Nodes along each axis.

    Returns:
        Points `(degree**d, d)` and weights `(degree**d,)`, which sum to one.
    """
    _require_positive("dimension", dimension)
    _require_positive("degree", degree)
    nodes, mass = np.polynomial.hermite_e.hermegauss(degree)
    index = np.indices((degree,) * dimension).reshape(dimension, -1).T
    return nodes[index], np.prod((mass / mass.sum())[index], axis=1)


def _require_positive(name: str, value: int) -> None:
    if value < 1:
        raise ArgumentError(f"{name} is {value}: expected a whole number of at least 1.")
