"""Invertible maps: log determinants by autodiff, round trips, gradients of inverses."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from ppgm.distributions_normal import DiagonalNormal
from ppgm.errors import ArgumentError
from ppgm.nets import MADE, MLP
from ppgm.testing import differences
from ppgm.transforms import (
    Affine,
    Autoregressive,
    Chain,
    Coupling,
    Flow,
    Gated,
    Householder,
    Inverse,
    Permutation,
    Planar,
    Radial,
    Spline,
    Sylvester,
    Transform,
    masked_autoregressive,
)
from ppgm.transforms.leading import Leading
from ppgm.transforms.mixing import Mixing, factors_of
from ppgm.transforms.normalisation import ActNorm
from ppgm.transforms.scalar import solve

D, C, N = 3, 2, 4
TOLERANCE = 1e-9
LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")

Arrays = dict[str, Any]


class Case(NamedTuple):
    """A map: shapes of its parameters for one row, and how to make it of them and a library."""

    shapes: dict[str, tuple[int, ...]]
    make: Callable[[Arrays, Any], Transform]


def _sylvester(p: Arrays, lib: Any, *, turned: bool) -> Transform:
    xp = lib.np
    eye = lib.array(np.eye(D))
    a, b = (xp.triu(p[n], k=1) for n in ("a", "b"))
    diagonal = (xp.tanh(p[n])[..., None] * eye for n in ("p", "q"))
    a, b = (m + d for m, d in zip((a, b), diagonal, strict=True))
    turn = Chain((Householder(p["v"]), Householder(p["u"]))) if turned else Permutation()
    return Sylvester(a, b, p["shift"], turn)


SYLVESTER = {"a": (D, D), "b": (D, D), "p": (D,), "q": (D,), "shift": (D,)}
AHEAD, BACK, MIXED = (0, 1, 2), (2, 1, 0), (1, 2, 0)


def _made(
    order: tuple[int, ...], *, context: int = C, hidden: tuple[int, ...] = (5,), outputs: int = 2
) -> MADE:
    return MADE(D, hidden, outputs, context=context, order=order)


def _mixing(lib: Any) -> Mixing:
    parts = factors_of(np.random.default_rng(0).normal(size=(D, D)))
    return Mixing(parts.order, parts.sign, *map(lib.array, parts[2:]))


CASES = {
    "planar": Case({"u": (D,), "w": (D,), "b": ()}, lambda p, lib: Planar(**p)),
    "radial": Case(
        {"centre": (D,), "width": (), "strength": ()}, lambda p, lib: Radial(**p)
    ),
    "householder": Case({"v": (D,)}, lambda p, lib: Householder(**p)),
    "sylvester": Case(
        SYLVESTER | {"v": (D,), "u": (D,)}, partial(_sylvester, turned=True)
    ),
    "triangular sylvester": Case(SYLVESTER, partial(_sylvester, turned=False)),
    "permutation": Case({}, lambda p, lib: Permutation(MIXED)),
    "affine": Case({"raw": (D, 2)}, lambda p, lib: Affine(p["raw"], 0.7)),
    "gated": Case({"raw": (D, 2)}, lambda p, lib: Gated(**p)),
    "coupling": Case(
        {"c": (C,)},
        lambda p, lib: Coupling(lib.net(MLP(1 + C, (5,), 4)), Affine, context=p["c"]),
    ),
    "coupling, flipped": Case(
        {}, lambda p, lib: Coupling(lib.net(MLP(2, (5,), 2)), Affine, flip=True)
    ),
    "iaf": Case(
        {"c": (C,)}, lambda p, lib: Autoregressive(lib.net(_made(BACK)), Gated, BACK, p["c"])
    ),
    "maf": Case(
        {"c": (C,)},
        lambda p, lib: masked_autoregressive(lib.net(_made(MIXED)), Affine, MIXED, p["c"]),
    ),
    "iaf, affine and linear": Case(
        {},
        lambda p, lib: Autoregressive(
            lib.net(_made(AHEAD, context=0, hidden=())), Affine, AHEAD
        ),
    ),
    "spline": Case({"raw": (D, 11)}, lambda p, lib: Spline(p["raw"], 2.5)),
    "spline coupling": Case(
        {"c": (C,)},
        lambda p, lib: Coupling(
            lib.net(MLP(1 + C, (5,), 22)), partial(Spline, bound=2.5), context=p["c"]
        ),
    ),
    "spline autoregressive": Case(
        {"c": (C,)},
        lambda p, lib: Autoregressive(
            lib.net(_made(MIXED, outputs=11)), partial(Spline, bound=2.5), MIXED, p["c"]
        ),
    ),
    "normalisation": Case({"shift": (D,), "log_scale": (D,)}, lambda p, lib: ActNorm(**p)),
    "mixing": Case({}, lambda p, lib: _mixing(lib)),
    "leading": Case({"u": (2,), "w": (2,), "b": ()}, lambda p, lib: Leading(Planar(**p), 2)),
    "inverse": Case({"u": (D,), "w": (D,), "b": ()}, lambda p, lib: Inverse(Planar(**p))),
    "chain": Case(
        {"u": (D,), "w": (D,), "b": (), "c": (C,), "raw": (D, 2)},
        lambda p, lib: Chain((
            Planar(p["u"], p["w"], p["b"]),
            Permutation(MIXED),
            Autoregressive(lib.net(_made(AHEAD)), Gated, AHEAD, p["c"]),
            Affine(p["raw"]),
        )),
    ),
}  # fmt: skip
every_case = pytest.mark.parametrize("name", CASES)


class Torch:
    name = "pyro"

    def __init__(self) -> None:
        torch = pytest.importorskip("torch")
        from ppgm.host_pyro_ops import OPS

        self.torch, self.np = torch, OPS.np

    def array(self, x: Any) -> Any:
        return self.torch.as_tensor(np.asarray(x))

    def net(self, spec: Any) -> Any:
        from ppgm.nets_torch import build

        return build(spec, spec.initial(1, "net"), self.torch.float64)

    def jit(self, fn: Any) -> Any:
        return fn

    def jacobian(self, fn: Any, x: Any) -> Any:
        return self.torch.autograd.functional.jacobian(fn, x, vectorize=False)

    def grads(self, fn: Any, arrays: Arrays) -> Arrays:
        leaves = {n: v.clone().requires_grad_() for n, v in arrays.items()}
        fn(leaves).backward()
        return {n: v.grad.numpy() for n, v in leaves.items()}


class Jax:
    name = "numpyro"

    def __init__(self) -> None:
        self.jax = pytest.importorskip("jax")
        from ppgm.host_numpyro_ops import OPS

        self.np = OPS.np

    def array(self, x: Any) -> Any:
        return self.np.asarray(x)

    def net(self, spec: Any) -> Any:
        from ppgm.nets_equinox import build

        return build(spec, spec.initial(1, "net"), "float64")

    def jit(self, fn: Any) -> Any:
        return self.jax.jit(fn)

    def jacobian(self, fn: Any, x: Any) -> Any:
        return self.jax.jacrev(fn)(x)

    def grads(self, fn: Any, arrays: Arrays) -> Arrays:
        return {n: np.asarray(v) for n, v in self.jax.jit(self.jax.grad(fn))(arrays).items()}


@pytest.fixture
def lib(host: str) -> Any:
    return {"pyro": Torch, "numpyro": Jax}[host]()


def parameters(name: str, rng: np.random.Generator, batch: tuple[int, ...] = ()) -> Arrays:
    return {n: rng.normal(size=(*batch, *s)) * 1.5 for n, s in CASES[name].shapes.items()}


def made(name: str, params: Arrays, lib: Any) -> Transform:
    return CASES[name].make({n: lib.array(v) for n, v in params.items()}, lib)


def numbers(array: Any) -> np.ndarray:
    return np.asarray(array.detach() if hasattr(array, "detach") else array)


@every_case
def test_log_determinants_are_those_of_the_jacobian(
    lib: Any, name: str, rng: np.random.Generator
) -> None:
    """Both ways, by autodiff through both; and back where it came from."""
    for _ in range(2):
        params, x = parameters(name, rng), lib.array(rng.normal(size=D) * 2)

        def everything(x: Any, params: Arrays = params) -> Any:
            t = made(name, params, lib)
            y, there = t.forward(x)
            back, home = t.inverse(y)
            jacobians = (lib.jacobian(lambda v: t.forward(v)[0], x),
                         lib.jacobian(lambda v: t.inverse(v)[0], y))  # fmt: skip
            return y, there, back, home, jacobians

        y, there, back, home, (forward, inverse) = lib.jit(everything)(x)
        np.testing.assert_allclose(numbers(back), numbers(x), atol=TOLERANCE)
        assert numbers(there).shape == numbers(home).shape == ()
        for log_det, jacobian in ((there, forward), (home, inverse)):
            wanted = np.linalg.slogdet(numbers(jacobian))[1]
            np.testing.assert_allclose(numbers(log_det), wanted, atol=TOLERANCE)
        np.testing.assert_allclose(numbers(forward) @ numbers(inverse), np.eye(D), atol=1e-8)


@every_case
def test_rows_with_contexts_of_their_own(lib: Any, name: str, rng: np.random.Generator) -> None:
    """Draws ``(2, N, D)`` of rows with parameters ``(N, ...)``: each as by itself."""
    params, x = parameters(name, rng, (N,)), rng.normal(size=(2, N, D))

    def both(x: Any, params: Arrays) -> tuple[Any, ...]:
        t = CASES[name].make(params, lib)
        y, there = t.forward(x)
        back, home = t.inverse(y)
        rows = lib.np.zeros_like(x[..., 0])
        return y, there + rows, back, home + rows

    call = lib.jit(both)
    whole = call(lib.array(x), {n: lib.array(v) for n, v in params.items()})
    np.testing.assert_allclose(numbers(whole[2]), x, atol=TOLERANCE)
    np.testing.assert_allclose(numbers(whole[3]), -numbers(whole[1]), atol=TOLERANCE)
    assert numbers(whole[1]).shape == (2, N)
    for n in range(N):
        mine = {k: lib.array(v[n]) for k, v in params.items()}
        y, log_det, *_ = call(lib.array(x[:, n]), mine)
        np.testing.assert_allclose(numbers(whole[0])[:, n], numbers(y), atol=1e-12)
        np.testing.assert_allclose(numbers(whole[1])[:, n], numbers(log_det), atol=1e-12)
    # fewer axes than the parameters have: one value for all rows
    y, _, back, home = call(lib.array(x[0, 0]), {n: lib.array(v) for n, v in params.items()})
    if params:
        np.testing.assert_allclose(numbers(y)[0], numbers(whole[0])[0, 0], atol=1e-12)


@every_case
def test_the_inverse_has_the_gradient_of_an_inverse(
    lib: Any, name: str, rng: np.random.Generator
) -> None:
    """In the value and in every parameter, against differences along some direction."""
    point = parameters(name, rng) | {"y": rng.normal(size=D)}
    v = rng.normal(size=D)

    def scalar(arrays: Arrays) -> Any:
        rest = {n: a for n, a in arrays.items() if n != "y"}
        x, log_det = CASES[name].make(rest, lib).inverse(arrays["y"])
        return (x * lib.array(v)).sum() + log_det.sum()

    grads = lib.grads(scalar, {n: lib.array(a) for n, a in point.items()})
    value = lib.jit(scalar)
    for key, found in grads.items():
        way = rng.normal(size=point[key].shape)

        def moved(step: np.ndarray, key: str = key, way: np.ndarray = way) -> float:
            arrays = point | {key: point[key] + step * way}
            return float(numbers(value({n: lib.array(a) for n, a in arrays.items()})))

        wanted = differences.gradient(moved, np.zeros(()))
        np.testing.assert_allclose((found * way).sum(), wanted, atol=1e-7, err_msg=key)


@pytest.mark.parametrize("name", ["planar", "radial", "householder", "affine", "gated"])
def test_plain_numpy_arrays_will_do(name: str, rng: np.random.Generator) -> None:
    params, x = parameters(name, rng, (N,)), rng.normal(size=(N, D))
    transform = CASES[name].make(params, None)
    y, there = transform.forward(x)
    back, home = transform.inverse(y)
    np.testing.assert_allclose(back, x, atol=TOLERANCE)
    np.testing.assert_allclose(there, -home, atol=TOLERANCE)


@pytest.mark.parametrize("steep", [-1 + 1e-6, -0.9, 0.0, 3.0, 1e3])
def test_the_scalar_equation_is_solved_to_rounding(steep: float, rng: np.random.Generator) -> None:
    s = rng.normal(size=200)
    r, b = steep / s, rng.normal(size=200) * 3
    v = rng.normal(size=200) * 4
    t = v + r * np.tanh(s * v + b)
    found = solve(t, r, s, b)
    error = np.abs(found + r * np.tanh(s * found + b) - t)
    assert (error <= 1e-12 * np.maximum(1, np.abs(t) + np.abs(r))).all()


def test_the_implicit_function_has_second_derivatives_too() -> None:
    torch = pytest.importorskip("torch")
    point = torch.tensor([0.8, -0.7, 1.1, 0.3])

    def root(p: Any) -> Any:
        return solve(*p)

    def gradient(p: np.ndarray, i: int) -> float:
        leaf = torch.as_tensor(p).requires_grad_()
        return float(torch.autograd.grad(root(leaf), leaf)[0][i])

    found = torch.autograd.functional.hessian(root, point)
    for i in range(4):
        wanted = differences.gradient(lambda p, i=i: gradient(p, i), point.numpy())
        np.testing.assert_allclose(found[i], wanted, atol=1e-7)


@pytest.mark.parametrize("name", ["planar", "radial", "affine"])
def test_zeros_are_the_identity(name: str, rng: np.random.Generator) -> None:
    zeros = {n: np.zeros(s) for n, s in CASES[name].shapes.items()}
    for params in (zeros, zeros | {n: rng.normal(size=D) for n in ("w", "centre") if n in zeros}):
        x = rng.normal(size=(5, D))
        y, log_det = CASES[name].make(params, None).forward(x)
        np.testing.assert_allclose(y, x, atol=1e-15)
        np.testing.assert_allclose(log_det, 0, atol=1e-15)


def test_maps_stay_finite_where_a_direction_has_no_length() -> None:
    torch = pytest.importorskip("torch")
    for name, key in (("planar", "w"), ("householder", "v"), ("radial", "centre")):
        params = {n: torch.full(s, 0.3) for n, s in CASES[name].shapes.items()}
        params[key] = torch.zeros(D, requires_grad=True)
        y, log_det = CASES[name].make(params, None).forward(torch.zeros(D))
        (grad,) = torch.autograd.grad(y.sum() + log_det, params[key], allow_unused=True)
        assert torch.isfinite(grad).all()


def test_a_flow_is_its_base_and_the_map(rng: np.random.Generator) -> None:
    base = DiagonalNormal(rng.normal(size=(N, D)), rng.uniform(0.5, 2, size=(N, D)))
    params, noise = parameters("planar", rng, (N,)), rng.normal(size=(2, N, D))
    transform = Planar(**params)
    flow = Flow(base, transform)
    assert (flow.batch_shape, flow.event_shape) == ((N,), (D,))
    x, log_p = base.push(noise)
    y, log_det = transform.forward(x)
    value, log_q = flow.push(noise)
    np.testing.assert_array_equal(value, y)
    np.testing.assert_allclose(log_q, log_p - log_det, atol=1e-14)
    np.testing.assert_allclose(flow.log_prob(value), log_q, atol=TOLERANCE)


def test_a_chain_of_nothing_is_refused() -> None:
    with pytest.raises(ArgumentError, match="at least one map"):
        Chain(())
