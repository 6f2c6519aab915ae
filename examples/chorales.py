r"""Bach's chorales by deep Kalman filters: guides that see the future, the past, or both.

.. math::
    z_t | z_{t-1} \sim N(\mu(z_{t-1}), \mathrm{diag}(\sigma^2(z_{t-1}))), \quad
    x_{tk} | z_t \sim B(\sigma(f_k(z_t))), \quad k = 1, ..., 88

Trains the same model with each guide until the bound of the validation pieces no longer rises, and
compares, per step of the test pieces, the evidence lower bound and an importance-weighted estimate
of -log p(x) with two baselines: independent keys, and each key as a Markov chain of its own. Both
divide the sum over all pieces by the sum of their lengths, as Pyro's tutorial does, whose ELBO is
6.87 after 5000 epochs of a larger model.

Run ``python examples/chorales.py --data jsb-chorales --folder DATA``; ``--out chorales.png`` saves
pieces and their continuations. Without a folder of data, ``--data digits`` is bundled: pictures
read from the top, a row of pixels at each step.

References:
    | Structured Inference Networks for Nonlinear State Space Models (Krishnan, Shalit & Sontag,
    | 2017), https://arxiv.org/abs/1609.09869
    | Deep Markov Model, https://pyro.ai/examples/dmm.html
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import arguments

import ppgm
from ppgm import tables
from ppgm.inference import ELBO, Anneal
from ppgm.models import DKF
from ppgm.optimisers import AdamW

Split = Mapping[str, np.ndarray]
LOWEST = 21
"""Pitch (MIDI) of the first key."""


class Run(NamedTuple):
    """A trained guide: its epochs and, for each test piece, -ELBO and -log p(x) in nats."""

    name: str
    fit: ppgm.Fit
    epochs: int
    bound: np.ndarray
    estimate: np.ndarray


def load(name: str, folder: str | None) -> ppgm.data.Dataset:
    """Returns pieces; the digits' are their rows of pixels, read from the top."""
    data = ppgm.data.load(name, folder=folder)
    if name != "digits":
        return data
    parts = [
        ppgm.data.padded(list(x.reshape(-1, *data.shape)))
        for x in (data.train["x"][:1200], data.train["x"][1200:], data.test["x"])
    ]
    train, validation, test = parts
    return data._replace(train=train, validation=validation, test=test)


def seen(split: Split) -> np.ndarray:
    """Tells which steps are a piece's own, ``(N, T)``."""
    return np.arange(split["x"].shape[1]) < split["lengths"][:, None]


def independent(train: Split, test: Split) -> np.ndarray:
    """Returns -log p(x) of test pieces with every key drawn at its own rate (add-one counts)."""
    steps = train["x"][seen(train)]
    rate = (steps.sum(0) + 1) / (len(steps) + 2)
    terms = np.where(test["x"] > 0, np.log(rate), np.log1p(-rate)).sum(-1)
    return -(terms * seen(test)).sum(1)


def markov(train: Split, test: Split) -> np.ndarray:
    """Returns -log p(x) of test pieces with every key a Markov chain (add-one counts)."""

    def pairs(split: Split) -> tuple[np.ndarray, np.ndarray]:
        first = np.zeros_like(split["x"][:, :1])
        return np.concatenate([first, split["x"][:, :-1]], 1) > 0, split["x"] > 0

    before, now = pairs(train)
    own, log_p = seen(train)[..., None], np.zeros(test["x"].shape)
    for state in (False, True):
        there = (before == state) & own
        rate = ((there & now).sum((0, 1)) + 1) / (there.sum((0, 1)) + 2)
        after, sounds = pairs(test)
        terms = np.where(sounds, np.log(rate), np.log1p(-rate))
        log_p += np.where(after == state, terms, 0.0)
    return -(log_p.sum(-1) * seen(test)).sum(1)


