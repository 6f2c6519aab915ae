r"""A hundred labels: the semi-supervised VAE against what the labels alone teach.

.. math::
    y \sim \mathrm{Cat}(\pi), \quad z \sim N(0, I), \quad x \sim B(\sigma(f_\theta(z, y))), \quad
    q(y, z | x) = q(y | x)\, q(z | x, y)

Compares, on held-out rows, logistic regression on the labelled rows with M2: by its bound with y
summed over, with the classification loss, and with that loss and y drawn (whose gradient is a
score function's, plain or with leave-one-out signals).

Every labelled row is there many times over, so that it is in the batches about as often as all the
others together, as implementations that draw a labelled batch beside each unlabelled one have it:
with a hundred labels among ten thousand rows the decoder otherwise learns to do without the class,
and the bound then pulls q(y | x) away from what the labels taught it.

Run ``python examples/semi_supervised.py``; ``--data mnist --folder DATA --rows 10000`` for MNIST.

References:
    | Semi-Supervised Learning with Deep Generative Models (Kingma et al., 2014)
    | https://arxiv.org/abs/1406.5298
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from common import arguments

import ppgm
from ppgm import tables
from ppgm.inference import ELBO, SemiSupervised
from ppgm.models import M2
from ppgm.optimisers import Adam


class Result(NamedTuple):
    """Accuracy on the test rows, in %, and the bound of the last epoch."""

    name: str
    accuracy: float
    bound: float


def split(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Returns labels with all but `count` of them, as many of each class, replaced by -1."""
    rng, classes = np.random.default_rng(seed), np.unique(labels)
    each = count // len(classes)
    kept = [rng.permutation(np.flatnonzero(labels == c))[:each] for c in classes]
    y = np.full(len(labels), -1)
    y[np.concatenate(kept)] = labels[np.concatenate(kept)]
    return y


def compare(
    x: np.ndarray, labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, *, count: int,
    copies: int, epochs: int, host: str, net: M2, seed: int = 0, only: str = "",
) -> Iterator[Result]:  # fmt: skip
    """Trains on `count` labels and all the rows; yields the accuracy on the test rows, in %.

    The data hold `copies` copies of each labelled row; objectives whose name does not contain
    `only` are left out.
    """
    from sklearn.linear_model import LogisticRegression

    y = split(labels, count, seed)
    known = y >= 0
    plain = LogisticRegression(max_iter=5000).fit(x[known], y[known])
    yield Result("logistic regression", 100 * float(plain.score(test, test_labels)), np.nan)

    weight = 0.1 * len(y) / count
    rows = np.concatenate([np.arange(len(y)), *[np.flatnonzero(known)] * (copies - 1)])
    x, y = x[rows], y[rows]
    objectives = {
        "bound, y summed over": ELBO(enumerate=("y",)),
        "and class loss": SemiSupervised(ELBO(enumerate=("y",)), weight=weight),
        "and class loss, y drawn": SemiSupervised(ELBO(), weight=weight),
        "the same by RLOO-4": SemiSupervised(ELBO(4, gradient="rloo"), weight=weight),
    }
    for name, objective in ((n, o) for n, o in objectives.items() if only in n):
        fit = ppgm.fit(
            ppgm.program(net, host=host), {"x": x, "y": y}, objective, epochs=epochs,
            batch_size=100, optimiser=Adam(1e-3), seed=seed, progress=False,
        )  # fmt: skip
        found = ppgm.predict(fit, {"x": test}, site="y").most_probable
        yield Result(name, 100 * float(np.mean(found == test_labels)), fit.history["bound"][-1])


def main() -> None:
    """Prints a table of accuracies."""
    parser = arguments("mnist", "fashion-mnist")
    parser.add_argument("--labels", type=int, default=100, help="labelled rows")
    parser.add_argument("--rows", type=int, help="the first rows only, labelled or not")
    parser.add_argument("--copies", type=int, default=50, help="copies of every labelled row")
    parser.add_argument("--hidden", type=int, default=200, help="width of the hidden layers")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--only", default="", help="objectives with this in their name")
    args = parser.parse_args()

    data = ppgm.data.load(args.data, folder=args.folder)
    assert data.train_labels is not None
    assert data.test_labels is not None
    x, size = data.train["x"][: args.rows], data.train["x"].shape[1]
    net = M2(size, 10, 20 if size < 100 else 50, hidden=(args.hidden,))
    runs = compare(
        x, data.train_labels[: args.rows], data.test["x"], data.test_labels, count=args.labels,
        copies=2 if args.smoke else args.copies, epochs=1 if args.smoke else args.epochs,
        host=args.host, net=net, seed=args.seed, only=args.only,
    )  # fmt: skip
    rows = []
    for run in runs:
        rows.append((run.name, tables.number(run.accuracy, 1), tables.number(run.bound)))
        print(tables.text(("trained by", "accuracy, %", "bound"), rows), "\n", flush=True)


if __name__ == "__main__":
    main()
