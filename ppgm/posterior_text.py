"""A posterior as text for the terminal."""

__all__ = ["summary"]

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ppgm.posterior import Posterior

UNRELIABLE = 0.7
"""Above this k-hat, importance weights do not correct the draws (Vehtari et al., 2024)."""


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
        _k_line(name, np.asarray(k))
        for name, k in (k_hat if isinstance(k_hat, Mapping) else {"k-hat": k_hat}).items()
    ]
    if posterior.attrs.get("iid_draws"):
        rather = "; read k-hat" if lines else ""
        lines.append(
            f"r_hat, ESS and MCSE: not applicable, the draws of a chain are independent{rather}"
        )
    return lines


def _k_line(name: str, k: np.ndarray) -> str:
    if not k.size:
        return f"{name}: no rows"
    bad = int(np.sum(~(k <= UNRELIABLE)))
    warning = f"{bad} above {UNRELIABLE} or NaN: do not trust the draws there"
    verdict = warning if bad else "all good"
    return f"{name}: {_range(k[~np.isnan(k)])} over {k.size} row{'s' * (k.size != 1)}, {verdict}"


def _range(values: np.ndarray) -> str:
    if not values.size:
        return "-"
    low, high = f"{np.min(values):.3g}", f"{np.max(values):.3g}"
    return low if low == high else f"{low} .. {high}"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "-"
