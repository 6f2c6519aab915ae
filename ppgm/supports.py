"""Values and the support of their site: what lies outside is refused, with what to do."""

__all__ = ["check_support"]

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ppgm.errors import DataError
from ppgm.sites import Site, SiteTable

SUPPORTS = {
    "boolean": (lambda x: (x == 0) | (x == 1), "0 or 1", "encode it as 0 and 1"),
    "unit_interval": (lambda x: (x >= 0) & (x <= 1), "in [0, 1]", "scale it"),
    "nonnegative_integer": (lambda x: (x >= 0) & (x == np.floor(x)), "0, 1, 2, ...", "encode it"),
    "onehot": (lambda x: _one_hot(x), "zeros with a single one", "encode classes with one_hot"),
    "positive": (lambda x: x > 0, "positive", "shift or exponentiate it"),
}
"""Checks of values by support: test, words for it, and what to do."""


def _one_hot(x: np.ndarray) -> np.ndarray:
    return ((x == 0) | (x == 1)) & (x.sum(-1, keepdims=True) == 1)


def check_support(table: SiteTable, data: Mapping[str, Any], declaration: Any = None) -> None:
    """Checks that observed data lie in their site's support.

    Args:
        table: The sites.
        data: The data.
        declaration: The declaration that the sites are of, if any: advice fits what it has.

    Raises:
        DataError: Names the site, the first value outside, and what to do.
    """
    for site in table.select("model", "observed"):
        value, rule = data.get(site.name), _rule(_bounded(site, declaration))
        if not hasattr(value, "shape"):
            continue
        _check_batched(site, tuple(value.shape))  # pyright: ignore[reportOptionalMemberAccess]
        _check_bits(site, np.asarray(value))
        if rule is None:
            continue
        test, words, advice = rule
        array = np.asarray(value)
        bad = np.argwhere(~test(array) & _counts(site.name, data, declaration))
        if len(bad):
            raise DataError(
                f"data['{site.name}'] has {len(bad)} values outside the support of site "
                f"'{site.name}' ({site.distribution}: {words}), the first {array[tuple(bad[0])]} "
                f"at {tuple(int(i) for i in bad[0])}: "
                f"{_for_bits(array, declaration) if site.support == 'boolean' else advice}"
            )


def _counts(name: str, data: Mapping[str, Any], declaration: Any) -> Any:
    """Returns which values of a site count: all but those that the declaration does not read."""
    seen = getattr(declaration, "seen", None)
    return True if seen is None else seen(data).get(name, True)


def _check_bits(site: Site, value: np.ndarray) -> None:
    """Checks that booleans are not the values of a density on numbers: torch cannot subtract them.

    The continuous Bernoulli takes them: its unit interval has both ends.
    """
    if value.dtype.kind == "b" and not site.discrete and site.support != "unit_interval":
        raise DataError(
            f"data['{site.name}'] is boolean and site '{site.name}' is {site.distribution} "
            f"(support {site.support}): give numbers, data['{site.name}'].astype(float), or make "
            "the site a Bernoulli"
        )


def _check_batched(site: Site, shape: tuple[int, ...]) -> None:
    """Checks that one row did not become the value of every row of its plates."""
    counts = site.distribution in ("OneHotCategorical", "Multinomial")  # data may be their indices
    if site.plates and shape and shape == site.event_shape and not counts:
        raise DataError(
            f"data['{site.name}'] has the shape {shape} of a single draw of site '{site.name}', "
            f"which is in plates {site.plates}: give it an axis of rows, data['{site.name}'][None]"
        )


def _bounded(site: Site, declaration: Any) -> Site:
    """Returns the site with the ends of its values, where only the likelihood knows them."""
    if site.bounds is not None or site.support != "nonnegative_integer":
        return site
    bounds = getattr(getattr(declaration, "likelihood", None), "bounds", None)
    return site._replace(bounds=bounds)


def _rule(site: Site) -> tuple[Callable[[np.ndarray], np.ndarray], str, str] | None:
    if site.bounds is None:
        return SUPPORTS.get(site.support)
    low, high = site.bounds

    def inside(x: np.ndarray) -> np.ndarray:
        return (x >= low) & (x <= high) & (x == np.floor(x))

    return inside, f"{low}, {low + 1}, ..., {high}", "encode it, or declare more values"


def _for_bits(values: np.ndarray, declaration: Any) -> str:
    """Returns what to do with values that are no bits, as far as the model has a choice."""
    grey = bool(np.all((values >= 0) & (values <= 1)))
    other = "ContinuousBernoulli()" if grey else "Gaussian()"
    if grey:
        first = "binarise it (ppgm.data.load(..., binarise='threshold'), ppgm fit --binarise)"
    else:
        first = "encode it as 0 and 1"
    if declaration is None:
        return f"{first}, or observe it by {'a ContinuousBernoulli' if grey else 'a Normal'}"
    if hasattr(declaration, "likelihood"):
        word = "continuous-bernoulli" if grey else "gaussian"
        return f"{first}, or give likelihood={other} (ppgm fit --set likelihood={word})"
    return f"{first}; {type(declaration).__name__} is for bits, VAE(likelihood={other}) is not"
