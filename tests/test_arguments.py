"""Arguments of a wrong type or out of their domain: refused by name, with what to give."""

import re

import numpy as np
import pytest

import ppgm
from ppgm.errors import ArgumentError, DataError, StorageError, did_you_mean
from ppgm.fits import EarlyStopping
from ppgm.inference import ELBO, GAN, HMC, NUTS
from ppgm.models import (
    DKF,
    HMM,
    RBM,
    VAE,
    Bernoulli,
    Categorical,
    FactorAnalysis,
    Gaussian,
    Generator,
    LinearGaussianSSM,
)
from ppgm.optimisers import SGD, Adam, AdamW, RMSprop

X = np.random.default_rng(2).normal(size=(6, 3))


def trained(host, data=None, declaration=None, objective=None, **options):
    program = ppgm.program(declaration or FactorAnalysis(3), host=host)
    return ppgm.fit(program, data or {"x": X}, objective or ELBO(), steps=1, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"early_stopping": 3}, "EarlyStopping(patience=3), not 3"),
        ({"callbacks": print}, "such as [print], not <built-in"),
        ({"callbacks": [3]}, "such as [print], not [3]"),
    ],
)
def test_options_of_a_fit(host, options, words):
    with pytest.raises(ArgumentError, match=re.escape(words)):
        trained(host, **options)


def unusable(host):
    """Optimisers that `ppgm.fit` does not take on a host, each with words of its refusal."""
    for name in ("numpyro.optim", "optax", "pyro.optim", "torch"):
        pytest.importorskip(name)
    import numpyro.optim
    import optax
    import pyro.optim
    import torch

    common = [
        (pyro.optim.Adam({"lr": 1e-3}), "pyro's PyroOptim, which works in pyro's own SVI only"),
        (numpyro.optim.Adam(1e-3), "numpyro's Adam, which works in numpyro's own SVI only"),
        (Adam, "the class Adam: call it"),
        ("adam", "not 'adam'"),
        (optax.adam, "adam"),
    ]
    if host == "pyro":
        return [*common, (optax.adam(1e-3), "GradientTransformation"),
                (lambda p: torch.optim.Adam(p, lr=-1), "it raised ValueError: Invalid learn"),
                (lambda p: 3, "it returned int")]  # fmt: skip
    return [*common, (numpyro.optim.Adam, "the class Adam: call it"),
            (torch.optim.Adam, "the class Adam: call it")]  # fmt: skip


def test_what_is_no_optimiser_is_refused_with_what_is(host):
    example = {"pyro": "torch.optim.Adam(p, lr=1e-3)", "numpyro": "optax.adam(1e-3)"}[host]
    for optimiser, words in unusable(host):
        with pytest.raises(ArgumentError, match=re.escape(words)) as seen:
            trained(host, optimiser=optimiser)
        assert f"Adam(rate=1e-3), or {'a' if host == 'pyro' else 'an'} " in str(seen.value)
        assert example in str(seen.value)


def test_callbacks_may_come_from_a_generator(host):
    seen = []
    trained(host, callbacks=(f for f in [seen.append]))
    assert len(seen) == 1


def test_a_misspelt_player(host):
    rates = {"critc": Adam(), "generator": Adam()}
    with pytest.raises(ArgumentError, match="did you mean 'critic'"):
        trained(host, None, Generator(3, hidden=(4,)), GAN(), optimiser=rates)


@pytest.mark.parametrize(("name", "hint"), [("X", "did you mean 'x'"), ("pixels", "has x$")])
def test_data_by_a_name_that_is_no_argument(host, name, hint):
    with pytest.raises(DataError, match=rf"data\['{name}'\] is no argument of the .*{hint}"):
        trained(host, {name: X})


@pytest.mark.parametrize("x", [{}, {"x": None}])
def test_data_that_lack_an_argument(host, x):
    """A guide says what it needs; without one a model would draw what was to be observed."""
    data = {**x, "lengths": np.array([4, 2])}
    words = r"needs data\['x'\], and the data have 'lengths': it takes x and optionally lengths, "
    for model in (DKF(2, 1, rnn=2), LinearGaussianSSM(2, 1)):
        with pytest.raises(DataError, match=f"the guide of {type(model).__name__} {words}"):
            trained(host, data, model)
    with pytest.raises(DataError, match=r"have 'lengths', .* draws 'x' .* give .* data\['x'\]"):
        trained(host, data, HMM(2))


def test_a_fit_has_a_graph(host):
    fit = trained(host)
    assert not ppgm.graphs.equal(ppgm.graph(fit, {"x": X}), ppgm.graph(fit.program, {"x": X}))


