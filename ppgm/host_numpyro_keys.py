"""Keys for the draws of a NumPyro program."""

__all__ = ["JaxRng", "Seed"]

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from numpyro.primitives import Messenger

AT_ONCE = 8


class JaxRng:
    """Fresh keys from one key, `AT_ONCE` at a time.

    On a CPU a split is some thirty small kernels, however many keys it makes: one for every draw
    is a measurable part of a small step.
    """

    def __init__(self, key: Array) -> None:
        self._key, self._spare = key, list[Array]()

    def split(self) -> Array:
        """Returns a fresh key."""
        if not self._spare:
            self._key, *self._spare = jax.random.split(self._key, AT_ONCE)
        return self._spare.pop()

    def normal(self, shape: tuple[int, ...]) -> Array:
        """Returns standard normal noise."""
        return jax.random.normal(self.split(), shape, jnp.result_type(float))

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Returns noise uniform in [0, 1)."""
        return jax.random.uniform(self.split(), shape, jnp.result_type(float))

    def draw(self, fn: Any, shape: tuple[int, ...]) -> Array:
        """Returns draws from a distribution of NumPyro, with that batch shape."""
        return fn.expand(shape).sample(self.split())


class Seed(Messenger):
    """Gives every draw a key, as `numpyro.handlers.seed` does, from a pool.

    Args:
        call: The program.
        draws: Keys of sites, of `numpyro.prng_key` and of control flow.
        plates: Keys of subsampled plates, which particles share.
    """

    def __init__(self, call: Callable[..., Any], draws: JaxRng, plates: JaxRng) -> None:
        self.rngs = {"sample": draws, "prng_key": draws, "control_flow": draws, "plate": plates}
        super().__init__(call)

    def process_message(self, msg: Any) -> None:
        """Gives a key to a statement that draws and has none."""
        rng = self.rngs.get(msg["type"])
        if rng is None or msg["value"] is not None or msg["kwargs"]["rng_key"] is not None:
            return
        if not (msg["type"] == "sample" and msg["is_observed"]):
            msg["kwargs"]["rng_key"] = rng.split()
