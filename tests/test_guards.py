"""What answers refuse to answer, and what Markov chains tell about themselves."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.errors import ArgumentError, DataError, EstimatorError, ModelError, NonFiniteError
from ppgm.fits import as_fit
from ppgm.inference import ELBO, HMC, NUTS, VIMCO, ContrastiveDivergence, Guide, Importance
from ppgm.models import RBM, SBN, VAE, Bernoulli, ContinuousBernoulli, FactorAnalysis
from ppgm.posterior import Posterior

HOSTS = ("pyro", "numpyro")
ROWS = (np.random.default_rng(0).random((12, 6)) > 0.5).astype(float)

Y = {"y": np.array([1.0, 2.0, 0.5], np.float32)}


def _vae(host: str) -> ppgm.Program:
    return ppgm.program(VAE(features=6, latent=2, hidden=(4,)), host=host)


@pytest.mark.parametrize("host", HOSTS)
def test_an_observed_site_that_is_left_out_is_no_evidence(host: str) -> None:
    program = _optional(host)
    data = {"rows": np.ones((5, 1))}
    with pytest.raises(ModelError, match=r"give data\['y'\]"):
        ppgm.evaluate(program, data, particles=50)
    for method in (Guide(draws=3), Importance(particles=30)):
        with pytest.raises(ModelError, match=r"give data\['y'\]"):
            ppgm.infer(program, data, method)


@pytest.mark.parametrize("host", HOSTS)
def test_one_row_is_not_spread_over_as_many_rows_as_it_has_columns(host: str) -> None:
    program, one = _vae(host), {"x": ROWS[0]}
    with pytest.raises(DataError, match=r"data\['x'\]\[None\]"):
        ppgm.evaluate(program, one, particles=50)
    with pytest.raises(DataError, match=r"data\['x'\]\[None\]"):
        ppgm.fit(program, one, ELBO(), steps=1, batch_size=None)


@pytest.mark.parametrize("host", HOSTS)
def test_importance_needs_weights_enough_to_be_judged(host: str) -> None:
    for particles in (1, 24):
        with pytest.raises(ArgumentError, match=rf"at least 25 for k-hat, not {particles}: .*Gui"):
            ppgm.infer(_vae(host), {"x": ROWS}, Importance(particles=particles))
    found = ppgm.infer(_vae(host), {"x": ROWS}, Importance(particles=25, draws=3))
    assert np.shape(found.k_hat) == (12,)


@pytest.mark.parametrize("host", HOSTS)
def test_evaluate_takes_a_program_at_its_initial_parameters(host: str) -> None:
    program = _vae(host)
    fit = as_fit(program, {"x": ROWS})
    seen = ppgm.evaluate(program, {"x": ROWS}, particles=50).log_likelihood
    np.testing.assert_array_equal(
        seen, ppgm.evaluate(fit, {"x": ROWS}, particles=50).log_likelihood
    )


@pytest.mark.parametrize("host", HOSTS)
def test_chains_need_a_latent_site(host: str) -> None:
    program = ppgm.program(RBM(features=6, hidden=2), host=host)
    with pytest.raises(EstimatorError, match="no latent sites"):
        ppgm.infer(program, {"v": ROWS}, NUTS(warmup=1, draws=1, chains=1))


@pytest.mark.parametrize("host", HOSTS)
def test_one_draw_of_a_chain_is_kept(host: str) -> None:
    program = ppgm.program(FactorAnalysis(features=6, latent=2), host=host)
    found = ppgm.infer(program, {"x": ROWS}, HMC(warmup=1, draws=1, chains=1))
    assert found.draws["z"].shape == (1, 1, 12, 2)
    assert "need 4 draws" in str(found)


def test_chains_that_went_astray_are_told_of() -> None:
    rng = np.random.default_rng(0)
    apart = rng.normal(size=(2, 50, 3)) + np.array([0.0, 9.0])[:, None, None]
    stats = {
        "diverging": np.arange(100).reshape(2, 50) < 7,
        "acceptance_rate": np.full((2, 50), 0.8),
    }
    text = str(Posterior({"z": apart}, stats))
    assert "divergences: 7 of 100: raise target_accept" in text
    assert "have not mixed" in text
    calm = {name: np.tile(value, (2, 40)) for name, value in stats.items()}
    good = str(Posterior({"z": rng.normal(size=(4, 2000, 3))}, calm))
    assert "have not mixed" not in good
    assert "never moved" in str(Posterior({"z": np.zeros((2, 50))}, stats))


@pytest.mark.parametrize(
    ("declaration", "values", "words"),
    [
        (RBM(6, 2), ROWS / 2, "binarise='threshold'.*; RBM is for bits, VAE"),
        (SBN(6, (2,)), ROWS / 2, "binarise='threshold'.*; SBN is for bits, VAE"),
        (RBM(6, 2), ROWS * 3, "0 and 1; RBM is for bits, VAE.likelihood=Gaussian"),
        (VAE(6, 2), ROWS / 2, "binarise='threshold'.* or give likelihood=ContinuousBernoulli"),
        (VAE(6, 2), -ROWS, "or give likelihood=Gaussian.*--set likelihood=gaussian"),
    ],
)
def test_advice_on_values_that_are_no_bits_fits_the_model(
    declaration: Any, values: np.ndarray, words: str
) -> None:
    pytest.importorskip("pyro")
    site = "v" if isinstance(declaration, RBM) else "x"
    objective = {RBM: ContrastiveDivergence(), SBN: VIMCO(2), VAE: ELBO()}[type(declaration)]
    program = ppgm.program(declaration, host="pyro")
    with pytest.raises(DataError, match=words):
        ppgm.fit(program, {site: values}, objective, steps=1)
    with pytest.raises(DataError, match=words):
        ppgm.evaluate(program, {site: values}, particles=30)
    with pytest.raises(DataError, match=words):
        ppgm.fit(program, {site: ROWS}, objective, steps=1, validation={site: values})


def test_a_machine_too_large_for_its_exact_likelihood_is_told() -> None:
    pytest.importorskip("pyro")
    rows = np.ones((3, 21))
    program = ppgm.program(RBM(features=21, hidden=21), host="pyro")
    with pytest.raises(EstimatorError, match=r"exact log Z.*hidden=20 or fewer.*ppgm\.sample"):
        ppgm.evaluate(program, {"v": rows})
    small = ppgm.program(RBM(features=21, hidden=20), host="pyro")
    assert ppgm.evaluate(small, {"v": rows}).particles == 0
    bare = dataclasses.replace(_native("pyro"), guide=None)
    with pytest.raises(EstimatorError, match="the program has neither"):
        ppgm.evaluate(bare, Y)


def _native(host: str, factor: float = 1.0) -> ppgm.Program:
    """A Gaussian mean, written in a host, with `factor` times the mean as the mean of the data."""
    ppl: Any
    dist: Any
    start: Any
    pytest.importorskip(host)
    if host == "pyro":
        import pyro
        import pyro.distributions
        import torch

        ppl, dist, start = pyro, pyro.distributions, torch.tensor(0.0)
    else:
        import numpyro
        import numpyro.distributions

        ppl, dist, start = numpyro, numpyro.distributions, 0.0  # NumPyro takes plain numbers

    def model(y):  # noqa: ANN001, ANN202
        mu = ppl.sample("mu", dist.Normal(0.0, 5.0))
        with ppl.plate("data", len(y)):
            ppl.sample("y", dist.Normal(mu * factor, 1.0), obs=y)

    def guide(y):  # noqa: ANN001, ANN202
        ppl.sample("mu", dist.Normal(ppl.param("loc", start), 1.0))

    return ppgm.Program(model, guide, host=host)


USES = {
    "fit": lambda program: ppgm.fit(program, Y, ELBO(), steps=1),
    "evaluate": lambda program: ppgm.evaluate(program, Y, particles=30),
    "guide": lambda program: ppgm.infer(program, Y, Guide(draws=3)),
    "nuts": lambda program: ppgm.infer(program, Y, NUTS(warmup=1, draws=1, chains=1)),
    "graph": lambda program: ppgm.graph(program, Y),
}
every_use = pytest.mark.parametrize("use", USES)


@every_use
@pytest.mark.parametrize("side", ["model", "guide"])
@pytest.mark.parametrize("host", HOSTS)
def test_a_program_of_the_other_host_is_told(host: str, side: str, use: str) -> None:
    (other,) = set(HOSTS) - {host}
    mixed = dataclasses.replace(_native(host), **{side: getattr(_native(other), side)})
    with pytest.raises(ModelError, match=rf"the {side} .* written in {other}; .*host='{other}'"):
        USES[use](mixed)


def test_a_guide_without_sites_is_of_any_host() -> None:
    for host in HOSTS:
        table = dataclasses.replace(_native(host), guide=lambda y: None).sites(Y)
        assert table.guide == ()


@every_use
@pytest.mark.parametrize("host", HOSTS)
def test_a_site_that_is_not_a_number_is_named(host: str, use: str) -> None:
    with pytest.raises((ModelError, NonFiniteError), match="site 'y' of the model") as seen:
        USES[use](_native(host, np.nan))
    assert (seen.type is NonFiniteError) == (use == "fit")


@pytest.mark.parametrize("host", HOSTS)
def test_draws_of_a_site_that_is_not_a_number_name_it(host: str) -> None:
    fit = as_fit(_native(host), Y)._replace(program=_native(host, np.nan))
    with pytest.raises(ModelError, match="site 'y' of the model"):
        ppgm.sample(fit, 3, data=Y)


@every_use
@pytest.mark.parametrize("host", HOSTS)
def test_the_same_program_runs_with_numbers(host: str, use: str) -> None:
    USES[use](_native(host))


@pytest.mark.parametrize("use", ["fit", "evaluate", "guide", "nuts"])
@pytest.mark.parametrize("host", HOSTS)
def test_booleans_are_no_values_of_a_normal(host: str, use: str, monkeypatch: Any) -> None:
    monkeypatch.setitem(Y, "y", np.array([True, False]))
    with pytest.raises(DataError, match=r"'y' is Normal .*data\['y'\]\.astype\(float\)"):
        USES[use](_native(host))


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("likelihood", [Bernoulli(), ContinuousBernoulli()])
def test_booleans_are_bits(host: str, likelihood: Any) -> None:
    program = ppgm.program(VAE(6, 2, hidden=(4,), likelihood=likelihood), host=host)
    found = (ppgm.fit(program, {"x": x}, ELBO(), steps=1) for x in (ROWS > 0.5, ROWS))
    one, two = (fit.history["bound"] for fit in found)
    np.testing.assert_allclose(one, two, rtol=1e-6)


def _optional(host: str) -> ppgm.Program:
    """A Gaussian mean with a site that is observed where its data are given."""

    class Mean:
        def model(self, ppl, rows, y=None):  # noqa: ANN001, ANN202
            w = ppl.sample("w", ppl.distributions.Normal(ppl.np.zeros(()), ppl.np.ones(())))
            with ppl.plate("data", rows):
                ppl.sample("y", ppl.distributions.Normal(w + 0 * rows[:, 0], 1.0), obs=y)

        def guide(self, ppl, rows, y=None):  # noqa: ANN001, ANN202
            loc = ppl.param("loc", np.zeros(()))
            ppl.sample("w", ppl.distributions.Normal(loc, ppl.np.ones(())))

    return ppgm.program(Mean(), host=host)
