"""Splines, mixing, normalisation and maps of leading coordinates."""

from typing import Any

import numpy as np
import pytest

from ppgm import host as hosts
from ppgm.errors import ArgumentError
from ppgm.guides import Spline as Family
from ppgm.models import NSF
from ppgm.testing import splines as naive
from ppgm.transforms import Permutation, Spline
from ppgm.transforms.leading import Leading
from ppgm.transforms.mixing import Mixing, factors_of, rotation
from ppgm.transforms.normalisation import ActNorm
from ppgm.transforms.spline import LEAST, spline_size

D, K, N, B = 3, 5, 40, 2.0
TOLERANCE = 1e-9

pytestmark = pytest.mark.usefixtures("f64")


def numbers(array: Any) -> np.ndarray:
    return np.asarray(array.detach() if hasattr(array, "detach") else array)


@pytest.fixture
def raw(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, D, spline_size(K))) * 1.5


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, D)) * 1.5  # a fifth of them outside


# Splines against the reference, number by number.


def test_values_and_slopes_are_those_of_the_reference(raw: np.ndarray, x: np.ndarray) -> None:
    y, log_det = Spline(raw, B).forward(x)
    wanted = np.array([
        [naive.forward(x[n, d], raw[n, d], B) for d in range(D)] for n in range(N)
    ])  # fmt: skip
    np.testing.assert_allclose(y, wanted[..., 0], atol=1e-12)
    np.testing.assert_allclose(log_det, np.log(wanted[..., 1]).sum(-1), atol=1e-11)


def test_the_inverse_is_that_of_the_reference(raw: np.ndarray, x: np.ndarray) -> None:
    back, log_det = Spline(raw, B).inverse(x)
    wanted = np.array([[naive.inverse(x[n, d], raw[n, d], B) for d in range(D)] for n in range(N)])
    np.testing.assert_allclose(back, wanted, atol=TOLERANCE)
    slopes = np.array([[naive.forward(v, r, B)[1] for v, r in zip(*row, strict=True)]
                       for row in zip(wanted, raw, strict=True)])  # fmt: skip
    np.testing.assert_allclose(log_det, -np.log(slopes).sum(-1), atol=TOLERANCE)


@pytest.mark.parametrize("size", [0.0, 1.0, 4.0])
def test_there_and_back(host: str, size: float, rng: np.random.Generator) -> None:
    """Also from knots and ends, and from far outside."""
    raw = rng.normal(size=(2000, 1, spline_size(8))) * size
    x = rng.uniform(-1.3 * B, 1.3 * B, size=(2000, 1))
    for n in range(0, 900, 3):
        x[n : n + 3, 0] = naive.knots(raw[n, 0], B).x[n % 9], B, -B
    x[-2:] = [[1e6], [-1e6]]
    ops = hosts.load(host).OPS
    spline = Spline(ops.float(raw), B)
    y, there = spline.forward(ops.float(x))
    back, home = spline.inverse(y)
    np.testing.assert_allclose(numbers(back), x, atol=TOLERANCE)
    np.testing.assert_allclose(numbers(there), -numbers(home), atol=1e-8)


def test_zeros_are_the_identity(x: np.ndarray) -> None:
    y, log_det = Spline(np.zeros((D, spline_size(K))), B).forward(x)
    np.testing.assert_allclose(y, x, atol=1e-14)
    np.testing.assert_allclose(log_det, 0, atol=1e-13)


def test_splines_rise_and_leave_the_tails_alone(raw: np.ndarray) -> None:
    line = np.linspace(-1.5 * B, 1.5 * B, 4001)
    y, _ = Spline(raw[0, :1], B).forward(line[:, None])
    assert (np.diff(y[:, 0]) > 0).all()
    outside = np.abs(line) >= B
    np.testing.assert_array_equal(y[outside, 0], line[outside])
    assert np.abs(y[~outside, 0] - line[~outside]).max() > 0.1


