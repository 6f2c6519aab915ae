"""An objective as a loss for NumPyro's own `SVI`."""

__all__ = ["NumpyroLoss"]

from collections.abc import Callable
from typing import Any

import jax
from jax import Array
from numpyro.infer import ELBO, SVI

from ppgm.errors import EstimatorError
from ppgm.host_numpyro_native_guide import KEPT, NumpyroGuide, after, before
from ppgm.host_numpyro_native_view import open_program
from ppgm.inference.native import check_native, keeps, names_of, place_of
from ppgm.inference.objective import AbstractObjective
from ppgm.influences import Reach
from ppgm.programs import Program


class NumpyroLoss(ELBO):
    """Drop-in ``loss`` of ``numpyro.infer.SVI``.

    Its value is the objective summed over all data, as NumPyro's own losses are. Plates scale
    it by ``size / subsample_size`` outside any logarithm.

    Args:
        objective: An objective with one player, which trains model and guide.
    """

    can_infer_discrete = True

    def __init__(self, objective: AbstractObjective) -> None:
        check_native(objective)
        super().__init__(num_particles=getattr(objective, "particles", 1))
        self.objective = objective
        self._reach = Reach()

    def guide(
        self, model: Callable[..., Any], guide: Callable[..., Any], seed: int = 0
    ) -> Callable[..., Any]:
        """Returns the guide with a place for what the objective owns; see `NumpyroGuide`.

        It is the guide itself if the objective owns nothing.

        Args:
            model: The model that SVI is given too.
            guide: The guide.
            seed: Seed of the initial weights of the objective's networks.
        """
        if not keeps(self.objective):
            return guide
        return NumpyroGuide(self.objective, Program(model, guide, "numpyro"), self._reach, seed)

    def loss_with_mutable_state(
        self,
        rng_key: Array,
        param_map: dict[str, Any],
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Returns the loss, and what the guide keeps after the step."""
        place = place_of(self.objective, guide, NumpyroGuide)
        inner = guide.guide if isinstance(guide, NumpyroGuide) else guide
        program, params = Program(model, inner, "numpyro"), dict(param_map)
        first, second = jax.random.split(rng_key)
        kept = params.pop(KEPT, None)
        opened = open_program(self.objective, program, params, first, args, kwargs, self._reach)
        if place is None:
            view = opened.view(second)
        else:
            self._check_step(kept)
            opened = opened.with_nets(params)
            view = opened.view(second, *before(opened, kept, jax.random.fold_in(first, 1)))
        loss = self.objective(view, self.objective.players[0].name) * view.total
        if place is not None and kept is not None:
            kept = after(kept, view, loss)
        return {"loss": loss, "mutable_state": None if kept is None else {KEPT: kept}}

    def evaluate(self, svi: SVI, svi_state: Any, *args: Any, **kwargs: Any) -> Array:
        """Returns what ``svi.evaluate(svi_state, ...)`` does, at the step that SVI has come to.

        NumPyro's own does not hand a loss what the guide keeps.

        Args:
            svi: The SVI.
            svi_state: Its state.
            args: Arguments of model and guide.
            kwargs: Keyword arguments of model and guide.
        """
        key = jax.random.split(svi_state.rng_key)[1]
        params = {**svi.get_params(svi_state), **(svi_state.mutable_state or {})}
        options = {**kwargs, **svi.static_kwargs}
        found = self.loss_with_mutable_state(key, params, svi.model, svi.guide, *args, **options)
        return found["loss"]

    def _check_step(self, kept: Any) -> None:
        if kept is None and self.objective.scheduled:
            names = names_of(self.objective, lambda term: term.scheduled)
            raise EstimatorError(
                f"{names} follows a schedule, and NumPyro's SVI.evaluate "
                "does not tell a loss the step: write loss.evaluate(svi, state, ...)"
            )
