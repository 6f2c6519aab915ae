"""A fit that goes on is the fit that never stopped, bit for bit."""

import numpy as np
import pytest

import ppgm
from ppgm.inference import ELBO, GAN, VIMCO, ContrastiveDivergence
from ppgm.models import RBM, SBN, VAE, Generator
from ppgm.optimisers import SGD, Adam, RMSprop

BITS = (np.random.default_rng(3).random((22, 6)) < 0.4).astype(np.float32)
CASES = {
    "svi": (VAE(6, 2, hidden=(5,)), ELBO(), "x"),
    "vimco": (SBN(6, (3,)), VIMCO(3), "x"),
    "gan": (Generator(6, hidden=(5,)), GAN(critic_steps=2), "x"),
    "pcd": (RBM(6, 4), ContrastiveDivergence(), "v"),
}
every_case = pytest.mark.parametrize("case", CASES)


def begun(host, case, **options):
    declaration, objective, site = CASES[case]
    program = ppgm.program(declaration, host=host)
    return ppgm.fit(program, {site: BITS}, objective, **({"batch_size": 5} | options))


def went_on(fit, case, **options):
    return ppgm.fit(fit, {CASES[case][2]: BITS}, **({"batch_size": 5} | options))


def same(one, two):
    for part in ("params", "state", "history"):
        ours, theirs = getattr(one, part), getattr(two, part)
        assert sorted(ours) == sorted(theirs)
        for name in ours:
            if name != "seconds":
                np.testing.assert_array_equal(theirs[name], ours[name], err_msg=name)
    assert one.config == two.config


@every_case
def test_the_same_seed_gives_the_same_fit(host, case):
    one = begun(host, case, epochs=2)
    same(one, begun(host, case, epochs=2))
    other = begun(host, case, epochs=2, seed=1)
    assert any(not np.array_equal(other.params[n], v) for n, v in one.params.items())


@every_case
@pytest.mark.parametrize("size", [5, pytest.param(None, marks=pytest.mark.slow)])
def test_epochs_after_a_fit_are_additional(host, case, size):
    whole = begun(host, case, epochs=4, batch_size=size)
    half = begun(host, case, epochs=2, batch_size=size)
    on = went_on(half, case, epochs=2, batch_size=size)
    same(whole, on)
    assert on.config["epochs"] == 4
    assert on.config["steps"] == (4 if size is None else 20)
    seconds = on.history["seconds"]
    assert (np.diff(seconds) >= 0).all()
    np.testing.assert_array_equal(seconds[:2], half.history["seconds"])


@every_case
def test_a_saved_fit_goes_on_alike(host, case, tmp_path):
    begun(host, case, epochs=2).save(tmp_path / "run")
    same(begun(host, case, epochs=4), went_on(ppgm.load(tmp_path / "run"), case, epochs=2))


@every_case
def test_steps_may_end_inside_an_epoch(host, case, tmp_path):
    """First in the middle of an epoch, then at the end of one, then inside the third."""
    steps = (3, 2, 8, 7)
    found = begun(host, case, steps=steps[0])
    assert found.config["steps"] == steps[0]
    assert found.config["epochs"] == steps[0] // 5
    for more in steps[1:]:
        found.save(tmp_path / f"run-{more}")
        found = went_on(ppgm.load(tmp_path / f"run-{more}"), case, steps=more)
    same(begun(host, case, epochs=4), found)


def test_an_epoch_left_in_the_middle_is_shown_and_then_finished(host):
    found = begun(host, "svi", steps=7)
    whole = begun(host, "svi", epochs=2)
    assert found.history["epoch"].tolist() == [1, 2]
    assert found.history["bound"][0] == whole.history["bound"][0]
    on = went_on(found, "svi", epochs=1)  # the second epoch, to its end
    same(whole, on)


@pytest.mark.parametrize(
    "optimiser",
    [Adam(clip_norm=1.0), RMSprop(), SGD(momentum=0.5)],
    ids=["adam", "rmsprop", "sgd"],
)
def test_optimisers_go_on_where_they_were(host, optimiser):
    whole = begun(host, "svi", epochs=4, optimiser=optimiser)
    same(whole, went_on(begun(host, "svi", epochs=2, optimiser=optimiser), "svi", epochs=2))


def test_each_player_goes_on_with_its_own_optimiser(host):
    optimisers = {"critic": Adam(rate=0.01), "generator": SGD(momentum=0.9)}
    whole = begun(host, "gan", epochs=4, optimiser=optimisers)
    same(whole, went_on(begun(host, "gan", epochs=2, optimiser=optimisers), "gan", epochs=2))
    players = {name.split("/")[1] for name in whole.state if name.startswith("optimiser/")}
    assert players == {"critic", "generator"}


def test_batches_of_a_list_go_on(host):
    program = ppgm.program(CASES["svi"][0], host=host)
    batches = [{"x": BITS[:8]}, {"x": BITS[8:16]}, {"x": BITS[16:]}]
    whole = ppgm.fit(program, batches, ELBO(), epochs=3)
    same(whole, ppgm.fit(ppgm.fit(program, batches, ELBO(), steps=4), batches, steps=5))


def test_another_optimiser_starts_afresh_at_the_parameters(host):
    half = begun(host, "svi", epochs=2)
    on = went_on(half, "svi", epochs=1, optimiser=SGD(rate=0.0))
    for name, value in half.params.items():
        np.testing.assert_allclose(on.params[name], value, rtol=1e-6)
    assert on.history["epoch"].tolist() == [1, 2, 3]
    assert (on.config["epochs"], on.config["steps"]) == (3, 15)
    assert int(on.state["step"]) == 15  # what anneals by steps goes on too
    again = went_on(on, "svi", epochs=1)
    assert (again.config["epochs"], again.config["steps"]) == (4, 20)


def test_counts_go_on_without_a_state(host):
    half = begun(host, "svi", epochs=2)
    on = went_on(half._replace(state={}), "svi", epochs=1)
    assert (on.config["epochs"], on.config["steps"]) == (3, 15)


def test_another_objective_starts_a_history_of_its_own(host):
    half = begun(host, "svi", epochs=2)
    on = ppgm.fit(half, {"x": BITS}, ELBO(particles=2), epochs=1, batch_size=5)
    assert on.history["epoch"].tolist() == [1]
    assert (on.config["epochs"], on.config["steps"]) == (1, 5)


def test_another_batch_size_begins_the_next_epoch(host):
    found = begun(host, "svi", steps=7)
    on = went_on(found, "svi", epochs=1, batch_size=11)
    assert on.config["steps"] == 9
    assert on.history["epoch"].tolist() == [1, 2]


def test_chains_are_part_of_the_state(host):
    found = begun(host, "pcd", epochs=1)
    assert found.state["state/chains"].shape == (5, 6)
    cold = went_on(found._replace(state={}), "pcd", epochs=1)
    warm = went_on(found, "pcd", epochs=1)
    assert any(not np.array_equal(cold.params[n], v) for n, v in warm.params.items())
