"""Data for densities: toys of known entropy, tables, grey levels with noise."""

import numpy as np
import pytest

from ppgm import data
from ppgm.data.tabular import TABLES
from ppgm.errors import ArgumentError, DataError

# -- toys ------------------------------------------------------------------------------------


def grid_entropy(made, half: float, cells: int) -> float:
    """The integral of -p log p over a square of a mixture, by the midpoint rule."""
    line = (np.arange(cells) + 0.5) / cells * 2 * half - half
    x, y = np.meshgrid(line, line, indexing="ij")
    p = np.zeros_like(x)
    for a, b in made.modes:
        p += np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * made.sigma**2))
    p /= len(made.modes) * 2 * np.pi * made.sigma**2
    return float(-(p * np.log(np.maximum(p, 1e-300))).sum() * (2 * half / cells) ** 2)


@pytest.mark.parametrize(
    ("name", "half", "cells"),
    [("eight-gaussians", 6.0, 400), ("grid", 4.6, 1000), ("ring", 1.1, 1200)],
)
def test_the_entropy_of_a_mixture_is_its_integral(name, half, cells):
    made = data.load(name)
    assert data.entropy(made) == pytest.approx(grid_entropy(made, half, cells), abs=1e-6)


def test_entropies_are_the_published_ones():
    """Of what FFJORD draws from, and of the ring and grid of VEEGAN."""
    published = {"eight-gaussians": 2.832, "checkerboard": 3.466, "grid": 0.0653, "ring": -4.293}
    for name, value in published.items():
        digits = len(str(value).partition(".")[2])
        assert round(data.entropy(data.load(name)), digits) == value


def test_more_nodes_change_nothing():
    made = data.load("eight-gaussians")
    few, many = (data.toys.mixture_entropy(made.modes, made.sigma, nodes=n) for n in (30, 70))
    assert few == pytest.approx(many, abs=1e-7)
    assert data.toys.mixture_entropy(np.zeros((3, 2)), 0.7) == pytest.approx(
        np.log(2 * np.pi * np.e * 0.7**2), abs=1e-12
    )


def test_the_checkerboard_fills_every_second_square():
    made = data.checkerboard(size=40_000)
    x = made.train["x"].astype(float)
    cell = np.floor(x / 2).astype(int)
    assert cell.min() == -2
    assert cell.max() == 1
    assert (cell.sum(1) % 2 == 0).all()
    counts = np.unique(cell, axis=0, return_counts=True)[1]
    assert len(counts) == 8
    assert np.abs(counts - 5000).max() < 5 * np.sqrt(5000)
    inner = x / 2 - cell
    assert np.abs(inner.mean(0) - 0.5).max() < 0.01
    again = data.load("checkerboard", seed=1)
    assert not np.array_equal(again.train["x"][:9], made.train["x"][:9])
    assert np.array_equal(data.load("checkerboard", seed=1).train["x"], again.train["x"])


def test_an_entropy_that_is_not_known():
    with pytest.raises(ArgumentError, match="not of 'two-moons'"):
        data.entropy(data.load("two-moons"))


# -- tables ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A table of 300 rows with some of them twice, and a column of whole numbers."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 10)) * 3 + 1
    x[:, 7] = rng.integers(0, 40, 300)
    x[200:260] = x[:60]
    np.savez(tmp_path / "protein.npz", x=x.astype(np.float32))
    return tmp_path


