"""Training: `fit` and its result.

`fit` is the same on both hosts: it checks the data and the program before the first step,
plans minibatches with its own generator, and hands chunks of steps to the host's trainer.
"""

__all__ = ["EarlyStopping", "Epoch", "Fit", "fit"]

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ppgm import host as hosts
from ppgm.batches import Chunk, Source, Steps, open_source
from ppgm.checking import bind, check_validation
from ppgm.errors import ArgumentError, NonFiniteError
from ppgm.history import History
from ppgm.inference.objective import AbstractObjective
from ppgm.interrupt import interruptible
from ppgm.optimisers import Adam
from ppgm.programs import Program
from ppgm.progress import Bar
from ppgm.rows import check_rows
from ppgm.sites import SiteTable


class Epoch(NamedTuple):
    """What a callback is told after an epoch.

    Attributes:
        epoch: Number of epochs done.
        metrics: Means of the epoch by name, "bound" among them.
        params: Function that returns the parameters at this point.
    """

    epoch: int
    metrics: dict[str, float]
    params: Callable[[], dict[str, np.ndarray]]


@dataclass(frozen=True)
class EarlyStopping:
    """Stops when a metric has not risen for `patience` epochs, and keeps the best parameters.

    Only epochs of the running fit count, not those of a `Fit` that it goes on from.

    Args:
        monitor: The metric, "validation" (needs validation data) or "bound".
        patience: Number of epochs without a rise.
        min_delta: The least that counts as a rise.
    """

    monitor: str = "validation"
    patience: int = 10
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ArgumentError(f"patience must be at least 1, not {self.patience}")


class Fit(NamedTuple):
    """A trained program.

    Attributes:
        program: The program.
        params: Constrained parameters by canonical name, such as "decoder.layers.0.weight"
            ``(out, in)``; the same names and layouts on both hosts.
        history: Arrays with one entry per epoch: "epoch", "seconds" (from the start), "bound"
            (per datum; of the whole data with global latents), "validation", "<player>.loss".
            An epoch that was left in the middle makes a last entry.
        state: All that a bit-identical continuation needs; empty if dropped.
        config: How it was trained: objective, optimisers, seed, batch size, epochs and steps.
    """

    program: Program
    params: dict[str, np.ndarray]
    history: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    config: dict[str, Any]

    def save(self, folder: str | Path) -> Path:
        """Writes the fit to a folder: safetensors and JSON; see `ppgm.load`."""
        from ppgm.saving import save

        return save(self, folder)

    def to(self, host: str) -> "Fit":
        """Returns the fit on another host; only programs of a declaration can move.

        The parameters go along; the optimiser's state, which is the host's own, does not.
        """
        from ppgm.saving import move

        return move(self, host)

    def __str__(self) -> str:
        from ppgm.saving import describe

        return describe(self)


def fit(
    program: Program | Fit,
    data: Mapping[str, Any] | Iterable[Any],
    objective: AbstractObjective | None = None,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    optimiser: Any = None,
    seed: int | None = None,
    validation: Mapping[str, Any] | None = None,
    early_stopping: EarlyStopping | None = None,
    callbacks: Sequence[Callable[[Epoch], None]] = (),
    progress: bool | None = None,
) -> Fit:
    """Trains a program.

    Args:
        program: The program, or a `Fit` to go on from: its parameters, and, with the same
            objective and optimiser on the same host, all its state, bit for bit.
        data: Arrays by name, the keyword arguments of model and guide; or an iterable of such
            batches, for instance a torch ``DataLoader``, which is gone through once before the
            first step, to check and count its rows.
        objective: What to train by; by default that of the `Fit`.
        epochs: Passes over the data; after a `Fit`, that many more.
        steps: Optimisation steps, in place of `epochs`; after a `Fit`, that many more. They may
            end in the middle of an epoch: going on from there continues that epoch.
        batch_size: Rows of a minibatch; None for all rows in every step.
        optimiser: A `ppgm.optimisers` value, an optimiser of the host, or a dict of one for
            each player; by default Adam with rate 1e-3.
        seed: Seed of initial weights, minibatches and draws; by default 0, or the `Fit`'s.
            After a `Fit`, draws and optimisers go on from its state whatever the seed.
        validation: Data whose bound is logged after each epoch. Without minibatches each step
            is an epoch: then validation, like callbacks, takes its time after every step.
        early_stopping: When to stop early; None for never.
        callbacks: Functions called with an `Epoch` after each epoch.
        progress: Whether to show a bar; by default in a terminal only.

    Returns:
        The fit. Ctrl-C ends the running step and returns what there is.

    Raises:
        DataError: For NaN or infinite data (with row and column), values outside a site's
            support, or arrays whose rows do not match.
        ModelError: If model and guide do not match.
        EstimatorError: If the objective cannot be right for the program.
        NonFiniteError: If a loss became NaN or infinite; names the site and holds the last
            finite `Fit`.
    """
    before = program if isinstance(program, Fit) else None
    source_program = program.program if isinstance(program, Fit) else program
    objective, seed = _defaults(before, objective, seed)
    _check_counts(epochs=epochs, steps=steps, batch_size=batch_size)
    source = open_source(data, batch_size, seed)
    bound = bind(source_program, source, objective)
    optimisers = _optimisers(optimiser, objective, before)
    rows = 1.0
    if validation is not None:
        validation = check_validation(bound.table, validation)
        if bound.rows_follow:
            check_rows(validation)
        rows = _validation_rows(source_program.sites(validation), bound.table)
    _check_early_stopping(early_stopping, validation)

    state = _state(before, objective, optimisers)
    done = _done(before, objective)
    inside = state if _same_batches(before, source) else {}
    trainer = hosts.load(source_program.host).trainer(
        bound.program, objective, bound.table, source.data, optimisers, seed,
        bound.total, before.params if before else None, source.sample_rows(),
    )  # fmt: skip
    run = _Run(
        trainer, source, source_program, objective, optimisers, seed, validation,
        rows, early_stopping, callbacks,
        History.of(before if done or inside else None, done, inside), done,
    )  # fmt: skip
    try:
        if state:
            trainer.restore(state)
        else:
            trainer.start(source.first(), float(source.steps_per_epoch))
        return run.go(epochs, steps, progress=progress)
    finally:
        trainer.close()


