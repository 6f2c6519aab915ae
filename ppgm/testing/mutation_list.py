"""The mutants: classic faults of deep generative models, one small substitution each.

A mutant's text must be in its file exactly once, so that a change of the source that moves it
is noticed rather than making the mutant a blank.
"""

from ppgm.testing.mutation_chains import CHAINS as SEQUENCES
from ppgm.testing.mutation_densities import DENSITIES
from ppgm.testing.mutation_flows import FLOWS
from ppgm.testing.mutation_gradients import GRADIENTS
from ppgm.testing.mutation_kinds import KINDS, Mutant
from ppgm.testing.mutation_kinds import tests_of as _tests
from ppgm.testing.mutation_microscope import MICROSCOPE
from ppgm.testing.mutation_states import STATES

__all__ = ["KINDS", "MUTANTS", "Mutant"]

PATHS = _tests("oracles_paths", "estimates_of_one_set_of_draws")
EXACT = _tests("oracles_linear_gaussian", "cubature_gives_the_elbo_and_its_gradient")
GAME = _tests("objectives_math", "rows_of_a_game")
EPOCH = _tests("gaps", "an_epoch_of_ragged_minibatches_has_the_full_bound")
PARTS = _tests("oracles_linear_gaussian", "the_loss_of_a_batch_is_the_sum_of_those_of_its_data")
GLOBAL = _tests("gaps", "score_terms_of_global_and_local_bits_with_a_scale")
PLATE = _tests("gaps", "a_subsampling_plate_stands_for_all_its_rows")
PLAYERS = _tests("gaps", "every_player_moves_its_own_parameters_and_no_others")
CHAINS = _tests("gaps", "chains_take_their_steps", "chains_start_at_the_data_unless_they_persist")
LIKELIHOOD = _tests("gaps", "the_density_of_a_likelihood")
NOISE = _tests("gaps", "every_step_draws_anew")
PARTICLES = _tests("gaps", "every_particle_draws_anew")
RESUME = _tests("saving", "a_loaded_fit_goes_on_bit_for_bit")
EVIDENCE = _tests("evaluation", "the_exact_guide_gives_log_p_whatever_the_chunks")
LABELLED = _tests("oracles_m2", "the_enumerated_elbo_is_the_papers_bound_and_its_gradient")
CLASSES = _tests("oracles_m2", "the_classification_loss_and_its_gradient")
TAIL = _tests("diagnostics", "pareto_k_reads_the_right_tail", "pareto_k_recovers_a_known_tail")
RANK_ONE = _tests("guides", "the_factor_of_rank_one_is_a_root_of_its_covariance")
DENSE = _tests("guides", "the_density_is_that_of_the_dense_gaussian")
CHAIN = _tests("dlgm", "every_weight_is_log_p_at_the_exact_posterior")
GIVEN = _tests("cvae", "every_weight_is_log_p_at_the_exact_posterior")

OBJECTIVES = (
    Mutant("critic's signs", "M4", "ppgm/inference/gan.py",
           "softplus(-real) + softplus(fake)", "softplus(real) + softplus(-fake)", GAME),
    Mutant("real and fake swapped", "M4", "ppgm/inference/gan.py",
           "critic_rows(real, critic(stop(fake))[..., 0])",
           "critic_rows(critic(stop(fake))[..., 0], real)", ("tests/test_oracles_gan.py",)),
    Mutant("generator's sign", "M4", "ppgm/inference/gan.py",
           'softplus(-fake) if loss == "non-saturating"',
           'softplus(fake) if loss == "non-saturating"', GAME),
    Mutant("generator's sign, minimax", "M4", "ppgm/inference/gan.py",
           "else -softplus(fake)", "else softplus(fake)", GAME),
    Mutant("generator without a gradient", "M8", "ppgm/inference/gan.py",
           "generator_rows(critic(fake)[..., 0]", "generator_rows(critic(stop(fake))[..., 0]",
           PLAYERS),
    Mutant("critic moves the generator", "M8", "ppgm/inference/gan.py",
           '("critic",), self.critic_steps', '("critic", "model"), self.critic_steps', PLAYERS),
    Mutant("guide not trained", "M8", "ppgm/inference/family.py",
           '("model", "guide", *self', '("model", *self', PLAYERS),
    Mutant("contrastive divergence with the wrong sign", "M14", "ppgm/inference/contrastive.py",
           "loss = model - view.mean(real)", "loss = view.mean(real) - model", CHAINS),
    Mutant("persistent chains start at the data", "M10", "ppgm/inference/contrastive.py",
           'view.state["chains"] if self.persistent else', "", CHAINS),
    Mutant("chains not kept", "M10", "ppgm/inference/contrastive.py",
           'view.state = {**view.state, "chains": chains}', "pass", CHAINS),
    Mutant("one kernel step only", "M10", "ppgm/inference/contrastive.py",
           "in range(self.steps)", "in range(1)", CHAINS),
)  # fmt: skip

