r"""The rest of a digit from one, two or three of its quadrants.

.. math::
    p(x | c) = \int N(z; \mu(c), \sigma^2(c)) \, p(x | g(c) + f(z, c)) \, dz
    \quad \text{against} \quad p(x | c) = \prod_i p(x_i | g_i(c))

where c is what is seen. A network without latents draws every pixel by itself: the less is seen,
the more it loses to the conditional VAE, whose draws are whole digits. Pyro's tutorial on the same
task has gaps of 28.6, 10.9 and 1.2 nats with one, two and three quadrants seen.

Run ``python examples/quadrants.py --data mnist --folder DATA --out quadrants.png``; without a
folder of data, ``--data digits`` is bundled.

References:
    | Learning Structured Output Representation using Deep Conditional Generative Models
    | (Sohn, Lee & Yan, 2015), https://papers.nips.cc/paper/5775
    | https://pyro.ai/examples/cvae.html
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from common import arguments, paired

import ppgm
from ppgm import tables
from ppgm.data import Quadrants
from ppgm.evaluation import Evidence
from ppgm.inference import ELBO
from ppgm.models import CVAE, ConditionalNet
from ppgm.optimisers import Adam


class Pair(NamedTuple):
    """The network and the conditional VAE, fits and evidence of held-out rows."""

    net: ppgm.Fit
    cvae: ppgm.Fit
    of_net: Evidence
    of_cvae: Evidence


def compare(
    split: Quadrants, train: np.ndarray, test: np.ndarray, *, epochs: int, patience: int,
    particles: int, latent: int, hidden: tuple[int, ...], host: str, seed: int = 0,
) -> Pair:  # fmt: skip
    """Trains both on the same rows, until other rows of theirs have not improved for a while."""
    at = len(train) * 9 // 10
    options = {
        "batch_size": 100, "optimiser": Adam(1e-3), "seed": seed, "progress": False,
        "validation": split.split(train[at:]), "epochs": epochs,
        "early_stopping": ppgm.EarlyStopping(patience=patience),
    }  # fmt: skip
    rows, held_out = split.split(train[:at]), split.split(test)
    net = ConditionalNet(split.features, split.condition, hidden)
    cvae = CVAE(split.features, split.condition, latent, hidden, baseline=True)
    fits = [ppgm.fit(ppgm.program(d, host=host), rows, ELBO(), **options) for d in (net, cvae)]
    found = [ppgm.evaluate(fit, held_out, particles=particles) for fit in fits]
    return Pair(*fits, *found)


def picture(split: Quadrants, pair: Pair, test: np.ndarray, path: Path, count: int = 8) -> None:
    """Saves digits, what is seen of them, the network's means, and draws of the CVAE."""
    import matplotlib.pyplot as plt

    digits = test[:count]
    c = split.split(digits)["c"]
    mean = ppgm.predict(pair.net, {"c": c}, site="x", draws=1000).mean
    drawn = ppgm.predict(pair.cvae, {"c": c}, site="x", draws=4, keep=True).draws
    assert drawn is not None
    grey = np.full((count, split.features), 0.5)
    columns = {
        "digit": digits, "seen": split.join(c, grey), "network": split.join(c, mean),
        **{f"CVAE {i + 1}": split.join(c, draw) for i, draw in enumerate(drawn)},
    }  # fmt: skip
    figure, axes = plt.subplots(count, len(columns), figsize=(1.1 * len(columns), 1.1 * count))
    for j, (title, images) in enumerate(columns.items()):
        axes[0, j].set_title(title, fontsize=9)
        for i, image in enumerate(images):
            axes[i, j].imshow(image.reshape(split.shape), cmap="gray_r", vmin=0, vmax=1)
            axes[i, j].set(xticks=[], yticks=[])
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Prints a table, and saves a picture for one quadrant seen."""
    parser = arguments("mnist")
    parser.add_argument("--rows", type=int, help="the first training rows only")
    parser.add_argument("--epochs", type=int, default=50, help="at most")
    parser.add_argument("--patience", type=int, default=3, help="epochs without a rise")
    parser.add_argument("--test-rows", type=int, default=2000, help="held-out rows to evaluate")
    parser.add_argument("--particles", type=int, default=100, help="draws for log p(x | c)")
    parser.add_argument("--out", type=Path, help="a .png for the picture")
    args = parser.parse_args()
    latent, hidden = 50, (500, 500)
    if args.smoke:
        args.epochs, args.rows, args.test_rows, args.particles = 1, 200, 20, 25
        latent, hidden = 4, (16,)

    data = ppgm.data.load(args.data, folder=args.folder)
    train, test = data.train["x"][: args.rows], data.test["x"][: args.test_rows]
    table = []
    for seen in (1, 2, 3):
        split = Quadrants((data.shape[0], data.shape[1]), seen)
        pair = compare(
            split, train, test, epochs=args.epochs, patience=args.patience, latent=latent,
            particles=args.particles, hidden=hidden, host=args.host, seed=args.seed,
        )  # fmt: skip
        gap = paired(pair.of_cvae.log_likelihood, pair.of_net.log_likelihood)
        table.append((
            seen, tables.number(-pair.of_net.mean), tables.number(-pair.of_cvae.mean),
            tables.measured(*gap),
        ))  # fmt: skip
        print(tables.text(("seen", "network", "CVAE", "gap"), table), "\n", flush=True)
        if args.out and seen == 1:
            picture(split, pair, test, args.out)


if __name__ == "__main__":
    main()
