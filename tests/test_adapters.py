"""Flows of zuko and of flowjax as posterior families, each on its own host."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ppgm
from ppgm import host as hosts
from ppgm.errors import ArgumentError, MissingDependencyError, ModelError
from ppgm.guides import FlowjaxFlow, ZukoFlow
from ppgm.inference import ELBO, IWAE
from ppgm.models import VAE, Gaussian
from ppgm.probes import probe
from ppgm.testing.contract import checks_for

D, L, N = 4, 3, 5
TOLERANCE = 1e-9
SMALL = {"transforms": 2, "hidden_features": (6,)}
ZUKO = {
    "nsf": ZukoFlow("NSF", SMALL | {"bins": 4}),
    "maf": ZukoFlow("MAF", SMALL),
    "coupling": ZukoFlow("NICE", SMALL),
    "no summary": ZukoFlow("NSF", SMALL | {"bins": 4}, summary=0),
}
WIDE = {"flow_layers": 2, "nn_width": 6}
FLOWJAX = {
    "splines": FlowjaxFlow(knots=4, options=WIDE),
    "affine": FlowjaxFlow(knots=0, options=WIDE),
    "coupling": FlowjaxFlow("coupling_flow", knots=4, options=WIDE),
    "no summary": FlowjaxFlow(knots=4, options=WIDE, summary=0),
}

pytestmark = pytest.mark.usefixtures("f64")


@pytest.fixture
def zuko() -> Any:
    pytest.importorskip("zuko")
    from ppgm import host_pyro_zuko

    return host_pyro_zuko


@pytest.fixture
def flowjax() -> Any:
    pytest.importorskip("flowjax")
    from ppgm import host_numpyro_flowjax

    return host_numpyro_flowjax


def vae(family: Any) -> VAE:
    return VAE(D, L, (4,), Gaussian(0.7), family)


def numbers(array: Any) -> np.ndarray:
    return np.asarray(array.detach() if hasattr(array, "detach") else array)


# zuko.


@pytest.mark.parametrize("name", ZUKO)
def test_maps_of_zuko_have_their_log_determinants(
    zuko: Any, name: str, rng: np.random.Generator
) -> None:
    """Both ways by autodiff; draws ``(2, N, L)`` of contexts ``(N, C)``."""
    import torch

    family = ZUKO[name]
    size = family.extra(L)
    net = zuko.ZukoNet(family.flow, L, size, family.options)
    module = net.build(net.initial(3, "net"), torch.float64)
    context = torch.as_tensor(rng.normal(size=(N, size))) if size else None
    x = torch.as_tensor(rng.normal(size=(2, N, L)))
    flow = zuko.ZukoMap(module, context)
    y, there = flow.forward(x)
    back, home = flow.inverse(y)
    assert there.shape == (2, N)
    np.testing.assert_allclose(numbers(back), numbers(x), atol=TOLERANCE)
    np.testing.assert_allclose(numbers(home), -numbers(there), atol=TOLERANCE)
    alone = zuko.ZukoMap(module, None if context is None else context[1])
    jacobian = torch.autograd.functional.jacobian(lambda v: alone.forward(v)[0], x[0, 1])
    wanted = np.linalg.slogdet(jacobian.numpy())[1]
    np.testing.assert_allclose(numbers(there)[0, 1], wanted, atol=TOLERANCE)
    assert np.abs(numbers(y - x)).max() > 1e-3


def test_the_density_is_the_one_that_zuko_has(zuko: Any, rng: np.random.Generator) -> None:
    """Of the same parameters, as a distribution of zuko, scaled and shifted by hand."""
    import torch

    program = ppgm.program(vae(ZUKO["nsf"]), host="pyro")
    x, z = rng.normal(size=(N, D)), rng.normal(size=(2, N, L))
    params = hosts.load("pyro").initial(program, {"x": x}, 0)
    found = hosts.load("pyro").log_density(program, params, {"x": x}, {"z": z}, "guide")["z"]

    hidden = np.tanh(x @ params["encoder.layers.0.weight"].T + params["encoder.layers.0.bias"])
    outputs = hidden @ params["encoder.layers.1.weight"].T + params["encoder.layers.1.bias"]
    library = zuko.import_zuko()
    flow = library.flows.NSF(L, L, **dict(ZUKO["nsf"].options)).to(torch.float64)
    mine = {n.removeprefix("z.zuko."): torch.as_tensor(v.copy()) for n, v in params.items()
            if n.startswith("z.zuko.")}  # fmt: skip
    flow.load_state_dict(mine, strict=False)
    context = torch.as_tensor(outputs[:, 2 * L :])
    base = library.distributions.DiagNormal(torch.zeros(N, L), torch.ones(N, L))
    q = library.distributions.NormalizingFlow(flow.transform(context).inv, base)
    loc, log_scale = outputs[:, :L], outputs[:, L : 2 * L]
    white = torch.as_tensor((z - loc) / np.exp(log_scale))
    wanted = numbers(q.log_prob(white)) - log_scale.sum(-1)
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)


def test_importing_zuko_leaves_checks_of_arguments_on() -> None:
    """In a process of its own, by the family itself; without the care they would be off."""
    pytest.importorskip("zuko")
    code = """
