"""The gradient microscope and the table of estimators."""

from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import ppgm
from ppgm import host as hosts
from ppgm import plots_gradients
from ppgm.cli import cli
from ppgm.cli_gradients import table
from ppgm.errors import ArgumentError, DataError, EstimatorError, PpgmError
from ppgm.inference import (
    CUBO,
    ELBO,
    GAN,
    IWAE,
    NVIL,
    REINFORCE,
    RLOO,
    RWS,
    STL,
    VIMCO,
    Classification,
    DReG,
    Enumerate,
    Renyi,
    SemiSupervised,
    WakeSleep,
)
from ppgm.microscope_arguments import bound_of
from ppgm.microscope_measures import Moments, batch_of, measure, moments, squared_distance
from ppgm.models import SBN, VAE, Gaussian, Generator
from ppgm.nets import MLP
from tests.test_oracles_paths import Line

pytest.importorskip("xarray")
LONG_ON_NUMPYRO = True
pytestmark = pytest.mark.usefixtures("f64")

BITS = {"x": (np.random.default_rng(0).random((8, 5)) < 0.5).astype(float)}
REAL = {"x": np.random.default_rng(1).normal(size=(4, 5))}


def _experiment(means: np.ndarray, truth: np.ndarray | None = None) -> Any:
    """Measures an estimator of 60 draws of unit variance with these means of batches."""
    rows = np.zeros((1, means.shape[1])) if truth is None else truth
    found, reference = (
        Moments({"a": m}, {"a": np.full(m.shape[1], float(len(m) > 1))}, np.full(len(m), 3), 0.0)
        for m in (means, rows)
    )
    return measure(found, reference, ["a"])


def test_the_squared_distance_is_a_statistic_of_pairs(rng: np.random.Generator) -> None:
    """It is the mean over pairs of different batches, and the error is the jackknife's."""
    own, other = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))

    def pairs(own: np.ndarray, other: np.ndarray) -> float:
        inner = [
            np.mean([a @ b for i, a in enumerate(m) for j, b in enumerate(m) if i != j])
            for m in (own, other)
        ]
        return inner[0] + inner[1] - 2 * own.mean(0) @ other.mean(0)

    value, error, freedom = squared_distance(own, other, np.full(5, 0.2), np.full(4, 0.25))
    assert value == pytest.approx(pairs(own, other), abs=1e-12)
    ones = np.array([pairs(np.delete(own, i, 0), other) for i in range(5)])
    twos = np.array([pairs(own, np.delete(other, i, 0)) for i in range(4)])
    parts = 4 / 5 * ((ones - ones.mean()) ** 2).sum(), 3 / 4 * ((twos - twos.mean()) ** 2).sum()
    assert error == pytest.approx(np.sqrt(sum(parts)), abs=1e-12)
    assert freedom == pytest.approx(sum(parts) ** 2 / (parts[0] ** 2 / 4 + parts[1] ** 2 / 3))
    exact = squared_distance(own, other[:1], np.full(5, 0.2), np.ones(1))
    gaps = own - other[0]
    products = [gaps[i] @ gaps[j] for i in range(5) for j in range(5) if i != j]
    assert exact[0] == pytest.approx(np.mean(products), abs=1e-12)


@pytest.mark.parametrize("count", [1, 2])
def test_batches_of_unequal_sizes_have_no_bias(count: int) -> None:
    """All ways that 7 draws of a coin can fall, in batches of 2 and 1: the mean is exact."""
    which = batch_of(7, 4)
    sizes = np.bincount(which)
    assert sorted(sizes) == [1, 2, 2, 2]
    total, other = 0.0, np.array([[0.3], [-0.2], [0.9]])[: 2 * count - 1]
    for bits in range(2**7):
        draws = np.array([bits >> i & 1 for i in range(7)], float)
        means = np.array([[draws[which == b].mean()] for b in range(4)])
        share = np.full(len(other), 1 / len(other))
        total += squared_distance(means, other, sizes / 7, share)[0] / 2**7
    mean = other.mean()
    square = other[0] @ other[0] if count == 1 else mean**2 - other.var(ddof=1) / 3
    assert total == pytest.approx(0.25 - mean + square, abs=1e-12)


