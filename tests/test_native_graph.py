"""Estimators that read the program's graph, in the hosts' own SVI.

The program has two bits for every datum, is called with its data by position, and observes them
under another name than that of the argument.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.errors import EstimatorError
from ppgm.inference import ARM, ELBO, NVIL, DisARM, Score
from ppgm.testing.arrays import bernoulli
from tests.test_native_programs import Tools
from tests.test_native_state import force

CELLS = 10
LOGITS, PRIOR = np.log([0.3 / 0.7, 0.8 / 0.2]), np.array([0.2, -0.5])
"""Of both bits; probabilities under the guide are at edges of `CELLS` cells."""
START = {"logits": LOGITS, "weight": np.array([[0.7, -1.2, 0.4], [1.5, 0.3, -0.8]])}
X = np.array([[1.0, 0.0, 1.0]])
Sides = tuple[Callable[..., Any], Callable[..., Any]]

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")


def pair(host: str, size: int | None = None) -> Sides:
    """x | a, b ~ B(w_a a + w_b b); q(a) q(b), or q(b | a) where `chained`."""
    t = Tools(host)

    def model(batch, chained=False):  # noqa: FBT002
        weight = t.param("weight", t.array(START["weight"]))
        with t.plate("data", len(batch), subsample_size=size) as index:
            a = t.sample("a", t.dist.Bernoulli(logits=t.array(PRIOR[0])))
            b = t.sample("b", t.dist.Bernoulli(logits=t.array(PRIOR[1])))
            logits = a[..., None] * weight[0] + b[..., None] * weight[1]
            t.sample("x", t.dist.Bernoulli(logits=logits).to_event(1), obs=batch[index])

    def guide(batch, chained=False):  # noqa: FBT002
        logits = t.param("logits", t.array(START["logits"]))
        with t.plate("data", len(batch), subsample_size=size) as index:
            rows = 0 * batch[index].sum(-1)
            a = t.sample("a", t.dist.Bernoulli(logits=logits[0] + rows))
            t.sample("b", t.dist.Bernoulli(logits=logits[1] + rows + (a if chained else 0)))

    return model, guide


def gradient(
    host: str, loss: Any, sides: Sides, x: np.ndarray, *, seed: int = 0, **flags: Any
) -> tuple[float, dict[str, np.ndarray]]:
    """Returns a loss and its gradient, under `jax.jit` on NumPyro."""
    if host == "pyro":
        import pyro
        import torch

        torch.manual_seed(seed)
        value = loss.differentiable_loss(*sides, torch.as_tensor(x), **flags)
        value.backward()
        leaves = dict(pyro.get_param_store().named_parameters())
        return value.item(), {n: p.grad.numpy() for n, p in leaves.items() if p.grad is not None}
    import jax
    import jax.numpy as jnp

    def of(params: Any, x: Any) -> Any:
        return loss.loss(jax.random.key(seed), params, *sides, x, **flags)

    value, grads = jax.jit(jax.value_and_grad(of))(jax.tree.map(jnp.asarray, START), x)
    return float(value), {n: np.asarray(g) for n, g in grads.items()}


def exact(x: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
    """Minus the ELBO of one datum, and its gradient, by the sum over both bits."""
    h = np.array(list(product((0.0, 1.0), repeat=2)))
    q, logits = 1 / (1 + np.exp(-LOGITS)), h @ START["weight"]
    log_q = bernoulli(h, LOGITS)
    log_w = bernoulli(x, logits) + bernoulli(h, PRIOR) - log_q
    mass = np.exp(log_q)
    guide = (mass * log_w) @ (h - q)
    model = (mass[:, None] * h).T @ (x - 1 / (1 + np.exp(-logits)))
    return -mass @ log_w, {"logits": -guide, "weight": -model}


def every_pair(monkeypatch: pytest.MonkeyPatch, host: str) -> int:
    """Lets the noise of both bits run through the middles of all cells, a pair of draws for each.

    Between its thresholds the estimate is linear in the noise, so that this is its mean.
    """
    middles = (np.arange(CELLS) + 0.5) / CELLS
    both = np.meshgrid(middles, middles)
    if host == "pyro":
        from torch import as_tensor as array

        from ppgm.host_pyro_ppl import TorchRng as Rng
    else:
        from jax.numpy import asarray as array

        from ppgm.host_numpyro_keys import JaxRng as Rng
    asked: list[int] = []

    def uniform(self: Any, shape: tuple[int, ...]) -> Any:
        asked.append(1)
        return array(both[(len(asked) - 1) % 2].reshape(shape))

    monkeypatch.setattr(Rng, "uniform", uniform)
    return CELLS**2


@pytest.mark.parametrize("kind", [DisARM, ARM])
def test_expected_gradient_of_pairs_of_bits(
    host: str, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = kind(2 * every_pair(monkeypatch, host)).native(host)
    value, grads = gradient(host, loss, pair(host), X)
    wanted, slopes = exact(X[0])
    assert value == pytest.approx(wanted, abs=1e-9)
    assert grads.keys() == slopes.keys()
    for name, slope in slopes.items():
        np.testing.assert_allclose(grads[name], slope, atol=1e-9, err_msg=name)


def test_bits_drawn_one_from_the_other_are_refused(host: str) -> None:
    """One loss for both: what it knows of the one program must not pass for the other."""
    loss, sides = DisARM().native(host), pair(host)
    gradient(host, loss, sides, X)
    with pytest.raises(EstimatorError, match="'b' of the guide is drawn given site 'a'"):
        gradient(host, loss, sides, X, chained=True)


def test_what_a_loss_knows_is_of_one_pair(host: str) -> None:
    """As above, with another guide of the same sites."""
    loss, (model, guide) = DisARM().native(host), pair(host)
    gradient(host, loss, (model, guide), X)
    with pytest.raises(EstimatorError, match="'b' of the guide is drawn given site 'a'"):
        gradient(host, loss, (model, lambda batch: guide(batch, chained=True)), X)


def test_the_graph_is_looked_for_once(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import import_module

    module = import_module(
        "ppgm.host_pyro_native" if host == "pyro" else "ppgm.host_numpyro_native_view"
    )
    find, seen = module.relations_in_use, []
    monkeypatch.setattr(module, "relations_in_use", lambda *a: seen.append(1) or find(*a))
    loss, sides = ELBO(gradient=Score(downstream=True)).native(host), pair(host)
    values = [gradient(host, loss, sides, X.repeat(rows, 0), seed=3)[0] for rows in (2, 1, 2)]
    assert len(seen) == 1
    assert values[0] == values[2]  # to look for it takes no draw of the user's


def test_signals_leave_out_what_a_bit_cannot_change(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal of each bit has no term of the other's prior and posterior."""
    h = np.array([1.0, 0.0])
    force(monkeypatch, host, {"a": h[:1, None], "b": h[1:, None]})
    loss = ELBO(gradient=Score(downstream=True)).native(host)
    value, grads = gradient(host, loss, pair(host), X)
    own = h * PRIOR - np.logaddexp(0, PRIOR) - h * LOGITS + np.logaddexp(0, LOGITS)
    log_w = bernoulli(X[0], h @ START["weight"]) + own.sum()
    assert value == pytest.approx(-log_w, abs=1e-9)
    signals = log_w - own[::-1]
    wanted = (signals - 1) * (h - 1 / (1 + np.exp(-LOGITS)))  # less the path through log q
    np.testing.assert_allclose(grads["logits"], -wanted, atol=1e-9)


