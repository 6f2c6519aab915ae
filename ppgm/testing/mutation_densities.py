"""Mutants of splines, mixing, normalisation, flow densities, continuous flows and their data."""

from ppgm.testing.mutation_kinds import Mutant
from ppgm.testing.mutation_kinds import tests_of as _tests

__all__ = ["DENSITIES"]

SPLINE = _tests("splines", "values_and_slopes_are_those_of_the_reference")
ROOT = _tests("splines", "the_inverse_is_that_of_the_reference")
FACTORS = _tests("splines", "factors_multiply_to_the_matrix")
POSITIONS = _tests("splines", "every_position_is_mixed_by_the_same_matrix")
MEASURED = _tests("splines", "a_measured_normalisation_gives_mean_zero_and_deviation_one[pyro-2]")
LINEAR_MAF = _tests("density_models", "a_linear_maf_is_a_gaussian[pyro]")
TURNS = _tests("density_models", "steps_take_turns")
ACTIVATIONS = _tests("density_models", "normalised_activations[pyro-real-nvp]")
NO_DENSITY = _tests(
    "density_models",
    "no_bound_of_what_is_no_density[pyro-declaration1-x]",
    "no_bound_of_what_is_no_density[pyro-declaration2-v]",
)
FAMILIES = _tests("flow_guides", "steps_take_turns_with_the_order")
LINEAR_FIELD = _tests(
    "continuous_flows", "a_linear_field_has_a_closed_form[pyro-dopri8-1e-10-1e-08]"
)
BENT_FIELD = _tests("continuous_flows", "log_determinants_are_those_of_the_jacobian")
ESTIMATE = _tests("continuous_flows", "the_noise_of_an_estimate_stays_the_same[pyro]")
TABLE = _tests("density_data", "a_table_is_split_and_standardised")

MAPS = (
    Mutant("slope of a spline without its denominator squared", "M2", "ppgm/transforms/spline.py",
           "+ xp.log(over) - 2 * xp.log(under)", "+ xp.log(over) - xp.log(under)", SPLINE),
    Mutant("log determinant of a spline's inverse with the wrong sign", "M2",
           "ppgm/transforms/spline.py", "self._joined(y, x, -log_slope, inside)",
           "self._joined(y, x, log_slope, inside)", ROOT),
    Mutant("tails of a spline with a log determinant", "M2", "ppgm/transforms/spline.py",
           "xp.where(inside, log_slope, xp.zeros_like(log_slope)).sum(-1)", "log_slope.sum(-1)",
           SPLINE),
    Mutant("other root of a spline's inverse", "M14", "ppgm/transforms/spline.py",
           "2 * s * rise, root - b)", "2 * s * rise, root + b)", ROOT),
    Mutant("one slope for both ends of a bin", "M10", "ppgm/transforms/spline.py",
           "at(slopes, index + 1)", "at(slopes, index)", SPLINE),
    Mutant("bin of a spline's inverse by the wrong axis", "M10", "ppgm/transforms/spline.py",
           "starts = (lefts, bottoms)[axis]", "starts = lefts", ROOT),
    Mutant("slopes of a spline that do not meet the tails", "M14", "ppgm/transforms/spline.py",
           "end = xp.ones_like(inner[..., :1, :])", "end = 2 * xp.ones_like(inner[..., :1, :])",
           _tests("splines", "ends_meet_the_tails_with_slope_one")),
    Mutant("gradients of the tails through the bend", "M14", "ppgm/transforms/spline.py",
           "x_in = xp.where(inside, x, xp.zeros_like(x))", "x_in = x",
           _tests("splines", "gradients_are_finite_everywhere[pyro-forward]")),
    Mutant("rows of a mixing permuted back", "M10", "ppgm/transforms/mixing.py",
           "np.argsort(rows), np.sign", "rows, np.sign", FACTORS),
    Mutant("mixing without its signs", "M14", "ppgm/transforms/mixing.py",
           "ops.float(self.sign) * xp.exp", "xp.exp", FACTORS),
    Mutant("log determinant of a mixing for one position", "M2", "ppgm/transforms/mixing.py",
           "(x.shape[-1] // self.log_scale.shape[-1]) * self", "self", POSITIONS),
    Mutant("factor of a mixing with a diagonal of its own", "M14", "ppgm/transforms/mixing.py",
           "xp.tril(self.lower, k=-1)", "xp.tril(self.lower, k=0)",
           _tests("splines", "free_parameters_of_a_mixing_count_where_they_may")),
    Mutant("variance for a deviation in a normalisation", "M9",
           "ppgm/transforms/normalisation.py", "LEAST**2, None)) / 2)", "LEAST**2, None)))",
           MEASURED),
    Mutant("log determinant of a normalisation with the wrong sign", "M2",
           "ppgm/transforms/normalisation.py", "exp(-log_scale), -log_scale.sum(-1)",
           "exp(-log_scale), log_scale.sum(-1)", MEASURED),
)  # fmt: skip

