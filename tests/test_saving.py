"""Fits on disk and between hosts."""

import json
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm.errors import ArgumentError, StorageError
from ppgm.inference import ELBO, GAN, IWAE, VIMCO, ContrastiveDivergence, Guide
from ppgm.models import RBM, SBN, VAE, FactorAnalysis, Gaussian, Generator
from ppgm.optimisers import SGD, Adam

pytestmark = pytest.mark.usefixtures("f64")

OTHER = {"pyro": "numpyro", "numpyro": "pyro"}
BITS = (np.arange(40).reshape(8, 5) * 7 % 3 % 2).astype(float)
REAL = np.sin(np.arange(40.0)).reshape(8, 5) * 2

CASES = {
    "vae": (VAE(5, 2, hidden=(3,), likelihood=Gaussian()), IWAE(3), {"x": REAL}),
    "sbn": (SBN(5, (3, 2)), VIMCO(3), {"x": BITS}),
    "gan": (Generator(5, 2, hidden=(3,)), GAN(), {"x": REAL}),
    "rbm": (RBM(5, 3), ContrastiveDivergence(), {"v": BITS}),
}


def train(name: str, host: str, **options: Any) -> ppgm.Fit:
    declaration, objective, data = CASES[name]
    program = ppgm.program(declaration, host=host)
    options = {"epochs": 2, "batch_size": 3, "seed": 1, "progress": False} | options
    return ppgm.fit(program, data, objective, **options)


