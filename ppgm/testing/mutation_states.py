"""Mutants of models of sequences with exact answers, and of particle filters."""

from ppgm.testing.mutation_kinds import Mutant
from ppgm.testing.mutation_kinds import tests_of as _tests

__all__ = ["STATES"]

JOINT = _tests("kalman", "likelihood_and_filter_are_those_of_the_joint[all of it]")
SMOOTHED = _tests("kalman", "smoother_is_that_of_the_joint[all of it]")
AHEAD = _tests("kalman", "forecasts_are_those_of_a_longer_series[all of it]")
DRAWN = _tests("kalman", "the_synthetic_set_is_drawn_from_its_parameters")
WEIGHT = _tests(
    "linear_gaussian_ssm",
    "every_weight_is_the_kalman_likelihood[pyro-all of it]",
    "every_weight_is_the_kalman_likelihood[pyro-entries missing]",
)
DENSITY = _tests("linear_gaussian_ssm", "densities_are_those_of_the_reference[pyro-all of it]")
MOVES = _tests("linear_gaussian_ssm", "a_draw_of_the_model_follows_its_equations[pyro]")
PATHS = _tests("hmm", "likelihood_and_posterior_are_sums_over_all_paths")
BEST = _tests("hmm", "the_best_path_is_the_best_of_all")
SUMMED = _tests("hmm", "the_bound_is_the_sum_over_all_paths_and_its_gradient[pyro-poisson]")
FREQUENCIES = _tests("hmm", "draws_have_the_probabilities_of_paths[pyro]")
MOMENTS = _tests("hmm", "forecasts_are_moments_over_the_states_of_missing_steps")
CHOSEN = _tests("particle_filter", "ancestors_are_those_of_a_plain_loop[systematic-numpy]")
CHILDREN = _tests("particle_filter", "expected_numbers_of_children_are_the_weights[residual]")
LOOP = _tests("particle_filter", "the_filter_is_that_of_a_plain_loop[numpy]")
ENDS = _tests(
    "particle_filter", "without_resampling_it_is_the_importance_weighted_bound[pyro-blind]"
)
WHOLE = _tests("particle_filter", "paths_follow_the_transition")
BOUND = _tests(
    "particle_filter", "without_resampling_it_is_the_importance_weighted_bound[pyro-dkf]"
)
KALMAN, SMOOTHER = "ppgm/testing/kalman.py", "ppgm/testing/kalman_smoother.py"
MARKOV, HIDDEN = "ppgm/testing/hidden_markov.py", "ppgm/distributions_hidden_markov.py"
CHAIN, SERIES = "ppgm/guides/linear_chain.py", "ppgm/distributions_series.py"
MODEL, FILTER = "ppgm/models/linear_gaussian_ssm.py", "ppgm/particle_filters.py"

EXACT = (
    Mutant("missing entries count in the constant", "M14", KALMAN,
           " + LOG_2PI / 2 * (1 - here).sum(-1)", "", JOINT),
    Mutant("Kalman filter with the input of the step before", "M10", KALMAN,
           "model.transition.T + drift[:, t]\n            covariance",
           "model.transition.T + drift[:, t - 1]\n            covariance", JOINT),
    Mutant("forecast from the last step of all rows", "M10", KALMAN,
           "past.covariance[np.arange(rows), last - 1]", "past.covariance[:, -1]", AHEAD),
    Mutant("lagged covariance transposed", "M6", SMOOTHER,
           "lagged.append(covariance[-1] @ _t(gain))", "lagged.append(gain @ covariance[-1])",
           SMOOTHED),
    Mutant("smoother without the covariance to come", "M9", SMOOTHER,
           "covariance.append(gain @ covariance[-1] @ _t(gain) + back", "covariance.append(back",
           SMOOTHED),
    Mutant("forward pass over the next state", "M6", MARKOV,
           "NUMPY.logsumexp(before, -2)", "NUMPY.logsumexp(before, -1)", PATHS),
    Mutant("pairs with the evidence of their first state", "M10", MARKOV,
           "model.evidence[:, 1:] + back", "model.evidence[:, :-1] + back", PATHS),
    Mutant("the best path goes on after the end", "M10", MARKOV,
           "reached.argmax(1), np.arange(states)", "reached.argmax(1), 0", BEST),
    Mutant("variances for deviations in the synthetic set", "M9", "ppgm/data/states.py",
           "DRIFT + np.sqrt(STATE_VARIANCE)", "DRIFT + STATE_VARIANCE", DRAWN),
)  # fmt: skip

