"""Mutants of invertible maps, masked networks, flow posteriors and automatic guides."""

from ppgm.testing.mutation_kinds import Mutant
from ppgm.testing.mutation_kinds import tests_of as _tests

__all__ = ["FLOWS"]


def _maps(*names: str) -> tuple[str, ...]:
    jacobians = "log_determinants_are_those_of_the_jacobian"
    return _tests("transforms", *(f"{jacobians}[pyro-{name}]" for name in names))


def _guides(test: str, *names: str) -> tuple[str, ...]:
    return _tests("flow_guides", *(f"{test}[{name}]" for name in names))


FLOW = _tests("transforms", "a_flow_is_its_base_and_the_map")
ZEROS = _tests("transforms", "zeros_are_the_identity")
ROOT = _tests("transforms", "the_implicit_function_has_second_derivatives_too")
SLOPE = _tests("transforms", "the_inverse_has_the_gradient_of_an_inverse[pyro-planar]")
MASKS = _tests("made", "outputs_see_what_comes_before_them_and_all_of_it")
TURNS = _tests("flow_guides", "steps_take_turns_with_the_order")
OWN = "the_density_of_a_draw_is_the_density_of_its_value"
CUT = "a_draws_own_density_has_the_gradients_of_the_inverse"
EXACT = "every_weight_is_log_p_at_the_exact_posterior"
COMPONENTS = _tests("flow_guides", "a_mixture_counts_all_its_components")
QUADRATURE = _tests("flow_guides", "the_score_terms_of_a_mixture_are_the_gradient_of_the_bound")
NETWORKS = _tests("flow_guides", "every_site_has_networks_of_its_own[pyro]")
JOINT = _tests("auto_guides", f"{EXACT}[pyro-of the host]")
SUPPORTS = _tests("auto_guides", "supports_are_changes_of_variables[pyro]")
PLATES = _tests("auto_guides", "sites_lie_in_their_plates[pyro]")
ROWS = _tests("auto_guides", "latents_of_rows_that_change_are_refused[pyro]")
MOVING = _tests("auto_guides", "supports_that_move_are_refused[pyro]")

MAPS = (
    Mutant("flow without its log determinant", "M2", "ppgm/transforms/flow.py",
           "return y, log_p - log_det", "return y, log_p", FLOW),
    Mutant("log determinant of the inverse with the wrong sign", "M2",
           "ppgm/transforms/flow.py", "self.base.log_prob(x) + log_det",
           "self.base.log_prob(x) - log_det", FLOW),
    Mutant("inverse of a chain in the chain's order", "M10", "ppgm/transforms/transform.py",
           "self.transforms[::-1]", "self.transforms", _maps("chain")),
    Mutant("log determinant of one map of a chain alone", "M2",
           "ppgm/transforms/transform.py",
           "x, log_det = transform.forward(x)\n            total = total + log_det",
           "x, log_det = transform.forward(x)\n            total = log_det", _maps("chain")),
    Mutant("planar map's slope at the start, not where it is", "M2",
           "ppgm/transforms/planar.py", "slope * (1 - bent * bent)", "slope * (1 - bent)",
           _maps("planar")),
    Mutant("planar map that is not kept invertible", "M2", "ppgm/transforms/planar.py",
           "slope = above_minus_one(product)", "slope = product", _maps("planar", "chain")),
    Mutant("radial map with a dimension too many", "M2", "ppgm/transforms/radial.py",
           "(size - 1) * across", "size * across", _maps("radial")),
    Mutant("root of the radial inverse on the wrong side", "M14",
           "ppgm/transforms/radial.py", "(root - half) / 2", "(root + half) / 2",
           _maps("radial") + _tests("transforms", "rows_with_contexts_of_their_own[pyro-radial]")),
    Mutant("a projection for a reflection", "M2", "ppgm/transforms/householder.py",
           "x - 2 * share", "x - share", _maps("householder")),
    Mutant("Sylvester's log determinant by one diagonal", "M2",
           "ppgm/transforms/sylvester.py",
           "xp.linalg.diagonal(self.a) * xp.linalg.diagonal(self.b)",
           "xp.linalg.diagonal(self.a)", _maps("sylvester")),
    Mutant("Sylvester's inverse from the first coordinate", "M10",
           "ppgm/transforms/sylvester.py", "xp.flip(r, axis=0) for r", "r for r",
           _maps("sylvester")),
    Mutant("root of the scalar equation without a derivative", "M8",
           "ppgm/transforms/scalar.py", "v - _newton(v, (t, r, s, b))[1]",
           "v - _newton(v, fixed)[1]", SLOPE),
    Mutant("one Newton step with a derivative", "M14", "ppgm/transforms/scalar.py",
           "for _ in range(2):", "for _ in range(1):", ROOT),
    Mutant("constraint of a planar map not 0 at 0", "M14", "ppgm/transforms/scalar.py",
           "softplus(x + log(e - 1)) - 1", "softplus(x) - 1", ZEROS),
    Mutant("scale for its inverse", "M9", "ppgm/transforms/elementwise.py",
           "np.exp(-log_scale), -log_scale.sum(-1)", "np.exp(log_scale), -log_scale.sum(-1)",
           _maps("affine")),
    Mutant("gate's log determinant by the closed side", "M2",
           "ppgm/transforms/elementwise.py", "return y, -ops.softplus(-logit).sum(-1)",
           "return y, -ops.softplus(logit).sum(-1)", _maps("gated")),
    Mutant("halves put back in the wrong order", "M6", "ppgm/transforms/coupling.py",
           "(moved, kept) if self.flip else (kept, moved)", "(kept, moved)",
           _maps("coupling, flipped")),
    Mutant("inverse of a permutation that is the permutation", "M10",
           "ppgm/transforms/permutation.py", "np.argsort(order_of(self.order, y.shape[-1]))",
           "np.array(order_of(self.order, y.shape[-1]))", _maps("permutation")),
    Mutant("found coordinates left in the order of finding", "M13",
           "ppgm/transforms/autoregressive.py", "np.argsort(self.order)]",
           "np.array(self.order)]", _maps("maf")),
    Mutant("parameters of the wrong coordinates", "M6", "ppgm/transforms/autoregressive.py",
           "(*raw.shape[:-1], raw.shape[-1] // size, size))\n"
           "    return ops_of(raw).np.moveaxis(parts, -1, -2)",
           "(*raw.shape[:-1], size, raw.shape[-1] // size))\n    return parts",
           _maps("maf", "iaf")),
    Mutant("mask off by one", "M13", "ppgm/nets_layers.py",
           "[None, :] <= np.array(self.after)", "[None, :] < np.array(self.after)", MASKS),
    Mutant("outputs that see themselves", "M13", "ppgm/nets_masked.py",
           "(*(int(p) + 1 for p in place)", "(*(int(p) for p in place)", MASKS),
    Mutant("a context that the first coordinate does not see", "M13", "ppgm/nets_masked.py",
           "[0] * self.context", "[1] * self.context", MASKS),
    Mutant("mask left out on torch", "M13", "ppgm/nets_torch.py",
           "layer.weight * layer.mask if", "layer.weight if", MASKS),
)  # fmt: skip

