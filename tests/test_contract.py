"""Every built-in model and objective passes the contract; what breaks it is caught.

A new built-in is one row here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from ppgm import registry
from ppgm.distributions import standard_normal
from ppgm.errors import ArgumentError, MissingDependencyError
from ppgm.guides import (
    IAF,
    AutoGuided,
    Coupling,
    FullRank,
    Householder,
    Mixture,
    Planar,
    Radial,
    Spline,
    Sylvester,
)
from ppgm.inference import (
    ARM,
    CUBO,
    ELBO,
    FIVO,
    GAN,
    IWAE,
    NVIL,
    REINFORCE,
    RLOO,
    RWS,
    STL,
    VIMCO,
    Anneal,
    Classification,
    ContrastiveDivergence,
    DisARM,
    DReG,
    Enumerate,
    Gumbel,
    Quantisation,
    Reconstruction,
    Renyi,
    Score,
    SemiSupervised,
    ThermodynamicELBO,
    WakeSleep,
)
from ppgm.inference.objective import AbstractBound, AbstractObjective
from ppgm.models import (
    CVAE,
    DKF,
    DLGM,
    FFJORD,
    HMM,
    M1,
    M1M2,
    M2,
    MAF,
    NICE,
    NSF,
    RBM,
    SBN,
    VAE,
    VQVAE,
    Autoencoder,
    ConditionalNet,
    ConditionalSBN,
    DenoisingAutoencoder,
    FactorAnalysis,
    FullSBN,
    Generator,
    Glow,
    LinearGaussianSSM,
    RealNVP,
    VampVAE,
)
from ppgm.nets import MLP
from ppgm.terms import Weights
from ppgm.testing.contract import (
    Check,
    ContractError,
    check,
    checks_for,
    parametrize_with_checks,
)

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(3, 4))
BITS = (RNG.random((3, 4)) < 0.5).astype(float)
LABELS = np.array([1, -1, 1])
PIXELS = RNG.normal(size=(3, 16))

SEQUENCES = {
    "x": (RNG.random((3, 4, 3)) < 0.5).astype(float),
    "lengths": np.array([4, 2, 3]),
    "mask": np.array([[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 1, 1]]),
    "u": RNG.normal(size=(3, 4, 1)),
}


@dataclass(frozen=True)
class Common:
    """A mean that all rows share: global latents."""

    broadcasts = True

    def model(self, ppl: Any, x: Any = None) -> None:
        mean = ppl.sample("mean", standard_normal(ppl, 4))
        with ppl.plate("data", x):
            ppl.sample("x", ppl.distributions.Normal(mean, 1.0).to_event(1), obs=x)


FLOWS = {
    "full-rank": FullRank(),
    "householder": Householder(2),
    "planar": Planar(2),
    "radial": Radial(2),
    "sylvester": Sylvester(1, 1),
    "iaf": IAF(2, (3,)),
    "coupling": Coupling(2, (3,)),
    "spline": Spline(2, 3, hidden=(3,)),
    "mixture": Mixture(2),
}

BUILT_IN: dict[str, Any] = {
    "vae": (VAE(4, 2, hidden=(3,)), {"x": BITS}),
    **{f"vae, {n}": (VAE(4, 2, (3,), posterior=f), {"x": BITS}) for n, f in FLOWS.items()},
    "auto-guided": (AutoGuided(Common(), Planar(2)), {"x": REAL}),
    "factor-analysis": (FactorAnalysis(4, 2), {"x": REAL}),
    "linear-gaussian-ssm": (LinearGaussianSSM(2, 2), {"x": REAL.reshape(3, 2, 2)}),
    "hmm": (HMM(2, 3), {"x": BITS.reshape(3, 2, 2)}),
    "dlgm": (DLGM(4, (2, 2), (3,), structure="top-down"), {"x": BITS}),
    "dkf": (DKF(3, 2, hidden=(8,), emitter=(8,), rnn=3, inputs=1), SEQUENCES),
    "cvae": (CVAE(4, 2, 2, (3,), baseline=True), {"x": BITS, "c": REAL[:, :2]}),
    "conditional-net": (ConditionalNet(4, 2, (3,)), {"x": BITS, "c": REAL[:, :2]}),
    "sbn": (SBN(4, (3, 2)), {"x": BITS}),
    "full-sbn": (FullSBN(4, 3), {"x": BITS}),
    "conditional-sbn": (ConditionalSBN(4, 2, (3, 2), (3,)), {"x": BITS, "c": REAL[:, :2]}),
    "m1": (M1(4, 2, hidden=(3,)), {"x": BITS}),
    "m2": (M2(4, 3, 2, hidden=(3,), prior="learnt"), {"x": BITS, "y": LABELS}),
    "m1m2": (M1M2(4, 3, 2, 1, hidden=(3,)), {"x": BITS, "y": LABELS}),
    "autoencoder": (Autoencoder(4, 2, hidden=(3,)), {"x": BITS}),
    "denoising-autoencoder": (DenoisingAutoencoder(4, 2, hidden=(3,)), {"x": BITS}),
    "vq-vae": (VQVAE(4, 2, 2, 3, hidden=(3,)), {"x": BITS}),
    "vamp-vae": (VampVAE(4, 2, hidden=(3,), components=3), {"x": BITS}),
    "generator": (Generator(4, hidden=(3,), activation="tanh"), {"x": REAL}),
    "rbm": (RBM(4, 3), {"v": BITS}),
    "nice": (NICE(4, 2, (3,)), {"x": REAL}),
    "real-nvp": (RealNVP(4, 2, (3,)), {"x": REAL}),
    "maf": (MAF(4, 2, (4,)), {"x": REAL}),
    "nsf": (NSF(4, 2, 3, 2.0, hidden=(3,)), {"x": REAL}),
    "glow": (Glow((1, 4, 4), 2, 1, (2,)), {"x": PIXELS}),
    "ffjord": (FFJORD(2, (3,), "hutchinson", 1.0, 1e-11, "dopri8"), {"x": REAL[:, :2]}),
    "elbo": ELBO(particles=2),
    "elbo, annealed": ELBO(beta=Anneal(0.5, 1.0, 10)),
    "elbo, enumerated": ELBO(enumerate=("h1", "h2")),
    "stl": STL(),
    "iwae": IWAE(particles=3),
    "renyi": Renyi(0.5, 2),
    "fivo": FIVO(particles=3),
    "vimco": VIMCO(particles=3),
    "rloo": RLOO(particles=2),
    "dreg": DReG(particles=2),
    "reinforce": REINFORCE(),
    "nvil": NVIL(hidden=(3,)),
    "disarm": DisARM(),
    "arm": ARM(),
    "cubo": CUBO(particles=3),
    "rws": RWS(particles=2),
    "wake-sleep": WakeSleep(),
    "tvo": ThermodynamicELBO(particles=2),
    "enumerate": Enumerate(),
    "elbo by gumbel": ELBO(gradient=Gumbel(0.6)),
    "elbo by score": ELBO(2, gradient=Score(baseline=2.0)),
    "iwae, tempered": IWAE(2, gradient="vimco", beta=0.5, site_weights={"x": 2.0}),
    "gan": GAN(critic=MLP(3, (4,), 1)),
    "reconstruction": Reconstruction(),
    "quantisation": Quantisation(),
    "cd": ContrastiveDivergence(),
    "semi-supervised": SemiSupervised(weight=2.0),
    "classification": Classification(),
    "sum": 2.0 * ELBO() + 0.1 * GAN(critic=MLP(3, (4,), 1)),
}

pytestmark = pytest.mark.usefixtures("f64")


# What these add to the others is also tested in test_objectives_math.py.
SLOW = (
    "elbo, annealed", "stl", "renyi", "sum", "rloo", "dreg", "reinforce", "arm", "cubo",
    "fivo", "wake-sleep", "tvo", "enumerate", "elbo by gumbel", "elbo by score", "iwae, tempered",
    "elbo, enumerated", "iwae", "rws", "disarm", "classification", "nvil", "semi-supervised",
    "m1m2", "denoising-autoencoder", "vamp-vae", "conditional-sbn", "linear-gaussian-ssm",
    "nice", "maf", "nsf", "glow", "ffjord",
    "dkf", "auto-guided",
    *(f"vae, {name}" for name in FLOWS if name != "iaf"),
)  # fmt: skip


@parametrize_with_checks(thing for name, thing in BUILT_IN.items() if name not in SLOW)
def test_built_ins(check: Check) -> None:
    check.run()


@pytest.mark.slow
@parametrize_with_checks(BUILT_IN[name] for name in SLOW)
def test_more_built_ins(check: Check) -> None:
    try:
        check.run()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", [n for n in SLOW if isinstance(BUILT_IN[n], AbstractObjective)])
def test_all_objectives_are_written_down_and_read_again(name: str) -> None:
    checks_for(BUILT_IN[name])[0].run()


@pytest.mark.parametrize("kind", ["models", "objectives"])
def test_every_built_in_has_a_row(kind: str) -> None:
    names = {entry.name for entry in registry.catalogue(kind) if entry.origin == "ppgm"}
    assert names <= BUILT_IN.keys()


# The contract can be broken.


@dataclass(frozen=True)
class Broken(AbstractBound):
    """A bound of two particles with a fault of choice."""

    fault: Callable[[Weights], Any]
    particles: int = 2

    def rows(self, weights: Weights) -> Any:
        return self.fault(weights)


FAULTS = {
    "the average inside the logarithm is over the batch": (
        lambda w: -(w.log_p - w.log_q).exp().mean((0, 1)).log().expand(w.log_p.shape[1]),
        "adds over the rows",
    ),
    "log q is missing": (lambda w: -w.log_p.mean(0), "log p(x) at the exact posterior"),
    "a sum in place of a mean": (
        lambda w: -(w.log_p - w.log_q).sum(0),
        "log p(x) at the exact posterior",
    ),
    "not a number": (
        lambda w: -(w.log_p - w.log_q).mean(0) * float("nan"),
        "finite losses",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_objective_is_caught(fault: str) -> None:
    pytest.importorskip("pyro")
    rows, name = FAULTS[fault]
    checks = [c for c in checks_for(Broken(rows), hosts=["pyro"]) if name in c.name]
    assert checks
    with pytest.raises(ContractError):
        checks[0].run()


@dataclass(frozen=True)
class Detached(FactorAnalysis):
    """The decoder gets no gradient."""

    def model(self, ppl: Any, x: Any = None) -> None:
        affine, scale = self._parameters(ppl)
        with ppl.plate("data", x):
            z = ppl.sample("z", ppl.distributions.Normal(ppl.np.zeros(2), 1.0).to_event(1))
            mean = ppl.ops.stop_gradient(affine(z))
            ppl.sample("x", ppl.distributions.Normal(mean, scale).to_event(1), obs=x)


@dataclass(frozen=True)
class Joint(FactorAnalysis):
    """A factor that counts the batch once, whatever its size."""

    def model(self, ppl: Any, x: Any = None) -> None:
        super().model(ppl, x)
        ppl.factor("once", 1.0 + ppl.np.zeros(()))
        with ppl.plate("data", x):
            ppl.factor("batch", (x**2).sum() + ppl.np.zeros(x.shape[0]))


@pytest.mark.parametrize(
    ("declaration", "name"),
    [(Detached(4, 2), "gradient in every parameter"), (Joint(4, 2), "over minibatches")],
)
def test_a_broken_declaration_is_caught(host: str, declaration: Any, name: str) -> None:
    checks = checks_for(declaration, data={"x": REAL}, hosts=[host])
    with pytest.raises(ContractError):
        next(c for c in checks if name in c.name).run()


def test_failures_are_collected_or_raised() -> None:
    broken = Broken(lambda w: -w.log_p.mean(0))
    pytest.importorskip("pyro")
    outcomes = check(broken, hosts=["pyro"], on_fail="collect")
    assert [o.name for o in outcomes] == [c.name for c in checks_for(broken, hosts=["pyro"])]
    failed = {o.name for o in outcomes if o.error}
    assert any("exact posterior" in name for name in failed)
    assert not any("adds over" in name for name in failed)
    with pytest.raises(ContractError, match="Broken"):
        check(broken, hosts=["pyro"])
    assert replace(broken, particles=3).particles == 3


@pytest.mark.parametrize("wrong", [3, (SBN(4, (2,)), None), (SBN(4, (2,)), {"x": BITS[:1]})])
def test_what_cannot_be_checked_is_refused(wrong: Any) -> None:
    thing, data = wrong if isinstance(wrong, tuple) else (wrong, None)
    with pytest.raises(ArgumentError):
        checks_for(thing, data=data)
