"""Smoothing, interpolation and forecasts against Kalman's and one Gaussian over a whole row.

States are an affine function of noise where all is linear: their moments are then exact from one
call at zero and at unit noise. Draws of the data are compared within 6 standard errors; a false
alarm has a chance of 2e-9 per number, below 1e-6 per test.
"""

from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import forecasting, forecasting_draws
from ppgm import host as hosts
from ppgm.errors import ArgumentError, DataError, EstimatorError
from ppgm.models import DKF, HMM, VAE, Bernoulli, Gaussian, LinearGaussianSSM
from ppgm.series import Series
from ppgm.testing import kalman
from ppgm.testing.kalman_smoother import smoothed

N, T, D, L, U, K = 3, 5, 3, 2, 1, 3
SIGMA, ERRORS, DRAWS = 0.7, 6.0, 4000
LENGTHS = np.array([5, 4, 1])
TOLERANCE = 1e-9

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")
every_kind = pytest.mark.parametrize("kind", ["ssm", "dkf"])
Case = tuple[ppgm.Fit, dict[str, Any], Any, kalman.Model]


def series(rng: np.random.Generator, *, inputs: bool = False) -> dict[str, Any]:
    """Rows of unequal lengths with missing entries; large numbers where nothing was seen."""
    mask = (rng.random((N, T, D)) < 0.6).astype(float)
    mask[0, 2], mask[0, 4, :2], mask[2, 0] = 0, (1, 0), (0, 1, 1)
    x = rng.normal(size=(N, T, D))
    alive = (np.arange(T) < LENGTHS[:, None])[..., None]
    x = np.where((mask != 0) & alive, x, 50.0)
    found = {"x": x, "mask": mask, "lengths": LENGTHS}
    return found | ({"u": rng.normal(size=(N, T, U))} if inputs else {})


def case(kind: str, host: str, rng: np.random.Generator) -> Case:
    """A model whose guide is the posterior at random parameters: fit, data, ahead, reference."""
    ssm = kind == "ssm"
    declaration: Any = (
        LinearGaussianSSM(D, L, U, "full", "full")
        if ssm
        else DKF(D, L, "linear", (), (), "relu", Gaussian(SIGMA), "exact")
    )
    data = series(rng, inputs=ssm)
    ahead = rng.normal(size=(N, K, U)) if ssm else None
    program = ppgm.program(declaration, host=host)
    params = hosts.load(host).initial(program, data, 0)
    params = {n: rng.normal(size=v.shape) * 0.6 for n, v in params.items()}
    params |= {n: np.exp(v) for n, v in params.items() if n.endswith("scale")}
    model = declaration.exact_model(params) if ssm else dkf_model(params)
    return ppgm.Fit(program, params, {}, {}, {}), data, ahead, model


def dkf_model(params: dict[str, np.ndarray]) -> kalman.Model:
    square, drift = (params[f"transition.layers.0.{n}"] for n in ("weight", "bias"))
    emission, offset = (params[f"decoder.layers.0.{n}"] for n in ("weight", "bias"))
    noise = np.diag(params["transition_scale"] ** 2)
    first = square @ params["z0"] + drift
    error = SIGMA**2 * np.eye(D)
    return kalman.Model(first, noise, square, drift, noise, emission, offset, error)


def parts(data: dict[str, Any]) -> kalman.Series:
    return kalman.Series(data["x"], data["mask"], data["lengths"], data.get("u"))


