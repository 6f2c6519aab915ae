"""Pictures: each shows what it was given, and pyplot knows nothing of it."""

import subprocess
import sys

import numpy as np
import pytest

import ppgm
from ppgm import cli_pictures, plots, tables
from ppgm.cli_data import for_model
from ppgm.cli_runs import Run
from ppgm.data import Dataset
from ppgm.errors import ArgumentError
from ppgm.inference import ELBO, GAN, ContrastiveDivergence
from ppgm.models import RBM, VAE, Generator

pytest.importorskip("matplotlib")

EPOCHS = np.arange(1, 31)
HISTORY = {"epoch": EPOCHS, "seconds": 0.1 * EPOCHS, "bound": -20 - 30 / EPOCHS}


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].lines}


def png(figure, tmp_path):
    path = tmp_path / "picture.png"
    figure.savefig(path)
    return path.read_bytes()


def test_curve_shows_bound_and_validation_but_not_time():
    history = {**HISTORY, "validation": -21 - 30 / EPOCHS, "program.loss": -HISTORY["bound"]}
    shown = lines(plots.curve(history))
    assert list(shown) == ["bound", "validation"]
    np.testing.assert_array_equal(shown["bound"].get_ydata(), HISTORY["bound"])


def test_curve_shows_losses_where_there_is_no_bound():
    history = {
        "epoch": EPOCHS,
        "seconds": EPOCHS,
        "critic.loss": EPOCHS,
        "generator.loss": EPOCHS,
        "value": EPOCHS,
    }
    assert list(lines(plots.curve(history))) == ["critic loss", "generator loss"]


@pytest.mark.parametrize(
    ("declaration", "objective", "words"),
    [
        (Generator(3, hidden=(4,)), GAN(), "loss of each player"),
        (RBM(3, 2), ContrastiveDivergence(), "chains less data"),
        (VAE(3, 2, hidden=(4,)), ELBO(), "nats per datum"),
    ],
)
def test_pictures_of_a_run_say_what_is_drawn_and_on_how_many_rows(
    tmp_path, monkeypatch, declaration, objective, words
):
    pytest.importorskip("pyro")
    bits = np.random.default_rng(0).integers(0, 2, (11, 3)).astype(float)
    data = Dataset("bits", {"x": bits[:7]}, {"x": bits[7:]}, (3,), "", "")
    data = for_model(data, type(declaration))
    program = ppgm.program(declaration, host="pyro")
    run = Run(tmp_path, ppgm.fit(program, data.train, objective, steps=2), data)
    assert words in cli_pictures.bound_curve(run).axes[0].get_ylabel()
    drawn = []
    monkeypatch.setattr(cli_pictures, "draw_graph", drawn.append)
    cli_pictures.pictures(run)
    assert drawn[0].graph["plates"]["data"]["size"] == 7


def test_curve_leaves_out_epochs_without_a_value():
    validation = np.where(EPOCHS % 10 == 0, -20.0, np.nan)
    shown = lines(plots.curve({**HISTORY, "validation": validation}))
    np.testing.assert_array_equal(shown["validation"].get_xdata(), [10, 20, 30])


def test_curves_label_each_fit():
    assert list(lines(plots.curves({"ELBO": HISTORY, "IWAE": HISTORY}))) == ["ELBO", "IWAE"]


def test_images_place_each_row_in_the_grid():
    rows = np.stack([np.full(4, 0.25), np.full(4, 0.5), np.full(4, 0.75)])
    shown = plots.images(rows, (2, 2), columns=2).axes[0].images[0].get_array()
    assert shown.shape == (5, 5)
    assert (shown[:2, :2] == 0.25).all()
    assert (shown[:2, 3:] == 0.5).all()
    assert (shown[3:, :2] == 0.75).all()
    assert shown.mask[2].all()
    assert shown.mask[3:, 3:].all()


@pytest.mark.parametrize("shape", [(3, 3), (4,), (1, 2, 2)])
def test_images_need_the_shape_of_a_row(shape):
    with pytest.raises(ArgumentError, match="of product 4"):
        plots.images(np.zeros((2, 4)), shape)


def test_reconstructions_are_below_the_data():
    figure = plots.reconstructions(np.ones((3, 4)), np.zeros((3, 4)), (2, 2))
    shown = figure.axes[0].images[0].get_array()
    assert shown[:2].min() == 1
    assert shown[3:].max() == 0
    assert [text.get_text() for text in figure.axes[0].texts] == ["data", "model"]


