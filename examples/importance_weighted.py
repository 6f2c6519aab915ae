r"""Importance-weighted autoencoders against variational ones, and switching between the two.

.. math::
    L_K = E\Big[\log \frac{1}{K} \sum_k \frac{p(x, z_k)}{q(z_k | x)}\Big], \quad
    L_1 \le L_5 \le \log p(x)

Trains the same net, 784-200-200-50 on MNIST, by the ELBO with one draw and by IWAE with five, for
the same epochs; then each of them on, by either bound. In the paper the bound with more draws
gives a higher log p(x) and uses more latent units, and so does switching to it; switching away
loses some of both.

Run ``python examples/importance_weighted.py --data mnist-static --folder DATA``; without a folder
of data, ``--data digits`` is bundled.

References:
    | Importance Weighted Autoencoders (Burda et al., 2016), tables 1 and 2
    | https://arxiv.org/abs/1509.00519
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from common import arguments, paired, spread

import ppgm
from ppgm import tables
from ppgm.inference import ELBO, IWAE
from ppgm.models import VAE
from ppgm.optimisers import Adam

BOUNDS = {"ELBO": ELBO(), "IWAE-5": IWAE(5)}


class Result(NamedTuple):
    """What one run came to: log p(x) of held-out rows, row by row, and its active units."""

    name: str
    log_p: np.ndarray
    active: int


def compare(
    net: VAE, train: np.ndarray, held_out: np.ndarray, *, epochs: int, more: int, particles: int,
    host: str, seed: int = 0,
) -> Iterator[Result]:  # fmt: skip
    """Trains by each bound, then goes on by either; yields what comes of each."""
    options = {"batch_size": 100, "optimiser": Adam(1e-3), "progress": False, "seed": seed}

    def measured(name: str, fit: ppgm.Fit) -> Result:
        found = ppgm.evaluate(fit, {"x": held_out}, particles=particles)
        units = ppgm.active_units(fit, {"x": held_out})
        return Result(name, found.log_likelihood, units.count)

    first = {}
    for name, bound in BOUNDS.items():
        program = ppgm.program(net, host=host)
        first[name] = ppgm.fit(program, {"x": train}, bound, epochs=epochs, **options)
        yield measured(name, first[name])
    for old in BOUNDS:
        for new, bound in BOUNDS.items():
            fit = ppgm.fit(first[old], {"x": train}, bound, epochs=more, **options)
            yield measured(f"{old}, then {new}", fit)


def main() -> None:
    """Prints a table."""
    parser = arguments("mnist-static")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--more", type=int, default=20, help="epochs after that, by either bound")
    parser.add_argument("--rows", type=int, default=2000, help="held-out rows to evaluate")
    parser.add_argument("--particles", type=int, default=500, help="draws for log p(x)")
    args = parser.parse_args()
    if args.smoke:
        args.epochs, args.more, args.rows, args.particles = 1, 1, 20, 25

    data = ppgm.data.load(args.data, folder=args.folder)
    x = data.train["x"]
    net = VAE(x.shape[1], 4, hidden=(16,)) if args.smoke else VAE(x.shape[1], 50)
    runs = compare(
        net, x, spread(data.test["x"], args.rows), epochs=args.epochs, more=args.more,
        particles=args.particles, host=args.host, seed=args.seed,
    )  # fmt: skip
    table, first = [], None
    for run in runs:
        first = first or run
        gap = "" if run is first else tables.measured(*paired(run.log_p, first.log_p))
        table.append((run.name, tables.number(float(run.log_p.mean())), gap, run.active))
        print(tables.text(("trained by", "log p(x)", "above the ELBO", "active units"), table))
        print(flush=True)


if __name__ == "__main__":
    main()
