"""One run of a Pyro program: its statements, its parameters, its terms."""

__all__ = [
    "EXACT",
    "PARTICLES",
    "Draws",
    "Leaves",
    "Tracer",
    "base_of",
    "canonical",
    "is_auxiliary",
    "kind_of",
    "plates_of",
    "to_term",
]

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro
import torch
from pyro.distributions import (
    ExpandedDistribution,
    Independent,
    MaskedDistribution,
    MultivariateNormal,
    Normal,
    Unit,
)
from pyro.distributions.util import scale_and_mask
from pyro.poutine.messenger import Messenger
from pyro.poutine.subsample_messenger import _Subsample
from torch import Tensor
from torch.distributions import transform_to

from ppgm.errors import ModelError
from ppgm.host_pyro_ops import to_numpy
from ppgm.host_pyro_ppl import TorchRng
from ppgm.relaxations import relaxed_bits, relaxed_one_hot
from ppgm.sites import Plate
from ppgm.terms import Term

PARTICLES = "_particles"
"""Name of the plate over particles, outside all plates of the program."""


def canonical(name: str) -> str:
    """Returns the parameter's name as both hosts have it."""
    return name.replace("$$$", ".")


@dataclass
class Leaves:
    """Parameters of a program: unconstrained leaf tensors, by Pyro's names.

    The parameters of a torch module are the module's own tensors, since Pyro programs call the
    module itself; `saved` keeps what they held, for modules that belong to the user. `isolate`
    says whether runs need a parameter store of their own: `PyroModule` writes to the store
    behind the back of all handlers.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    constraints: dict[str, Any] = field(default_factory=dict)
    saved: dict[str, Tensor] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)
    isolate: bool = True

    def add(self, name: str, init: Tensor, constraint: Any) -> None:
        """Takes a module's parameter itself, or a new leaf with the value `init`."""
        if isinstance(init, torch.nn.Parameter):
            self.tensors[name] = init
            self.saved[name] = init.detach().clone()
        else:
            with torch.no_grad():
                value = transform_to(constraint).inv(init.detach()).clone()
            self.tensors[name] = value.requires_grad_()
        self.constraints[name] = constraint

    def constrained(self, name: str) -> Tensor:
        """Returns the parameter as the program sees it."""
        return transform_to(self.constraints[name])(self.tensors[name])

    def export(self) -> dict[str, np.ndarray]:
        """Returns the constrained values by canonical name."""
        with torch.no_grad():
            return {canonical(n): to_numpy(self.constrained(n)) for n in self.tensors}

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Sets constrained values; those not given keep theirs."""
        with torch.no_grad():
            for name, leaf in self.tensors.items():
                if canonical(name) in values:
                    value = torch.as_tensor(np.array(values[canonical(name)]), dtype=leaf.dtype)
                    free = transform_to(self.constraints[name]).inv(value)
                    if free.shape != leaf.shape:
                        raise ModelError(
                            f"param '{canonical(name)}' has shape {tuple(value.shape)} where it "
                            f"was trained, and shape {tuple(leaf.shape)} with these data: a "
                            "parameter of rows is one of those very rows"
                        )
                    leaf.copy_(free)

    def freeze(self) -> None:
        """Makes the parameters constant: only what is drawn then carries gradients."""
        for name, leaf in self.tensors.items():
            self.frozen |= {name} if leaf.requires_grad else set()
            leaf.requires_grad_(False)

    def restore(self) -> None:
        """Gives the user's own modules back the values that they came with."""
        for name in self.frozen:
            self.tensors[name].requires_grad_(True)
        self.frozen = set()
        with torch.no_grad():
            for name, value in self.saved.items():
                self.tensors[name].copy_(value)


@dataclass(frozen=True)
class Draws:
    """How latent values enter what is computed from them; see `ppgm.terms.Ask`."""

    detached: bool = False
    relaxed: tuple[Any, bool] | None = None


EXACT = Draws()
"""Draws as the program makes them."""


