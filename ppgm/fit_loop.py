"""The loop of `ppgm.fit`: chunks of steps, and what is done between them.

After each chunk the losses go into the history; at the end of an epoch come validation, the best
parameters so far, and callbacks. A step that is not finite, Ctrl-C or early stopping ends it.
"""

__all__ = ["Run"]

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm import host as hosts
from ppgm.batches import Chunk, Source, Steps
from ppgm.errors import ArgumentError, NonFiniteError
from ppgm.fits import EarlyStopping, Epoch, Fit
from ppgm.history import History
from ppgm.inference.objective import AbstractObjective
from ppgm.interrupt import interruptible
from ppgm.programs import Program
from ppgm.progress import Bar


@dataclass
class Run:
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
        """Trains for that many epochs or steps, or until something ends it."""
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
        advice = (
            "try a smaller learning rate, `clip_norm`, or check the data's scale; "
            "the last finite parameters are in this error's `fit`"
        )
        return NonFiniteError(f"{what}{site}", fit, advice)

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
