"""Semi-supervised models as they are used: labels refused, classes predicted, f32."""

from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.errors import DataError
from ppgm.host import load
from ppgm.inference import ELBO, IWAE, SemiSupervised
from ppgm.models import M1, M1M2, M2, Gaussian
from ppgm.models.labels import check_labels
from ppgm.models.m1 import features
from ppgm.probes import probe

D, C, N = 4, 3, 6
MODEL = M2(D, C, 2, hidden=(8,), likelihood=Gaussian(0.7))
Y = np.array([2, -1, 0, -1, -1, 1])

LONG_ON_NUMPYRO = True


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    """Three clusters, in the order of `Y` where it is known."""
    centres = 3 * np.eye(C, D)
    return centres[[2, 2, 0, 0, 1, 1]] + 0.3 * rng.normal(size=(N, D))


def bits(x: np.ndarray) -> np.ndarray:
    return (x > 1).astype(float)


# Labels.

BAD = {
    "unseen": (np.array([2, -1, 3, -1, 7, 3]), ["3 labels", r"3 \(rows 2, 5\)", r"7 \(row 4\)"]),
    "negative": (np.array([2, -2, 0, -1, -5, 1]), [r"-2 \(row 1\)", r"-5 \(row 4\)"]),
    "nan": (np.array([2, np.nan, 0, np.nan, -1, 1]), ["2 labels", r"nan \(rows 1, 3\)"]),
    "infinite": (np.array([2, np.inf, 0, -1, -1, 1]), [r"inf \(row 1\)"]),
    "half": (np.array([2, -1, 0.5, -1, -1, 1]), [r"0\.5 \(row 2\)"]),
    "bool": (np.array([True, False] * 3), [r"True \(rows 0, 2, 4\)", r"False \(rows 1, 3, 5\)"]),
    "string": (np.array(["2", "-1", "0"] * 2), [r"'2' \(rows 0, 3\)", r"'-1' \(rows 1, 4\)"]),
    "none": (np.array([2, None, 0, -1, -1, 1], object), [r"None \(row 1\)"]),
    "one-hot": (np.eye(C)[[2, 0, 0, 1, 1, 1]], [r"shape \(6, 3\)", "argmax"]),
}


@pytest.mark.parametrize("labels", BAD)
@pytest.mark.parametrize("objective", [ELBO(), SemiSupervised()])
def test_bad_labels_are_listed_before_the_first_step(
    host: str, labels: str, objective: Any, x: np.ndarray
) -> None:
    y, words = BAD[labels]
    for declaration in (MODEL, M1M2(D, C, 2, 2, hidden=(3,))):
        run = ppgm.program(declaration, host=host)
        with pytest.raises(DataError, match=r"data\['y'\]") as caught:
            ppgm.fit(run, {"x": x, "y": y}, objective, epochs=1, batch_size=2)
        for word in words:
            caught.match(word)


@pytest.mark.parametrize("labels", ["unseen", "nan", "string"])
def test_bad_labels_are_refused_wherever_data_go(host: str, labels: str, x: np.ndarray) -> None:
    bad, good = {"x": x, "y": BAD[labels][0]}, {"x": x, "y": Y}
    run = ppgm.program(MODEL, host=host)
    for call in (
        lambda: ppgm.fit(run, good, SemiSupervised(), epochs=1, validation=bad),
        lambda: ppgm.evaluate(run, bad, particles=30),
        lambda: ppgm.infer(run, bad, ppgm.inference.Guide(draws=2)),
        lambda: ppgm.predict(run, bad, site="x"),
    ):
        with pytest.raises(DataError, match=r"data\['y'\] has \d labels that are no class"):
            call()


def test_bad_labels_of_a_later_batch_are_refused_before_the_first_step(
    host: str, x: np.ndarray
) -> None:
    batches = [{"x": x, "y": Y}, {"x": x, "y": BAD["unseen"][0]}]
    with pytest.raises(DataError, match=r"7 \(row 4\)"):
        ppgm.fit(ppgm.program(MODEL, host=host), batches, SemiSupervised(), epochs=1)


def test_labels_that_are_fine() -> None:
    for y in (Y, Y.astype(float), Y.astype(np.int8), Y.tolist(), np.array([0, 2], np.uint8)):
        check_labels(y, C, -1)


def test_long_lists_of_labels_are_cut() -> None:
    with pytest.raises(DataError) as caught:
        check_labels(np.repeat(np.arange(3, 33), 20), C, -1)
    assert str(caught.value).count("rows") == 10
    assert len(str(caught.value)) < 800


# Single precision.


def test_in_single_precision_nothing_overflows(host: str, x: np.ndarray) -> None:
    """Masses of excluded classes are exactly 0, and what they multiply is finite.

    The classifier is sure of every row, so that classes are excluded without a label too.
    """
    data = {"x": x, "y": Y}
    run = ppgm.program(MODEL, host=host)
    sure = {
        n: v * (1e4 if "classifier" in n else 1) for n, v in load(host).initial(run, data).items()
    }
    for objective in (SemiSupervised(), SemiSupervised(ELBO()), SemiSupervised(IWAE(3))):
        got = probe(run, sure, data, objective)
        assert np.isfinite(got.loss)
        assert all(np.isfinite(g).all() for g in got.grads.values())


