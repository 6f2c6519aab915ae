"""Keys of draws on NumPyro: all apart, whatever the size of the pool they come from."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist

from ppgm.host_numpyro_keys import AT_ONCE, JaxRng, Seed
from ppgm.host_numpyro_ops import softplus


def test_keys_of_a_pool_never_repeat():
    rng = JaxRng(jax.random.key(0))
    keys = {bytes(np.asarray(jax.random.key_data(rng.split()))) for _ in range(5 * AT_ONCE)}
    assert len(keys) == 5 * AT_ONCE


def test_every_site_draws_from_a_key_of_its_own():
    def model():
        return [numpyro.sample(f"z{i}", dist.Normal(0, 1)) for i in range(3 * AT_ONCE)]

    rng = JaxRng(jax.random.key(0))
    drawn = Seed(model, rng, rng)()
    assert len({float(z) for z in drawn}) == 3 * AT_ONCE


def test_subsamples_have_keys_of_their_own():
    def model():
        with numpyro.plate("rows", 50, subsample_size=5) as index:
            numpyro.sample("z", dist.Normal(0, 1))
        return index

    key = jax.random.key(1)
    draws = [Seed(model, JaxRng(jax.random.key(i)), JaxRng(key))() for i in range(2)]
    np.testing.assert_array_equal(*draws)
    other = Seed(model, JaxRng(jax.random.key(0)), JaxRng(jax.random.key(2)))()
    assert not np.array_equal(draws[0], other)


def test_softplus_and_its_derivatives():
    x = np.array([-800.0, -40.0, -1.0, 0.0, 1.0, 40.0, 800.0])
    with jax.enable_x64(True):
        each = jax.vmap
        np.testing.assert_allclose(softplus(jax.numpy.asarray(x)), np.logaddexp(0, x), rtol=1e-15)
        sigmoid = 1 / (1 + np.exp(-np.clip(x, -700, 700)))
        first = each(jax.grad(softplus))(x)
        np.testing.assert_allclose(first, sigmoid, rtol=1e-14, atol=1e-300)
        second = each(jax.grad(jax.grad(softplus)))(x)
        np.testing.assert_allclose(second, sigmoid * (1 - sigmoid), rtol=1e-12, atol=1e-15)
        assert first[3] == 0.5