import numpy as np, torch, pyro, ppgm
from ppgm.guides import ZukoFlow
from ppgm.inference import ELBO
from ppgm.models import VAE
program = ppgm.program(VAE(3, 2, (4,), posterior=ZukoFlow()), host="pyro")
ppgm.fit(program, {"x": np.eye(3)}, ELBO(), steps=1, progress=False)
import zuko
for family in (torch.distributions, pyro.distributions):
    try:
        family.Normal(0.0, -1.0)
        print("unchecked")
    except ValueError:
        print("checked")
"""
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.split() == ["checked", "checked"], done.stderr
    bare = "import torch, zuko; torch.distributions.Normal(0.0, -1.0); print('unchecked')"
    done = subprocess.run([sys.executable, "-c", bare], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "unchecked", done.stderr


@pytest.mark.parametrize("name", ["nsf", "coupling"])
def test_zuko_keeps_the_contract(zuko: Any, name: str, rng: np.random.Generator) -> None:
    for check in checks_for(vae(ZUKO[name]), data={"x": rng.normal(size=(3, D))}, hosts=["pyro"]):
        check.run()


def test_what_zuko_cannot_be(zuko: Any) -> None:
    with pytest.raises(ArgumentError, match="did you mean 'NSF'"):
        ppgm.program(vae(ZukoFlow("NFS")), host="pyro").sites({"x": np.eye(D)})
    with pytest.raises(ArgumentError, match="standard normal noise of 3 coordinates"):
        ppgm.program(vae(ZukoFlow("NCSF", SMALL)), host="pyro").sites({"x": np.eye(D)})


# flowjax.


@pytest.mark.parametrize(
    "name",
    [n if n == "affine" else pytest.param(n, marks=pytest.mark.slow) for n in FLOWJAX],
)
def test_maps_of_flowjax_have_their_log_determinants(
    flowjax: Any, name: str, rng: np.random.Generator
) -> None:
    import jax

    family = FLOWJAX[name]
    size = family.extra(L)
    net = flowjax.FlowjaxNet(family.flow, L, size, family.knots, family.interval, family.options)
    weights = {n: v + 0.3 * rng.normal(size=v.shape) for n, v in net.initial(3, "net").items()}
    module = net.build(weights, "float64")
    context = rng.normal(size=(N, size)) if size else None
    x = rng.normal(size=(2, N, L))

    @jax.jit
    def everything(x: Any) -> Any:
        flow = flowjax.FlowjaxMap(module(), context)
        alone = flowjax.FlowjaxMap(module(), None if context is None else context[1])
        y, there = flow.forward(x)
        jacobian = jax.jacrev(lambda v: alone.forward(v)[0])(x[0, 1])
        return y, there, *flow.inverse(y), jacobian

    y, there, back, home, jacobian = map(numbers, everything(x))
    assert there.shape == (2, N)
    np.testing.assert_allclose(back, x, atol=TOLERANCE)
    np.testing.assert_allclose(home, -there, atol=TOLERANCE)
    np.testing.assert_allclose(there[0, 1], np.linalg.slogdet(jacobian)[1], atol=TOLERANCE)
    assert np.abs(y - x).max() > 1e-3


def test_what_is_drawn_beside_parameters_is_always_alike(flowjax: Any) -> None:
    """Two seeds differ in their parameters, not in the order of the coordinates."""
    net = flowjax.FlowjaxNet("coupling_flow", L, 0, 0, 4.0, tuple(WIDE.items()))
    one, two = (net.initial(seed, "net") for seed in (0, 1))
    assert any(np.abs(one[n] - two[n]).max() > 1e-3 for n in one)
    x = np.arange(3.0)
    zeros = {n: np.zeros_like(v) for n, v in one.items()}
    first, again = (numbers(net.build(zeros, "float64")().transform(x)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.slow
def test_flowjax_keeps_the_contract(flowjax: Any, rng: np.random.Generator) -> None:
    data = {"x": rng.normal(size=(3, D))}
    for check in checks_for(vae(FLOWJAX["splines"]), data=data, hosts=["numpyro"]):
        check.run()


def test_what_flowjax_cannot_be(flowjax: Any) -> None:
    with pytest.raises(ArgumentError, match="did you mean 'coupling_flow'"):
        ppgm.program(vae(FlowjaxFlow("couplng_flow")), host="numpyro").sites({"x": np.eye(D)})


# Both.

EACH = {"pyro": ZUKO["nsf"], "numpyro": FLOWJAX["affine"]}
PACKAGES = {"pyro": "zuko", "numpyro": "flowjax"}


def test_a_bound_with_an_adapter_is_trained_and_saved(host: str, tmp_path: Any) -> None:
    pytest.importorskip(PACKAGES[host])
    x = np.random.default_rng(0).normal(size=(20, D)) * 2
    program = ppgm.program(vae(EACH[host]), host=host)
    fit = ppgm.fit(
        program, {"x": x}, ELBO(8), epochs=40, progress=False, optimiser=ppgm.optimisers.Adam(0.02)
    )
    assert fit.history["bound"][-1] > fit.history["bound"][0] + 1
    one = probe(program, fit.params, {"x": x}, IWAE(4), seed=1).loss
    fit.save(tmp_path / "run")
    again = ppgm.load(tmp_path / "run")
    assert again.program.declaration == program.declaration
    assert probe(again.program, again.params, {"x": x}, IWAE(4), seed=1).loss == one
    start = hosts.load(host).initial(program, {"x": x}, 0)
    moved = [n for n, v in start.items() if np.abs(fit.params[n] - v).max() > 0]
    assert any(n.startswith(f"z.{PACKAGES[host]}.") for n in moved)


def test_the_wrong_host_is_refused(host: str) -> None:
    other = {"pyro": FLOWJAX["affine"], "numpyro": ZUKO["maf"]}[host]
    with pytest.raises(ModelError, match=r"on host '\w+' only, .* use Spline"):
        ppgm.program(vae(other), host=host).sites({"x": np.eye(D)})


def test_a_missing_library_is_named(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ppgm.guides.noise_flows.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ppgm\[flows\]'"):
        ppgm.program(vae(EACH[host]), host=host).sites({"x": np.eye(D)})


@pytest.mark.parametrize("kind", [ZukoFlow, FlowjaxFlow])
def test_options_are_pairs(kind: Any) -> None:
    made = kind(options={"a": 1, "b": (2,)})
    assert made.options == (("a", 1), ("b", (2,)))
    assert hash(made) == hash(kind(options=(("a", 1), ("b", (2,)))))
    for wrong in (3, ["a"], (("a", 1, 2),), ((1, 2),)):
        with pytest.raises(ArgumentError, match="options must be a dict"):
            kind(options=wrong)
    with pytest.raises(ArgumentError, match="summary must be an integer"):
        kind(summary=-1)
