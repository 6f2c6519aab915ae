"""The `ppl` namespace on Pyro."""

__all__ = ["PyroNamespace", "bind"]

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import pyro
import pyro.distributions
import torch
from numpy import asarray, ndarray
from pyro.distributions import TorchDistribution, constraints
from pyro.poutine.indep_messenger import IndepMessenger
from pyro.poutine.runtime import _PYRO_STACK
from torch import Tensor

from ppgm.errors import ArgumentError
from ppgm.host_pyro_ops import OPS
from ppgm.latents import Latent
from ppgm.nets_torch import build
from ppgm.ppl import guide_of, plate_size

CONSTRAINTS = {
    "real": constraints.real,
    "positive": constraints.positive,
    "unit_interval": constraints.unit_interval,
    "simplex": constraints.simplex,
    "boolean": constraints.boolean,
    "nonnegative_integer": constraints.nonnegative_integer,
}


class Bernoulli(pyro.distributions.Bernoulli):
    """Bernoulli that takes integers and booleans too, by the shorter form of its density."""

    def log_prob(self, value: Tensor) -> Tensor:
        if "logits" not in self.__dict__:
            return super().log_prob(value)
        if self._validate_args:
            self._validate_sample(value)
        return value * self.logits - OPS.softplus(self.logits)


DISTRIBUTIONS = SimpleNamespace(
    **{name: getattr(pyro.distributions, name) for name in pyro.distributions.__all__}
)
DISTRIBUTIONS.Bernoulli = Bernoulli


@dataclass(frozen=True)
class PyroNamespace:
    """The host's names for declarations; see `ppgm.ppl.Namespace`.

    Attributes:
        seed: Seed of initial weights.
        rows: Number of rows of a plate over nothing, or None.
        networks: Networks built so far. Pyro's parameters are the tensors of live modules, so
            a namespace has to keep them; each binding of a declaration has its own.
        plans: Latents of models by the shapes of their arguments.
    """

    seed: int = 0
    rows: int | None = None
    networks: dict[str, torch.nn.Module] = field(default_factory=dict, compare=False, repr=False)
    plans: dict[Any, list[Latent]] = field(default_factory=dict, compare=False, repr=False)

    host = "pyro"
    np = OPS.np
    ops = OPS
    distributions = DISTRIBUTIONS
    sample = staticmethod(pyro.sample)
    factor = staticmethod(pyro.factor)
    deterministic = staticmethod(pyro.deterministic)

    def plate(self, name: str, x: Any, dim: int | None = None) -> Any:
        kind = pyro.plate if _session_networks() is None else WholePlate
        return kind(name, plate_size(name, x, self.rows), dim=dim)

    def mask(self, mask: Any) -> Any:
        return pyro.poutine.mask(mask=mask)

    def param(
        self, name: str, init: ndarray | Callable[[], ndarray], constraint: str = "real"
    ) -> Tensor:
        if constraint not in CONSTRAINTS:
            raise ArgumentError(
                f"param '{name}': constraint must be one of {sorted(CONSTRAINTS)}, "
                f"not '{constraint}'"
            )
        return pyro.param(name, lambda: _initial(init), constraint=CONSTRAINTS[constraint])

    def module(self, name: str, net: Any, **options: Any) -> Callable[[Tensor], Tensor]:
        if isinstance(net, torch.nn.Module):
            return pyro.module(name, net, **options)
        session = _session_networks()
        if session is not None and name in session:
            return self.networks[name]  # its parameters are in the session's hands already
        first = f"{name}$$${next(iter(net.parameters()))}"
        stale = session is None and first not in pyro.get_param_store()
        if name not in self.networks or stale:
            initial = net.initial(self.seed, name)
            self.networks[name] = build(net, initial, torch.get_default_dtype())
        return pyro.module(name, self.networks[name], update_module_params=True)

    def distribution(self, portable: Any) -> TorchDistribution:
        return PortableDistribution(portable, tuple(portable.batch_shape))

    def latents(
        self, model: Callable[..., Any], args: tuple[Any, ...], data: Mapping[str, Any]
    ) -> list[Latent]:
        from ppgm.host_pyro_latents import latents  # which needs this file's names

        return latents(self.plans, model, args, data)


