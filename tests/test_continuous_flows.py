"""Flows of differential equations: closed forms of linear fields, traces, densities."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError, EstimatorError, MissingDependencyError
from ppgm.fits import as_fit
from ppgm.inference import ELBO, IWAE, RWS, STL, VIMCO, Importance, Renyi
from ppgm.legality import check_legal
from ppgm.models import FFJORD
from ppgm.probes import probe
from ppgm.testing import differences
from ppgm.transforms.continuous import Continuous

D, N, T = 3, 4, 1.3
PACKAGES = {"pyro": "torchdiffeq", "numpyro": "diffrax"}
LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")


@pytest.fixture
def ops(host: str) -> Any:
    pytest.importorskip(PACKAGES[host])
    return hosts.load(host).OPS


def numbers(array: Any) -> np.ndarray:
    return np.asarray(array.detach() if hasattr(array, "detach") else array)


def exponential(matrix: np.ndarray) -> np.ndarray:
    """The matrix exponential, by its series of a small part of it and squarings."""
    halvings = max(0, int(np.ceil(np.log2(np.abs(matrix).sum() + 1e-300))) + 4)
    small = matrix / 2**halvings
    term = total = np.eye(len(matrix))
    for n in range(1, 20):
        term = term @ small / n
        total = total + term
    for _ in range(halvings):
        total = total @ total
    return total


def bent(ops: Any, rng: np.random.Generator) -> Any:
    """A field that is linear neither in place nor in time."""
    a, b = ops.float(rng.normal(size=(D, D))), ops.float(rng.normal(size=(D, D)))
    return lambda z, t: ops.np.tanh(z @ a.T + t) @ b.T


# Linear fields.


def test_the_reference_of_the_exponential(rng: np.random.Generator) -> None:
    basis = rng.normal(size=(D, D))
    rates = np.array([-3.0, 0.5, 2.0])
    wanted = basis @ np.diag(np.exp(rates)) @ np.linalg.inv(basis)
    found = exponential(basis @ np.diag(rates) @ np.linalg.inv(basis))
    np.testing.assert_allclose(found, wanted, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("solver", "tolerance", "error"), [("dopri5", 1e-5, 1e-4), ("dopri8", 1e-10, 1e-8)]
)
def test_a_linear_field_has_a_closed_form(
    ops: Any, solver: str, tolerance: float, error: float, rng: np.random.Generator
) -> None:
    """z(T) = exp(A T) x, log det = T tr A; and back, with minus the same."""
    a, x = rng.normal(size=(D, D)), rng.normal(size=(2, N, D))
    field = ops.float(a)
    flow = Continuous(lambda z, t: z @ field.T, None, T, tolerance, solver)
    y, log_det = flow.forward(ops.float(x))
    np.testing.assert_allclose(numbers(y), x @ exponential(T * a).T, atol=error)
    np.testing.assert_allclose(numbers(log_det), np.full((2, N), T * np.trace(a)), atol=1e-9)
    back, home = flow.inverse(y)
    np.testing.assert_allclose(numbers(back), x, atol=10 * error)
    np.testing.assert_allclose(numbers(home), -numbers(log_det), atol=1e-9)


def test_the_noise_of_an_estimate_stays_the_same(ops: Any, rng: np.random.Generator) -> None:
    """Of a linear field the estimate is T e' A e, exactly; every row of noise has its own."""
    a, x = rng.normal(size=(D, D)), rng.normal(size=(N, D))
    field, noise = ops.float(a), rng.normal(size=(2, N, D))
    flow = Continuous(lambda z, t: z @ field.T, ops.float(noise), T)
    y, log_det = flow.forward(ops.float(x))
    assert tuple(y.shape) == (2, N, D)
    wanted = T * ((noise @ a) * noise).sum(-1)
    np.testing.assert_allclose(numbers(log_det), wanted, atol=1e-9)
    np.testing.assert_allclose(numbers(flow.inverse(y)[1]), -wanted, atol=1e-9)


# Other fields.