GUIDES = (
    Mutant("order of autoregressive steps not turned round", "M13", "ppgm/guides/iaf.py",
           '("forward", "reverse")[step % 2]', '("forward", "forward")[step % 2]', TURNS),
    Mutant("halves that do not take turns", "M13", "ppgm/guides/coupling.py",
           "flip = t % 2 == 1", "flip = False", TURNS),
    Mutant("steps that share a network", "M10", "ppgm/guides/iaf.py",
           'f"{name}.iaf{t}"', 'f"{name}.iaf0"', NETWORKS),
    Mutant("density of a draw kept after the draw was cut, Pyro", "M15",
           "ppgm/host_pyro_ppl.py", "if value is drawn and graded",
           "if value.data_ptr() == drawn.data_ptr() and graded",
           _guides(CUT, "pyro-iaf-rws", "pyro-planar-rws")),
    Mutant("density of a draw kept after the draw was cut, NumPyro", "M15",
           "ppgm/host_numpyro_run.py",
           'msg["intermediates"] = []  # the density of the draw goes through the draw', "pass",
           _guides(CUT, "numpyro-iaf-rws")),
    Mutant("rows of a factor scaled for its columns", "M9", "ppgm/guides/full_rank.py",
           "scale[..., None, :]", "scale[..., :, None]", _guides(EXACT, "pyro-full rank")),
    Mutant("triangular factor turned over", "M6", "ppgm/guides/full_rank.py",
           "places[rows, columns]", "places[columns, rows]",
           _guides(EXACT, "pyro-full rank") + _guides(OWN, "pyro-full rank")),
    Mutant("summary that no step sees", "M8", "ppgm/guides/iaf.py",
           "seen = context if self.extra(latent) else None",
           "seen = 0 * context if self.extra(latent) else None",
           _guides("every_output_of_the_encoder_counts", "iaf")),
    Mutant("mixture without its weights' normaliser", "M14", "ppgm/guides/mixture.py",
           "ops.log_softmax(self.logits, -1) - log_det", "self.logits - log_det", COMPONENTS),
    Mutant("mixture taken to be reparameterised", "M3", "ppgm/guides/mixture.py",
           "reparameterised = False", "reparameterised = True", QUADRATURE),
    Mutant("automatic guide without the Jacobian of a support", "M2",
           "ppgm/guides/automatic.py", "log_density=-log_det", "log_density=0 * log_det",
           JOINT + SUPPORTS),
    Mutant("Jacobian of a support with the wrong sign", "M2", "ppgm/guides/automatic.py",
           "log_density=-log_det", "log_density=log_det", JOINT),
    Mutant("latents of an automatic guide outside their plates", "M6",
           "ppgm/guides/automatic.py", "for plate in latent.plates:\n            stack",
           "for plate in ():\n            stack", PLATES + JOINT),
    Mutant("parts of the joint draw shifted", "M6", "ppgm/guides/automatic.py",
           "u[..., end - size : end]", "u[..., total - end : total - end + size]", JOINT),
    Mutant("an automatic guide over rows that change", "M1", "ppgm/checking.py",
           "if source.steps_per_epoch > 1:", "if False:", ROWS),
    Mutant("supports that move not noticed", "M14", "ppgm/host_pyro_latents.py",
           "for seed in (0, 1)", "for seed in (0, 0)", MOVING),
    Mutant("automatic mixtures in sticking the landing", "M3", "ppgm/inference/stl.py",
           'table.select("guide", "latent", "auxiliary")', 'table.select("guide", "latent")',
           _tests("auto_guides", "objectives_of_reparameterised_draws_refuse_a_mixture[pyro]")),
)  # fmt: skip

FLOWS = MAPS + GUIDES
