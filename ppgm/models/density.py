r"""Densities by invertible maps: what models of them share.

.. math::
    z = f_\theta(x), \quad \log p(x) = \log N(f_\theta(x); 0, I) +
    \log |\det \partial f_\theta / \partial x|

The steps of f lead from data to noise, and are made so that this direction takes one pass; draws
go the other way. There are no latents: any bound is log p(x) itself, so that ``ELBO()`` is exact
maximum likelihood. The data are taken to be standardised: columns of mean 0 and deviation 1 or
so. Steps start near the identity.

References:
    | Normalizing Flows for Probabilistic Modeling and Inference (Papamakarios et al., 2021),
    | https://arxiv.org/abs/1912.02762
"""

__all__ = [
    "AbstractDensity",
    "Norm",
    "check_networks",
    "learnt_norm",
    "normalised",
    "orthogonal",
]

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ppgm import host as hosts
from ppgm.arrays import as_array
from ppgm.checking import checked_data
from ppgm.distributions_normal import DiagonalNormal
from ppgm.domains import check_widths
from ppgm.errors import ArgumentError, DataError
from ppgm.fits import Fit, as_fit
from ppgm.nets import ACTIVATIONS
from ppgm.ops import Array
from ppgm.programs import Program, program
from ppgm.transforms import Chain, Flow, Inverse, Transform
from ppgm.transforms.mixing import Mixing, factors_of, rotation
from ppgm.transforms.normalisation import LEAST, ActNorm

Norm = Callable[[int, int], Transform]
"""From the number of a normalisation, and its number of channels, to a step towards noise."""


class AbstractDensity(ABC):
    """A density of rows ``(N, features)`` by an invertible map; site "x" alone."""

    broadcasts = True
    features: int

    @property
    def columns(self) -> int:
        """Number of columns of the data."""
        return self.features

    @abstractmethod
    def steps(self, ppl: Any, norm: Norm) -> list[Transform]:
        """Returns the steps from data to noise.

        Args:
            ppl: The namespace.
            norm: Makes activation normalisations, if the model has some.
        """

    def flow(self, ppl: Any) -> Flow:
        """Returns the distribution of a row."""
        zeros = ppl.np.zeros(self.columns)
        steps = self.steps(ppl, partial(learnt_norm, ppl))
        return Flow(DiagonalNormal(zeros, ppl.np.ones_like(zeros)), Inverse(Chain(tuple(steps))))

    def check_data(self, data: Mapping[str, Any]) -> None:
        """Refuses data that are no rows of `columns` numbers."""
        x = data.get("x")
        shape = None if x is None else np.shape(as_array("x", x))
        if shape is not None and (len(shape) != 2 or shape[1] != self.columns):
            flat = len(shape) > 2 and np.prod(shape[1:]) == self.columns
            raise DataError(
                f"{type(self).__name__}: data['x'] must have the shape (N, {self.columns}), not "
                f"{shape}{': give x.reshape(len(x), -1)' if flat else ''}"
            )

    def model(self, ppl: Any, x: Array | None = None) -> None:
        """Draws x from noise; whole numbers are taken for real ones."""
        flow, seen = self.flow(ppl), None if x is None else ppl.ops.float(x)
        with ppl.plate("data", x):
            ppl.sample("x", ppl.distribution(flow), obs=seen)


def check_networks(owner: Any) -> None:
    """Checks the fields `hidden` and `activation`.

    Raises:
        ArgumentError: Names the class, the field and the value.
    """
    check_widths(owner, "hidden")
    if owner.activation not in ACTIVATIONS:
        raise ArgumentError(
            f"{type(owner).__name__}: 'activation' must be one of {', '.join(ACTIVATIONS)}, not "
            f"{owner.activation!r}"
        )


def learnt_norm(ppl: Any, number: int, channels: int) -> Transform:
    """Returns a normalisation with parameters, at first the identity."""
    shift = ppl.param(f"shift{number}", np.zeros(channels))
    return Inverse(ActNorm(shift, ppl.param(f"log_scale{number}", np.zeros(channels))))


