r"""Sigmoid belief nets under five estimators, each with the same time.

.. math::
    h_2 \sim B(\sigma(a)), \quad h_1 | h_2 \sim B(\sigma(W_2 h_2 + b_2)), \quad
    x | h_1 \sim B(\sigma(W_1 h_1 + b_1))

Trains the same net by REINFORCE, NVIL, VIMCO, reweighted wake-sleep and wake-sleep for the same
minutes each, and compares bound and log p(x) of held-out rows. On static MNIST the published order
(by log p(x)) is VIMCO, RWS, NVIL, wake-sleep, REINFORCE.

Run ``python examples/belief_nets.py --data mnist-static --folder DATA --minutes 20``; without a
folder of data, ``--data digits`` is bundled.

References:
    | Neural Variational Inference and Learning in Belief Networks (Mnih & Gregor, 2014)
    | https://arxiv.org/abs/1402.0030
    | Reweighted Wake-Sleep (Bornschein & Bengio, 2015), https://arxiv.org/abs/1406.2751
    | Variational Inference for Monte Carlo Objectives (Mnih & Rezende, 2016)
    | https://arxiv.org/abs/1602.06725
"""

import argparse
from time import perf_counter

import numpy as np

import ppgm
from ppgm import tables
from ppgm.inference import NVIL, REINFORCE, RWS, VIMCO, WakeSleep
from ppgm.inference.objective import AbstractObjective
from ppgm.models import SBN
from ppgm.optimisers import Adam

ESTIMATORS: dict[str, AbstractObjective] = {
    "VIMCO-5": VIMCO(5),
    "RWS-5": RWS(5),
    "NVIL": NVIL(),
    "wake-sleep": WakeSleep(),
    "REINFORCE": REINFORCE(),
}


def train(
    net: SBN, data: dict[str, np.ndarray], objective: AbstractObjective, minutes: float, host: str
) -> ppgm.Fit:
    """Trains for the minutes: two epochs to see how long one takes, then the rest."""
    options = {"batch_size": 100, "optimiser": Adam(1e-3), "progress": False}
    fit = ppgm.fit(ppgm.program(net, host=host), data, objective, epochs=1, **options)
    began = perf_counter()
    fit = ppgm.fit(fit, data, objective, epochs=1, **options)
    more = int(60 * minutes / (perf_counter() - began)) - 1
    return ppgm.fit(fit, data, objective, epochs=more, **options) if more > 0 else fit


def main() -> None:
    """Trains one net by every estimator and prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="digits", choices=("digits", "mnist-static"))
    parser.add_argument("--folder", help="folder of the MNIST files")
    parser.add_argument("--host", default="numpyro", choices=("numpyro", "pyro"))
    parser.add_argument("--layers", default="200,200", help="widths, from the one next to x")
    parser.add_argument("--minutes", type=float, default=1.0, help="minutes for each estimator")
    parser.add_argument("--rows", type=int, default=500, help="held-out rows to evaluate")
    parser.add_argument("--smoke", action="store_true", help="one epoch each, a small net")
    args = parser.parse_args()

    data = ppgm.data.load(args.data, folder=args.folder)
    layers = (8, 4) if args.smoke else tuple(int(w) for w in args.layers.split(","))
    net = SBN(data.train["x"].shape[1], layers)
    held_out = {"x": data.test["x"][: 20 if args.smoke else args.rows]}
    minutes, particles = (0.0, 25) if args.smoke else (args.minutes, 1000)
    rows = []
    for name, objective in ESTIMATORS.items():
        fit = train(net, {"x": data.train["x"]}, objective, minutes, args.host)
        bound = ppgm.evaluate(fit, held_out, particles=particles)
        rows.append((
            name, len(fit.history["epoch"]), tables.number(float(fit.history["bound"][-1])),
            tables.measured(bound.mean, bound.standard_error),
            tables.number(float(np.mean(bound.ess)), 1),
        ))  # fmt: skip
        print(tables.text(("estimator", "epochs", "its bound", "log p(x)", "ESS"), rows), "\n")


if __name__ == "__main__":
    main()
