r"""Held-out evidence of a trained program.

.. math::
    \log p(x_n) \approx \log \frac{1}{K} \sum_k \frac{p(x_n, z_k)}{q(z_k | x_n)}, \quad
    z_k \sim q(z | x_n)

The estimate is low on average (it is a lower bound in expectation) and consistent in K. How far
it can be trusted is said by its standard error, the effective sample size and k-hat, row by row.

References:
    | Importance Weighted Autoencoders (Burda et al., 2016), https://arxiv.org/abs/1509.00519
    | Yes, but Did It Work? (Yao et al., 2018), https://arxiv.org/abs/1802.02538
"""

__all__ = ["Evidence", "evaluate"]

from collections.abc import Mapping
from inspect import signature
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ppgm import diagnostics
from ppgm import host as hosts
from ppgm.arrays import as_array
from ppgm.checking import (
    check_all_rows,
    check_declared,
    check_finite,
    check_program,
    check_support,
    plates_of_rows,
)
from ppgm.errors import ArgumentError, EstimatorError
from ppgm.failures import explained
from ppgm.fits import Fit, as_fit
from ppgm.legality import check_density
from ppgm.programs import Program
from ppgm.rows import row_count, take
from ppgm.saving import check_params
from ppgm.sites import SiteTable

PAIRS = 100_000
"""Default number of row-particle pairs in one pass; about 0.3 GB for hidden layers of 200."""


