"""The pure mathematics of every objective, on hand-made arrays of numpy, torch and JAX.

The values are compared with loops over rows and particles (`ppgm.testing.weights`), the gradients
of the surrogates with formulas written out by hand.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ppgm.inference import ELBO, IWAE, RLOO, STL, VIMCO, Anneal, Renyi
from ppgm.inference.gan import critic_rows, generator_rows
from ppgm.inference.powers import leave_one_out
from ppgm.ops import ops_of
from ppgm.terms import Part, Weights, rescaled
from ppgm.testing import weights as naive

LIBRARIES = ["numpy", "torch", "jax"]
K, N = 4, 3
EXTREME = {
    "ties": [[2.0, -3.0], [2.0, -3.0], [2.0, -3.0]],
    "far below": [[-1e4, -1e4 - 1], [-1e4 + 2, -1e4], [-1e4, -1e4 + 5]],
    "far apart": [[0.0, -1e4], [-1e4, 0.0], [-2e4, -1e4]],
    "large": [[700.0, 1e4], [710.0, 1e4 + 1], [0.0, -1e4]],
    "tied largest": [[5.0, 0.0], [5.0, 0.0], [-5.0, -30.0]],
    "two": [[1.0, -2.0], [3.0, 1e3]],
}

pytestmark = pytest.mark.usefixtures("f64")
every_library = pytest.mark.parametrize("library", LIBRARIES)
both_autodiffs = pytest.mark.parametrize("library", LIBRARIES[1:])


def to(library: str, value: Any) -> Any:
    if library == "torch":
        import torch

        return torch.tensor(np.asarray(value))
    if library == "jax":
        import jax.numpy as jnp

        return jnp.asarray(value)
    return np.asarray(value)


def gradients(library: str, fn: Callable[..., Any], *arrays: np.ndarray) -> list[np.ndarray]:
    """Derivatives of ``fn(*arrays).sum()`` by the library's autodiff."""
    if library == "torch":
        import torch

        leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
        total = fn(*leaves).sum()
        grads = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
        return [g.numpy() for g in grads]
    import jax

    leaves = tuple(to("jax", a) for a in arrays)
    summed = jax.grad(lambda *a: fn(*a).sum(), argnums=tuple(range(len(arrays))))
    return [np.asarray(g) for g in summed(*leaves)]


def pair(rng: np.random.Generator, shape: tuple[int, ...] = (K, N)) -> tuple[np.ndarray, ...]:
    """Log p, log q and the part of log p that belongs to the latents."""
    return tuple(rng.normal(size=shape) * 3 for _ in range(3))


def close(got: Any, wanted: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=tolerance, atol=tolerance)


BOUNDS = {
    "elbo": (ELBO(particles=K), naive.elbo),
    "iwae": (IWAE(particles=K), naive.iwae),
    "vimco": (VIMCO(particles=K), naive.iwae),
    "renyi 1/2": (Renyi(0.5, K), lambda w: naive.renyi(w, 0.5)),
    "renyi 2": (Renyi(2.0, K), lambda w: naive.renyi(w, 2.0)),
    "renyi -1": (Renyi(-1.0, K), lambda w: naive.renyi(w, -1.0)),
    "renyi 0": (Renyi(0.0, K), naive.iwae),
}
every_bound = pytest.mark.parametrize("bound", BOUNDS)


def tempered(beta: float, log_p: Any, log_q: Any, log_prior: Any, score: Any = None) -> Weights:
    """Weights of a latent z and an observed x, the divergence of z from its prior scaled."""
    parts = (
        Part("z", "guide", "latent", log_q, score),
        Part("z", "model", "latent", log_prior),
        Part("x", "model", "observed", log_p - log_prior),
    )
    factors = {("model", "z"): beta, ("guide", "z"): beta}
    return rescaled(Weights(log_p, log_q, score, parts=parts), factors, ops_of(log_p))


# Values.


@every_library
@every_bound
@pytest.mark.parametrize("scored", [False, True])
def test_the_value_of_a_bound_is_the_naive_one(
    library: str, bound: str, scored: bool, rng: np.random.Generator
) -> None:
    objective, reference = BOUNDS[bound]
    log_p, log_q, _ = pair(rng)
    score = to(library, log_q / 2) if scored else None
    got = objective.rows(Weights(to(library, log_p), to(library, log_q), score=score))
    close(got, -reference(log_p - log_q))