@pytest.mark.parametrize("end", [-B, B])
def test_ends_meet_the_tails_with_slope_one(end: float, raw: np.ndarray) -> None:
    close = np.full((N, D), end * (1 - 1e-12))
    y, log_det = Spline(raw, B).forward(close)
    np.testing.assert_allclose(y, close, atol=1e-11)
    np.testing.assert_allclose(log_det, 0, atol=1e-6)


def test_slopes_do_not_jump_at_knots(raw: np.ndarray) -> None:
    at = naive.knots(raw[0, 0], B)
    for knot, slope in zip(at.x[1:-1], at.slope[1:-1], strict=True):
        sides = np.array([[knot - 1e-12], [knot + 1e-12]])
        log_det = Spline(raw[0, :1], B).forward(sides)[1]
        np.testing.assert_allclose(log_det, np.log(slope), atol=1e-6)


@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_gradients_are_finite_everywhere(host: str, way: str, rng: np.random.Generator) -> None:
    """At knots, at both ends, far outside, and with outputs that are far too large."""
    scales = np.array([0.0, 1.0, 60.0, 400.0])[:, None, None]
    raw = rng.normal(size=(4, 6, spline_size(4))) * scales
    x = np.tile([0.0, B, -B, 1e8, -1e8, np.nextafter(B, 0)], (4, 1))

    def total(raw: Any, x: Any) -> Any:
        y, log_det = getattr(Spline(raw, B), way)(x)
        return (y * 1e-8).sum() + log_det.sum()

    if host == "numpyro":
        jax = pytest.importorskip("jax")
        grads = jax.jit(jax.grad(total, argnums=(0, 1)))(*map(jax.numpy.asarray, (raw, x)))
    else:
        torch = pytest.importorskip("torch")
        leaves = [torch.as_tensor(v).requires_grad_() for v in (raw, x)]
        total(*leaves).backward()
        grads = [leaf.grad for leaf in leaves]
    for grad in grads:
        assert np.isfinite(numbers(grad)).all()
    assert np.abs(numbers(grads[0])).max() > 0