@dataclass
class _Run:
    """The state of one call of `fit`."""

    trainer: Any
    source: Source
    program: Program
    objective: AbstractObjective
    optimisers: dict[str, Any]
    seed: int
    validation: Mapping[str, Any] | None
    validation_rows: float
    early_stopping: EarlyStopping | None
    callbacks: Sequence[Callable[[Epoch], None]]
    history: History
    done: int
    best: dict[str, np.ndarray] | None = None

    def go(self, epochs: int | None, steps: int | None, *, progress: bool | None) -> Fit:
        per_epoch, start = self.source.steps_per_epoch, time.perf_counter()
        at = self.done * per_epoch + self.history.running
        count = steps or (self.done + (epochs or 0)) * per_epoch - at
        # where something is to see every epoch, no chunk runs past the end of one
        watched = bool(self.validation or self.early_stopping or self.callbacks)
        chunks = self.source.chunks(at, count, each_epoch=watched)
        with (
            Bar((at + count) // per_epoch - self.done, show=progress) as bar,
            interruptible(self.trainer) as interrupt,
        ):
            for chunk in chunks:
                begun = time.perf_counter() - start
                found = chunk.run(self.trainer)
                self._record(chunk, found, (begun, time.perf_counter() - start), bar)
                if found.bad:
                    raise self._non_finite(chunk, found)
                if interrupt.is_set():
                    bar.write(f"interrupted: kept the fit after {self.done} epochs")
                    break
                if self._stop():
                    break
        return self._fit()

    def _record(self, chunk: Chunk, found: Steps, seconds: tuple[float, float], bar: Bar) -> None:
        """Adds the steps to the history, epoch by epoch."""
        begun, over = seconds

        def add(start: int, stop: int) -> None:
            part = {n: v[start:stop] for n, v in found.log.items()}
            self.history.extend(part, begun + (over - begun) * stop / max(found.count, 1))

        at = 0
        for epoch, end in chunk.ends:
            if end > found.count:
                break
            add(at, end)
            at = end
            self._end_epoch(epoch, self.history.close(), bar)
        if at < found.count:
            add(at, found.count)

    def _end_epoch(self, epoch: int, metrics: dict[str, float], bar: Bar) -> None:
        if self.validation is not None:
            metrics["validation"] = self._validate(epoch)
        self.done = epoch
        self.history.add(epoch, metrics)
        if self.early_stopping:
            if self.early_stopping.monitor not in metrics:
                raise ArgumentError(
                    f"early_stopping monitors '{self.early_stopping.monitor}', which this fit "
                    f"does not log; it logs {sorted(metrics)}"
                )
            if self.history.is_best(self.early_stopping.monitor):
                self.best = self.trainer.params()
        bar.update(metrics)
        for callback in self.callbacks:
            callback(Epoch(epoch, metrics, self.trainer.params))

    def _validate(self, epoch: int) -> float:
        assert self.validation is not None
        found = self.trainer.bound(self.validation, self.seed + epoch, self.validation_rows)
        return found.get("bound", -next(iter(found.values())))

    def _stop(self) -> bool:
        rule = self.early_stopping
        if rule is None:
            return False
        return self.history.stale(rule.monitor, rule.min_delta) >= rule.patience

    def _non_finite(self, chunk: Chunk, found: Steps) -> NonFiniteError:
        """Returns the error that tells of the step that was not finished."""
        name = next(n for n, v in found.bad.items() if not np.isfinite(v))
        fit = self._fit()
        what = f"{name} is {found.bad[name]} in step {fit.config['steps'] + 1}"
        if name == "parameters":
            what = f"step {fit.config['steps'] + 1} would make parameters NaN or infinite"
        site = self._first_bad_site(chunk.batch(self.source.data, found.count))
        return NonFiniteError(
            f"{what}{site}: try a smaller learning rate, `clip_norm`, or check the data's scale; "
            "the last finite parameters are in this error's `fit`",
            fit,
        )

    def _first_bad_site(self, batch: Mapping[str, Any]) -> str:
        params, host = self.trainer.params(), hosts.load(self.program.host)
        for side in ("guide", "model"):
            if getattr(self.program, side) is None:
                continue
            records = host.trace(self.program, side, batch, params, seed=self.seed)
            for name, record in records.items():
                if not record.finite:
                    return f" (first at site '{name}' of the {side})"
        return " (every site's log density is finite: the gradient or the objective diverged)"

    def _fit(self) -> Fit:
        state = self.trainer.export()
        config = {
            "objective": self.objective, "optimiser": self.optimisers, "seed": self.seed,
            "epochs": self.done, "batch_size": self.source.batch_size,
            "rows": self.source.rows, "steps": int(state["step"]),
        }  # fmt: skip
        params = self.best if self.best is not None else self.trainer.params()
        state = state | self.history.export() if self.best is None else {}
        return Fit(self.program, params, self.history.arrays(), state, config)


def _defaults(
    before: Fit | None, objective: AbstractObjective | None, seed: int | None
) -> tuple[AbstractObjective, int]:
    if objective is None:
        if before is None:
            raise ArgumentError("objective is missing: give one, for instance ELBO()")
        objective = before.config["objective"]
    if not isinstance(objective, AbstractObjective):
        raise ArgumentError(f"objective must be an objective such as ELBO(), not {objective!r}")
    seed = (before.config["seed"] if before else 0) if seed is None else seed
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"seed must be an integer of at least 0, not {seed!r}")
    return objective, int(seed)


