"""Training: `fit` and its result.

`fit` is the same on both hosts: it checks the data and the program before the first step,
plans minibatches with its own generator, and hands chunks of steps to the host's trainer.
"""

__all__ = ["EarlyStopping", "Epoch", "Fit", "fit"]

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ppgm import host as hosts
from ppgm.batches import Source, open_source
from ppgm.checking import bind
from ppgm.errors import ArgumentError, NonFiniteError
from ppgm.history import History
from ppgm.inference.objective import AbstractObjective
from ppgm.interrupt import interruptible
from ppgm.optimisers import Adam
from ppgm.programs import Program
from ppgm.progress import Bar


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

    Args:
        monitor: The metric, "validation" (needs validation data) or "bound".
        patience: Number of epochs without a rise.
        min_delta: The least that counts as a rise.
    """

    monitor: str = "validation"
    patience: int = 10
    min_delta: float = 0.0


class Fit(NamedTuple):
    """A trained program.

    Attributes:
        program: The program.
        params: Constrained parameters by canonical name, such as "decoder.layers.0.weight"
            ``(out, in)``; the same names and layouts on both hosts.
        history: Arrays with one entry per epoch: "epoch", "seconds" (from the start), "bound"
            (per datum; of the whole data with global latents), "validation", "<player>.loss".
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
            batches, for instance a torch ``DataLoader``.
        objective: What to train by; by default that of the `Fit`.
        epochs: Passes over the data.
        steps: Optimisation steps, in place of `epochs`.
        batch_size: Rows of a minibatch; None for all rows in every step.
        optimiser: A `ppgm.optimisers` value, an optimiser of the host, or a dict of one for
            each player; by default Adam with rate 1e-3.
        seed: Seed of initial weights, minibatches and draws; by default 0, or the `Fit`'s.
        validation: Data whose bound is logged after each epoch.
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
    objective, seed = _resume_defaults(before, objective, seed)
    source = open_source(data, batch_size, seed)
    done = int(before.config["epochs"]) if before and _continues(before, objective) else 0
    plan = _length(epochs, steps, source)
    bound = bind(source_program, source, objective)
    optimisers = _optimisers(optimiser, objective, before)

    trainer = hosts.load(source_program.host).trainer(
        bound.program, objective, bound.table, source.data, optimisers, seed,
        bound.total, before.params if before else None,
    )  # fmt: skip
    run = _Run(
        trainer, source, source_program, objective, optimisers, seed, validation,
        bound.rows_follow, early_stopping, callbacks, History.of(before, done), done,
    )  # fmt: skip
    try:
        if before and done and _same_optimisers(before, optimisers) and before.state:
            trainer.restore(before.state)
        else:
            trainer.start(source.first(), source.scale)
        return run.go(*plan, progress=progress)
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
    rows_follow: bool
    early_stopping: EarlyStopping | None
    callbacks: Sequence[Callable[[Epoch], None]]
    history: History
    done: int
    best: dict[str, np.ndarray] | None = None

    def go(self, epochs: int, steps: int | None, *, progress: bool | None) -> Fit:
        start = time.perf_counter()
        with Bar(epochs, self.done, progress) as bar, interruptible(self.trainer) as interrupt:
            for chunk in self.source.chunks(self.done, self.done + epochs, steps):
                self._check(chunk.run(self.trainer))
                if interrupt.is_set():
                    bar.write(f"interrupted: kept the fit after {self.done} epochs")
                    break
                for epoch, metrics in chunk.finished(self.history):
                    seconds, last = time.perf_counter() - start, epoch == chunk.ends[-1][0]
                    self._end_epoch(epoch, metrics, seconds, last=last)
                    bar.update(epoch, metrics)
                if self._stop():
                    break
        return self._fit()

    def _end_epoch(
        self, epoch: int, metrics: dict[str, float], seconds: float, *, last: bool
    ) -> None:
        # of epochs that ended in one chunk the parameters are known for the last only
        if self.validation is not None and last:
            metrics["validation"] = self._validate(epoch)
        self.done = epoch
        self.history.add(epoch, seconds, metrics)
        if self.early_stopping and last and self.history.is_best(self.early_stopping.monitor, epoch):
            self.best = self.trainer.params()
        for callback in self.callbacks:
            callback(Epoch(epoch, metrics, self.trainer.params))

    def _validate(self, epoch: int) -> float:
        assert self.validation is not None
        rows = self.source.rows_of(self.validation) if self.rows_follow else 1
        found = self.trainer.bound(self.validation, self.seed + epoch, float(rows))
        return found.get("bound", -next(iter(found.values())))

    def _stop(self) -> bool:
        rule = self.early_stopping
        return rule is not None and self.history.stale(rule.monitor, rule.min_delta) >= rule.patience

    def _check(self, log: dict[str, np.ndarray]) -> None:
        bad = [name for name, values in log.items() if not np.isfinite(values[-1])]
        if not bad:
            return
        self.history.drop_open()
        step = int(self.trainer.export()["step"]) + 1
        site = self._first_bad_site()
        raise NonFiniteError(
            f"{bad[0]} is {log[bad[0]][-1]} in step {step}{site}: try a smaller learning rate, "
            "`clip_norm`, or check the data's scale; the last finite parameters are in this "
            "error's `fit`",
            self._fit(),
        )

    def _first_bad_site(self) -> str:
        params, data = self.trainer.params(), self.source.sample_rows()
        for side in ("guide", "model"):
            if getattr(self.program, side) is None:
                continue
            records = hosts.load(self.program.host).trace(
                self.program, side, data, params, seed=self.seed
            )
            for name, record in records.items():
                if not record.finite:
                    return f" (first at site '{name}' of the {side})"
        return " (every site's log density is finite: the gradient or the objective diverged)"

    def _fit(self) -> Fit:
        config = {
            "objective": self.objective, "optimiser": self.optimisers, "seed": self.seed,
            "epochs": self.done, "batch_size": self.source.batch_size,
            "rows": self.source.rows, "steps": int(self.trainer.export()["step"]),
        }  # fmt: skip
        params = self.best if self.best is not None else self.trainer.params()
        state = self.trainer.export() if self.best is None else {}
        return Fit(self.program, params, self.history.arrays(), state, config)


def _resume_defaults(
    before: Fit | None, objective: AbstractObjective | None, seed: int | None
) -> tuple[AbstractObjective, int]:
    if objective is None:
        if before is None:
            raise ArgumentError("objective is missing: give one, for instance ELBO()")
        objective = before.config["objective"]
    if not isinstance(objective, AbstractObjective):
        raise ArgumentError(
            f"objective must be an objective such as ELBO(), not {objective!r}"
        )
    return objective, (before.config["seed"] if before else 0) if seed is None else seed


def _continues(before: Fit, objective: AbstractObjective) -> bool:
    return before.config["objective"] == objective


def _same_optimisers(before: Fit, optimisers: dict[str, Any]) -> bool:
    return before.config["optimiser"] == optimisers


def _length(epochs: int | None, steps: int | None, source: Source) -> tuple[int, int | None]:
    if (epochs is None) == (steps is None):
        raise ArgumentError("give either epochs or steps")
    for name, value in (("epochs", epochs), ("steps", steps)):
        if value is not None and value < 1:
            raise ArgumentError(f"{name} must be at least 1, not {value}")
    if epochs is not None:
        return epochs, None
    assert steps is not None
    per_epoch = source.steps_per_epoch
    if per_epoch is None:
        raise ArgumentError(
            "steps needs data whose number of batches is known: give epochs, or arrays"
        )
    return -(-steps // per_epoch), steps


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
