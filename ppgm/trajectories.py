"""Draws of states and data of sequences, with the times that they are of."""

__all__ = ["Trajectories"]

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ppgm import arviz_export

STATES = ("chain", "draw", "row", "time", "state")
DATA = ("chain", "draw", "row", "time", "feature")


class Trajectories(NamedTuple):
    """What `ppgm.forecast`, `ppgm.smooth` and `ppgm.interpolate` return.

    Attributes:
        states: Draws of states, ``(draws, N, S, L)``.
        x: Draws of data, ``(draws, N, S, D)``; None where only states were asked for.
        times: Number of each step, counted from 0 at the first of its row, ``(N, S)``.
        observed: The data, ``(N, T, D)``, NaN for what was not seen.
        attrs: Facts: ``inference_method``, ``host`` and ``seed``.
    """

    states: np.ndarray
    x: np.ndarray | None
    times: np.ndarray
    observed: np.ndarray
    attrs: Mapping[str, Any]

    def mean(self) -> dict[str, np.ndarray]:
        """Returns means over the draws: "z" ``(N, S, L)`` and, where there are, "x"."""
        return {name: value.mean(0, dtype=float) for name, value in self._draws().items()}

    def sd(self) -> dict[str, np.ndarray]:
        """Returns standard deviations over the draws, as `mean`."""
        ddof = min(1, len(self.states) - 1)
        return {n: v.std(0, dtype=float, ddof=ddof) for n, v in self._draws().items()}

    def to_datatree(self) -> Any:
        """Returns an ``xarray.DataTree`` with ArviZ's groups.

        Forecasts are in ``predictions``; states of the data's own steps in ``posterior``, and
        draws of the data there in ``posterior_predictive``; the data in ``observed_data``.
        Dimensions are chain (one), draw, row, time, and state or feature. Times are those of the
        data: where rows end at different times, a forecast is NaN at the times that are not among
        its own.

        Raises:
            MissingDependencyError: If xarray is not installed.
        """
        xarray = arviz_export.optional("xarray", "arviz")
        times = np.unique(self.times)
        ahead = self.attrs["inference_method"] == "forecast"
        groups: dict[str, dict[str, Any]] = {}
        for name, value in self._draws().items():
            inner = "posterior" if name == "z" else "posterior_predictive"
            dims = STATES if name == "z" else DATA
            own = groups.setdefault("predictions" if ahead else inner, {})
            own[name] = (dims, self._placed(value, times)[None])
        attrs = {"inference_library": "ppgm", **self.attrs}
        trees = {n: _dataset(xarray, g, times, attrs) for n, g in groups.items()}
        seen = {"x": (DATA[2:], self.observed)}
        trees["observed_data"] = _dataset(xarray, seen, np.arange(self.observed.shape[1]), attrs)
        tree = xarray.DataTree.from_dict(trees)
        tree.attrs.update(attrs)
        return tree

    def to_arviz(self) -> Any:
        """Returns ArviZ's container: ``InferenceData`` on 0.x, a ``DataTree`` from 1.0 on."""
        return arviz_export.to_arviz(self.to_datatree())

    def _draws(self) -> dict[str, np.ndarray]:
        return {"z": self.states} | ({} if self.x is None else {"x": self.x})

    def _placed(self, value: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Puts the steps of each row ``(draws, N, S, *)`` at their places among all times."""
        if len(times) == value.shape[2]:
            return value
        found = np.full((*value.shape[:2], len(times), value.shape[3]), np.nan)
        index = np.searchsorted(times, self.times)
        np.put_along_axis(found, index[None, :, :, None], value, 2)
        return found

    def __repr__(self) -> str:
        shapes = ", ".join(f"{n}{list(v.shape)}" for n, v in self._draws().items())
        return f"<Trajectories {self.attrs['inference_method']} {shapes}>"


def _dataset(xarray: Any, group: Mapping[str, Any], times: np.ndarray, attrs: Any) -> Any:
    sizes = {d: n for dims, v in group.values() for d, n in zip(dims, v.shape, strict=True)}
    coords = {d: np.arange(n) for d, n in sizes.items()} | {"time": times}
    return xarray.Dataset(dict(group), coords=coords, attrs=dict(attrs))
