r"""Predictions of one site from the others, with their uncertainty.

.. math::
    p(y | c) = E_{z}[p(y | z, c)], \quad
    z \sim p(z | c) \text{ or, where the rest of the data depend on it, } z \sim q(z | c)

Draws are made forward through the model as long as nothing observed depends on what is drawn:
they are then exact. Otherwise the guide draws the latents, given the data without the site; it
always draws those that all rows share, whose posterior came from the data of the fit. The
probabilities of a discrete site are averages of its exact ones over the draws of its parents, so
that classes of `q(y | x)` come without Monte Carlo error.
"""

__all__ = ["Prediction", "predict"]

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ppgm import host as hosts
from ppgm.arrays import as_arrays, check_finite
from ppgm.checking import check_declared
from ppgm.errors import ArgumentError
from ppgm.fits import Fit
from ppgm.predicting_plan import Plan, choose, make_plan, records
from ppgm.programs import Program
from ppgm.rows import row_count, take
from ppgm.sites import Site

PAIRS = 100_000
"""Largest number of row-draw pairs in one pass."""

Arrays = dict[str, np.ndarray]


class Prediction(NamedTuple):
    """What a model says of a site.

    Attributes:
        site: The site.
        mean: Mean of the predictive distribution, ``(*batch, *event)``.
        sd: Its standard deviation, in the same shape.
        probabilities: Of a discrete site with few values, the probability of each,
            ``(*batch, *event, values)``: of 0, 1, ..., or of the classes of a one-hot site,
            whose event they are. None otherwise.
        draws: The draws, ``(draws, *batch, *event)``, if they were asked for.
    """

    site: str
    mean: np.ndarray
    sd: np.ndarray
    probabilities: np.ndarray | None
    draws: np.ndarray | None

    @property
    def most_probable(self) -> np.ndarray:
        """Index of the most probable value, ``(*batch, *event)``: the predicted class."""
        if self.probabilities is None:
            raise ArgumentError(
                f"site '{self.site}' has no finite list of values: its mean is the prediction"
            )
        return self.probabilities.argmax(-1)


def predict(
    fit: Fit | Program,
    data: Mapping[str, Any],
    *,
    site: str | None = None,
    draws: int = 100,
    seed: int = 0,
    keep: bool = False,
) -> Prediction:
    """Predicts a site of the model for every row, given the data without it.

    Args:
        fit: A trained program, or a program to be taken at its initial parameters.
        data: What is known, by the names of the model's arguments. An entry of the name of the
            site itself is left out.
        site: An observed or a latent site of the model; by default the one argument of the
            model that is a site and not in the data, or the only one.
        draws: Number of draws for each row.
        seed: Seed of the draws.
        keep: Whether to return the draws.

    Raises:
        ArgumentError: If the site is none of the model's, or is not clear, or nothing is given.
        ModelError: If latents have to be drawn by the guide and it cannot do without the site.
        DataError: As `ppgm.fit`.
    """
    check_declared(fit, data)
    arrays = as_arrays(data)
    check_finite(arrays)
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise ArgumentError(f"draws must be an integer of at least 1, not {draws!r}")
    source, trained = (fit, None) if isinstance(fit, Program) else (fit.program, fit)
    name = choose(source, arrays) if site is None else site
    rest = {n: v for n, v in arrays.items() if n != name}
    plan = make_plan(source, trained, rest, name)
    chunks = _chunks(plan, rest, draws, seed)
    parts = [_predict(plan, part, draws, own, keep=keep) for part, own in chunks]
    return _joined(plan, parts, row_count(rest))


