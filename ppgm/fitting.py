"""Training: `fit`.

`fit` is the same on both hosts: it checks the data and the program before the first step,
plans minibatches with its own generator, and hands chunks of steps to the host's trainer.
"""

__all__ = ["fit"]

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ppgm import host as hosts
from ppgm.checking import bind, check_declared, check_validation
from ppgm.fit_arguments import (
    check_callbacks,
    check_counts,
    check_early_stopping,
    defaults,
    epochs_done,
    optimisers_of,
    same_batches,
    state_of,
    steps_done,
    validation_rows,
)
from ppgm.fit_loop import Run
from ppgm.fits import EarlyStopping, Epoch, Fit
from ppgm.history import History
from ppgm.inference.objective import AbstractObjective
from ppgm.programs import Program
from ppgm.rows import check_rows
from ppgm.saving import check_params
from ppgm.sources import open_source


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
        objective: What to train by; by default that of the `Fit`. Another one starts from the
            parameters of the `Fit`, and counts epochs and records history anew.
        epochs: Passes over the data; after a `Fit`, that many more. With its objective, the
            counts of epochs and steps go on, whatever the optimiser.
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
        StorageError: If a `Fit` to go on from has not the parameters of its program.
        NonFiniteError: If a loss became NaN or infinite; names the site and holds the last
            finite `Fit`.
    """
    before = program if isinstance(program, Fit) else None
    source_program = program.program if isinstance(program, Fit) else program
    objective, seed = defaults(before, objective, seed)
    check_counts(epochs=epochs, steps=steps, batch_size=batch_size)
    callbacks = check_callbacks(callbacks)
    check_declared(program, data)
    source = open_source(data, batch_size, seed)
    bound = bind(source_program, source, objective)
    if before is not None:
        check_params(before, source.sample_rows())
    optimisers = optimisers_of(optimiser, objective, before)
    rows = 1.0
    if validation is not None:
        check_declared(program, validation)
        validation = check_validation(bound.table, validation, source_program.declaration)
        if bound.rows_follow:
            check_rows(validation)
        rows = validation_rows(source_program.sites(validation), bound.table)
    check_early_stopping(early_stopping, validation)

    state = state_of(before, objective, optimisers)
    done = epochs_done(before, objective)
    inside = state if same_batches(before, source) else {}
    trainer = hosts.load(source_program.host).trainer(
        bound.program, objective, bound.table, source.data, optimisers, seed,
        bound.total, before.params if before else None, source.sample_rows(),
    )  # fmt: skip
    run = Run(
        trainer, source, source_program, objective, optimisers, seed, validation,
        rows, early_stopping, callbacks,
        History.of(before if done or inside else None, done, inside), done,
    )  # fmt: skip
    try:
        if state:
            trainer.restore(state)
        else:
            begun = steps_done(before, objective)
            trainer.start(source.first(), float(source.steps_per_epoch), begun)
        return run.go(epochs, steps, progress=progress)
    finally:
        trainer.close()