SCALES = (
    Mutant("rows not scaled", "M1", "ppgm/views.py",
           "_align(self._layout.scales[name], axis, rows)", "1.0", EPOCH),
    Mutant("mean over rows for their sum", "M7", "ppgm/views.py",
           "return value.sum() if value.ndim", "return value.mean() if value.ndim", EXACT),
    Mutant("rows scaled inside the logarithm too", "M1", "ppgm/terms.py",
           "if plate not in layout.rows and not _is_one", "if not _is_one", EPOCH),
    Mutant("terms beside global latents not scaled", "M1", "ppgm/terms.py",
           "if plate not in layout.rows and not _is_one(layout.scales[plate])", "if not plate",
           GLOBAL),
    Mutant("score tempered by a scale handler", "M3", "ppgm/terms.py",
           "return term.log_prob if term.drawn is None else term.drawn", "return term.log_prob",
           _tests("scales", "a_scale_handler_tempers_the_objective_and_not_the_draw")),
    Mutant("a plate's own subsample counted again", "M1", "ppgm/checking.py",
           "plates[name] = plate._replace(full_size=plate.size)", "plates[name] = plate",
           _tests("scales", "the_hosts_minibatch_idiom_counts_the_data_once")),
    Mutant("batch not scaled up", "M1", "ppgm/layouts.py",
           "_aligned(scale, -plate.dim - 1) * scales[name]", "scales[name]", EPOCH),
    Mutant("scale of a plate inverted", "M1", "ppgm/layouts.py",
           "scales[name] = plate.full_size / plate.size",
           "scales[name] = plate.size / plate.full_size", PLATE),
    Mutant("ragged batch not masked", "M10", "ppgm/sources.py",
           "or self.rows == per_epoch * size:", "or True:", EPOCH),
    Mutant("the same order in every epoch", "M11", "ppgm/sources.py",
           "key=[seed, epoch]", "key=[seed, 0]",
           _tests("gaps", "every_epoch_has_an_order_of_its_own")),
)  # fmt: skip