@every_library
def test_stl_takes_log_q_with_constant_parameters(library: str, rng: np.random.Generator) -> None:
    log_p, log_q, stopped = (to(library, a) for a in pair(rng))
    got = STL(particles=K).rows(Weights(log_p, log_q, log_q_stopped=stopped))
    close(got, -naive.elbo(np.asarray(log_p) - np.asarray(stopped)))


@every_library
@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0, 4.0])
def test_beta_weighs_the_divergence_from_the_prior(
    library: str, beta: float, rng: np.random.Generator
) -> None:
    log_p, log_q, log_prior = pair(rng)
    weights = tempered(beta, *(to(library, a) for a in (log_p, log_q, log_prior)))
    likelihood = log_p - log_prior
    wanted = -(likelihood.mean(0) + beta * (log_prior - log_q).mean(0))
    close(ELBO(particles=K).rows(weights), wanted)


@every_library
def test_enumerated_draws_are_weighted_by_their_mass(
    library: str, rng: np.random.Generator
) -> None:
    log_p, log_q, mass = pair(rng, (3 * 2, N))  # three values, two particles of each
    mass = mass - np.log(np.exp(mass).sum(0)) + np.log(2)
    got = ELBO(particles=2, enumerate=("y",)).rows(
        Weights(*(to(library, a) for a in (log_p, log_q)), log_mass=to(library, mass))
    )
    close(got, -(np.exp(mass) * (log_p - log_q)).sum(0) / 2)


@every_library
@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
@pytest.mark.parametrize("case", EXTREME)
def test_leave_one_out_is_the_naive_baseline(library: str, mean: str, case: str) -> None:
    log_w = np.array(EXTREME[case])
    wanted = naive.vimco_baseline(log_w, mean=mean)
    got = np.asarray(leave_one_out(to(library, log_w), mean))
    assert np.isfinite(got).all()
    close(got, wanted)


@every_library
@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
def test_leave_one_out_does_not_see_the_weight_it_leaves_out(
    library: str, mean: str, rng: np.random.Generator
) -> None:
    log_w = rng.normal(size=(5, 2)) * 4
    before = np.asarray(leave_one_out(to(library, log_w), mean))
    for k in range(len(log_w)):
        moved = log_w.copy()
        moved[k] += rng.normal(size=2) * 20
        close(np.asarray(leave_one_out(to(library, moved), mean))[k], before[k])


@every_library
@every_bound
@pytest.mark.parametrize("case", EXTREME)
def test_bounds_stay_exact_for_extreme_weights(library: str, bound: str, case: str) -> None:
    objective, reference = BOUNDS[bound]
    log_w = np.array(EXTREME[case])
    zeros = np.zeros_like(log_w)
    if isinstance(objective, ELBO):
        objective = ELBO(particles=len(log_w))
    got = np.asarray(objective.rows(Weights(to(library, log_w), to(library, zeros))))
    assert np.isfinite(got).all()
    close(got, -reference(log_w))


@every_library
@pytest.mark.parametrize("bound", ["iwae", "renyi 1/2", "vimco"])
def test_a_draw_outside_the_support_counts_as_weight_zero(library: str, bound: str) -> None:
    log_w = np.array([[-np.inf, 0.0], [1.0, -np.inf], [2.0, 3.0]])
    objective, zeros = BOUNDS[bound][0], np.zeros((3, 2))
    got = np.asarray(objective.rows(Weights(to(library, log_w), to(library, zeros))))
    power = 1 - getattr(objective, "alpha", 0.0)
    close(got, -np.log(np.exp(power * log_w).mean(0)) / power)


@every_library
def test_leave_one_out_of_weight_zero_is_the_mean_of_the_others(library: str) -> None:
    log_w = np.array([[-np.inf], [1.0], [2.0]])
    got = np.asarray(leave_one_out(to(library, log_w), "arithmetic"))[:, 0]
    close(got, np.log([(np.e + np.e**2) / 2, np.e**2 / 2, np.e / 2]))
    got = np.asarray(leave_one_out(to(library, log_w), "geometric"))[:, 0]
    close(got, np.log([(np.e + np.e**2 + np.e**1.5) / 3, np.e**2 / 3, np.e / 3]))


