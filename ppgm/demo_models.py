"""The tour's other models: discrete latents, an implicit density, an energy."""

__all__ = ["belief_net", "machine", "ring"]

import ppgm
from ppgm.cli_data import for_model
from ppgm.demo_report import Tour
from ppgm.inference import GAN, VIMCO, ContrastiveDivergence
from ppgm.models import RBM, SBN, Generator
from ppgm.optimisers import Adam


def belief_net(tour: Tour) -> None:
    """Trains a belief net of binary latents, whose draws have no derivative, by VIMCO."""
    data = ppgm.data.load("digits")
    program = ppgm.program(SBN(features=64, layers=(32,)), host=tour.host, seed=tour.seed)
    fit = ppgm.fit(
        program,
        data.train,
        VIMCO(particles=10),
        epochs=tour.size(200, 2),
        batch_size=128,
        optimiser=Adam(rate=3e-3),
        seed=tour.seed,
        validation=data.test,
    )
    tour.keep("sbn", fit, data)
    found = ppgm.evaluate(fit, data.test, particles=tour.size(1000, 50), seed=tour.seed + 1)
    tour.add_evidence("SBN of 32 units by VIMCO", fit, found)


def ring(tour: Tour) -> None:
    """Plays the adversarial game on points of the plane, and counts the modes that are found."""
    data = ppgm.data.load("ring")
    program = ppgm.program(Generator(features=2, latent=16), host=tour.host, seed=tour.seed)
    # without momentum the game circles less; the small rate at the end lets it settle
    fit = ppgm.fit(
        program,
        data.train,
        GAN(),
        steps=tour.size(3000, 20),
        batch_size=256,
        optimiser=Adam(rate=1e-3, b1=0.0),
        seed=tour.seed,
    )
    fit = ppgm.fit(
        fit,
        data.train,
        steps=tour.size(1000, 20),
        batch_size=256,
        optimiser=Adam(rate=1e-4, b1=0.0),
    )
    tour.keep("gan", fit, data)
    points = ppgm.sample(fit, 2500, seed=tour.seed + 1)["x"]
    count = ppgm.data.count_modes(points, data)
    tour.add(
        "GAN on the ring",
        "modes found",
        count.modes,
        text=f"{count.modes} of 8",
        trust=f"{count.high_quality:.0%} of draws within 3 sigma of a mode",
        seconds=float(fit.history["seconds"][-1]),
    )


def machine(tour: Tour) -> None:
    """Trains a Boltzmann machine that is small enough to know its log-likelihood exactly."""
    data = for_model(ppgm.data.load("digits"), RBM)
    program = ppgm.program(RBM(features=64, hidden=16), host=tour.host, seed=tour.seed)
    fit = ppgm.fit(
        program,
        data.train,
        ContrastiveDivergence(steps=5),
        epochs=tour.size(200, 2),
        batch_size=128,
        optimiser=Adam(rate=3e-3),
        seed=tour.seed,
    )
    tour.keep("rbm", fit, data)
    found = ppgm.evaluate(fit, data.test)
    tour.add_evidence("RBM of 16 units by PCD-5", fit, found)
