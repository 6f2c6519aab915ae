"""Linear-Gaussian state-space models on both hosts: every weight is the Kalman likelihood."""

from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError, DataError
from ppgm.inference import ELBO, IWAE
from ppgm.models import LinearGaussianSSM
from ppgm.probes import probe
from ppgm.state_spaces import StateSpace
from ppgm.testing import differences, kalman
from ppgm.testing.contract import Check, parametrize_with_checks
from ppgm.testing.kalman_smoother import forward_conditional, smoothed

N, T, D, L, U = 3, 8, 3, 2, 2
TOLERANCE = 1e-9
KINDS = ("all seen", "steps missing", "entries missing", "unequal lengths", "all of it")

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")
# NumPyro compiles every kind anew, and the contract compares it with Pyro.
every_kind = pytest.mark.parametrize(
    ("host", "kind"),
    [
        *(("pyro", kind) for kind in KINDS),
        ("numpyro", "entries missing"),
        ("numpyro", "all of it"),
    ],
)


def declaration(kind: str) -> LinearGaussianSSM:
    """Diagonal covariances for half of the kinds, full ones and inputs for the others."""
    if kind in ("all seen", "entries missing"):
        return LinearGaussianSSM(D, L)
    return LinearGaussianSSM(D, L, inputs=U, noise="full", error="full")


def sequences(kind: str, rng: np.random.Generator, steps: int = T) -> dict[str, np.ndarray]:
    data: dict[str, np.ndarray] = {"x": rng.normal(size=(N, steps, D)) * 2}
    if kind in ("entries missing", "all of it"):
        data["mask"] = rng.random((N, steps, D)) < 0.6
    if kind == "steps missing":
        data["mask"] = (rng.random((N, steps)) < 0.6).astype(float)
    if kind in ("unequal lengths", "all of it"):
        data["lengths"] = np.array([steps, 1, 5])
    if declaration(kind).inputs:
        data["u"] = rng.normal(size=(N, steps, U))
    return data


