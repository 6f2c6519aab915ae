r"""Monotone rational-quadratic splines, one for each coordinate, with linear tails.

Between knots :math:`(a_k, b_k)` and :math:`(a_{k+1}, b_{k+1})` with slopes :math:`d_k, d_{k+1}`
there, at :math:`\theta = (x - a_k) / w`, with the bin's width w, height h and :math:`s = h / w`,

.. math::
    y = b_k + h \, \frac{s \theta^2 + d_k \theta (1 - \theta)}
    {s + (d_k + d_{k+1} - 2 s) \theta (1 - \theta)}

The K + 1 knots run from (-B, -B) to (B, B) with slope 1 at both ends; outside, y = x.

References:
    | Neural Spline Flows (Durkan, Bekasov, Murray & Papamakarios, 2019),
    | https://arxiv.org/abs/1906.04032
    | The root of the inverse: Piecewise rational quadratic interpolation (Gregory & Delbourgo,
    | 1982), https://doi.org/10.1093/imanum/2.2.123
"""

__all__ = ["Spline", "check_bins", "spline_size"]

from dataclasses import dataclass
from math import expm1, log
from typing import Any, NamedTuple

from ppgm.domains import check_number, check_size
from ppgm.errors import ArgumentError
from ppgm.ops import Array, ops_of

LEAST = 1e-3
"""Least width and height of a bin, as a share of all, and least slope: Durkan et al. (2019)."""

LEVEL = log(expm1(1 - LEAST))
"""Where the softplus of a slope is 1 - LEAST: outputs of 0 are then the identity."""


def spline_size(bins: int) -> int:
    """Returns the number of parameters of one coordinate: K widths, K heights, K - 1 slopes."""
    return 3 * bins - 1


def check_bins(owner: Any) -> None:
    """Checks the fields `bins` and `bound` of a dataclass.

    Raises:
        ArgumentError: Names the class, the field and the value.
    """
    check_size(owner, "bins", least=2)
    check_number(owner, "bound", above=0.0)
    if owner.bins * LEAST >= 0.5:
        raise ArgumentError(
            f"{type(owner).__name__}: bins must be fewer than {0.5 / LEAST:.0f}, not "
            f"{owner.bins}: each takes at least {LEAST:g} of the interval"
        )


class Bin(NamedTuple):
    """The bin that each number lies in; all ``(*, D)``."""

    left: Array
    """Knot a below."""
    bottom: Array
    """Knot b below."""
    width: Array
    """w."""
    height: Array
    """h."""
    low: Array
    """Slope at the knot below."""
    high: Array
    """Slope at the knot above."""


@dataclass(frozen=True)
class Spline:
    """Splines that act on each coordinate by itself.

    Attributes:
        raw: Free parameters, ``(*, D, 3 K - 1)``: of the widths, the heights and the inner
            slopes. Zeros are the identity.
        bound: B, half the length of the interval that is bent.
    """

    raw: Array
    bound: float

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns y ``(*, D)`` and the log determinant ``(*)``."""
        xp, inside = ops_of(x).np, self._inside(x)
        x_in = xp.where(inside, x, xp.zeros_like(x))
        place = self._bin(x_in, axis=0)
        theta = (x_in - place.left) / place.width
        rise, log_slope = _at(place, theta)
        y = place.bottom + place.height * rise
        return self._joined(x, y, log_slope, inside)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``(*)``."""
        xp, inside = ops_of(y).np, self._inside(y)
        y_in = xp.where(inside, y, xp.zeros_like(y))
        place = self._bin(y_in, axis=1)
        theta = _root(place, (y_in - place.bottom) / place.height)
        _, log_slope = _at(place, theta)
        x = place.left + place.width * theta
        return self._joined(y, x, -log_slope, inside)

    def _inside(self, x: Array) -> Array:
        return (x > -self.bound) & (x < self.bound)

    def _joined(
        self, outer: Array, inner: Array, log_slope: Array, inside: Array
    ) -> tuple[Array, Array]:
        xp = ops_of(outer).np
        log_det = xp.where(inside, log_slope, xp.zeros_like(log_slope)).sum(-1)
        return xp.where(inside, inner, outer), log_det

    def _bin(self, x: Array, axis: int) -> Bin:
        """Finds the bin by the knots of the first axis (0) or of the second (1)."""
        ops = ops_of(x)
        xp, bins = ops.np, (self.raw.shape[-1] + 1) // 3
        # Networks give bins before coordinates. With the longer axis last both hosts take little
        # more than half the time (row "spline" of `benchmarks`).
        raw = xp.moveaxis(self.raw, -1, -2)
        sizes = (raw[..., :bins, :], raw[..., bins : 2 * bins, :])
        widths, heights = (_shares(ops, part) * 2 * self.bound for part in sizes)
        lefts, bottoms = (_starts(xp, part) - self.bound for part in (widths, heights))
        inner = LEAST + ops.softplus(raw[..., 2 * bins :, :] + LEVEL)
        end = xp.ones_like(inner[..., :1, :])
        slopes = xp.concat([end, inner, end], axis=-2)

        # the bin is the last one that starts at or below x
        starts = (lefts, bottoms)[axis]
        index = (x[..., None, :] >= starts[..., 1:, :]).sum(-2)[..., None, :]

        def at(values: Array, index: Array) -> Array:
            shape = (*index.shape[:-2], values.shape[-2], index.shape[-1])
            whole = xp.broadcast_to(values, shape)
            return xp.take_along_axis(whole, index, axis=-2)[..., 0, :]

        return Bin(
            at(lefts, index), at(bottoms, index), at(widths, index), at(heights, index),
            at(slopes, index), at(slopes, index + 1),
        )  # fmt: skip


def _shares(ops: Any, raw: Array) -> Array:
    """Returns shares of at least `LEAST` that add to one, for ``(*, K, D)``."""
    return LEAST + (1 - LEAST * raw.shape[-2]) * ops.softmax(raw, -2)


def _starts(xp: Any, sizes: Array) -> Array:
    """Returns where each bin starts when the first one starts at 0, for ``(*, K, D)``."""
    ends = xp.cumulative_sum(sizes, axis=-2)
    return xp.concat([xp.zeros_like(ends[..., :1, :]), ends[..., :-1, :]], axis=-2)


def _at(place: Bin, theta: Array) -> tuple[Array, Array]:
    """Returns the share of the bin's height that is reached, and the log slope, at theta."""
    xp = ops_of(theta).np
    s, rest = place.height / place.width, 1 - theta
    both = theta * rest
    under = s + (place.low + place.high - 2 * s) * both
    rise = (s * theta**2 + place.low * both) / under
    over = place.high * theta**2 + 2 * s * both + place.low * rest**2
    return rise, 2 * xp.log(s) + xp.log(over) - 2 * xp.log(under)


def _root(place: Bin, rise: Array) -> Array:
    r"""Returns theta where a share of the bin's height is reached.

    It solves :math:`a \theta^2 + b \theta + c = 0` with a = s - d_k + e r, b = d_k - e r and
    c = -s r, at the share r and e = d_k + d_{k+1} - 2 s. Of the two forms of its root each is
    used where it adds numbers of one sign; where b < 0, a is positive.
    """
    xp = ops_of(rise).np
    s = place.height / place.width
    bend = (place.low + place.high - 2 * s) * rise
    a, b = s - place.low + bend, place.low - bend
    # the square of 2 a theta + b at the root, which is the slope times something positive
    root = xp.sqrt(b**2 + 4 * a * s * rise)
    rising = b >= 0
    over = xp.where(rising, 2 * s * rise, root - b)
    return over / xp.where(rising, b + root, 2 * a)