class Tracer(Messenger):
    """Runs a program once: supplies parameters and values, keeps the statements.

    One handler in place of Pyro's trace, replay, condition, uncondition and parameter store,
    because every handler on the stack costs time at every statement of every step.

    Args:
        leaves: Parameters; those unseen are added. None leaves parameters to Pyro's store.
        values: Values of sites, and of subsampled plates, to use in place of draws.
        observe: Whether observed sites keep their values.
        networks: Names of networks whose parameters are already among the leaves, or None.
        noise: Standard normal noise of Gaussian sites, to use in place of the generator's.
        draws: Whether draws are cut or relaxed.
    """

    def __init__(
        self,
        leaves: Leaves | None = None,
        values: Mapping[str, Any] | None = None,
        *,
        observe: bool = True,
        networks: set[str] | None = None,
        noise: Mapping[str, Tensor] | None = None,
        draws: Draws = EXACT,
    ) -> None:
        super().__init__()
        self.noise, self.draws = noise or {}, draws
        self.leaves, self.values, self.observe = leaves, values or {}, observe
        self.networks = networks
        self.params: dict[str, None] = {}
        self.sites: dict[str, Any] = {}
        self.subsamples: dict[str, Tensor] = {}
        self.wrote = False
        self._store: Any = None

    def __enter__(self) -> Any:
        if self.leaves is not None and self.leaves.isolate:
            self._store = pyro.get_param_store().scope()
            self._store.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        if self._store is not None:
            self.wrote = len(pyro.get_param_store()) > 0
            self._store.__exit__(None, None, None)

    def _pyro_param(self, msg: Any) -> None:
        name = msg["name"]
        self.params[name] = None
        if self.leaves is None:
            return
        if name not in self.leaves.tensors:
            self.leaves.add(name, *_first_value(msg))
        leaf = self.leaves.tensors[name]
        msg["value"] = self.leaves.constrained(name)
        # a PyroModule that sets a parameter while it runs keeps a copy: the leaf is ours
        msg["value"].unconstrained = lambda: leaf.detach().clone()
        if msg["kwargs"].get("event_dim") is not None:  # Pyro subsamples such a parameter
            msg["value"]._pyro_unconstrained_param = leaf
        msg["done"] = True

    def _pyro_sample(self, msg: Any) -> None:
        name = msg["name"]
        if name in self.values and not msg["infer"].get("_deterministic"):
            msg["value"] = _aligned(self.values[name], msg["fn"])
            msg["done"] = True
        elif name in self.noise:
            noise = _aligned(self.noise[name], msg["fn"])
            msg["value"] = _from_noise(base_of(msg["fn"]), noise)
            msg["done"] = True
        elif self.draws.relaxed and can_relax(msg):
            msg["value"] = _relaxed(msg["fn"], *self.draws.relaxed)
            msg["done"] = True
        elif not self.observe and _is_density(msg) and msg["is_observed"]:
            msg["is_observed"], msg["value"], msg["done"] = False, None, False

    def _pyro_post_sample(self, msg: Any) -> None:
        if self.draws.detached and isinstance(msg["value"], Tensor) and not msg["is_observed"]:
            msg["value"] = msg["value"].detach()
        if isinstance(msg["fn"], _Subsample):
            self.subsamples[msg["name"]] = msg["value"]
        elif msg["name"] != PARTICLES:
            self.sites[msg["name"]] = msg


def _first_value(msg: Any) -> tuple[Any, Any]:
    """Returns value and constraint that a parameter starts from."""
    name, store = msg["name"], pyro.get_param_store()
    if len(msg["args"]) > 1:
        init = msg["args"][1]
        init = init() if callable(init) and not isinstance(init, Tensor) else init
        return init, msg["kwargs"]["constraint"]
    if name not in store:
        raise ModelError(
            f"param '{name}' has no initial value: give one, pyro.param('{name}', value); a fit "
            "does not read Pyro's global parameter store (nor module-local parameters)"
        )
    return store[name].detach().clone(), store._constraints[name]


def plates_of(msg: Any) -> tuple[Plate, ...]:
    """Returns the plates around a statement, in the order of their axes."""
    frames = [f for f in msg["cond_indep_stack"] if f.name != PARTICLES]
    for f in frames:
        if not f.vectorized and f.full_size not in (None, f.size):
            raise ModelError(
                f"plate '{f.name}' goes through a subsample of {f.size} of {f.full_size} one by "
                f"one (site '{msg['name']}'): use it as a context, `with pyro.plate(...)`"
            )
    frames = [f for f in frames if f.vectorized]
    plates = [Plate(f.name, f.size, f.dim, f.full_size or f.size) for f in frames]
    return tuple(sorted(plates, key=lambda p: p.dim))


def can_relax(msg: Any) -> bool:
    """Tells a draw of bits or of a one-hot vector."""
    kinds = (torch.distributions.Bernoulli, torch.distributions.OneHotCategorical)
    return kind_of(msg) == "latent" and isinstance(base_of(msg["fn"]), kinds)


def _relaxed(fn: Any, temperature: Any, hard: bool) -> Tensor:  # noqa: FBT001
    logits = _whole_logits(fn)
    noise = TorchRng().uniform(tuple(logits.shape))
    discrete = isinstance(base_of(fn), torch.distributions.Bernoulli)
    relax = relaxed_bits if discrete else relaxed_one_hot
    return relax(logits, noise, temperature, hard=hard)


def _whole_logits(fn: Any) -> Tensor:
    """Returns the logits of a site, in the shape of its value."""
    return base_of(fn).logits.expand(tuple(fn.batch_shape) + tuple(fn.event_shape))


