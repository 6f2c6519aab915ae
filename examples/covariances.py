r"""Deep latent Gaussian models with guides of diagonal, rank-one and low-rank covariance.

.. math::
    q(z | x) = N(\mu(x), D(x)), \quad
    q(z | x) = N\big(\mu(x), (D^{-1}(x) + u(x) u(x)^T)^{-1}\big)

Trains the same model by the ELBO for the same minutes with each family, and compares log p(x) and
the ELBO of held-out rows. The paper has the rank-one form ahead of the diagonal one.

Run ``python examples/covariances.py --data mnist-static --folder DATA --minutes 5``; without a
folder of data, ``--data digits`` is bundled.

References:
    | Stochastic Backpropagation and Approximate Inference in Deep Generative Models (Rezende,
    | Mohamed & Wierstra, 2014), https://arxiv.org/abs/1401.4082
"""

from collections.abc import Iterator

import numpy as np
from common import arguments, paired, spread, train_for

import ppgm
from ppgm import tables
from ppgm.evaluation import Evidence
from ppgm.guides import Gaussian, LowRank, RankOne
from ppgm.inference import ELBO
from ppgm.models import DLGM
from ppgm.optimisers import Adam

FAMILIES = {"diagonal": Gaussian(), "rank one": RankOne(), "low rank": LowRank(4)}


def compare(
    train: np.ndarray, held_out: np.ndarray, *, latents: tuple[int, ...],
    hidden: tuple[int, ...], minutes: float, particles: int, host: str, seed: int = 0,
) -> Iterator[tuple[str, int, Evidence]]:  # fmt: skip
    """Trains with each family; yields its name, its epochs, and log p(x) of held-out rows."""
    for name, family in FAMILIES.items():
        net = DLGM(train.shape[1], latents, hidden=hidden, posterior=family)
        fit = train_for(
            minutes, ppgm.program(net, host=host), {"x": train}, ELBO(), batch_size=100,
            optimiser=Adam(1e-3), seed=seed,
        )  # fmt: skip
        found = ppgm.evaluate(fit, {"x": held_out}, particles=particles)
        yield name, len(fit.history["epoch"]), found


def main() -> None:
    """Prints a table."""
    parser = arguments("mnist-static")
    parser.add_argument("--latents", default="50", help="widths, from the one next to x")
    parser.add_argument("--minutes", type=float, default=1.0, help="minutes for each family")
    parser.add_argument("--rows", type=int, default=2000, help="held-out rows to evaluate")
    parser.add_argument("--particles", type=int, default=500, help="draws for log p(x)")
    args = parser.parse_args()
    latents, hidden = tuple(int(w) for w in args.latents.split(",")), (200, 200)
    if args.smoke:
        args.minutes, args.rows, args.particles, latents, hidden = 0.0, 20, 25, (4, 3), (8,)

    data = ppgm.data.load(args.data, folder=args.folder)
    runs = compare(
        data.train["x"], spread(data.test["x"], args.rows), latents=latents, hidden=hidden,
        minutes=args.minutes, particles=args.particles, host=args.host, seed=args.seed,
    )  # fmt: skip
    rows, first = [], None
    for name, epochs, found in runs:
        first = first or found
        gap = paired(found.log_likelihood, first.log_likelihood)
        assert found.elbo is not None
        rows.append((
            name, epochs, tables.number(float(found.elbo.mean())), tables.number(found.mean),
            "" if found is first else tables.measured(*gap),
        ))  # fmt: skip
        header = ("covariance", "epochs", "ELBO", "log p(x)", "above diagonal")
        print(tables.text(header, rows), "\n", flush=True)


if __name__ == "__main__":
    main()