def assert_same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert np.asarray(value).dtype == right[name].dtype, name
        np.testing.assert_array_equal(value, right[name], err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_a_fit_comes_back_bit_for_bit(host, name, tmp_path):
    fit = train(name, host)
    assert fit.save(tmp_path / "run") == tmp_path / "run"
    back = ppgm.load(tmp_path / "run")
    assert_same(fit.params, back.params)
    assert_same(fit.state, back.state)
    assert_same(fit.history, back.history)
    assert back.config == fit.config
    assert back.program.declaration == fit.program.declaration
    assert back.program.host == host
    assert str(back) == str(fit)


@pytest.mark.parametrize("name", CASES)
def test_a_loaded_fit_goes_on_bit_for_bit(host, name, tmp_path):
    """Two epochs, then two from the disk, are four: parameters, state and history."""
    data = CASES[name][2]
    whole = train(name, host, epochs=4)
    train(name, host).save(tmp_path)
    back = ppgm.fit(ppgm.load(tmp_path), data, epochs=2, batch_size=3, progress=False)
    assert_same(whole.params, back.params)
    assert_same(whole.state, back.state)
    for entry in whole.history.keys() - {"seconds"}:
        np.testing.assert_array_equal(whole.history[entry], back.history[entry], err_msg=entry)


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_going_on_needs_every_part_of_the_state(host, name):
    """Guards the test above: parameters alone do not continue the run."""
    data = CASES[name][2]
    whole = train(name, host, epochs=4)
    bare = train(name, host)._replace(state={})
    back = ppgm.fit(bare, data, epochs=2, batch_size=3, progress=False)
    assert any(not np.array_equal(v, back.params[n]) for n, v in whole.params.items())


def test_a_loaded_fit_answers_alike_on_the_other_host(host, tmp_path):
    """With the exact guide the evidence has no noise."""
    pytest.importorskip(OTHER[host])
    program = ppgm.program(FactorAnalysis(5, 2, posterior="exact"), host=host)
    fit = ppgm.fit(program, {"x": REAL}, ELBO(), steps=3, progress=False)
    fit.save(tmp_path)
    here = ppgm.evaluate(fit, {"x": REAL}, particles=25)
    for moved in (ppgm.load(tmp_path, host=OTHER[host]), fit.to(OTHER[host])):
        assert moved.program.host == OTHER[host]
        assert moved.state == {}
        assert_same(fit.params, moved.params)
        there = ppgm.evaluate(moved, {"x": REAL}, particles=25)
        np.testing.assert_allclose(there.log_likelihood, here.log_likelihood, rtol=1e-10)
        np.testing.assert_allclose(there.log_likelihood, there.exact, rtol=1e-9)
        on = ppgm.fit(moved, {"x": REAL}, steps=2, progress=False)
        assert np.isfinite(on.history["bound"]).all()
    assert fit.to(host) is fit


def test_programs_of_one_s_own_are_given_again(host, tmp_path):
    made = ppgm.program(FactorAnalysis(5, 2), host=host)
    own = ppgm.Program(made.model, made.guide, host=host)
    fit = ppgm.fit(own, {"x": REAL}, ELBO(), steps=2, progress=False)
    fit.save(tmp_path)
    with pytest.raises(ArgumentError, match="program="):
        ppgm.load(tmp_path)
    with pytest.raises(ArgumentError, match="cannot move"):
        fit.to(OTHER[host])
    with pytest.raises(ArgumentError, match="leave it out"):
        ppgm.load(tmp_path, program=own, host=OTHER[host])
    back = ppgm.load(tmp_path, program=own)
    assert back.program is own
    assert_same(fit.params, back.params)
    assert_same(fit.state, back.state)


def test_another_program_s_parameters_are_refused(host, tmp_path):
    """They would leave the program at its initial values, unnoticed."""
    made, other = (ppgm.program(FactorAnalysis(5, size), host=host) for size in (2, 3))
    fit = ppgm.fit(ppgm.Program(made.model, made.guide, host=host), {"x": REAL}, ELBO(), steps=1,
                   progress=False)  # fmt: skip
    fit.save(tmp_path)
    wrong = ppgm.load(tmp_path, program=ppgm.Program(other.model, other.guide, host=host))
    for ask in (
        lambda: ppgm.evaluate(wrong, {"x": REAL}),
        lambda: ppgm.infer(wrong, {"x": REAL}, Guide(5)),
        lambda: ppgm.sample(wrong, data={"x": REAL}),
        lambda: ppgm.fit(wrong, {"x": REAL}, steps=1, progress=False),
        lambda: ppgm.fit(wrong, {"x": REAL}, ELBO(2), steps=1, batch_size=3, progress=False),
    ):
        with pytest.raises(StorageError, match="another model.*decoder"):
            ask()
    right = ppgm.load(tmp_path, program=fit.program)
    on = ppgm.fit(right, {"x": REAL}, steps=1, progress=False)
    assert on.params.keys() == fit.params.keys()
    assert np.isfinite(ppgm.evaluate(right, {"x": REAL}, particles=25).mean)


def test_optimisers_come_back(host, tmp_path):
    optimisers = {"critic": SGD(0.1), "generator": Adam(0.01, clip_norm=1.0)}
    fit = train("gan", host, optimiser=optimisers)
    fit.save(tmp_path)
    assert ppgm.load(tmp_path).config["optimiser"] == fit.config["optimiser"]


def test_every_flipped_byte_is_found(tmp_path):
    train("vae", "numpyro").save(tmp_path)
    for file in sorted(tmp_path.iterdir()):
        whole = file.read_bytes()
        for at in {0, len(whole) // 2, len(whole) - 1}:
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(StorageError):
                ppgm.load(tmp_path)
        file.write_bytes(whole)
        file.rename(tmp_path / "away")
        with pytest.raises(StorageError):
            ppgm.load(tmp_path)
        (tmp_path / "away").rename(file)
    ppgm.load(tmp_path)


def test_a_folder_without_a_fit_is_refused(tmp_path):
    with pytest.raises(StorageError):
        ppgm.load(tmp_path / "nowhere")
    from ppgm import store

    store.save(tmp_path, config={"note": "other"}, tensors={"params": {}}, history={})
    with pytest.raises(StorageError, match="no fit of ppgm"):
        ppgm.load(tmp_path)


def test_nothing_in_the_folder_is_code(host, tmp_path):
    train("sbn", host).save(tmp_path)
    names = sorted(p.suffix for p in tmp_path.iterdir())
    assert set(names) == {".json", ".safetensors"}
    config = json.loads((tmp_path / "manifest.json").read_text())["config"]
    assert config["host"] == host