MODELS = (
    Mutant("guide's variance for its scale", "M9", "ppgm/guides/gaussian.py",
           "ppl.np.exp(log_scale)", "ppl.np.exp(2 * log_scale)", EXACT),
    Mutant("likelihood's variance for its scale", "M9", "ppgm/models/likelihoods.py",
           "ppl.np.exp(log_scale)", "ppl.np.exp(0.5 * log_scale)", LIKELIHOOD),
    Mutant("columns as a batch", "M6", "ppgm/models/factor_analysis.py",
           "Normal(affine(z), scale).to_event(1)", "Normal(affine(z), scale)",
           EVIDENCE),
    Mutant("posterior without its prior", "M14", "ppgm/models/factor_analysis.py",
           "precision = xp.eye(self.latent) + scaled.T @ scaled",
           "precision = scaled.T @ scaled", EVIDENCE),
    Mutant("continuous Bernoulli without its normaliser", "M2", "ppgm/distributions.py",
           "* value - _log_normaliser(self.logits)\n", "* value\n", LIKELIHOOD),
    Mutant("mean over units for their sum", "M7", "ppgm/distributions.py",
           'over the units."""\n        return self.terms(value).sum(-1)',
           'over the units."""\n        return self.terms(value).mean(-1)', LIKELIHOOD),
    Mutant("draws of the continuous Bernoulli not turned back", "M14", "ppgm/distributions.py",
           "return xp.where(rising, 1 - x, x)", "return x",
           _tests("gaps", "draws_of_the_continuous_bernoulli_have_its_distribution")),
    Mutant("free energy's sign", "M14", "ppgm/models/rbm.py",
           "v @ visible + ppl.ops.softplus(inputs)", "-v @ visible + ppl.ops.softplus(inputs)",
           CHAINS),
    Mutant("kernel without the visible bias", "M14", "ppgm/models/rbm.py",
           "h @ weight + visible", "h @ weight", CHAINS),
    Mutant("kernel without the hidden bias", "M14", "ppgm/models/rbm.py",
           "bits(logits=v @ weight.T + hidden)", "bits(logits=v @ weight.T)", CHAINS),
    Mutant("initial weights alike in every network", "M11", "ppgm/nets_stack.py",
           "[int(seed), name, parameter]", "[int(seed), parameter]",
           _tests("gaps", "networks_of_one_program_start_apart")),
)  # fmt: skip

HOSTS = (
    Mutant("NumPyro's derivative at logit 0", "M14", "ppgm/host_numpyro_ppl.py",
           "return value * self.logits - OPS.softplus(self.logits)",
           "return super().log_prob(value)",
           _tests("host_defects", "defect_d_gradient_of_a_prior_that_starts_at_zero")),
    Mutant("STL's second pass not constant, NumPyro", "M3", "ppgm/host_numpyro_runner.py",
           "constant, fixed = [], jax.lax.stop_gradient(self.params)",
           "constant, fixed = [], self.params", PATHS),
    Mutant("STL's second pass not constant, Pyro", "M3", "ppgm/host_pyro_session.py",
           "leaf.requires_grad_(False)", "leaf.requires_grad_(True)", PATHS),
    Mutant("reparameterised draws detached, NumPyro", "M8", "ppgm/host_numpyro_run.py",
           'msg["fn"].has_rsample', "False", EXACT),
    Mutant("reparameterised draws detached, Pyro", "M8", "ppgm/host_pyro_session.py",
           'return {n: m["value"] for n, m in guide.sites.items()} | guide.subsamples',
           'return {n: m["value"].detach() for n, m in guide.sites.items()}', EXACT),
    Mutant("particles share a key, NumPyro", "M11", "ppgm/host_numpyro_runner.py",
           "keys = jax.random.split(self.rng.split(), copies)",
           "keys = jnp.broadcast_to(self.rng.split(), (copies,))", PARTICLES),
    Mutant("steps share a key, NumPyro", "M11", "ppgm/host_numpyro_train.py",
           "key = rng.split()", "key = state.key", NOISE),
    Mutant("a pool of keys starts again, NumPyro", "M11", "ppgm/host_numpyro_keys.py",
           "self._key, *self._spare = ", "_, *self._spare = ",
           _tests("keys", "keys_of_a_pool_never_repeat")),
    Mutant("softplus's derivative, NumPyro", "M14", "ppgm/host_numpyro_ops.py",
           "jax.nn.sigmoid(*primals)", "(primals[0] > 0)",
           _tests("keys", "softplus_and_its_derivatives")),
    Mutant("chunks share a seed, Pyro", "M11", "ppgm/host_pyro_train.py",
           "torch.set_rng_state(self.rng)\n            for batch in plan",
           "torch.manual_seed(0)\n            for batch in plan", NOISE),
    Mutant("generator's state not restored, Pyro", "M11", "ppgm/host_pyro_train.py",
           'self.rng = torch.from_numpy(np.array(flat["rng"]))', "pass", RESUME),
    Mutant("optimiser's state not restored, Pyro", "M8", "ppgm/host_pyro_train.py",
           '_restore_optimiser(optimiser, f"optimiser/{player}/", flat)', "pass", RESUME),
    Mutant("key not restored, NumPyro", "M11", "ppgm/host_numpyro_train.py",
           'jax.random.wrap_key_data(jnp.asarray(flat["rng"]))', "self.state.key", RESUME),
    Mutant("optimiser's state not restored, NumPyro", "M8", "ppgm/host_numpyro_train.py",
           "slots[player] = jax.tree.unflatten(tree, new)", "slots[player] = template", RESUME),
    Mutant("state left on the disk", "M11", "ppgm/saving.py",
           'stored.tensors["state"] if same else {}', "{}", RESUME),
)  # fmt: skip