# Fits and predictions.


def test_a_fit_learns_classes_from_three_labels(host: str, x: np.ndarray) -> None:
    run = ppgm.program(MODEL, host=host)
    adam = ppgm.optimisers.Adam(0.01)
    fit = ppgm.fit(run, {"x": x, "y": Y}, SemiSupervised(), epochs=150, optimiser=adam)
    assert {"bound", "classification"} <= fit.history.keys()
    assert fit.history["classification"][-1] < fit.history["classification"][0]
    found = ppgm.predict(fit, {"x": x}, site="y")
    assert (found.most_probable == [2, 2, 0, 0, 1, 1]).all()
    np.testing.assert_allclose(found.probabilities.sum(-1), 1, rtol=1e-5)
    with_labels = ppgm.predict(fit, {"x": x, "y": Y}, site="y")
    np.testing.assert_array_equal(with_labels.probabilities, found.probabilities)


def test_predicted_probabilities_are_the_classifiers(host: str, x: np.ndarray) -> None:
    run = ppgm.program(M2(D, C, 2, hidden=()), host=host)
    params = load(host).initial(run, {"x": x})
    found = ppgm.predict(run, {"x": bits(x)}, site="y")
    logits = bits(x) @ params["classifier.layers.0.weight"].T + params["classifier.layers.0.bias"]
    wanted = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(found.probabilities, wanted, rtol=1e-5)


@pytest.mark.parametrize("declaration", [MODEL, M1M2(D, C, 2, 1, hidden=(3,))])
def test_rows_are_drawn_for_the_labels_asked_for(
    host: str, declaration: Any, x: np.ndarray
) -> None:
    """Labels without x are conditions; a row without one has a class of its own."""
    fit = ppgm.fit(ppgm.program(declaration, host=host), {"x": bits(x), "y": Y}, ELBO(), steps=1)
    labels = np.tile([2, 0, -1], 40)
    found = ppgm.sample(fit, len(labels), data={"y": labels})
    assert found["x"].shape == (120, D)
    assert (found["y"] == labels)[labels >= 0].all()
    assert set(found["y"][labels < 0].tolist()) == {0, 1, 2}


def test_predictions_of_rows_depend_on_the_label(host: str, x: np.ndarray) -> None:
    """E[x | y] of an affine decoder is its bias and the column of the class."""
    run = ppgm.program(M2(D, C, 2, hidden=(), likelihood=Gaussian(0.01)), host=host)
    params = load(host).initial(run, {"x": x})
    found = ppgm.predict(run, {"x": x, "y": np.arange(C).repeat(2)}, site="x", draws=4000)
    weight, bias = params["decoder.layers.0.weight"], params["decoder.layers.0.bias"]
    wanted = (bias + weight[:, 2:].T).repeat(2, axis=0)
    np.testing.assert_allclose(found.mean, wanted, atol=0.15)


def test_features_of_m1_are_the_posteriors_means(host: str, x: np.ndarray) -> None:
    run = ppgm.program(M1(D, 2, hidden=(), likelihood=Gaussian(1.0)), host=host)
    params = load(host).initial(run, {"x": x})
    weight, bias = params["encoder.layers.0.weight"][:2], params["encoder.layers.0.bias"][:2]
    np.testing.assert_allclose(features(run, {"x": x}), x @ weight.T + bias, rtol=1e-5, atol=1e-6)


def test_m1_then_m2_on_its_features(host: str, x: np.ndarray) -> None:
    """The paper's way of stacking: layer by layer."""
    first = ppgm.fit(
        ppgm.program(M1(D, 2, hidden=(8,), likelihood=Gaussian(0.7)), host=host), {"x": x},
        ELBO(), epochs=20,
    )  # fmt: skip
    z = features(first, {"x": x})
    second = ppgm.program(M2(2, C, 2, hidden=(8,), likelihood=Gaussian()), host=host)
    fit = ppgm.fit(second, {"x": z, "y": Y}, SemiSupervised(), epochs=5)
    assert ppgm.predict(fit, {"x": z}, site="y").probabilities.shape == (N, C)


def test_the_hosts_own_svi_takes_the_objective(host: str, x: np.ndarray) -> None:
    """The host's optimiser, stepping what `native` returns, lowers the loss."""
    run = ppgm.program(MODEL, host=host)
    y = np.array([2, 2, 0, 0, 1, 1])
    loss = SemiSupervised(weight=2.0).native(host)
    if host == "pyro":
        import pyro
        import torch

        svi = pyro.infer.SVI(run.model, run.guide, pyro.optim.Adam({"lr": 0.01}), loss)
        data = {"x": torch.as_tensor(x, dtype=torch.float32), "y": torch.as_tensor(y)}
        losses = [svi.step(**data) for _ in range(60)]
    else:
        import jax
        import numpyro

        svi = numpyro.infer.SVI(run.model, run.guide, numpyro.optim.Adam(0.01), loss)
        data = {"x": jax.numpy.asarray(x), "y": jax.numpy.asarray(y)}
        losses = svi.run(jax.random.key(0), 60, progress_bar=False, **data).losses
    assert np.isfinite(losses).all()
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
