"""Masked networks: what depends on what, exactly; the same numbers on both hosts."""

from typing import Any

import numpy as np
import pytest

from ppgm.errors import ArgumentError
from ppgm.nets import MADE, MLP, Damped

D, C = 4, 3
ORDERS = {"forward": (0, 1, 2, 3), "reverse": (3, 2, 1, 0), (2, 0, 3, 1): (2, 0, 3, 1)}
SPECS = {
    f"{hidden}, context {context}, {order}": MADE(D, hidden, 2, context=context, order=order)
    for hidden, context, order in (
        ((), 0, "forward"),
        ((), C, "reverse"),
        ((4,), 0, (2, 0, 3, 1)),
        ((4,), C, "forward"),
        ((9, 5), 0, "reverse"),
        ((9, 5), C, (2, 0, 3, 1)),
    )
}

pytestmark = pytest.mark.usefixtures("f64")


def built(spec: Any, library: str) -> Any:
    arrays = spec.initial(0, "net")
    if library == "torch":
        torch = pytest.importorskip("torch")
        from ppgm import nets_torch

        net = nets_torch.build(spec, arrays, torch.float64)
        return lambda *parts: net(*map(torch.as_tensor, parts)).detach().numpy()
    jax = pytest.importorskip("jax")
    from ppgm import nets_equinox

    net = nets_equinox.build(spec, arrays, "float64")
    call = jax.jit(lambda *parts: net(*parts))
    return lambda *parts: np.asarray(call(*parts))


def jacobian(fn: Any, x: np.ndarray) -> np.ndarray:
    """Central differences ``(outputs, inputs)``: exactly zero where nothing depends."""
    steps = 1e-5 * np.eye(len(x))
    return (fn(x + steps) - fn(x - steps)).T / 2e-5


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("name", SPECS)
def test_outputs_see_what_comes_before_them_and_all_of_it(
    library: str, name: str, rng: np.random.Generator
) -> None:
    spec = SPECS[name]
    net, x, c = built(spec, library), rng.normal(size=D), rng.normal(size=spec.context)
    parts = (c,) if spec.context else ()
    order = list(ORDERS[spec.order])
    for block in np.split(jacobian(lambda x: net(x, *parts), x), spec.multiplier):
        dependent = block[np.ix_(order, order)] != 0
        np.testing.assert_array_equal(dependent, np.tri(D, k=-1, dtype=bool))
    if spec.context:
        assert (jacobian(lambda c: net(x, c), c) != 0).all()


@pytest.mark.parametrize("name", SPECS)
def test_hosts_agree(name: str, rng: np.random.Generator) -> None:
    spec = SPECS[name]
    parts = [rng.normal(size=(5, 2, D)), rng.normal(size=(2, C))][: 1 + bool(spec.context)]
    one, two = (built(spec, library)(*parts) for library in ("torch", "jax"))
    np.testing.assert_allclose(one, two, atol=1e-12)
    whole = np.concatenate([np.broadcast_to(p, (5, 2, p.shape[-1])) for p in parts], -1)
    np.testing.assert_allclose(built(spec, "torch")(whole), one, atol=1e-12)


def test_parameters_are_those_of_the_layers_without_masks() -> None:
    pytest.importorskip("torch")
    from ppgm import nets_torch

    spec = MADE(D, (5,), 2, context=C)
    dense = MLP(D + C, (5,), 2 * D)
    assert spec.parameters() == dense.parameters()
    net = nets_torch.build(spec, spec.initial(0, "net"), __import__("torch").float64)
    assert list(net.state_dict()) == list(spec.parameters())
    for name, value in spec.initial(0, "net").items():
        np.testing.assert_array_equal(value, dense.initial(0, "net")[name])


def test_a_damped_network_starts_small(rng: np.random.Generator) -> None:
    spec = MADE(D, (5,), 2)
    plain, small = spec.initial(0, "net"), Damped(spec, 0.1).initial(0, "net")
    assert Damped(spec).parameters() == spec.parameters()
    for name, value in plain.items():
        factor = 0.1 if name.startswith("layers.1") else 1
        np.testing.assert_array_equal(small[name], value * factor)
    x = rng.normal(size=(3, D))
    got = built(Damped(spec, 0.1), "torch")(x)
    np.testing.assert_allclose(got, 0.1 * built(spec, "torch")(x), atol=1e-14)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"features": 0}, "features must be"),
        ({"hidden": (2,)}, "widths of at least 3"),
        ({"hidden": (3,), "context": 1}, "widths of at least 4"),
        ({"order": "backwards"}, "order must be"),
        ({"order": (0, 1, 1, 2)}, "order must be"),
        ({"activation": "sin"}, "activation must be"),
        ({"context": -1}, "context must be"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        MADE(**({"features": D, "hidden": (5,), "multiplier": 2} | options))