@pytest.mark.parametrize("host", ["pyro", "numpyro"])
def test_moments_are_those_of_the_draws(host: str) -> None:
    """Draws in batches of their own are the draws: mean and variance of any batches follow."""
    run, data = ppgm.program(SBN(5, (2,)), host=host), {"x": BITS["x"][:2]}
    source = hosts.load(host)
    params = source.initial(run, data)

    def found(batches: np.ndarray) -> Moments:
        means, within, seconds = source.gradient_moments(
            run, params, data, ELBO(), "program", batches, 3
        )
        return moments(means, within, np.bincount(batches), seconds)

    single, mixed = found(np.arange(7)), found(batch_of(7, 3))
    for name, draws in single.means.items():
        assert draws.shape[0] == 7
        rows = [draws[batch_of(7, 3) == b].mean(0) for b in range(3)]
        np.testing.assert_allclose(mixed.means[name], rows, atol=1e-12)
        for one in (single, mixed):
            np.testing.assert_allclose(one.variance[name], draws.var(0, ddof=1), atol=1e-12)


SPREAD = {"independent": np.eye(16), "one direction": np.full((16, 16), 1 / 4)}


@pytest.mark.parametrize("kind", SPREAD)
@pytest.mark.parametrize("truth", [0.0, 30.0])
def test_the_error_of_a_bias_is_its_spread_over_experiments(
    kind: str, truth: float, rng: np.random.Generator
) -> None:
    """Of a clear bias the standard deviation, whatever the covariance of the components.

    Without one, no more biases are beyond 2 and 4 errors than of Student's distribution with 19
    degrees of freedom, 6.0 % and 0.08 %; nor is one in 20 said to be clear.
    """
    noise = rng.normal(size=(1000, 20, 16)) @ SPREAD[kind]
    found = [_experiment(n + truth / 4) for n in noise]
    bias, error, low, high = (
        np.array([getattr(f, n) for f in found])
        for n in ("bias", "bias_error", "bias_low", "bias_high")
    )
    if truth:
        assert np.median(error) == pytest.approx(bias.std(), rel=0.1)
        assert np.mean(low > truth) == pytest.approx(0.05, abs=0.03)
        assert np.mean(high < truth) == pytest.approx(0.05, abs=0.03)
    else:
        assert np.mean(bias > 2 * error) < 0.06
        assert np.mean(bias > 4 * error) < 0.004
        assert np.mean(low > 0) < 0.05
        assert (high > bias).all()


def test_the_error_of_a_bias_does_not_jump() -> None:
    """Neither the error nor the ends of the interval do, as a bias grows out of its noise."""
    noise = np.random.default_rng(5).normal(size=(20, 4))
    found = [_experiment(noise - noise.mean(0) + t) for t in np.linspace(0, 1, 2001)]
    for name in ("bias_error", "bias_low", "bias_high"):
        values = np.array([getattr(f, name) for f in found])
        assert np.abs(np.diff(values)).max() < 0.05, name


def test_the_bias_of_unbiased_estimators(host: str) -> None:
    """The gradients of 64 weights of a bit are nearly proportional: each draw has one signal.

    60 experiments of 40 draws each: no more than 10 biases beyond 2 errors, where 6.0 % of
    Student's distribution are, and than 1 beyond 4, where 0.08 % are: false alarms are 1 in 1000.
    """
    run, data = ppgm.program(SBN(64, (2,)), host=host, seed=1), {"x": np.ones((1, 64))}
    source, experiments = hosts.load(host), 60
    params = source.initial(run, data)
    exact = source.gradient_moments(run, params, data, Enumerate(), "program", batch_of(3), 0)
    truth = moments(*exact[:2], np.bincount(batch_of(3)), 0.0)
    assert truth.exact
    for objective in (REINFORCE(), RLOO(2)):
        batches = batch_of(40 * experiments, 20 * experiments)
        means, _, _ = source.gradient_moments(run, params, data, objective, "program", batches, 1)
        for names in (["encoder1.layers.0.weight", "encoder1.layers.0.bias"], ["prior"]):
            parts = [{n: np.split(means[n], experiments)[i] for n in names}
                     for i in range(experiments)]  # fmt: skip
            within = {n: np.ones(means[n].shape[1:]) for n in names}
            each = [measure(moments(p, within, np.full(20, 2), 0.0), truth, names) for p in parts]
            assert sum(e.bias > 2 * e.bias_error for e in each) <= 10
            assert sum(e.bias > 4 * e.bias_error for e in each) <= 1
            assert sum(e.bias_low > 0 for e in each) <= 9