ANSWERS = (
    Mutant("evidence without -log K", "M5", "ppgm/diagnostics.py",
           "mean = np.mean(w, axis=0)", "mean = np.sum(w, axis=0)", EVIDENCE),
    Mutant("k-hat of the wrong tail", "M14", "ppgm/diagnostics.py",
           "_fit(_tail(log_w), _roundoff(log_weights))\n    return k",
           "_fit(_tail(-log_w), _roundoff(log_weights))\n    return k", TAIL),
    Mutant("chunks share a seed", "M11", "ppgm/evaluation.py",
           "SeedSequence([seed, chunk])", "SeedSequence([seed, 0])",
           _tests("evaluation", "chunks_draw_apart")),
    Mutant("rows that fill up a chunk counted", "M10", "ppgm/evaluation.py",
           "np.compress(index < rows, found,", "np.compress(index < 2 * rows, found,", EVIDENCE),
    Mutant("importance weights inverted", "M5", "ppgm/answers_guide.py",
           '"log_weight": lp - log_q', '"log_weight": log_q - lp',
           _tests("answers", "importance_mends_a_guide")),
    Mutant("one row's draws for all", "M5", "ppgm/answers_guide.py",
           "np.searchsorted(edges[:, i], points[i])", "np.searchsorted(edges[:, 0], points[0])",
           _tests("answers", "importance_mends_a_guide")),
)  # fmt: skip