def test_no_bin_is_too_narrow(rng: np.random.Generator) -> None:
    raw = np.zeros((1, spline_size(4)))
    raw[0, :8] = [50, 0, 0, 0, 0, 0, 0, 50]
    at = naive.knots(raw[0], B)
    assert np.diff(at.x).min() == pytest.approx(2 * B * LEAST)
    y, log_det = Spline(raw, B).forward(np.array(at.x[1:-1])[:, None])
    np.testing.assert_allclose(y[:, 0], at.y[1:-1], atol=1e-12)
    assert np.isfinite(log_det).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NSF(4, bins=1), "bins must be an integer of at least 2"),
        (lambda: NSF(4, bins=600), "bins must be fewer than 500"),
        (lambda: NSF(4, bound=0.0), "bound must be a number above 0"),
        (lambda: NSF(1), "features must be an integer of at least 2"),
        (lambda: NSF(4, kind="coupled"), "did you mean 'coupling'"),
        (lambda: NSF(9, kind="autoregressive", hidden=(7,)), "widths of at least 8"),
        (lambda: Family(bins=0), "bins must be an integer of at least 2"),
        (lambda: Family(kind="masked"), "kind must be one of 'coupling', 'autoregressive'"),
        (lambda: Family(activation="sin"), "'activation' must be one of"),
        (lambda: NSF(4, activation="sin"), "'activation' must be one of"),
        (lambda: Family(summary=-1), "summary must be an integer"),
        (lambda: Family().context(1), "1 coordinate has no halves"),
        (lambda: Family(kind="autoregressive", hidden=(7,)).context(8), "widths of at least 8"),
    ],
)
def test_options_are_checked(make: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make()


# Mixing.


@pytest.mark.parametrize("size", [1, 2, 5])
def test_factors_multiply_to_the_matrix(size: int, rng: np.random.Generator) -> None:
    for matrix in (rng.normal(size=(size, size)), rotation(size, 3), -np.eye(size)):
        found = Mixing(*factors_of(matrix))
        np.testing.assert_allclose(found.matrix(), matrix, atol=1e-12)
        wanted = np.linalg.slogdet(matrix)[1]
        assert found.forward(np.ones(size))[1] == pytest.approx(wanted, abs=1e-12)


def test_rotations_are_orthogonal_and_fixed_by_their_seed() -> None:
    turn = rotation(6, 2)
    np.testing.assert_allclose(turn @ turn.T, np.eye(6), atol=1e-12)
    np.testing.assert_array_equal(turn, rotation(6, 2))
    assert np.abs(turn - rotation(6, 3)).max() > 0.1


def test_every_position_is_mixed_by_the_same_matrix(rng: np.random.Generator) -> None:
    matrix, x = rng.normal(size=(3, 3)), rng.normal(size=(7, 3, 4))
    y, log_det = Mixing(*factors_of(matrix)).forward(x.reshape(7, 12))
    np.testing.assert_allclose(y.reshape(7, 3, 4), np.einsum("ij,njp->nip", matrix, x), atol=1e-12)
    jacobian = np.kron(matrix, np.eye(4))
    assert log_det == pytest.approx(np.linalg.slogdet(jacobian)[1], abs=1e-11)


def test_free_parameters_of_a_mixing_count_where_they_may(rng: np.random.Generator) -> None:
    """What is on the wrong side of the diagonal of a factor changes nothing."""
    parts = factors_of(rng.normal(size=(4, 4)))
    dirty = parts._replace(
        lower=parts.lower + np.triu(rng.normal(size=(4, 4))),
        upper=parts.upper + np.tril(rng.normal(size=(4, 4))),
    )
    np.testing.assert_array_equal(Mixing(*parts).matrix(), Mixing(*dirty).matrix())


# Normalisation, and maps of leading coordinates.


@pytest.mark.parametrize("channels", [2, 6])
def test_a_measured_normalisation_gives_mean_zero_and_deviation_one(
    host: str, channels: int, rng: np.random.Generator
) -> None:
    y = rng.normal(size=(30, 6)) * rng.uniform(0.1, 9, 6) + rng.normal(size=6) * 5
    ops = hosts.load(host).OPS
    found = ActNorm.of(ops.float(y), channels)
    assert tuple(found.shift.shape) == (channels,)
    white, log_det = found.inverse(ops.float(y))
    parts = numbers(white).reshape(30, channels, -1)
    np.testing.assert_allclose(parts.mean((0, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(parts.std((0, 2)), 1, atol=1e-12)
    wanted = -np.log(y.reshape(30, channels, -1).std((0, 2))).sum() * 6 / channels
    np.testing.assert_allclose(numbers(log_det), wanted, atol=1e-12)


def test_a_constant_column_is_not_divided_by_zero() -> None:
    white, log_det = ActNorm.of(np.full((5, 2), 3.0), 2).inverse(np.full((5, 2), 3.0))
    np.testing.assert_array_equal(white, 0)
    assert np.isfinite(log_det)


def test_coordinates_after_the_leading_ones_stay(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 5))
    step = Leading(ActNorm(np.ones(3), np.array([0.1, 0.2, -0.5])), 3)
    y, log_det = step.forward(x)
    np.testing.assert_array_equal(y[:, 3:], x[:, 3:])
    np.testing.assert_allclose(y[:, :3], 1 + x[:, :3] * np.exp([0.1, 0.2, -0.5]), atol=1e-14)
    np.testing.assert_allclose(log_det, -0.2, atol=1e-14)
    back, home = step.inverse(y)
    np.testing.assert_allclose(back, x, atol=1e-14)
    np.testing.assert_allclose(home, 0.2, atol=1e-14)
    turned, zero = Leading(Permutation("reverse"), 2).forward(x)
    np.testing.assert_array_equal(turned, x[:, [1, 0, 2, 3, 4]])
    np.testing.assert_array_equal(zero, np.zeros(4))
