"""The runner behind a view of a NumPyro program; all of it traces under `jax.jit`."""

__all__ = ["ENUMERATION_LIMIT", "NumpyroRunner"]

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array
from numpyro import handlers

from ppgm.errors import EstimatorError
from ppgm.host_numpyro_keys import JaxRng
from ppgm.host_numpyro_ops import OPS
from ppgm.host_numpyro_ppl import support_values
from ppgm.host_numpyro_run import PARTICLES, Params, kind_of, run, to_term
from ppgm.programs import Program
from ppgm.terms import PLAIN, Ask, Term

ENUMERATION_LIMIT = 4096


class NumpyroRunner:
    """Runs a program with given parameters, batch and key; see `ppgm.views.Runner`.

    Args:
        program: The program.
        params: Constrained parameters.
        rng: Keys of all its draws.
        data: The batch.
        dims: Number of plate axes.
        nets: Networks that the objective owns.
        args: Positional arguments of model and guide (the host's own calling convention).
        forced: Values of the guide's sites, ``(K, *batch, *event)``, in place of draws.
        noise: Standard normal noise of its Gaussian sites, likewise.
    """

    ops = OPS

    def __init__(
        self,
        program: Program,
        params: Params,
        rng: JaxRng,
        data: Mapping[str, Any],
        dims: int,
        nets: Mapping[str, Any] | None = None,
        args: tuple[Any, ...] = (),
        forced: Mapping[str, Array] | None = None,
        noise: Mapping[str, Array] | None = None,
    ) -> None:
        self.forced: Mapping[str, Array] = dict(forced or {})
        self.noise: Mapping[str, Array] = dict(noise or {})
        self.program, self.params, self.data = program, params, dict(data)
        self.rng, self.dims, self.nets, self.args = rng, dims, nets or {}, args

    def pair(
        self, ask: Ask, given: Mapping[str, Array] | None = None
    ) -> tuple[list[Term], list[Term]]:
        """Returns the terms of guide and model, and those with parameters held constant."""
        values, copies = dict(given or {}), ask.particles
        if ask.enumerate:
            every, copies = self._all_values(copies, ask.enumerate)
            values |= every
        values = {**self.forced, **values}
        if copies > 1 and getattr(self.program.declaration, "broadcasts", False):
            return self._plated(ask, values, copies)
        plates = JaxRng(self.rng.split())
        heads: list[tuple[Term, bool]] = []

        def one(rng: JaxRng, given: Any, noise: Any) -> list[tuple[Any, ...]]:
            terms, constant = self._once(ask, rng, plates, given, noise)
            heads[:] = [(t, False) for t in terms] + [(t, True) for t in constant]
            return [(t.value, t.log_prob, t.drawn, t.logits) for t, _ in heads]

        if copies == 1:
            arrays = one(self.rng, *jax.tree.map(lambda a: a[0], (values, self.noise)))
            arrays = jax.tree.map(lambda a: jnp.asarray(a)[None], arrays)
        else:
            keys = jax.random.split(self.rng.split(), copies)
            mapped = jax.vmap(lambda key, *rest: one(JaxRng(key), *rest))
            arrays = mapped(keys, values, self.noise)
        both: tuple[list[Term], list[Term]] = [], []
        for (term, constant), (v, p, d, o) in zip(heads, arrays, strict=True):
            both[constant].append(term._replace(value=v, log_prob=p, drawn=d, logits=o))
        return both

    def _plated(
        self, ask: Ask, given: Mapping[str, Any], copies: int
    ) -> tuple[list[Term], list[Term]]:
        """Runs all particles in a plate, for declarations that say that they broadcast.

        Their networks then see one flat matrix of rows, which is faster than the batched
        products of `jax.vmap`.
        """
        with numpyro.plate(PARTICLES, copies, dim=-1 - self.dims):
            return self._wide()._once(ask, self.rng, self.rng, given, self.noise)

    def _wide(self) -> "NumpyroRunner":
        """Returns this runner with an axis of particles among those of the plates."""
        return NumpyroRunner(
            self.program, self.params, self.rng, self.data, self.dims + 1, self.nets, self.args
        )

    def single(
        self, side: str, values: Mapping[str, Array], *, observe: bool, particles: int = 1
    ) -> tuple[dict[str, Array], list[Term]]:
        """Runs one side with some values given: all its values, and its terms."""
        if particles > 1 and not getattr(self.program.declaration, "broadcasts", False):
            raise EstimatorError(
                f"several draws of the {side} by itself need a program that broadcasts: write it "
                "as a declaration with `broadcasts = True`, or use RWS(defensive=0)"
            )
        if particles > 1:
            with numpyro.plate(PARTICLES, particles, dim=-1 - self.dims):
                named, terms = self._wide().single(side, values, observe=observe)
            return named, [t._replace(log_prob=t.log_prob[0]) for t in terms]
        data = {**self.data, **{k: v for k, v in values.items() if k in self.data}}
        sites = run(
            getattr(self.program, side), self.params, self.rng, data,
            args=self.args, values=values, observe=observe,
        )  # fmt: skip
        terms = [t._replace(log_prob=t.log_prob[None]) for t in self._terms(sites, side)]
        kept = ("sample", "deterministic")
        named = {n: s["value"] for n, s in sites.items() if s["type"] in kept}
        return named, terms if observe else []

    def kernel(self, value: Array) -> Array:
        """Applies the declaration's Markov kernel to rows of values."""
        namespace = self.program.model.args[0]
        call = handlers.substitute(self.program.declaration.kernel, data=self.params)
        # A handler without a function, which this one is not, returns itself.
        return handlers.seed(call, self.rng.split())(namespace, value)  # pyright: ignore[reportReturnType]

    def within(self, fn: Callable[[Any, Any], Any]) -> Any:
        """Returns ``fn(declaration, ppl)``, called with the program's parameters in place."""
        if self.program.declaration is None:
            return fn(None, None)
        with handlers.substitute(data=self.params):
            return fn(self.program.declaration, self.program.model.args[0])

    def net(self, name: str) -> Callable[[Array], Array]:
        """Returns a network that the objective owns."""
        return self.nets[name]

    def _once(
        self,
        ask: Ask,
        rng: JaxRng,
        plates: JaxRng,
        given: Mapping[str, Any],
        noise: Mapping[str, Any],
    ) -> tuple[list[Term], list[Term]]:
        """Runs the guide, the model at its draws, and sides again with constant parameters."""
        # keys that two runs of one side share
        keys = [rng.split() for _ in ask.stopped]
        guide: dict[str, Any] = {}
        if self.program.guide is not None:
            guide = self._run("guide", rng, plates, {}, self.params, given, noise, ask)
        values = {n: s["value"] for n, s in guide.items() if s["type"] in ("sample", "plate")}
        model = self._run("model", rng, plates, values, self.params, ask=ask)
        constant, fixed = [], jax.lax.stop_gradient(self.params)
        for side, key in zip(ask.stopped, keys, strict=True):
            if getattr(self.program, side) is None:
                continue
            again = self._run(side, JaxRng(key), plates, values, fixed, ask=ask)
            constant += self._terms(again, side)
        return self._terms(guide, "guide", ask) + self._terms(model, "model"), constant

    def _run(
        self,
        side: str,
        rng: JaxRng,
        plates: JaxRng,
        values: Mapping[str, Any],
        params: Params,
        forced: Mapping[str, Any] | None = None,
        noise: Mapping[str, Any] | None = None,
        ask: Ask = PLAIN,
    ) -> dict[str, Any]:
        return run(
            getattr(self.program, side), params, rng, self.data,
            args=self.args, values=values, plates=plates, forced=forced, noise=noise, ask=ask,
        )  # fmt: skip

    def _terms(self, sites: Mapping[str, Any], side: str, ask: Ask = PLAIN) -> list[Term]:
        return [
            to_term(
                s, sites, side, self.dims, enumerated=n in ask.enumerate,
                detached=ask.detached and side == "guide", logits=ask.logits,
            )
            for n, s in sites.items()
            if kind_of(s) in ("latent", "observed", "factor")
        ]  # fmt: skip

    def _all_values(self, particles: int, names: tuple[str, ...]) -> tuple[dict[str, Array], int]:
        """Returns every joint value of the sites, each for `particles` copies."""
        sites = self._run("guide", self.rng, self.rng, {}, self.params)
        fns = [sites[n]["fn"] for n in names]
        supports = [np.asarray(support_values(fn, ENUMERATION_LIMIT)) for fn in fns]
        grid = np.indices([len(s) for s in supports]).reshape(len(supports), -1)
        index = grid.repeat(particles, 1)
        given = {}
        for name, fn, support, column in zip(names, fns, supports, index, strict=True):
            values = support[column].reshape((-1,) + (1,) * len(fn.batch_shape) + fn.event_shape)
            # in the plate of particles a value has an axis for every plate of the program
            plated = getattr(self.program.declaration, "broadcasts", False)
            spare = (1,) * (self.dims - len(fn.batch_shape)) if plated else ()
            values = values.reshape((len(values), *spare, *values.shape[1:]))
            shape = (index.shape[1], *spare, *fn.batch_shape, *fn.event_shape)
            given[name] = jnp.asarray(np.broadcast_to(values, shape))
        return given, index.shape[1]