def to_term(
    msg: Any,
    side: str,
    dims: int,
    *,
    enumerated: bool = False,
    detached: bool = False,
    logits: bool = False,
) -> Term:
    """Returns the term of a statement; one axis for particles, `dims` axes for plates."""
    fn, value, plates = msg["fn"], msg["value"], plates_of(msg)
    scale = msg["scale"]
    for plate in plates:  # what is left is the user's own `poutine.scale`
        scale = scale * plate.size / plate.full_size if plate.size != plate.full_size else scale
    raw = _with_axes(_log_prob(msg, fn), dims)
    log_p, drawn = raw, None
    if msg["mask"] is not None or not (isinstance(scale, float) and scale == 1.0):
        log_p = _with_axes(scale_and_mask(raw, scale, msg["mask"]), dims)
    carries = fn.has_rsample and not detached
    if enumerated or not carries:
        drawn = _with_axes(_log_prob(msg, unmasked(fn)), dims) if is_masked(fn) else raw
    shown = logits and isinstance(base_of(fn), torch.distributions.Bernoulli)
    return Term(
        msg["name"], side, kind_of(msg), value, log_p, tuple(p.name for p in plates),
        carries, enumerated, drawn,
        _with_axes(_whole_logits(fn), dims + len(fn.event_shape)) if shown else None,
    )  # fmt: skip


def _log_prob(msg: Any, fn: Any) -> Tensor:
    """Returns the log density of a value; that of a drawn one-hot vector linear in the draw.

    torch looks up the largest entry, so that a relaxed vector would have no derivative.
    """
    vector = isinstance(base_of(fn), torch.distributions.OneHotCategorical)
    return (
        _linear(fn, msg["value"])
        if vector and not msg["is_observed"]
        else fn.log_prob(msg["value"])
    )


def _linear(fn: Any, value: Tensor) -> Tensor:
    if isinstance(fn, MaskedDistribution):
        return scale_and_mask(_linear(fn.base_dist, value), 1.0, fn._mask)
    if isinstance(fn, Independent):
        rows = _linear(fn.base_dist, value)
        return rows.sum(tuple(range(-fn.reinterpreted_batch_ndims, 0)))
    if isinstance(fn, ExpandedDistribution):
        return _linear(fn.base_dist, value)
    # a class of probability zero counts only where it is the one
    return torch.where(value == 0, 0.0, value * fn.logits).sum(-1)


def _with_axes(log_p: Tensor, dims: int) -> Tensor:
    """Gives a log density one axis for particles and `dims` for plates."""
    return log_p.reshape((1,) * max(dims + 1 - log_p.ndim, 0) + tuple(log_p.shape))


def is_masked(fn: Any) -> bool:
    """Tells whether a distribution is masked at any depth."""
    while hasattr(fn, "base_dist") and not hasattr(fn, "transforms"):
        if isinstance(fn, MaskedDistribution):
            return True
        fn = fn.base_dist
    return False


def unmasked(fn: Any) -> Any:
    """Returns the distribution that draws come from: a mask takes part in the density only."""
    if isinstance(fn, MaskedDistribution):
        return unmasked(fn.base_dist).expand(fn.batch_shape)
    if isinstance(fn, Independent):
        return unmasked(fn.base_dist).to_event(fn.reinterpreted_batch_ndims)
    if isinstance(fn, ExpandedDistribution):
        return unmasked(fn.base_dist).expand(fn.batch_shape)
    return fn


def kind_of(msg: Any) -> str:
    """Returns "factor", "observed", "latent" or "deterministic"."""
    if msg["infer"].get("_deterministic"):
        return "deterministic"
    if isinstance(base_of(msg["fn"]), Unit):
        return "factor"
    return "observed" if msg["is_observed"] else "latent"


def is_auxiliary(msg: Any) -> bool:
    """Tells a draw of an automatic guide that is not a latent of the model."""
    return kind_of(msg) == "latent" and bool(msg["infer"].get("is_auxiliary"))


def _aligned(value: Tensor, fn: Any) -> Tensor:
    """Gives ``(K, *batch, *event)`` the axes of plates between particles and batch."""
    spare = len(getattr(fn, "batch_shape", ())) + len(getattr(fn, "event_shape", ())) - value.ndim
    if spare <= 0 or not value.ndim:
        return value
    return value.reshape((value.shape[0],) + (1,) * spare + tuple(value.shape[1:]))


def _from_noise(fn: Any, noise: Tensor) -> Tensor:
    """Returns a Gaussian's draw at given standard normal noise."""
    if isinstance(fn, MultivariateNormal):
        return fn.loc + (fn.scale_tril @ noise[..., None])[..., 0]
    if isinstance(fn, Normal):
        return fn.loc + fn.scale * noise
    if hasattr(getattr(fn, "portable", None), "push"):
        return fn.push(noise)[0]
    raise ModelError(f"noise can be given to Gaussian sites only, not to {type(fn).__name__}")


def _is_density(msg: Any) -> bool:
    return kind_of(msg) in ("observed", "latent") and not isinstance(msg["fn"], _Subsample)


def base_of(fn: Any) -> Any:
    """Returns the distribution without event, batch and mask wrappers."""
    while hasattr(fn, "base_dist") and not hasattr(fn, "transforms"):
        fn = fn.base_dist
    return fn
