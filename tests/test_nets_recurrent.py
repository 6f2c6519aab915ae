"""Recurrent networks: torch's own numbers, the same on both hosts, whatever the padding."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ppgm.errors import ArgumentError
from ppgm.nets import GRU, LSTM, RNN

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
eqx = pytest.importorskip("equinox")

from ppgm import nets_equinox, nets_torch  # noqa: E402

N, T, D, H = 3, 5, 2, 4
LENGTHS = np.array([5, 3, 1])
WORD: Any = "yes"
SPECS = {
    "gru": GRU(D, H),
    "lstm": LSTM(D, H),
    "rnn": RNN(D, H),
    "relu": RNN(D, H, activation="relu"),
}
TOLERANCE = 1e-12

every_cell = pytest.mark.parametrize("name", SPECS)


@pytest.fixture(autouse=True)
def _x64() -> Iterator[None]:
    with jax.enable_x64(True):  # noqa: FBT003
        yield


def pair(spec: Any) -> tuple[Any, Any, dict[str, np.ndarray]]:
    arrays = spec.initial(0, "net")
    mine = nets_torch.build(spec, arrays, torch.float64)
    return mine, nets_equinox.build(spec, arrays, "float64"), arrays


def turned(spec: Any) -> Any:
    options = {"activation": spec.activation} if isinstance(spec, RNN) else {}
    return type(spec)(D, H, reverse=True, **options)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def by_hand(name: str, w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The equations of the module, one sequence ``(T, D)``."""
    h, m, out = np.zeros(H), np.zeros(H), []
    for row in x:
        a = np.split(w["weight_ih_l0"] @ row + w["bias_ih_l0"], SPECS[name].gates)
        c = np.split(w["weight_hh_l0"] @ h + w["bias_hh_l0"], SPECS[name].gates)
        if name == "gru":
            r, g = sigmoid(a[0] + c[0]), sigmoid(a[1] + c[1])
            h = (1 - g) * np.tanh(a[2] + r * c[2]) + g * h
        elif name == "lstm":
            i, f, n, o = (p + q for p, q in zip(a, c, strict=True))
            m = sigmoid(f) * m + sigmoid(i) * np.tanh(n)
            h = sigmoid(o) * np.tanh(m)
        else:
            h = (np.tanh if name == "rnn" else lambda v: np.maximum(v, 0))(a[0] + c[0])
        out.append(h)
    return np.array(out)


@every_cell
@pytest.mark.parametrize("reverse", [False, True])
def test_the_numbers_are_those_of_the_equations(
    name: str, reverse: bool, rng: np.random.Generator
) -> None:
    """Row by row, each within its own length; leading dimensions are rows."""
    spec = turned(SPECS[name]) if reverse else SPECS[name]
    in_torch, in_jax, w = pair(spec)
    x = rng.normal(size=(2, N, T, D))
    lengths = np.broadcast_to(LENGTHS, (2, N))
    found = in_torch(torch.from_numpy(x), torch.from_numpy(lengths.copy())).detach().numpy()
    again = eqx.filter_jit(in_jax)(x, LENGTHS)
    order = slice(None, None, -1 if reverse else 1)
    for k, n in np.ndindex(2, N):
        own = slice(LENGTHS[n])
        wanted = by_hand(name, w, x[k, n, own][order])[order]
        np.testing.assert_allclose(found[k, n, own], wanted, atol=TOLERANCE)
        np.testing.assert_allclose(again[k, n, own], wanted, atol=TOLERANCE)
    whole = in_torch(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(in_jax(x), whole, atol=TOLERANCE)
    np.testing.assert_allclose(
        whole[0, 1], by_hand(name, w, x[0, 1][order])[order], atol=TOLERANCE
    )


@every_cell
def test_the_parameters_are_torchs_own(name: str, rng: np.random.Generator) -> None:
    spec = SPECS[name]
    mine, module, arrays = pair(spec)
    kinds = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
    options = {"nonlinearity": "relu"} if name == "relu" else {}
    theirs = kinds.get(name, torch.nn.RNN)(D, H, batch_first=True, dtype=torch.float64, **options)
    assert [n for n, _ in theirs.named_parameters()] == list(spec.parameters())
    theirs.load_state_dict(mine.state_dict())
    x, v = (torch.from_numpy(rng.normal(size=(N, T, s))) for s in (D, H))
    torch.testing.assert_close(mine(x), theirs(x)[0])
    assert {k: v.shape for k, v in nets_equinox.flatten(module).items()} == spec.parameters()
    bound = 1 / np.sqrt(H)
    assert all(np.abs(a).max() < bound for a in arrays.values())

    # the way back is ours: torch's own is another one
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    (mine(leaves[0]) * v).sum().backward()
    (theirs(leaves[1])[0] * v).sum().backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad, rtol=0, atol=TOLERANCE)
    for own, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=0, atol=TOLERANCE)


@every_cell
def test_gradients_agree(name: str, rng: np.random.Generator) -> None:
    spec = turned(SPECS[name])
    in_torch, in_jax, arrays = pair(spec)
    x, v = rng.normal(size=(N, T, D)), rng.normal(size=(N, T, H))
    v *= (np.arange(T) < LENGTHS[:, None])[..., None]
    leaf = torch.from_numpy(x).requires_grad_()
    (in_torch(leaf, torch.from_numpy(LENGTHS)) * torch.from_numpy(v)).sum().backward()

    def scalar(arrays: dict[str, Any], x: Any) -> Any:
        return (nets_equinox.unflatten(in_jax, arrays)(x, LENGTHS) * v).sum()

    by_name, by_x = jax.jit(jax.grad(scalar, argnums=(0, 1)))(arrays, x)
    np.testing.assert_allclose(leaf.grad, by_x, atol=TOLERANCE)
    assert not leaf.grad[1, 3:].any()  # the padding
    for key, parameter in in_torch.named_parameters():
        np.testing.assert_allclose(parameter.grad, by_name[key], atol=TOLERANCE, err_msg=key)


def test_other_weights_are_seen_by_the_kernel(rng: np.random.Generator) -> None:
    spec = SPECS["gru"]
    module, _, _ = pair(spec)
    new = {k: torch.from_numpy(v) for k, v in spec.initial(1, "net").items()}
    x = torch.from_numpy(rng.normal(size=(N, T, D)))
    other = nets_torch.build(spec, spec.initial(1, "net"), torch.float64)
    torch.testing.assert_close(torch.func.functional_call(module, new, (x,)), other(x))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GRU(0, 3), "GRU: inputs must be an integer"),
        (lambda: LSTM(2, 3, reverse=WORD), "LSTM: reverse must be True or False"),
        (lambda: RNN(2, 3, activation="elu"), "activation must be 'tanh' or 'relu', not 'elu'"),
    ],
)
def test_bad_fields_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make()


@pytest.mark.parametrize("shape", [(D,), (T, D + 1)])
def test_what_is_no_sequence_is_refused(shape: tuple[int, ...]) -> None:
    in_torch, in_jax, _ = pair(SPECS["gru"])
    for call, x in ((in_torch, torch.zeros(shape).double()), (in_jax, np.zeros(shape))):
        with pytest.raises(ArgumentError, match=r"sequences of rows of width 2, shape"):
            call(x)
