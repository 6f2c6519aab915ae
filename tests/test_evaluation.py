"""Evidence of fits against exact log p(x), and active units against a known dead column."""

from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import diagnostics
from ppgm import host as hosts
from ppgm.errors import ArgumentError, DataError, EstimatorError
from ppgm.evaluation import Evidence
from ppgm.fits import Fit
from ppgm.inference import ELBO
from ppgm.models import RBM, SBN, VAE, FactorAnalysis, LinearGaussianSSM
from ppgm.testing import linear_gaussian

D, L, N = 4, 2, 11

pytestmark = pytest.mark.usefixtures("f64")


def untrained(declaration: Any, host: str, params: dict[str, np.ndarray]) -> Fit:
    return Fit(ppgm.program(declaration, host=host), params, {}, {}, {})


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, D)) * 1.5


@pytest.fixture
def params(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "decoder.layers.0.weight": rng.normal(size=(D, L)),
        "decoder.layers.0.bias": rng.normal(size=D),
        "scale": rng.uniform(0.5, 1.5, size=D),
    }


def exact_encoder(params: dict[str, np.ndarray], widen: float) -> dict[str, np.ndarray]:
    """Parameters of a mean-field guide with the exact means and wider scales."""
    model = FactorAnalysis(D, L).exact_model(params)
    guide = linear_gaussian.exact_guide(model)
    log_scale = np.log(widen * np.sqrt(np.diag(guide.scale_tril @ guide.scale_tril.T)))
    weight = np.concatenate([guide.weight, np.zeros((L, D))])
    bias = np.concatenate([guide.bias, log_scale])
    return params | {"encoder.layers.0.weight": weight, "encoder.layers.0.bias": bias}


def test_the_exact_guide_gives_log_p_whatever_the_chunks(host, x, params):
    model = FactorAnalysis(D, L, posterior="exact")
    fit = untrained(model, host, params)
    wanted = model.log_likelihood(params, x)
    for chunk in (None, 4, N):  # 4 leaves a last chunk of 3 rows
        found = ppgm.evaluate(fit, {"x": x}, particles=25, chunk=chunk)
        np.testing.assert_allclose(found.log_likelihood, wanted, rtol=1e-9)
        np.testing.assert_allclose(found.exact, wanted, rtol=1e-12)
        np.testing.assert_allclose(found.elbo, wanted, rtol=1e-9)
        np.testing.assert_allclose(found.row_errors, 0, atol=1e-9)
        np.testing.assert_allclose(found.ess, 25, rtol=1e-9)
        np.testing.assert_array_equal(found.k_hat, 0)
        assert found.mean == pytest.approx(wanted.mean(), abs=1e-9)
        spread = wanted.std(ddof=1) / np.sqrt(N)
        assert found.standard_error == pytest.approx(spread, rel=1e-6)


def test_an_estimate_is_within_its_standard_error(host, x, params):
    """One z-test per row at 6 standard errors, alpha 2e-9; a bias of 8 errors is always seen."""
    fit = untrained(FactorAnalysis(D, L), host, exact_encoder(params, 1.3))
    found = ppgm.evaluate(fit, {"x": x}, particles=4000, chunk=5)
    z = (found.log_likelihood - found.exact) / found.row_errors
    assert np.abs(z).max() < 6
    assert 0.001 < found.row_errors.max() < 0.05
    assert np.square(z).mean() > 0.1  # an error that is far too large would pass above
    assert (found.ess < 4000).all()
    assert "exact log p(x)" in str(found)


