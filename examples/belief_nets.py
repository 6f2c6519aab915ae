r"""Sigmoid belief nets under five estimators, each with the same time.

.. math::
    h_2 \sim B(\sigma(a)), \quad h_1 | h_2 \sim B(\sigma(W_2 h_2 + b_2)), \quad
    x | h_1 \sim B(\sigma(W_1 h_1 + b_1))

Trains the same net by REINFORCE, NVIL, VIMCO, reweighted wake-sleep and wake-sleep for the same
minutes of a processor each, and compares ELBO and log p(x) of held-out rows. In the papers VIMCO
and reweighted wake-sleep lead on static MNIST, before NVIL, wake-sleep and REINFORCE.

Run ``python examples/belief_nets.py --data mnist-static --folder DATA --minutes 20``; without a
folder of data, ``--data digits`` is bundled.

References:
    | Neural Variational Inference and Learning in Belief Networks (Mnih & Gregor, 2014)
    | https://arxiv.org/abs/1402.0030
    | Reweighted Wake-Sleep (Bornschein & Bengio, 2015), https://arxiv.org/abs/1406.2751
    | Variational Inference for Monte Carlo Objectives (Mnih & Rezende, 2016)
    | https://arxiv.org/abs/1602.06725
"""

from collections.abc import Iterator

import numpy as np
from common import arguments, spread, train_for

import ppgm
from ppgm import tables
from ppgm.evaluation import Evidence
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


def compare(
    net: SBN, train: np.ndarray, held_out: np.ndarray, *, minutes: float, particles: int,
    host: str, estimators: dict[str, AbstractObjective] = ESTIMATORS, seed: int = 0,
) -> Iterator[tuple[str, int, Evidence]]:  # fmt: skip
    """Trains by each estimator; yields its name, its epochs, and log p(x) of held-out rows."""
    for name, objective in estimators.items():
        fit = train_for(
            minutes, ppgm.program(net, host=host), {"x": train}, objective, batch_size=100,
            optimiser=Adam(1e-3), seed=seed,
        )  # fmt: skip
        found = ppgm.evaluate(fit, {"x": held_out}, particles=particles)
        yield name, len(fit.history["epoch"]), found


def main() -> None:
    """Trains one net by every estimator and prints a table."""
    parser = arguments("mnist-static")
    parser.add_argument("--layers", default="200,200", help="widths, from the one next to x")
    parser.add_argument("--minutes", type=float, default=1.0, help="of each estimator")
    parser.add_argument("--rows", type=int, default=500, help="held-out rows to evaluate")
    parser.add_argument("--only", default="all", choices=("all", *ESTIMATORS))
    args = parser.parse_args()

    data = ppgm.data.load(args.data, folder=args.folder)
    layers = (8, 4) if args.smoke else tuple(int(w) for w in args.layers.split(","))
    net = SBN(data.train["x"].shape[1], layers)
    held_out = spread(data.test["x"], 20 if args.smoke else args.rows)
    chosen = {n: o for n, o in ESTIMATORS.items() if args.only in ("all", n)}
    runs = compare(
        net, data.train["x"], held_out, minutes=0.0 if args.smoke else args.minutes,
        particles=25 if args.smoke else 1000, host=args.host, estimators=chosen, seed=args.seed,
    )  # fmt: skip
    rows = []
    for name, epochs, found in runs:
        assert found.elbo is not None
        rows.append((
            name, epochs, tables.number(float(found.elbo.mean())),
            tables.measured(found.mean, found.standard_error),
            tables.number(float(np.median(found.ess)), 1),
        ))  # fmt: skip
        header = ("estimator", "epochs", "ELBO", "log p(x)", "median ESS")
        print(tables.text(header, rows), "\n", flush=True)


if __name__ == "__main__":
    main()
