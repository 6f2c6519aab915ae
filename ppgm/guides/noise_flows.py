r"""Posteriors that are flows of standard normal noise, then a scale and a shift.

.. math::
    z = \mu(x) + \sigma(x) \odot f(\epsilon; c(x)), \quad \epsilon \sim N(0, I)

For maps that know where the noise is, such as splines, which bend on a fixed interval only.
"""

__all__ = ["AbstractNoiseFlow", "check_host", "pairs_of"]

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from ppgm.distributions_normal import DiagonalNormal
from ppgm.errors import ArgumentError, ModelError, missing
from ppgm.guides.flows import AbstractFlow
from ppgm.ops import Array
from ppgm.transforms import Chain, Flow
from ppgm.transforms.normalisation import ActNorm


class AbstractNoiseFlow(AbstractFlow):
    """A family of flows below the scale and shift of a diagonal Gaussian."""

    def __call__(self, ppl: Any, context: Array, latent: int, name: str = "z") -> Any:
        """Returns the flow, of event shape ``(latent,)``."""
        loc, log_scale = context[..., :latent], context[..., latent : 2 * latent]
        base = DiagonalNormal(ppl.np.zeros_like(loc), ppl.np.ones_like(loc))
        inner = self.transform(ppl, context[..., 2 * latent :], latent, name)
        return ppl.distribution(Flow(base, Chain((inner, ActNorm(loc, log_scale)))))


def check_host(family: Any, ppl: Any, host: str, package: str) -> None:
    """Checks that a family of another library runs on the host of that library.

    Raises:
        ModelError: Names the family, its host and the one that it came to.
        MissingDependencyError: If the library is not installed.
    """
    kind = type(family).__name__
    if ppl.host != host:
        raise ModelError(
            f"{kind} is made of {package}, which runs on host '{host}' only, and the program is "
            f"bound to '{ppl.host}': use Spline(...), which runs on both"
        )
    if find_spec(package) is None:
        raise missing(package, "flows")


def pairs_of(family: Any) -> tuple[tuple[str, Any], ...]:
    """Returns the field `options` of a family as pairs, which can be compared and saved.

    Raises:
        ArgumentError: If it is neither a dict nor pairs of a name and a value.
    """
    given = family.options
    pairs = tuple(given.items()) if isinstance(given, Mapping) else given
    if not isinstance(pairs, tuple) or not all(
        isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str) for p in pairs
    ):
        raise ArgumentError(
            f"{type(family).__name__}: options must be a dict of arguments by name, not {given!r}"
        )
    return pairs
