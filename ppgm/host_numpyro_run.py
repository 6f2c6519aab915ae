"""One run of a NumPyro program: its statements, its parameters, its terms."""

__all__ = [
    "PARTICLES",
    "Setup",
    "constrain",
    "flatten",
    "is_auxiliary",
    "open_setup",
    "plates_of",
    "refuse_mutable",
    "run",
    "to_term",
    "unconstrain",
    "unflatten",
]

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array
from jax.core import Tracer
from numpyro import handlers
from numpyro.distributions import (
    ExpandedDistribution,
    Independent,
    MaskedDistribution,
    MultivariateNormal,
    Normal,
    Unit,
    biject_to,
)
from numpyro.primitives import Messenger

from ppgm.errors import ModelError
from ppgm.host_numpyro_keys import JaxRng, Seed
from ppgm.host_numpyro_one_hot import OneHotCategorical
from ppgm.host_numpyro_ops import to_array, to_numpy
from ppgm.host_numpyro_ppl import PortableDistribution, base_of
from ppgm.programs import Program, seeded
from ppgm.relaxations import relaxed_bits, relaxed_one_hot
from ppgm.sites import Plate
from ppgm.terms import PLAIN, Ask, Term

Params = dict[str, Any]
"""Parameters by NumPyro's names; the value of a network is a pytree."""


PARTICLES = "_particles"
"""Name of the plate over particles, outside all plates of the program."""


class Setup(NamedTuple):
    """A program with its parameters.

    Attributes:
        program: The program.
        params: Constrained parameters.
        constraints: Constraint of each.
        groups: Names of the parameters of each side.
        dims: Number of plate axes.
    """

    program: Program
    params: Params
    constraints: dict[str, Any]
    groups: dict[str, tuple[str, ...]]
    dims: int


class Detach(Messenger):
    """Cuts gradients through draws that are not reparameterised, or through all draws.

    A value that was given keeps its gradients, whatever the site's own distribution: the guide's
    draw is reparameterised where the model's prior, a mixture for instance, is not.

    Args:
        call: The program.
        ask: Whether all draws are cut, or some relaxed.
        given: Values of sites that are not drawn.
    """

    def __init__(
        self, call: Callable[..., Any] | None, ask: Ask, given: Mapping[str, Any]
    ) -> None:
        self.ask, self.given = ask, given
        super().__init__(call)

    def postprocess_message(self, msg: Any) -> None:
        """Makes the value of such a site constant."""
        if msg["type"] != "sample" or msg["is_observed"]:
            return
        relaxed = self.ask.relaxed is not None and can_relax(msg)
        kept = relaxed or msg["name"] in self.given
        if self.ask.detached or not (msg["fn"].has_rsample or kept):
            msg["value"] = jax.lax.stop_gradient(msg["value"])
            msg["intermediates"] = []  # the density of the draw goes through the draw


class Relax(Messenger):
    """Draws relaxed bits and one-hot vectors in place of exact ones.

    Args:
        call: The program.
        rng: Keys of the noise.
        temperature: Temperature of the relaxation.
        hard: Whether the values are rounded.
    """

    def __init__(
        self, call: Callable[..., Any], rng: JaxRng, temperature: Any, *, hard: bool
    ) -> None:
        self.rng, self.temperature, self.hard = rng, temperature, hard
        super().__init__(call)

    def process_message(self, msg: Any) -> None:
        """Gives such a site its relaxed value."""
        if msg["type"] != "sample" or msg["value"] is not None or not can_relax(msg):
            return
        logits = whole_logits(msg["fn"])
        noise = self.rng.uniform(logits.shape)
        relax = relaxed_bits if _is_bits(msg["fn"]) else relaxed_one_hot
        msg["value"] = relax(logits, noise, self.temperature, hard=self.hard)


def can_relax(msg: Any) -> bool:
    """Tells a draw of bits or of a one-hot vector."""
    vector = isinstance(base_of(msg["fn"]), OneHotCategorical)
    return kind_of(msg) == "latent" and (vector or _is_bits(msg["fn"]))