def orthogonal(ppl: Any, number: int, channels: int) -> Mixing:
    """Returns a mixing of channels with parameters, at first a rotation.

    Its fixed permutation and signs are those of the number and the size alone, so that
    parameters mean the same in every run.
    """
    parts = factors_of(rotation(channels, number))
    names = ("lower", "upper", "log_diagonal")
    params = (ppl.param(f"{n}{number}", v) for n, v in zip(names, parts[2:], strict=True))
    return Mixing(parts.order, parts.sign, *params)


def normalised(source: Program | Fit, data: Mapping[str, Any]) -> Fit:
    """Sets activation normalisations to what rows of data ask for, one after another.

    With the fit that comes back training starts from activations of mean 0 and deviation 1 on
    these rows: ``ppgm.fit(normalised(program, {"x": x[:256]}), data, ELBO())``.

    Args:
        source: A program of a model with normalisations, such as `Glow`, or a fit of it.
        data: Some rows, at least 2 of them.

    Raises:
        ArgumentError: If `source` is something else, its model has no normalisation, or there is
            one row only.
        DataError: As `ppgm.fit`; or names a column that does not vary in these rows.

    References:
        | Glow (Kingma & Dhariwal, 2018), https://arxiv.org/abs/1807.03039, section 3.1
    """
    if not isinstance(source, Program | Fit):
        raise ArgumentError(
            "normalised needs a program of a density model such as Glow, or a fit of it, not "
            f"{type(source).__name__}"
        )
    start = source.program if isinstance(source, Fit) else source
    inner = start.declaration
    if not isinstance(inner, AbstractDensity):
        raise ArgumentError(
            f"normalised needs a program of a density model such as Glow, not of {inner!r}"
        )
    arrays = checked_data(start, data)
    if arrays.get("x") is None:
        came = ", ".join(f"'{n}'" for n in data) or "nothing"
        raise DataError(f"normalised needs data['x'], (N, {inner.columns}): the data have {came}")
    if len(arrays["x"]) < 2:
        raise ArgumentError("normalised needs at least 2 rows, to find deviations")
    fit = as_fit(source, arrays)
    alone = program(_Measuring(inner), host=fit.program.host, seed=fit.program.seed)
    found = hosts.load(alone.host).sample(alone, "model", fit.params, arrays, 1, 0)
    if not found:
        raise ArgumentError(f"{type(inner).__name__} has no activation normalisation to set")
    _check_spread(arrays["x"], found)
    return fit._replace(params={**fit.params, **{n: v[0] for n, v in found.items()}})


def _check_spread(x: np.ndarray, found: Mapping[str, np.ndarray]) -> None:
    """Checks that no channel was constant, whose other values would be divided by next to nothing.

    Raises:
        DataError: Names the column, or the channel where every column varies by itself.
    """
    spread = x.astype(float).std(0)
    column = int(spread.argmin())
    for name in [n for n in found if n.startswith("log_scale")]:
        log_scale = found[name][0]
        channel = int(log_scale.argmin())
        # a column that is constant may come out of earlier steps with next to no spread
        if len(log_scale) == len(spread) and spread[column] <= LEAST:
            what = f"column {column} of data['x'], {x[0, column]:g} in the first row,"
        elif log_scale[channel] < np.log(LEAST) + 1e-4:
            what = f"channel {channel} at '{name}'"
        else:
            continue
        raise DataError(
            f"normalised: {what} has a deviation of at most {LEAST:g} in these {len(x)} rows, too "
            "small to divide by: standardise the data, give rows in which it varies, or leave "
            "the column out"
        )


@dataclass(frozen=True)
class _Measuring:
    """Runs the steps on data with normalisations that they ask for, and names these."""

    inner: AbstractDensity

    def model(self, ppl: Any, x: Array) -> None:
        """Names shifts and log scales as the parameters that they are to be."""
        rows = ppl.ops.float(x)
        for step in self.inner.steps(ppl, partial(_Measured, ppl)):
            rows, _ = step.forward(rows)


@dataclass(frozen=True)
class _Measured:
    """The normalisation that some rows ask for."""

    ppl: Any
    number: int
    channels: int

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Returns normalised rows, and names their shift and log scale."""
        found = ActNorm.of(x, self.channels)
        self.ppl.deterministic(f"shift{self.number}", found.shift)
        self.ppl.deterministic(f"log_scale{self.number}", found.log_scale)
        return found.inverse(x)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """Raises: what is measured are data."""
        raise ArgumentError("a normalisation is measured on data, not on noise")