def _seen(biases: list[tuple[float, ...]]) -> Any:
    """Returns what `ppgm.gradients` returns, of estimators with such biases in one group."""
    import xarray

    names = ("bias", "bias_error", "bias_low", "bias_high")
    cells = {k: [[b[i]] for b in biases] for i, k in enumerate(names)}
    cells |= {k: [[1.5]] * len(biases) for k in ("variance", "norm", "snr")}
    made = {k: (("estimator", "group"), v) for k, v in cells.items()}
    seconds = {"seconds": ("estimator", [0.001] * len(biases))}
    coords = {"estimator": [f"e{i}" for i in range(len(biases))], "group": ["encoder"],
              "site": ("group", ["z"])}  # fmt: skip
    return xarray.Dataset({**made, **seconds}, coords)


CLEAR, NONE, FEW, LACKING = (
    (0.5, 0.05, 0.4, 0.6), (0.01, 0.2, 0.0, 0.3), (0.1, np.inf, 0.0, np.inf), (np.nan,) * 4,
)  # fmt: skip


def test_a_bias_that_is_not_clear_is_shown_as_the_most_that_it_can_be() -> None:
    lines = table(_seen([CLEAR, NONE, FEW, LACKING])).splitlines()[2:]
    shown = [line.split("z", 1)[1].split("1.5")[0].strip() for line in lines]
    assert shown == ["0.5 ± 0.05", "< 0.3", "unknown", ""]
    bare = table(_seen([LACKING, LACKING]))
    assert "bias" not in bare
    assert "±" not in bare


def test_the_picture_tells_a_bias_from_none() -> None:
    """A filled point with its interval, an open triangle at the most, and no panel without."""
    pytest.importorskip("matplotlib")
    figure = plots_gradients.gradients(_seen([CLEAR, NONE, FEW, LACKING]))
    axes = figure.axes[0]
    assert axes.get_xlabel() == "bias (open: at most)"
    points = [c.get_offsets().data for c in axes.collections if hasattr(c, "get_sizes")]
    assert sorted(float(p[0, 0]) for p in points if len(p)) == [0.3, 0.5]
    assert figure.axes[-1].get_xlabel() == "ms a draw"
    assert len(figure.axes) == 4
    assert len(plots_gradients.gradients(_seen([LACKING])).axes) == 3


def test_no_labels_of_the_picture_overlap() -> None:
    """Neither over many decades nor within one."""
    pytest.importorskip("matplotlib")
    for values in ([1e-7, 3.0, 1e4], [0.41, 0.52, 0.57], [2.0, 2.0, 2.0]):
        found = _seen([(v, v / 9, v / 2, 2 * v) for v in values])
        found.snr[:, 0] = values
        figure = plots_gradients.gradients(found)
        figure.draw_without_rendering()
        for axes in figure.axes:
            low, high = axes.get_xlim()
            inside = [
                label.get_window_extent()
                for which in ("major", "minor")
                for tick, label in zip(axes.get_xticks(minor=which == "minor"),
                                       axes.get_xticklabels(which=which), strict=True)
                if low <= tick <= high and label.get_text()
            ]  # fmt: skip
            boxes = sorted(inside, key=lambda box: box.x0)
            assert all(a.x1 < b.x0 for a, b in zip(boxes, boxes[1:], strict=False))
            assert boxes