def _is_bits(fn: Any) -> bool:
    return isinstance(base_of(fn), dist.BernoulliProbs | dist.BernoulliLogits)


def whole_logits(fn: Any) -> Array:
    """Returns the logits of a site, in the shape of its value."""
    base = base_of(fn)
    return jnp.broadcast_to(base.logits, tuple(fn.batch_shape) + tuple(fn.event_shape))


class Inject(Messenger):
    """Gives sites values, or Gaussian ones standard normal noise, in place of draws.

    Args:
        call: The program.
        values: Values by site, ``(*batch, *event)`` or with an axis of particles before.
        noise: Noise by site, likewise.
    """

    def __init__(
        self, call: Callable[..., Any], values: Mapping[str, Array], noise: Mapping[str, Array]
    ) -> None:
        self.values, self.noise = values, noise
        super().__init__(call)

    def process_message(self, msg: Any) -> None:
        """Gives the value of a site that has one."""
        if msg["type"] != "sample" or msg["value"] is not None:
            return
        fn, name = msg["fn"], msg["name"]
        if name in self.values:
            msg["value"] = _aligned(self.values[name], fn)
        elif name in self.noise:
            noise, base = _aligned(self.noise[name], fn), base_of(fn)
            if isinstance(base, PortableDistribution):
                msg["value"], log_p = _pushed(base, noise)
                msg["intermediates"] = [log_p]
            else:
                msg["value"] = _from_noise(base, noise)


def _aligned(value: Array, fn: Any) -> Array:
    """Gives ``(K, *batch, *event)`` the axes of plates between particles and batch."""
    spare = len(fn.batch_shape) + len(fn.event_shape) - jnp.ndim(value)
    if spare <= 0 or not jnp.ndim(value):
        return value
    return jnp.reshape(value, value.shape[:1] + (1,) * spare + value.shape[1:])


def _pushed(fn: PortableDistribution, noise: Any) -> tuple[Array, Array]:
    if not hasattr(fn.portable, "push"):
        raise ModelError(f"{type(fn.portable).__name__} is no function of Gaussian noise")
    return fn.push(noise)


def _from_noise(fn: Any, noise: Any) -> Any:
    if isinstance(fn, MultivariateNormal):
        return fn.loc + (fn.scale_tril @ noise[..., None])[..., 0]
    if isinstance(fn, Normal):
        return fn.loc + fn.scale * noise
    raise ModelError(f"noise can be given to Gaussian sites only, not to {type(fn).__name__}")


def run(
    call: Callable[..., Any],
    params: Params,
    rng: JaxRng,
    data: Mapping[str, Any],
    *,
    args: tuple[Any, ...] = (),
    values: Mapping[str, Any] | None = None,
    plates: JaxRng | None = None,
    observe: bool = True,
    forced: Mapping[str, Array] | None = None,
    noise: Mapping[str, Array] | None = None,
    ask: Ask = PLAIN,
) -> dict[str, Any]:
    """Runs a program once and returns its statements by name.

    Args:
        call: Model or guide.
        params: Constrained parameters.
        rng: Keys of the draws.
        data: Keyword arguments.
        args: Positional arguments.
        values: Values of sites to use in place of draws.
        plates: Keys of subsampled plates, shared by particles; by default those of the draws.
        observe: Whether observed sites keep their values.
        forced: Values of sites, with an axis of particles where there is a plate of them.
        noise: Standard normal noise of Gaussian sites, to use in place of draws.
        ask: Whether draws are cut or relaxed.
    """
    call = call if observe else handlers.uncondition(call)
    call = handlers.substitute(call, data={**params, **(values or {})})
    call = Inject(call, forced or {}, noise or {}) if forced or noise else call
    if ask.relaxed is not None:
        temperature, hard = ask.relaxed
        call = Relax(call, rng, temperature, hard=hard)
    traced = handlers.trace(Seed(call, rng, plates or rng))
    with Detach(None, ask, values or {}):  # around the trace, which keeps what it sees first
        return traced.get_trace(*args, **data)


