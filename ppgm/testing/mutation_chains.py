"""Mutants of Markov chains, recurrent networks and deep Kalman filters."""

from ppgm.testing.mutation_kinds import Mutant
from ppgm.testing.mutation_kinds import tests_of as _tests

__all__ = ["CHAINS"]

CHAIN = "ppgm/chains.py"
CELLS = "ppgm/nets_recurrent_cells.py"
SMOOTHERS = "ppgm/guides/smoothers.py"
TRANSITIONS = "ppgm/models/transitions.py"
KERNEL = "ppgm/host_pyro_chains.py"
JAX_KERNEL = "ppgm/host_numpyro_chains.py"
PACKING = "ppgm/host_pyro_packing.py"
EMITTED = "ppgm/distributions_emitted.py"

NOISE = _tests("chains", "the_density_of_a_draw_is_that_of_its_noise")
ENDS = _tests("chains", "steps_after_the_end_change_nothing_before_it")
NORMALS = _tests("chains", "normals_are_those_of_the_dense_covariance")
EQUATIONS = _tests("nets_recurrent", "the_numbers_are_those_of_the_equations")
SLOPES = _tests("nets_recurrent", "the_parameters_are_torchs_own")


def _cases(*names: str) -> tuple[str, ...]:
    test = "densities_are_those_of_the_equations"
    return _tests("dkf", *(f"{test}[pyro-{name}-True]" for name in names))


def _draws(*guides: str) -> tuple[str, ...]:
    return _tests("dkf", *(f"a_draw_has_the_density_that_it_is_scored_with[pyro-{g}-None]"
                           for g in guides))  # fmt: skip


def _padding(guide: str) -> tuple[str, ...]:
    return _tests("dkf", f"padding_changes_nothing[pyro-{guide}]")


FAST = _tests("chains", "the_fast_loop_of_a_guide_is_the_slow_one")
EXACT = _tests("dkf", "every_weight_is_log_p_at_the_exact_posterior[pyro-0-False]")
INPUTS = _tests("dkf", "every_weight_is_log_p_at_the_exact_posterior[pyro-2-True]")

