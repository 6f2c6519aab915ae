"""What an objective may ask of a program.

A `View` holds one program at one point of its training: parameters, a batch, randomness. It is
lazy, and what it has computed once it shares with every objective of a sum. The host supplies
the `Runner` behind it; nothing here names a host.
"""

__all__ = ["Dream", "Forward", "Runner", "View"]

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ppgm.errors import ModelError
from ppgm.ops import Array, Ops
from ppgm.sites import SiteTable
from ppgm.terms import Ask, Layout, Term, Weights, weigh


class Runner(Protocol):
    """Runs a program of one host with given parameters, batch and randomness."""

    ops: Ops
    data: dict[str, Any]
    rng: Any
    noise: Mapping[str, Array]

    def pair(
        self, ask: Ask, given: Mapping[str, Array] | None = None
    ) -> tuple[list[Term], list[Term]]:
        """Returns the terms of guide and model, and those with parameters held constant.

        Args:
            ask: Which draws.
            given: Values of the guide's sites in place of draws, ``(K, *plates, *event)``.
        """
        ...

    def single(
        self, side: str, values: Mapping[str, Array], *, observe: bool, particles: int = 1
    ) -> tuple[dict[str, Array], list[Term]]:
        """Runs one side with some values given: all its values, and its terms."""
        ...

    def kernel(self, value: Array) -> Array:
        """Applies the declaration's Markov kernel to rows of values."""
        ...

    def within(self, fn: Callable[[Any, Any], Any]) -> Any:
        """Returns ``fn(declaration, ppl)``, called with the program's parameters in place."""
        ...

    def net(self, name: str) -> Callable[[Array], Array]:
        """Returns a network that the objective owns."""
        ...


class Dream(NamedTuple):
    """A joint draw from the model, as many rows as the batch.

    Attributes:
        values: Latent, observed and implicit values by site.
    """

    values: dict[str, Array]


class Forward(NamedTuple):
    """One run of a side of a program.

    Attributes:
        values: Its named values by site, draws and deterministic ones.
        log_probs: Log density of each site that has one by row, ``(*rows)``.
    """

    values: dict[str, Array]
    log_probs: dict[str, Array]