def _check_counts(*, epochs: Any, steps: Any, batch_size: Any) -> None:
    if (epochs is None) == (steps is None):
        raise ArgumentError("give either epochs or steps")
    for name, value in (("epochs", epochs), ("steps", steps), ("batch_size", batch_size)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ArgumentError(f"{name} must be an integer of at least 1, not {value!r}")


def _validation_rows(found: SiteTable, trained: SiteTable) -> float:
    """Returns how many rows a bound on the validation data sums over; 1 with global latents.

    Args:
        found: Sites of the program on the validation data, whose plates have their own sizes.
        trained: Sites of the program on a batch, by which a drawn row counts for several.
    """
    scales = {n: p.full_size / p.size for n, p in trained.plates.items()}
    return prod((found.plates[n].size * scales[n] for n in trained.rows), start=1.0)


def _check_early_stopping(
    rule: EarlyStopping | None, validation: Mapping[str, Any] | None
) -> None:
    if rule is not None and rule.monitor == "validation" and validation is None:
        raise ArgumentError(
            "early_stopping monitors 'validation': give validation data, or "
            "EarlyStopping(monitor='bound')"
        )


def _done(before: Fit | None, objective: AbstractObjective) -> int:
    """Returns the number of epochs that count as done; another objective begins anew."""
    if before is None or before.config["objective"] != objective:
        return 0
    return int(before.config["epochs"])


def _state(
    before: Fit | None, objective: AbstractObjective, optimisers: dict[str, Any]
) -> Mapping[str, np.ndarray]:
    """Returns the state to go on from; empty unless objective and optimisers are the same."""
    if before is None or before.config["objective"] != objective:
        return {}
    return before.state if before.config["optimiser"] == optimisers else {}


def _same_batches(before: Fit | None, source: Source) -> bool:
    """Tells whether an epoch that was left in the middle can go on there."""
    if before is None:
        return False
    mine = {"batch_size": source.batch_size, "rows": source.rows}
    return all(before.config.get(name) == value for name, value in mine.items())


def _optimisers(given: Any, objective: AbstractObjective, before: Fit | None) -> dict[str, Any]:
    names = [p.name for p in objective.players]
    if given is None:
        old = before.config["optimiser"] if before else {}
        return {n: old.get(n, Adam()) for n in names}
    if not isinstance(given, dict):
        return dict.fromkeys(names, given)
    if set(given) != set(names):
        raise ArgumentError(
            f"optimiser has entries {sorted(given)}; the players of this objective are {names}"
        )
    return given
