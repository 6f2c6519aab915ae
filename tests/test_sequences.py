"""Sequences as data: padding, marks of what is missing, the chorales, and the sunspots."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ppgm import data
from ppgm.errors import ArgumentError, DataError


def test_sequences_are_padded_with_zeros(rng: np.random.Generator) -> None:
    pieces = [rng.normal(size=(n, 2)) for n in (3, 1, 2)]
    found = data.padded(pieces)
    assert found["x"].shape == (3, 3, 2)
    np.testing.assert_array_equal(found["lengths"], [3, 1, 2])
    for row, piece in zip(found["x"], pieces, strict=True):
        np.testing.assert_array_equal(row[: len(piece)], piece)
        assert not row[len(piece) :].any()


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([], "no sequences"),
        ([np.zeros((2, 3)), np.zeros((2, 2))], r"sequence 1 has the shape \(2, 2\).*\(T, 3\)"),
        ([np.zeros((0, 3))], "at least one step"),
        ([np.zeros(3)], r"\(T, D\)"),
    ],
)
def test_what_is_no_sequence_is_refused(pieces: list[np.ndarray], words: str) -> None:
    with pytest.raises(DataError, match=words):
        data.padded(pieces)


def test_missing_entries_are_marked_and_filled(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 3, 2))
    x[0, 1] = np.nan
    steps = data.missing(x)
    np.testing.assert_array_equal(steps["mask"], [[1, 0, 1], [1, 1, 1]])
    x[1, 2, 0] = np.nan
    entries = data.missing(x)
    np.testing.assert_array_equal(entries["mask"] == 0, np.isnan(x))
    np.testing.assert_array_equal(entries["x"], np.nan_to_num(x))
    with pytest.raises(DataError, match=r"\(N, T, D\)"):
        data.missing(x[0])


def pack(path: Path, lengths: dict[str, list[int]], rng: np.random.Generator) -> dict:
    bits = {k: rng.integers(2, size=(sum(n), 88)).astype(np.uint8) for k, n in lengths.items()}
    arrays: dict[str, Any] = {k: np.packbits(v, axis=1) for k, v in bits.items()}
    arrays |= {f"{k}_lengths": np.array(n) for k, n in lengths.items()}
    np.savez(path / "jsb_chorales.npz", **arrays)
    return bits


def test_chorales_are_cut_into_pieces(tmp_path: Path, rng: np.random.Generator) -> None:
    lengths = {"train": [2, 4, 1], "valid": [3], "test": [1, 2]}
    bits = pack(tmp_path, lengths, rng)
    loaded = data.load("jsb-chorales", folder=tmp_path)
    splits = {"train": loaded.train, "valid": loaded.validation, "test": loaded.test}
    for name, split in splits.items():
        assert split is not None
        assert split["x"].shape == (len(lengths[name]), max(lengths[name]), 88)
        np.testing.assert_array_equal(split["lengths"], lengths[name])
        alive = np.arange(split["x"].shape[1]) < split["lengths"][:, None]
        np.testing.assert_array_equal(split["x"][alive], bits[name])
        assert not split["x"][~alive].any()
    with pytest.raises(ArgumentError, match="no grey levels"):
        data.load("jsb-chorales", folder=tmp_path, binarise="static")


def test_damaged_chorales_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match=f"jsb_chorales.npz.*{tmp_path}"):
        data.load("jsb-chorales", folder=tmp_path)
    lengths = {"train": [2, 4], "valid": [3], "test": [1]}
    pack(tmp_path, lengths, rng)
    with np.load(tmp_path / "jsb_chorales.npz") as held:
        arrays: dict[str, Any] = dict(held)
    np.savez(tmp_path / "jsb_chorales.npz", **arrays | {"train_lengths": np.array([2, 3])})
    with pytest.raises(DataError, match="train has 6 steps"):
        data.load("jsb-chorales", folder=tmp_path)
    (tmp_path / "jsb_chorales.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(DataError, match="damaged"):
        data.load("jsb-chorales", folder=tmp_path)


def test_chorales_are_those_of_the_literature() -> None:
    """Nats per step of the test pieces under independent keys: 11.06."""
    folder = os.environ.get("PPGM_DATA", "")
    if not (Path(folder) / "jsb_chorales.npz").is_file():
        pytest.skip("PPGM_DATA is not a folder with jsb_chorales.npz")
    loaded = data.load("jsb-chorales")
    steps = [
        d["x"][np.arange(d["x"].shape[1]) < d["lengths"][:, None]]
        for d in (loaded.train, loaded.test)
    ]
    assert [len(s) for s in steps] == [13807, 4725]
    p = (steps[0].sum(0, dtype=float) + 1) / (len(steps[0]) + 2)
    nats = -(steps[1] @ np.log(p) + (1 - steps[1]) @ np.log1p(-p)).sum() / len(steps[1])
    assert nats == pytest.approx(11.06, abs=0.01)


def test_sunspots_follow_each_other_by_year() -> None:
    loaded = data.load("sunspots")
    assert loaded.train["x"].shape == (1, 221, 1)
    assert loaded.test["x"].shape == (1, 88, 1)
    assert loaded.train["x"].dtype == np.float32
    years = dict(
        zip(
            range(1700, 2009),
            np.concatenate([*loaded.train["x"][0], *loaded.test["x"][0]]),
            strict=True,
        )
    )
    assert [years[y] for y in (1700, 1712, 1920, 1921)] == pytest.approx([5, 0, 37.6, 26.1])
    assert max(years, key=lambda y: years[y]) == 1957  # 190.2, the highest of version 1.0
    assert years[1957] == pytest.approx(190.2)
    assert sum(years.values()) == pytest.approx(15373.4, abs=0.1)


def test_sunspots_are_cut_where_one_says() -> None:
    first, second = (data.sunspots(until=year) for year in (1929, 1700))
    np.testing.assert_array_equal(first.train["x"][:, 1:10], second.test["x"][:, :9])
    assert first.train["x"].shape == (1, 230, 1)
    for year in (1699, 2008):
        with pytest.raises(ArgumentError, match=f"from 1700 to 2007 and is {year}"):
            data.sunspots(until=year)
    with pytest.raises(ArgumentError, match="no grey levels"):
        data.load("sunspots", binarise="static")
