"""Every declaration is the same program on both hosts: sites, weights, densities, gradients."""

from typing import Any

import numpy as np
import pytest

from ppgm.models import (
    RBM,
    SBN,
    VAE,
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    FactorAnalysis,
    Gaussian,
    Generator,
)
from ppgm.nets import Conv, Deconv
from ppgm.testing.contract import Check, checks_for

pytest.importorskip("torch")
pytest.importorskip("jax")

RNG = np.random.default_rng(1)
REAL, UNIT = RNG.normal(size=(3, 4)), RNG.random((3, 4))
BITS = (UNIT < 0.5).astype(float)
CLASSES = RNG.integers(0, 3, (3, 4))
IMAGES = (RNG.random((3, 6 * 5)) < 0.5).astype(float)

DECLARATIONS: list[tuple[Any, dict[str, np.ndarray]]] = [
    (VAE(4, 2, (5, 3), Bernoulli()), {"x": BITS}),
    (VAE(4, 2, (3,), ContinuousBernoulli()), {"x": UNIT}),
    (VAE(4, 2, (3,), Gaussian()), {"x": REAL}),
    (VAE(4, 2, (3,), Gaussian(0.3)), {"x": REAL}),
    (VAE(4, 2, (3,), Categorical(3)), {"x": CLASSES}),
    (
        VAE(30, 2, decoder=Deconv(2, (1, 6, 5), (3,)), encoder=Conv((1, 6, 5), (3,), 4)),
        {"x": IMAGES},
    ),
    (FactorAnalysis(4, 2), {"x": REAL}),
    (FactorAnalysis(4, 2, isotropic=True), {"x": REAL}),
    (FactorAnalysis(4, 2, posterior="exact"), {"x": REAL}),
    (SBN(4, (3,)), {"x": BITS}),
    (SBN(4, (3, 2, 2)), {"x": BITS}),
    (Generator(4, hidden=(3,)), {"x": REAL}),
    (Generator(30, network=Deconv(2, (1, 6, 5), (3,))), {"x": IMAGES}),
    (RBM(4, 3), {"v": BITS}),
]

pytestmark = pytest.mark.usefixtures("f64")


CHECKS = [
    pytest.param(check, id=f"{i}-{type(declaration).__name__}: {check.name}")
    for i, (declaration, data) in enumerate(DECLARATIONS)
    for check in checks_for(declaration, data=data)
    if "same" in check.name
]


@pytest.mark.parametrize("check", CHECKS)
def test_hosts(check: Check) -> None:
    check.run()
