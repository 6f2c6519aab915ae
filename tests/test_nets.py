"""Networks: canonical parameters, hand-computed values, and the same numbers on both hosts."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from ppgm.errors import ArgumentError
from ppgm.nets import ACTIVATIONS, MLP, Conv, Deconv, Network

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
eqx = pytest.importorskip("equinox")

from ppgm import nets_equinox, nets_torch  # noqa: E402

SPECS = {
    "affine": MLP(3, (), 2),
    "mlp": MLP(3, (5, 4), 2, activation="softplus"),
    "conv-8x8": Conv((1, 8, 8), (3, 4), 5),
    "conv-28x28": Conv((1, 28, 28), (2, 3), 4, hidden=(6,), activation="silu"),
    "conv-7x10": Conv((2, 7, 10), (3, 2), 5, kernel=4, stride=3),
    "conv-even": Conv((2, 6, 9), (3,), 5, kernel=2, stride=1),
    "deconv-8x8": Deconv(5, (1, 8, 8), (4, 3)),
    "deconv-28x28": Deconv(4, (1, 28, 28), (3, 2), hidden=(6,), activation="silu"),
    "deconv-7x10": Deconv(5, (2, 7, 10), (2, 3), kernel=4, stride=3),
    "deconv-9x5": Deconv(5, (2, 9, 5), (4, 3, 2), kernel=5),
    "deconv-gaps": Deconv(5, (1, 9, 8), (3,), kernel=1, stride=4),
    "deconv-even": Deconv(5, (2, 6, 9), (3,), kernel=2, stride=1),
}
PINNED = [0.1531908915259621, -0.11643818742224499]
LEADING = [(), (5,), (3, 5), (0,)]

every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


@pytest.fixture(autouse=True)
def _x64() -> Iterator[None]:
    with jax.enable_x64(True):  # noqa: FBT003
        yield


def pair(spec: Network, seed: int = 0) -> tuple[Any, Any, dict[str, np.ndarray]]:
    arrays = spec.initial(seed, "net")
    mine = nets_torch.build(spec, arrays, torch.float64)
    return mine, nets_equinox.build(spec, arrays, "float64"), arrays


def rows(spec: Network, leading: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(*leading, spec.inputs))


@pytest.mark.parametrize("shapes", [((4, 2), (4, 2)), ((5, 4, 2), (4, 2)), ((4, 2), (5, 1, 2))])
@pytest.mark.parametrize("hidden", [(), (5,)])
def test_rows_in_parts_are_rows_side_by_side(
    shapes: tuple[tuple[int, ...], ...], hidden: tuple[int, ...], rng: np.random.Generator
) -> None:
    in_torch, in_jax, _ = pair(MLP(4, hidden, 3))
    x, y = (rng.normal(size=shape) for shape in shapes)
    batch = np.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    whole = np.concatenate([np.broadcast_to(a, (*batch, 2)) for a in (x, y)], -1)
    wanted = in_torch(torch.from_numpy(whole)).detach().numpy()
    parts = in_torch(torch.from_numpy(x), torch.from_numpy(y)).detach().numpy()
    np.testing.assert_allclose(parts, wanted, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(in_jax(x, y)), wanted, rtol=1e-12)
    for net in (in_torch, in_jax):
        with pytest.raises(ArgumentError, match="parts of shapes"):
            net(x, y, y)


@every_spec
@pytest.mark.parametrize("leading", LEADING, ids=str)
def test_hosts_agree(spec: Network, leading: tuple[int, ...]) -> None:
    in_torch, in_jax, _ = pair(spec)
    x = rows(spec, leading)
    y = in_torch(torch.from_numpy(x)).detach().numpy()
    assert y.shape == (*leading, spec.outputs)
    np.testing.assert_allclose(eqx.filter_jit(in_jax)(x), y, rtol=0, atol=1e-12)


@every_spec
def test_leading_dimensions_are_rows_side_by_side(spec: Network) -> None:
    in_torch, in_jax, _ = pair(spec)
    x = rows(spec, (3, 5))
    one_by_one = [[in_torch(torch.from_numpy(row)).detach().numpy() for row in part] for part in x]
    np.testing.assert_allclose(in_torch(torch.from_numpy(x)).detach(), one_by_one, atol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.vmap(in_jax)))(x), one_by_one, atol=1e-12)


@every_spec
def test_gradients_agree(spec: Network) -> None:
    in_torch, in_jax, arrays = pair(spec)
    x, v = rows(spec, (3, 2)), np.random.default_rng(2).normal(size=(3, 2, spec.outputs))

    leaf = torch.from_numpy(x).requires_grad_()
    (in_torch(leaf) * torch.from_numpy(v)).sum().backward()

    def scalar(arrays: dict[str, Any], x: jax.Array) -> jax.Array:
        return (nets_equinox.unflatten(in_jax, arrays)(x) * v).sum()

    by_name, by_x = jax.jit(jax.grad(scalar, argnums=(0, 1)))(arrays, x)
    np.testing.assert_allclose(by_x, leaf.grad, rtol=1e-12, atol=1e-12)
    for name, parameter in in_torch.named_parameters():
        np.testing.assert_allclose(by_name[name], parameter.grad, rtol=1e-12, atol=1e-12)


@every_spec
def test_names_and_shapes(spec: Network) -> None:
    in_torch, in_jax, arrays = pair(spec)
    shapes = spec.parameters()
    assert {k: tuple(v.shape) for k, v in in_torch.named_parameters()} == shapes
    assert {k: v.shape for k, v in nets_equinox.flatten(in_jax).items()} == shapes
    assert {k: v.shape for k, v in arrays.items()} == shapes
    assert [k for k, _ in in_torch.named_parameters()] == list(shapes)
    assert len(jax.tree.leaves(in_jax)) == len(shapes)
    for name, parameter in in_torch.state_dict().items():
        np.testing.assert_array_equal(parameter, arrays[name])


def test_canonical_names() -> None:
    assert Conv((2, 8, 6), (3,), 5, hidden=(7,), kernel=5).parameters() == {
        "layers.0.weight": (3, 2, 5, 5),
        "layers.0.bias": (3,),
        "layers.1.weight": (7, 3 * 4 * 3),
        "layers.1.bias": (7,),
        "layers.2.weight": (5, 7),
        "layers.2.bias": (5,),
    }
    assert Deconv(5, (2, 8, 6), (3,), kernel=5).parameters() == {
        "layers.0.weight": (3 * 4 * 3, 5),
        "layers.0.bias": (3 * 4 * 3,),
        "layers.1.weight": (3, 2, 5, 5),
        "layers.1.bias": (2,),
    }


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_agree_with_their_slopes(activation: str) -> None:
    spec = MLP(1, (1,), 1, activation=activation)
    identity = {k: np.zeros(shape) for k, shape in spec.parameters().items()}
    identity |= {k: np.ones((1, 1)) for k in identity if k.endswith("weight")}
    x = np.array([-800.0, -50, -21, -3, -1e-3, 0, 1e-3, 3, 19.5, 21, 39.9, 40.1, 800])[:, None]
    leaf = torch.from_numpy(x).requires_grad_()
    y = nets_torch.build(spec, identity, torch.float64)(leaf)
    y.sum().backward()
    in_jax = nets_equinox.build(spec, identity, "float64")
    np.testing.assert_allclose(in_jax(x), y.detach(), rtol=1e-14, atol=1e-14)
    slopes = jax.grad(lambda x: in_jax(x).sum())(x)
    np.testing.assert_allclose(slopes, leaf.grad, rtol=1e-14, atol=1e-14)


def by_hand(activation: str, x: np.ndarray) -> np.ndarray:
    sigmoid = 1 / (1 + np.exp(-x))
    values = {
        "elu": np.where(x > 0, x, np.exp(x) - 1),
        "identity": x,
        "leaky_relu": np.where(x > 0, x, x / 100),
        "relu": np.maximum(x, 0),
        "sigmoid": sigmoid,
        "silu": x * sigmoid,
        "softplus": np.log(1 + np.exp(x)),
        "tanh": np.tanh(x),
    }
    return values[activation]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_mlp_by_hand(activation: str) -> None:
    spec = MLP(3, (5, 4), 2, activation=activation)
    in_torch, in_jax, w = pair(spec)
    h = x = rows(spec, (6,))
    for i in range(2):
        affine = h @ w[f"layers.{i}.weight"].T + w[f"layers.{i}.bias"]
        h = by_hand(activation, affine)
    y = h @ w["layers.2.weight"].T + w["layers.2.bias"]
    np.testing.assert_allclose(in_torch(torch.from_numpy(x)).detach(), y, atol=1e-14)
    np.testing.assert_allclose(in_jax(x), y, atol=1e-14)


def test_deconv_is_the_adjoint_of_conv() -> None:
    down, up = Conv((2, 7, 10), (3,), 1, stride=3), Deconv(1, (2, 7, 10), (3,), stride=3)
    inside, onto = down.layers()[0], up.layers()[1]
    assert onto.takes == (3, 3, 4)
    weight = np.random.default_rng(3).normal(size=inside.weight)
    a = nets_equinox.Images(weight, np.zeros(3), inside)
    b = nets_equinox.Images(weight, np.zeros(2), onto)
    x, y = rows(down, ()), np.random.default_rng(4).normal(size=3 * 3 * 4)
    np.testing.assert_allclose(a(x) @ y, x @ b(y), rtol=1e-12)


def test_initial_depends_on_seed_name_and_parameter_alone() -> None:
    spec = MLP(4, (4,), 4)
    first, again = spec.initial(7, "decoder"), spec.initial(7, "decoder")
    other_name, other_seed = spec.initial(7, "encoder"), spec.initial(8, "decoder")
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
        assert not np.isin(value, [other_name[name], other_seed[name]]).any()
    assert not np.isin(first["layers.0.weight"], first["layers.1.weight"]).any()
    wider = MLP(4, (4, 3), 2).initial(7, "decoder")
    np.testing.assert_array_equal(wider["layers.0.weight"], first["layers.0.weight"])


def test_initial_is_pinned() -> None:
    # A change of these numbers is a change of every seeded result: it belongs in the changelog.
    bias = MLP(4, (), 2).initial(0, "net")["layers.0.bias"]
    np.testing.assert_allclose(bias, PINNED, rtol=1e-15)


@pytest.mark.parametrize(
    ("spec", "layer", "fan"),
    [
        (MLP(400, (50,), 1), 0, 400),
        (Conv((5, 8, 8), (300,), 1), 0, 5 * 9),
        (Deconv(2, (50, 8, 8), (40,)), 1, 50 * 9),
    ],
    ids=["mlp", "conv", "deconv"],
)
def test_initial_range(spec: Network, layer: int, fan: int) -> None:
    weight = spec.initial(0, "net")[f"layers.{layer}.weight"]
    scaled = weight.ravel() * np.sqrt(fan)
    assert weight.dtype == np.float64
    assert 0.99 < scaled.max() < 1
    assert -1 < scaled.min() < -0.99
    # uniform on (-1, 1): mean 0, variance 1/3, each within five standard errors
    assert abs(scaled.mean()) < 5 * np.sqrt(1 / 3 / scaled.size)
    assert abs((scaled**2).mean() - 1 / 3) < 5 * np.sqrt(4 / 45 / scaled.size)


def test_torch_build_copies_and_leaves_the_seed_alone() -> None:
    spec = SPECS["conv-8x8"]
    arrays = spec.initial(0, "net")
    for array in arrays.values():
        array.flags.writeable = False
    torch.manual_seed(0)
    before = torch.get_rng_state()
    module = nets_torch.build(spec, arrays, torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    with torch.no_grad():
        module.layers[0].bias.zero_()
    assert arrays["layers.0.bias"].any()


def test_flatten_and_unflatten_round_trip() -> None:
    spec = SPECS["deconv-8x8"]
    _, module, arrays = pair(spec)
    other = nets_equinox.unflatten(module, spec.initial(1, "net"))
    assert jax.tree.structure(other) == jax.tree.structure(module)
    back = nets_equinox.unflatten(other, arrays)
    for name, value in nets_equinox.flatten(back).items():
        np.testing.assert_array_equal(value, arrays[name])


def test_flatten_a_module_from_elsewhere() -> None:
    theirs = eqx.nn.MLP(2, 1, 3, depth=1, key=jax.random.key(0))
    names = ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]
    assert list(nets_equinox.flatten(theirs)) == names


def test_specs_are_values() -> None:
    assert MLP(np.int64(3), [5, 4], 2) == MLP(3, (5, 4), 2)
    assert hash(Conv([1, 8, 8], [2], 3)) == hash(Conv((1, 8, 8), (2,), 3))
    assert Conv((2, 7, 5), (3,), 4).inputs == Deconv(4, (2, 7, 5), (3,)).outputs == 70
    for kind in (MLP, Conv, Deconv):
        last = [*inspect.signature(kind).parameters.values()][-1]
        assert (last.name, last.kind) == ("activation", inspect.Parameter.KEYWORD_ONLY)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MLP(0, (), 1), "MLP: 'inputs'.*not 0"),
        (lambda: MLP(inputs=True, hidden=(), outputs=1), "'inputs'.*not True"),
        (lambda: MLP(1, (), 2.0), "'outputs'.*not 2.0"),
        (lambda: MLP(1, 200, 1), "'hidden'.*not 200"),
        (lambda: MLP(1, (3, -1), 1), "'hidden'.*not -1"),
        (lambda: MLP(1, "55", 1), "'hidden'.*not '55'"),
        (lambda: MLP(1, (), 1, activation="gelu"), "'activation'.*softplus.*not 'gelu'"),
        (lambda: MLP(1, (), 1, activation=np.tanh), "'activation'.*not <ufunc"),
        (lambda: Conv((8, 8), (2,), 1), r"Conv: 'shape'.*not \(8, 8\)"),
        (lambda: Conv((1, 8, 8), (), 1), r"'channels'.*not \(\)"),
        (lambda: Conv((1, 8, 8), (2,), 1, kernel=0), "'kernel'.*not 0"),
        (lambda: Conv((1, 8, 8), (2,), 1, stride=None), "'stride'.*not None"),
        (lambda: Conv((1, 8, 1), (2,), 1, kernel=4), r"'shape'.*kernel 4.*\(1, 8, 1\)"),
        (lambda: Deconv(2, (1, 4, 4), (2, 2, 2), kernel=4), "Deconv: 'shape'.*3 convolutions"),
        (lambda: Deconv("2", (1, 8, 8), (2,)), "'inputs'.*not '2'"),
    ],
)
def test_bad_arguments(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make()


def test_bad_arrays() -> None:
    spec = MLP(3, (), 2)
    arrays = spec.initial(0, "net")
    renamed = {"weight": arrays["layers.0.weight"], "layers.0.bias": arrays["layers.0.bias"]}
    module = nets_equinox.build(spec, arrays, "float64")
    calls = (
        lambda a: nets_torch.build(spec, a, torch.float64),
        lambda a: nets_equinox.build(spec, a, "float64"),
        lambda a: nets_equinox.unflatten(module, a),
    )
    for call in calls:
        with pytest.raises(ArgumentError, match="'layers.0.weight'.* missing"):
            call(renamed)
        with pytest.raises(ArgumentError, match="no parameters.*'extra'"):
            call(arrays | {"extra": np.zeros(1)})
        with pytest.raises(ArgumentError, match=r"'layers.0.bias'.*\(2,\).*not \(3,\)"):
            call(arrays | {"layers.0.bias": np.zeros(3)})


@pytest.mark.parametrize("name", ["mlp", "conv-8x8", "deconv-8x8"])
@pytest.mark.parametrize("shape", [(), (2,), (4, 128)], ids=str)
def test_bad_width(name: str, shape: tuple[int, ...]) -> None:
    spec = SPECS[name]
    in_torch, in_jax, _ = pair(spec)
    for call, x in ((in_torch, torch.zeros(shape).double()), (in_jax, np.zeros(shape))):
        with pytest.raises(ArgumentError, match=rf"width {spec.inputs}\b"):
            call(x)


def test_torch_functional_call_reaches_every_layer() -> None:
    for spec in SPECS.values():
        module, _, _ = pair(spec)
        new = {k: torch.from_numpy(v) for k, v in spec.initial(1, "net").items()}
        x = torch.from_numpy(rows(spec, (2,)))
        other = nets_torch.build(spec, spec.initial(1, "net"), torch.float64)
        torch.testing.assert_close(torch.func.functional_call(module, new, (x,)), other(x))
