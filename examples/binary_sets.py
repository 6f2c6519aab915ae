r"""Sigmoid belief nets on small sets of binary rows, against independent bits.

.. math::
    h \sim B(\sigma(a)), \quad x | h \sim B(\sigma(W h + b))

Trains by VIMCO with two and with ten draws and by reweighted wake-sleep with ten, until the bound
of the validation rows has not risen for some epochs, and compares log p(x) of the test rows. A
net that does not beat independent bits has learnt nothing.

Run ``python examples/binary_sets.py --data dna --folder DATA``, or ``--data mushrooms``; without a
folder of data, ``--data digits`` is bundled.

References:
    | Reweighted Wake-Sleep (Bornschein & Bengio, 2015), https://arxiv.org/abs/1406.2751
    | Variational Inference for Monte Carlo Objectives (Mnih & Rezende, 2016)
    | https://arxiv.org/abs/1602.06725
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from common import arguments

import ppgm
from ppgm import tables
from ppgm.evaluation import Evidence
from ppgm.inference import RWS, VIMCO
from ppgm.models import SBN
from ppgm.optimisers import Adam

ESTIMATORS = {"VIMCO-2": VIMCO(2), "VIMCO-10": VIMCO(10), "RWS-10": RWS(10)}


def independent(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Returns log p(x) of rows whose bits are independent, each value seen once more."""
    p = (train.sum(0, dtype=float) + 1) / (len(train) + 2)
    return test @ np.log(p) + (1 - test) @ np.log1p(-p)


def compare(
    net: SBN, sets: dict[str, np.ndarray], *, epochs: int, patience: int, host: str,
    particles: int, estimators: dict[str, Any] = ESTIMATORS, seed: int = 0,
) -> Iterator[tuple[str, int, Evidence]]:  # fmt: skip
    """Trains by each estimator; yields its name, its epochs, and log p(x) of the test rows."""
    for name, objective in estimators.items():
        fit = ppgm.fit(
            ppgm.program(net, host=host), {"x": sets["train"]}, objective, epochs=epochs,
            batch_size=50, optimiser=Adam(1e-3), seed=seed, progress=False,
            validation={"x": sets["validation"]},
            early_stopping=ppgm.EarlyStopping(patience=patience),
        )  # fmt: skip
        found = ppgm.evaluate(fit, {"x": sets["test"]}, particles=particles)
        yield name, len(fit.history["epoch"]), found


def load(name: str, folder: str | None) -> dict[str, np.ndarray]:
    """Returns the rows for training, validation and testing."""
    data = ppgm.data.load(name, folder=folder)
    x, test = data.train["x"], data.test["x"]
    if data.validation is not None:
        return {"train": x, "validation": data.validation["x"], "test": test}
    return {"train": x[:1200], "validation": x[1200:], "test": test}


def main() -> None:
    """Prints a table."""
    parser = arguments("dna", "mushrooms")
    parser.add_argument("--layers", default="200", help="widths, from the one next to x")
    parser.add_argument("--epochs", type=int, default=1000, help="at most")
    parser.add_argument("--patience", type=int, default=50, help="epochs without a rise")
    args = parser.parse_args()

    sets = load(args.data, args.folder)
    layers = (4, 2) if args.smoke else tuple(int(w) for w in args.layers.split(","))
    bits = independent(sets["train"], sets["test"])
    rows = [("independent bits", "", tables.measured(bits.mean(), bits.std() / len(bits) ** 0.5))]
    runs = compare(
        SBN(sets["train"].shape[1], layers), sets, epochs=1 if args.smoke else args.epochs,
        patience=args.patience, host=args.host, particles=25 if args.smoke else 1000,
        seed=args.seed,
    )  # fmt: skip
    for name, epochs, found in runs:
        rows.append((name, epochs, tables.measured(found.mean, found.standard_error)))
        print(tables.text(("trained by", "epochs", "log p(x)"), rows), "\n", flush=True)


if __name__ == "__main__":
    main()
