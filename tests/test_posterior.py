"""Posteriors as ArviZ objects, files and text, on ArviZ 0.23 and 1.x."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ppgm.errors import ArgumentError, MissingDependencyError, StorageError
from ppgm.evaluation import Evidence
from ppgm.posterior import Posterior, load

az = pytest.importorskip("arviz")
pytest.importorskip("h5netcdf")

MAJOR = int(version("arviz").split(".")[0])
CHAINS, DRAWS, SCHOOLS = 2, 100, 4


def schools(**changes: Any) -> Posterior:
    """Eight schools, nearly: global mu, theta in a plate with a two-dimensional event."""
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(CHAINS, DRAWS, SCHOOLS, 2))
    log_weight = rng.normal(size=(CHAINS, DRAWS, SCHOOLS))
    posterior = Posterior(
        draws={"theta": theta, "mu": rng.normal(size=(CHAINS, DRAWS)).astype(np.float32)},
        sample_stats={"lp": log_weight - 3, "log_q": np.full_like(log_weight, -3.0)},
        log_likelihood={"y": -0.5 * (1 + theta.sum(-1) ** 2)},
        observed={"y": np.arange(SCHOOLS * 3).reshape(SCHOOLS, 3)},
        constants={"sigma": np.ones(SCHOOLS)},
        dims={
            "theta": ("school", "side"),
            "y": ("school", "try"),
            "sigma": ("school",),
            "lp": ("school",),
            "log_q": ("school",),
            "k_hat": ("school",),
        },
        coords={"school": ["a", "b", "c", "d"], "side": np.array([-0.5, 0.5])},
        k_hat=np.array([0.1, 0.2, 0.75, np.nan]),
        attrs={
            "inference_method": "svi",
            "objective": "IWAE(particles=5)",
            "host": "numpyro",
            "seed": 7,
            "iid_draws": True,
            "config": {"particles": 5, "on": None},
        },
    )
    return posterior._replace(**changes)


def groups(exported: Any) -> set[str]:
    return set(exported.groups()) if MAJOR < 1 else set(exported.children)


def test_groups_dims_coords_and_attrs() -> None:
    exported = schools().to_arviz()
    assert groups(exported) == {
        "posterior", "sample_stats", "log_likelihood", "observed_data", "constant_data",
        "diagnostics",
    }  # fmt: skip
    posterior = exported["posterior"]
    assert posterior["theta"].dims == ("chain", "draw", "school", "side")
    assert posterior["mu"].dims == ("chain", "draw")
    assert exported["log_likelihood"]["y"].dims == ("chain", "draw", "school")
    assert exported["observed_data"]["y"].dims == ("school", "try")
    assert exported["sample_stats"]["lp"].dims == ("chain", "draw", "school")
    assert exported["diagnostics"]["k_hat"].dims == ("school",)
    assert list(posterior["school"].values) == ["a", "b", "c", "d"]
    assert list(exported["observed_data"]["try"].values) == [0, 1, 2]
    np.testing.assert_array_equal(posterior["theta"].values, schools().draws["theta"])
    assert posterior["mu"].dtype == np.float32
    for attrs in (exported.attrs, posterior.attrs):
        assert attrs["inference_library"] == "ppgm"
        assert attrs["inference_method"] == "svi"
        assert attrs["seed"] == 7
        assert attrs["sample_dims"] == ["chain", "draw"]
        assert json.loads(attrs["config"]) == {"particles": 5, "on": None}


def test_container_is_that_of_the_installed_arviz() -> None:
    import xarray

    kind = az.InferenceData if MAJOR < 1 else xarray.DataTree
    assert type(schools().to_arviz()) is kind
    assert type(schools().to_datatree()) is xarray.DataTree


def test_arviz_runs_with_its_default_arguments() -> None:
    # A likelihood that hardly depends on the draws, so that loo has nothing to warn of.
    calm = {"y": -1 + 0.01 * schools().draws["theta"].sum(-1)}
    exported = schools(log_likelihood=calm).to_arviz()
    table = az.summary(exported)
    assert "mu" in table.index
    assert "theta[a, -0.5]" in table.index
    loo = az.loo(exported)
    assert loo.n_data_points == SCHOOLS
    value = loo.elpd_loo if MAJOR < 1 else loo.elpd
    assert value == pytest.approx(-SCHOOLS, abs=0.1)
    assert set(az.ess(exported)["theta"].dims) == {"school", "side"}


def test_only_what_is_there_is_exported() -> None:
    exported = Posterior({"z": np.zeros((1, 5, 3))}).to_arviz()
    assert groups(exported) == {"posterior"}
    assert exported["posterior"]["z"].dims == ("chain", "draw", "z_event0")


def test_scalar_k_hat_of_a_global_latent() -> None:
    exported = Posterior({"mu": np.zeros((1, 5))}, k_hat=np.float64(0.4)).to_arviz()
    assert exported["diagnostics"]["k_hat"].item() == 0.4


def test_names_that_xarray_cannot_hold_are_resolved() -> None:
    posterior = Posterior(
        draws={"x": np.zeros((1, 3, 2)), "net/z": np.ones((1, 3, 2)), "net.z": np.zeros((1, 3))},
        dims={"x": ("x",), "net/z": ("x",)},  # a plate named like a site
        coords={"x": ["left", "right"]},
    )
    exported = posterior.to_arviz()["posterior"]
    assert exported["x"].dims == ("chain", "draw", "x_dim")
    assert list(exported["x_dim"].values) == ["left", "right"]
    assert exported["net.z"].dims == ("chain", "draw", "x_dim")
    assert exported["net.z_"].dims == ("chain", "draw")


def test_a_plate_may_be_called_chain() -> None:
    exported = Posterior({"z": np.zeros((1, 3, 2))}, dims={"z": ("chain",)}).to_arviz()
    assert exported["posterior"]["z"].dims == ("chain", "draw", "chain_dim")


def assert_same(a: Any, b: Any) -> None:
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype.kind == b.dtype.kind
    if a.dtype.kind != "U":
        assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert a.astype(b.dtype).tobytes() == b.tobytes()


def strange() -> Posterior:
    """Every type and awkward value, under awkward names."""
    z = np.array([[[np.nan, -0.0], [np.inf, 5e-324], [-np.inf, 1 / 3]]])
    z.view(np.uint64)[0, 0, 0] = 0x7FF8000000000123  # a NaN with a payload
    return Posterior(
        draws={"z/y": z, "b": np.array([[True, False, True]]), "a b": np.zeros((1, 3, 0))},
        sample_stats={"tree_depth": np.array([[1, 2, 3]], np.int32)},
        log_likelihood={"ü": np.ones((1, 3), np.float32)},
        observed={"ü": np.float64(2.5), "label": np.array(["one", "two", "δ"])},
        dims={"z/y": ("z/y",), "nobody": ("unused",)},
        coords={"z/y": [10, 20], "draw": [5, 6, 7]},
        k_hat={"first": np.array(0.5), "second": np.array([np.inf])},
        attrs={"none": None, "on": True, "list": [1, 2], "rate": np.float64(0.1), "text": "a\nb"},
    )


@pytest.mark.parametrize("make", [schools, strange, lambda: Posterior({"z": np.zeros((2, 3))})])
def test_netcdf_round_trip_is_bitwise(tmp_path: Path, make: Any) -> None:
    before = make()
    before.save(tmp_path / "p.nc")
    after = load(tmp_path / "p.nc")
    for field in ("draws", "sample_stats", "log_likelihood", "observed", "constants", "coords"):
        old, new = getattr(before, field), getattr(after, field)
        assert list(old) == list(new)
        for name in old:
            assert_same(old[name], new[name])
    assert {n: tuple(d) for n, d in before.dims.items()} == after.dims
    assert json.dumps(after.attrs) == json.dumps({k: v for k, v in before.attrs.items()})
    if isinstance(before.k_hat, dict):
        assert list(before.k_hat) == list(after.k_hat)
        for name in before.k_hat:
            assert_same(before.k_hat[name], after.k_hat[name])
    elif before.k_hat is None:
        assert after.k_hat is None
    else:
        assert_same(before.k_hat, after.k_hat)
    assert list(tmp_path.iterdir()) == [tmp_path / "p.nc"]


def test_arviz_reads_the_file(tmp_path: Path) -> None:
    schools().save(tmp_path / "p.nc")
    read = az.from_netcdf(tmp_path / "p.nc")
    np.testing.assert_array_equal(read["posterior"]["theta"], schools().draws["theta"])
    assert read["posterior"]["theta"].dims == ("chain", "draw", "school", "side")


def test_storage_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        schools().save(tmp_path / "nowhere" / "p.nc")
    with pytest.raises(StorageError, match="missing.nc"):
        load(tmp_path / "missing.nc")
    (tmp_path / "text.nc").write_text("not netCDF")
    with pytest.raises(StorageError, match="text.nc"):
        load(tmp_path / "text.nc")
    schools().to_datatree().to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(StorageError, match="not written by `Posterior.save`"):
        load(tmp_path / "other.nc")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dims": {"mu": ("a",)}}, "dims of 'mu' are .*has 0 dimensions"),
        ({"dims": {"theta": ("a", "a")}, "coords": {}}, "dims of 'theta' name 'a' twice"),
        ({"coords": {"shcool": [1]}}, "'shcool' that no variable has.*did you mean 'school'"),
        ({"coords": {"school": [1]}}, "coords of 'school' has 1 labels.*has size 4"),
        ({"draws": {"a": np.zeros((2, 5)), "b": np.zeros((2, 6))}}, "'b' of draws has shape"),
        ({"draws": {"a": np.zeros(3)}}, "'a' of draws has shape .3,.: it must start with chain"),
        ({"draws": {"draw": np.zeros((2, 5))}, "sample_stats": {}}, "cannot be called 'draw'"),
        ({"draws": {"o": np.array([[None]])}}, "'o' has the type object"),
        ({"constants": {"sigma": np.ones(3), "s": np.ones(4)},
          "dims": {"sigma": ("p",), "s": ("p",)}, "coords": {}},
         "dimension 'p' has size 3 in 'sigma' and 4 in 's' of constants"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(changes: dict[str, Any], message: str) -> None:
    rest = {} if "sample_stats" in changes else {"log_likelihood": {}, "sample_stats": {}}
    with pytest.raises(ArgumentError, match=message):
        schools(**rest, **changes).to_datatree()


def test_mean_and_sd() -> None:
    posterior = Posterior({"z": np.array([[1.0, 2.0], [3.0, 6.0]])})
    assert posterior.mean()["z"] == 3.0
    assert posterior.sd()["z"] == pytest.approx(np.std([1, 2, 3, 6], ddof=1))
    assert Posterior({"z": np.ones((1, 1, 2))}).sd()["z"] == pytest.approx(0)


def test_text_summary_says_what_can_be_trusted() -> None:
    text = str(schools())
    assert "2 x 100 draws (svi, IWAE(particles=5), host numpyro, seed 7)" in text
    assert "0.1 .. 0.75 over 4 rows, 2 above 0.57, the limit for 200 draws, or NaN: do not" in text
    assert "ESS and MCSE: not applicable" in text
    assert "4 x 2" in text
    assert repr(schools()) == "<Posterior theta[2, 100, 4, 2], mu[2, 100]>"

    markov = str(Posterior({"z": np.zeros((1, 2))}, attrs={"iid_draws": False}))
    assert "not applicable" not in markov
    assert "k-hat" not in markov
    assert "all good" in str(Posterior({"z": np.zeros((1, 2))}, k_hat=np.array([0.28])))


@pytest.mark.parametrize(("particles", "limit"), [(100, 0.5), (1000, 2 / 3), (5000, 0.7)])
def test_posteriors_and_evidence_have_one_limit_of_k_hat(particles: int, limit: float) -> None:
    words = f"{limit:.2f}, the limit for {particles} draws,"
    for k, bad in ((limit - 0.01, 0), (limit + 0.01, 1)):
        ones, k_hat = np.ones(1), np.full(1, k)
        assert f"above {words} in {bad} of 1" in str(
            Evidence(ones, ones, ones, k_hat, None, particles)
        )
        for shape, attrs in (((1, 40), {"num_particles": particles}), ((2, particles // 2), {})):
            text = str(Posterior({"z": np.zeros(shape)}, k_hat=k_hat, attrs=attrs))
            assert (f"1 above {words} or NaN" in text) == bool(bad)
            assert ("all good" in text) != bool(bad)


def test_missing_arviz_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ppgm\[arviz\]'"):
        schools().to_arviz()


def test_importing_the_module_imports_no_heavy_package() -> None:
    code = (
        "import sys, ppgm.posterior, ppgm.diagnostics\n"
        "bad = {'arviz', 'xarray', 'torch', 'jax', 'matplotlib', 'pandas'} & set(sys.modules)\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
