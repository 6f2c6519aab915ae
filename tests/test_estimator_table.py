"""The table of estimators, and what refusals recommend."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.checking import check_objective, checked_sites
from ppgm.errors import ArgumentError, DataError, EstimatorError, PpgmError
from ppgm.estimator_table import _candidates
from ppgm.inference import (
    ELBO,
    FIVO,
    GAN,
    IWAE,
    RWS,
    STL,
    VIMCO,
    Classification,
    ContrastiveDivergence,
    DReG,
    Enumerate,
    Gumbel,
    SemiSupervised,
    WakeSleep,
)
from ppgm.influences import with_influences
from ppgm.legality import _made, check_legal
from ppgm.models import M2, RBM, SBN, VAE, Gaussian, Generator

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")

BITS = {"x": (np.random.default_rng(0).random((8, 5)) < 0.5).astype(float)}
REAL = {"x": np.random.default_rng(1).normal(size=(4, 5))}
LABELS = np.array([0, 2, -1, 1, -1, -1, 2, 0])


def test_legality_is_read_from_sites_and_graph(host: str) -> None:
    deep = ppgm.estimators(ppgm.program(SBN(5, (4, 3)), host=host), BITS)
    flat = ppgm.estimators(ppgm.program(SBN(5, (4,)), host=host), BITS)
    real = ppgm.estimators(
        ppgm.program(VAE(5, 2, hidden=(4,), likelihood=Gaussian(0.5)), host=host), REAL
    )
    assert {"elbo", "vimco", "rloo", "nvil", "rws", "wake-sleep", "tvo", "enumerate"} <= set(
        deep.legal
    )
    assert "disarm" in flat.legal
    assert "disarm" not in deep.legal
    assert {"stl", "dreg", "iwae, dreg", "elbo, stl", "rws"} <= set(real.legal)
    assert not {"enumerate", "nvil", "disarm"} & set(real.legal)
    reasons = {v.name: v.reason for v in deep.verdicts}
    assert "'h2' of the guide is drawn given site 'h1'" in reasons["disarm"]
    assert "'h1' is Bernoulli" in reasons["iwae, dreg"]
    assert str(deep).splitlines()[0].split() == ["objective", "legal", "gradient", "why"]


def test_every_legal_objective_takes_a_step(host: str) -> None:
    """What the table calls legal trains; what it calls illegal is refused with the same words."""
    run = ppgm.program(SBN(5, (3,)), host=host)
    table = ppgm.estimators(run, BITS)
    chosen: dict[str, Any] = {
        n: o for n, o in table.legal.items() if "," not in n or n.startswith("elbo")
    }
    for name, objective in chosen.items():
        fit = ppgm.fit(run, BITS, objective, steps=1, progress=False)
        assert all(np.isfinite(v).all() for v in fit.params.values()), name
    for verdict in table.verdicts:
        if verdict.objective is not None and not verdict.legal:
            with pytest.raises((EstimatorError, DataError)) as error:
                ppgm.fit(run, BITS, verdict.objective, steps=1, progress=False)
            assert str(error.value) == verdict.reason


class Named:
    """Bits whose data are an argument of another name than their site."""

    broadcasts = True

    def model(self, ppl: Any, data: Any = None) -> None:
        with ppl.plate("rows", data):
            h = ppl.ops.float(
                ppl.sample("h", ppl.distributions.Bernoulli(logits=ppl.np.zeros(())))
            )
            ppl.sample("x", ppl.distributions.Normal(h, 1.0), obs=data)

    def guide(self, ppl: Any, data: Any) -> None:
        slope = ppl.param("slope", np.array(0.3))
        with ppl.plate("rows", data):
            ppl.sample("h", ppl.distributions.Bernoulli(logits=slope * data))


class Shared:
    """A bit that all rows share."""

    broadcasts = True

    def model(self, ppl: Any, x: Any = None) -> None:
        h = ppl.ops.float(ppl.sample("h", ppl.distributions.Bernoulli(logits=ppl.np.zeros(()))))
        with ppl.plate("rows", x):
            ppl.sample("x", ppl.distributions.Normal(h, 1.0), obs=x)

    def guide(self, ppl: Any, x: Any) -> None:
        ppl.sample("h", ppl.distributions.Bernoulli(logits=ppl.param("l", np.array(0.3))))


def test_what_a_fit_refuses_for_its_data_is_not_legal(host: str) -> None:
    """A dream needs the data's names to be the sites', and classes need labels."""
    rows = {"data": np.array([0.3, -0.2, 1.0])}
    labels = ppgm.program(M2(5, classes=3, latent=2, hidden=(3,)), host=host)
    cases: list[tuple[Any, Any, list[Any], type, str]] = [
        (ppgm.program(Named(), host=host), rows, [WakeSleep(), RWS(sleep=1.0)], EstimatorError,
         "site 'x' by another name"),
        (ppgm.program(Named(), host=host), rows, [GAN()], EstimatorError, "give them the site's"),
        (labels, BITS, [SemiSupervised(), Classification()], DataError, "have no labels 'y'"),
        (labels, {**BITS, "y": None}, [Classification()], DataError, "have no labels 'y'"),
    ]  # fmt: skip
    for run, data, objectives, error, words in cases:
        illegal = {str(v.objective): v for v in ppgm.estimators(run, data).verdicts}
        for objective in objectives:
            with pytest.raises(error, match=words) as caught:
                ppgm.fit(run, data, objective, steps=1, progress=False)
            if str(objective) in illegal:
                assert illegal[str(objective)].reason == str(caught.value)
            with pytest.raises(error, match=words):
                ppgm.gradients(run, data, [objective], draws=2)
    found = ppgm.estimators(labels, {**BITS, "y": LABELS}).legal
    assert {"semi-supervised", "classification"} <= set(found)
    ContrastiveDivergence().check(_sites(RBM(5, 2), {"v": BITS["x"]}, host))
    with pytest.raises(EstimatorError, match="give them the site's name"):
        ContrastiveDivergence().check(_sites(RBM(5, 2), {"v": BITS["x"]}, host)._replace(data=()))


def _sites(declaration: Any, data: Any, host: str) -> Any:
    return checked_sites(ppgm.program(declaration, host=host), data)


PROGRAMS: dict[str, tuple[Any, Any]] = {
    "deep bits": (SBN(5, (3, 2)), BITS),
    "one layer of bits": (SBN(5, (3,)), BITS),
    "reparameterised": (VAE(5, 2, hidden=(4,), likelihood=Gaussian(0.5)), REAL),
    "classes": (M2(5, classes=3, latent=2, hidden=(3,)), {**BITS, "y": LABELS}),
    "no guide": (RBM(5, 2), {"v": BITS["x"]}),
    "no density": (Generator(5), REAL),
    "a bit for all rows": (Shared(), {"x": REAL["x"][:, 0]}),
}


@pytest.mark.parametrize("minibatch", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_refusal_recommends_is_right(name: str, minibatch: bool, host: str) -> None:
    """Of the objectives that a check names, those that are refused themselves are left out."""
    declaration, data = PROGRAMS[name]
    run = ppgm.program(declaration, host=host)
    table = with_influences(checked_sites(run, data), run, data)
    more = [IWAE(2, gradient=Gumbel()), VIMCO(2, enumerate=("h1",)), FIVO(2)]
    recommended = []
    for objective in [made() for _, _, made in _candidates()] + more:
        with suppress(PpgmError):
            check_objective(run, table, data, objective, minibatch=minibatch)
            continue
        recommended += _advice(run, table, data, objective, minibatch=minibatch)
    for text in set(recommended):
        other = _made(text)
        if other is not None:
            check_objective(run, table, data, other, minibatch=minibatch)
    assert recommended


def _advice(run: Any, table: Any, data: Any, objective: Any, *, minibatch: bool) -> list[str]:
    with pytest.raises(PpgmError) as error:
        check_objective(run, table, data, objective, minibatch=minibatch)
    use = getattr(error.value, "use", ())
    if use:
        assert str(error.value).endswith(f"; use {', '.join(use)}")
    return list(use)


def test_recommendations_are_those_of_the_program(host: str) -> None:
    def advice(declaration: Any, data: Any, objective: Any, **given: Any) -> tuple[str, ...]:
        with pytest.raises(EstimatorError) as error:
            check_legal(objective, _sites(declaration, data, host), **given)
        return error.value.use

    bits, real = PROGRAMS["one layer of bits"], PROGRAMS["reparameterised"]
    assert advice(*bits, DReG(3)) == (
        "VIMCO", "RLOO", "NVIL", "RWS", "IWAE", "Renyi", "ELBO", "ELBO(enumerate=('h1',))",
    )  # fmt: skip
    assert advice(*PROGRAMS["a bit for all rows"], DReG(3), subsampled=("rows",)) == ("ELBO",)
    assert advice(*real, Enumerate()) == ("ELBO", "IWAE", "VIMCO")
    assert advice(*PROGRAMS["no guide"], ELBO()) == ("ContrastiveDivergence",)
    assert advice(*PROGRAMS["no density"], ELBO()) == ("GAN",)
    assert advice(SBN(5, (3, 2)), BITS, GAN()) == ("ELBO", "IWAE", "VIMCO")


def test_biased_estimators_are_called_so(host: str) -> None:
    """The rest is unbiased, as the oracles of each say."""
    bits = ppgm.estimators(ppgm.program(SBN(5, (4,)), host=host), BITS)
    real = ppgm.estimators(
        ppgm.program(VAE(5, 2, hidden=(4,), likelihood=Gaussian(0.5)), host=host), REAL
    )
    biased = {v.name for v in bits.verdicts if v.legal and not v.unbiased}
    bounds = ("elbo", "iwae", "renyi", "cubo")
    inner = {f"{b}, {g}" for b in bounds for g in ("gumbel", "straight-through", "nvil")}
    assert biased == {*inner, "nvil", "rws", "wake-sleep", "tvo"}
    biased = {v.name for v in real.verdicts if v.legal and not v.unbiased}
    assert biased == {"iwae, stl", "renyi, stl", "cubo, stl", "rws", "wake-sleep", "tvo"}
    row = next(line for line in str(bits).splitlines() if line.startswith("elbo, gumbel"))
    assert row.split()[2:6] == ["yes", "biased:", "relaxed", "draws"]
    assert not STL(3).bias
    assert not IWAE(1, gradient="stl").bias
    assert (ELBO() + 2.0 * WakeSleep()).bias == WakeSleep().bias
    assert SemiSupervised(ELBO(gradient="gumbel")).bias == "relaxed draws"


@pytest.mark.parametrize("call", ["estimators", "gradients", "sample"])
@pytest.mark.parametrize(
    ("labels", "words"),
    [([0, 7, -1], "7 .row 1"), ([0, np.nan, 1], "nan .row 1"), ([0, -3, 1], "-3 .row 1")],
)
def test_labels_that_are_no_class_are_refused(
    call: str, labels: Any, words: str, host: str
) -> None:
    run = ppgm.program(M2(5, classes=3, latent=2, hidden=(3,)), host=host)
    bad = {"x": BITS["x"][:3], "y": np.array(labels)}
    fit = None
    if call == "sample":
        good = {**bad, "y": np.array([0, 1, -1])}
        fit = ppgm.fit(run, good, SemiSupervised(), steps=1, progress=False)
    calls: dict[str, Any] = {
        "estimators": lambda: ppgm.estimators(run, bad),
        "gradients": lambda: ppgm.gradients(run, bad, [ELBO()]),
        "sample": lambda: ppgm.sample(fit, 3, data={"y": bad["y"]}),  # pyright: ignore[reportArgumentType]
    }
    with pytest.raises(DataError, match=words):
        calls[call]()


def test_what_the_table_refuses(host: str) -> None:
    run: Any = ppgm.program(SBN(5, (2,)), host=host)
    for data, error, words in (
        (None, DataError, "data must be a dict"),
        ({"X": BITS["x"]}, DataError, "did you mean 'x'"),
        ({"x": BITS["x"] * np.nan}, DataError, "NaN"),
        ({"x": BITS["x"] * 3}, DataError, "outside the support"),
    ):
        with pytest.raises(error, match=words):
            ppgm.estimators(run, data)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ArgumentError, match="needs a program.*not SBN"):
        ppgm.estimators(run.declaration, BITS)