def test_latent_has_one_colour_per_class(rng):
    labels = np.arange(60) % 3
    axes = plots.latent(rng.normal(size=(60, 2)), labels).axes[0]
    assert [c.get_label() for c in axes.collections] == ["0", "1", "2"]
    assert len({tuple(c.get_facecolor()[0]) for c in axes.collections}) == 3


def test_latent_takes_the_two_largest_components(rng):
    points = rng.normal(size=(500, 4)) * [0.1, 5.0, 0.1, 2.0]
    axes = plots.latent(points).axes[0]
    shown = np.asarray(axes.collections[0].get_offsets())
    centred = points - points.mean(0)
    np.testing.assert_allclose(np.abs(shown[:, 0]), np.abs(centred[:, 1]), atol=1.0)
    share = np.linalg.eigvalsh(np.cov(points.T))[-1] / np.trace(np.cov(points.T))
    assert f"{share:.0%}" in axes.get_xlabel()


@pytest.mark.parametrize("size", [1, 2])
def test_latent_of_few_coordinates_is_not_rotated(rng, size):
    points = rng.normal(size=(9, size))
    shown = np.asarray(plots.latent(points).axes[0].collections[0].get_offsets())
    np.testing.assert_array_equal(shown[:, :size], points)


def test_scatter_shows_samples_data_and_modes(rng):
    points = rng.normal(size=(9, 2))
    axes = plots.scatter2d(points, points + 1, points[:3]).axes[0]
    shown = {c.get_label(): np.asarray(c.get_offsets()) for c in axes.collections}
    np.testing.assert_array_equal(shown["model"], points)
    np.testing.assert_array_equal(shown["data"], points + 1)
    np.testing.assert_array_equal(shown["modes"], points[:3])


def test_posteriors_side_by_side_have_their_medians(rng):
    draws = {"NUTS": rng.normal(size=(99, 2, 3)), "guide": rng.normal(size=(50, 2, 3))}
    figure = plots.posterior_compare(draws, pictures=np.zeros((2, 4)), shape=(2, 2))
    panels = [axes for axes in figure.axes if axes.lines]
    assert len(panels) == 2
    for row, panel in enumerate(panels):
        for line in panel.lines:
            expected = np.median(draws[line.get_label()][:, row], axis=0)
            np.testing.assert_allclose(line.get_xdata(), expected)


def test_text_beside_posteriors_can_be_read_at_the_width_of_a_page(rng):
    figure = plots.posterior_compare({"a": rng.normal(size=(9, 6, 8))}, title="six rows")
    figure.draw_without_rendering()
    ticks = [t for a in figure.axes for t in (*a.get_xticklabels(), *a.get_yticklabels())]
    texts = [*ticks, *figure.legends[0].get_texts()]
    # on a page of 6.3 inches, at least 7 points
    assert min(t.get_fontsize() for t in texts) * 6.3 / figure.get_figwidth() >= 7


def test_posteriors_of_different_rows_are_refused():
    with pytest.raises(ArgumentError, match="same rows"):
        plots.posterior_compare({"a": np.zeros((5, 2, 3)), "b": np.zeros((5, 1, 3))})


def test_figures_are_png_files(tmp_path):
    assert png(plots.curve(HISTORY, title="title"), tmp_path).startswith(b"\x89PNG")


def test_pyplot_is_never_imported():
    code = (
        "import sys, numpy as np\nfrom ppgm import plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.images(np.zeros((2, 4)), (2, 2)).savefig(sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, "/dev/null"], check=True)


def test_tables_align_numbers_to_the_right():
    table = tables.text(("name", "nats"), [("a", "-3.10"), ("longer", "12.00"), ("b", None)])
    assert table.splitlines() == [
        "name     nats", "──────  ─────", "a       -3.10", "longer  12.00", "b",
    ]  # fmt: skip


def test_tables_count_wide_letters_twice():
    assert tables.text(("a", "b"), [("変分", "x"), ("abcd", "y")]).splitlines()[2:] == [
        "変分  x",
        "abcd  y",
    ]


def test_markdown_escapes_bars():
    assert tables.markdown(("a", "n"), [("p(x|z)", 1)]).splitlines() == [
        "| a | n |",
        "| --- | ---: |",
        "| p(x\\|z) | 1 |",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(1.005, "1.00"), (float("nan"), ""), (float("inf"), "inf")]
)
def test_numbers_have_fixed_digits(value, text):
    assert tables.number(value) == text
