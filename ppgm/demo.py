"""A tour of ppgm on bundled data: what ``ppgm demo`` and ``make demo`` run.

Five kinds of inference, through the same programs and the same `ppgm.fit`: likelihood bounds on
a variational autoencoder, Markov chains against its guide, a discrete belief net, an adversarial
game, and an energy. Sizes and rates were set once for all seeds and both hosts.
"""

__all__ = ["run"]

import time
from collections.abc import Callable
from pathlib import Path

from ppgm import demo_models, demo_vae
from ppgm.demo_report import Report, Tour, header

STAGES = (
    ("VAE on the digits: ELBO against IWAE", demo_vae.bounds),
    ("its posterior: NUTS against the guide", demo_vae.posteriors),
    ("its graph", demo_vae.graph),
    ("sigmoid belief net by VIMCO", demo_models.belief_net),
    ("GAN on a ring of 8 modes", demo_models.ring),
    ("RBM by persistent contrastive divergence", demo_models.machine),
)


def run(
    folder: str | Path,
    *,
    host: str = "numpyro",
    seed: int = 0,
    quick: bool = False,
    say: Callable[[str], None] = print,
) -> Report:
    """Runs the tour.

    Args:
        folder: Folder for pictures, runs, ``posterior.nc``, the graph and the summary.
        host: Host that trains everything.
        seed: Seed of everything.
        quick: Whether to take only a few steps of everything, to see that it runs.
        say: Function that shows a line of text.

    Returns:
        The report; it is in ``summary.md`` and ``summary.json`` too.
    """
    tour = Tour(Path(folder), host, seed, quick, say)
    tour.folder.mkdir(parents=True, exist_ok=True)
    say(header(tour))

    start = time.perf_counter()
    for i, (title, stage) in enumerate(STAGES, 1):
        begun = time.perf_counter()
        say(f"[{i}/{len(STAGES)}] {title}")
        stage(tour)
        say(f"      {time.perf_counter() - begun:.1f} s")

    report = Report(tuple(tour.lines), time.perf_counter() - start)
    report.write(tour)
    say(f"\n{report}\n\n{report.hints(tour)}")
    return report
