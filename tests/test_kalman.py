"""The Kalman filter and smoother against the joint Gaussian of all states and data, written down.

The joint is one matrix: the states are a bidiagonal system driven by independent noise, the data
an affine map of the states. Conditioning it uses none of the recursions.
"""

import numpy as np
import pytest

from ppgm import data as sets
from ppgm.errors import ArgumentError
from ppgm.models import LinearGaussianSSM
from ppgm.testing import kalman
from ppgm.testing.kalman import Model, Series
from ppgm.testing.kalman_smoother import (
    Conditional,
    backward_conditional,
    forward_conditional,
    smoothed,
)

N, T, D, L, U = 4, 6, 3, 2, 2
TOLERANCE = 1e-9
KINDS = ("all seen", "steps missing", "entries missing", "unequal lengths", "all of it")
every_kind = pytest.mark.parametrize("kind", KINDS)


def covariance(rng: np.random.Generator, size: int) -> np.ndarray:
    root = rng.normal(size=(size, size))
    return root @ root.T + 0.3 * np.eye(size)


@pytest.fixture
def model(rng: np.random.Generator) -> Model:
    return Model(
        rng.normal(size=L), covariance(rng, L), rng.normal(size=(L, L)) * 0.7, rng.normal(size=L),
        covariance(rng, L), rng.normal(size=(D, L)), rng.normal(size=D), covariance(rng, D),
        rng.normal(size=(L, U)),
    )  # fmt: skip


def series(kind: str, rng: np.random.Generator, steps: int = T) -> Series:
    """Random data, with what is missing made NaN so that nothing can read it."""
    whole = Series(rng.normal(size=(N, steps, D)) * 2, u=rng.normal(size=(N, steps, U)))
    if kind in ("entries missing", "all of it"):
        whole = whole._replace(mask=rng.random((N, steps, D)) < 0.6)
    if kind == "steps missing":
        whole = whole._replace(mask=rng.random((N, steps)) < 0.6)
    if kind in ("unequal lengths", "all of it"):
        whole = whole._replace(lengths=np.array([steps, 1, 3, 4]))
    return whole._replace(x=np.where(kalman.observed(whole), whole.x, np.nan))


def inputs(data: Series) -> np.ndarray:
    assert data.u is not None
    return data.u