def compare(
    data: ppgm.data.Dataset, guides: tuple[str, ...], *, epochs: int, patience: int,
    particles: int, host: str, seed: int = 0, rate: float = 3e-3, decay: float = 1e-2,
    **sizes: Any,
) -> Iterator[Run]:  # fmt: skip
    """Trains with each guide and evaluates on the test pieces."""
    steps = -(-len(data.train["x"]) // 20) * epochs
    for guide in guides:
        net = DKF(data.train["x"].shape[2], **{"guide": guide, **sizes})
        fit = ppgm.fit(
            ppgm.program(net, host=host), data.train, ELBO(beta=Anneal(0.1, 1.0, steps // 10)),
            epochs=epochs, batch_size=20, optimiser=AdamW(rate, decay, clip_norm=10.0),
            validation=data.validation, progress=False, seed=seed,
            early_stopping=ppgm.EarlyStopping(patience=patience),
        )  # fmt: skip
        found = ppgm.evaluate(fit, data.test, particles=particles)
        assert found.elbo is not None
        yield Run(guide, fit, len(fit.history["epoch"]), -found.elbo, -found.log_likelihood)


def per_step(total: np.ndarray, test: Split) -> float:
    """Returns nats per step over all pieces together."""
    return float(total.sum() / test["lengths"].sum())


def behind(a: np.ndarray, b: np.ndarray, test: Split) -> tuple[float, float]:
    """Returns the mean of a - b in nats per step, and its standard error over pieces."""
    steps = test["lengths"]
    mean = (a - b).sum() / steps.sum()
    rest = a - b - mean * steps  # the ratio of two sums, to first order
    return float(mean), float(
        np.sqrt(len(steps) / (len(steps) - 1) * (rest**2).sum()) / steps.sum()
    )


def picture(run: Run, test: Split, path: Path, *, count: int = 3) -> None:
    """Saves the starts of pieces, how they go on, and how the model goes on."""
    import matplotlib.pyplot as plt

    steps = min(16, test["x"].shape[1] // 3)
    long = np.flatnonzero(test["lengths"] >= 3 * steps)[:count]
    pieces = test["x"][long, : 3 * steps]
    given = {"x": pieces, "lengths": np.full(len(long), 2 * steps)}
    ahead = ppgm.forecast(run.fit, given, steps=steps, draws=500).x
    assert ahead is not None
    columns = {
        "as written": pieces[:, 2 * steps :],
        "probability": ahead.mean(0),
        "one draw": ahead[0],
    }
    sounding = np.flatnonzero(pieces.any((0, 1)))
    low, high = sounding[0] - 2, sounding[-1] + 3
    figure, axes = plt.subplots(
        len(long), 3, figsize=(11, 2.3 * len(long)), sharex=True, sharey=True, squeeze=False
    )
    images = []
    for j, (title, continued) in enumerate(columns.items()):
        axes[0, j].set_title(f"continued: {title}")
        axes[-1, j].set_xlabel("time, quarter notes")
        for i, piece in enumerate(np.concatenate([pieces[:, : 2 * steps], continued], 1)):
            images += [axes[i, j].imshow(
                piece[:, low:high].T, origin="lower", aspect="auto", cmap="Greys", vmin=0, vmax=1,
                interpolation="nearest", extent=(0, 3 * steps, LOWEST + low, LOWEST + high),
            )]  # fmt: skip
            axes[i, j].axvline(2 * steps, color="#d55e00", linewidth=1)
    for axis in axes[:, 0]:
        axis.set_ylabel("pitch, MIDI")
    figure.colorbar(images[-1], ax=axes, label="probability that the key sounds", shrink=0.8)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    """Prints a table, and saves a picture of the first guide's continuations."""
    parser = arguments("jsb-chorales")
    parser.add_argument("--guides", nargs="+", default=("ST-R", "ST-L"))
    parser.add_argument("--epochs", type=int, default=600, help="at most")
    parser.add_argument("--patience", type=int, default=60, help="epochs without a rise")
    parser.add_argument("--particles", type=int, default=500, help="draws for log p(x)")
    parser.add_argument("--out", type=Path, help="a .png for the picture")
    args = parser.parse_args()
    data, sizes = load(args.data, args.folder), {}
    if args.smoke:
        args.epochs, args.particles = 1, 25
        sizes = {"latent": 2, "hidden": (4,), "emitter": (4,), "rnn": 4}

    test = data.test
    rows: list[tuple[object, ...]] = []
    for name, total in (
        ("independent keys", independent(data.train, test)),
        ("Markov keys", markov(data.train, test)),
    ):
        rows.append((name, "", "", tables.number(per_step(total, test), 3), ""))
    runs = compare(
        data, tuple(args.guides), epochs=args.epochs, patience=args.patience, host=args.host,
        particles=args.particles, seed=args.seed, **sizes,
    )  # fmt: skip
    header = ("model", "epochs", "-ELBO", "-log p(x)", "-log p(x) above the first guide")
    best: Run | None = None
    for run in runs:
        best = best or run
        more = (
            "" if run is best else tables.measured(*behind(run.estimate, best.estimate, test), 3)
        )
        rows.append((
            f"DKF, {run.name}", run.epochs, tables.number(per_step(run.bound, test), 3),
            tables.number(per_step(run.estimate, test), 3), more,
        ))  # fmt: skip
        print(tables.text(header, rows), "\n", flush=True)
        if args.out and run is best:
            picture(run, test, args.out)


if __name__ == "__main__":
    main()