def test_estimators_of_a_sigmoid_belief_net(host: str) -> None:
    """Unbiased ones have no bias beyond its error, and the published order of variances holds."""
    run = ppgm.program(SBN(5, (4, 3)), host=host)
    named = {"reinforce": REINFORCE(baseline=0.0), "nvil": NVIL(), "vimco": VIMCO(4)}
    reference = {"reinforce": Enumerate(), "nvil": Enumerate(), "vimco": VIMCO(4)}
    draws = 150 if host == "pyro" else 600
    found = ppgm.gradients(
        run, BITS, named, reference=reference, draws=draws, reference_draws=2 * draws
    )
    for layer in ("encoder1", "encoder2"):
        at = found.sel(group=layer)
        assert at.side == "guide"
        assert at.site == f"h{layer[-1]}"
        variance = at.variance.sel(estimator=["vimco", "nvil", "reinforce"]).values
        assert variance[0] < variance[1] < variance[2]
        assert variance[2] > 3 * variance[1]
    raw = found.sel(estimator=["reinforce", "vimco"])
    assert (raw.bias <= 5 * raw.bias_error).all()


def test_a_biased_estimator_is_seen_to_be(host: str) -> None:
    run = ppgm.program(VAE(5, 2, hidden=(4,), likelihood=Gaussian(0.3)), host=host)
    draws = 300 if host == "pyro" else 4000
    found = ppgm.gradients(
        run, REAL, {"dreg": DReG(5), "stl": IWAE(5, gradient="stl")}, reference=DReG(5),
        draws=draws, reference_draws=draws,
    ).sel(group="encoder")  # fmt: skip
    at = found.sel(estimator="dreg")
    assert at.bias <= 5 * at.bias_error
    assert found.sel(estimator="stl").bias > 3 * found.sel(estimator="stl").bias_error


@pytest.mark.parametrize(("name", "wanted"), [("path", -0.5), ("dreg", 0.5)])
def test_slopes_of_signal_to_noise(name: str, wanted: float) -> None:
    """Rainforth et al. (2018), Tucker et al. (2019); the hosts' estimators are the same."""
    pytest.importorskip("numpyro")
    run, counts = ppgm.program(Line(), host="numpyro"), (8, 32, 128)
    found = ppgm.gradients(
        run, {"x": np.array([0.7, -1.2])}, {str(k): IWAE(k, gradient=name) for k in counts},
        draws=60_000,
    )  # fmt: skip
    snr = found.snr.sel(group="b").values
    assert np.polyfit(np.log(counts), np.log(snr), 1)[0] == pytest.approx(wanted, abs=0.1)


def test_sticking_the_landing_has_no_variance_at_the_posterior(host: str) -> None:
    precision = 1 + 0.9**2 / 0.25
    exact = Line(0.9 / 0.25 / precision, -np.log(precision) / 2)
    run, data = ppgm.program(exact, host=host), {"x": np.array([0.7, -1.2, 0.1])}
    found = ppgm.gradients(run, data, {"stl": STL(), "elbo": ELBO()}, draws=50)
    guide = found.sel(group=["b", "c"]).variance
    np.testing.assert_allclose(guide.sel(estimator="stl").values, 0, atol=1e-25)
    assert (guide.sel(estimator="elbo").values > 1e-3).all()


def test_a_reference_is_for_its_own_bound(host: str) -> None:
    """VIMCO has no bias against an ELBO; by name, anything is compared with anything."""
    run = ppgm.program(SBN(5, (2,)), host=host)
    asked = {"rloo": RLOO(2), "vimco": VIMCO(3), "nvil": NVIL(hidden=None)}
    found = ppgm.gradients(run, BITS, asked, reference=Enumerate(), draws=4)
    assert list(found.reference.values) == ["Enumerate(particles=1)", "", "Enumerate(particles=1)"]
    known = np.isfinite(found.bias).all("group").values
    assert list(known) == [True, False, True]
    named = ppgm.gradients(run, BITS, asked, reference={"vimco": Enumerate()}, draws=4)
    assert list(named.reference.values) == ["", "Enumerate(particles=1)", ""]
    assert np.isfinite(named.bias.sel(estimator="vimco")).all()