def test_a_table_is_split_and_standardised(folder):
    made = data.load("protein", folder=folder)
    parts = [made.train["x"], made.validation["x"], made.test["x"]]
    assert sum(map(len, parts)) == 300
    assert [round(len(p) / 300, 1) for p in parts] == [0.8, 0.1, 0.1]
    np.testing.assert_allclose(parts[0].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(parts[0].std(0), 1, atol=1e-5)
    assert parts[0].dtype == np.float32
    assert abs(parts[2].mean(0)).max() > 1e-3
    back = np.concatenate(parts) * made.scale + made.loc
    raw = np.load(folder / "protein.npz")["x"]
    back[:, 7] = np.floor(back[:, 7] + 1e-4)
    order = np.lexsort(np.round(back, 3).T), np.lexsort(np.round(raw, 3).T)
    np.testing.assert_allclose(back[order[0]], raw[order[1]], atol=2e-5)


def test_no_row_is_trained_on_and_held_out(folder):
    made = data.load("protein", folder=folder)
    columns = [0, 1, 2, 3]  # without the one that has noise

    def rows(x):
        return {tuple(r) for r in np.round(x[:, columns], 5).tolist()}

    train, held = rows(made.train["x"]), rows(made.test["x"])
    assert len(train) < len(made.train["x"])  # some rows are there twice
    assert not train & held
    assert not train & rows(made.validation["x"])


def test_whole_numbers_get_noise_up_to_the_next(folder):
    made = data.load("protein", folder=folder)
    x = np.concatenate([made.train["x"], made.test["x"]]) * made.scale + made.loc
    assert len(np.unique(x[:, 7])) == len(x)
    assert -1e-4 <= x[:, 7].min()
    assert x[:, 7].max() < 40
    again, other = (data.load("protein", folder=folder, seed=s) for s in (0, 1))
    np.testing.assert_array_equal(again.train["x"], made.train["x"])
    assert not np.array_equal(other.train["x"][:9], made.train["x"][:9])


def test_tables_that_are_missing_or_damaged(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("PPGM_DATA", raising=False)
    with pytest.raises(DataError, match=r"needs the file protein.npz .* PPGM_DATA"):
        data.load("protein")
    monkeypatch.setenv("PPGM_DATA", str(folder))
    assert len(data.load("protein").train["x"]) > 200
    with pytest.raises(ArgumentError, match="no grey levels"):
        data.load("protein", binarise="static")
    for wrong in (
        {"y": np.zeros((20, 10))},
        {"x": np.zeros((20, 9))},
        {"x": np.full((20, 10), np.nan)},
    ):
        np.savez(folder / "protein.npz", **wrong)
        with pytest.raises(DataError, match="should hold the array x"):
            data.load("protein", folder=folder)
    (folder / "protein.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="damaged"):
        data.load("protein", folder=folder)


def test_every_table_has_a_name_of_its_own():
    assert set(TABLES) <= set(data.names())
    assert len(set(data.names())) == len(data.names())


# -- grey levels -----------------------------------------------------------------------------


def test_dequantised_levels_are_levels_again():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 17, size=(50, 64))
    x = data.dequantise((levels / 16).astype(np.float32), 17, seed=1)
    assert x.dtype == np.float32
    assert x.min() >= 0
    assert x.max() < 1
    np.testing.assert_array_equal(np.floor(x.astype(float) * 17).astype(int), levels)
    noise = x.astype(float) * 17 - levels
    assert abs(noise.mean() - 0.5) < 5 * np.sqrt(1 / 12 / noise.size)
    assert not np.array_equal(x, data.dequantise(levels / 16, 17, seed=2))


def test_what_is_no_grey_level_is_refused():
    with pytest.raises(ArgumentError, match="k / 16"):
        data.dequantise(np.array([[0.03]]), 17, seed=0)
    with pytest.raises(ArgumentError, match="at least 2"):
        data.dequantise(np.array([[0.0]]), 1, seed=0)
    with pytest.raises(ArgumentError, match=r"in \[0, 1\]"):
        data.dequantise(np.array([[2.0]]), 17, seed=0)


def test_uniform_pixels_have_the_bits_of_their_levels():
    """With log density 0 on [0, 1) every level is equally likely: log2 L bits."""
    assert data.bits_per_pixel(0.0, 64, 16) == pytest.approx(4.0, abs=1e-12)
    assert data.bits_per_pixel(64 * np.log(2), 64, 16) == pytest.approx(3.0, abs=1e-12)
