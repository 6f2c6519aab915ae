"""A posterior as text for the terminal."""

__all__ = ["summary"]

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ppgm import diagnostics
from ppgm.errors import MissingDependencyError, missing

if TYPE_CHECKING:
    from ppgm.posterior import Posterior

FEWEST_DRAWS = 4
"""Fewer draws in a chain cannot be split in two and compared."""

MIXED = 1.01
"""Largest r_hat of chains that have mixed (Vehtari et al., 2021)."""


def summary(posterior: "Posterior") -> str:
    """Returns a table of the sites' means and deviations, and what is known of their quality.

    Sites with many elements show the smallest and largest value over them.
    """
    mean, sd = posterior.mean(), posterior.sd()
    rows = [("site", "shape", "mean", "sd")]
    rows += [(n, _shape(mean[n].shape), _range(mean[n]), _range(sd[n])) for n in posterior.draws]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows)
    return "\n".join([_head(posterior), *table, *_quality(posterior)])


def _head(posterior: "Posterior") -> str:
    chains, draws = np.shape(next(iter(posterior.draws.values()), np.empty((0, 0))))[:2]
    keys = ("inference_method", "objective", "host", "seed")
    facts = [f"{k} {posterior.attrs[k]}" for k in keys if posterior.attrs.get(k) is not None]
    facts = [f.removeprefix("inference_method ").removeprefix("objective ") for f in facts]
    origin = f" ({', '.join(facts)})" if facts else ""
    return f"Posterior: {chains} x {draws} draws{origin}"


def _quality(posterior: "Posterior") -> list[str]:
    k_hat = posterior.k_hat
    if k_hat is None:
        k_hat = {}
    lines = [
        _k_line(name, np.asarray(k), _weighted(posterior))
        for name, k in (k_hat if isinstance(k_hat, Mapping) else {"k-hat": k_hat}).items()
    ]
    if "diverging" in posterior.sample_stats:
        lines += _chain_lines(posterior)
    if posterior.attrs.get("iid_draws"):
        rather = "; read k-hat" if lines else ""
        lines.append(
            f"r_hat, ESS and MCSE: not applicable, the draws of a chain are independent{rather}"
        )
    return lines


def _chain_lines(posterior: "Posterior") -> list[str]:
    """Says what Markov chains tell about themselves."""
    stats = posterior.sample_stats
    diverging = np.asarray(stats["diverging"])
    bad = int(diverging.sum())
    advice = ": raise target_accept, or reparameterise" if bad else ""
    accepted = float(np.mean(stats["acceptance_rate"]))
    lines = [f"divergences: {bad} of {diverging.size}{advice}; mean acceptance {accepted:.2f}"]
    if diverging.shape[1] < FEWEST_DRAWS:
        return [*lines, f"r_hat and ESS: need {FEWEST_DRAWS} draws a chain"]
    try:
        worst, least = _mixing(posterior)
    except MissingDependencyError as error:
        return [*lines, f"r_hat and ESS: {error}"]
    verdict = "" if worst <= MIXED else f": above {MIXED}, the chains have not mixed; run longer"
    verdict = verdict if np.isfinite(worst) else ": some draws never moved"
    return [*lines, f"r_hat at most {worst:.3f}, bulk ESS at least {least:.0f}{verdict}"]


def _mixing(posterior: "Posterior") -> tuple[float, float]:
    """Returns the largest r_hat and the smallest bulk ESS over all elements of all sites."""
    draws = posterior.to_datatree()["posterior"].to_dataset()
    try:
        import arviz
    except ImportError as error:
        raise missing("arviz", "arviz") from error
    with np.errstate(invalid="ignore", divide="ignore"):  # of draws that never moved: NaN
        # arviz annotates what it returns for an array, not for a data set
        r_hat: Any = arviz.rhat(draws)
        ess: Any = arviz.ess(draws)
    worst = [float(np.max(np.asarray(r_hat[n]))) for n in r_hat.data_vars]
    return max(worst), min(float(np.min(np.asarray(ess[n]))) for n in ess.data_vars)


def _weighted(posterior: "Posterior") -> int:
    """Returns the number of weights that k-hat is of: particles, or the draws of all chains."""
    sizes = [int(np.prod(np.shape(v)[:2])) for v in posterior.draws.values()]
    found = int(posterior.attrs.get("num_particles", max(sizes, default=0)))
    return max(found, diagnostics.FEWEST)  # of fewer there is no k-hat


def _k_line(name: str, k: np.ndarray, draws: int) -> str:
    if not k.size:
        return f"{name}: no rows"
    bad = int(np.sum(~(k <= diagnostics.good_k(draws))))
    warning = f"{bad} above {diagnostics.limit(draws)} or NaN: do not trust the draws there"
    verdict = warning if bad else "all good"
    return f"{name}: {_range(k[~np.isnan(k)])} over {k.size} row{'s' * (k.size != 1)}, {verdict}"


def _range(values: np.ndarray) -> str:
    if not values.size:
        return "-"
    low, high = f"{np.min(values):.3g}", f"{np.max(values):.3g}"
    return low if low == high else f"{low} .. {high}"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "-"