# Data by position, under other names than the sites', of which a plate draws some rows.


def by_row(host: str) -> Sides:
    """Two bits for every row, with parameters of its own for their probabilities."""
    t = Tools(host)

    def model(batch):
        with t.plate("data", len(batch), subsample_size=2) as index:
            a = t.sample("a", t.dist.Bernoulli(logits=t.array(PRIOR[0])))
            b = t.sample("b", t.dist.Bernoulli(logits=t.array(PRIOR[1])))
            logits = (a + 2 * b)[..., None] + t.zeros((3,))
            t.sample("x", t.dist.Bernoulli(logits=logits).to_event(1), obs=batch[index])

    def guide(batch):
        logits = t.param("logits", t.array(np.array([0.3, -0.4, 0.7])))
        with t.plate("data", len(batch), subsample_size=2) as index:
            t.sample("a", t.dist.Bernoulli(logits=logits[index]))
            t.sample("b", t.dist.Bernoulli(logits=-2 * logits[index]))

    return model, guide


def moved(host: str, loss: Any, sides: Sides, x: np.ndarray) -> dict[str, np.ndarray]:
    """Returns by how much one step moves each parameter."""
    model, guide = sides[0], loss.guide(*sides)
    if host == "pyro":
        import pyro
        import torch
        from pyro.infer import SVI

        svi, store = SVI(model, guide, pyro.optim.SGD({"lr": 1.0}), loss), pyro.get_param_store()
        svi.evaluate_loss(torch.as_tensor(x))
        before = {n: p.detach().clone() for n, p in store.items()}
        svi.step(torch.as_tensor(x))
        return {n.replace("$$$", "."): (p - before[n]).detach().numpy() for n, p in store.items()}
    import jax
    import optax
    from numpyro.infer import SVI

    from ppgm.host_numpyro_run import flatten

    svi = SVI(model, guide, optax.sgd(1.0), loss)
    state = svi.init(jax.random.key(0), x)
    after = svi.get_params(jax.jit(svi.update)(state, x)[0])
    return flatten(jax.tree.map(lambda a, b: a - b, after, svi.get_params(state)))


def test_a_baseline_sees_the_rows_that_a_plate_has_drawn(host: str) -> None:
    """Each row has numbers of its own: the weights that move tell which were seen."""
    found = moved(host, NVIL(hidden=()).native(host), by_row(host), np.eye(3))
    drawn = found["logits"] != 0
    assert drawn.sum() == 2
    np.testing.assert_array_equal(found["baseline.layers.0.weight"][0] != 0, drawn)


def test_rows_drawn_anew_are_no_dependence(host: str) -> None:
    """Both bits change from run to run with the rows; none is drawn from the other."""
    found = moved(host, DisARM().native(host), by_row(host), np.eye(3))
    assert (found["logits"] != 0).sum() <= 2


def test_a_fit_takes_data_of_another_name_than_the_site(host: str) -> None:
    run = ppgm.Program(*pair(host), host=host)
    fit = ppgm.fit(run, {"batch": X}, NVIL(hidden=(2,)), steps=2, progress=False)
    assert "baseline.layers.0.weight" in fit.params