def random(program: ppgm.Program, data: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    params = hosts.load(program.host).initial(program, data, 0)
    params = {n: rng.normal(size=v.shape) * 0.7 for n, v in params.items()}
    return {n: np.exp(v) if n.endswith("_scale") else v for n, v in params.items()}


@every_kind
def test_every_weight_is_the_kalman_likelihood(
    host: str, kind: str, rng: np.random.Generator
) -> None:
    model, data = declaration(kind), sequences(kind, rng)
    program = ppgm.program(model, host=host)
    params = random(program, data, rng)
    wanted = model.log_likelihood(params, **data)
    noise = {"z": rng.normal(size=(3, N, T, L)) * 2}
    got = probe(program, params, data, IWAE(3), noise=noise)
    assert got.metrics["bound"] == pytest.approx(wanted.mean(), abs=TOLERANCE)


@pytest.mark.parametrize(
    ("host", "kind"),
    [("pyro", "entries missing"), ("pyro", "all of it"), ("numpyro", "all of it")],
)
def test_the_elbo_has_the_gradient_of_the_likelihood(
    host: str, kind: str, rng: np.random.Generator
) -> None:
    model, data = declaration(kind), sequences(kind, rng, steps=5)
    program = ppgm.program(model, host=host)
    params = random(program, data, rng)
    got = probe(program, params, data, ELBO(), noise={"z": rng.normal(size=(1, N, 5, L))})
    assert got.grads.keys() == params.keys()
    for name, value in params.items():
        positive = name.endswith("_scale")

        def mean(v: np.ndarray, name: str = name, positive: bool = positive) -> float:  # noqa: FBT001
            given = params | {name: np.exp(v) if positive else v}
            return float(model.log_likelihood(given, **data).mean())

        wanted = -differences.gradient(mean, np.log(value) if positive else value)
        np.testing.assert_allclose(got.grads[name], wanted, atol=1e-8, err_msg=name)


@every_kind
def test_densities_are_those_of_the_reference(
    host: str, kind: str, rng: np.random.Generator
) -> None:
    """Model and guide apart, at any path; what is missing counts nothing."""
    model, data = declaration(kind), sequences(kind, rng)
    program = ppgm.program(model, host=host)
    params = random(program, data, rng)
    z = rng.normal(size=(1, N, T, L))
    exact = model.exact_model(params)
    series = kalman.Series(data["x"], data.get("mask"), data.get("lengths"), data.get("u"))
    counted = kalman.alive(series)
    padding = (-0.5 * (z[0] ** 2 + np.log(2 * np.pi)) * ~counted[..., None]).sum((1, 2))

    densities = hosts.load(host).log_density
    model_side = densities(program, params, data, {"z": z}, "model")
    found = model_side["z"][0] + model_side["x"][0] - padding
    np.testing.assert_allclose(found, kalman.log_joint(series, z[0], exact), atol=TOLERANCE)

    chain = forward_conditional(smoothed(kalman.filtered(series, exact), exact))
    before = np.concatenate([np.zeros((N, 1, L)), z[0, :, :-1]], 1)
    gap = z[0] - (chain.gain @ before[..., None])[..., 0] - chain.shift
    solved = np.linalg.solve(chain.covariance, gap[..., None])[..., 0]
    log_det = np.linalg.slogdet(2 * np.pi * chain.covariance)[1]
    log_q = np.where(counted, -0.5 * ((gap * solved).sum(-1) + log_det), 0).sum(1)
    found = densities(program, params, data, {"z": z}, "guide")["z"][0] - padding
    np.testing.assert_allclose(found, log_q, atol=TOLERANCE)


def test_padding_and_missing_values_change_nothing(host: str, rng: np.random.Generator) -> None:
    """More padding, other padding, and other numbers where nothing was seen."""
    model, data = declaration("all of it"), sequences("all of it", rng)
    program = ppgm.program(model, host=host)
    params = random(program, data, rng)
    other = {
        name: np.concatenate([value, rng.random((N, 3, *value.shape[2:])) < 0.5], 1)
        for name, value in data.items()
        if value.ndim > 1
    } | {"lengths": data["lengths"]}
    seen = other["mask"] & (np.arange(T + 3) < data["lengths"][:, None])[..., None]
    other["x"] = np.where(seen, other["x"], 7.0)
    found = []
    for case in (data, other):
        noise = {"z": rng.normal(size=(1, N, case["x"].shape[1], L))}
        found.append(probe(program, params, case, ELBO(), noise=noise))
    assert found[0].loss == pytest.approx(found[1].loss, abs=TOLERANCE)
    for name, grad in found[0].grads.items():
        np.testing.assert_allclose(found[1].grads[name], grad, atol=TOLERANCE, err_msg=name)


def test_a_draw_of_the_model_follows_its_equations(host: str, rng: np.random.Generator) -> None:
    """Without noise in states and data, a sequence is what the recursion says."""
    model = LinearGaussianSSM(D, L, inputs=U, noise="full", steps=4)
    data = {"x": np.zeros((2, 4, D)), "u": rng.normal(size=(2, 4, U))}
    program = ppgm.program(model, host=host)
    params = random(program, data, rng)
    params |= {n: np.full_like(v, 1e-12) for n, v in params.items() if n.endswith("_scale")}
    drawn = hosts.load(host).sample(program, "model", params, data, 1, 0)
    z = [np.tile(params["initial"], (2, 1))]
    for t in range(1, 4):
        drift = params["drift"] + data["u"][:, t] @ params["control"].T
        z.append(z[-1] @ params["transition"].T + drift)
    path = np.stack(z, 1)
    np.testing.assert_allclose(drawn["z"][0], path, atol=TOLERANCE)
    x = path @ params["emission"].T + params["offset"]
    np.testing.assert_allclose(drawn["x"][0], x, atol=TOLERANCE)


def test_draws_need_no_data(host: str) -> None:
    program = ppgm.program(LinearGaussianSSM(D, L, steps=6), host=host)
    data = {"x": np.zeros((4, 9, D))}
    fit = ppgm.fit(program, data, ELBO(), steps=1, progress=False)
    drawn = ppgm.sample(fit, 5)
    assert drawn["x"].shape == (5, 6, D)
    assert drawn["z"].shape == (5, 6, L)


def test_evaluate_knows_the_exact_value(host: str, rng: np.random.Generator) -> None:
    data = sequences("entries missing", rng)
    program = ppgm.program(declaration("entries missing"), host=host)
    found = ppgm.evaluate(program, data, particles=30)
    assert found.exact is not None
    np.testing.assert_allclose(found.log_likelihood, found.exact, atol=TOLERANCE)


def test_answers_are_those_of_the_reference(rng: np.random.Generator) -> None:
    model, data = declaration("all of it"), sequences("all of it", rng)
    program = ppgm.program(model, host="pyro")
    pytest.importorskip("pyro")
    params, exact = random(program, data, rng), None
    exact = model.exact_model(params)
    np.testing.assert_allclose(exact.noise, exact.noise.T, atol=0)
    series = kalman.Series(data["x"], data["mask"], data["lengths"], data["u"])
    past, ahead = kalman.filtered(series, exact), rng.normal(size=(N, 2, U))
    forecast = kalman.forecast(past, exact, 2, lengths=data["lengths"], u=ahead)
    for found, wanted in (
        (model.filter(params, **data), past),
        (model.smooth(params, **data), smoothed(past, exact)),
        (model.forecast(params, data["x"], 2, **_rest(data), ahead=ahead), forecast),
    ):
        for one, two in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, two)


