r"""Bayesian logistic regression of the breast cancer data, in plain Pyro and plain NumPyro.

.. math::
    b \sim N(0, 2.5^2), \quad w \sim N(0, I), \quad y_n \sim B(\sigma(w^T x_n + b))

The weights are shared by all rows, so the bound is over the whole data set; minibatches are right
for the ELBO all the same. Run ``python examples/logistic_regression.py --host pyro``.

References:
    | Wisconsin Diagnostic Breast Cancer (Wolberg, Mangasarian & Street, 1995)
    | https://doi.org/10.24432/C5DW2B
"""

import argparse
from typing import Any

import numpy as np

import ppgm
from ppgm.inference import ELBO, NUTS, SVI
from ppgm.optimisers import Adam


def load(columns: int = 30) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns training and test rows: standardised `columns`, and whether the tumour is benign."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    x = x[:, :columns]
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:400], order[400:]
    x = (x - x[train].mean(0)) / x[train].std(0)
    return (
        {"x": x[train], "y": y[train].astype(float)},
        {"x": x[test], "y": y[test].astype(float)},
    )


def make(host: str) -> ppgm.Program:
    """Returns the program, with the host's own mean-field guide."""
    return pyro_program() if host == "pyro" else numpyro_program()


def pyro_program() -> ppgm.Program:
    """Returns the program in Pyro."""
    import pyro
    import pyro.distributions as dist
    import torch
    from pyro.infer.autoguide import AutoNormal

    def model(x: Any, y: Any) -> None:
        bias = pyro.sample("bias", dist.Normal(torch.zeros(()), 2.5))
        weight = pyro.sample("weight", dist.Normal(torch.zeros(x.shape[1]), 1.0).to_event(1))
        with pyro.plate("row", len(x)):
            pyro.sample("y", dist.Bernoulli(logits=x @ weight + bias), obs=y)

    return ppgm.Program(model, AutoNormal(model), host="pyro")


def numpyro_program() -> ppgm.Program:
    """Returns the program in NumPyro."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer.autoguide import AutoNormal

    def model(x: Any, y: Any) -> None:
        bias = numpyro.sample("bias", dist.Normal(0.0, 2.5))
        weight = numpyro.sample("weight", dist.Normal(jnp.zeros(x.shape[1]), 1.0).to_event(1))
        with numpyro.plate("row", len(x)):
            numpyro.sample("y", dist.Bernoulli(logits=x @ weight + bias), obs=y)

    return ppgm.Program(model, AutoNormal(model), host="numpyro")


def accuracy(posterior: ppgm.Posterior, test: dict[str, np.ndarray]) -> float:
    """Returns the share of test rows that the posterior mean of p(y | x) gets right."""
    weight = posterior.draws["weight"].reshape(-1, test["x"].shape[1])
    bias = posterior.draws["bias"].reshape(-1, 1)
    probability = (1 / (1 + np.exp(-(weight @ test["x"].T + bias)))).mean(0)
    return float(((probability > 0.5) == (test["y"] > 0.5)).mean())


def main() -> None:
    """Fits by minibatches and by NUTS, and prints held-out accuracies."""
    parser = argparse.ArgumentParser(description="Bayesian logistic regression on either host.")
    parser.add_argument("--host", choices=("pyro", "numpyro"), default="numpyro")
    parser.add_argument("--smoke", action="store_true", help="a few steps only")
    options = parser.parse_args()

    train, test = load(5 if options.smoke else 30)
    program = make(options.host)
    steps, draws = (20, 10) if options.smoke else (2000, 500)
    fit = ppgm.fit(
        program, train, ELBO(), steps=steps, batch_size=100, optimiser=Adam(0.01), seed=0
    )
    print("bound of all rows, last epoch:", round(float(fit.history["bound"][-1]), 1))
    for method in (
        SVI(ELBO(), steps=steps, draws=draws, batch_size=100, optimiser=Adam(0.01)),
        NUTS(warmup=draws, draws=draws, chains=1),
    ):
        posterior = ppgm.infer(program, train, method, seed=0)
        print(f"\n{type(method).__name__}: held-out accuracy {accuracy(posterior, test):.3f}")
        print(posterior)


if __name__ == "__main__":
    main()