class WholePlate(pyro.plate):
    """A plate without a subsample, which need not ask all handlers for one.

    Pyro's own sends a message and makes an index tensor whenever a plate is opened: a tenth of a
    small step.
    """

    def __init__(self, name: str, size: int, dim: int | None = None) -> None:
        IndepMessenger.__init__(self, name, size, dim)
        self.subsample_size = size

    def __enter__(self) -> Tensor:
        super().__enter__()
        return self.indices


def _session_networks() -> set[str] | None:
    """Returns the networks of ppgm's own run, or None where a host's algorithm runs us."""
    held = (getattr(handler, "networks", None) for handler in _PYRO_STACK)
    return next((networks for networks in held if networks is not None), None)


class TorchRng:
    """Noise from torch's generator, on the device of the parameters."""

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape)

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape)

    def draw(self, fn: Any, shape: tuple[int, ...]) -> Tensor:
        wide = fn.expand(torch.Size(shape))
        return wide.rsample() if wide.has_rsample else wide.sample()


class PortableDistribution(TorchDistribution):
    """A portable distribution as one of Pyro's."""

    # torch annotates this class attribute as a property.
    arg_constraints = {}  # pyright: ignore[reportAssignmentType]

    def __init__(self, portable: Any, batch_shape: tuple[int, ...]) -> None:
        self.portable = portable
        self.has_rsample = portable.reparameterised
        self._drawn: tuple[Tensor, Tensor, bool] | None = None
        super().__init__(torch.Size(batch_shape), portable.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        mean = getattr(self.portable, "mean", None)
        if mean is None:
            raise NotImplementedError(f"the mean of {type(self.portable).__name__} is not known")
        return mean

    @property
    def support(self) -> Any:
        return constraints.independent(
            CONSTRAINTS[self.portable.support], len(self.portable.event_shape)
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> "PortableDistribution":
        return PortableDistribution(self.portable, tuple(batch_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = (*sample_shape, *self.batch_shape)
        if not hasattr(self.portable, "push"):
            return self.portable.sample(TorchRng(), shape)
        return self.push(TorchRng().normal((*shape, *self.event_shape)))[0]

    def push(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the draws at some noise and their log density, which is kept for that tensor.

        It holds for this very tensor and this distribution, whose parameters do not change, and
        for gradients as they were at the draw: nothing else can be mistaken for it.
        """
        value, log_p = self.portable.push(noise)
        self._drawn = value, self._whole(log_p), torch.is_grad_enabled()
        return self._drawn[:2]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._drawn is not None:
            drawn, log_p, graded = self._drawn
            if value is drawn and graded == torch.is_grad_enabled():
                return log_p
        return self._whole(self.portable.log_prob(value))

    def _whole(self, log_p: Tensor) -> Tensor:
        if log_p.shape == self.batch_shape:
            return log_p
        return log_p.expand(torch.broadcast_shapes(log_p.shape, self.batch_shape))


def bind(
    declaration: Any, seed: int = 0, rows: int | None = None
) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
    """Returns the declaration's model and guide as plain Pyro callables."""
    ppl = PyroNamespace(seed, rows)
    guide = guide_of(declaration)
    return partial(declaration.model, ppl), guide and partial(guide, ppl)


def _initial(init: ndarray | Callable[[], ndarray]) -> Tensor:
    value = init() if callable(init) else init
    return torch.as_tensor(asarray(value), dtype=torch.get_default_dtype()).clone()


def support_values(fn: Any, limit: int) -> Tensor | None:
    """Returns all values of one draw, ``(values, *event)``, or None if more than `limit`."""
    base = fn
    while hasattr(base, "base_dist") and not hasattr(base, "transforms"):
        base = base.base_dist
    if isinstance(fn, PortableDistribution) or not getattr(base, "has_enumerate_support", False):
        return None
    units = math.prod(fn.event_shape[: len(fn.event_shape) - len(base.event_shape)])
    single = base.enumerate_support(expand=False)
    single = single.reshape((single.shape[0], *base.event_shape))
    if single.shape[0] ** units > limit:
        return None
    index = torch.cartesian_prod(*[torch.arange(single.shape[0])] * units)
    values = single[index.reshape(-1, units)]
    return values.reshape((-1, *fn.event_shape))