def _rest(data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: v for n, v in data.items() if n != "x"}


def test_it_is_a_state_space() -> None:
    assert isinstance(LinearGaussianSSM(D, L), StateSpace)


@pytest.mark.slow
@parametrize_with_checks(
    [
        (LinearGaussianSSM(D, L, noise="full", error="full"), {"x": np.ones((3, 4, D))}),
        (declaration("all of it"), sequences("all of it", np.random.default_rng(0))),
        (LinearGaussianSSM(D, 1), {"x": np.arange(6.0 * D).reshape(2, 3, D)}),
    ]
)
def test_other_forms_keep_the_contract(check: Check) -> None:
    check.run()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"features": 0}, "features must be an integer"),
        ({"inputs": -1}, "inputs must be an integer of at least 0"),
        ({"noise": "low rank"}, "noise must be one of 'diagonal', 'full'"),
        ({"error": None}, "error must be one of"),
        ({"steps": 0}, "steps must be"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    options = {"features": D} | options
    with pytest.raises(ArgumentError, match=words):
        LinearGaussianSSM(**options)


X = np.zeros((N, T, D))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"x": X[0]}, r"data\['x'\] must have the shape \(N, T, 3\)"),
        ({"x": X[..., :2]}, "must have the shape"),
        ({"x": X, "u": np.zeros((N, T, 1))}, r"no 'u' \(inputs=0\)"),
        ({"x": X, "mask": np.ones((N, T + 1))}, r"data\['mask'\] must have the shape \(3, 8\)"),
        ({"x": X, "lengths": np.array([8, 8])}, r"data\['lengths'\] must have the shape \(3,\)"),
        ({"x": X, "lengths": np.array([8, 9, 1])}, "1 to 8 steps; row 1 has 9"),
        ({"x": X, "lengths": np.array([8, 3, 0])}, "row 2 has 0"),
    ],
)
def test_data_of_other_shapes_are_refused(data: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(DataError, match=words):
        LinearGaussianSSM(D, L).check_data(data)


def test_inputs_are_needed_where_they_are_declared() -> None:
    with pytest.raises(DataError, match="need 'u'"):
        LinearGaussianSSM(D, L, inputs=U).check_data({"x": X})
    with pytest.raises(DataError, match=r"the shape \(3, 8, 2\)"):
        LinearGaussianSSM(D, L, inputs=U).check_data({"x": X, "u": np.zeros((N, T, 1))})