def open_setup(
    source: Program,
    data: Mapping[str, Any],
    params: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
) -> Setup:
    """Runs guide and model once to find the parameters, then sets those that are given.

    The run of a declaration is abstract where it allows it: shapes without numbers take
    milliseconds, and hundreds of operations compiled one by one take seconds. Programs of the
    host are run with numbers: an automatic guide keeps what it sees in its first run.
    """
    own, key = seeded(source, seed), jax.random.key(seed)
    arrays = {k: to_array(v) for k, v in data.items()}
    static = {k: v for k, v in arrays.items() if not isinstance(v, jax.Array)}
    traced = {k: v for k, v in arrays.items() if k not in static}
    setups: list[Setup] = []

    def find(key: Array, traced: dict[str, Array]) -> Params:
        setups[:] = [_find(own, key, {**traced, **static})]
        return setups[0].params

    if own.declaration is None:
        find(key, traced)
        return setups[0]._replace(params=unflatten(setups[0].params, params or {}))
    try:
        jax.eval_shape(lambda key, traced: find(key, traced) and None, key, traced)
        if any(isinstance(v, Tracer) for v in jax.tree.leaves(setups[0].params)):
            found = jax.jit(find)(key, traced)  # initial values that depend on the key or the data
            setups[:] = [setups[0]._replace(params=found)]
    except (
        jax.errors.JAXTypeError,
        jax.errors.JAXIndexError,
    ):  # the program looks at numbers, to count groups for instance
        find(key, traced)
    return setups[0]._replace(params=unflatten(setups[0].params, params or {}))


def _find(own: Program, key: Array, data: Mapping[str, Any]) -> Setup:
    found: Params = {}
    rng = JaxRng(key)
    constraints, groups, dims, values = {}, {}, 0, {}
    for side in ("guide", "model"):
        call = getattr(own, side)
        sites = {} if call is None else run(call, found, rng, data, values=values)
        refuse_mutable(sites, side)
        mine = {n: s for n, s in sites.items() if s["type"] == "param"}
        found |= {n: s["value"] for n, s in mine.items()}
        constraints |= {n: s["kwargs"].get("constraint") for n, s in mine.items()}
        values = {n: s["value"] for n, s in sites.items() if s["type"] in ("sample", "plate")}
        groups[side] = tuple(mine)
        dims = max([dims, *(-p.dim for s in sites.values() for p in plates_of(s, sites))])
    return Setup(own, found, constraints, groups, dims)


def refuse_mutable(sites: Mapping[str, Any], side: str) -> None:
    """Checks that a side keeps no state of its own.

    Raises:
        ModelError: Names the state, and what to use instead.
    """
    for name, site in sites.items():
        if site["type"] == "mutable":
            raise ModelError(
                f"the {side} has mutable state at '{name}': ppgm trains programs whose networks "
                "keep no state of their own; use layers without running statistics (LayerNorm "
                "in place of BatchNorm)"
            )


def plates_of(site: Mapping[str, Any], sites: Mapping[str, Any]) -> tuple[Plate, ...]:
    """Returns the plates around a statement, in the order of their axes."""
    frames = site.get("cond_indep_stack") or []
    frames = [f for f in frames if f.name != PARTICLES]
    plates = (Plate(f.name, f.size, f.dim, _full_size(f, sites)) for f in frames)
    return tuple(sorted(plates, key=lambda p: p.dim))


def _full_size(frame: Any, sites: Mapping[str, Any]) -> int:
    return int(sites[frame.name]["args"][0]) if frame.name in sites else frame.size


def kind_of(site: Mapping[str, Any]) -> str:
    """Returns "factor", "observed", "latent", or the type of a statement without a density."""
    if site["type"] != "sample":
        return site["type"]
    if isinstance(base_of(site["fn"]), Unit):
        return "factor"
    return "observed" if site["is_observed"] else "latent"


def is_auxiliary(site: Mapping[str, Any]) -> bool:
    """Tells a draw of an automatic guide that is not a latent of the model."""
    return kind_of(site) == "latent" and bool((site.get("infer") or {}).get("is_auxiliary"))


