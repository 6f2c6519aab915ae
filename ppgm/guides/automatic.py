r"""Automatic guides: one joint posterior of a family over all global latents of a program.

.. math::
    u \sim q, \quad z_i = b_i(u_i), \quad
    \log q(z) = \log q(u) - \sum_i \log |\det \partial b_i / \partial u_i|

The family's vector u has one real number for each degree of freedom, and :math:`b_i` is the
host's bijection from the reals to the support of site i: positive numbers, intervals, simplices,
Cholesky factors. What an encoder would put out is a parameter, "auto.context".

References:
    | Automatic Differentiation Variational Inference (Kucukelbir, Tran, Ranganath, Gelman & Blei,
    | 2017), https://arxiv.org/abs/1603.00788
"""

__all__ = ["AutoGuided", "auto"]

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from math import log, prod
from typing import Any

import numpy as np

from ppgm import host as hosts
from ppgm.domains import check_number, check_part
from ppgm.errors import ArgumentError, ModelError
from ppgm.guides.full_rank import FullRank
from ppgm.guides.gaussian import FAMILIES, Family
from ppgm.latents import Latent
from ppgm.ops import Array
from ppgm.programs import Program
from ppgm.programs import program as bind

PREFIX = "auto"


def auto(program: Program, family: Family, *, scale: float = 0.1) -> Program:
    """Returns the program with an automatic guide in place of its own.

    Args:
        program: A program whose latents are continuous; its guide, if any, is left out.
        family: Family of the joint posterior: one of `ppgm.guides`. Flows use a context of
            their own numbers, which they do not need here: `IAF(summary=0)`.
        scale: Standard deviation that every coordinate starts with, on the reals.

    Raises:
        ArgumentError: If these are no program, no family and no positive number.
        ModelError: When the guide runs: names a latent that is discrete, lies in a plate that
            draws some of its rows, or has a support that other latents move.
    """
    if not isinstance(program, Program):
        raise ArgumentError(
            "auto needs a program, as ppgm.program(declaration, host=...) or ppgm.Program(model, "
            f"host=...) make them, not {type(program).__name__}"
        )
    if program.declaration is not None:
        guided = AutoGuided(program.declaration, family, scale)
        return bind(guided, host=program.host, seed=program.seed)
    guided = AutoGuided(_OfHost(program.model), family, scale)
    _, guide = hosts.load(program.host).bind(guided, program.seed)
    return replace(program, guide=guide)


@dataclass(frozen=True)
class AutoGuided:
    """A declaration with an automatic guide in place of its own; see `auto`.

    Args:
        declaration: The declaration; what else it knows, such as its exact likelihood, stays, but
            for the methods of its own guide.
        family: Family of the joint posterior.
        scale: Standard deviation that every coordinate starts with, on the reals.
    """

    declaration: Any
    family: Family = FullRank()
    scale: float = 0.1

    def __post_init__(self) -> None:
        check_part("family", self.family, "context", FAMILIES)
        check_number(self, "scale", above=0.0)
        if not callable(getattr(self.declaration, "model", None)):
            raise ArgumentError(
                "AutoGuided: declaration must have a method `model(self, ppl, ...)`, not "
                f"{self.declaration!r}"
            )

    def __getattr__(self, name: str) -> Any:
        own = ("declaration", "family", "scale", "guided", "posterior")
        if name.startswith("__") or name in own:
            raise AttributeError(name)
        return getattr(self.declaration, name)

    def model(self, ppl: Any, *args: Any, **data: Any) -> Any:
        """The declaration's model."""
        return self.declaration.model(ppl, *args, **data)

    def guide(self, ppl: Any, *args: Any, **data: Any) -> dict[str, Array]:
        """Draws all latents at once; returns them by name."""
        model = partial(self.declaration.model, ppl)
        found = ppl.latents(model, args, data)
        _check(found)
        sizes = [prod(latent.free) for latent in found]
        total = sum(sizes)
        context = ppl.param(f"{PREFIX}.context", lambda: self._start(total, ppl.seed))
        self._check_size(context, total, found)
        family = self.family(ppl, context, total, PREFIX)
        u = ppl.sample(f"_{PREFIX}_latent", family, infer={"is_auxiliary": True})
        ends = np.cumsum(sizes)
        return {
            latent.name: _drawn(ppl, latent, u[..., end - size : end])
            for latent, size, end in zip(found, sizes, ends, strict=True)
        }

    def _start(self, total: int, seed: int) -> np.ndarray:
        """Returns the first context: means near 0, small scales, and something to break ties."""
        rng = np.random.default_rng([seed, total])
        own = getattr(self.family, "start", None)
        if own is not None:
            return own(total, self.scale, rng)
        context = 0.1 * rng.normal(size=self.family.context(total))
        context[:total] = 0.0
        context[total : 2 * total] = log(self.scale)
        return context

    def _check_size(self, context: Array, total: int, found: list[Latent]) -> None:
        wanted = self.family.context(total)
        if context.shape[-1] != wanted:
            plated = sorted({p.name for latent in found for p in latent.plates})
            raise ModelError(
                f"the latents {[latent.name for latent in found]} have {total} degrees of "
                f"freedom here, so that param '{PREFIX}.context' needs {wanted} numbers, and it "
                f"has {context.shape[-1]}: a posterior over all latents needs the same rows in "
                f"every step (plates {plated}); fit without batch_size, or write a guide"
            )


@dataclass(frozen=True)
class _OfHost:
    """A model of a host's own, as a declaration's."""

    call: Any

    def model(self, ppl: Any, *args: Any, **data: Mapping[str, Any]) -> Any:
        return self.call(*args, **data)


def _check(found: list[Latent]) -> None:
    if not found:
        raise ModelError("the model has no latent sites: an automatic guide has nothing to draw")
    for latent in found:
        if latent.transform is None:
            raise ModelError(
                f"site '{latent.name}' is discrete: an automatic guide is over continuous "
                "latents; sum it out of the model, or write a guide"
            )
        for plate in latent.plates:
            if plate.size != plate.full_size:
                raise ModelError(
                    f"site '{latent.name}' is in plate '{plate.name}', which draws {plate.size} "
                    f"of {plate.full_size} rows: an automatic guide is over the same latents in "
                    "every step; write a guide with an encoder of the rows"
                )
        if latent.moves:
            raise ModelError(
                f"the support of site '{latent.name}' changes with the values of other latents: "
                "an automatic guide needs one that does not; write the site as a function of "
                "another with a support of its own"
            )


def _drawn(ppl: Any, latent: Latent, u: Array) -> Array:
    """Draws a site at its part of the joint vector, ``(*, size)``, in the site's plates."""
    batch = len(latent.shape) - latent.event_dim
    lead = tuple(u.shape[:-1])
    free = u.reshape((*lead[: max(len(lead) - batch, 0)], *latent.free))
    value = latent.transform(free)
    log_det = latent.transform.log_abs_det_jacobian(free, value)
    inner = len(log_det.shape) - len(value.shape) + latent.event_dim
    log_det = ppl.ops.sum(log_det, tuple(range(-inner, 0)))
    point = ppl.distributions.Delta(value, log_density=-log_det, event_dim=latent.event_dim)
    with ExitStack() as stack:
        for plate in latent.plates:
            stack.enter_context(ppl.plate(plate.name, plate.size, dim=plate.dim))
        return ppl.sample(latent.name, point)
