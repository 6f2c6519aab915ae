r"""Grey levels to continuous pixels, for densities.

A density of pixels that only take L levels has no upper bound. With uniform noise up to the next
level it has one, and bounds the probability of the levels from below:

.. math::
    \log P(k) \ge E_u[\log p((k + u) / L)] - D \log L

References:
    | A note on the evaluation of generative models (Theis, van den Oord & Bethge, 2016)
    | https://arxiv.org/abs/1511.01844
"""

__all__ = ["bits_per_pixel", "dequantise"]

from math import log

import numpy as np

from ppgm.errors import ArgumentError


def dequantise(x: np.ndarray, levels: int, seed: int) -> np.ndarray:
    """Returns grey levels with uniform noise up to the next level, in [0, 1).

    Call it once for each epoch, with a seed of that epoch, or once for all.

    Args:
        x: Grey levels k / (levels - 1) in [0, 1], of any shape: 17 levels for ``digits`` and
            256 for the MNIST family, both loaded with ``binarise="none"``.
        levels: Number of levels L.
        seed: Seed of the noise.

    Returns:
        ``(k + u) / levels``, float32, of the shape of ``x``.
    """
    x = np.asarray(x, float)
    whole = np.round(x * (levels - 1))
    if levels < 2 or not np.allclose(whole, x * (levels - 1), atol=1e-3):
        raise ArgumentError(
            f"dequantise needs grey levels k / {levels - 1} with k = 0, ..., {levels - 1} and got "
            f"others; give the number of levels that the data have, at least 2, not {levels}"
        )
    if x.size and not (whole.min() >= 0 and whole.max() < levels):
        raise ArgumentError(
            f"dequantise needs grey levels in [0, 1] and got values from {x.min()} to {x.max()}"
        )
    noise = np.random.default_rng(seed).random(x.shape)
    # in float32 the largest sum could be rounded up to the next level
    return np.minimum((whole + noise) / levels, 1 - 2**-24).astype(np.float32)


def bits_per_pixel(log_density: float, pixels: int, levels: int) -> float:
    """Returns bits per pixel of levels whose dequantised pixels in [0, 1) have a log density.

    Args:
        log_density: Mean log density of dequantised rows, nats; of standardised rows less the
            sum of the logarithms of the scales.
        pixels: Number of pixels D of a row.
        levels: Number of levels L.
    """
    return (log(levels) - log_density / pixels) / log(2)
