"""The record of a run: means per epoch, the open epoch, staleness."""

import numpy as np
import pytest

from ppgm.history import History


def recorded(*values, first=0):
    history = History([{"epoch": i + 1, "seconds": 0.0, "m": v} for i, v in enumerate(values)])
    history.first = first
    return history


def test_an_epoch_is_the_mean_over_its_steps():
    history = History()
    history.extend({"bound": np.array([1.0, 2.0])}, 0.1)
    history.extend({"bound": np.array([6.0])}, 0.2)
    assert history.running == 3
    assert history.close() == {"bound": 3.0}
    assert history.running == 0


def test_what_an_epoch_lacks_is_nan():
    history = History()
    history.extend({"a": np.array([1.0])}, 0.5)
    history.add(1, history.close())
    history.extend({"a": np.array([2.0])}, 0.7)
    history.add(2, {**history.close(), "b": 4.0})
    arrays = history.arrays()
    assert arrays["epoch"].tolist() == [1, 2]
    assert arrays["epoch"].dtype.kind == "i"
    assert arrays["seconds"].tolist() == [0.5, 0.7]
    np.testing.assert_array_equal(arrays["b"], [np.nan, 4.0])


def test_an_epoch_left_in_the_middle_is_a_last_entry():
    history = recorded(1.0, 2.0)
    history.extend({"m": np.array([5.0, 7.0])}, 0.1)
    arrays = history.arrays()
    assert arrays["epoch"].tolist() == [1, 2, 3]
    assert arrays["m"].tolist() == [1.0, 2.0, 6.0]
    assert history.running == 2  # to look does not close


def test_a_history_goes_on_in_the_middle_of_an_epoch():
    class Before:
        history = {"epoch": np.array([1, 2]), "seconds": np.array([1.0, 2.0]), "m": np.ones(2)}

    history = History.of(Before, 1, {"open/m": np.array([1.0, 2.0]), "step": np.array(5)})
    assert history.running == 2
    history.extend({"m": np.array([6.0])}, 0.5)
    history.add(2, history.close())
    arrays = history.arrays()
    assert arrays["m"].tolist() == [1.0, 3.0]
    assert arrays["seconds"].tolist() == [1.0, 1.5]


@pytest.mark.parametrize(
    ("values", "min_delta", "age"),
    [
        ((1.0, 2.0, 3.0), 0.0, 0),
        ((3.0, 2.0, 1.0), 0.0, 2),
        ((3.0, 3.0), 0.0, 1),
        ((1.0, 1.05, 1.2), 0.1, 0),
        ((1.0, 1.05, 1.06), 0.1, 2),
        ((1.0, np.nan, 2.0), 0.0, 0),
        ((np.nan, np.nan), 0.0, 2),
    ],
)
def test_staleness(values, min_delta, age):
    assert recorded(*values).stale("m", min_delta) == age


def test_only_epochs_of_the_running_fit_count():
    history = recorded(9.0, 1.0, 2.0, first=1)
    assert history.stale("m", 0.0) == 0
    assert history.is_best("m")
    assert not recorded(9.0, 1.0, 2.0).is_best("m")


def test_nan_is_never_best():
    assert not recorded(1.0, np.nan).is_best("m")
    assert recorded(np.nan, 1.0).is_best("m")