def test_the_elbo_of_the_draws_is_the_closed_form(host, x, params):
    own = exact_encoder(params, 1.3)
    weight, bias = own["encoder.layers.0.weight"], own["encoder.layers.0.bias"]
    guide = linear_gaussian.mean_field(weight[:L], bias[:L], bias[L:])
    wanted = linear_gaussian.elbo(x, FactorAnalysis(D, L).exact_model(params), guide)
    found = ppgm.evaluate(untrained(FactorAnalysis(D, L), host, own), {"x": x}, particles=4000)
    assert found.elbo is not None
    assert (found.elbo < found.log_likelihood).all()
    # a log weight here has a standard deviation of about one: six standard errors of a mean
    np.testing.assert_allclose(found.elbo, wanted, atol=6 / np.sqrt(4000))
    assert np.abs(wanted - found.exact).min() > 0.05  # log p itself would not pass for it
    assert "ELBO = " in str(found)


def test_the_standard_errors_are_those_of_the_weights(host, x, params):
    fit = untrained(FactorAnalysis(D, L), host, exact_encoder(params, 1.3))
    found = ppgm.evaluate(fit, {"x": x}, particles=100, chunk=N, seed=3)
    draw = int(np.random.SeedSequence([3, 0]).generate_state(1)[0])
    log_w = hosts.load(host).log_weights(fit.program, fit.params, {"x": x}, 100, draw)
    w = np.exp(log_w)
    np.testing.assert_allclose(found.log_likelihood, np.log(w.mean(0)), rtol=1e-10)
    errors = w.std(0, ddof=1) / w.mean(0) / 10
    np.testing.assert_allclose(found.row_errors, errors, rtol=1e-10)
    np.testing.assert_allclose(found.ess, w.sum(0) ** 2 / (w * w).sum(0), rtol=1e-10)
    np.testing.assert_array_equal(found.k_hat, diagnostics.pareto_k(log_w))
    assert found.monte_carlo_error == pytest.approx(np.sqrt((errors**2).sum()) / N)


def test_chunks_draw_apart(host, x, params):
    """The same row in two chunks gets draws of its own."""
    fit = untrained(FactorAnalysis(D, L), host, exact_encoder(params, 1.3))
    twice = np.repeat(x[:1], 2, axis=0)
    found = ppgm.evaluate(fit, {"x": twice}, particles=25, chunk=1)
    assert found.log_likelihood[0] != found.log_likelihood[1]


def test_the_exact_likelihood_of_a_machine_without_a_guide(host, rng):
    model = RBM(3, 2)
    params = {n: rng.normal(size=s) for n, s in
              (("weight", (2, 3)), ("visible", (3,)), ("hidden", (2,)))}  # fmt: skip
    states = np.array(list(np.ndindex(2, 2, 2)), float)
    found = ppgm.evaluate(untrained(model, host, params), {"v": states})
    assert np.exp(found.log_likelihood).sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_array_equal(found.log_likelihood, found.exact)
    assert np.isnan(found.k_hat).all()
    assert "exact log p(x)" in str(found)


def test_a_belief_net_has_its_exact_likelihood_beside_the_estimate(host, rng):
    program = ppgm.program(SBN(5, (4, 3)), host=host)
    x = rng.integers(0, 2, (6, 5)).astype(float)
    start = hosts.load(host).initial(program, {"x": x})
    found = ppgm.evaluate(Fit(program, start, {}, {}, {}), {"x": x}, particles=2000)
    assert np.abs((found.log_likelihood - found.exact) / found.row_errors).max() < 6
    states = np.array(list(np.ndindex(*[2] * 5)), float)
    total = np.exp(SBN(5, (4, 3)).log_likelihood(start, states)).sum()
    assert total == pytest.approx(1, abs=1e-9)


def test_what_cannot_be_evaluated_is_refused(host, x, params):
    fit = untrained(FactorAnalysis(D, L, posterior="exact"), host, params)
    with pytest.raises(ArgumentError, match="at least 25"):
        ppgm.evaluate(fit, {"x": x}, particles=24)
    with pytest.raises(DataError, match="row 2"):
        ppgm.evaluate(fit, {"x": np.where(np.arange(N)[:, None] == 2, np.nan, x)})
    big = ppgm.program(RBM(30, 30), host=host)
    bits = np.zeros((2, 30))
    start = hosts.load(host).initial(big, {"v": bits})
    with pytest.raises(EstimatorError, match="needs a guide .* too large for the exact log Z"):
        ppgm.evaluate(Fit(big, start, {}, {}, {}), {"v": bits})


