"""Semi-supervised bounds on a linear-Gaussian M2, where both of the paper's are closed forms.

Classes are enumerated and the noise of the style is that of cubature points, so one evaluation
has no randomness left; its gradients are compared with numerical ones of the closed form.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.errors import ArgumentError, DataError, EstimatorError
from ppgm.host import load
from ppgm.inference import ELBO, Classification, SemiSupervised
from ppgm.models import M2, Gaussian
from ppgm.probes import Probe, probe
from ppgm.testing import cubature, differences
from ppgm.testing import linear_gaussian as exact
from ppgm.testing import semi_supervised as ssl

D, C, L, N = 4, 3, 2, 6
SIGMA = 0.7
TOLERANCE = 1e-9
MODEL = M2(D, C, L, hidden=(), likelihood=Gaussian(SIGMA), prior="learnt")
MIXED = np.array([2, -1, 0, -1, -1, 1])
LABELS = {
    "all": np.array([2, 0, 0, 1, 2, 1]),
    "none": np.full(N, -1),
    "mixed": MIXED,
}
POINTS = 2 * L
ENUMERATED = ELBO(particles=POINTS, enumerate=("y",))

LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")

_PROGRAMS: dict[Any, ppgm.Program] = {}


def program(declaration: Any, host: str) -> ppgm.Program:
    key = (declaration, host)
    if key not in _PROGRAMS:
        _PROGRAMS[key] = ppgm.program(declaration, host=host)
    return _PROGRAMS[key]


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, D)) * 1.5


@pytest.fixture
def params(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights; the guide's scale is the same for all rows, as in the reference."""
    encoder = rng.normal(size=(2 * L, D + C)) * 0.3
    encoder[L:, :D] = 0
    return {
        "prior": rng.normal(size=C),
        "decoder.layers.0.weight": rng.normal(size=(D, L + C)),
        "decoder.layers.0.bias": rng.normal(size=D),
        "encoder.layers.0.weight": encoder,
        "encoder.layers.0.bias": rng.normal(size=2 * L) * 0.3,
        "classifier.layers.0.weight": rng.normal(size=(C, D)) * 0.5,
        "classifier.layers.0.bias": rng.normal(size=C),
    }


def reference(params: dict[str, np.ndarray]) -> ssl.Pair:
    """The same parameters as the reference functions take them."""
    decoder, shift = params["decoder.layers.0.weight"], params["decoder.layers.0.bias"]
    encoder, bias = params["encoder.layers.0.weight"], params["encoder.layers.0.bias"]
    log_sigma = np.full(D, np.log(SIGMA))
    models = [exact.Model(decoder[:, :L], shift + decoder[:, L + c], log_sigma) for c in range(C)]
    contexts = [bias + encoder[:, D + c] for c in range(C)]
    guides = [exact.mean_field(encoder[:L, :D], b[:L], b[L:]) for b in contexts]
    classifier = params["classifier.layers.0.weight"], params["classifier.layers.0.bias"]
    return ssl.Pair(params["prior"], tuple(models), tuple(guides), classifier)


def noise(rows: int = N) -> dict[str, np.ndarray]:
    """The cubature points for each class, classes outside."""
    return {"z": np.tile(cubature.points(L)[:, None], (C, rows, 1))}


def run(host: str, params: Any, x: np.ndarray, y: np.ndarray, objective: Any = None) -> Probe:
    data = {"x": x, "y": y}
    objective = ENUMERATED if objective is None else objective
    return probe(program(MODEL, host), params, data, objective, noise=noise(len(x)))


def assert_gradients(got: dict, loss: Any, params: dict[str, np.ndarray]) -> None:
    """Compares with numerical gradients of a loss of all parameters."""
    assert got.keys() == params.keys()
    for name, at in params.items():
        wanted = differences.gradient(lambda v, n=name: loss({**params, n: v}), at)
        mine = got[name]
        if name == "encoder.layers.0.weight":  # the reference has one scale for all rows
            mine, wanted = np.delete(mine, np.s_[L:], 0), np.delete(wanted, np.s_[L:], 0)
        np.testing.assert_allclose(mine, wanted, rtol=1e-8, atol=1e-9, err_msg=name)


# The bounds of the paper.


@pytest.mark.parametrize("labels", LABELS)
def test_the_enumerated_elbo_is_the_papers_bound_and_its_gradient(
    host: str, labels: str, x: np.ndarray, params: dict[str, np.ndarray]
) -> None:
    y = LABELS[labels]
    got = run(host, params, x, y)
    wanted = ssl.bound(x, y, reference(params)).mean()
    assert got.metrics["bound"] == pytest.approx(wanted, abs=TOLERANCE)
    assert got.loss == pytest.approx(-wanted, abs=TOLERANCE)
    assert_gradients(got.grads, lambda p: -ssl.bound(x, y, reference(p)).mean(), params)
    if labels == "all":
        assert not got.grads["classifier.layers.0.weight"].any()