CHAINS = (
    Mutant("a path scored one step off", "M10", CHAIN,
           "arrays = value[..., :-1, :], value[..., 1:, :]",
           "arrays = value[..., 1:, :], value[..., :-1, :]", NOISE),
    Mutant("inputs one step late", "M10", CHAIN,
           "*(i[..., 1:, :] for i in self.inputs)\n", "*(i[..., :-1, :] for i in self.inputs)\n",
           NOISE),
    Mutant("path without its first state", "M10", CHAIN,
           "return self._summed(log_p, value)",
           "return self._summed(log_p, value) - log_p[..., 0]", NOISE),
    Mutant("mean over time for its sum", "M7", CHAIN,
           "return log_p.sum(-1)", "return log_p.mean(-1)", NOISE),
    Mutant("padding counted as steps", "M10", CHAIN,
           "log_p = ops_of(value).np.where(self.mask, log_p, log_standard(value))",
           "log_p = log_p", ENDS),
    Mutant("padding that the chain goes through", "M10", CHAIN,
           "value = ops_of(value).np.where(keep, value, noise)", "value = value", ENDS),
    Mutant("log determinant of a diagonal normal twice", "M2", "ppgm/distributions_normal.py",
           "log_standard(noise) - log_scale.sum(-1)",
           "log_standard(noise) - 2 * log_scale.sum(-1)", NORMALS),
    Mutant("factor of a normal transposed", "M9", "ppgm/distributions_normal.py",
           "self.loc + (self.root @ noise[..., None])[..., 0]",
           "self.loc + (noise[..., None, :] @ self.root)[..., 0, :]", NORMALS),
    Mutant("log determinant of a triangular factor of its covariance", "M2",
           "ppgm/distributions_normal.py",
           "xp.log(xp.linalg.diagonal(self.root)).sum(-1)",
           "2 * xp.log(xp.linalg.diagonal(self.root)).sum(-1)", NORMALS),
    Mutant("gates of a GRU swapped", "M10", CELLS,
           "return (n + g * (h - n),), (gates, n, own)",
           "return (h + g * (n - h),), (gates, n, own)", EQUATIONS),
    Mutant("memory of an LSTM not forgotten", "M10", CELLS,
           "after = gates[..., size:] * memory +", "after = memory +", EQUATIONS),
    Mutant("slope of the reset gate", "M14", CELLS,
           "outer * own * r * (1 - r)", "outer * own * r", SLOPES),
    Mutant("slope of the forget gate", "M14", CELLS,
           "memory * f * (1 - f), i", "flat * f * (1 - f), i", SLOPES),
    Mutant("candidate's part of the rows left out", "M14", CELLS,
           "kept, grad * factors[2]]", "kept, 0 * grad * factors[2]]", SLOPES),
    Mutant("memory's gradient of later steps dropped", "M8", CELLS,
           "memory = later[0] + grad * factors[2]", "memory = grad * factors[2]", SLOPES),
    Mutant("sequences turned with their padding", "M10", "ppgm/nets_recurrent.py",
           "return xp.where(steps < ends, ends - 1 - steps, steps)",
           "return length - 1 - steps + 0 * ends", EQUATIONS),
    Mutant("packed rows turned one step off", "M10", PACKING,
           "step = ends[place] - 1 - step if reverse", "step = ends[place] - step if reverse",
           EQUATIONS),
    Mutant("a chain's last rows left out", "M10", PACKING,
           "left = steps[:, None] < ends", "left = steps[:, None] < ends - 1", EQUATIONS),
    Mutant("chosen steps put back in another order", "M10", PACKING,
           "index_copy(-1, self.place, terms)", "index_copy(-1, self.place.flip(0), terms)",
           _cases("gated, ST-R")),
    Mutant("what later states add dropped, Pyro", "M8", KERNEL,
           "own[: len(carry)] += carry", "own[: len(carry)] += 0 * carry", FAST),
    Mutant("density of a draw without its slope, Pyro", "M14", KERNEL,
           "grad[:, size:].addcmul_(own, moved[span])", "own[:0]", FAST),
    Mutant("hidden slope left out, Pyro", "M14", KERNEL,
           "slope, carry = 1 - hidden * hidden, None",
           "slope, carry = torch.ones_like(hidden), None", FAST),
    Mutant("what later states add dropped, NumPyro", "M8", JAX_KERNEL,
           "own = jnp.where(here, by_state + carry, 0.0)",
           "own = jnp.where(here, by_state, 0.0)", FAST),
    Mutant("padding passes gradients on, NumPyro", "M10", JAX_KERNEL,
           "own = jnp.where(here, by_state + carry, 0.0)", "own = by_state + carry", FAST),
    Mutant("variance for the scale of a guide's state", "M9", SMOOTHERS,
           "scale = ops_of(outputs).softplus(outputs[..., size : 2 * size])",
           "scale = ops_of(outputs).softplus(outputs[..., size : 2 * size]) ** 2",
           _cases("gated, ST-R")),
    Mutant("combiner without its mean", "M7", SMOOTHERS,
           "share = 1 / (len(sides) + structured)", "share = 1.0", _cases("linear, ST-LR, rnn")),
    Mutant("bias of the heads once for each side", "M14", SMOOTHERS,
           "read = read + (part - bias)", "read = read + part", _cases("linear, ST-LR, rnn")),
    Mutant("a guide of the past reads the future", "M10", SMOOTHERS,
           '"ST-L": ("left",),', '"ST-L": ("right",),',
           _tests("dkf", "states_depend_on_the_data_that_the_guide_reads[pyro-ST-L-True-False]")),
    Mutant("right network reads forward", "M10", SMOOTHERS,
           'reverse=side == "right"', "reverse=False", _cases("gated, ST-R")),
    Mutant("steps of a structured guide independent", "M8", SMOOTHERS,
           "independent=not structured", "independent=True", _draws("ST-R")),
    Mutant("gate turned round", "M10", TRANSITIONS,
           "ops.sigmoid(self.gate(z, *u))", "ops.sigmoid(-self.gate(z, *u))",
           _cases("gated, ST-R")),
    Mutant("deviation of the gate's mean, not of the proposal", "M9", TRANSITIONS,
           "ops.softplus(self.spread(positive))", "ops.softplus(self.spread(loc))",
           _cases("gated, ST-R")),
    Mutant("inputs left out of the gate", "M10", TRANSITIONS,
           "self.gate(z, *u)", "self.gate(z, *(0 * a for a in u))", _cases("gated, ST-R")),
    Mutant("missing entries counted", "M10", "ppgm/distributions_entries.py",
           "return xp.where(seen, terms, xp.zeros_like(terms)).sum(-1)", "return terms.sum(-1)",
           _cases("gated, ST-R")),
    Mutant("missing steps counted", "M10", EMITTED,
           "chosen = ops.chosen(self.seen[..., 0] if whole else",
           "chosen = ops.chosen(ops.np.ones_like(self.seen[..., 0]) if whole else",
           _tests("dkf", "densities_are_those_of_the_equations[pyro-gated, ST-R-False]")),
    Mutant("the guide reads what is missing", "M10", "ppgm/models/dkf.py",
           "rows = [x if seen is None else xp.where(seen, x, xp.zeros_like(x)),", "rows = [x,",
           _padding("ST-R")),
    Mutant("first input without effect", "M10", "ppgm/models/dkf_linear.py",
           "first = square @ ppl.param(\"z0\", np.zeros(latent)) + drift[..., 0, :]",
           "first = square @ ppl.param(\"z0\", np.zeros(latent)) + drift[..., 1, :]", INPUTS),
    Mutant("exact guide with another noise", "M9", "ppgm/models/dkf_linear.py",
           "white = Whitening(xp.zeros_like(offset) + noise, series.seen)",
           "white = Whitening(xp.zeros_like(offset) + noise**2, series.seen)", EXACT),
    Mutant("lengths of the chorales shifted", "M10", "ppgm/data/chorales.py",
           "np.cumsum(lengths)[:-1]", "np.cumsum(lengths[::-1])[:-1]",
           _tests("sequences", "chorales_are_cut_into_pieces")),
    Mutant("marks of missing entries turned round", "M10", "ppgm/data/sequences.py",
           "seen = ~np.isnan(x)", "seen = np.isnan(x)",
           _tests("sequences", "missing_entries_are_marked_and_filled")),
)  # fmt: skip
