"""One-hot vectors on NumPyro, which has none of its own."""

__all__ = ["OneHotCategorical"]

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import Array
from numpyro.distributions import constraints


class _OneHot(constraints.ParameterFreeConstraint):
    """Vectors of zeros with a single one."""

    is_discrete = True
    event_dim = 1

    def __call__(self, x: Array) -> Array:
        bits = ((x == 0) | (x == 1)).all(-1)
        return bits & (x.sum(-1) == 1)

    def feasible_like(self, prototype: Array) -> Array:
        return jax.nn.one_hot(jnp.zeros(prototype.shape[:-1], int), prototype.shape[-1])


class OneHotCategorical(dist.Distribution):
    r"""One-hot vector of a class, :math:`\log p(y) = \sum_c y_c \log \pi_c`; as Pyro's.

    Args:
        probs: Probabilities of the classes, ``(*, C)``.
        logits: Log odds of the classes instead, ``(*, C)``.
    """

    arg_constraints = {"logits": constraints.real_vector}
    has_enumerate_support = True
    pytree_data_fields = ("logits",)

    def __init__(
        self, probs: Any = None, logits: Any = None, *, validate_args: bool | None = None
    ) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("one of probs and logits must be given, and not both")
        raw = jnp.log(jnp.asarray(probs)) if logits is None else jnp.asarray(logits)
        self.logits = jax.nn.log_softmax(raw, -1)
        super().__init__(
            self.logits.shape[:-1], self.logits.shape[-1:], validate_args=validate_args
        )

    @property
    def support(self) -> Any:
        """One-hot vectors."""
        return _OneHot()

    @property
    def probs(self) -> Array:
        """Probabilities of the classes, ``(*, C)``."""
        return jnp.exp(self.logits)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws one-hot vectors ``(*sample_shape, *batch_shape, C)``."""
        classes = jax.random.categorical(
            key, self.logits, shape=(*sample_shape, *self.batch_shape)
        )
        return jax.nn.one_hot(classes, self.event_shape[0], dtype=self.logits.dtype)

    def log_prob(self, value: Array) -> Array:
        """Returns the log probability ``(*)``, linear in the value: relaxed draws have one too."""
        # a class of probability zero counts only where it is the one
        return jnp.where(value == 0, 0.0, value * self.logits).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Array:  # noqa: FBT001, FBT002
        """Returns all vectors, ``(C, *batch_shape, C)``, or with axes of one if not `expand`."""
        size = self.event_shape[0]
        values = jnp.eye(size, dtype=self.logits.dtype)
        values = values.reshape((size, *(1,) * len(self.batch_shape), size))
        return jnp.broadcast_to(values, (size, *self.batch_shape, size)) if expand else values