@every_library
@pytest.mark.parametrize("bound", ["elbo", "iwae", "renyi 1/2", "renyi 2"])
def test_one_particle_makes_every_bound_the_log_weight(
    library: str, bound: str, rng: np.random.Generator
) -> None:
    log_p, log_q, _ = pair(rng, (1, N))
    objective = type(BOUNDS[bound][0])(particles=1)
    got = objective.rows(Weights(to(library, log_p), to(library, log_q)))
    close(got, (log_q - log_p)[0])


@every_library
@every_bound
def test_rows_do_not_mix(library: str, bound: str, rng: np.random.Generator) -> None:
    """A batch's bounds are those of its data, also with two axes of rows."""
    log_p, log_q, _ = pair(rng, (K, 2, 3))
    objective = BOUNDS[bound][0]
    got = np.asarray(objective.rows(Weights(to(library, log_p), to(library, log_q))))
    assert got.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        alone = Weights(to(library, log_p[:, i, j]), to(library, log_q[:, i, j]))
        close(got[i, j], np.asarray(objective.rows(alone)))


# Gradients of the surrogates.


@both_autodiffs
@pytest.mark.parametrize("scored", [False, True])
def test_gradient_of_the_elbo(library: str, scored: bool, rng: np.random.Generator) -> None:
    """d/dlog_p = -1/K, d/dlog_q = 1/K, and each score has its own log weight as the signal."""
    log_p, log_q, score = pair(rng)
    got = gradients(
        library,
        lambda p, q, s: ELBO(particles=K).rows(Weights(p, q, score=s if scored else None)),
        log_p, log_q, score,
    )  # fmt: skip
    ones = np.ones((K, N)) / K
    signal = -(log_p - log_q) / K if scored else 0 * ones
    for mine, wanted in zip(got, (-ones, ones, signal), strict=True):
        close(mine, wanted)


@both_autodiffs
@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0, -1.0])
@pytest.mark.parametrize("scored", [False, True])
def test_gradient_of_renyi(
    library: str, alpha: float, scored: bool, rng: np.random.Generator
) -> None:
    """d/dlog_w is minus the share of w^(1 - alpha); every score has the whole bound as signal."""
    log_p, log_q, score = pair(rng)
    objective = IWAE(K) if alpha == 0 else Renyi(alpha, K)
    got = gradients(
        library,
        lambda p, q, s: objective.rows(Weights(p, q, score=s if scored else None)),
        log_p, log_q, score,
    )  # fmt: skip
    share = naive.normalised(log_p - log_q, alpha=alpha)
    bound = np.broadcast_to(naive.renyi(log_p - log_q, alpha), (K, N))
    for mine, wanted in zip(got, (-share, share, -bound if scored else 0 * bound), strict=True):
        close(mine, wanted)


@both_autodiffs
@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
def test_gradient_of_vimco(library: str, mean: str, rng: np.random.Generator) -> None:
    log_p, log_q, score = pair(rng)
    objective = VIMCO(K, mean=mean)
    got = gradients(
        library, lambda p, q, s: objective.rows(Weights(p, q, score=s)), log_p, log_q, score
    )
    share = naive.normalised(log_p - log_q)
    signal = naive.vimco_signal(log_p - log_q, mean=mean)
    for mine, wanted in zip(got, (-share, share, -signal), strict=True):
        close(mine, wanted)


@both_autodiffs
def test_gradient_of_rloo(library: str, rng: np.random.Generator) -> None:
    """The signal of a draw is its log weight without the mean of the others'."""
    log_p, log_q, score = pair(rng)
    got = gradients(
        library, lambda p, q, s: RLOO(K).rows(Weights(p, q, score=s)), log_p, log_q, score
    )
    log_w = log_p - log_q
    others = np.stack([np.delete(log_w, k, axis=0).mean(0) for k in range(K)])
    ones = np.ones((K, N)) / K
    for mine, wanted in zip(got, (-ones, ones, -(log_w - others) / K), strict=True):
        close(mine, wanted)


@both_autodiffs
def test_gradient_of_stl_has_no_score(library: str, rng: np.random.Generator) -> None:
    got = gradients(
        library,
        lambda p, q, s: STL(particles=K).rows(Weights(p, q, log_q_stopped=s)),
        *pair(rng),
    )
    ones = np.ones((K, N)) / K
    for mine, wanted in zip(got, (-ones, 0 * ones, ones), strict=True):
        close(mine, wanted)


