"""Sources of batches: what is accepted, what is refused, and that an epoch has every row once."""

import numpy as np
import pytest

from ppgm.arrays import as_array
from ppgm.batches import CHUNK
from ppgm.errors import ArgumentError, DataError
from ppgm.sources import open_source


def rows_of(source, start, count, *, each_epoch=False):
    """Rows of every step."""
    steps = []
    for chunk in source.chunks(start, count, each_epoch=each_epoch):
        for i in range(chunk.steps):
            steps.append(chunk.batch(source.data, i)["x"])
    return steps


@pytest.mark.parametrize("rows", [8, 9, 11, 4, 5])
@pytest.mark.parametrize("batch", [1, 3, 4])
def test_an_epoch_has_every_row_once(rows, batch):
    source = open_source({"x": np.arange(rows)}, batch, 3)
    per_epoch = source.steps_per_epoch
    assert per_epoch == -(-rows // batch)
    for epoch in range(2):
        steps = rows_of(source, epoch * per_epoch, per_epoch)
        assert sorted(np.concatenate(steps)) == list(range(rows))
        assert [len(s) for s in steps[:-1]] == [batch] * (per_epoch - 1)


def test_epochs_and_seeds_have_their_own_order():
    def order(seed, epoch):
        source = open_source({"x": np.arange(40)}, 10, seed)
        return np.concatenate(rows_of(source, 4 * epoch, 4)).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


@pytest.mark.parametrize("each_epoch", [False, True])
@pytest.mark.parametrize("start", [0, 1, 5, 7])
def test_chunks_do_not_depend_on_where_they_begin(start, each_epoch):
    source = open_source({"x": np.arange(11)}, 4, 0)
    whole = rows_of(source, 0, 160)
    part = rows_of(source, start, 160 - start, each_epoch=each_epoch)
    assert all(np.array_equal(a, b) for a, b in zip(whole[start:], part, strict=True))


@pytest.mark.parametrize("each_epoch", [False, True])
def test_chunks_tell_which_epochs_end(each_epoch):
    source = open_source({"x": np.arange(11)}, 4, 0)
    at, ends = 2, []
    for chunk in source.chunks(2, 120, each_epoch=each_epoch):
        assert chunk.steps <= CHUNK
        assert not each_epoch or at // 3 == (at + chunk.steps - 1) // 3
        ends += [(epoch, at + stop) for epoch, stop in chunk.ends]
        at += chunk.steps
    assert at == 122
    assert ends == [(e, 3 * e) for e in range(1, 41)]


def test_without_batch_size_each_step_is_an_epoch():
    source = open_source({"x": np.arange(5)}, None, 0)
    (chunk,) = source.chunks(3, 4, each_epoch=False)
    assert chunk.index is None
    assert chunk.scale == 1.0
    assert chunk.ends == [(4, 1), (5, 2), (6, 3), (7, 4)]


@pytest.mark.parametrize("batch", [5, 6, 1000])
def test_a_batch_no_smaller_than_the_data_is_the_data(batch):
    assert open_source({"x": np.arange(5)}, batch, 0).batch_size is None


class Frame:
    """Stands for a pandas frame."""

    def __array__(self, dtype=None, copy=None):
        return np.array([[1.0, 2.0], [3.0, 4.0]], dtype)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], "f"),
        ([[1, 2], [3, 4]], "i"),
        ([[True, False]], "b"),
        (Frame(), "f"),
        (np.float16([1, 2]), "f"),
        (np.ma.masked_array([1.0, 2.0], [False, False]), "f"),
    ],
)
def test_arrays_of_all_kinds(value, kind):
    array = as_array("x", value)
    assert type(array) is np.ndarray or isinstance(array, np.ndarray)
    assert array.dtype.kind == kind


@pytest.mark.parametrize("value", [None, 3, 2.5, True, "relu"])
def test_other_values_pass_as_they_are(value):
    assert as_array("x", value) is value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array(["a", "b"]), "dtype <U1"),
        (np.array([1.0, None]), "dtype object"),
        (np.array([1 + 2j]), "dtype complex128"),
        (np.array(["2020-01-01"], "M8[D]"), "dtype datetime64"),
        ([[1.0, 2.0], [3.0]], "no rectangular array"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), "masked"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_by_name(value, words):
    with pytest.raises(DataError, match=rf"data\['x'\].*{words}"):
        open_source({"x": value}, None, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_row_and_column(bad):
    x = np.zeros((6, 4))
    x[3, 2] = x[5, 0] = bad
    with pytest.raises(DataError, match=r"data\['x'\] has 2 values .* at row 3 column 2"):
        open_source({"x": x}, 2, 0)
    batches = [{"x": x[:2]}, {"x": x[2:]}]
    with pytest.raises(DataError, match=r"data\['x'\] of batch 1 has 2 .* at row 1 column 2"):
        open_source(batches, None, 0)
    with pytest.raises(DataError, match=r"at row 1, index \(1, 0, 2\)"):
        open_source({"x": x.reshape(2, 3, 4)}, 2, 0)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_empty_arrays_are_refused(shape):
    with pytest.raises(DataError, match=r"data\['x'\] is empty"):
        open_source({"x": np.zeros(shape)}, None, 0)


def test_rows_that_do_not_match_are_refused():
    with pytest.raises(DataError, match="share their leading dimension"):
        open_source({"x": np.zeros((4, 2)), "y": np.zeros(5)}, 2, 0)
    with pytest.raises(DataError, match="share their leading dimension"):
        open_source({"n": 3}, 2, 0)


def test_a_list_of_batches_counts_rows_and_batches():
    source = open_source([{"x": np.arange(4)}, {"x": np.arange(4, 7)}], None, 0)
    assert (source.rows, source.steps_per_epoch) == (7, 2)
    chunks = list(source.chunks(1, 4, each_epoch=False))
    assert [len(c.index["x"]) for c in chunks] == [3, 4, 3, 4]
    assert [c.ends for c in chunks] == [[(1, 1)], [], [(2, 1)], []]
    assert {c.scale for c in chunks} == {2.0}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (({"x": np.zeros(2)} for _ in range(3)), "only once"),
        (iter([{"x": np.zeros(2)}]), "only once"),
        ([], "empty iterable"),
        ([np.zeros(2)], "a batch must be a dict"),
        (np.zeros((3, 2)), "wrap an array as"),
        ("digits", "must be a dict"),
        (7, "must be a dict"),
    ],
)
def test_what_is_no_source_is_refused(data, words):
    with pytest.raises(DataError, match=words):
        open_source(data, None, 0)


def test_batch_size_does_not_go_with_a_stream():
    with pytest.raises(ArgumentError, match="brings its own batches"):
        open_source([{"x": np.zeros(2)}], 2, 0)


def test_a_stream_that_gets_shorter_is_refused():
    class Shrinking:
        left = 3

        def __iter__(self):
            yield from [{"x": np.zeros(2)}] * self.left
            self.left -= 1

    source = open_source(Shrinking(), None, 0)
    with pytest.raises(DataError, match="epoch 1 of the stream has 2 batches.* had 3"):
        list(source.chunks(0, 3, each_epoch=False))