def test_a_graph_of_something_else():
    with pytest.raises(ArgumentError, match=r"ppgm\.program\(.*not FactorAnalysis"):
        ppgm.graph(FactorAnalysis(3), {"x": X})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"likelihood": "bernouli"}, r"Bernoulli\(...\), .*did you mean 'Bernoulli\(\)'"),
        ({"likelihood": Bernoulli}, r"the class Bernoulli; did you mean 'Bernoulli\(\)'"),
        ({"posterior": "gausian"}, r"posterior must be Gaussian\(...\)"),
        ({"posterior": Bernoulli()}, r"posterior must be Gaussian\(...\)"),
    ],
)
def test_parts_of_a_vae(options, words):
    with pytest.raises(ArgumentError, match=words):
        VAE(features=64, **options)


@pytest.mark.parametrize(
    ("cls", "field", "bad"),
    [
        *((cls, "rate", v) for cls in (Adam, AdamW, SGD, RMSprop) for v in (-1.0, np.nan, "1")),
        *((cls, "clip_norm", 0.0) for cls in (Adam, AdamW, SGD, RMSprop)),
        *((cls, "eps", 0.0) for cls in (Adam, AdamW, RMSprop)),
        *((cls, b, v) for cls in (Adam, AdamW) for b in ("b1", "b2") for v in (-0.1, 1.0)),
        (AdamW, "decay", -0.1),
        (SGD, "momentum", 1.0),
        (RMSprop, "decay", 1.0),
        *((cls, "target_accept", v) for cls in (NUTS, HMC) for v in (0.0, 1.0, "high")),
        *((cls, n, 0) for cls in (NUTS, HMC) for n in ("warmup", "draws", "chains")),
        (NUTS, "draws", 2.5),
        (NUTS, "draws", "many"),
        (HMC, "trajectory", 0.0),
        *((EarlyStopping, "patience", v) for v in (0, "3")),
        (EarlyStopping, "min_delta", np.nan),
    ],
)
def test_numbers_out_of_their_domain(cls, field, bad):
    with pytest.raises(ArgumentError, match=f"{cls.__name__}: {field} must be"):
        cls(**{field: bad})


@pytest.mark.parametrize("bad", ["64", 0, 2.0, True, None])
@pytest.mark.parametrize(
    ("cls", "field"),
    [
        *((cls, "features") for cls in (VAE, FactorAnalysis, Generator, RBM)),
        *((cls, "latent") for cls in (VAE, FactorAnalysis, Generator)),
        (RBM, "hidden"),
    ],
)
def test_sizes_of_models_are_integers(cls, field, bad):
    words = f"{cls.__name__}: {field} must be an integer of at least 1, not {bad!r}"
    with pytest.raises(ArgumentError, match=re.escape(words)):
        cls(**{"features": 4, field: bad})


@pytest.mark.parametrize("bad", [64, "64", (64, 0), (64.0,)])
@pytest.mark.parametrize("cls", [VAE, Generator])
def test_widths_of_models_are_tuples_of_integers(cls, bad):
    words = f"{cls.__name__}: hidden must be a tuple of integers of at least 1, such as (64, 64)"
    with pytest.raises(ArgumentError, match=re.escape(words)):
        cls(features=4, hidden=bad)


@pytest.mark.parametrize(
    ("cls", "field", "bad"),
    [(Gaussian, "scale", "1"), (Gaussian, "scale", 0), (Categorical, "classes", "3"),
     (Categorical, "classes", 1)],
)  # fmt: skip
def test_numbers_of_likelihoods(cls, field, bad):
    with pytest.raises(ArgumentError, match=f"{cls.__name__}: {field} must be an? .*not {bad!r}"):
        cls(**{field: bad})


def test_sizes_may_be_numpy_integers():
    VAE(features=np.int64(4), latent=np.int32(2), hidden=())
    RBM(features=np.int64(4), hidden=1)


def test_numbers_at_the_ends_of_their_domain():
    Adam(rate=0, b1=0, b2=0.0)
    SGD(rate=np.float32(0.1), momentum=0, clip_norm=None)
    NUTS(warmup=np.int64(1), draws=1, chains=1)


@pytest.mark.parametrize("other", ["a", ELBO()])
def test_objectives_scale_by_numbers_only(other):
    with pytest.raises(TypeError):
        ELBO() * other


def test_a_folder_that_holds_no_run(tmp_path):
    for folder in (tmp_path, tmp_path / "nope"):
        with pytest.raises(StorageError, match=r"not a run folder .*fit\.save\(folder\)"):
            ppgm.load(folder)


def test_names_are_near_whatever_their_case():
    assert did_you_mean("ELBO", ["iwae", "elbo"]) == "; did you mean 'elbo'?"
