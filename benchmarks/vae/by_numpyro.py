"""The VAE in NumPyro's own SVI, `svi.update` inside one compiled scan over the epoch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import optax
from jax import Array
from numpyro.infer import SVI, RenyiELBO, Trace_ELBO

from benchmarks import jax_kit
from benchmarks.jax_kit import Tree
from benchmarks.row import Contestant, Row


def model(start: Tree, x: Array) -> None:
    """Declares z ~ N(0, I) and x | z ~ Bernoulli(decoder(z))."""
    decoder = numpyro.param("decoder", start)
    latent = start[0][0].shape[0]
    with numpyro.plate("data", len(x), dim=-1):
        z = numpyro.sample("z", dist.Normal(jnp.zeros(latent), jnp.ones(latent)).to_event(1))
        logits = jax_kit.apply(decoder, z, jnp.tanh)
        numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)


def guide(start: Tree, x: Array) -> None:
    """Declares z | x ~ N(loc(x), scale(x))."""
    encoder = numpyro.param("encoder", start)
    with numpyro.plate("data", len(x), dim=-1):
        loc, log_scale = jnp.split(jax_kit.apply(encoder, x, jnp.tanh), 2, axis=-1)
        numpyro.sample("z", dist.Normal(loc, jnp.exp(log_scale)).to_event(1))


def objective(particles: int) -> Trace_ELBO | RenyiELBO:
    """Returns NumPyro's objective for the row."""
    return Trace_ELBO() if particles == 1 else RenyiELBO(alpha=0.0, num_particles=particles)


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; there is one variant."""
    weights, data = row.weights(), jnp.array(row.data(row.size))
    encoder, decoder = (jax_kit.perceptron(weights, name) for name in ("encoder", "decoder"))
    elbo = objective(row.particles)
    svi = SVI(lambda x: model(decoder, x), lambda x: guide(encoder, x), optax.adam(1e-3), elbo)
    first = data[: row.batch]
    state = svi.init(jax.random.key(0), first)

    def update(state: Tree, key: Array, batch: Array) -> tuple[Tree, Array]:
        # SVI keeps a key of its own, so the epoch's is not needed.
        state, loss = svi.update(state, batch)
        return state, loss / row.batch

    params = svi.get_params(state)
    loss = lambda key: (elbo.loss(key, params, svi.model, svi.guide, first) / row.batch,)  # noqa: E731
    return Contestant(jax_kit.epoch(row, "scan", data, state, update), jax_kit.repeated(loss))
