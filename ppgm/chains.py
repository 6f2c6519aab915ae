r"""Markov chains as one site: a path of T states in D dimensions.

.. math:: p(z_{1:T}) = p_1(z_1) \prod_{t=2}^{T} p(z_t | z_{t-1}, i_t), \quad
    z_t = f(\epsilon_t; z_{t-1}, i_t), \quad \epsilon_t \sim N(0, I_D)

A draw goes through time in one loop; a given path is scored in one pass with time as a batch
axis, which is what makes sequence models fast. The states that a mask leaves out, those after
the end of a shorter sequence, are their own standard normal noise: nothing depends on them, the
path has a proper density, and what they add to the model's and to the guide's log density is
the same number, so that they change no weight and no gradient.
"""

__all__ = ["MarkovChain"]

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ppgm.distributions import Pushed, Rng
from ppgm.distributions_normal import log_standard
from ppgm.errors import ModelError
from ppgm.ops import Array, Arrays, ops_of


@dataclass(frozen=True)
class MarkovChain:
    """Distribution of paths ``(T, D)``, a function of noise of the same shape.

    Attributes:
        first: Distribution of the first state, batch ``(*)``, event ``(D,)``.
        step: From states ``(*, D)`` and the entry of each input, ``(*, n)``, to the distribution
            of the next states, batch ``(*)``. It has to broadcast: it is called with one step at
            a time, and with all steps at once as a last batch axis. Where it has a method
            `in_turn`, as `ppgm.guides.smoothers.Combiner`, that may make all states of a draw.
        length: Number of states T.
        inputs: What the steps get besides the state before, vectors ``(*, T, n)``: entry t is for
            the step to state t, so that entry 0 is not used. Matrices have to be flattened.
        mask: True for the states of a sequence, False after its end, booleans ``(*, T)``; None
            where all sequences have T states.
        independent: Whether the steps do not look at the state before, so that all states can be
            drawn at once.
    """

    first: Pushed
    step: Callable[..., Pushed]
    length: int
    inputs: Arrays = ()
    mask: Array | None = None
    independent: bool = False
    support = "real"
    reparameterised = True
    normalised = True

    def __post_init__(self) -> None:
        arrays = [("inputs", a, -2) for a in self.inputs]
        arrays += [] if self.mask is None else [("mask", self.mask, -1)]
        for name, array, axis in arrays:
            shape = tuple(array.shape)
            if len(shape) < -axis or shape[axis] != self.length:
                wanted = "(*, T, n)" if name == "inputs" else "(*, T)"
                raise ModelError(
                    f"MarkovChain: {name} must have the shape {wanted} with T = {self.length} "
                    f"steps, not {shape}"
                )

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes before time and state."""
        shapes = [tuple(a.shape[:-2]) for a in self.inputs]
        shapes += [] if self.mask is None else [tuple(self.mask.shape[:-1])]
        return reduce(np.broadcast_shapes, shapes, tuple(self.first.batch_shape))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Time and state, ``(T, D)``."""
        return (self.length, *self.first.event_shape)

    def sample(self, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Draws paths from noise of the source."""
        return self.push(rng.normal((*shape, *self.event_shape)))[0]

    def push(self, noise: Array) -> tuple[Array, Array]:
        """Returns the paths at noise ``(*, T, D)`` and their log densities ``(*)``."""
        xp = ops_of(noise).np
        lead = np.broadcast_shapes(tuple(noise.shape[:-2]), self.batch_shape)
        noise = xp.broadcast_to(noise, (*lead, *noise.shape[-2:]))
        z, log_p = self.first.push(noise[..., 0, :])
        if self.mask is not None:
            z = xp.where(self.mask[..., 0, None], z, noise[..., 0, :])
        path, log_ps = z[..., None, :], log_p[..., None]
        if self.length > 1:
            later = (noise, *self.inputs)
            later = later if self.mask is None else (*later, self.mask[..., None])
            later = tuple(a[..., 1:, :] for a in later)
            values, terms = (self._at_once if self.independent else self._in_turn)(z, later)
            path, log_ps = xp.concat([path, values], axis=-2), xp.concat([log_ps, terms], axis=-1)
        return path, self._summed(log_ps, noise)

    def log_prob(self, value: Array) -> Array:
        """Returns the log densities of paths ``(*, T, D)``, shape ``(*)``."""
        xp = ops_of(value).np
        log_p = self.first.log_prob(value[..., 0, :])[..., None]
        if self.length > 1:
            rest = self._later(value)
            lead = np.broadcast_shapes(tuple(log_p.shape[:-1]), tuple(rest.shape[:-1]))
            parts = [xp.broadcast_to(p, (*lead, p.shape[-1])) for p in (log_p, rest)]
            log_p = xp.concat(parts, axis=-1)
        return self._summed(log_p, value)

    def _later(self, value: Array) -> Array:
        """Returns the log densities of all states but the first, ``(*, T - 1)``."""
        arrays = value[..., :-1, :], value[..., 1:, :], *(i[..., 1:, :] for i in self.inputs)
        choose = ops_of(value).chosen
        chosen = None if choose is None or self.mask is None else choose(self.mask[..., 1:])
        if chosen is not None:
            arrays = tuple(map(chosen.take, arrays))
        before, after, *inputs = arrays
        terms = self.step(before, *inputs).log_prob(after)
        return terms if chosen is None else chosen.put(terms)

    def _at_once(self, z: Array, later: Arrays) -> tuple[Array, Array]:
        """Makes all states but the first, which do not look at each other."""
        return self._one((z[..., None, :],), later)[1]

    def _in_turn(self, z: Array, later: Arrays) -> tuple[Array, Array]:
        """Makes all states but the first, one of the other."""
        whole = getattr(self.step, "in_turn", None)
        alive = None if self.mask is None else self.mask[..., 1:]
        count = len(self.inputs)
        found = None if whole is None else whole(z, later[0], later[1 : count + 1], alive)
        if found is not None:
            return found
        ops = ops_of(z)
        xs = tuple(ops.np.moveaxis(a, -2, 0) for a in later)
        values, terms = ops.scan(self._one, (z,), xs)
        return ops.np.moveaxis(values, 0, -2), ops.np.moveaxis(terms, 0, -1)

    def _one(self, carry: Arrays, x: Arrays) -> tuple[Arrays, tuple[Array, Array]]:
        """Makes one state of the state before."""
        (z,), (noise, *inputs) = carry, x
        keep = None if self.mask is None else inputs.pop()
        value, log_p = self.step(z, *inputs).push(noise)
        if keep is not None:
            value = ops_of(value).np.where(keep, value, noise)
        return (value,), (value, log_p)

    def _summed(self, log_p: Array, value: Array) -> Array:
        """Sums over time; `value` holds the noise of the states that the mask leaves out."""
        if self.mask is not None:
            log_p = ops_of(value).np.where(self.mask, log_p, log_standard(value))
        return log_p.sum(-1)