SEMI_SUPERVISED = (
    Mutant("label left out of the guide", "M16", "ppgm/models/labels.py",
           "known = _known(y, missing)[..., None]", "known = (y != y)[..., None]", LABELLED),
    Mutant("excluded classes at -1", "M16", "ppgm/models/labels.py",
           "NEVER = -1e4", "NEVER = -1.0", LABELLED),
    Mutant("label is no evidence in the model", "M16", "ppgm/models/labels.py",
           "(value != y)", "(value != value)",
           _tests("oracles_m2", "a_class_that_the_label_excludes_has_no_density")),
    Mutant("rows without a label are evidence", "M16", "ppgm/models/labels.py",
           "wrong = _known(y, missing) & (value != y)", "wrong = value != y",
           _tests("oracles_m2", "a_class_that_the_label_excludes_has_no_density")),
    Mutant("rows drawn for any label", "M8", "ppgm/models/m2.py",
           "clamped(ppl, logits, y, model.missing)", "logits",
           _tests("semi_supervised", "rows_are_drawn_for_the_labels_asked_for")),
    Mutant("decoder of M2 without the class", "M14", "ppgm/models/m2.py",
           "decode, z, one_hot", "decode, z, 0 * one_hot", LABELLED),
    Mutant("encoder of M2 without the class", "M14", "ppgm/models/m2.py",
           "encode, x, one_hot", "encode, x, 0 * one_hot", LABELLED),
    Mutant("parts of a row by the wrong columns", "M8", "ppgm/nets_torch.py",
           "first, *rest = map(functional.linear, parts, columns)",
           "first, *rest = map(functional.linear, parts, columns[:1] * len(parts))",
           _tests("nets", "rows_in_parts_are_rows_side_by_side")),
    Mutant("logits of M2 named after the labels are in", "M8", "ppgm/models/m2.py",
           "ppl.ops.log_softmax(classify(x), -1))",
           "clamped(ppl, ppl.ops.log_softmax(classify(x), -1), y, self.missing))", CLASSES),
    Mutant("classification loss with the wrong sign", "M3", "ppgm/inference/semi_supervised.py",
           "return -(at_label", "return (at_label", CLASSES),
    Mutant("classification loss unweighted", "M16", "ppgm/inference/semi_supervised.py",
           "self.weight * Classification", "1.0 * Classification", CLASSES),
    Mutant("classification loss without its gradient", "M8", "ppgm/inference/semi_supervised.py",
           "loss = view.mean(rows)", "loss = view.ops.stop_gradient(view.mean(rows))", CLASSES),
    Mutant("classification loss added to the bound", "M16", "ppgm/inference/semi_supervised.py",
           'view.record("classification", loss)', 'view.record("bound", loss)', CLASSES),
    Mutant("code of M1 + M2 classified without its draw", "M8", "ppgm/models/m1m2.py",
           "classify(z1), -1)", "classify(ppl.ops.stop_gradient(z1)), -1)",
           _tests("oracles_m1m2", "the_bound_and_its_gradient_at_given_noise")),
    Mutant("style of M1 + M2 without the code", "M14", "ppgm/models/m1m2.py",
           "infer, z1, one_hot", "infer, 0 * z1, one_hot",
           _tests("oracles_m1m2", "the_bound_and_its_gradient_at_given_noise")),
)  # fmt: skip

CONDITIONAL = (
    Mutant("rank-one factor too short", "M9", "ppgm/guides/rank_one.py",
           "/ (root * (root + 1))", "/ (root + 1)", RANK_ONE),
    Mutant("rank-one density without the direction's determinant", "M14",
           "ppgm/guides/rank_one.py", "xp.log(self._growth) - 2 *", "-2 *", DENSE),
    Mutant("low-rank covariance of standard deviations", "M9", "ppgm/guides/low_rank.py",
           "ppl.np.exp(2 * log_scale)", "ppl.np.exp(log_scale)", DENSE),
    Mutant("constant scale of a layer squared", "M9", "ppgm/models/dlgm.py",
           "ppl.distributions.Normal(outputs, scale)",
           "ppl.distributions.Normal(outputs, scale**2)", CHAIN),
    Mutant("noise of a layer passed down unsquared", "M9", "ppgm/models/dlgm.py",
           "(weight * scale**2) @ weight.T", "(weight * scale) @ weight.T", CHAIN),
    Mutant("ladder blind to the layer above", "M8", "ppgm/models/dlgm.py",
           "beside(ppl, summaries[level - 1], z)", "beside(ppl, summaries[level - 1], 0 * z)",
           _tests("dlgm", "layers_depend_on_what_the_structure_says")),
    Mutant("generation without the condition", "M14", "ppgm/models/cvae.py",
           "nets.decode(beside(ppl, z, c))", "nets.decode(beside(ppl, z, 0 * c))", GIVEN),
    Mutant("baseline left out of the outputs", "M14", "ppgm/models/cvae.py",
           "outputs if guess is None else outputs + guess", "outputs", GIVEN),
    Mutant("recognition without the condition", "M8", "ppgm/models/cvae.py",
           "encode(beside(ppl, x, c))", "encode(beside(ppl, x, 0 * c))",
           _tests("cvae", "cubature_gives_the_elbo_and_its_gradient")),
    Mutant("probabilities of one draw of the parents", "M7", "ppgm/predicting.py",
           "np.exp(log_p.astype(float)).mean(0)", "np.exp(log_p.astype(float))[0]",
           _tests("predicting", "probabilities_are_averaged_over_parents")),
    Mutant("chunks of predictions share a seed", "M11", "ppgm/predicting.py",
           "SeedSequence([seed, i])", "SeedSequence([seed, 0])",
           _tests("predicting", "chunks_of_rows_draw_apart")),
    Mutant("a prediction looks at its site", "M10", "ppgm/predicting.py",
           "for n, v in arrays.items() if n != name}", "for n, v in arrays.items()}",
           _tests("predicting", "labels_in_the_data_are_not_looked_at")),
)  # fmt: skip