def test_what_is_one_bound() -> None:
    """The gradient's estimator is no part of a bound; what its expectation depends on is."""
    same: list[list[Any]] = [
        [ELBO(), ELBO(7, gradient="rloo"), RLOO(2), STL(), NVIL(), Enumerate(),
         ELBO(enumerate=("y",)), 1.0 * ELBO()],
        [IWAE(5), VIMCO(5), DReG(5), IWAE(5, gradient="dreg"), Renyi(0.0, 5)],
        [IWAE(6)], [IWAE(5, enumerate=("y",))], [ELBO(beta=0.5)], [Renyi(-1.0, 5)], [CUBO(2.0, 5)],
        [ELBO(free_bits=0.1)], [ELBO(2, free_bits=0.1)], [ELBO(site_weights={"x": 2.0})],
        [RWS(5)], [RWS(5, sleep=1.0)], [WakeSleep()], [2.0 * ELBO()],
        [SemiSupervised(), SemiSupervised(ELBO(3)), ELBO() + Classification()],
        [SemiSupervised(weight=2.0)],
    ]  # fmt: skip
    keys = [[bound_of(o) for o in group] for group in same]
    for i, group in enumerate(keys):
        assert all(key == group[0] for key in group), same[i]
        assert not any(group[0] == other[0] for other in keys[:i]), same[i]


