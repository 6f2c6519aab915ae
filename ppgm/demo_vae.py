"""The tour's variational autoencoder: two bounds, and Markov chains against its guide."""

__all__ = ["bounds", "graph", "posteriors"]

import time
from typing import Any

import numpy as np

import ppgm
from ppgm import graphs, plots
from ppgm.cli_pairs import paired
from ppgm.cli_pictures import draw_graph, save_figure
from ppgm.demo_report import Tour
from ppgm.errors import missing
from ppgm.evaluation import Evidence
from ppgm.inference import ELBO, IWAE, NUTS, Guide
from ppgm.models import VAE
from ppgm.optimisers import Adam
from ppgm.posterior import Posterior

PARTICLES = 5
ROWS = 6
"""Rows whose posteriors are compared."""


def bounds(tour: Tour) -> None:
    """Trains the same VAE by the ELBO and by IWAE with as many draws, and compares them."""
    data = ppgm.data.load("digits")
    program = ppgm.program(
        VAE(features=64, latent=8, hidden=(64, 64)), host=tour.host, seed=tour.seed
    )
    found: dict[str, Evidence] = {}
    for name, objective in (
        ("elbo", ELBO(particles=PARTICLES)),
        ("iwae", IWAE(particles=PARTICLES)),
    ):
        fit = ppgm.fit(
            program,
            data.train,
            objective,
            epochs=tour.size(200, 2),
            batch_size=128,
            optimiser=Adam(rate=3e-3),
            seed=tour.seed,
            validation=data.test,
        )
        tour.keep(f"vae-{name}", fit, data)
        found[name] = ppgm.evaluate(
            fit, data.test, particles=tour.size(1000, 50), seed=tour.seed + 1
        )
        tour.add_evidence(f"VAE by {name.upper()}, {PARTICLES} draws", fit, found[name])
    difference, error = paired(found["iwae"], found["elbo"])
    tour.add(
        "IWAE - ELBO",
        "difference, paired by rows",
        difference,
        error,
        trust=f"{abs(difference) / error:.1f} standard errors",
    )
    lines = {f"{name.upper()}": tour.runs[f"vae-{name}"].fit.history for name in found}
    title = "held-out digits while training, each by its own bound"
    save_figure(plots.curves(lines, of="validation", title=title), tour.folder / "bounds.png")


def posteriors(tour: Tour) -> None:
    """Draws the latents of a few held-out digits by NUTS and from the guide."""
    run = tour.runs["vae-iwae"]
    rows = run.split("test", ROWS)
    warmup, size = tour.size(300, 10), tour.size(500, 20)
    start = time.perf_counter()
    chains = ppgm.infer(
        run.fit, rows, NUTS(warmup=warmup, draws=size, chains=2), seed=tour.seed, progress=False
    )
    seconds = time.perf_counter() - start
    guide = ppgm.infer(run.fit, rows, Guide(draws=2 * size), seed=tour.seed)
    chains.save(tour.folder / "posterior.nc")
    guide.save(tour.folder / "guide.nc")

    rhat, ess = _convergence(chains)
    diverging = int(np.sum(chains.sample_stats["diverging"]))
    shift = np.abs(guide.mean()["z"] - chains.mean()["z"]) / chains.sd()["z"]
    width = guide.sd()["z"] / chains.sd()["z"]
    tour.add(
        "guide against NUTS",
        "shift of means, in posterior sds",
        float(shift.mean()),
        text=f"{shift.mean():.2f} (most {shift.max():.2f})",
        seconds=seconds,
        trust=f"r-hat {rhat:.3f}, ESS {ess:.0f}, {diverging} divergences",
    )
    tour.add(
        "",
        "ratio of sds",
        float(np.median(width)),
        text=f"{np.median(width):.2f} ({width.min():.2f} to {width.max():.2f})",
        trust=f"{ROWS} rows x {shift.shape[-1]} coordinates",
    )
    figure = plots.posterior_compare(
        {"NUTS": _flat(chains), "guide": _flat(guide)},
        pictures=next(iter(rows.values())),
        shape=run.data.shape,
        title="posteriors of held-out digits: 50 % and 90 % intervals",
    )
    save_figure(figure, tour.folder / "posterior.png")


def graph(tour: Tour) -> None:
    """Draws the VAE's graph, and writes it as mermaid."""
    run = tour.runs["vae-iwae"]
    found = ppgm.graph(run.fit.program, run.split("train"))
    save_figure(draw_graph(found), tour.folder / "graph.png")
    path = tour.folder / "graph.mmd"
    path.write_text(f"{graphs.to_mermaid(found).rstrip()}\n", encoding="utf-8")
    tour.say("\n".join(f"      {line}" for line in graphs.to_text(found).splitlines()))


def _convergence(posterior: Posterior) -> tuple[float, float]:
    """Returns ArviZ's largest r-hat and least effective sample size."""
    try:
        import arviz as az
    except ModuleNotFoundError as error:
        raise missing("arviz", "arviz") from error

    draws = posterior.to_arviz()
    found: list[Any] = [az.rhat(draws), az.ess(draws)]
    # ArviZ 1.x returns a tree of groups, 0.x the variables of the posterior
    read = [f["posterior"] if "posterior" in getattr(f, "children", ()) else f for f in found]
    return float(read[0]["z"].max()), float(read[1]["z"].min())


def _flat(posterior: Posterior) -> np.ndarray:
    """Returns the draws of all chains, ``(S, rows, coordinates)``."""
    z = posterior.draws["z"]
    return z.reshape(-1, *z.shape[2:])