class View:
    """What an objective sees of a program; see the module.

    Attributes:
        table: The site table.
        ops: Array functions of the host.
        state: Arrays that the objective owns; what it assigns returns with the loss.
        step: Number of the optimisation step, an array.
        metrics: Scalars to be logged, by name.
    """

    def __init__(
        self,
        runner: Runner,
        table: SiteTable,
        layout: Layout,
        *,
        total: float = 1.0,
        step: Array | int = 0,
        state: Mapping[str, Array] | None = None,
    ) -> None:
        self.table, self.ops, self.step = table, runner.ops, step
        self.state = dict(state or {})
        self.metrics: dict[str, Array] = {}
        self._runner, self._layout, self._total = runner, layout, total
        self._cache: dict[Any, Any] = {}

    @property
    def data(self) -> dict[str, Any]:
        """The batch."""
        return self._runner.data

    @property
    def total(self) -> float:
        """Number of rows of the whole data; 1 with global latents."""
        return self._total

    @property
    def rng(self) -> Any:
        """Source of noise: ``rng.normal(shape)``, ``rng.uniform(shape)``."""
        return self._runner.rng

    def weights(
        self,
        particles: int,
        *,
        enumerate: tuple[str, ...] = (),
        stopped: tuple[str, ...] = (),
        detached: bool = False,
    ) -> Weights:
        """Returns log weights of draws from the guide, arrays ``(K, *rows)``.

        Args:
            particles: Number of draws K.
            enumerate: Finite sites whose draws are replaced by all their values; the first
                axis is then values times K.
            stopped: Sides ("guide", "model") whose log density is also needed with constant
                parameters: `Weights.log_q_stopped`, `Weights.log_p_stopped`.
            detached: Whether the draws are constants.
        """
        return self.ask(Ask(particles, enumerate, stopped, detached))

    def ask(self, ask: Ask) -> Weights:
        """Returns log weights of the draws asked for, arrays ``(K, *rows)``."""
        try:
            known = self._cache.get(("weights", ask))
        except TypeError:  # a temperature that is being traced
            return self.weigh(*self._runner.pair(ask))
        if known is None:
            known = self._cache["weights", ask] = self.weigh(*self.terms(ask))
        return known

    def terms(
        self, ask: Ask, given: Mapping[str, Array] | None = None
    ) -> tuple[list[Term], list[Term]]:
        """Returns the terms of draws, and those of the sides that were to be held constant.

        Args:
            ask: Which draws.
            given: Values of the guide's sites in place of draws, ``(K, *plates, *event)``.
        """
        if given is not None:
            return self._runner.pair(ask, given)
        if ("terms", ask) not in self._cache:
            self._cache["terms", ask] = self._runner.pair(ask)
        return self._cache["terms", ask]

    def weigh(self, terms: list[Term], stopped: Sequence[Term] = ()) -> Weights:
        """Sums terms to weights per row."""
        return weigh(terms, self._layout, self.ops, stopped)

    def dream(self, particles: int = 1) -> Dream:
        """Returns joint draws of the model per row of the batch, gradients included.

        Args:
            particles: Number of draws; of several, values are ``(K, *batch, *event)``.
        """
        if ("dream", particles) not in self._cache:
            drawn = self._runner.single("model", {}, observe=False, particles=particles)[0]
            self._cache["dream", particles] = Dream(drawn)
        return self._cache["dream", particles]

    def prior(self, particles: int = 1) -> dict[str, Array]:
        """Returns draws of the model's latents, each ``(K, *batch, *event)``, the data in place.

        A latent that follows from an observed site is drawn given its data, as the model's
        density of it has it; `dream` would draw it given a dream of them.
        """
        return self._runner.single("model", {}, observe=True, particles=particles)[0]

    def recognise(self, particles: int = 1) -> dict[str, Array]:
        """Returns draws of the guide's sites given the batch, each ``(K, *batch, *event)``."""
        terms, _ = self.terms(Ask(particles))
        return {t.name: t.value for t in terms if t.side == "guide"}

    def forward(self, side: str) -> Forward:
        """Returns the values of one run of "model" or "guide" at the batch, gradients included."""
        if ("forward", side) not in self._cache:
            values, terms = self._runner.single(side, {}, observe=True)
            self._cache["forward", side] = Forward(
                values, {t.name: self._rows([t]) for t in terms}
            )
        return self._cache["forward", side]

    def log_joint(self, values: Mapping[str, Array]) -> Array:
        """Returns the model's log density of the values, possibly unnormalised, ``(*rows)``.

        Args:
            values: Values of observed and latent sites; the batch supplies what is missing.
        """
        return self._rows(self._runner.single("model", values, observe=True)[1])

    def log_guide(self, values: Mapping[str, Array]) -> Array:
        """Returns the guide's log density of latent values given data among `values`."""
        return self._rows(self._runner.single("guide", values, observe=True)[1])

    def kernel(self, value: Array) -> Array:
        """Applies the declaration's Markov kernel, without gradients."""
        return self.ops.stop_gradient(self._runner.kernel(value))

    def within(self, fn: Callable[[Any, Any], Any]) -> Any:
        """Returns ``fn(declaration, ppl)``, called with the program's parameters in place.

        The declaration is None for a program of the host's own.
        """
        return self._runner.within(fn)

    def noise(self, site: str, shape: tuple[int, ...]) -> Array:
        """Returns standard normal noise for a site, or what was given for it."""
        given = self._runner.noise.get(site)
        return self.rng.normal(shape) if given is None else given

    def net(self, name: str) -> Callable[[Array], Array]:
        """Returns a network that the objective owns."""
        return self._runner.net(name)

    def grad(self, fn: Callable[[Array], Array], x: Array) -> Array:
        """Returns the derivative of ``fn(x).sum()`` in `x`, itself differentiable."""
        return self.ops.grad(fn, x)

    def scale(self, plate: str) -> Array | float:
        """Returns the number of data that a row of a plate stands for: a float, or ``(B,)``."""
        scale = self._layout.scales[plate]
        return scale if isinstance(scale, float | int) else scale.reshape((-1,))

    def sum(self, rows: Array) -> Array:
        """Returns the estimate of the sum over all data of a value per row."""
        value = rows
        for axis, name in enumerate(self._layout.rows) if rows.ndim else ():
            value = value * _align(self._layout.scales[name], axis, rows)
        return value.sum() if value.ndim else value

    def mean(self, rows: Array) -> Array:
        """Returns the estimate of the mean over all data of a value per row."""
        return self.sum(rows) / self._total if rows.ndim else rows

    def record(self, name: str, value: Array) -> None:
        """Logs a scalar; no gradient flows from it."""
        self.metrics[name] = self.ops.stop_gradient(value)

    def scoped(self, name: str) -> "View":
        """Returns this view with the part of the state that belongs to one term of a sum."""
        view = View(self._runner, self.table, self._layout, total=self._total, step=self.step)
        prefix = f"{name}/"
        view.state = {
            k.removeprefix(prefix): v for k, v in self.state.items() if k.startswith(prefix)
        }
        view._cache = self._cache
        return view

    def _rows(self, terms: list[Term]) -> Array:
        if not terms:
            raise ModelError("the program has no site with a density for the values asked")
        log_p = weigh([t._replace(side="model") for t in terms], self._layout, self.ops).log_p
        return log_p[0]


def _align(scale: Array | float, axis: int, rows: Array) -> Array | float:
    if isinstance(scale, float | int):
        return scale
    return scale.reshape((-1,) + (1,) * (rows.ndim - axis - 1))  # rows have fewer axes than terms