def joint(
    model: Model, steps: int, u: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and covariance of all states of one row, and the map and offset to its data."""
    driven = np.linalg.inv(np.eye(steps * L) - np.kron(np.eye(steps, k=-1), model.transition))
    source = [model.initial] + [model.drift] * (steps - 1)
    if u is not None and model.control is not None:
        source[1:] = [s + model.control @ v for s, v in zip(source[1:], u[1:], strict=True)]
    first = np.arange(steps) == 0
    noise = np.kron(np.diag(first), model.initial_covariance)
    noise = noise + np.kron(np.diag(~first), model.noise)
    weight, offset = np.kron(np.eye(steps), model.emission), np.tile(model.offset, steps)
    return driven @ np.concatenate(source), driven @ noise @ driven.T, weight, offset


def posterior(
    model: Model, data: Series, row: int, upto: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and covariance of all states of a row given its first steps, and log p of those."""
    steps = data.x.shape[1]
    mean, spread, weight, offset = joint(model, steps, None if data.u is None else data.u[row])
    seen = kalman.observed(data)[row] & (np.arange(steps) < upto)[:, None]
    seen, error = seen.ravel(), np.kron(np.eye(steps), model.error)
    weight, error = weight[seen], error[np.ix_(seen, seen)]
    gap = data.x[row].ravel()[seen] - weight @ mean - offset[seen]
    total = weight @ spread @ weight.T + error
    gain = np.linalg.solve(total, weight @ spread).T if seen.any() else np.zeros((len(mean), 0))
    log_p = -0.5 * (gap @ np.linalg.solve(total, gap)) if seen.any() else 0.0
    log_p -= 0.5 * np.linalg.slogdet(2 * np.pi * total)[1]
    return mean + gain @ gap, spread - gain @ weight @ spread, float(log_p)


def at(moments: tuple[np.ndarray, np.ndarray, float], t: int, s: int | None = None) -> tuple:
    """Mean of state t and its covariance with state s."""
    mean, spread, _ = moments
    here, there = slice(t * L, t * L + L), slice((t if s is None else s) * L, None)
    return mean[here], spread[here, there][:, :L]


@every_kind
def test_likelihood_and_filter_are_those_of_the_joint(
    kind: str, model: Model, rng: np.random.Generator
) -> None:
    data = series(kind, rng)
    found = kalman.filtered(data, model)
    for row in range(N):
        log_p = posterior(model, data, row, T)[2]
        assert found.log_likelihood[row] == pytest.approx(log_p, abs=TOLERANCE)
        before = posterior(model, data, row, 0)
        for t in range(T):
            after = posterior(model, data, row, t + 1)
            assert found.steps[row, t] == pytest.approx(after[2] - before[2], abs=TOLERANCE)
            for moments, mean, spread in (
                (before, found.predicted, found.predicted_covariance),
                (after, found.mean, found.covariance),
            ):
                wanted = at(moments, t)
                np.testing.assert_allclose(mean[row, t], wanted[0], atol=TOLERANCE)
                np.testing.assert_allclose(spread[row, t], wanted[1], atol=TOLERANCE)
            before = after
    np.testing.assert_array_equal(kalman.log_likelihood(data, model), found.log_likelihood)


@every_kind
def test_smoother_is_that_of_the_joint(kind: str, model: Model, rng: np.random.Generator) -> None:
    data = series(kind, rng)
    found = smoothed(kalman.filtered(data, model), model)
    for row in range(N):
        moments = posterior(model, data, row, T)
        for t in range(T):
            mean, spread = at(moments, t)
            np.testing.assert_allclose(found.mean[row, t], mean, atol=TOLERANCE)
            np.testing.assert_allclose(found.covariance[row, t], spread, atol=TOLERANCE)
        for t in range(T - 1):
            wanted = at(moments, t + 1, t)[1]
            np.testing.assert_allclose(found.lagged[row, t], wanted, atol=TOLERANCE)


def log_chain(z: np.ndarray, chain: Conditional, neighbour: np.ndarray) -> np.ndarray:
    """Log density of each state given its neighbour, ``(N, T)``."""
    gap = z - (chain.gain @ neighbour[..., None])[..., 0] - chain.shift
    solved = np.linalg.solve(chain.covariance, gap[..., None])[..., 0]
    return -0.5 * ((gap * solved).sum(-1) + np.linalg.slogdet(2 * np.pi * chain.covariance)[1])


@every_kind
def test_the_posterior_is_a_chain_in_either_direction(
    kind: str, model: Model, rng: np.random.Generator
) -> None:
    """log p(x, z) - log p(z | x) is log p(x) whatever z, over the steps that count."""
    data = series(kind, rng)
    past = kalman.filtered(data, model)
    after = forward_conditional(smoothed(past, model))
    z = rng.normal(size=(N, T, L)) * 2
    zero = np.zeros((N, 1, L))
    log_p = kalman.log_joint(data, z, model)
    forward = log_chain(z, after, np.concatenate([zero, z[:, :-1]], 1))
    counted = kalman.alive(data)
    wanted = np.where(counted, forward, 0).sum(1) + past.log_likelihood
    np.testing.assert_allclose(log_p, wanted, atol=TOLERANCE)

    # backwards the states after the end are drawn first, and count
    whole = kalman.log_joint(data._replace(lengths=None, mask=kalman.observed(data)), z, model)
    backward = log_chain(z, backward_conditional(past, model), np.concatenate([z[:, 1:], zero], 1))
    np.testing.assert_allclose(whole, backward.sum(1) + past.log_likelihood, atol=TOLERANCE)


@every_kind
def test_forecasts_are_those_of_a_longer_series(
    kind: str, model: Model, rng: np.random.Generator
) -> None:
    data, ahead = series(kind, rng), rng.normal(size=(N, 3, U))
    found = kalman.forecast(kalman.filtered(data, model), model, 3, lengths=data.lengths, u=ahead)
    lengths = np.full(N, T) if data.lengths is None else data.lengths
    for row, end in enumerate(lengths):
        seen = kalman.observed(data)[row, :end]
        longer = Series(
            np.concatenate([data.x[row, :end], np.zeros((3, D))])[None],
            np.concatenate([seen, np.zeros((3, D), bool)])[None],
            u=np.concatenate([inputs(data)[row, :end], ahead[row]])[None],
        )
        moments = posterior(model, longer, 0, end + 3)
        for t in range(3):
            mean, spread = at(moments, end + t)
            np.testing.assert_allclose(found.latent[row, t], mean, atol=TOLERANCE)
            np.testing.assert_allclose(found.latent_covariance[row, t], spread, atol=TOLERANCE)
            seen_mean = model.emission @ mean + model.offset
            seen_spread = model.emission @ spread @ model.emission.T + model.error
            np.testing.assert_allclose(found.mean[row, t], seen_mean, atol=TOLERANCE)
            np.testing.assert_allclose(found.covariance[row, t], seen_spread, atol=TOLERANCE)


def test_padding_changes_nothing(model: Model, rng: np.random.Generator) -> None:
    """Data after the end of a sequence, or more of it, count for nothing."""
    data = series("unequal lengths", rng)
    longer = data._replace(
        x=np.concatenate([data.x, rng.normal(size=(N, 2, D))], 1),
        u=np.concatenate([inputs(data), rng.normal(size=(N, 2, U))], 1),
    )
    found = [kalman.filtered(d, model).log_likelihood for d in (data, longer)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)


def test_the_filter_settles_at_the_solution_of_the_riccati_equation(
    model: Model, rng: np.random.Generator
) -> None:
    steady = kalman.steady_covariance(model, steps=2_000)
    spread = model.emission @ steady @ model.emission.T + model.error
    gain = steady @ model.emission.T @ np.linalg.inv(spread)
    after = steady - gain @ spread @ gain.T
    again = model.transition @ after @ model.transition.T + model.noise
    np.testing.assert_allclose(again, steady, atol=TOLERANCE)
    long = series("all seen", rng, steps=60)
    found = kalman.filtered(long, model).predicted_covariance[0, -1]
    np.testing.assert_allclose(found, steady, atol=1e-7)


# The synthetic set of Krishnan et al. (2017), whose parameters are known.


def truth() -> Model:
    return LinearGaussianSSM(1, 1).exact_model(sets.linear_states_truth())


def test_the_synthetic_set_costs_a_known_number_of_nats() -> None:
    model = truth()
    steady = kalman.steady_covariance(model, steps=1_000)
    assert steady.item() == pytest.approx(5 + np.sqrt(825), abs=1e-12)  # by hand
    spread = 0.25 * steady.item() + 20
    nats = 0.5 * np.log(2 * np.pi * np.e * spread)
    assert nats == pytest.approx(3.0927, abs=5e-5)
    blank = Series(np.zeros((1, 60, 1)))
    found = kalman.filtered(blank, model).predicted_covariance[0, :, 0, 0]
    assert 0.5 * np.log(2 * np.pi * np.e * (0.25 * found[-1] + 20)) == pytest.approx(nats)
    assert found[0] == pytest.approx(10.0)


def test_the_synthetic_set_is_drawn_from_its_parameters() -> None:
    """Innovations are standard normal: their mean and mean square lie within 4.89 errors.

    False alarms: three numbers at 1e-6. A variance that is wrong by a twentieth moves the mean
    square by some 7 errors.
    """
    data = sets.load("linear-states")
    assert data.train["x"].shape == (5000, 25, 1)
    assert data.test["x"].shape == (500, 25, 1)
    assert data.train["x"].dtype == np.float32
    x = data.train["x"].astype(float)
    past = kalman.filtered(Series(x), truth())
    sd = np.sqrt(0.25 * past.predicted_covariance[..., 0, 0] + 20)
    white = (x[..., 0] - 0.5 * past.predicted[..., 0]) / sd
    assert abs(white.mean()) * np.sqrt(white.size) < 4.89
    assert abs((white**2).mean() - 1) * np.sqrt(white.size / 2) < 4.89
    np.testing.assert_allclose(
        past.steps, -0.5 * white**2 - np.log(sd * np.sqrt(2 * np.pi)), atol=TOLERANCE
    )
    ends = x[:, -1, 0]  # 0.5 (25 steps of drift), and the variance that adds up to there
    assert abs(ends.mean() - 0.625) / np.sqrt((0.25 * 250 + 20) / len(ends)) < 4.89


def test_seeds_and_sizes_of_the_synthetic_set() -> None:
    one, two = (sets.linear_states(size=3, steps=4, seed=s).train["x"] for s in (0, 1))
    assert one.shape == (3, 4, 1)
    assert (one != two).all()
    np.testing.assert_array_equal(one, sets.linear_states(size=3, steps=4).train["x"])
    with pytest.raises(ArgumentError, match="steps should be at least 1"):
        sets.linear_states(steps=0)