def test_log_determinants_are_those_of_the_jacobian(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchdiffeq")
    field = bent(hosts.load("pyro").OPS, rng)
    flow = Continuous(field, None, T, 1e-11, "dopri8")
    for _ in range(3):
        x = torch.as_tensor(rng.normal(size=D))
        y, log_det = flow.forward(x)
        jacobian = torch.autograd.functional.jacobian(lambda v: flow.forward(v)[0], x)
        wanted = np.linalg.slogdet(jacobian.numpy())[1]
        np.testing.assert_allclose(numbers(log_det), wanted, atol=1e-8)
        back, home = flow.inverse(y)
        np.testing.assert_allclose(numbers(back), numbers(x), atol=1e-8)
        np.testing.assert_allclose(numbers(home), -wanted, atol=1e-8)


def test_hosts_agree(rng: np.random.Generator) -> None:
    x, seen = rng.normal(size=(N, D)), []
    for host, package in PACKAGES.items():
        pytest.importorskip(package)
        ops = hosts.load(host).OPS
        flow = Continuous(bent(ops, np.random.default_rng(4)), None, T, 1e-10, "dopri8")
        seen.append([numbers(part) for part in flow.forward(ops.float(x))])
    for one, two in zip(*seen, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-9)


def test_a_smaller_tolerance_is_nearer(ops: Any, rng: np.random.Generator) -> None:
    field, x = bent(ops, rng), ops.float(rng.normal(size=(N, D)))
    best, _ = Continuous(field, None, T, 1e-11, "dopri8").forward(x)
    errors = []
    for tolerance in (1e-3, 1e-5, 1e-7):
        y, _ = Continuous(field, None, T, tolerance).forward(x)
        errors.append(np.abs(numbers(y) - numbers(best)).max())
        assert errors[-1] < 50 * tolerance
    assert errors[0] > errors[1] > errors[2]


def test_the_estimate_has_the_mean_of_the_trace(rng: np.random.Generator) -> None:
    """40,000 estimates of one row; 5 standard errors (a false alarm in 2 million)."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchdiffeq")
    ops, count = hosts.load("pyro").OPS, 40_000
    field, x = bent(ops, rng), torch.as_tensor(rng.normal(size=D))
    wanted = float(numbers(Continuous(field, None, T).forward(x)[1]))
    noise = ops.float(rng.normal(size=(count, D)))
    with torch.no_grad():
        found = numbers(Continuous(field, noise, T).forward(x)[1])
    error = found.std() / count**0.5
    assert abs(found.mean() - wanted) < 5 * error + 1e-4
    assert error < 0.05


# The model.


def test_a_linear_model_is_a_gaussian(ops: Any, host: str, rng: np.random.Generator) -> None:
    """z(T) = E x + A^-1 (E - I) b with E = exp(A T): x is Gaussian."""
    program = ppgm.program(FFJORD(2, (), time=T, tolerance=1e-10, solver="dopri8"), host=host)
    a, b, x = rng.normal(size=(2, 2)), rng.normal(size=2), rng.normal(size=(6, 2))
    weight = np.concatenate([a, np.zeros((2, 1))], axis=1)
    fit = as_fit(program, {"x": x})
    fit = fit._replace(params={"field.layers.0.weight": weight, "field.layers.0.bias": b})
    root = exponential(T * a)
    z = x @ root.T + np.linalg.solve(a, (root - np.eye(2)) @ b)
    wanted = -0.5 * (z**2 + np.log(2 * np.pi)).sum(-1) + T * np.trace(a)
    found = ppgm.evaluate(fit, {"x": x})
    np.testing.assert_allclose(found.log_likelihood, wanted, atol=1e-8)
    assert found.exact is not None
    drawn = ppgm.sample(fit, 20_000)["x"]
    white = drawn @ root.T + np.linalg.solve(a, (root - np.eye(2)) @ b)
    np.testing.assert_allclose(white.mean(0), 0, atol=5 / 20_000**0.5)
    np.testing.assert_allclose(np.cov(white.T), np.eye(2), atol=5 * 1.5 / 20_000**0.5)


def params_of(program: ppgm.Program, x: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    params = hosts.load(program.host).initial(program, {"x": x}, 0)
    return {n: v + 0.4 * rng.normal(size=v.shape) for n, v in params.items()}


def test_the_density_of_the_plane_integrates_to_one(ops: Any, host: str) -> None:
    axis = np.linspace(-9, 9, 150)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    program = ppgm.program(FFJORD(2, (5,), tolerance=1e-7), host=host)
    params = params_of(program, grid[:2])
    density = np.exp(hosts.load(host).log_density(program, params, {"x": grid}, {})["x"][0])
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-4)
    normal = np.exp(-0.5 * (grid**2).sum(-1)) / (2 * np.pi)
    assert np.abs(density - normal).max() > 0.03


def test_the_gradient_is_that_of_the_likelihood(rng: np.random.Generator) -> None:
    pytest.importorskip("pyro")
    pytest.importorskip("torchdiffeq")
    x = rng.normal(size=(3, 2))
    program = ppgm.program(FFJORD(2, (4,), tolerance=1e-10, solver="dopri8"), host="pyro")
    params = params_of(program, x)
    way = {n: rng.normal(size=v.shape) for n, v in params.items()}

    def loss(step: np.ndarray) -> float:
        there = {n: v + step * way[n] for n, v in params.items()}
        return probe(program, there, {"x": x}, ELBO()).loss

    grads = probe(program, params, {"x": x}, ELBO()).grads
    slope = sum((grads[n] * way[n]).sum() for n in grads)
    wanted = differences.gradient(loss, np.zeros(()), step=1e-3)
    assert slope == pytest.approx(float(wanted), rel=1e-7)


def test_the_bound_of_an_estimate_at_its_noise(
    ops: Any, host: str, rng: np.random.Generator
) -> None:
    """The noise has one density in model and guide: what is left is the estimate of log p."""
    x, noise = rng.normal(size=(N, 2)), rng.normal(size=(3, N, 2))
    model = FFJORD(2, (), "hutchinson", tolerance=1e-10, solver="dopri8")
    program = ppgm.program(model, host=host)
    a = rng.normal(size=(2, 2))
    params = {
        "field.layers.0.weight": np.concatenate([a, np.zeros((2, 1))], axis=1),
        "field.layers.0.bias": np.zeros(2),
    }
    got = probe(program, params, {"x": x}, ELBO(3), values={"probe": noise})
    z = x @ exponential(a).T
    trace = ((noise @ a) * noise).sum(-1)
    wanted = -0.5 * (z**2 + np.log(2 * np.pi)).sum(-1) + trace
    assert got.metrics["bound"] == pytest.approx(wanted.mean(), abs=1e-8)


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_a_continuous_flow_is_trained_evaluated_and_saved(
    ops: Any, host: str, trace: Any, tmp_path: Any
) -> None:
    x = np.random.default_rng(0).normal(size=(40, 2)) * np.array([0.3, 1.5]) + 1
    program = ppgm.program(FFJORD(2, (6,), trace), host=host)
    fit = ppgm.fit(
        program, {"x": x}, ELBO(), epochs=15, batch_size=20, progress=False,
        optimiser=ppgm.optimisers.Adam(0.05),
    )  # fmt: skip
    assert fit.history["bound"][-1] > fit.history["bound"][0] + 0.3
    exact = ppgm.program(replace(program.declaration, trace="exact"), host=host)
    found = ppgm.evaluate(fit._replace(program=exact), {"x": x})
    assert found.exact is not None
    assert abs(found.mean - fit.history["bound"][-1]) < 1.0
    drawn = ppgm.sample(fit, 5)
    assert set(drawn) == ({"x"} if trace == "exact" else {"x", "probe"})
    assert np.isfinite(drawn["x"]).all()
    fit.save(tmp_path / "run")
    again = ppgm.load(tmp_path / "run")
    assert again.program.declaration == program.declaration
    np.testing.assert_array_equal(ppgm.sample(again, 5)["x"], drawn["x"])


# What is refused.


def test_an_estimate_of_the_trace_is_no_density(ops: Any, host: str) -> None:
    """exp of an unbiased estimate of log p(x) is too large on average."""
    data = {"x": np.zeros((3, 2))}
    program = ppgm.program(FFJORD(2, (3,), "hutchinson"), host=host)
    words = r"'probe' is the noise of an unbiased estimate .* {} would be above .*trace='exact'"
    with pytest.raises(EstimatorError, match=words.format("evaluate")):
        ppgm.evaluate(program, data)
    with pytest.raises(EstimatorError, match=words.format("Importance")):
        ppgm.infer(program, data, Importance())
    table = program.sites(data)
    for objective in (IWAE(2), Renyi(0.5, particles=3), VIMCO(2), RWS(2)):
        with pytest.raises(EstimatorError, match=words.format(r"\w+ of \d draws")):
            objective.check(table)
    with pytest.raises(EstimatorError, match=r"use ELBO$"):
        check_legal(IWAE(2), table)
    for objective in (ELBO(), ELBO(4), STL(2), IWAE(1)):
        objective.check(table)
    IWAE(2).check(ppgm.program(FFJORD(2, (3,)), host=host).sites(data))


def test_continuous_maps_need_derivatives_and_a_solver(
    ops: Any, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    flow = Continuous(lambda z, t: z)
    with pytest.raises(ArgumentError, match="arrays of torch or of jax"):
        flow.forward(rng.normal(size=(2, 2)))
    monkeypatch.setattr("ppgm.transforms.continuous.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ppgm\[flows\]'"):
        flow.forward(ops.float(np.zeros((2, 2))))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FFJORD(0), "features must be an integer"),
        (lambda: FFJORD(2, trace="hutchison"), "did you mean 'hutchinson'"),
        (lambda: FFJORD(2, solver="rk4"), "solver must be one of 'dopri5'"),
        (lambda: FFJORD(2, time=0.0), "time must be a number above 0"),
        (lambda: FFJORD(2, tolerance=-1e-5), "tolerance must be a number above 0"),
        (lambda: FFJORD(2, activation="sine"), "'activation' must be one of"),
    ],
)
def test_options_are_checked(make: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make()