def test_the_error_of_one_number_is_the_monte_carlo_error():
    one = Evidence(np.array([-3.0]), np.array([0.2]), np.array([50.0]), np.array([0.1]), None, 100)
    assert one.standard_error == one.monte_carlo_error == pytest.approx(0.2)


def test_several_row_plates_count_every_row():
    values = np.arange(6.0).reshape(2, 3)
    found = Evidence(values, np.ones((2, 3)), values + 1, values * 0, None, 30)
    assert found.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(6))
    assert found.monte_carlo_error == pytest.approx(np.sqrt(6) / 6)
    assert "(6 rows" in str(found)


def test_a_dead_column_is_not_an_active_unit(host, x, params):
    """Var_x E[z | x] of the exact posterior, with a factor that the data do not see."""
    weight = params["decoder.layers.0.weight"] * [1.0, 0.0]
    own = params | {"decoder.layers.0.weight": weight}
    model = FactorAnalysis(D, L, posterior="exact")
    fit = untrained(model, host, own)
    found = ppgm.active_units(fit, {"x": x}, draws=400)
    mean, _ = model.exact_posterior(own, x)
    assert found.active.tolist() == [True, False]
    assert found.count == 1
    assert found.variance[0] == pytest.approx(mean[:, 0].var(ddof=1), rel=0.1)
    with pytest.raises(ArgumentError, match="'w'"):
        ppgm.active_units(fit, {"x": x}, site="w")
    with pytest.raises(ArgumentError, match="2 rows"):
        ppgm.active_units(fit, {"x": x[:1]})


def test_a_function_compiled_before_takes_other_parameters_and_data() -> None:
    """What is kept of an evaluation, or of draws, is code: no number of the first call."""
    kept = pytest.importorskip("ppgm.host_numpyro_kept")._kept
    rng = np.random.default_rng(0)
    program = ppgm.program(VAE(6, 2, hidden=(5,)), host="numpyro")
    data = [{"x": (rng.random((7, 6)) < 0.5).astype(float)} for _ in range(2)]
    fits = [ppgm.fit(program, part, ELBO(), steps=n) for n, part in enumerate(data, 1)]

    def answers(i: int) -> tuple[np.ndarray, np.ndarray]:
        found = ppgm.evaluate(fits[i], data[i], particles=30, seed=i).log_likelihood
        drawn = hosts.load("numpyro").sample(program, "guide", fits[i].params, data[i], 3, i)
        return found, drawn["z"]

    kept.cache_clear()
    answers(0)
    hits = kept.cache_info().hits
    again = answers(1)
    assert kept.cache_info().hits >= hits + 2
    kept.cache_clear()
    for got, wanted in zip(again, answers(1), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert not np.array_equal(again[0], answers(0)[0])


def test_steps_of_sequences_count_in_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of 50 steps are fifty times as much work: memory follows what is held at once."""
    pytest.importorskip("pyro")
    x = np.random.default_rng(0).normal(size=(5, 50, 1))
    program = ppgm.program(LinearGaussianSSM(1, 1), host="pyro")
    seen: list[int] = []
    host = hosts.load("pyro")
    weigher = host.weigher

    def spy(*args: Any) -> Any:
        weigh = weigher(*args)
        return lambda data, *rest: seen.append(len(data["x"])) or weigh(data, *rest)

    monkeypatch.setattr(host, "weigher", spy)
    monkeypatch.setattr("ppgm.evaluation.PAIRS", 2 * 30 * 50)
    found = ppgm.evaluate(program, {"x": x}, particles=30)
    assert seen == [2, 2, 2]
    np.testing.assert_allclose(found.log_likelihood, found.exact)
