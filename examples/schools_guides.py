r"""Eight schools: how near each family of guides comes to the posterior.

.. math::
    \mu \sim N(0, 5^2), \quad \tau \sim \mathrm{HalfCauchy}(5), \quad
    \theta_j \sim N(\mu, \tau^2), \quad y_j \sim N(\theta_j, \sigma_j^2)

Fits one joint posterior of each family over mu, tau and the effects, centred (theta itself) or not
(theta = mu + tau e, with e drawn), and compares its draws with those of NUTS: the Wasserstein
distance of each margin, of mu, log tau and the eight theta, in standard deviations of NUTS. k-hat
says how far the guide's draws can be trusted as proposals; 0.7 is the usual limit.

Run ``python examples/schools_guides.py --host numpyro``.

References:
    | Yes, but Did It Work? Evaluating Variational Inference (Yao et al., 2018),
    | https://arxiv.org/abs/1802.02538
    | Bayesian Data Analysis (Gelman et al., 2013), section 5.5
"""

import argparse
from collections.abc import Iterator, Mapping

import numpy as np
from eight_schools import DATA, numpyro_model, pyro_model
from scipy.stats import wasserstein_distance

import ppgm
from ppgm import tables
from ppgm.guides import IAF, FullRank, Gaussian, Spline, auto
from ppgm.inference import ELBO, NUTS, SVI
from ppgm.optimisers import Adam

FAMILIES = {
    "mean-field": Gaussian(),
    "full-rank": FullRank(),
    "IAF": IAF(depth=2, hidden=(32,), summary=0),
    "spline": Spline(depth=2, hidden=(32,), summary=0),
}


def margins(draws: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns draws of mu, log tau and the eight theta, ``(draws, 10)``."""
    flat = {n: np.asarray(v, float).reshape(-1, *v.shape[2:]) for n, v in draws.items()}
    mu, tau = flat["mu"][:, None], flat["tau"][:, None]
    theta = flat["theta"] if "theta" in flat else mu + tau * flat["noise"]
    return np.concatenate([mu, np.log(tau), theta], 1)


def distances(found: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns the distance of each margin in standard deviations of the reference."""
    pairs = zip(found.T, reference.T, strict=True)
    return np.array([wasserstein_distance(a, b) / b.std() for a, b in pairs])


def compare(
    host: str, *, steps: int, draws: int, seed: int = 0
) -> Iterator[tuple[bool, str, float, np.ndarray]]:
    """Yields parametrisation, family, k-hat, and the distances of mu, log tau and the theta.

    NUTS draws the posterior without centring, where it mixes well, with two seeds; how far these
    are from each other is the first row.
    """
    make = {"pyro": pyro_model, "numpyro": numpyro_model}[host]
    exact = ppgm.Program(make(centred=False), host=host)
    nuts = NUTS(warmup=draws // 2, draws=draws, chains=1, target_accept=0.95)
    first, second = (margins(ppgm.infer(exact, DATA, nuts, seed=seed + i).draws) for i in range(2))
    yield False, "NUTS, another seed", np.nan, distances(second, first)
    reference = np.concatenate([first, second])
    for centred in (False, True):
        for name, family in FAMILIES.items():
            program = auto(ppgm.Program(make(centred=centred), host=host), family)
            method = SVI(ELBO(particles=10), steps=steps, draws=draws, optimiser=Adam(0.01))
            found = ppgm.infer(program, DATA, method, seed=seed)
            apart = distances(margins(found.draws), reference)
            yield centred, name, float(np.max(np.asarray(found.k_hat))), apart


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description="Guides of eight schools on either host.")
    parser.add_argument("--host", choices=("pyro", "numpyro"), default="numpyro")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a few steps only")
    options = parser.parse_args()

    steps, draws = (10, 50) if options.smoke else (5000, 4000)
    header = ("theta", "guide", "k-hat", "mu", "log tau", "theta, mean", "theta, largest")
    rows = []
    for centred, name, k_hat, apart in compare(
        options.host, steps=steps, draws=draws, seed=options.seed
    ):
        far = (apart[0], apart[1], apart[2:].mean(), apart[2:].max())
        rows.append((
            "centred" if centred else "not centred", name, tables.number(k_hat),
            *map(tables.number, far),
        ))  # fmt: skip
        print(tables.text(header, rows), "\n", flush=True)


if __name__ == "__main__":
    main()
