"""Data sets, their formats, and the counting of modes."""

import gzip
import os
import struct
import sys
from urllib.error import URLError

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ppgm import data
from ppgm.data import images
from ppgm.data.packed import PACKED
from ppgm.errors import ArgumentError, DataError, MissingDependencyError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array, code=None):
    """The format written from its description, independently of the reader."""
    kind = array.dtype.str[1:]
    head = struct.pack(">BBBB", 0, 0, CODES[kind] if code is None else code, array.ndim)
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return head + sizes + array.astype(f">{kind}").tobytes()


def write_family(folder, offset=0, suffix=""):
    """Writes five training and two test pictures of 4 x 3 pixels; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for split, count in (("train", 5), ("t10k", 2)):
        pictures = (np.arange(count * 12).reshape(count, 4, 3) * 4 + offset).astype(np.uint8)
        labels = (np.arange(count) + offset).astype(np.uint8)
        written[split] = pictures, labels
        pack = gzip.compress if suffix else bytes
        images_file = folder / f"{split}-images-idx3-ubyte{suffix}"
        images_file.write_bytes(pack(idx_bytes(pictures)))
        labels_file = folder / f"{split}-labels-idx1-ubyte{suffix}"
        labels_file.write_bytes(pack(idx_bytes(labels)))
    return written


# -- names -----------------------------------------------------------------------------------


def test_names_are_those_promised():
    assert {"digits", "mnist", "fashion-mnist", "two-moons", "ring", "grid"} <= set(data.names())


def test_unknown_name_is_corrected():
    with pytest.raises(ArgumentError, match="'digit'; did you mean 'digits'"):
        data.load("digit")


def test_unknown_rule_is_corrected():
    with pytest.raises(ArgumentError, match="'statc'; did you mean 'static'"):
        data.load("digits", binarise="statc")


@pytest.mark.parametrize("name", ["ring", "grid", "two-moons"])
def test_points_cannot_be_binarised(name):
    with pytest.raises(ArgumentError, match="no grey levels"):
        data.load(name, binarise="static")


# -- digits ----------------------------------------------------------------------------------


def test_digits_are_all_of_scikit_learns_digits_once():
    from sklearn.datasets import load_digits

    digits = data.load("digits", binarise="none")
    ours = np.concatenate([digits.train["x"], digits.test["x"]]) * 16
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    pixels, classes = load_digits(return_X_y=True)

    table = np.column_stack([ours, labels])
    expected = np.column_stack([pixels, classes])
    np.testing.assert_array_equal(
        table[np.lexsort(table.T)], expected[np.lexsort(expected.T)].astype(np.float32)
    )
    assert digits.train["x"].shape == (1500, 64)
    assert digits.test["x"].shape == (297, 64)
    assert digits.shape == (8, 8)
    assert digits.train["x"].dtype == np.float32
    assert digits.train_labels.dtype == np.int64


def test_digits_split_does_not_depend_on_the_seed():
    np.testing.assert_array_equal(
        data.load("digits", seed=0).test_labels, data.load("digits", seed=1).test_labels
    )


def test_threshold_is_above_seven_of_sixteen_and_the_custom_of_digits():
    grey = data.load("digits", binarise="none").train["x"] * 16
    np.testing.assert_array_equal(data.load("digits").train["x"], grey > 7)


def test_static_is_one_draw_and_dynamic_is_grey():
    grey = data.load("digits", binarise="none").train["x"]
    static = data.load("digits", binarise="static", seed=3).train["x"]
    np.testing.assert_array_equal(
        static, data.load("digits", binarise="static", seed=3).train["x"]
    )
    assert set(np.unique(static)) == {0.0, 1.0}
    assert (static != data.load("digits", binarise="static", seed=4).train["x"]).any()
    # Certain pixels are kept; the mean of the others is within five standard errors.
    np.testing.assert_array_equal(static[grey == 0], 0)
    np.testing.assert_array_equal(static[grey == 1], 1)
    error = np.sqrt((grey * (1 - grey)).sum()) / grey.size
    assert abs(static.mean() - grey.mean()) < 5 * error

    np.testing.assert_array_equal(data.load("digits", binarise="dynamic").train["x"], grey)


def test_static_noise_of_test_rows_is_not_that_of_the_first_training_rows():
    digits = data.load("digits", binarise="static")
    grey = data.load("digits", binarise="none")
    low, high = 0.4, 0.6  # where both are uncertain, repeated noise would make them agree
    train, test = grey.train["x"][:297], grey.test["x"]
    both = (train > low) & (train < high) & (test > low) & (test < high)
    agree = digits.train["x"][:297][both] == digits.test["x"][both]
    assert agree.mean() < 0.7


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ppgm\[data\]'"):
        data.load("digits")


# -- binarisation ----------------------------------------------------------------------------


def test_resample_is_fixed_by_its_seed():
    x = np.full((200, 50), 0.25, np.float32)
    first, again, other = (data.resample(x, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert abs(first.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / x.size)


@pytest.mark.parametrize("bad", [-0.1, 1.5, np.nan])
def test_resample_refuses_what_is_no_grey_level(bad):
    with pytest.raises(ArgumentError, match=r"grey levels in \[0, 1\]"):
        data.resample(np.array([0.5, bad]), 0)


def test_black_stays_black_when_the_noise_is_exactly_zero(monkeypatch):
    class Zeros:
        def random(self, shape, dtype):
            return np.zeros(shape, dtype)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Zeros())
    np.testing.assert_array_equal(data.resample(np.array([0.0, 1e-6]), 0), [0, 1])


# -- IDX -------------------------------------------------------------------------------------


@given(
    array=st.sampled_from(sorted(CODES)).flatmap(
        lambda kind: hnp.arrays(
            np.dtype(kind), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)
        )
    ),
    zipped=st.booleans(),
)
@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_idx_round_trip(tmp_path, array, zipped):
    path = tmp_path / "array"
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content) if zipped else content)
    read = data.read_idx(path)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


GOOD = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 4, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file"),
        (b"\x89PNG\r\n", "no IDX file.*89 50 4e 47"),
        (b"\x00\x01" + GOOD[2:], "no IDX file"),
        (b"\x00\x00\x07" + GOOD[3:], "no IDX file"),
        (GOOD[:9], "ends inside its header of 16 bytes"),
        (GOOD[:-1], "announces 24 bytes.* and 23 follow"),
        (GOOD + b"\0", "announces 24 bytes.* and 25 follow"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + b"\0", "damaged"),
        (gzip.compress(GOOD)[:-6], "cannot be unpacked"),
        (gzip.compress(GOOD)[:12] + b"?" * 20, "cannot be unpacked"),
        (b"\x1f\x8bnonsense", "cannot be unpacked"),
    ],
)
def test_damaged_idx_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "some-file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"some-file.*{message}"):
        data.read_idx(path)


# -- the MNIST family ------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("place", [".", "mnist", "MNIST/raw"])
def test_mnist_from_a_folder(tmp_path, suffix, place):
    written = write_family(tmp_path / place, suffix=suffix)
    loaded = data.load("mnist", binarise="none", folder=tmp_path)
    for ours, key in ((loaded.train, "train"), (loaded.test, "t10k")):
        pixels = written[key][0]
        np.testing.assert_allclose(ours["x"] * 255, pixels.reshape(len(pixels), 12), rtol=1e-6)
    np.testing.assert_array_equal(loaded.train_labels, written["train"][1])
    assert loaded.shape == (4, 3)
    assert loaded.train["x"].dtype == np.float32


def test_threshold_of_bytes_is_above_127(tmp_path):
    written = write_family(tmp_path)
    loaded = data.load("mnist", binarise="threshold", folder=tmp_path)
    np.testing.assert_array_equal(loaded.train["x"], written["train"][0].reshape(5, 12) > 127)


def test_folder_from_the_environment(tmp_path, monkeypatch):
    write_family(tmp_path)
    monkeypatch.setenv("PPGM_DATA", str(tmp_path))
    assert data.load("mnist").train["x"].shape == (5, 12)


def test_bare_files_are_not_taken_for_fashion(tmp_path):
    write_family(tmp_path / "data")
    with pytest.raises(DataError, match=r"fashion-mnist was not found in .*t10k-images-idx3"):
        data.load("fashion-mnist", folder=tmp_path / "data")

    write_family(tmp_path / "data" / "fashion-mnist", offset=1)
    assert data.load("fashion-mnist", folder=tmp_path / "data").train_labels[0] == 1
    assert data.load("fashion-mnist", folder=tmp_path / "data/fashion-mnist").train_labels[0] == 1
    assert data.load("mnist", folder=tmp_path / "data").train_labels[0] == 0
    with pytest.raises(DataError, match="mnist was not found"):
        data.load("mnist", folder=tmp_path / "data/fashion-mnist")


def test_absent_file_is_named(tmp_path):
    write_family(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="has no file t10k-labels-idx1-ubyte"):
        data.load("mnist", folder=tmp_path)


def test_labels_must_fit_the_pictures(tmp_path):
    write_family(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(4, np.uint8)))
    with pytest.raises(DataError, match=r"train-images.*\(5, 4, 3\) and \(4,\)"):
        data.load("mnist", folder=tmp_path)


def test_without_folder_and_network_the_way_out_is_named(monkeypatch):
    import sklearn.datasets

    def fetch_openml(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    monkeypatch.delenv("PPGM_DATA", raising=False)
    with pytest.raises(DataError, match=r"no network.*train-images-idx3-ubyte.*PPGM_DATA"):
        data.load("mnist")


def test_openml_is_split_after_its_training_rows(monkeypatch):
    import sklearn.datasets

    asked = {}

    def fetch_openml(name, **options):
        asked.update(options, name=name)
        pixels = np.arange(4 * 784).reshape(4, 784) % 256
        return pixels.astype(np.float64), np.array(["5", "0", "4", "1"])

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    monkeypatch.setattr(images, "OPENML_TRAIN", 3)
    monkeypatch.delenv("PPGM_DATA", raising=False)
    loaded = data.load("mnist", binarise="none")
    assert asked["name"] == "mnist_784"
    np.testing.assert_array_equal(loaded.train_labels, [5, 0, 4])
    np.testing.assert_array_equal(loaded.test_labels, [1])
    np.testing.assert_allclose(loaded.test["x"][0] * 255, np.arange(3 * 784, 4 * 784) % 256)


@pytest.mark.parametrize("name", PACKED)
def test_rows_from_packed_bits(tmp_path, rng, name):
    file = PACKED[name]
    bits = {
        k: rng.integers(2, size=(n, file.columns))
        for k, n in zip(file.splits, (5, 3, 2), strict=True)
    }
    packed = {key: np.packbits(value.astype(np.uint8), axis=1) for key, value in bits.items()}
    np.savez(tmp_path / file.name, **packed)

    loaded = data.load(name, folder=tmp_path)
    found = (loaded.train["x"], loaded.validation["x"], loaded.test["x"])
    for rows, key in zip(found, file.splits, strict=True):
        np.testing.assert_array_equal(rows, bits[key])


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"plain text"])
def test_damaged_packed_bits_are_refused(tmp_path, content, name):
    (tmp_path / PACKED[name].name).write_bytes(content)
    with pytest.raises(DataError, match="damaged or is another file"):
        data.load(name, folder=tmp_path)


def test_packed_bits_of_another_width_are_refused(tmp_path):
    rows = np.zeros((2, 98), np.uint8)
    np.savez(tmp_path / "dna.npz", train_data=rows, valid_data=rows, test_data=rows)
    with pytest.raises(DataError, match=r"shape \(N, 23\)"):
        data.load("dna", folder=tmp_path)


def test_packed_bits_never_unpickle(tmp_path):
    nasty = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "mnist_static_binarized.npz", train=nasty, valid=nasty, test=nasty)
    with pytest.raises(DataError, match="damaged or is another file"):
        data.load("mnist-static", folder=tmp_path)


def test_absent_packed_bits_name_file_and_folder(tmp_path):
    with pytest.raises(DataError, match=f"mnist_static_binarized.npz.*{tmp_path}"):
        data.load("mnist-static", folder=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "wanted"), [("mnist-static", 205.80), ("dna", 100.39), ("mushrooms", 34.23)]
)
def test_packed_sets_are_those_of_the_literature(name, wanted):
    """Nats of their test rows under independent bits; each value once more than it was seen."""
    folder = os.environ.get("PPGM_DATA", "")
    if not os.path.isfile(os.path.join(folder, PACKED[name].name)):
        pytest.skip(f"PPGM_DATA is not a folder with {PACKED[name].name}")
    loaded = data.load(name)
    x, train = loaded.test["x"].astype(float), loaded.train["x"].astype(float)
    p = (train.sum(0) + 1) / (len(train) + 2)
    nats = -(x @ np.log(p) + (1 - x) @ np.log1p(-p)).mean()
    assert abs(nats - wanted) < 0.01


# -- points and modes ------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "count"), [("ring", 8), ("grid", 25)])
def test_mixture_scores_perfectly_on_its_own_centres(name, count):
    mixture = data.load(name)
    assert len(mixture.modes) == count
    assert data.count_modes(mixture.modes, mixture) == (count, 1.0)


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_exact_samples_have_the_known_share_of_high_quality(name):
    mixture = data.load(name)
    modes, quality = data.count_modes(mixture.train["x"], mixture)
    expected = 1 - np.exp(-4.5)  # Rayleigh distribution of the distance
    assert modes == len(mixture.modes)
    assert abs(quality - expected) < 5 * np.sqrt(expected * (1 - expected) / 10_000)


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_components_have_the_declared_centres_and_spread(name):
    mixture = data.load(name, seed=2)
    for mode, centre in enumerate(mixture.modes):
        rows = mixture.train["x"][mixture.train_labels == mode] - centre
        assert np.abs(rows.mean(0)).max() < 5 * mixture.sigma / np.sqrt(len(rows))
        assert abs(rows.std() / mixture.sigma - 1) < 0.15


def test_ring_and_grid_are_those_of_the_literature():
    ring, grid = data.load("ring"), data.load("grid")
    np.testing.assert_allclose(np.linalg.norm(ring.modes, axis=1), 1, rtol=1e-12)
    assert ring.sigma == 0.01
    assert {tuple(mode) for mode in grid.modes} == {
        (x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)
    }
    assert grid.sigma == 0.05


def test_modes_are_counted_at_three_sigma():
    ring = data.ring(modes=4, radius=2.0, sigma=0.1)  # centres (2, 0), (0, 2), (-2, 0), (0, -2)
    samples = [[2.29, 0.0], [2.0, 0.31], [0.0, 2.0], [0.1, -2.1], [0.0, 0.0], [np.nan, 0.0]]
    assert data.count_modes(np.array(samples), ring) == (3, 3 / 6)
    assert data.count_modes(np.array(samples), ring, tolerance=4.0) == (3, 4 / 6)


@pytest.mark.parametrize("samples", [np.zeros((0, 2)), np.zeros(2), np.zeros((4, 3))])
def test_count_modes_refuses_other_shapes(samples):
    with pytest.raises(ArgumentError, match=r"shape \(S, 2\)"):
        data.count_modes(samples, data.load("ring"))


def test_count_modes_needs_modes():
    with pytest.raises(ArgumentError, match="not for 'two-moons'"):
        data.count_modes(np.zeros((1, 2)), data.load("two-moons"))


def test_moons_without_noise_lie_on_their_circles():
    moons = data.two_moons(size=100, noise=0.0)
    x, upper = moons.train["x"], moons.train_labels == 0
    np.testing.assert_allclose(np.linalg.norm(x[upper], axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(x[~upper] - [1.0, 0.5], axis=1), 1, rtol=1e-6)
    assert (x[upper, 1] >= -1e-6).all()
    assert (x[~upper, 1] <= 0.5 + 1e-6).all()


@pytest.mark.parametrize("name", ["ring", "grid", "two-moons"])
def test_points_are_fixed_by_their_seed(name):
    first, again, other = (data.load(name, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.train["x"], again.train["x"])
    assert (first.train["x"] != other.train["x"]).any()
    assert first.train["x"].shape == (10_000, 2)
    assert first.test["x"].shape == (2_500, 2)


def test_sizes_and_spreads_are_checked():
    with pytest.raises(ArgumentError, match="size should be at least 1 and is 0"):
        data.ring(size=0)
    with pytest.raises(ArgumentError, match="sigma should be positive and is 0"):
        data.grid(sigma=0)
