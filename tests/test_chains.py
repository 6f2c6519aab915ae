"""Markov chains as one site: densities of paths, on three array libraries."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ppgm.chains import MarkovChain
from ppgm.distributions_normal import DiagonalNormal, TriangularNormal
from ppgm.errors import ModelError
from ppgm.guides.smoothers import Combiner, Heads
from ppgm.ops import Array, ops_of

T, D, N, K = 4, 2, 3, 2
LENGTHS = np.array([4, 2, 1])
MASK = np.arange(T) < LENGTHS[:, None]
TOLERANCE = 1e-11

pytestmark = pytest.mark.usefixtures("f64")


def to_numpy(x: np.ndarray) -> np.ndarray:
    return x


def to_torch(x: np.ndarray) -> Any:
    return pytest.importorskip("torch").as_tensor(x)


def to_jax(x: np.ndarray) -> Any:
    return pytest.importorskip("jax").numpy.asarray(x)


every_library = pytest.mark.parametrize(
    "to", [to_numpy, to_torch, to_jax], ids=["numpy", "torch", "jax"]
)


@dataclass(frozen=True)
class Bent:
    """A step that is not linear, whose scale moves too."""

    weight: Array
    root: Array | None = None

    def __call__(self, z: Array, u: Array) -> Any:
        xp = ops_of(z).np
        loc = xp.tanh(z @ self.weight) + u[..., :D]
        if self.root is not None:
            return TriangularNormal(loc, self.root)
        return DiagonalNormal(loc, 0.5 + ops_of(z).sigmoid(z + u[..., D:]))


def chain(
    to: Callable[[np.ndarray], Any], mask: np.ndarray | None = None, *, dense: bool = False
) -> MarkovChain:
    rng = np.random.default_rng(1)
    weight, root = rng.normal(size=(D, D)), np.array([[0.7, 0.0], [-1.1, 1.3]])
    first = DiagonalNormal(to(rng.normal(size=D)), to(np.array([0.6, 1.4])))
    u = rng.normal(size=(N, T, 2 * D))
    step = Bent(to(weight), to(root) if dense else None)
    return MarkovChain(first, step, T, (to(u),), None if mask is None else to(mask))


@every_library
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_density_of_a_draw_is_that_of_its_noise(
    to: Any, dense: bool, masked: bool, rng: np.random.Generator
) -> None:  # fmt: skip
    """log p(z) = log N(e) - log |det dz/de|, with the derivative by differences in numpy."""
    noise = rng.normal(size=(K, N, T, D))
    mask = MASK if masked else None
    path, log_p = (np.asarray(a) for a in chain(to, mask, dense=dense).push(to(noise)))
    again = np.asarray(chain(to, mask, dense=dense).log_prob(to(path)))
    np.testing.assert_allclose(again, log_p, atol=TOLERANCE)
    assert path.shape == noise.shape
    assert log_p.shape == (K, N)

    reference = chain(to_numpy, mask, dense=dense)
    jacobian = np.empty((K, N, T * D, T * D))
    for i, shift in enumerate(1e-6 * np.eye(T * D).reshape(-1, T, D)):
        up, down = (reference.push(noise + s)[0] for s in (shift, -shift))
        jacobian[..., i] = (up - down).reshape(K, N, -1) / 2e-6
    wanted = -0.5 * (noise**2).sum((-1, -2)) - 0.5 * T * D * np.log(2 * np.pi)
    np.testing.assert_allclose(log_p, wanted - np.linalg.slogdet(jacobian)[1], atol=1e-7)


@every_library
def test_steps_after_the_end_change_nothing_before_it(to: Any, rng: np.random.Generator) -> None:
    noise = rng.normal(size=(N, T, D))
    path, log_p = (np.asarray(a) for a in chain(to, MASK).push(to(noise)))
    whole = np.asarray(chain(to).push(to(noise))[0])
    np.testing.assert_allclose(path[MASK], whole[MASK], atol=TOLERANCE)
    np.testing.assert_array_equal(path[~MASK], noise[~MASK])

    padding = np.where(MASK[..., None], 0.0, noise**2 + np.log(2 * np.pi))
    for n, length in enumerate(LENGTHS):
        full = chain(to)
        cut = MarkovChain(full.first, full.step, int(length), (full.inputs[0][n, :length],))
        alone = np.asarray(cut.log_prob(to(path[n, :length])))
        np.testing.assert_allclose(log_p[n] + padding[n].sum() / 2, alone, atol=TOLERANCE)


@every_library
def test_shapes_are_those_of_the_parts(to: Any) -> None:
    made = chain(to, MASK)
    assert (made.batch_shape, made.event_shape) == ((N,), (T, D))
    alone = MarkovChain(made.first, lambda z: DiagonalNormal(z, to(np.ones(D))), T)
    assert alone.batch_shape == ()
    path, log_p = alone.push(to(np.zeros((5, T, D))))
    assert (tuple(path.shape), tuple(log_p.shape)) == ((5, T, D), (5,))


def test_the_first_input_is_not_used(rng: np.random.Generator) -> None:
    made, noise = chain(to_numpy), rng.normal(size=(N, T, D))
    other = made.inputs[0].copy()
    other[:, 0] += 1
    moved = MarkovChain(made.first, made.step, T, (other,))
    np.testing.assert_array_equal(moved.push(noise)[0], made.push(noise)[0])
    np.testing.assert_array_equal(moved.log_prob(noise), made.log_prob(noise))


@pytest.mark.parametrize(
    ("inputs", "mask", "words"),
    [
        ((np.zeros((N, T + 1, D)),), None, r"inputs must have the shape \(\*, T, n\) with T = 4"),
        ((np.zeros(T),), None, "inputs must have"),
        ((), np.ones((N, T - 1), bool), r"mask must have the shape \(\*, T\)"),
    ],
)
def test_arrays_of_another_length_are_refused(inputs: Any, mask: Any, words: str) -> None:
    first = DiagonalNormal(np.zeros(D), np.ones(D))
    with pytest.raises(ModelError, match=words):
        MarkovChain(first, DiagonalNormal, T, inputs, mask)


@every_library
def test_normals_are_those_of_the_dense_covariance(to: Any, rng: np.random.Generator) -> None:
    root = np.tril(rng.normal(size=(N, D, D)), -1) + np.eye(D) * rng.uniform(0.5, 2, (N, 1, D))
    loc, noise = rng.normal(size=(N, D)), rng.normal(size=(K, N, D))
    scale = rng.uniform(0.5, 2, (N, D))
    for made, factor in (
        (TriangularNormal(to(loc), to(root)), root),
        (DiagonalNormal(to(loc), to(scale)), np.eye(D) * scale[:, None]),
    ):
        value, log_p = (np.asarray(a) for a in made.push(to(noise)))
        deviation = np.einsum("nij,knj->kni", factor, noise)
        np.testing.assert_allclose(value, loc + deviation, atol=TOLERANCE)
        covariance = factor @ factor.swapaxes(-1, -2)
        square = np.einsum("kni,nij,knj->kn", deviation, np.linalg.inv(covariance), deviation)
        wanted = -0.5 * (square + np.linalg.slogdet(2 * np.pi * covariance)[1])
        np.testing.assert_allclose(log_p, wanted, atol=TOLERANCE)
        np.testing.assert_allclose(np.asarray(made.log_prob(to(value))), wanted, atol=TOLERANCE)


# The step of a structured guide has a loop, and a way back, of its own.


class Slow(Combiner):
    """The same step, by the loop of all steps."""

    def in_turn(self, *args: Any) -> None:
        """Knows no fast way."""


def value_and_grads(library: str, fn: Any, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """A function of arrays of a library that sums to a number, and its gradients."""
    if library == "torch":
        torch = pytest.importorskip("torch")
        leaves = [torch.as_tensor(a).requires_grad_() for a in arrays]
        found = fn(*leaves)
        found.backward()
        return [found.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]
    jax = pytest.importorskip("jax")
    value, grads = jax.jit(jax.value_and_grad(fn, argnums=range(len(arrays))))(*arrays)
    return [np.asarray(a) for a in (value, *grads)]


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("lead", [(N,), (K, N)])
@pytest.mark.parametrize("masked", [False, True])
def test_the_fast_loop_of_a_guide_is_the_slow_one(
    library: str, lead: tuple[int, ...], masked: bool, rng: np.random.Generator
) -> None:  # fmt: skip
    to = to_torch if library == "torch" else to_jax
    shapes = ((D, 3), (3,), (3, 2 * D), (D,), (N, T, 2 * D), (*lead, T, D))
    arrays = [rng.normal(size=shape) for shape in shapes]
    by_path, by_log_p = to(rng.normal(size=(*lead, T, D))), to(rng.normal(size=lead))
    mask = to(MASK) if masked else None

    def run(kind: type[Combiner]) -> list[np.ndarray]:
        def total(*args: Any) -> Any:
            inward, bias, outward, z, read, noise = args
            step = kind(inward, bias, outward, Heads(None, D))
            chain = MarkovChain(step(z, read[:, 0]), step, T, (read,), mask)
            path, log_p = chain.push(noise)
            return (path * by_path).sum() + (log_p * by_log_p).sum()

        return value_and_grads(library, total, arrays)

    for fast, slow in zip(run(Combiner), run(Slow), strict=True):
        np.testing.assert_allclose(fast, slow, atol=TOLERANCE)
