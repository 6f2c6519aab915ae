r"""Densities of tables: a Gaussian, RealNVP, masked autoregressive flow and neural spline flow.

.. math::
    \log p(x) = \log N(f(x); 0, I) + \log |\det \partial f / \partial x|

Trains each flow by exact maximum likelihood for the same minutes at most, and until the rows for
validation have not gained for 20 epochs. Compares the log density
of held-out rows, standardised, with that of the Gaussian of the training rows.

Run ``python examples/tabular_flows.py --data protein --folder DATA --minutes 5``; without a folder
of data, ``--data digits`` is bundled (64 grey levels, with noise up to the next level).

References:
    | Masked Autoregressive Flow for Density Estimation (Papamakarios, Pavlakou & Murray, 2017),
    | https://arxiv.org/abs/1705.07057
    | Neural Spline Flows (Durkan, Bekasov, Murray & Papamakarios, 2019),
    | https://arxiv.org/abs/1906.04032
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from common import arguments, paired, train_for

import ppgm
from ppgm import tables
from ppgm.inference import ELBO
from ppgm.models import MAF, NSF, RealNVP
from ppgm.models.density import AbstractDensity
from ppgm.optimisers import Adam


class Rows(NamedTuple):
    """Standardised rows: to train on, to stop by, and held out."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def load(name: str, folder: str | None) -> Rows:
    """Returns the rows of a data set."""
    if name != "digits":
        made = ppgm.data.load(name, folder=folder)
        assert made.validation is not None
        return Rows(*(part["x"] for part in (made.train, made.validation, made.test)))
    made = ppgm.data.load(name, binarise="none")
    x, test = (ppgm.data.dequantise(part["x"], 17, seed=0) for part in (made.train, made.test))
    loc, scale = x.mean(0), x.std(0)
    return Rows(*((part - loc) / scale for part in (x[:1300], x[1300:], test)))


def flows(features: int, hidden: tuple[int, ...], depth: int) -> dict[str, AbstractDensity]:
    """Returns the flows by name; `depth` is that of the autoregressive one."""
    return {
        "RealNVP": RealNVP(features, 2 * depth, hidden),
        "MAF": MAF(features, depth, hidden),
        "NSF": NSF(features, depth, hidden=hidden),
    }


def gaussian(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Returns the log density of test rows under the Gaussian of the training rows."""
    train, test = train.astype(float), test.astype(float)
    root = np.linalg.cholesky(np.cov(train.T))
    white = np.linalg.solve(root, (test - train.mean(0)).T)
    log_scale = np.log(np.diag(root)).sum()
    return -0.5 * (white**2 + np.log(2 * np.pi)).sum(0) - log_scale


def compare(
    rows: Rows, models: dict[str, AbstractDensity], *, minutes: float, host: str, seed: int = 0,
) -> Iterator[tuple[str, int, np.ndarray]]:  # fmt: skip
    """Yields name, epochs, and log densities of test rows: of the Gaussian, then of each flow."""
    yield "Gaussian", 0, gaussian(rows.train, rows.test)
    for name, model in models.items():
        fit = train_for(
            minutes, ppgm.program(model, host=host), {"x": rows.train}, ELBO(), batch_size=256,
            optimiser=Adam(1e-3), seed=seed, validation={"x": rows.validation},
            early_stopping=ppgm.EarlyStopping(patience=20),
        )  # fmt: skip
        found = ppgm.evaluate(fit, {"x": rows.test})
        yield name, len(fit.history["epoch"]), found.log_likelihood


def main() -> None:
    """Prints a table."""
    parser = arguments("protein")
    parser.add_argument("--hidden", default="100,100", help="widths of every network")
    parser.add_argument("--depth", type=int, default=5, help="layers; RealNVP has twice as many")
    parser.add_argument("--minutes", type=float, default=1.0, help="minutes for each flow")
    args = parser.parse_args()
    hidden = tuple(int(w) for w in args.hidden.split(","))
    data = load(args.data, args.folder)
    if args.smoke:
        args.minutes, args.depth, hidden = 0.0, 1, (4,)
        data = Rows(*(part[:300, 20:24] for part in data))
    models = flows(data.train.shape[1], hidden, args.depth)
    runs = compare(data, models, minutes=args.minutes, host=args.host, seed=args.seed)
    rows, first = [], None
    for name, epochs, found in runs:
        first = found if first is None else first
        error = found.std(ddof=1) / len(found) ** 0.5
        above = "" if found is first else tables.measured(*paired(found, first))
        rows.append((name, epochs, tables.measured(float(found.mean()), float(error)), above))
        header = ("density", "epochs", "held-out log p(x)", "above the Gaussian")
        print(tables.text(header, rows), "\n", flush=True)


if __name__ == "__main__":
    main()
