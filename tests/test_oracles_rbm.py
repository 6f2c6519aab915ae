"""Restricted Boltzmann machine: partition function, gradients and kernel against enumeration."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.host import load
from ppgm.inference import ContrastiveDivergence
from ppgm.models import RBM
from ppgm.probes import probe
from ppgm.testing import rbm
from ppgm.testing.arrays import binary_states, logsumexp

V, H = 3, 2
STATES = binary_states(V)
TOLERANCE = 1e-9
CHI2_7_AT_1E_6 = 40.52
"""Upper quantile of chi-squared with 7 degrees of freedom at alpha = 1e-6."""

pytestmark = pytest.mark.usefixtures("f64")


@dataclass(frozen=True)
class Rotated(RBM):
    """Its kernel goes to the next state in counting order: a chain that is known in advance."""

    def kernel(self, ppl: Any, v: Any) -> Any:
        index = v[:, 0] * 4 + v[:, 1] * 2 + v[:, 2]
        index = ppl.np.where(index == 7, ppl.np.zeros_like(index), index + 1)
        bits = [(index >= 4) * 1.0]
        left = index - 4 * bits[0]
        bits.append((left >= 2) * 1.0)
        bits.append(left - 2 * bits[1])
        return ppl.np.stack(bits, axis=-1)


@pytest.fixture
def params(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "weight": rng.normal(size=(H, V)),
        "visible": rng.normal(size=V) * 0.5,
        "hidden": rng.normal(size=H) * 0.5,
    }


@pytest.fixture
def v() -> np.ndarray:
    return STATES[[6, 6, 1, 3]]


def machine(params: dict[str, np.ndarray]) -> rbm.Machine:
    return rbm.Machine(params["weight"], params["visible"], params["hidden"])


def assert_same(grads: dict[str, np.ndarray], wanted: rbm.Machine) -> None:
    """The loss is descended, the reference is ascended."""
    for name, value in wanted._asdict().items():
        np.testing.assert_allclose(grads[name], -value, atol=TOLERANCE, err_msg=name)


def test_the_factor_sums_to_the_partition_function(host: str, params: dict) -> None:
    run = ppgm.program(RBM(V, H), host=host)
    sites = load(host).log_density(run, params, {"v": STATES}, {})
    log_joint = sum(sites.values())[0]
    assert logsumexp(log_joint, axis=0) == pytest.approx(
        rbm.log_partition(machine(params)), abs=TOLERANCE
    )
    log_p = RBM(V, H).log_likelihood(params, STATES)
    np.testing.assert_allclose(log_joint - logsumexp(log_joint, axis=0), log_p, atol=TOLERANCE)
    assert np.exp(log_p).sum() == pytest.approx(1, abs=TOLERANCE)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("persistent", [True, False])
def test_the_gradient_at_known_chains(
    host: str, steps: int, persistent: bool, params: dict, v: np.ndarray
) -> None:
    """The kernel is applied `steps` times, from the kept chains or from the data."""
    run = ppgm.program(Rotated(V, H), host=host)
    objective = ContrastiveDivergence(steps=steps, persistent=persistent)
    starts = STATES[[0, 7, 2, 5]] if persistent else v
    state = {"chains": starts} if persistent else {}
    got = probe(run, params, {"v": v}, objective, state=state)

    index = (starts @ [4, 2, 1]).astype(int)
    ends, mass, of = STATES[(index + steps) % 8], np.full(4, 0.25), machine(params)
    if persistent:
        np.testing.assert_array_equal(got.state["chains"], ends)
    positive, negative = rbm.statistics(v, mass, of), rbm.statistics(ends, mass, of)
    assert_same(got.grads, rbm.Machine(*(a - b for a, b in zip(positive, negative, strict=True))))
    gap = rbm.free_energy(v, of).mean() - rbm.free_energy(ends, of).mean()
    assert got.loss == pytest.approx(gap, abs=TOLERANCE)


@pytest.mark.parametrize("steps", [1, 2, 400])
def test_the_expected_gradient_of_cd(host: str, steps: int, params: dict, v: np.ndarray) -> None:
    """Over all ends of the chains, weighted by the transition matrix; many steps: the exact one.

    The chain of a row starts one state before its end, since `Rotated` moves it there.
    """
    run, of = ppgm.program(Rotated(V, H), host=host), machine(params)
    mass = rbm.chain_distribution(v, of, steps)
    total = {name: 0.0 for name in params}
    for end, share in enumerate(mass):
        state = {"chains": STATES[[(end - 1) % 8]]}
        got = probe(run, params, {"v": v}, ContrastiveDivergence(), state=state)
        total = {n: total[n] + share * g for n, g in got.grads.items()}
    assert_same(total, rbm.cd_gradient(v, of, steps))
    if steps == 400:
        assert_same(total, rbm.gradient(v, of))


def test_real_chains_give_the_gradient_at_their_ends(
    host: str, params: dict, v: np.ndarray
) -> None:
    run, of = ppgm.program(RBM(V, H), host=host), machine(params)
    got = probe(run, params, {"v": v}, ContrastiveDivergence(steps=2), state={"chains": v})
    ends, mass = got.state["chains"], np.full(4, 0.25)
    assert set(np.unique(ends)) <= {0.0, 1.0}
    pairs = zip(rbm.statistics(v, mass, of), rbm.statistics(ends, mass, of), strict=True)
    assert_same(got.grads, rbm.Machine(*(a - b for a, b in pairs)))


def test_minibatches_average_to_the_full_data(host: str, params: dict) -> None:
    """CD from the data, along known chains: rows of ragged batches stand for three data each."""
    v = STATES[[1, 6, 3, 2, 7]]
    run = ppgm.program(Rotated(V, H), host=host)
    objective = ContrastiveDivergence(persistent=False)
    whole = probe(run, params, {"v": v}, objective)
    parts = [
        probe(run, params, {"v": v[b]}, objective, scale=3.0, total=5)
        for b in ([3, 0], [4, 1], [2])
    ]
    assert np.mean([p.loss for p in parts]) == pytest.approx(whole.loss, abs=TOLERANCE)
    for name, grad in whole.grads.items():
        mean = np.mean([p.grads[name] for p in parts], axis=0)
        np.testing.assert_allclose(mean, grad, atol=TOLERANCE)


@pytest.mark.parametrize("start", [0, 6])
def test_the_kernel_draws_from_the_transition_matrix(host: str, start: int, params: dict) -> None:
    """Chi-squared at alpha = 1e-6.

    With 20000 chains a wrong distribution at a chi-squared distance of 0.006 from the right one
    (noncentrality 120) passes with probability below 1e-5; the second assertion shows it.
    """
    rows, params = 20_000, {n: 1.5 * p for n, p in params.items()}
    run, of = ppgm.program(RBM(V, H), host=host), machine(params)
    starts = np.repeat(STATES[[start]], rows, axis=0)
    ends = load(host).kernel(run, params, {"v": starts[:2]}, starts, 1, 0)
    counts = np.bincount((ends @ [4, 2, 1]).astype(int), minlength=8)

    right = rbm.transition(of)[start]
    wrong = rbm.transition(of._replace(hidden=-of.hidden))[start]
    assert ((counts - rows * right) ** 2 / (rows * right)).sum() < CHI2_7_AT_1E_6
    assert rows * ((right - wrong) ** 2 / wrong).sum() > 120