def test_without_labels_at_all_every_row_is_unlabelled(
    host: str, x: np.ndarray, params: dict[str, np.ndarray]
) -> None:
    got = probe(program(MODEL, host), params, {"x": x}, ENUMERATED, noise=noise())
    wanted = ssl.unlabelled(x, reference(params)).mean()
    assert got.metrics["bound"] == pytest.approx(wanted, abs=TOLERANCE)


def test_the_bound_is_below_the_exact_evidence_and_meets_it_at_the_posterior(
    host: str, x: np.ndarray, params: dict[str, np.ndarray]
) -> None:
    """At the exact q(z | x, y), and where the classes are known, nothing is left between them."""
    pair = reference(params)
    evidence = ssl.log_evidence(x, MIXED, pair)
    assert (ssl.bound(x, MIXED, pair) < evidence).all()
    posterior = ssl.Pair(
        pair.prior, pair.models, tuple(map(exact.exact_guide, pair.models)), pair.classifier
    )
    y = LABELS["all"]
    np.testing.assert_allclose(
        ssl.bound(x, y, posterior), ssl.log_evidence(x, y, pair), atol=TOLERANCE
    )
    got = run(host, params, x, MIXED)
    assert got.metrics["bound"] < evidence.mean()


def test_labels_are_evidence(host: str, x: np.ndarray, params: dict[str, np.ndarray]) -> None:
    """With the class drawn by the guide, importance weights estimate log p(x, y)."""
    data = {"x": x, "y": MIXED}
    log_w = load(host).log_weights(program(MODEL, host), params, data, 40_000, 0)
    found = np.logaddexp.reduce(log_w, 0) - np.log(len(log_w))
    error = np.exp(log_w - found).std(0) / np.sqrt(len(log_w))
    wanted = ssl.log_evidence(x, MIXED, reference(params))
    assert (np.abs(found - wanted) < 6 * error + 1e-3).all()


