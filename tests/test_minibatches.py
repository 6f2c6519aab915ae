"""The engine's own minibatches: scales, ragged last batches, every row once an epoch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.host import load
from ppgm.inference import ELBO, IWAE
from ppgm.models import FactorAnalysis
from ppgm.optimisers import SGD
from ppgm.sources import open_source

pytestmark = pytest.mark.usefixtures("f64")


@dataclass(frozen=True)
class Mean:
    """x ~ N(mu, 1) with nothing latent: gradient descent on it is worked out by hand."""

    def model(self, ppl: Any, x: Any = None) -> None:
        mu = ppl.param("mu", np.zeros(1))
        with ppl.plate("data", x):
            ppl.sample("x", ppl.distributions.Normal(mu, 1.0).to_event(1), obs=x)

    def guide(self, ppl: Any, x: Any) -> None:
        """Draws nothing."""


@pytest.mark.parametrize(("rows", "size"), [(4, 2), (5, 2), (7, 3), (5, None)])
def test_steps_of_gradient_descent_by_hand(
    host: str, rows: int, size: int | None, rng: np.random.Generator
) -> None:
    """Each row of one of M batches stands for M data, also in the last, ragged batch."""
    x, rate, epochs = rng.normal(size=(rows, 1)), 0.2, 3
    run = ppgm.program(Mean(), host=host)
    fit = ppgm.fit(
        run, {"x": x}, ELBO(), epochs=epochs, batch_size=size, optimiser=SGD(rate), seed=3
    )
    source = open_source({"x": x}, size, 3)
    mu, bounds = 0.0, []
    for epoch in range(epochs):
        per_epoch = source.steps_per_epoch
        (chunk,) = source.chunks(epoch * per_epoch, per_epoch, each_epoch=True)
        index = np.arange(rows)[None] if chunk.index is None else chunk.index
        mask = np.ones(index.shape) if chunk.mask is None else chunk.mask
        values = []
        for batch, counts in zip(index, mask, strict=True):
            scale = len(index) * counts / rows
            gap = x[batch, 0] - mu
            values.append((scale * (-0.5 * gap**2 - 0.5 * np.log(2 * np.pi))).sum())
            mu += rate * (scale * gap).sum()
        bounds.append(np.mean(values))
        seen = index[mask.astype(bool)]
        assert sorted(seen) == list(range(rows))
    assert fit.params["mu"][0] == pytest.approx(mu, abs=1e-12)
    np.testing.assert_allclose(fit.history["bound"], bounds, atol=1e-12)


@pytest.mark.parametrize(("rows", "size"), [(5, 2), (5, None)])
def test_the_bound_of_an_epoch_is_log_p_at_the_exact_posterior(
    host: str, rows: int, size: int | None, rng: np.random.Generator
) -> None:
    """Without movement, whatever is drawn."""
    model, x = FactorAnalysis(3, 2, posterior="exact"), rng.normal(size=(rows, 3))
    run = ppgm.program(model, host=host)
    fit = ppgm.fit(
        run, {"x": x}, IWAE(particles=3), epochs=2, batch_size=size, optimiser=SGD(1e-300), seed=1
    )
    log_p = model.log_likelihood(load(host).initial(run, {"x": x}, 1), x).mean()
    np.testing.assert_allclose(fit.history["bound"], [log_p, log_p], atol=1e-9)