BASELINES = (
    Mutant("gradient through a given draw cut, NumPyro", "M8", "ppgm/host_numpyro_run.py",
           ' or msg["name"] in self.given', "",
           _tests("autoencoders", "the_elbo_trains_the_encoder_from_both_sides")),
    Mutant("prior of a VampVAE at the data's end of the encoder only", "M8", "ppgm/models/vamp.py",
           "encode(inputs), self", "ppl.ops.stop_gradient(encode(inputs)), self",
           _tests("autoencoders", "the_elbo_trains_the_encoder_from_both_sides")),
    Mutant("noise of a denoising autoencoder not scaled", "M9", "ppgm/models/autoencoder.py",
           "x + self.level * ppl", "x + ppl",
           _tests("autoencoders", "the_encoder_sees_a_corrupted_row_and_the_loss_the_clean_one")),
    Mutant("columns kept and dropped swapped", "M10", "ppgm/models/autoencoder.py",
           "x * (1 - ppl.ops.float", "x * (0 + ppl.ops.float",
           _tests("autoencoders", "the_encoder_sees_a_corrupted_row_and_the_loss_the_clean_one")),
    Mutant("nearest vector by the wrong sign", "M14", "ppgm/models/vqvae.py",
           ".sum(-1) - 2 * z", ".sum(-1) + 2 * z",
           _tests("autoencoders", "codes_are_the_nearest_of_the_codebook")),
    Mutant("no gradient straight through", "M3", "ppgm/models/vqvae.py",
           "z + stop(chosen - z)", "stop(chosen)",
           _tests("autoencoders", "the_straight_through_gradient")),
    Mutant("reconstruction moves the codebook", "M3", "ppgm/models/vqvae.py",
           "z + stop(chosen - z)", "z + chosen - stop(z)",
           _tests("autoencoders", "the_straight_through_gradient")),
    Mutant("codebook and commitment swapped", "M3", "ppgm/inference/reconstruction.py",
           "_squares(stop(z), e, keep) + commitment * _squares(z, stop(e), keep)",
           "_squares(z, stop(e), keep) + commitment * _squares(stop(z), e, keep)",
           _tests("autoencoders", "codebook_and_commitment_gradients")),
    Mutant("reconstruction with its noise's density", "M16", "ppgm/inference/reconstruction.py",
           'view.mean(view.forward("model").log_probs[self.on])',
           'view.mean(sum(view.forward("model").log_probs.values()))',
           _tests("autoencoders", "the_encoder_sees_a_corrupted_row_and_the_loss_the_clean_one")),
)  # fmt: skip

COUNTS = (
    Mutant("total count of a negative binomial inverted", "M9", "ppgm/models/likelihoods.py",
           "logits=mean - log_count", "logits=mean + log_count",
           _tests("likelihoods", "the_density_is_that_of_the_formula")),
    Mutant("rates held without a derivative", "M8", "ppgm/models/likelihoods.py",
           "stop(ppl.np.clip(values, -limit, limit)) + (values - stop(values))",
           "ppl.np.clip(values, -limit, limit)",
           _tests("likelihoods", "a_rate_that_is_far_off_is_pulled_back")),
    Mutant("lowest level without its tail", "M14", "ppgm/distributions.py",
           "xp.where(x <= 0, xp.zeros_like(centre), -ops.softplus(centre - half))",
           "-ops.softplus(centre - half)",
           _tests("likelihoods", "probabilities_sum_to_one")),
    Mutant("bins of levels half as wide", "M14", "ppgm/distributions.py",
           "half = xp.exp(-self.log_scale) / top", "half = xp.exp(-self.log_scale) / top / 2",
           _tests("likelihoods", "the_density_is_that_of_the_formula")),
    Mutant("levels beyond the last one have its probability", "M14", "ppgm/distributions.py",
           "& (x[..., 0] <= top)", "& (x[..., 0] <= top + 9)",
           _tests("likelihoods", "what_is_no_level_has_no_probability")),
)  # fmt: skip