def test_an_exact_reference_is_evaluated_a_few_times(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    asked, source = [], hosts.load(host)
    before = source.gradient_moments

    def counted(*given: Any) -> Any:
        asked.append((type(given[3]).__name__, len(given[5])))
        return before(*given)

    monkeypatch.setattr(source, "gradient_moments", counted)
    run = ppgm.program(SBN(5, (2,)), host=host)
    ppgm.gradients(run, BITS, {"a": RLOO(2), "b": ELBO()}, reference=Enumerate(), draws=30)
    assert asked == [("Enumerate", 3), ("RLOO", 30), ("ELBO", 30)]
    asked.clear()
    ppgm.gradients(run, BITS, [ELBO()], reference=RLOO(2), draws=3)
    assert asked == [("RLOO", 60), ("ELBO", 3)]


def test_every_player_of_a_game_is_measured(host: str) -> None:
    run, data = ppgm.program(Generator(5), host=host), {"x": REAL["x"]}
    game = GAN(critic=MLP(5, (3,), 1))
    found = ppgm.gradients(run, data, {"gan": game}, draws=4)
    assert list(found.estimator.values) == ["gan, critic", "gan, generator"]
    assert list(found.group.values) == ["critic", "generator"]
    assert np.isfinite(found.variance.values).tolist() == [[True, False], [False, True]]


REFUSED: dict[str, tuple[dict[str, Any], type, str]] = {
    "one draw": ({"draws": 1}, ArgumentError, "draws must be an integer of at least 2"),
    "half a draw": ({"draws": 2.5}, ArgumentError, "not 2.5"),
    "words for draws": ({"draws": "9"}, ArgumentError, "not '9'"),
    "no draws of the reference": ({"reference_draws": 0}, ArgumentError, "of at least 2.*not 0"),
    "one draw of the reference": ({"reference_draws": 1}, ArgumentError, "of at least 2.*not 1"),
    "less than none": ({"reference_draws": -1}, ArgumentError, "of at least 2.*not -1"),
    "a seed below 0": ({"seed": -1}, ArgumentError, "seed must be an integer of at least 0"),
    "no objectives": ({"objectives": None}, ArgumentError, "objectives must be .*, not None"),
    "none of them": ({"objectives": []}, ArgumentError, "objectives is empty"),
    "a word": ({"objectives": {"elbo": "elbo"}}, ArgumentError, "must be an objective"),
    "a class": ({"objectives": [ELBO]}, ArgumentError, "must be an objective"),
    "equal objectives": ({"objectives": [ELBO(), ELBO()]}, ArgumentError, "ELBO.* twice"),
    "a word for a reference": ({"reference": "enumerate"}, ArgumentError, "not 'enumerate'"),
    "a reference for nothing": ({"reference": {"b": ELBO()}}, ArgumentError, r"names \['b'\]"),
    "two references": ({"reference": [RLOO(2), ELBO()]}, ArgumentError, "of one bound"),
    "no dict": ({"data": BITS["x"]}, DataError, "data must be a dict.*not ndarray"),
    "no data": ({"data": {}}, PpgmError, "x"),
    "another name": ({"data": {"X": BITS["x"]}}, DataError, "'X'.*did you mean 'x'"),
    "no number": ({"data": {"x": BITS["x"] * np.nan}}, DataError, "NaN"),
    "no bits": ({"data": {"x": BITS["x"] * 2}}, DataError, "outside the support"),
    "the wrong sites": ({"objectives": [DReG(3)]}, EstimatorError, "'h1' is Bernoulli"),
    "a reference for other sites": ({"reference": DReG(3)}, EstimatorError, "'h1' is Bernoulli"),
    "no program": ({"program": SBN(5, (2,))}, ArgumentError, "a program or a Fit, not SBN"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_microscope_refuses(
    case: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is measured."""

    def measured(*_: Any) -> None:
        raise AssertionError("it was measured first")

    monkeypatch.setattr(hosts.load(host), "gradient_moments", measured)
    given, error, words = REFUSED[case]
    usual = {
        "program": ppgm.program(SBN(5, (2,)), host=host),
        "data": BITS,
        "objectives": [ELBO()],
    }
    if "a reference for other" in case:
        given = {**given, "objectives": [IWAE(3)]}
    with pytest.raises(error, match=words):
        ppgm.gradients(**{**usual, **given})


def test_the_first_draws_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer on Pyro, which fills caches; here 100 s, where another takes 1 s."""
    pytest.importorskip("pyro")
    from ppgm import host_pyro_probe

    clock = [0.0]

    class Slow(ELBO):
        def __call__(self, view: Any, player: str) -> Any:
            clock[0] += 1.0 if clock[0] >= 100 else 100.0
            return super().__call__(view, player)

    monkeypatch.setattr(host_pyro_probe, "perf_counter", lambda: clock[0])
    run = ppgm.program(SBN(5, (2,)), host="pyro")
    assert ppgm.gradients(run, BITS, [Slow()], draws=10).seconds.values == pytest.approx(1.0)
    assert ppgm.gradients(run, BITS, [Slow()], draws=2).seconds.values == pytest.approx(1.0)


def test_networks_of_another_shape_than_the_fits_are_refused(host: str) -> None:
    run = ppgm.program(SBN(5, (2,)), host=host)
    fit = ppgm.fit(run, BITS, NVIL(hidden=(3,)), steps=1, progress=False)
    with pytest.raises(ArgumentError, match="'baseline.* has shape"):
        ppgm.gradients(fit, BITS, [NVIL(hidden=(4,))])


def test_commands(tmp_path: Any) -> None:
    host = "numpyro"
    pytest.importorskip(host)
    folder = tmp_path / "run"
    runner = CliRunner()

    def call(*words: Any) -> str:
        result = runner.invoke(cli, [str(w) for w in words])
        assert result.exit_code == 0, result.output
        return result.output

    call("fit", "sbn", "--host", host, "--set", "layers=3", "--steps", 2, "--no-pictures",
         "--out", folder)  # fmt: skip
    assert "biased: relaxed draws" in call("estimators", folder, "--rows", 4)
    out, small = tmp_path / "gradients.png", ("--draws", 5, "--rows", 4)
    text = call("gradients", folder, "--objective", "vimco:particles=3", "--objective", "rloo",
                "--reference", "enumerate", *small, "--out", out)  # fmt: skip
    rows = {line.split()[0]: line for line in text.splitlines() if "encoder1" in line}
    assert "<" in rows["rloo"] or "±" in rows["rloo"]
    assert "<" not in rows["vimco:particles=3"]
    assert "±" not in rows["vimco:particles=3"]
    assert "no bias of vimco:particles=3: no --reference is of its bound" in text
    assert out.stat().st_size > 10000
    bare = call("gradients", folder, "--objective", "elbo:site_weights=x:2,h1:0.5", *small)
    assert "bias" not in bare
    assert "±" not in bare
    twice = runner.invoke(cli, ["gradients", str(folder), *["--objective", "elbo"] * 2])
    assert twice.exit_code == 1
    assert "--objective elbo is given twice" in twice.output