class Evidence(NamedTuple):
    """Estimates of log p(x).

    Attributes:
        log_likelihood: By row, ``(N,)``, nats; with global latents one value, ``(1,)``; with
            several row plates an axis for each, in the order of the site table's `rows`.
        row_errors: Their Monte Carlo standard errors, ``(N,)``.
        ess: Effective sample size of each row's weights, ``(N,)``, of `particles`; NaN where
            the exact value stands in for an estimate.
        k_hat: Shape of each row's weight tail, ``(N,)``: up to `diagnostics.good_k` of the
            particles is usable; NaN likewise.
        exact: The exact log p(x) where the model has it, ``(N,)``, or None.
        particles: Number of draws K.
        elbo: The evidence lower bound of each row by the same draws, ``(N,)``: the mean of its
            log weights; None without draws.
    """

    log_likelihood: np.ndarray
    row_errors: np.ndarray
    ess: np.ndarray
    k_hat: np.ndarray
    exact: np.ndarray | None
    particles: int
    elbo: np.ndarray | None = None

    @property
    def mean(self) -> float:
        """Mean over rows, nats per row."""
        return float(self.log_likelihood.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of `mean` as an estimate for new rows; of one row, Monte Carlo only."""
        if self.log_likelihood.size == 1:
            return self.monte_carlo_error
        return float(self.log_likelihood.std(ddof=1) / np.sqrt(self.log_likelihood.size))

    @property
    def monte_carlo_error(self) -> float:
        """Standard error of `mean` as an estimate for these rows: that of the draws alone."""
        return float(np.sqrt(np.square(self.row_errors).sum()) / self.row_errors.size)

    def __str__(self) -> str:
        if np.isnan(self.ess).all():
            return (
                f"exact log p(x) = {self.mean:.3f} +- {self.standard_error:.3f} nats per row "
                f"({self._rows})"
            )
        rows, limit = self.log_likelihood.size, diagnostics.limit(self.particles)
        bad = int((self.k_hat > diagnostics.good_k(self.particles)).sum())
        lines = [
            f"log p(x) = {self.mean:.3f} +- {self.standard_error:.3f} nats per row "
            f"({self._rows}, {self.particles} particles, Monte Carlo error "
            f"{self.monte_carlo_error:.3f})",
            f"effective sample size: median {np.median(self.ess):.0f}, least {self.ess.min():.0f}",
            f"k-hat: median {np.median(self.k_hat):.2f}, above {limit} in {bad} of {rows} rows"
            + (": more particles, or a better guide, before trusting them" if bad else ""),
        ]
        if self.elbo is not None:
            lines.insert(1, f"ELBO = {self.elbo.mean():.3f}, by the same draws")
        if self.exact is not None:
            exact, gap = self.exact.mean(), self.exact.mean() - self.mean
            side = "below" if gap >= 0 else "above"
            lines.append(f"exact log p(x) = {exact:.3f}, the estimate {abs(gap):.3f} {side} it")
        return "\n".join(lines)

    @property
    def _rows(self) -> str:
        rows = self.log_likelihood.size
        return f"{rows} row" if rows == 1 else f"{rows} rows"


def evaluate(
    fit: Fit | Program,
    data: Mapping[str, Any],
    *,
    particles: int = 1000,
    chunk: int | None = None,
    seed: int = 0,
) -> Evidence:
    """Estimates log p(x) of every row by importance weighting with the guide.

    Args:
        fit: A trained program, or a program to be taken at its initial parameters. Without
            latents log p(x) is exact; with latents and no guide the declaration has to know it.
        data: The rows, by the names of the model's arguments.
        particles: Draws for each row, at least 25 (k-hat needs a tail).
        chunk: Rows of one pass; by default as many as make 100,000 row-particle pairs, where each
            step of a sequence counts. Only where one plate of the program follows the rows of
            the data: all else is one pass.
        seed: Seed of the draws.

    Raises:
        EstimatorError: If the program has neither a guide nor an exact likelihood, draws a
            subsample of its rows, or has an estimate of log p(x) in place of a density.
        DataError: As `ppgm.fit`.
    """
    check_declared(fit, data)
    arrays = {name: as_array(name, value) for name, value in data.items()}
    check_finite(arrays)
    if chunk is not None and chunk < 1:
        raise ArgumentError(f"chunk must be at least 1 row, not {chunk}")
    fit = as_fit(fit, arrays)
    table = fit.program.sites(arrays)
    check_program(table)
    check_all_rows(table, "evaluate")
    check_density(table, "evaluate")
    check_support(table, arrays, fit.program.declaration)
    check_params(fit, arrays)
    if table.exact:
        with explained(fit.program, arrays, fit.params):
            return _certain(_log_weights(fit, table, arrays, 1, chunk, seed)[0].astype(float))
    exact, reason = _exact(fit, table, arrays)
    if not table.has_guide:
        if exact is None:
            raise EstimatorError(
                f"evaluate needs a guide to draw from, or an exact likelihood, and {reason}; "
                "draws can be compared with the data without either: ppgm.sample(fit, n)"
            )
        return _certain(exact)
    if particles < diagnostics.FEWEST:
        raise ArgumentError(f"particles must be at least 25 for k-hat, not {particles}")

    with explained(fit.program, arrays, fit.params):
        log_w = _log_weights(fit, table, arrays, particles, chunk, seed)
    value, error = diagnostics.log_mean_exp(log_w)
    k_hat, ess = diagnostics.pareto_k(log_w), diagnostics.ess(log_w)
    return Evidence(value, error, ess, k_hat, exact, particles, log_w.mean(0, dtype=float))


def _certain(exact: np.ndarray) -> Evidence:
    """Returns exact values as evidence: nothing was drawn."""
    blank = np.full(exact.shape, np.nan)
    return Evidence(exact, np.zeros(exact.shape), blank, blank, exact, 0)


def _exact(fit: Fit, table: SiteTable, data: Mapping[str, Any]) -> tuple[np.ndarray | None, str]:
    """Returns the declaration's exact log-likelihood, or None and why there is none."""
    method = getattr(fit.program.declaration, "log_likelihood", None)
    observed = [s.name for s in table.select("model", "observed")]
    if method is None or len(observed) != 1:
        return None, "the program has neither"
    try:
        names = set(signature(method).parameters) - {observed[0]}
        rest = {n: v for n, v in data.items() if n in names}
        return np.asarray(method(fit.params, np.asarray(data[observed[0]]), **rest)), ""
    except ArgumentError as error:  # too large to enumerate: the declaration's own limit
        return None, str(error)


def _log_weights(
    fit: Fit,
    table: SiteTable,
    data: Mapping[str, Any],
    particles: int,
    chunk: int | None,
    seed: int,
) -> np.ndarray:
    """Returns log weights ``(K, *rows)``, ``(K, 1)`` with global latents, chunk by chunk.

    They are of the host's precision, by which k-hat tells noise from a tail.
    """
    weigh = hosts.load(fit.program.host).weigher(fit.program, fit.params, data)
    rows = row_count(data) or 1
    each = max(particles, diagnostics.FEWEST) * _steps(table)
    size = min(rows, max(1, chunk or PAIRS // each))
    axis = _row_axis(fit.program, table, data) if size < rows else None
    if axis is None:
        found = weigh(data, particles, _chunk_seed(seed, 0))
        return np.asarray(found if table.rows else found.reshape(particles, 1))
    parts = []
    for i, at in enumerate(range(0, rows, size)):
        index = np.arange(at, at + size)
        # the last chunk is filled up with rows seen before: one shape, compiled once
        found = weigh(take(data, index % rows), particles, _chunk_seed(seed, i))
        parts.append(np.compress(index < rows, found, axis=axis))
    return np.concatenate(parts, axis=axis)


def _steps(table: SiteTable) -> int:
    """Returns the number of vectors that a row has, 1 but for sequences: each is a pair's work."""
    sites = table.select("model", "latent", "observed")
    return max(prod(site.event_shape[:-1]) for site in sites)


def _chunk_seed(seed: int, chunk: int) -> int:
    return int(np.random.SeedSequence([seed, chunk]).generate_state(1)[0])


def _row_axis(program: Program, table: SiteTable, data: Mapping[str, Any]) -> int | None:
    """Returns the axis of log weights that follows the rows of the data.

    None where no row plate does, or where another plate does too: some rows of both would then
    be another program.
    """
    found = plates_of_rows(program, table, data)
    if len(found) != 1 or found[0] not in table.rows:
        return None
    return 1 + table.rows.index(found[0])