NETS = _tests("belief_nets", "the_densities_sum_to_one_and_are_those_of_the_reference")

BELIEF_NETS = (
    Mutant("units that depend on themselves", "M14", "ppgm/distributions_bits.py",
           "bits @ ops.np.tril(self.weight, k=-1).T", "bits @ ops.np.tril(self.weight, k=0).T",
           NETS),
    Mutant("no mask on the weights within a layer", "M14", "ppgm/distributions_bits.py",
           "bits @ ops.np.tril(self.weight, k=-1).T", "bits @ self.weight.T",
           _tests("belief_nets", "forbidden_weights_have_the_gradient_zero")),
    Mutant("bits drawn by transposed weights", "M14", "ppgm/distributions_bits.py",
           "xp.tril(stop(self.weight), k=-1).T", "xp.tril(stop(self.weight), k=-1)",
           _tests("belief_nets", "a_draw_is_made_bit_by_bit")),
    Mutant("bits drawn without those before them", "M10", "ppgm/distributions_bits.py",
           "return logits + bit[..., None] * columns[i], bit", "return logits, bit",
           _tests("belief_nets", "the_guide_draws_with_its_probabilities")),
    Mutant("deterministic layers left out of a belief net", "M8", "ppgm/models/sbn.py",
           "net = MLP(above, self.between, below)", "net = MLP(above, (), below)",
           NETS),
    Mutant("autoregressive in the model alone", "M8", "ppgm/models/sbn.py",
           "wanted=self.autoregressive is True", "wanted=False",
           _tests("belief_nets", "forbidden_weights_have_the_gradient_zero")),
    Mutant("visible units of a full net independent", "M14", "ppgm/models/sbn_full.py",
           "bits(ppl, logits, weight[first:, first:])", "bits(ppl, logits)", NETS),
    Mutant("hidden units of a full net independent", "M14", "ppgm/models/sbn_full.py",
           "bits(ppl, bias[:first], weight[:first, :first])", "bits(ppl, bias[:first])", NETS),
    Mutant("guide of a full net factorised", "M8", "ppgm/models/sbn_full.py",
           "encode(ppl.ops.float(x)), own)", "encode(ppl.ops.float(x)))", NETS),
    Mutant("top layer without the condition", "M14", "ppgm/models/sbn_conditional.py",
           "logits = prior(c)", "logits = prior(0 * c)", NETS),
    Mutant("lower layers without the condition", "M14", "ppgm/models/sbn_conditional.py",
           "beside(ppl, h, c) if", "beside(ppl, h, 0 * c) if",
           _tests("belief_nets", "conditions_change_the_density_of_every_layer")),
    Mutant("guide of a belief net without the condition", "M8",
           "ppgm/models/sbn_conditional.py",
           "net(beside(ppl, h, c))", "net(beside(ppl, h, 0 * c))", NETS),
    Mutant("halves of a picture swapped", "M10", "ppgm/data/conditions.py",
           "first if self.seen in", "~first if self.seen in",
           _tests("conditions", "the_half_that_is_asked_for_is_seen")),
)  # fmt: skip

MUTANTS = (
    GRADIENTS
    + OBJECTIVES
    + SCALES
    + MODELS
    + HOSTS
    + ANSWERS
    + SEMI_SUPERVISED
    + CONDITIONAL
    + BASELINES
    + COUNTS
    + BELIEF_NETS
    + MICROSCOPE
    + FLOWS
    + DENSITIES
    + SEQUENCES
    + STATES
)