def _chunks(plan: Plan, data: Arrays, draws: int, seed: int) -> Iterator[tuple[Arrays, int]]:
    """Yields rows of the data, the last ones filled up with the first, and a seed for each."""
    rows, size = row_count(data) or 1, max(1, PAIRS // draws)
    if rows <= size or plan.axis is None:
        yield data, seed
        return
    for i, at in enumerate(range(0, rows, size)):
        own = int(np.random.SeedSequence([seed, i]).generate_state(1)[0])
        yield take(data, np.arange(at, at + size) % rows), own


def _joined(plan: Plan, parts: list[Prediction], rows: int | None) -> Prediction:
    """Puts the rows of all chunks together, without those that filled up the last."""
    if len(parts) == 1:
        return parts[0]

    def join(arrays: list[Any], axis: int) -> Any:
        if arrays[0] is None:
            return None
        return np.take(np.concatenate(arrays, axis), np.arange(rows or 0), axis)

    axis = plan.axis or 0
    columns = zip(*(part[1:] for part in parts), strict=True)
    places = (axis, axis, axis, axis + 1)  # draws come before the batch
    joined = (join(list(c), a) for c, a in zip(columns, places, strict=True))
    return Prediction(plan.site.name, *joined)


def _predict(plan: Plan, data: Arrays, draws: int, seed: int, *, keep: bool) -> Prediction:
    listed = plan.values is not None
    found = _draw(plan, data, draws if keep or plan.parents or not listed else 1, seed)
    value = found[plan.site.name]
    kept = value if keep else None
    if not listed:
        span = _span(plan.site)
        if span is None:
            mean, sd = value.mean(0, dtype=float), value.std(0, dtype=float)
            return Prediction(plan.site.name, mean, sd, None, kept)
        shares = np.stack([(value == v).mean(0) for v in span])
        moments = _moments(shares, np.asarray(span, float))
        return Prediction(plan.site.name, *moments, np.moveaxis(shares, 0, -1), kept)

    used = found if plan.parents else {n: v[:1] for n, v in found.items()}
    chances = _probabilities(plan, data, used)
    mean, sd = _moments(chances, np.asarray(plan.values, float))
    return Prediction(plan.site.name, mean, sd, np.moveaxis(chances, 0, -1), kept)


def _draw(plan: Plan, data: Arrays, draws: int, seed: int) -> Arrays:
    """Returns draws of the site and of its ancestors, each ``(draws, *batch, *event)``."""
    host = hosts.load(plan.model.host)
    given: Arrays = {}
    if plan.guide is not None:
        found = host.sample(plan.guide, "model", plan.params, data, draws, seed)
        if plan.by_guide:
            return found
        given = {n: v for n, v in found.items() if n in plan.drawn}
        seed += 1
    # a run of the model that draws observed sites is given them: others may depend on them
    observed = {s.name: np.asarray(data[s.name]) for s in plan.table.select("model", "observed")}
    given |= {n: np.broadcast_to(v, (draws, *v.shape)) for n, v in observed.items()}
    return given | host.sample(plan.model, "model", plan.params, data, draws, seed, given)


def _probabilities(plan: Plan, data: Arrays, draws: Arrays) -> np.ndarray:
    """Returns the probability of each value, averaged over draws, ``(values, *batch)``."""
    host, name = hosts.load(plan.model.host), plan.site.name
    latent = [
        n for n, r in records(plan.source, data).items() if r.type == "sample" and not r.observed
    ]
    given = {n: draws[n] for n in latent}
    found = []
    for value in np.asarray(plan.values):
        given[name] = np.broadcast_to(value, draws[name].shape)
        log_p = host.log_density(plan.source, plan.params, data, given)[name]
        found.append(np.exp(log_p.astype(float)).mean(0))
    return np.stack(found)


def _moments(chances: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation ``(*batch, *event)`` over the values."""
    mean = np.tensordot(chances, values, (0, 0))
    square = np.tensordot(chances, values**2, (0, 0))
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def _span(site: Site) -> range | None:
    """Returns the values of each element of a draw of bits or of classes; None of others."""
    if not site.discrete or (site.support != "boolean" and site.bounds is None):
        return None
    low, high = (0, 1) if site.bounds is None else site.bounds
    return range(low, high + 1)