SEQUENCES = (
    Mutant("messages without the drift", "M14", CHAIN,
           "(outer - _times(inner, drift)) @ a", "outer @ a", WEIGHT),
    Mutant("messages without Joseph's second term", "M9", CHAIN,
           "precision = precision + transpose(self.half) @ self.half", "pass", WEIGHT),
    Mutant("posterior step without its transition", "M10", CHAIN,
           "gain, shift = update.left @ a", "gain, shift = update.left", WEIGHT),
    Mutant("posterior of the step before", "M10", CHAIN,
           "xs = (precisions[1:], etas[1:]", "xs = (precisions[:-1], etas[:-1]", WEIGHT),
    Mutant("unseen entries in the constant of the data", "M14", SERIES,
           "terms = ops.np.where(self.seen, terms, 0.0)", "pass", DENSITY),
    Mutant("factor for covariance of what was seen", "M9", SERIES,
           "cholesky(both * (self.root @ self.root.T)", "cholesky(both * self.root @ self.root.T",
           DENSITY),
    Mutant("one step after the end is counted", "M10", "ppgm/series.py",
           "arange(self.length) < self.lengths", "arange(self.length) <= self.lengths", DENSITY),
    Mutant("covariance mixed on the wrong side", "M9", MODEL,
           "* places).sum(0)) * scale", "* places).sum(0)) * scale[:, None]", WEIGHT),
    Mutant("transition transposed", "M6", CHAIN,
           "normal(z @ self.transition.T + drift", "normal(z @ self.transition + drift", MOVES),
    Mutant("first step of a hidden Markov model not counted", "M10", HIDDEN,
           "return log_p + steps.sum(0)", "return steps.sum(0)", SUMMED),
    Mutant("hidden transition transposed", "M6", HIDDEN,
           "carry[0][..., None] + self.log_transition, -2)",
           "carry[0][..., None] + self.log_transition, -1)", SUMMED),
    Mutant("unseen entries of a vector counted", "M10", "ppgm/distributions_entries.py",
           "return xp.where(seen, terms, xp.zeros_like(terms)).sum(-1)", "return terms.sum(-1)",
           SUMMED),
    Mutant("states drawn against the transition", "M6", HIDDEN,
           "_chosen(carry[0] @ chances", "_chosen(carry[0] @ chances.T", FREQUENCIES),
    Mutant("spread between the states left out", "M9", "ppgm/models/hmm.py",
           "variance + mean**2", "variance", MOMENTS),
)  # fmt: skip

PARTICLES = (
    Mutant("systematic points with noise of their own", "M11", "ppgm/resampling.py",
           'uniform[:1] if scheme == "systematic"', 'uniform if scheme == "systematic"', CHOSEN),
    Mutant("residual points are the highest of all", "M11", "ppgm/resampling.py",
           "xp.where(taken, xp.zeros_like(uniform), uniform)", "uniform", CHILDREN),
    Mutant("children by what is left alone", "M5", "ppgm/resampling.py",
           "return xp.where(taken, sure, drawn)", "return drawn", CHILDREN),
    Mutant("weights kept where particles are resampled", "M5", FILTER,
           "xp.where(poor, xp.zeros_like(log_w) - log(count), log_w)", "log_w", LOOP),
    Mutant("ancestors not followed", "M10", FILTER,
           "z = xp.take_along_axis(z, origin[..., None], axis=0)", "pass", LOOP),
    Mutant("proposal's density left out", "M5", FILTER,
           "else target.log_prob(z) - log_q + seen", "else target.log_prob(z) + seen", LOOP),
    Mutant("nothing is resampled", "M10", FILTER,
           "count * (self.threshold - 1e-6)", "0 * (self.threshold - 1e-6)", LOOP),
    Mutant("steps after the end count in a filter", "M10", FILTER,
           'np.where(now["alive"], alpha,', 'np.where(now["alive"] | True, alpha,', ENDS),
    Mutant("whole paths by the first particles", "M10", "ppgm/inference/particle_filter.py",
           "index = np.take_along_axis(self.ancestors[:, :, t], index, 0)", "pass", WHOLE),
    Mutant("mean over time for the sum", "M7", "ppgm/inference/fivo.py",
           ".log_c.sum(0)", ".log_c.mean(0)", BOUND),
    Mutant("particles not averaged", "M5", FILTER,
           "ops.np.zeros_like(noise[..., 0]) - log(noise.shape[0])",
           "ops.np.zeros_like(noise[..., 0])", BOUND),
)  # fmt: skip

STATES = EXACT + SEQUENCES + PARTICLES
