"""The oracles against facts that do not depend on them."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from ppgm.errors import ArgumentError
from ppgm.testing import (
    arrays,
    cubature,
    densities,
    differences,
    enumeration,
    jsd,
    rbm,
    sbn,
    weights,
)
from ppgm.testing import linear_gaussian as lg


def _close(found: object, exact: object, name: str = "") -> None:
    """Equal to rounding error."""
    np.testing.assert_allclose(*_arrays(found, exact), rtol=1e-11, atol=1e-12, err_msg=name)


def _near(found: object, numerical: object, name: str = "") -> None:
    """Equal to the error of central differences."""
    np.testing.assert_allclose(*_arrays(found, numerical), rtol=1e-8, atol=1e-9, err_msg=name)


def _arrays(*values: object) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(value, dtype=np.float64) for value in values)


def _gaussian() -> tuple[np.ndarray, lg.Model, lg.Guide]:
    """Five rows of four features, two latents, and a guide that is far from the posterior."""
    rng = np.random.default_rng(0)
    model = lg.Model(rng.normal(size=(4, 2)), rng.normal(size=4), 0.3 * rng.normal(size=4))
    tril = np.array([[0.7, 0.0], [-0.4, 0.5]])
    guide = lg.Guide(0.3 * rng.normal(size=(2, 4)), rng.normal(size=2), tril)
    return rng.normal(size=(5, 4)), model, guide


def _network(*sizes: int, seed: int = 0) -> tuple[sbn.Network, sbn.Guide]:
    """A network of the given sizes, bits of x first, and a guide for it."""
    rng = np.random.default_rng(seed)
    pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
    down = [(rng.normal(size=(low, up)), rng.normal(size=low)) for low, up in pairs]
    up = [(rng.normal(size=(up, low)), rng.normal(size=up)) for low, up in pairs]
    return sbn.Network(rng.normal(size=sizes[-1]), down), sbn.Guide(up)


def _machine(visible: int = 4, hidden: int = 3) -> rbm.Machine:
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(hidden, visible))
    return rbm.Machine(weight, rng.normal(size=visible), rng.normal(size=hidden))


def _normal(mean: float, scale: float = 1.0) -> jsd.LogDensity:
    return lambda x: densities.normal(x, np.asarray(mean), np.asarray(scale))


# --- arrays and differences


def test_states_are_all_different_and_in_counting_order() -> None:
    states = arrays.binary_states(3)
    np.testing.assert_array_equal(states @ [4, 2, 1], np.arange(8))


def test_too_many_states_are_refused() -> None:
    with pytest.raises(ArgumentError, match="enumeration takes 0 to"):
        arrays.binary_states(40)


def test_functions_do_not_overflow() -> None:
    x = np.array([-1000.0, 0.0, 1000.0])
    np.testing.assert_allclose(arrays.softplus(x), [0, np.log(2), 1000])
    np.testing.assert_allclose(arrays.sigmoid(x), [0, 0.5, 1])
    np.testing.assert_allclose(arrays.logsumexp(x[:, None], axis=0), [1000])


def test_central_differences_of_a_known_gradient() -> None:
    at = np.array([[0.3, -1.0], [2.0, 0.1]])
    found = differences.gradient(lambda x: float(np.sum(np.sin(x))), at)
    np.testing.assert_allclose(found, np.cos(at), rtol=0, atol=1e-11)


# --- cubature


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_cubature_is_exact_for_cubics(dimension: int) -> None:
    points = cubature.points(dimension)
    assert points.shape == (2 * dimension, dimension)
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-15)
    np.testing.assert_allclose(points.T @ points / len(points), np.eye(dimension), atol=1e-14)
    thirds = np.einsum("ki,kj,kl->ijl", points, points, points)
    np.testing.assert_allclose(thirds, 0, atol=1e-13)


def test_hermite_grid_has_the_moments_of_a_normal() -> None:
    points, mass = cubature.gauss_hermite(2, 5)
    assert points.shape == (25, 2)
    x, y = points.T
    moments = [mass @ f for f in (x * 0 + 1, x, x**2, x * y, x**4, x**4 * y**2, x**8)]
    np.testing.assert_allclose(moments, [1, 0, 1, 0, 3, 3, 105], atol=1e-12)


@pytest.mark.parametrize(
    "call", [lambda: cubature.points(0), lambda: cubature.gauss_hermite(1, 0)]
)
def test_cubature_refuses_what_is_not_positive(call: Callable[[], object]) -> None:
    with pytest.raises(ArgumentError, match="at least 1"):
        call()


# --- linear-Gaussian model


def test_gaussian_marginal_is_the_integral_over_the_latents() -> None:
    x, model, guide = _gaussian()
    points, mass = cubature.gauss_hermite(2, 60)
    exact = lg.exact_guide(model)
    # A wider proposal than the posterior keeps the integrand a smooth, decaying function.
    wide = exact._replace(scale_tril=1.3 * exact.scale_tril)
    z = lg.draws(x, points[:, None], wide)
    found = np.log(mass @ np.exp(lg.log_weights(x, z, model, wide)))
    np.testing.assert_allclose(found, lg.log_marginal(x, model), rtol=1e-9)


def test_gaussian_marginal_of_one_feature_by_hand() -> None:
    model = lg.Model(np.array([[2.0]]), np.array([1.0]), np.log([0.5]))
    found = lg.log_marginal(np.array([[3.0]]), model)
    variance = 4 + 0.25
    np.testing.assert_allclose(found, -0.5 * (4 / variance + np.log(2 * np.pi * variance)))


def test_gaussian_posterior_by_bayes_in_the_joint() -> None:
    x, model, _ = _gaussian()
    mean, covariance = lg.posterior(x, model)
    marginal = model.weight @ model.weight.T + np.diag(np.exp(2 * model.log_sigma))
    gain = np.linalg.solve(marginal, model.weight).T
    _close(mean, (x - model.bias) @ gain.T)
    _close(covariance, np.eye(2) - gain @ model.weight)


def test_gaussian_weights_at_the_posterior_are_the_marginal() -> None:
    x, model, _ = _gaussian()
    guide = lg.exact_guide(model)
    z = lg.draws(x, np.random.default_rng(2).normal(size=(7, 5, 2)), guide)
    log_w = lg.log_weights(x, z, model, guide)
    exact = lg.log_marginal(x, model)
    _close(log_w, np.tile(exact, (7, 1)))
    _close(lg.elbo(x, model, guide), exact)
    for bound in (weights.elbo(log_w), weights.iwae(log_w), weights.renyi(log_w, 0.5)):
        _close(bound, exact)


def test_gaussian_elbo_is_below_the_marginal_elsewhere() -> None:
    x, model, guide = _gaussian()
    assert np.all(lg.elbo(x, model, guide) < lg.log_marginal(x, model) - 0.1)


def test_gaussian_elbo_is_the_mean_over_cubature_points() -> None:
    x, model, guide = _gaussian()
    z = lg.draws(x, cubature.points(2)[:, None], guide)
    found = lg.log_weights(x, z, model, guide).mean(0)
    _close(found, lg.elbo(x, model, guide))


def test_gaussian_divergence_is_zero_at_the_prior() -> None:
    x, _, _ = _gaussian()
    guide = lg.mean_field(np.zeros((2, 4)), np.zeros(2), np.zeros(2))
    np.testing.assert_allclose(lg.divergence(x, guide), 0, atol=1e-15)


def test_gaussian_beta_weighs_the_divergence() -> None:
    x, model, guide = _gaussian()
    found = lg.elbo(x, model, guide) - lg.elbo(x, model, guide, beta=3.0)
    _close(found, 2 * lg.divergence(x, guide))


@pytest.mark.parametrize("beta", [1.0, 2.5])
def test_gaussian_gradients_against_differences(beta: float) -> None:
    x, model, guide = _gaussian()
    exact = lg.elbo_gradients(x, model, guide, beta=beta)

    def total(field: str, value: np.ndarray) -> float:
        if field.startswith("guide_"):
            changed = guide._replace(**{field.removeprefix("guide_"): value})
            return float(lg.elbo(x, model, changed, beta=beta).sum())
        return float(lg.elbo(x, model._replace(**{field: value}), guide, beta=beta).sum())

    values = model._asdict() | {f"guide_{k}": v for k, v in guide._asdict().items()}
    for field, value in values.items():
        found = differences.gradient(lambda v, f=field: total(f, v), value)
        found = np.tril(found) if field == "guide_scale_tril" else found
        _near(getattr(exact, field), found, field)


def test_gaussian_mean_field_gradient_against_differences() -> None:
    x, model, guide = _gaussian()
    log_scale = np.array([-0.3, 0.2])

    def total(value: np.ndarray) -> float:
        return float(lg.elbo(x, model, lg.mean_field(guide.weight, guide.bias, value)).sum())

    mean_field = lg.mean_field(guide.weight, guide.bias, log_scale)
    exact = lg.elbo_gradients(x, model, mean_field).guide_log_scale
    _near(exact, differences.gradient(total, log_scale))


def test_gaussian_guide_gradient_vanishes_at_the_posterior() -> None:
    x, model, _ = _gaussian()
    exact = lg.elbo_gradients(x, model, lg.exact_guide(model))
    for value in exact[3:]:
        np.testing.assert_allclose(value, 0, atol=1e-12)


# --- enumeration


def test_configurations_list_every_outcome_once() -> None:
    outcomes = enumeration.configurations((2, 3), particles=2)
    assert outcomes.shape == (36, 2, 2)
    assert len(np.unique(outcomes.reshape(36, -1), axis=0)) == 36
    assert outcomes.max(axis=(0, 1)).tolist() == [1, 2]


def test_configurations_follow_the_order_of_tuples() -> None:
    states = enumeration.configurations((2, 2))[:, 0]
    np.testing.assert_array_equal(states, arrays.binary_states(2))
    found = enumeration.configurations((2, 2), particles=3)
    np.testing.assert_array_equal(found, states[enumeration.tuples(4, 3)])


def test_expectation_keeps_containers() -> None:
    outcomes = np.array([[1.0], [2.0]])
    found = enumeration.expected(
        lambda z: {"a": z, "b": (z[0] ** 2, 1.0)}, outcomes, np.log([0.25, 0.75])
    )
    np.testing.assert_allclose(found["a"], [1.75])
    np.testing.assert_allclose(found["b"], [3.25, 1.0])


@pytest.mark.parametrize("log_q", [np.log([0.5, 0.4]), np.zeros((2, 1))])
def test_expectation_refuses_what_is_no_distribution(log_q: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="total probability"):
        enumeration.expected(lambda z: z, np.zeros((2, 1)), log_q)


def test_enumeration_refuses_too_many_outcomes() -> None:
    with pytest.raises(ArgumentError, match="use a smaller model"):
        enumeration.tuples(128, 5)


# --- sigmoid belief network


def test_network_probabilities_sum_to_one() -> None:
    network, guide = _network(5, 4, 3)
    every = arrays.binary_states(5)
    _close(np.exp(sbn.log_marginal(every, network)).sum(), 1)
    _close(np.exp(sbn.posterior(every, network)).sum(0), 1)
    _close(np.exp(sbn.tables(every, network, guide)[1]).sum(0), 1)


def test_network_joint_by_hand() -> None:
    network = sbn.Network(np.array([0.5]), [(np.array([[2.0], [-1.0]]), np.array([0.1, 0.2]))])
    hidden = (np.ones((1, 1, 1)),)
    found = sbn.log_joint(np.array([[1.0, 0.0]]), hidden, network)
    terms = (1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(-2.1)), 1 - 1 / (1 + np.exp(0.8)))
    _close(found, [[np.log(terms).sum()]])


def test_network_layers_are_chained_from_the_top() -> None:
    network, _ = _network(3, 2, 2)
    (w1, b1), (w2, b2) = network.layers
    x = np.array([1.0, 0.0, 1.0])

    def bit(value: float, logit: float) -> float:
        return 1 / (1 + np.exp(-logit)) if value else 1 / (1 + np.exp(logit))

    total = 0.0
    for h2 in arrays.binary_states(2):
        for h1 in arrays.binary_states(2):
            pairs = [*zip(h2, network.top, strict=True), *zip(h1, w2 @ h2 + b2, strict=True)]
            pairs += zip(x, w1 @ h1 + b1, strict=True)
            total += float(np.prod([bit(v, logit) for v, logit in pairs]))
    _close(sbn.log_marginal(x[None], network), [np.log(total)])


def test_network_elbo_equals_the_marginal_at_the_posterior() -> None:
    """With one hidden bit the posterior given each x is linear in x, so the family holds it."""
    weight, bias, top = np.array([[1.5], [-0.7]]), np.array([0.3, -0.2]), np.array([0.4])
    network = sbn.Network(top, [(weight, bias)])
    excess = np.logaddexp(0, bias) - np.logaddexp(0, bias + weight[:, 0])
    guide = sbn.Guide([(weight.T, top + excess.sum())])
    x = arrays.binary_states(2)
    exact = sbn.log_marginal(x, network)
    for found in (sbn.elbo(x, network, guide), sbn.iwae(x, network, guide, 3)):
        _close(found, exact)
    for found in sbn.bound_gradients(x, network, guide, 2)[1].layers[0]:
        np.testing.assert_allclose(found, 0, atol=1e-12)


def test_network_bounds_are_ordered() -> None:
    network, guide = _network(4, 2, 1)
    x = arrays.binary_states(4)
    bounds = [sbn.elbo(x, network, guide)]
    bounds += [sbn.iwae(x, network, guide, particles) for particles in (2, 3, 4)]
    bounds += [sbn.log_marginal(x, network)]
    assert np.all(np.diff(bounds, axis=0) > 1e-6)
    _close(sbn.iwae(x, network, guide, 1), bounds[0])


def test_network_elbo_gap_is_the_divergence_to_the_posterior() -> None:
    network, guide = _network(5, 4, 3)
    x = arrays.binary_states(5)
    _, log_q = sbn.tables(x, network, guide)
    gap = np.sum(np.exp(log_q) * (log_q - sbn.posterior(x, network)), axis=0)
    found = sbn.log_marginal(x, network) - sbn.elbo(x, network, guide)
    _close(found, gap)


def test_network_iwae_is_the_expectation_of_the_naive_bound() -> None:
    network, guide = _network(3, 2)
    x = np.array([[1.0, 0.0, 1.0]])
    log_w, log_q = sbn.tables(x, network, guide)
    index = enumeration.tuples(4, 3)
    mass = log_q[index].sum((1, 2))
    for alpha in (0.0, 0.5, 1.0, -1.0):
        found = enumeration.expected(lambda k, a=alpha: weights.renyi(log_w[k], a), index, mass)
        _close(sbn.renyi(x, network, guide, 3, alpha=alpha), found)


@pytest.mark.parametrize(
    ("particles", "alpha"), [(1, 0.0), (2, 0.0), (3, 0.0), (2, 0.5), (2, 1.0)]
)
def test_network_gradients_against_differences(particles: int, alpha: float) -> None:
    network, guide = _network(3, 2, 1)
    x = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    exact = sbn.bound_gradients(x, network, guide, particles, alpha=alpha)
    leaves = _leaves(network, guide)

    def total(place: int, value: np.ndarray) -> float:
        changed = _rebuild([*leaves[:place], value, *leaves[place + 1 :]], len(network.layers))
        return float(sbn.renyi(x, *changed, particles, alpha=alpha).sum())

    for place, (leaf, found) in enumerate(zip(leaves, _leaves(*exact), strict=True)):
        numerical = differences.gradient(lambda v, p=place: total(p, v), leaf)
        _near(found, numerical)


@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
def test_expected_vimco_gradient_is_that_of_the_bound(mean: weights.Mean) -> None:
    """In the logits of a guide that ignores its input the score is `h - sigmoid(logits)`."""
    network, _ = _network(3, 2)
    x = np.array([[1.0, 0.0, 1.0]])
    bias = np.array([0.3, -0.8])
    guide = sbn.Guide([(np.zeros((2, 3)), bias)])
    log_w, log_q = sbn.tables(x, network, guide)
    index = enumeration.tuples(4, 3)
    scores = arrays.binary_states(2) - arrays.sigmoid(bias)

    def estimate(k: np.ndarray) -> np.ndarray:
        signal = weights.vimco_signal(log_w[k], mean=mean) - weights.normalised(log_w[k])
        return signal[:, 0] @ scores[k]

    found = enumeration.expected(estimate, index, log_q[index].sum((1, 2)))
    exact = sbn.bound_gradients(x, network, guide, 3)[1].layers[0][1]
    np.testing.assert_allclose(found, exact, rtol=1e-10, atol=1e-12)


def _leaves(network: sbn.Network, guide: sbn.Guide) -> list[np.ndarray]:
    return [network.top, *(a for layer in (*network.layers, *guide.layers) for a in layer)]


def _rebuild(leaves: list[np.ndarray], depth: int) -> tuple[sbn.Network, sbn.Guide]:
    layers = list(zip(leaves[1::2], leaves[2::2], strict=True))
    return sbn.Network(leaves[0], layers[:depth]), sbn.Guide(layers[depth:])


# --- naive weights


def test_naive_bounds_by_hand() -> None:
    log_w = np.log(np.array([[1.0, 2.0], [3.0, 2.0]]))
    np.testing.assert_allclose(weights.elbo(log_w), [0.5 * np.log(3), np.log(2)])
    np.testing.assert_allclose(weights.iwae(log_w), [np.log(2), np.log(2)])
    half = 2 * np.log((1 + np.sqrt(3)) / 2)
    np.testing.assert_allclose(weights.renyi(log_w, 0.5), [half, np.log(2)])
    np.testing.assert_allclose(weights.normalised(log_w), [[0.25, 0.5], [0.75, 0.5]])
    np.testing.assert_allclose(weights.effective_sample_size(log_w), [1.6, 2.0])


def test_naive_bounds_of_extreme_weights_are_finite() -> None:
    log_w = np.array([[-5000.0, 5000.0], [3000.0, -3000.0]])
    np.testing.assert_allclose(weights.iwae(log_w), np.array([3000, 5000]) - np.log(2))
    np.testing.assert_allclose(weights.normalised(log_w), [[0, 1], [1, 0]])


def test_naive_vimco_by_hand() -> None:
    log_w = np.log(np.array([[1.0], [2.0], [8.0]]))
    geometric = np.log([[(4 + 2 + 8) / 3], [(8**0.5 + 9) / 3], [(2**0.5 + 3) / 3]])
    np.testing.assert_allclose(weights.vimco_baseline(log_w), geometric)
    arithmetic = np.log([[5.0], [4.5], [1.5]])
    found = weights.vimco_baseline(log_w, mean="arithmetic")
    np.testing.assert_allclose(found, arithmetic)
    np.testing.assert_allclose(weights.vimco_signal(log_w), np.log(11 / 3) - geometric)


def test_naive_shares_are_the_derivative_of_the_bound() -> None:
    log_w = np.random.default_rng(3).normal(size=(4, 2))
    for alpha in (0.0, 0.5, -2.0):
        found = differences.gradient(lambda v, a=alpha: float(weights.renyi(v, a).sum()), log_w)
        _near(weights.normalised(log_w, alpha=alpha), found)


# --- restricted Boltzmann machine


@pytest.mark.parametrize(("visible", "hidden"), [(4, 3), (3, 4), (2, 2)])
def test_machine_partition_by_double_enumeration(visible: int, hidden: int) -> None:
    machine = _machine(visible, hidden)
    total = sum(
        np.exp(machine.visible @ v + machine.hidden @ h + h @ machine.weight @ v)
        for v in arrays.binary_states(visible)
        for h in arrays.binary_states(hidden)
    )
    _close(rbm.log_partition(machine), np.log(total))
    every = arrays.binary_states(visible)
    _close(np.exp(rbm.log_density(every, machine)).sum(), 1)


@pytest.mark.parametrize(("visible", "hidden"), [(40, 3), (3, 40)])
def test_machine_partition_sums_over_the_smaller_side(visible: int, hidden: int) -> None:
    """Forty units cannot be enumerated; without weights the units are independent."""
    machine = _machine(visible, hidden)._replace(weight=np.zeros((hidden, visible)))
    exact = arrays.softplus(machine.visible).sum() + arrays.softplus(machine.hidden).sum()
    _close(rbm.log_partition(machine), exact)


def test_machine_gradient_against_differences() -> None:
    machine = _machine()
    v = np.array([[1.0, 0, 0, 1], [1, 1, 0, 1], [0, 0, 0, 1]])
    exact = rbm.gradient(v, machine)
    for field, value in machine._asdict().items():
        found = differences.gradient(
            lambda p, f=field: float(rbm.log_density(v, machine._replace(**{f: p})).mean()), value
        )
        _near(getattr(exact, field), found, field)


def test_machine_transition_leaves_its_density_alone() -> None:
    machine = _machine()
    matrix = rbm.transition(machine)
    mass = np.exp(rbm.log_density(arrays.binary_states(4), machine))
    _close(matrix.sum(1), 1)
    _close(mass @ matrix, mass)
    # Reversible in the visible units alone: detailed balance.
    flow = mass[:, None] * matrix
    _close(flow, flow.T)


def test_machine_chain_starts_at_the_data() -> None:
    machine = _machine()
    v = np.array([[1.0, 0, 0, 1], [1, 0, 0, 1], [0, 0, 1, 0]])
    expected = np.zeros(16)
    expected[[9, 2]] = 2 / 3, 1 / 3
    np.testing.assert_allclose(rbm.chain_distribution(v, machine, 0), expected)
    for value in rbm.cd_gradient(v, machine, 0):
        np.testing.assert_allclose(value, 0, atol=1e-15)


def test_contrastive_divergence_tends_to_the_gradient() -> None:
    machine = _machine()
    v = np.array([[1.0, 0, 0, 1], [1, 1, 0, 1], [0, 0, 0, 1]])
    exact = rbm.gradient(v, machine)
    errors = [
        max(float(np.abs(a - b).max()) for a, b in zip(found, exact, strict=True))
        for found in (rbm.cd_gradient(v, machine, steps) for steps in (1, 4, 16, 200))
    ]
    assert errors[0] > 1e-2
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[3] < 1e-12


def test_persistent_chains_start_where_they_are_told() -> None:
    machine = _machine()
    v, starts = np.array([[1.0, 0, 0, 1]]), np.array([[0.0, 1, 1, 0]])
    found = rbm.cd_gradient(v, machine, 2, starts=starts)
    negative = rbm.negative_statistics(starts, machine, 2)
    _close(found.visible, v[0] - negative.visible)
    assert np.abs(found.visible - rbm.cd_gradient(v, machine, 2).visible).max() > 1e-3


def test_machine_negative_statistics_by_hand() -> None:
    """One sweep with one unit on each side, all four paths summed."""
    machine = rbm.Machine(np.array([[1.2]]), np.array([-0.3]), np.array([0.4]))
    up = {v: 1 / (1 + np.exp(-(0.4 + 1.2 * v))) for v in (0, 1)}
    down = {h: 1 / (1 + np.exp(-(-0.3 + 1.2 * h))) for h in (0, 1)}
    visible = up[1] * down[1] + (1 - up[1]) * down[0]
    found = rbm.negative_statistics(np.array([[1.0]]), machine, 1)
    _close(found.visible, [visible])
    _close(found.hidden, [visible * up[1] + (1 - visible) * up[0]])
    _close(found.weight, [[visible * up[1]]])


# --- adversarial game


def test_jensen_shannon_of_equal_and_of_distant_densities() -> None:
    same = jsd.jensen_shannon(_normal(0.3), _normal(0.3), lower=-12, upper=12)
    far = jsd.jensen_shannon(_normal(-20), _normal(20), lower=-40, upper=40)
    np.testing.assert_allclose([same, far], [0, np.log(2)], atol=1e-12)


def test_jensen_shannon_of_overlapping_uniforms() -> None:
    """Half of the mass is shared: the divergence is half of log 2."""

    def uniform(left: float) -> jsd.LogDensity:
        return lambda x: np.where((x > left) & (x < left + 2), -np.log(2), -np.inf)

    found = jsd.jensen_shannon(uniform(0.0), uniform(1.0), lower=0, upper=4)
    _close(found, 0.5 * np.log(2))


def test_jensen_shannon_is_symmetric_and_bounded() -> None:
    p, q = _normal(0.0), _normal(1.0, 2.0)
    one = jsd.jensen_shannon(p, q, lower=-25, upper=25)
    _close(one, jsd.jensen_shannon(q, p, lower=-25, upper=25))
    assert 0.01 < one < np.log(2)


def test_game_is_worth_most_at_the_optimal_critic() -> None:
    p, q = _normal(0.0), _normal(1.0, 1.5)
    ends: dict[str, float] = {"lower": -20, "upper": 20}
    best = jsd.gan_value_at_optimum(p, q, **ends)
    critic = jsd.optimal_critic(p, q)
    _close(jsd.gan_value(critic, p, q, **ends), best)
    worse = (lambda x: critic(x) + 0.1, lambda x: 0.9 * critic(x), lambda x: -critic(x))
    for other in worse:
        assert jsd.gan_value(other, p, q, **ends) < best - 1e-4
    _close(jsd.gan_value(np.zeros_like, p, q, **ends), -np.log(4))


# --- densities


def test_densities_are_normalised() -> None:
    logits = np.array([-30.0, -3.0, -1e-2, -1e-9, 0.0, 1e-3, 0.5, 30.0])
    both = np.exp([densities.bernoulli(np.asarray(x), logits) for x in (0.0, 1.0)])
    _close(both.sum(0), 1)
    points, mass = jsd.quadrature(0, 1)
    inside = np.exp(densities.continuous_bernoulli(points[:, None], logits))
    _close(mass @ inside, 1)
    classes = densities.categorical(np.arange(3), np.array([700.0, 699.0, -700.0]))
    _close(np.exp(classes).sum(), 1)
    points, mass = jsd.quadrature(-30, 30)
    _close(mass @ np.exp(_normal(0.5, 2.0)(points)), 1)


def test_density_values_by_hand() -> None:
    found = densities.bernoulli(np.array([1.0, 0.0]), np.log([3.0, 3.0]))
    np.testing.assert_allclose(found, np.log([0.75, 0.25]))
    found = densities.categorical(np.array([0, 1]), np.log([[1.0, 3.0], [4.0, 1.0]]))
    np.testing.assert_allclose(found, np.log([0.25, 0.2]))
    found = densities.normal(np.array(3.0), np.array(1.0), np.array(2.0))
    np.testing.assert_allclose(found, -0.5 - np.log(2) - 0.5 * np.log(2 * np.pi))


def test_bernoulli_keeps_its_tails() -> None:
    found = densities.bernoulli(np.array([1.0, 1.0]), np.array([-1000.0, 40.0]))
    np.testing.assert_allclose(found, [-1000, -np.exp(-40.0)], rtol=1e-12)


def test_continuous_bernoulli_normaliser_by_the_formula_of_the_paper() -> None:
    """`C(p) = 2 artanh(1 - 2p) / (1 - 2p)` for the mass `C p^x (1 - p)^(1 - x)`."""
    p = np.array([0.01, 0.2, 0.4, 0.6, 0.95])
    x = np.array(0.3)
    constant = 2 * np.arctanh(1 - 2 * p) / (1 - 2 * p)
    exact = np.log(constant) + x * np.log(p) + (1 - x) * np.log1p(-p)
    logits = np.log(p) - np.log1p(-p)
    _close(densities.continuous_bernoulli(x, logits), exact)


def test_continuous_bernoulli_series_meets_the_exact_branch() -> None:
    edges = np.array([-1.0, 1.0])[:, None] * 1e-2 * np.array([1 - 1e-9, 1 + 1e-9])
    found = densities.continuous_bernoulli_log_normaliser(edges)
    np.testing.assert_allclose(found[:, 0], found[:, 1], rtol=0, atol=2e-11)
    curvature = densities.continuous_bernoulli_log_normaliser(np.array([5e-3, 2e-2]))
    by_integral = [np.log(np.expm1(v) / v) for v in (5e-3, 2e-2)]
    np.testing.assert_allclose(curvature, by_integral, rtol=0, atol=1e-15)


# --- both array libraries of the hosts


def test_oracles_import_no_host() -> None:
    code = "import sys, ppgm.testing; print({'torch', 'jax', 'pyro', 'numpyro'} & {*sys.modules})"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_enumerated_bounds_differentiate_in_each_library(library: str) -> None:
    network, guide = _network(3, 2, 1)
    x = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    exact = _leaves(*sbn.bound_gradients(x, network, guide, 2))
    leaves = _leaves(network, guide)
    found = _autodiff(library, lambda values: sbn.iwae(x, *_rebuild(values, 2), 2).sum(), leaves)
    for one, other in zip(found, exact, strict=True):
        _close(one, other)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_machine_density_differentiates_in_each_library(library: str) -> None:
    machine, v = _machine(), np.array([[1.0, 0, 0, 1], [1, 1, 0, 1]])
    found = _autodiff(
        library, lambda values: rbm.log_density(v, rbm.Machine(*values)).mean(), [*machine]
    )
    for one, other in zip(found, rbm.gradient(v, machine), strict=True):
        _close(one, other)


def _autodiff(
    library: str, function: Callable[..., arrays.Array], leaves: list[np.ndarray]
) -> list[np.ndarray]:
    if library == "torch":
        torch = pytest.importorskip("torch")
        inputs = [torch.tensor(leaf, requires_grad=True) for leaf in leaves]
        return [g.numpy() for g in torch.autograd.grad(function(inputs), inputs)]
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        inputs = [jax.numpy.asarray(leaf) for leaf in leaves]
        return [np.asarray(g) for g in jax.jit(jax.grad(function))(inputs)]