def to_term(
    site: Mapping[str, Any],
    sites: Mapping[str, Any],
    side: str,
    dims: int,
    *,
    enumerated: bool = False,
    detached: bool = False,
    logits: bool = False,
) -> Term:
    """Returns the term of a statement with a density; `dims` axes, particles' own included."""
    fn, value, plates = site["fn"], site["value"], plates_of(site, sites)
    extra = site.get("intermediates")
    raw = _with_axes(fn.log_prob(value, extra) if extra else fn.log_prob(value), dims)
    scale = 1.0 if site["scale"] is None else site["scale"]
    for plate in plates:  # the rest is the user's own `scale`
        scale = scale * plate.size / plate.full_size if plate.size != plate.full_size else scale
    log_p, drawn = raw, None
    if not (isinstance(scale, float | int) and scale == 1):
        log_p = _with_axes(raw * scale, dims)
    carries = bool(fn.has_rsample) and not detached
    if enumerated or not carries:
        drawn = _with_axes(unmasked(fn).log_prob(value), dims) if is_masked(fn) else raw
    shown = logits and _is_bits(fn)
    return Term(
        site["name"], side, kind_of(site), value, log_p,
        tuple(p.name for p in plates), carries, enumerated, drawn,
        _with_axes(whole_logits(fn), dims + len(fn.event_shape)) if shown else None,
    )  # fmt: skip


def _with_axes(log_p: Array, dims: int) -> Array:
    return jnp.reshape(log_p, (1,) * max(dims - log_p.ndim, 0) + log_p.shape)


def is_masked(fn: Any) -> bool:
    """Tells whether a distribution is masked at any depth."""
    while isinstance(fn, MaskedDistribution | ExpandedDistribution | Independent):
        if isinstance(fn, MaskedDistribution):
            return True
        fn = fn.base_dist
    return False


def unmasked(fn: Any) -> Any:
    """Returns the distribution that draws come from: a mask takes part in the density only."""
    if isinstance(fn, MaskedDistribution | ExpandedDistribution):
        return unmasked(fn.base_dist).expand(fn.batch_shape)
    if isinstance(fn, Independent):
        return unmasked(fn.base_dist).to_event(fn.reinterpreted_batch_ndims)
    return fn


def constrain(setup: Setup, params: Params) -> Params:
    """Returns parameters as the program sees them."""
    return {n: _transform(setup, n)(v) for n, v in params.items()}


def unconstrain(setup: Setup, params: Params) -> Params:
    """Returns parameters as an optimiser moves them."""
    return {n: _transform(setup, n).inv(v) for n, v in params.items()}


class _Identity:
    """Leaves networks, and parameters without a constraint, as they are."""

    def __call__(self, value: Any) -> Any:
        return value

    inv = __call__


def _transform(setup: Setup, name: str) -> Any:
    constraint = setup.constraints[name]
    is_array = isinstance(setup.params[name], jax.Array)
    return biject_to(constraint) if constraint is not None and is_array else _Identity()


def flatten(params: Params) -> dict[str, np.ndarray]:
    """Returns parameters by canonical name, as numpy arrays."""
    return {n: to_numpy(v) for n, v in _leaves(params).items()}


def unflatten(template: Params, values: Mapping[str, np.ndarray]) -> Params:
    """Returns `template` with the leaves that `values` names by canonical name replaced."""
    names = list(_leaves(template))
    leaves, tree = jax.tree.flatten(template)
    new = [  # a parameter's first value may be a plain number
        jnp.asarray(np.asarray(values[n]), jnp.result_type(leaf)) if n in values else leaf
        for n, leaf in zip(names, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, new)


def _leaves(params: Params) -> dict[str, Array]:
    pairs, _ = jax.tree_util.tree_flatten_with_path(params)
    return {_canonical(path): leaf for path, leaf in pairs}


def _canonical(path: tuple[Any, ...]) -> str:
    parts = [str(getattr(k, "name", getattr(k, "idx", getattr(k, "key", k)))) for k in path]
    return ".".join([parts[0].removesuffix("$params"), *parts[1:]])