def whole(
    n: int, data: dict[str, Any], ahead: Any, model: kalman.Model
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all data of a row and K steps more, given what was seen of it."""
    end = LENGTHS[n]
    steps = end + K
    u = None if ahead is None else np.concatenate([data["u"][n, :end], ahead[n]])
    centre, root, means, roots = model.initial, np.zeros((L, steps * L)), [], []
    for t in range(steps):
        if t:
            centre, root = model.transition @ centre + model.drift, model.transition @ root
            centre = centre if u is None else centre + model.control @ u[t]
        noise = model.noise if t else model.initial_covariance
        root[:, t * L : (t + 1) * L] = np.linalg.cholesky(noise)
        means.append(model.emission @ centre + model.offset)
        roots.append(model.emission @ root)
    mean, factor = np.concatenate(means), np.concatenate(roots)
    spread = factor @ factor.T + np.kron(np.eye(steps), model.error)
    seen = np.zeros((steps, D), bool)
    seen[:end] = data["mask"][n, :end] != 0
    own = seen.reshape(-1)
    gain = np.linalg.solve(spread[np.ix_(own, own)], spread[own]).T
    mean = mean + gain @ (data["x"][n, :end][seen[:end]] - mean[own])
    return mean, spread - gain @ spread[own]


def by_noise(fit: ppgm.Fit, data: dict[str, Any], steps: int) -> list[tuple[np.ndarray, ...]]:
    """Moments of states within the data and after them, from zero and unit noise."""
    length = data["x"].shape[1]
    size = (length + steps) * L
    noise = np.concatenate([np.zeros((1, size)), np.eye(size)]).reshape(-1, 1, length + steps, L)
    noise = np.broadcast_to(noise, (size + 1, N, length + steps, L))

    def fn(declaration: Any, ppl: Any, data: Any, _: Any) -> tuple[Any, ...]:
        own = Series(ppl, *(data.get(n) for n in ("x", "lengths", "mask", "u")))
        past = forecasting_draws.paths(
            declaration, own, ppl.ops.float(noise[..., :length, :].copy())
        )
        ahead = ppl.ops.float(noise[..., length:, :].copy())
        return past, forecasting_draws.ahead_of(declaration, own, past, ahead)

    found = hosts.load(fit.program.host).within(fit.program, fit.params, data, fn)(data, 0)
    moments = []
    for states in found:
        columns = states[1:] - states[0]
        moments.append((states[0], np.einsum("mntl,mntk->ntlk", columns, columns)))
    return moments


@every_kind
def test_states_have_the_moments_of_smoother_and_forecast(
    kind: str, host: str, rng: np.random.Generator
) -> None:
    fit, data, ahead, model = case(kind, host, rng)
    longer = forecasting._longer(data, LENGTHS, K, ahead)
    (mean, covariance), (later, spread) = by_noise(fit, longer, K)
    past = kalman.filtered(parts(data), model)
    all_data = smoothed(past, model)
    for n, end in enumerate(LENGTHS):
        np.testing.assert_allclose(mean[n, :end], all_data.mean[n, :end], atol=TOLERANCE)
        wanted = all_data.covariance[n, :end]
        np.testing.assert_allclose(covariance[n, :end], wanted, atol=TOLERANCE)
    wanted = kalman.forecast(past, model, K, lengths=LENGTHS, u=ahead)
    np.testing.assert_allclose(later, wanted.latent, atol=TOLERANCE)
    np.testing.assert_allclose(spread, wanted.latent_covariance, atol=TOLERANCE)


def check(draws: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> None:
    """Compares moments of draws ``(S, n)`` with exact ones, within `ERRORS` standard errors."""
    count, variance = len(draws), np.diag(covariance)
    assert (np.abs(draws.mean(0) - mean) <= ERRORS * np.sqrt(variance / count)).all()
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / count)
    assert (np.abs(np.cov(draws.T) - covariance) <= ERRORS * error).all()


@every_kind
def test_forecasts_of_data_have_the_moments_of_the_reference(
    kind: str, host: str, rng: np.random.Generator
) -> None:
    fit, data, ahead, model = case(kind, host, rng)
    found = ppgm.forecast(fit, data, steps=K, draws=DRAWS, seed=1, ahead=ahead)
    assert found.x is not None
    assert found.x.shape == (DRAWS, N, K, D)
    np.testing.assert_array_equal(found.times, LENGTHS[:, None] + np.arange(K))
    past = kalman.filtered(parts(data), model)
    wanted = kalman.forecast(past, model, K, lengths=LENGTHS, u=ahead)
    for n, end in enumerate(LENGTHS):
        mean, covariance = whole(n, data, ahead, model)
        np.testing.assert_allclose(mean[end * D :].reshape(K, D), wanted.mean[n], atol=1e-9)
        after = covariance[end * D :, end * D :]
        check(found.x[:, n].reshape(DRAWS, -1), mean[end * D :], after)
        check(found.states[:, n, -1], wanted.latent[n, -1], wanted.latent_covariance[n, -1])


@every_kind
def test_what_is_missing_is_drawn_given_what_was_seen(
    kind: str, host: str, rng: np.random.Generator
) -> None:
    """Entries of a step too, whose errors go together where the covariance is full."""
    fit, data, ahead, model = case(kind, host, rng)
    found = ppgm.interpolate(fit, data, draws=DRAWS, seed=2)
    assert found.x is not None
    for n, end in enumerate(LENGTHS):
        mean, covariance = whole(n, data, ahead, model)
        own = (data["mask"][n, :end] == 0).reshape(-1)
        drawn = found.x[:, n, :end].reshape(DRAWS, -1)
        check(drawn[:, own], mean[: end * D][own], covariance[: end * D, : end * D][own][:, own])
        seen = np.broadcast_to(data["x"][n, :end].reshape(-1)[~own], drawn[:, ~own].shape)
        np.testing.assert_array_equal(drawn[:, ~own], seen)
        assert np.isnan(found.x[:, n, end:]).all()
        assert np.isnan(found.states[:, n, end:]).all()


@every_kind
def test_smoothing_draws_have_the_moments_of_the_smoother(
    kind: str, host: str, rng: np.random.Generator
) -> None:
    fit, data, _, model = case(kind, host, rng)
    found = ppgm.smooth(fit, data, draws=DRAWS, seed=3)
    wanted = smoothed(kalman.filtered(parts(data), model), model)
    for n, end in enumerate(LENGTHS):
        for t in range(end):
            check(found.states[:, n, t], wanted.mean[n, t], wanted.covariance[n, t])
        assert np.isnan(found.states[:, n, end:]).all()
    assert found.x is None


def test_rows_in_parts_are_drawn_alike_and_in_their_places(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    fit, data, ahead, model = case("ssm", "pyro", rng)
    steps = data["x"].shape[1] + K
    monkeypatch.setattr(forecasting_draws, "PAIRS", 2 * DRAWS * steps)
    found = ppgm.forecast(fit, data, steps=K, draws=DRAWS, ahead=ahead)
    past = kalman.filtered(parts(data), model)
    wanted = kalman.forecast(past, model, K, lengths=LENGTHS, u=ahead)
    for n in range(N):
        check(found.states[:, n, 0], wanted.latent[n, 0], wanted.latent_covariance[n, 0])


def deep(guide: Any, **options: Any) -> DKF:
    given: dict[str, Any] = {"hidden": (4,), "emitter": (4,), "rnn": 3, "inputs": U}
    return DKF(D, L, guide=guide, likelihood=Bernoulli(), **{**given, **options})


def bits(rng: np.random.Generator) -> dict[str, Any]:
    data = series(rng, inputs=True)
    return data | {"x": (rng.random((N, T, D)) < 0.5).astype(float)}


@pytest.mark.parametrize(
    ("guide", "host"),
    [(g, "pyro") for g in ("ST-R", "ST-L", "ST-LR", "MF-LR")] + [("ST-LR", "numpyro")],
)
def test_what_was_not_seen_changes_no_draw(
    guide: str, host: str, rng: np.random.Generator
) -> None:
    program, data = ppgm.program(deep(guide), host=host), bits(rng)
    ahead = rng.normal(size=(N, K, U))
    seen = kalman.observed(parts(data))
    other = {**data, "x": np.where(seen, data["x"], 1 - data["x"])}
    other["u"] = np.where(kalman.alive(parts(data))[..., None], data["u"], 7.0)
    for call in (
        lambda d: ppgm.forecast(program, d, steps=K, draws=4, ahead=ahead),
        lambda d: ppgm.interpolate(program, d, draws=4),
        lambda d: ppgm.smooth(program, d, draws=4),
    ):
        first, second = call(data), call(other)
        np.testing.assert_array_equal(first.states, second.states)
        assert (first.x is None) == (second.x is None)
        if first.x is not None and second.x is not None:
            np.testing.assert_array_equal(first.x, second.x)
            assert set(np.unique(first.x[~np.isnan(first.x)])) <= {0.0, 1.0}


def test_inputs_act_on_the_step_to_their_own_state(host: str, rng: np.random.Generator) -> None:
    program, data = ppgm.program(deep("ST-R"), host=host), bits(rng)
    ahead = rng.normal(size=(N, K, U))
    moved = ahead.copy()
    moved[:, 1] += 1
    first, second = (
        ppgm.forecast(program, data, steps=K, draws=2, ahead=a) for a in (ahead, moved)
    )
    np.testing.assert_array_equal(first.states[:, :, 0], second.states[:, :, 0])
    assert (first.states[:, :, 1:] != second.states[:, :, 1:]).any(-1).all()


def test_arviz_has_the_times_of_the_data(host: str, rng: np.random.Generator) -> None:
    az = pytest.importorskip("arviz")
    fit, data, ahead, _ = case("ssm", host, rng)
    found = ppgm.forecast(fit, data, steps=K, draws=6, ahead=ahead)
    tree = found.to_arviz()
    x = tree["predictions"]["x"]
    assert x.dims == ("chain", "draw", "row", "time", "feature")
    assert tree["predictions"]["z"].dims[-1] == "state"
    np.testing.assert_array_equal(x["time"], np.arange(1, T + K))
    assert found.x is not None
    for n, end in enumerate(LENGTHS):
        own = x.sel(row=n, time=slice(end, end + K - 1), chain=0)
        np.testing.assert_array_equal(own, found.x[:, n])
        assert int(np.isfinite(x.sel(row=n)).sum()) == found.x[:, n].size
    seen = tree["observed_data"]["x"]
    assert seen.dims == ("row", "time", "feature")
    np.testing.assert_array_equal(np.isfinite(seen), kalman.observed(parts(data)))

    equal = {**data, "lengths": np.full(N, T)}
    after = ppgm.forecast(fit, equal, steps=K, draws=6, ahead=ahead).to_arviz()["predictions"]
    np.testing.assert_array_equal(after["time"], np.arange(T, T + K))
    assert np.isfinite(after["x"]).all()
    assert len(az.summary(after["x"])) == N * K * D
    filled = ppgm.interpolate(fit, data, draws=6).to_arviz()
    assert filled["posterior_predictive"]["x"].shape == (1, 6, N, T, D)
    assert filled["posterior"]["z"].shape == (1, 6, N, T, L)
    assert "posterior_predictive" not in ppgm.smooth(fit, data, draws=6).to_datatree().children


def test_what_cannot_be_forecast_is_refused(rng: np.random.Generator) -> None:
    fit, data, ahead, _ = case("ssm", "pyro", rng)
    with pytest.raises(ArgumentError, match="steps must be an integer of at least 1, not 0"):
        ppgm.forecast(fit, data, steps=0, ahead=ahead)
    with pytest.raises(ArgumentError, match="draws must be"):
        ppgm.smooth(fit, data, draws=-1)
    with pytest.raises(DataError, match="give `ahead`"):
        ppgm.forecast(fit, data, steps=K)
    with pytest.raises(DataError, match=r"ahead must have the shape \(3, 2, 1\)"):
        ppgm.forecast(fit, data, steps=2, ahead=ahead)
    with pytest.raises(DataError, match="nothing is missing"):
        ppgm.interpolate(fit, {n: v for n, v in data.items() if n != "mask"})
    with pytest.raises(DataError, match="need 'x'"):
        ppgm.smooth(fit, {"u": data["u"]})
    states = ppgm.program(HMM(D), host="pyro")
    with pytest.raises(EstimatorError, match=r"HMM.forecast\(fit.params"):
        ppgm.forecast(states, {"x": np.zeros((N, T, D))}, steps=1)
    with pytest.raises(EstimatorError, match="not VAE"):
        ppgm.smooth(ppgm.program(VAE(D), host="pyro"), {"x": np.zeros((N, D))})
