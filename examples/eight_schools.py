r"""Eight schools: a hierarchical model in plain Pyro and plain NumPyro, centred or not.

.. math::
    \mu \sim N(0, 5^2), \quad \tau \sim \mathrm{HalfCauchy}(5), \quad
    \theta_j \sim N(\mu, \tau^2), \quad y_j \sim N(\theta_j, \sigma_j^2)

Run ``python examples/eight_schools.py --host numpyro``.

References:
    | Estimation in Parallel Randomized Experiments (Rubin, 1981), doi:10.3102/10769986006004377
    | Bayesian Data Analysis (Gelman et al., 2013), section 5.5
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

import ppgm
from ppgm.inference import ELBO, NUTS, SVI
from ppgm.optimisers import Adam

DATA = {
    "y": np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]),
    "sigma": np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]),
}
"""Estimated effects of coaching, and their standard errors, in eight schools."""


def numpyro_model(*, centred: bool) -> Callable[..., None]:
    """Returns the model as a NumPyro program."""
    import numpyro
    import numpyro.distributions as dist

    def model(y: Any, sigma: Any) -> None:
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        with numpyro.plate("school", 8):
            if centred:
                theta = numpyro.sample("theta", dist.Normal(mu, tau))
            else:
                noise = numpyro.sample("noise", dist.Normal(0.0, 1.0))
                theta = numpyro.deterministic("theta", mu + tau * noise)
            numpyro.sample("y", dist.Normal(theta, sigma), obs=y)

    return model


def pyro_model(*, centred: bool) -> Callable[..., None]:
    """Returns the model as a Pyro program."""
    import pyro
    import pyro.distributions as dist
    import torch

    def model(y: Any, sigma: Any) -> None:
        zero = torch.zeros(())
        mu = pyro.sample("mu", dist.Normal(zero, 5.0))
        tau = pyro.sample("tau", dist.HalfCauchy(zero + 5.0))
        with pyro.plate("school", 8):
            if centred:
                theta = pyro.sample("theta", dist.Normal(mu, tau))
            else:
                noise = pyro.sample("noise", dist.Normal(zero, 1.0))
                theta = pyro.deterministic("theta", mu + tau * noise)
            pyro.sample("y", dist.Normal(theta, sigma), obs=y)

    return model


def make(host: str, *, centred: bool = False) -> ppgm.Program:
    """Returns the program, with the host's own mean-field guide."""
    if host == "pyro":
        from pyro.infer.autoguide import AutoNormal

        model = pyro_model(centred=centred)
    else:
        from numpyro.infer.autoguide import AutoNormal

        model = numpyro_model(centred=centred)
    return ppgm.Program(model, AutoNormal(model), host=host)


def main() -> None:
    """Fits by SVI and by NUTS, and prints both posteriors."""
    parser = argparse.ArgumentParser(description="Eight schools on either host.")
    parser.add_argument("--host", choices=("pyro", "numpyro"), default="numpyro")
    parser.add_argument("--centred", action="store_true", help="the parametrisation NUTS dislikes")
    parser.add_argument("--smoke", action="store_true", help="a few steps only")
    options = parser.parse_args()

    program = make(options.host, centred=options.centred)
    steps, draws = (20, 20) if options.smoke else (3000, 1000)
    methods = (
        SVI(ELBO(particles=8), steps=steps, draws=draws, optimiser=Adam(0.02)),
        NUTS(warmup=draws, draws=draws, chains=1 if options.smoke else 2, target_accept=0.95),
    )
    print(program.sites(DATA))
    for method in methods:
        posterior = ppgm.infer(program, DATA, method, seed=0)
        print(f"\n{type(method).__name__}\n{posterior}")
        idata = posterior.to_arviz()
        print("E[mu] =", round(float(idata.posterior["mu"].mean()), 2))


if __name__ == "__main__":
    main()
