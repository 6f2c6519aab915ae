r"""Grey levels to binary pixels, by a rule that is named.

Reported log-likelihoods of binary images are only comparable under the same rule:

``"static"``
    One Bernoulli draw :math:`x \sim B(g)` of the grey levels :math:`g \in [0, 1]`, fixed by
    the seed and the same in every epoch.
``"dynamic"``
    The grey levels themselves: draw with `resample` anew for each epoch, as Burda et al. do.
``"threshold"``
    One where :math:`g \geq 1/2`; no randomness.
``"none"``
    The grey levels, for models of continuous pixels.

References:
    | On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov & Murray, 2008)
    | https://www.cs.toronto.edu/~rsalakhu/papers/dbn_ais.pdf

    | Importance Weighted Autoencoders (Burda et al., 2016)
    | https://arxiv.org/abs/1509.00519
"""

__all__ = ["RULES", "binary", "check_rule", "resample"]

import numpy as np

from ppgm.errors import ArgumentError, did_you_mean

RULES = ("static", "dynamic", "threshold", "none")


def resample(x: np.ndarray, seed: int) -> np.ndarray:
    """Draws binary pixels from grey levels.

    With ``binarise="dynamic"`` call it once per epoch, with a seed of that epoch.

    Args:
        x: Grey levels in [0, 1], of any shape.
        seed: Seed of the draw; the same seed gives the same pixels.

    Returns:
        Zeros and ones, float32, of the shape of ``x``.
    """
    if x.size and not (x.min() >= 0 and x.max() <= 1):
        raise ArgumentError(
            f"resample needs grey levels in [0, 1] and got values from {x.min()} to {x.max()}; "
            "divide by the largest level first"
        )
    noise = np.random.default_rng(seed).random(x.shape, dtype=np.float32)
    return (noise < x).astype(np.float32)


def binary(grey: np.ndarray, rule: str, seed: int) -> np.ndarray:
    """Applies a rule to grey levels in [0, 1]; returns float32 of the same shape."""
    if rule == "static":
        return resample(grey, seed)
    if rule == "threshold":
        return (grey >= 0.5).astype(np.float32)
    return grey


def check_rule(rule: str) -> None:
    """Raises `ArgumentError` unless the rule is one of `RULES`."""
    if rule not in RULES:
        raise ArgumentError(
            f"binarise should be one of {', '.join(RULES)} and is '{rule}'"
            f"{did_you_mean(str(rule), RULES)}"
        )