def test_a_class_that_the_label_excludes_has_no_density(
    host: str, x: np.ndarray, params: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    """In the model as in the guide: both are those of rows whose class is known."""
    z = rng.normal(size=(C, N, L))
    values = {"y": np.repeat(np.arange(C)[:, None], N, 1), "z": z}
    data = {"x": x, "y": MIXED}
    model = load(host).log_density(program(MODEL, host), params, data, values)
    guide = load(host).log_density(program(MODEL, host), params, data, values, "guide")
    known, right = MIXED >= 0, values["y"] == MIXED
    for log_p in (model["label"], guide["y"]):
        assert (np.exp(log_p[:, known]) == right[:, known]).all()
        assert (log_p[:, known][right[:, known]] == 0).all()
        assert np.isfinite(log_p).all()
    log_q = ssl.log_classes(x, reference(params)).T
    np.testing.assert_allclose(guide["y"][:, ~known], log_q[:, ~known], atol=TOLERANCE)
    assert not model["label"][:, ~known].any()


def test_minibatches_of_mixed_rows_average_to_the_full_data(
    host: str, x: np.ndarray, params: dict[str, np.ndarray]
) -> None:
    """Batches of 1, 2 and 3 rows: the second without a label, the third with labels only."""
    objective = SemiSupervised(ENUMERATED, weight=2.5)
    whole = run(host, params, x, MIXED, objective)
    parts = [
        probe(
            program(MODEL, host), params, {"x": x[rows], "y": MIXED[rows]}, objective,
            noise=noise(len(rows)), scale=3.0, total=N,
        )
        for rows in ([1], [3, 4], [0, 2, 5])
    ]  # fmt: skip
    assert whole.loss == pytest.approx(np.mean([p.loss for p in parts]), abs=TOLERANCE)
    for name, grad in whole.grads.items():
        mean = np.mean([p.grads[name] for p in parts], axis=0)
        np.testing.assert_allclose(grad, mean, atol=TOLERANCE, err_msg=name)


# The score function, in expectation over all classes.


def test_expected_gradient_with_sampled_classes(
    host: str, x: np.ndarray, params: dict[str, np.ndarray]
) -> None:
    """Each row stands for every class and cubature point, with the guide's probability."""
    pair, points = reference(params), cubature.points(L)
    log_q = ssl.log_classes(x, pair)
    clamped = np.where(np.arange(C) == MIXED[:, None], 0.0, -np.inf)
    mass = np.exp(np.where(MIXED[:, None] >= 0, clamped, log_q))
    rows, classes, at = (a.ravel() for a in np.indices((N, C, POINTS)))
    got = probe(
        program(MODEL, host), params, {"x": x[rows], "y": MIXED[rows]}, ELBO(),
        values={"y": classes[None]}, noise={"z": points[at][None]},
        scale=mass[rows, classes] / POINTS, total=N,
    )  # fmt: skip
    wanted = ssl.bound(x, MIXED, pair).mean()
    assert got.metrics["bound"] == pytest.approx(wanted, abs=TOLERANCE)
    assert_gradients(got.grads, lambda p: -ssl.bound(x, MIXED, reference(p)).mean(), params)


# The classification term.


@pytest.mark.parametrize("labels", LABELS)
def test_the_classification_loss_and_its_gradient(
    host: str, labels: str, x: np.ndarray, params: dict[str, np.ndarray]
) -> None:
    y, weight = LABELS[labels], 2.5

    def parts(p: dict[str, np.ndarray]) -> tuple[float, float]:
        pair = reference(p)
        return ssl.bound(x, y, pair).mean(), ssl.classification(x, y, pair).mean()

    got = run(host, params, x, y, SemiSupervised(ENUMERATED, weight=weight))
    bound, loss = parts(params)
    assert got.metrics["bound"] == pytest.approx(bound, abs=TOLERANCE)
    assert got.metrics["classification"] == pytest.approx(loss, abs=TOLERANCE)
    assert got.loss == pytest.approx(-bound + weight * loss, abs=TOLERANCE)
    assert_gradients(got.grads, lambda p: weight * parts(p)[1] - parts(p)[0], params)


def test_a_row_without_label_adds_nothing_to_the_classification_loss(
    host: str, x: np.ndarray, params: dict[str, np.ndarray]
) -> None:
    got = probe(program(MODEL, host), params, {"x": x, "y": LABELS["none"]}, Classification())
    assert got.loss == 0
    assert not any(g.any() for g in got.grads.values())


def test_the_marker_is_of_choice(host: str, x: np.ndarray, params: dict[str, np.ndarray]) -> None:
    other = replace(MODEL, missing=9)
    y = np.where(MIXED < 0, 9, MIXED)
    objective = SemiSupervised(ENUMERATED)
    one = run(host, params, x, MIXED, objective)
    two = probe(program(other, host), params, {"x": x, "y": y}, objective, noise=noise())
    assert one.loss == pytest.approx(two.loss, abs=TOLERANCE)
    assert one.metrics == pytest.approx(two.metrics, abs=TOLERANCE)


@dataclass(frozen=True)
class Unnamed(M2):
    """A guide that keeps its logits to itself, or names something else so."""

    fault: str = "absent"

    def guide(self, ppl: Any, x: Any, y: Any = None) -> None:
        with ppl.plate("data", x):
            logits = ppl.np.zeros((x.shape[0], self.classes))
            if self.fault == "shape":
                ppl.deterministic("y_logits", logits[..., :2])
            ppl.sample("y", ppl.distributions.Categorical(logits=logits))
            ppl.sample("z", ppl.distributions.Normal(ppl.np.zeros(L), 1.0).to_event(1))


@pytest.mark.parametrize(
    ("declaration", "on", "words"),
    [
        (Unnamed(D, C, L), "y", "ppl.deterministic\\('y_logits'"),
        (Unnamed(D, C, L, fault="shape"), "y", "expected the 3 logits"),
        (MODEL, "z", "needs a categorical site 'z'"),
        (MODEL, "w", "needs a categorical site 'w'"),
    ],
)
def test_programs_without_logits_are_refused(
    host: str, declaration: Any, on: str, words: str
) -> None:
    table = program(declaration, host).sites({"x": np.zeros((2, D)), "y": np.array([0, -1])})
    with pytest.raises(EstimatorError, match=words):
        SemiSupervised(ELBO(), on=on).check(table)


def test_data_without_labels_are_refused(host: str, x: np.ndarray) -> None:
    with pytest.raises(DataError, match="no labels 'y'"):
        ppgm.fit(program(MODEL, host), {"x": x}, SemiSupervised(), steps=1)


@pytest.mark.parametrize(
    "wrong", [{"base": 3}, {"weight": -1.0}, {"weight": float("nan")}, {"weight": True}]
)
def test_options_out_of_their_domain_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        SemiSupervised(**wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"classes": 1}, "at least 2"),
        ({"missing": 1}, "outside 0, ..., 2"),
        ({"missing": -1.0}, "outside 0, ..., 2"),
        ({"prior": "flat"}, "'uniform' or 'learnt'"),
        ({"classifier": ppgm.nets.MLP(D, (), 2)}, "classifier must map 4 numbers to 3"),
        ({"latent": 0}, "latent must be"),
    ],
)
def test_fields_of_the_model_out_of_their_domain_are_refused(wrong: dict, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        M2(**{"features": D, "classes": C, **wrong})
