"""Hidden Markov models against the enumeration of all paths."""

import numpy as np
import pytest

from ppgm.ops import NUMPY
from ppgm.testing import hidden_markov
from ppgm.testing.hidden_markov import Model

N, T, K, D = 4, 5, 3, 2
TIGHT = 1e-12
LENGTHS = np.array([5, 1, 3, 4])


@pytest.fixture
def model(rng: np.random.Generator) -> Model:
    transition = rng.dirichlet(np.ones(K), size=K)
    transition[0, 2] = 0.0
    transition /= transition.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        log_transition = np.log(transition)
    evidence = rng.normal(size=(N, T, K)) * 3
    evidence[2, 1] = 0  # a missing step
    return Model(np.log(rng.dirichlet(np.ones(K))), log_transition, evidence, LENGTHS)


def weights(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """All paths, and their joint log probability with the data, ``(N, paths)``.

    A path of a shorter sequence stands for all its continuations, whose probabilities sum to
    one: with the steps after the end as missing ones, the total is the same.
    """
    every = hidden_markov.paths(K, T)
    whole = model._replace(log_emission=model.evidence, lengths=None)
    return every, hidden_markov.log_joint(whole, every)


def test_the_paths_are_all_there() -> None:
    every = hidden_markov.paths(K, T)
    assert every.shape == (K**T, T)
    assert len(np.unique(every, axis=0)) == K**T


def test_likelihood_and_posterior_are_sums_over_all_paths(model: Model) -> None:
    every, log_w = weights(model)
    total = NUMPY.logsumexp(log_w, -1)
    np.testing.assert_allclose(hidden_markov.log_likelihood(model), total, atol=TIGHT)
    shares = np.exp(log_w - total[:, None])
    found = hidden_markov.posterior(model)
    indicator = np.eye(K)[every]
    states = np.einsum("np,ptk->ntk", shares, indicator)
    pairs = np.einsum("np,pti,ptj->ntij", shares, indicator[:, :-1], indicator[:, 1:])
    np.testing.assert_allclose(found.states, states, atol=TIGHT)
    np.testing.assert_allclose(found.pairs, pairs, atol=TIGHT)


def test_the_forward_pass_is_a_sum_over_paths_up_to_each_step(model: Model) -> None:
    found = hidden_markov.forward(model)
    for t in range(T):
        short = model._replace(log_emission=model.evidence[:, : t + 1], lengths=None)
        every = hidden_markov.paths(K, t + 1)
        log_w = hidden_markov.log_joint(short, every)
        for k in range(K):
            wanted = NUMPY.logsumexp(log_w[:, every[:, -1] == k], -1)
            np.testing.assert_allclose(found[:, t, k], wanted, atol=TIGHT)


def test_the_best_path_is_the_best_of_all(model: Model) -> None:
    found, log_p = hidden_markov.most_probable_path(model)
    for row, end in enumerate(LENGTHS):
        own = Model(*model[:2], model.log_emission[[row], :end])
        every = hidden_markov.paths(K, int(end))
        log_w = hidden_markov.log_joint(own, every)[0]
        np.testing.assert_array_equal(found[row, :end], every[log_w.argmax()])
        assert log_p[row] == pytest.approx(log_w.max(), abs=TIGHT)
        assert (found[row, end:] == -1).all()


def test_states_after_the_end_do_not_count_in_a_path(model: Model) -> None:
    every = hidden_markov.paths(K, T)
    found = hidden_markov.log_joint(model, every)
    for row, end in enumerate(LENGTHS):
        own = Model(*model[:2], model.log_emission[[row], :end])
        wanted = hidden_markov.log_joint(own, every[:, :end])[0]
        np.testing.assert_allclose(found[row], wanted, atol=TIGHT)
