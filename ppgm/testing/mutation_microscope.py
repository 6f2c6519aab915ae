"""Mutants of the gradient microscope."""

from ppgm.testing.mutation_kinds import Mutant
from ppgm.testing.mutation_kinds import tests_of as _tests

__all__ = ["MICROSCOPE"]

MEASURES = "ppgm/microscope_measures.py"
PAIRS = _tests("microscope", "the_squared_distance_is_a_statistic_of_pairs")
SIZES = _tests("microscope", "batches_of_unequal_sizes_have_no_bias")
SPREAD = _tests("microscope", "the_error_of_a_bias_is_its_spread_over_experiments")
DRAWS = _tests("microscope", "moments_are_those_of_the_draws")

MICROSCOPE = (
    Mutant("noise of means taken for a bias", "M17", MEASURES,
           "weights @ gram @ weights - squares @ np.diag(gram)", "weights @ gram @ weights",
           PAIRS),
    Mutant("batches of unequal sizes weighted alike", "M17", MEASURES,
           "w, v = w / w.sum(), v / v.sum()",
           "w, v = (w > 0) / (w > 0).sum(), (v > 0) / (v > 0).sum()", SIZES),
    Mutant("spread of deletions taken for that of means", "M17", MEASURES,
           "variances.append((n - 1) / n *", "variances.append(1 / n *", PAIRS),
    Mutant("error of a square for that of its root", "M17", MEASURES,
           "spread = norm - sqrt(square - error) if", "spread = error if", SPREAD),
    Mutant("a bias clear at one error", "M17", MEASURES,
           "- 1] * error if freedom < inf", "- 1] * 0 + error if freedom < inf", SPREAD),
    Mutant("variance without that between batches", "M17", MEASURES,
           "(within[name] + between) / (draws - 1)", "within[name] / (draws - 1)", DRAWS),
    Mutant("draws added to the first batch, Pyro", "M17", "ppgm/host_pyro_probe.py",
           "m[batch] += gap / seen[batch]", "m[0] += gap / seen[batch]", DRAWS),
    Mutant("draws weighted by their number in all, NumPyro", "M17", "ppgm/host_numpyro_probe.py",
           "m + gap / seen[n]", "m + gap / (n + 1)", DRAWS),
    Mutant("gradient of another bound taken for the right one", "M17",
           "ppgm/microscope_arguments.py",
           "return (*key, objective.particles, tuple(sorted(objective.enumerate)))", "return key",
           _tests("microscope", "what_is_one_bound")),
    Mutant("a reference without draws of its own", "M11", "ppgm/microscope.py",
           "reference_draws, seed + 1", "draws, seed",
           _tests("microscope", "an_exact_reference_is_evaluated_a_few_times")),
    Mutant("biased gradient called unbiased", "M17", "ppgm/inference/stl.py",
           'return "score left out inside a logarithm" if inside else ""', 'return ""',
           _tests("estimator_table", "biased_estimators_are_called_so")),
)  # fmt: skip