@both_autodiffs
def test_gradient_of_the_beta_elbo(library: str, rng: np.random.Generator) -> None:
    """The signal of a score is the weighted log weight, not the plain one."""
    log_p, log_q, log_prior = pair(rng)
    score, beta = rng.normal(size=(K, N)), 0.3
    got = gradients(
        library,
        lambda p, q, r, s: ELBO(K).rows(tempered(beta, p, q, r, s)),
        log_p, log_q, log_prior, score,
    )  # fmt: skip
    ones = np.ones((K, N)) / K
    signal = (log_p - log_q + (beta - 1) * (log_prior - log_q)) / K
    wanted = (-ones, beta * ones, (1 - beta) * ones, -signal)
    for mine, answer in zip(got, wanted, strict=True):
        close(mine, answer)


@both_autodiffs
def test_gradient_of_an_enumerated_elbo(library: str, rng: np.random.Generator) -> None:
    """The mass is differentiated too: with it the expectation needs no score."""
    log_p, log_q, mass = pair(rng)
    score = rng.normal(size=(K, N))
    got = gradients(
        library,
        lambda p, q, m, s: ELBO(1, enumerate=("y",)).rows(Weights(p, q, score=s, log_mass=m)),
        log_p, log_q, mass, score,
    )  # fmt: skip
    weight, log_w = np.exp(mass), log_p - log_q
    wanted = (-weight, weight, -weight * log_w, -weight * log_w)
    for mine, answer in zip(got, wanted, strict=True):
        close(mine, answer)


@both_autodiffs
@pytest.mark.parametrize("bound", ["iwae", "renyi 1/2", "vimco"])
@pytest.mark.parametrize("case", EXTREME)
def test_gradients_are_finite_for_extreme_weights(library: str, bound: str, case: str) -> None:
    log_w = np.array(EXTREME[case])
    objective = BOUNDS[bound][0]
    alpha = getattr(objective, "alpha", 0.0)
    got = gradients(
        library, lambda p, q, s: objective.rows(Weights(p, q, score=s)), log_w, 0 * log_w, log_w
    )
    assert all(np.isfinite(g).all() for g in got)
    close(got[0], -naive.normalised(log_w, alpha=alpha))


@both_autodiffs
def test_a_weight_of_zero_leaves_the_gradients_of_the_others_finite(library: str) -> None:
    log_w = np.array([[-np.inf], [1.0], [2.0]])
    for objective in (IWAE(3), VIMCO(3), VIMCO(3, mean="arithmetic")):
        path, score = gradients(
            library,
            lambda p, s, o=objective: o.rows(Weights(p, 0 * s, score=s)), log_w, np.zeros((3, 1)),
        )  # fmt: skip
        share = np.array([[0.0], [np.e], [np.e**2]]) / (np.e + np.e**2)
        close(path, -share)
        assert np.isfinite(score).all()


# Games, schedules.


@every_library
def test_rows_of_a_game(library: str, rng: np.random.Generator) -> None:
    real, fake = rng.normal(size=(2, 6)) * 3

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    critic = critic_rows(to(library, real), to(library, fake))
    close(critic, -np.log(sigmoid(real)) - np.log(1 - sigmoid(fake)))
    close(generator_rows(to(library, fake)), -np.log(sigmoid(fake)))
    close(generator_rows(to(library, fake), "minimax"), np.log(1 - sigmoid(fake)))


@both_autodiffs
def test_gradients_of_a_game(library: str, rng: np.random.Generator) -> None:
    real, fake = rng.normal(size=(2, 6))
    odds = 1 / (1 + np.exp(-np.stack([real, fake])))
    in_real, in_fake = gradients(library, critic_rows, real, fake)
    close(in_real, odds[0] - 1)
    close(in_fake, odds[1])
    close(gradients(library, generator_rows, fake)[0], odds[1] - 1)
    close(gradients(library, lambda f: generator_rows(f, "minimax"), fake)[0], -odds[1])


@every_library
def test_a_game_keeps_its_precision_at_confident_logits(library: str) -> None:
    logits = np.array([-1e4, -50.0, 0.0, 50.0, 1e4])
    small = math.exp(-50)
    wanted = np.array([1e4, 50.0 + small, math.log(2), small, 0.0])
    got = np.asarray(generator_rows(to(library, logits)))
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


@every_library
def test_annealing_is_linear_and_then_flat(library: str) -> None:
    schedule = Anneal(0.2, 1.0, steps=4)
    values = [schedule(to(library, np.array(float(i)))) for i in range(7)]
    close(values, [0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0])
