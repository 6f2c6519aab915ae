"""Resampling, particle filters and their bound, against the Kalman filter and importance weights.

With the exact posterior as the proposal an estimate is log p(x) if nothing is resampled, or if
states do not depend on those before: else the weights before the last step are not equal.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.chains import MarkovChain
from ppgm.distributions_normal import DiagonalNormal
from ppgm.errors import ArgumentError, DataError, EstimatorError
from ppgm.inference import ELBO, FIVO, IWAE, ParticleFilter
from ppgm.models import DKF, HMM, VAE, Gaussian, LinearGaussianSSM
from ppgm.ops import Array
from ppgm.probes import probe
from ppgm.resampling import SCHEMES, ancestors, effective_size
from ppgm.series import Series

N, T, D, L = 3, 5, 2, 2
TOLERANCE = 1e-9

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)
# The schemes are the same arrays on both hosts, and NumPyro compiles each.
by_host = pytest.mark.parametrize(
    ("host", "scheme"), [*(("pyro", scheme) for scheme in SCHEMES), ("numpyro", "systematic")]
)


# Resampling.


def to_numpy(x: np.ndarray) -> np.ndarray:
    return x


def to_torch(x: np.ndarray) -> Any:
    return pytest.importorskip("torch").as_tensor(x)


def to_jax(x: np.ndarray) -> Any:
    return pytest.importorskip("jax").numpy.asarray(x)


every_library = pytest.mark.parametrize(
    "to", [to_numpy, to_torch, to_jax], ids=["numpy", "torch", "jax"]
)


def weights(rng: np.random.Generator, count: int, rows: int) -> np.ndarray:
    w = rng.dirichlet(np.full(count, 0.4), size=rows).T
    w[0] = 0  # one that must never be chosen
    return w / w.sum(0)


def plain(w: np.ndarray, uniform: np.ndarray, scheme: str) -> np.ndarray:
    """Ancestors of one row of K particles, one point after the other."""
    count, edges = len(w), np.cumsum(w)
    if scheme == "residual":
        whole = np.floor(count * w).astype(int)
        sure = np.repeat(np.arange(count), whole)
        left = np.cumsum(count * w - whole)
        points = np.sort(uniform[len(sure) :]) * left[-1]
        return np.concatenate([sure, np.searchsorted(left, points, side="right")])
    if scheme == "multinomial":
        points = np.sort(uniform)
    else:
        shift = uniform[0] if scheme == "systematic" else uniform
        points = (np.arange(count) + shift) / count
    return np.searchsorted(edges / edges[-1], points, side="right")


@every_library
@every_scheme
def test_ancestors_are_those_of_a_plain_loop(
    to: Any, scheme: str, rng: np.random.Generator
) -> None:
    w, uniform = weights(rng, 7, 5), rng.random((7, 5))
    with np.errstate(divide="ignore"):
        found = np.asarray(ancestors(to(np.log(w)), to(uniform), scheme))
    wanted = np.stack([plain(w[:, n], uniform[:, n], scheme) for n in range(5)], 1)
    np.testing.assert_array_equal(found, wanted)
    assert (w[found, np.arange(5)] > 0).all()


@every_scheme
def test_expected_numbers_of_children_are_the_weights(
    scheme: str, rng: np.random.Generator
) -> None:
    """Within 4.89 standard errors, and with the spread that the scheme allows.

    False alarms: 5 means at 1e-6 each.
    """
    count, draws = 5, 20_000
    w = weights(rng, count, 1)
    log_w = np.log(np.where(w > 0, w, 1e-300))
    uniform = rng.random((count, draws))
    found = ancestors(np.tile(log_w, (1, draws)), uniform, scheme)
    children = (found == np.arange(count)[:, None, None]).sum(1)
    error = children.std(1) / np.sqrt(draws) + 1e-12
    assert (np.abs(children.mean(1) - count * w[:, 0]) < 4.89 * error + 1e-9).all()
    limit = {"systematic": 1, "stratified": 2, "residual": count, "multinomial": count}[scheme]
    assert (np.abs(children - count * w) < limit).all()
    if scheme == "residual":
        assert (children >= np.floor(count * w)).all()


@every_scheme
def test_resampling_of_certain_and_of_equal_weights(scheme: str) -> None:
    uniform = np.linspace(0, 1, 6, endpoint=False)[:, None]
    with np.errstate(divide="ignore"):
        certain = np.log(np.eye(6)[:, [3]])
        found = ancestors(certain, uniform, scheme)
    np.testing.assert_array_equal(found[:, 0], 3)
    assert effective_size(certain) == pytest.approx(1)
    equal = np.full((6, 1), -np.log(6))
    assert effective_size(equal) == pytest.approx(6)
    if scheme in ("systematic", "stratified"):
        found = ancestors(equal, np.full((6, 1), 0.5), scheme)
        np.testing.assert_array_equal(found[:, 0], np.arange(6))


def test_the_last_particle_is_not_chosen_by_rounding() -> None:
    """Points next to 1, shares that do not add up to it, and a last weight of zero."""
    w = np.array([0.1] * 10 + [0.0], np.float32)[:, None]
    with np.errstate(divide="ignore"):
        found = ancestors(np.log(w), np.full((11, 1), np.float32(1 - 1e-8)), "multinomial")
    assert found.max() == 9


# Programs: exact, and with a proposal that is wrong on purpose.


@dataclass(frozen=True)
class Blind(LinearGaussianSSM):
    """The same model under a guide that knows neither data nor transition."""

    def posterior(self, series: Series) -> MarkovChain:
        """Returns a chain that halves the state at each step."""
        ones = series.ppl.np.ones(self.latent)
        scale = series.ppl.param("scale", 1.5 * np.ones(self.latent), constraint="positive")
        step = _Halves(scale)
        return MarkovChain(DiagonalNormal(0 * ones, scale), step, series.length, (), series.alive)


@dataclass(frozen=True)
class _Halves:
    scale: Array

    def __call__(self, z: Array) -> DiagonalNormal:
        return DiagonalNormal(z / 2, self.scale)


def sequences(rng: np.random.Generator, rows: int = N, steps: int = T) -> dict[str, np.ndarray]:
    mask = rng.random((rows, steps, D)) < 0.8
    mask[:, 0] = True
    return {
        "x": rng.normal(size=(rows, steps, D)),
        "mask": mask,
        "lengths": np.resize([steps, 2, 1], rows),
    }


def random(program: ppgm.Program, data: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    params = hosts.load(program.host).initial(program, data, 0)
    params = {n: rng.normal(size=v.shape) * 0.6 for n, v in params.items()}
    params = {n: np.exp(v) if n.endswith("scale") else v for n, v in params.items()}
    # wide enough for weights without a heavy tail
    return {n: v + 1 if n == "scale" else v for n, v in params.items()}


def trained(
    declaration: Any, host: str, data: Any, rng: np.random.Generator
) -> tuple[ppgm.Fit, dict[str, np.ndarray]]:
    program = ppgm.program(declaration, host=host)
    params = random(program, data, rng)
    return ppgm.Fit(program, params, {}, {}, {}), params


@by_host
def test_the_exact_proposal_estimates_without_error(
    host: str, scheme: Any, rng: np.random.Generator
) -> None:
    data = sequences(rng)
    model = LinearGaussianSSM(D, L, error="full")
    fit, params = trained(model, host, data, rng)
    exact = model.log_likelihood(params, **data)
    method = ParticleFilter(6, proposal="guide", resampling=scheme, threshold=0.0)
    found = method.filter(fit, data)
    np.testing.assert_allclose(found.log_likelihood, exact, atol=TOLERANCE)

    alone = params | {"transition": np.zeros((L, L))}
    exact = model.filter(alone, **data)
    found = replace(method, threshold=2.0).filter(fit._replace(params=alone), data)
    np.testing.assert_allclose(found.log_likelihood, exact.log_likelihood, atol=TOLERANCE)
    np.testing.assert_allclose(found.steps, exact.steps, atol=TOLERANCE)
    got = probe(fit.program, alone, data, FIVO(6, scheme, 2.0))
    wanted = exact.log_likelihood.mean()
    assert got.metrics["bound"] == pytest.approx(wanted, abs=TOLERANCE)


@pytest.mark.parametrize("kind", ["blind", "dkf"])
def test_without_resampling_it_is_the_importance_weighted_bound(
    host: str, kind: str, rng: np.random.Generator
) -> None:
    data, declaration = sequences(rng), Blind(D, L)
    if kind == "dkf":
        declaration = DKF(D, L, hidden=(4,), emitter=(4,), rnn=3, likelihood=Gaussian(0.8))
    program = ppgm.program(declaration, host=host)
    params = hosts.load(host).initial(program, data, 0)
    noise = {"z": rng.normal(size=(4, N, T, L))}
    found = probe(program, params, data, FIVO(4, threshold=0.0), noise=noise)
    wanted = probe(program, params, data, IWAE(4), noise=noise)
    assert found.loss == pytest.approx(wanted.loss, abs=TOLERANCE)
    for name, grad in wanted.grads.items():
        np.testing.assert_allclose(found.grads[name], grad, atol=TOLERANCE, err_msg=name)
    other = probe(program, params, data, FIVO(4, threshold=1.0), noise=noise)
    assert abs(other.loss - wanted.loss) > 1e-3


def reference(
    params: dict[str, np.ndarray], x: np.ndarray, noise: np.ndarray, uniform: np.ndarray
) -> float:
    """The filter of one row under `Blind`, one particle after the other, always resampled."""
    log_z, count = 0.0, noise.shape[0]
    z, log_w = np.zeros((count, L)), np.full(count, -np.log(count))
    for t in range(x.shape[0]):
        if t:
            chosen = plain(np.exp(log_w), uniform[:, t], "stratified")
            z, log_w = z[chosen], np.full(count, -np.log(count))
        new, alpha = np.empty_like(z), np.empty(count)
        for k in range(count):
            centre = z[k] / 2 if t else np.zeros(L)
            new[k] = centre + params["scale"] * noise[k, t]
            mean, scale = params["initial"], params["initial_scale"]
            if t:
                mean = params["transition"] @ z[k] + params["drift"]
                scale = params["transition_scale"]
            located = params["emission"] @ new[k] + params["offset"]
            alpha[k] = log_normal(new[k], mean, scale) - log_normal(
                new[k], centre, params["scale"]
            )
            alpha[k] += log_normal(x[t], located, params["emission_scale"])
        total = np.exp(log_w + alpha)
        log_z += np.log(total.sum())
        z, log_w = new, np.log(total / total.sum())
    return log_z


def log_normal(x: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> float:
    return float((-0.5 * ((x - mean) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi))).sum())


@every_library
def test_the_filter_is_that_of_a_plain_loop(to: Any, rng: np.random.Generator) -> None:
    """At the same noise, of a whole batch, resampled at every step."""
    from types import SimpleNamespace

    from ppgm.ops import ops_of
    from ppgm.particle_filters import moves_of, run

    params = {
        "initial": rng.normal(size=L), "initial_scale": rng.uniform(0.5, 1, L),
        "transition": rng.normal(size=(L, L)), "drift": rng.normal(size=L),
        "transition_scale": rng.uniform(0.5, 1, L), "emission": rng.normal(size=(D, L)),
        "offset": rng.normal(size=D), "emission_scale": rng.uniform(0.5, 1, D),
        "scale": rng.uniform(0.5, 2, L),
    }  # fmt: skip
    held = {n: to(v) for n, v in params.items()}
    ops = ops_of(held["drift"])
    ppl = SimpleNamespace(
        np=ops.np, ops=ops, seed=0, param=lambda name, init, constraint="real": held[name]
    )
    x, noise, uniform = (rng.normal(size=(N, T, D)), rng.normal(size=(6, N, T, L)),
                         rng.random((6, N, T)))  # fmt: skip
    moves = moves_of(
        Blind(D, L), ppl, {"x": to(x)}, guided=True, scheme="stratified", threshold=2.0
    )
    found = np.asarray(run(moves, to(noise), to(uniform)).log_c.sum(0))
    wanted = [reference(params, x[n], noise[:, n], uniform[:, n]) for n in range(N)]
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)


@by_host
@pytest.mark.parametrize("proposal", ["prior", "guide"])
def test_the_estimate_of_the_likelihood_is_unbiased(
    host: str, proposal: Any, scheme: Any, rng: np.random.Generator
) -> None:
    """The mean of exp(log Z-hat - log Z) over 2000 filters is 1, within 4.89 standard errors.

    False alarms: 3 rows at 1e-6 each. The error is below 0.05, so that a bias of a quarter shows.
    """
    copies = 2000
    data = sequences(rng)
    model = Blind(D, L)
    fit, params = trained(model, host, data, rng)
    wide = {n: np.tile(v, (copies, *(1,) * (v.ndim - 1))) for n, v in data.items()}
    method = ParticleFilter(32, proposal=proposal, resampling=scheme, threshold=0.7)
    found = method.filter(fit, wide, seed=1)
    exact = model.log_likelihood(params, **data)
    ratio = np.exp(found.log_likelihood.reshape(copies, N) - exact)
    error = ratio.std(0, ddof=1) / np.sqrt(copies)
    assert (np.abs(ratio.mean(0) - 1) < 4.89 * error).all()
    assert error.max() < 0.05
    # the mean of the logs is the bound: below log p(x), where the weights differ at all
    assert (found.log_likelihood.reshape(copies, N).mean(0) < exact).all()


def test_moments_are_those_of_the_kalman_filter(host: str, rng: np.random.Generator) -> None:
    """Of many particles, within 0.05 standard deviations of the state."""
    data = sequences(rng)
    model = Blind(D, L)
    fit, params = trained(model, host, data, rng)
    found = ParticleFilter(20_000, threshold=0.5).filter(fit, data)
    exact = model.filter(params, **data)
    sd = np.sqrt(np.diagonal(exact.covariance, axis1=-2, axis2=-1))
    alive = np.arange(T) < data["lengths"][:, None]
    assert (np.abs(found.mean - exact.mean) / sd)[alive].max() < 0.05
    assert (np.abs(found.sd / sd - 1))[alive].max() < 0.05
    np.testing.assert_allclose(found.steps[alive], exact.steps[alive], atol=0.05)
    assert not found.steps[~alive].any()
    ends = found.mean[np.arange(N), data["lengths"] - 1]
    np.testing.assert_allclose(found.mean[:, -1], ends, atol=TOLERANCE)


def test_paths_are_draws_of_the_posterior(host: str, rng: np.random.Generator) -> None:
    """Weighted means over paths are the smoothed ones, within 0.2 standard deviations."""
    data = sequences(rng, steps=4)
    model = Blind(D, L)
    fit, params = trained(model, host, data, rng)
    found = ParticleFilter(20_000).filter(fit, data, keep=True)
    paths, log_w = found.paths()
    assert paths.shape == (20_000, N, 4, L)
    np.testing.assert_array_equal(paths[:, :, -1], found.states[:, :, -1])  # pyright: ignore
    exact = model.smooth(params, **data)
    mean = (np.exp(log_w)[..., None, None] * paths).sum(0)
    sd = np.sqrt(np.diagonal(exact.covariance, axis1=-2, axis2=-1))
    alive = np.arange(4) < data["lengths"][:, None]
    assert (np.abs(mean - exact.mean) / sd)[alive].max() < 0.2
    drawn = ppgm.infer(fit, data, ParticleFilter(20_000, draws=4_000))
    assert drawn.draws["z"].shape == (1, 4_000, N, 4, L)
    assert (np.abs(drawn.mean()["z"] - exact.mean) / sd)[alive].max() < 0.2
    assert drawn.sample_stats["lp"].shape == (1, 4_000, N)
    assert str(drawn).startswith("Posterior: 1 x 4000 draws (particle-filter")


def test_paths_follow_the_transition(rng: np.random.Generator) -> None:
    """Without noise in it a state is a function of the one before on its own path alone."""
    pytest.importorskip("pyro")
    data = sequences(rng)
    fit, params = trained(LinearGaussianSSM(D, L), "pyro", data, rng)
    still = params | {"transition_scale": np.full(L, 1e-12)}
    method = ParticleFilter(8, threshold=2.0)
    found = method.filter(fit._replace(params=still), data, keep=True)
    assert found.states is not None
    alive = np.arange(1, T) < data["lengths"][:, None]
    for paths, same in ((found.paths()[0], True), (found.states, False)):
        after = paths[:, :, :-1] @ params["transition"].T + params["drift"]
        assert np.allclose(paths[:, :, 1:][:, alive], after[:, alive], atol=TOLERANCE) == same


def test_rows_in_chunks_have_the_answers_of_their_own(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    pytest.importorskip("pyro")
    data = sequences(rng, rows=5)
    model = LinearGaussianSSM(D, L)
    fit, params = trained(model, "pyro", data, rng)
    monkeypatch.setattr("ppgm.inference.particle_filter.PAIRS", 8)
    method = ParticleFilter(4, proposal="guide", threshold=0.0)
    found = method.filter(fit, data, keep=True)
    exact = model.log_likelihood(params, **data)
    np.testing.assert_allclose(found.log_likelihood, exact, atol=TOLERANCE)
    assert found.states is not None
    assert found.states.shape == (4, 5, T, L)
    again = method.filter(fit, data, keep=True)
    np.testing.assert_array_equal(found.states, again.states)


def test_a_row_without_weight_is_impossible_and_harms_no_other(host: str) -> None:
    """An outlier so far out that every weight is zero in floating point."""
    data = {"x": np.zeros((2, 3, D))}
    data["x"][0, 1] = 1e200
    program = ppgm.program(LinearGaussianSSM(D, L), host=host)
    found = ParticleFilter(5).filter(program, data)
    assert found.log_likelihood[0] == -np.inf
    assert np.isfinite(found.log_likelihood[1])
    assert np.isfinite(found.mean).all()


def test_it_trains(host: str, rng: np.random.Generator) -> None:
    data = sequences(rng, rows=4)
    program = ppgm.program(Blind(D, L), host=host)
    fit = ppgm.fit(program, data, FIVO(4), steps=3, batch_size=2, progress=False)
    assert np.isfinite(fit.history["bound"]).all()


def test_gradients_leave_the_ancestors_out(host: str, rng: np.random.Generator) -> None:
    """At fixed ancestors the estimate is smooth: finite differences see what autodiff sees."""
    data = sequences(rng, steps=3)
    program = ppgm.program(Blind(D, L), host=host)
    params = random(program, data, rng)
    noise = {"z": rng.normal(size=(4, N, 3, L))}

    def bound(scale: np.ndarray) -> float:
        given = params | {"scale": scale}
        return probe(program, given, data, FIVO(4, threshold=2.0), noise=noise).loss

    found = probe(program, params, data, FIVO(4, threshold=2.0), noise=noise).grads["scale"]
    for i in range(L):
        step = 1e-6 * np.eye(L)[i] * params["scale"]
        slope = (bound(params["scale"] + step) - bound(params["scale"] - step)) / 2e-6
        assert found[i] == pytest.approx(slope, abs=1e-6)


# What is refused.


@pytest.mark.parametrize("unseen", ["lengths", "mask"])
def test_steps_that_no_row_has_add_nothing(
    host: str, unseen: str, rng: np.random.Generator
) -> None:
    """All rows end early, or a step is missing in all of them."""
    data = {"x": (rng.random((3, 4, D)) < 0.5).astype(float)}
    data |= {"lengths": np.ones(3)} if unseen == "lengths" else {"mask": np.zeros((3, 4))}
    net = DKF(D, L, hidden=(3,), emitter=(3,), rnn=3)
    program = ppgm.program(net, host=host)
    for objective in (FIVO(3), ELBO()):
        fit = ppgm.fit(program, data, objective, steps=2, progress=False)
        assert np.isfinite(fit.history["bound"]).all()
    if unseen == "mask":  # nothing was seen at all: the evidence is one
        found = ParticleFilter(5).filter(fit, data).log_likelihood
        np.testing.assert_allclose(found, 0.0, atol=TOLERANCE)


def test_programs_that_are_no_state_space_are_refused() -> None:
    pytest.importorskip("pyro")
    x, program = np.zeros((3, 2)), ppgm.program(VAE(2, 1, hidden=()), host="pyro")
    with pytest.raises(EstimatorError, match="VAE has no prior, emission; use Importance"):
        ParticleFilter().filter(program, {"x": x})
    for objective in (FIVO(), 2.0 * FIVO() + IWAE()):
        with pytest.raises(EstimatorError, match="site 'z' is Normal: FIVO goes through"):
            ppgm.fit(program, {"x": x}, objective, steps=1, progress=False)
    assert "fivo" not in ppgm.estimators(program, {"x": x}).legal
    states, steps = ppgm.program(HMM(D), host="pyro"), {"x": np.zeros((3, 2, D))}
    with pytest.raises(EstimatorError, match="a guide with one site, a MarkovChain"):
        ppgm.fit(states, steps, FIVO(), steps=1, progress=False)


def test_programs_of_the_hosts_own_are_refused(rng: np.random.Generator) -> None:
    pytest.importorskip("pyro")
    program, data = ppgm.program(LinearGaussianSSM(D, L), host="pyro"), sequences(rng)
    assert "fivo" in ppgm.estimators(program, data).legal
    own = replace(program, declaration=None)
    with pytest.raises(EstimatorError, match="a program of the host's own has no prior"):
        ppgm.fit(own, data, FIVO(), steps=1, progress=False)


@pytest.mark.parametrize(
    ("made", "options", "words"),
    [
        (FIVO, {"particles": 0}, "particles must be at least 1"),
        (FIVO, {"resampling": "sistematic"}, "resampling must be one of 'systematic'"),
        (FIVO, {"threshold": -0.5}, "threshold must be"),
        (ParticleFilter, {"particles": 2.5}, "particles must be an integer"),
        (ParticleFilter, {"proposal": "posterior"}, "proposal must be one of 'prior', 'guide'"),
        (ParticleFilter, {"resampling": None}, "resampling must be one of"),
        (ParticleFilter, {"draws": 0}, "draws must be at least 1"),
    ],
)
def test_options_are_checked(made: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        made(**options)


def test_paths_need_the_particles(rng: np.random.Generator) -> None:
    pytest.importorskip("pyro")
    program = ppgm.program(LinearGaussianSSM(D, L), host="pyro")
    with pytest.raises(DataError, match="keep=True"):
        ParticleFilter(5).filter(program, sequences(rng)).paths()
