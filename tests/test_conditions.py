"""Labels as one-hot rows, and pictures split into quadrants."""

from typing import Any

import numpy as np
import pytest

from ppgm.data import Halves, Quadrants, one_hot
from ppgm.errors import ArgumentError, DataError

PICTURE = np.array(
    [
        [11, 12, 21, 22],
        [13, 14, 23, 24],
        [31, 32, 41, 42],
        [33, 34, 43, 44],
    ]
).reshape(1, 16)
"""Its tens number the quadrants: 1 upper left, 2 upper right, 3 lower left, 4 lower right."""


@pytest.mark.parametrize(("seen", "wanted"), [(1, {3}), (2, {1, 3}), (3, {1, 3, 4})])
def test_the_quadrants_of_the_paper_are_seen(seen: int, wanted: set[int]) -> None:
    quadrants = Quadrants((4, 4), seen)
    parts = quadrants.split(PICTURE)
    assert set((parts["c"] // 10).ravel()) == wanted
    assert set((parts["x"] // 10).ravel()) == {1, 2, 3, 4} - wanted
    assert (quadrants.condition, quadrants.features) == (4 * seen, 16 - 4 * seen)


@pytest.mark.parametrize(
    ("seen", "wanted"), [("upper", {1, 2}), ("lower", {3, 4}), ("left", {1, 3}), ("right", {2, 4})]
)
def test_the_half_that_is_asked_for_is_seen(
    seen: Any, wanted: set[int], rng: np.random.Generator
) -> None:
    parts = Halves((4, 4), seen).split(PICTURE)
    assert set((parts["c"] // 10).ravel()) == wanted
    assert set((parts["x"] // 10).ravel()) == {1, 2, 3, 4} - wanted
    odd = Halves((3, 5), seen)
    assert odd.condition == {"upper": 10, "lower": 5, "left": 9, "right": 6}[seen]
    assert odd.condition + odd.features == 15
    pictures = rng.integers(0, 99, (3, 15))
    np.testing.assert_array_equal(odd.join(**odd.split(pictures)), pictures)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"seen": "top"}, "Halves: seen must be one of 'upper'"), ({"shape": (4,)}, "Halves: shape")],
)
def test_halves_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Halves(**options)


@pytest.mark.parametrize("shape", [(2, 2), (3, 5), (28, 28)])
@pytest.mark.parametrize("seen", [1, 2, 3])
def test_parts_are_put_together_again(shape: Any, seen: int, rng: np.random.Generator) -> None:
    quadrants = Quadrants(shape, seen)
    pictures = rng.integers(0, 99, (3, shape[0] * shape[1]))
    parts = quadrants.split(pictures)
    assert parts["c"].shape == (3, quadrants.condition)
    assert quadrants.condition + quadrants.features == shape[0] * shape[1]
    np.testing.assert_array_equal(quadrants.join(**parts), pictures)
    many = quadrants.join(parts["c"], np.stack([parts["x"], parts["x"] + 1]))
    assert many.shape == (2, *pictures.shape)
    np.testing.assert_array_equal(many[1] - many[0], np.tile(~quadrants.mask, (3, 1)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seen": 0}, "seen must be an integer"),
        ({"seen": 4}, "seen must be 1, 2 or 3"),
        ({"shape": (28,)}, "a height and a width"),
        ({"shape": (1, 28)}, "a height and a width"),
        ({"shape": 28}, "shape must be a tuple"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Quadrants(**options)


@pytest.mark.parametrize("shape", [(3, 783), (3, 28, 28), (784,)])
def test_pictures_of_another_size_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"\(N, 784\)"):
        Quadrants().split(np.zeros(shape))


def test_labels_become_one_hot_rows() -> None:
    got = one_hot([2, 0, 1, 2])
    np.testing.assert_array_equal(got, np.eye(3)[[2, 0, 1, 2]])
    assert got.dtype == np.float32
    assert one_hot(np.array([1.0, 0.0]), 5).shape == (2, 5)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 3], "the first 3 at row 1"),
        ([-1, 0], "the first -1 at row 0"),
        ([0, 0.5], "the first 0.5 at row 1"),
        ([0, float("nan")], "the first nan at row 1"),
        (["a", "b"], "shape"),
        ([[0, 1]], "shape"),
        ([], "shape"),
    ],
)
def test_what_is_no_label_is_refused(labels: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        one_hot(labels, 3)