MODELS = (
    Mutant("data and noise of a density swapped", "M10", "ppgm/models/density.py",
           "Inverse(Chain(tuple(steps)))", "Chain(tuple(steps))", LINEAR_MAF),
    Mutant("every layer of a MAF in one order", "M13", "ppgm/models/maf.py",
           '("forward", "reverse")[n % 2]', '"forward"', LINEAR_MAF),
    Mutant("couplings that never take turns, RealNVP", "M10", "ppgm/models/real_nvp.py",
           "Inverse(Coupling(scale, Affine, flip=n % 2 == 1))",
           "Inverse(Coupling(scale, Affine, flip=False))", TURNS),
    Mutant("activations measured and not normalised", "M10", "ppgm/models/density.py",
           "return found.inverse(x)", "return found.forward(x)", ACTIVATIONS),
    Mutant("squeeze that mixes up channels", "M10", "ppgm/models/glow.py",
           "index.transpose(0, 2, 4, 1, 3)", "index.transpose(2, 4, 0, 1, 3)",
           _tests("density_models", "a_squeeze_makes_channels_of_neighbours")),
    Mutant("an autoencoder taken for a density", "M14", "ppgm/sites.py",
           "seen = {s.name for s in observed} & set(needed)", "seen = set()", NO_DENSITY),
    Mutant("an energy taken for a density", "M14", "ppgm/sites.py",
           "for s in observed) and not table.select", "for s in observed) or table.select",
           NO_DENSITY),
    Mutant("splines of a posterior in one order", "M13", "ppgm/guides/spline.py",
           '("forward", "reverse")[t % 2]', '"forward"', FAMILIES),
    Mutant("splines of a posterior on one half", "M10", "ppgm/guides/spline.py",
           "flip = t % 2 == 1", "flip = False", FAMILIES),
)  # fmt: skip

CONTINUOUS = (
    Mutant("trace with the wrong sign", "M2", "ppgm/transforms/continuous.py",
           "self.field(state[0], time), self._trace(", "self.field(state[0], time), -self._trace(",
           LINEAR_FIELD),
    Mutant("trace as a mean over coordinates", "M7", "ppgm/transforms/continuous.py",
           "* unit).sum(-1).sum(0)", "* unit).sum(-1).mean(0)", LINEAR_FIELD),
    Mutant("a continuous map's inverse forward in time", "M10", "ppgm/transforms/continuous.py",
           "self._moved(y, self.time, 0.0)", "self._moved(y, 0.0, self.time)", LINEAR_FIELD),
    Mutant("estimate of the trace by the noise once", "M2", "ppgm/transforms/continuous.py",
           "* self.probe, z) * self.probe).sum(-1)", "* self.probe, z)).sum(-1)", ESTIMATE),
    Mutant("field at another time than its trace", "M10", "ppgm/transforms/continuous.py",
           "return self.field(state[0], time),", "return self.field(state[0], 0 * time),",
           BENT_FIELD),
    Mutant("end of a solve interpolated, Pyro", "M10", "ppgm/host_pyro_ode.py",
           'options = {"step_t": times[1:]}', "options = {}", LINEAR_FIELD),
)  # fmt: skip

DATA = (
    Mutant("every square of the checkerboard", "M14", "ppgm/data/toys.py",
           "2 * row + column % 2]", "2 * row]",
           _tests("density_data", "the_checkerboard_fills_every_second_square")),
    Mutant("entropy of a mixture without its weights", "M14", "ppgm/data/toys.py",
           "(square - top)).mean(axis=1)", "(square - top)).sum(axis=1)",
           _tests("density_data", "the_entropy_of_a_mixture_is_its_integral")),
    Mutant("equal rows trained on and held out", "M10", "ppgm/data/tabular.py",
           "np.unique(x, axis=0, return_inverse=True)[1].reshape(-1)", "np.arange(len(x))",
           _tests("density_data", "no_row_is_trained_on_and_held_out")),
    Mutant("a table standardised by all its rows", "M9", "ppgm/data/tabular.py",
           "train.mean(axis=0), train.std(axis=0)", "noisy.mean(axis=0), noisy.std(axis=0)",
           TABLE),
    Mutant("levels dequantised onto each other", "M14", "ppgm/data/levels.py",
           "(whole + noise) / levels,", "(whole + noise) / (levels - 1),",
           _tests("density_data", "dequantised_levels_are_levels_again")),
)  # fmt: skip

DENSITIES = MAPS + MODELS + CONTINUOUS + DATA
