"""Fits on disk: safetensors for arrays, JSON for the rest; nothing in them is code."""

__all__ = ["check_params", "describe", "load", "move", "save"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppgm import host as hosts
from ppgm import specs, store
from ppgm.errors import ArgumentError, PpgmError, StorageError
from ppgm.fits import Fit
from ppgm.programs import Program, program


def save(fit: Fit, folder: str | Path) -> Path:
    """Writes a fit; see `Fit.save`."""
    declaration = fit.program.declaration
    config = {
        "declaration": None if declaration is None else specs.to_dict(declaration),
        "host": fit.program.host,
        "program_seed": fit.program.seed,
        "objective": specs.to_dict(fit.config["objective"]),
        "optimiser": {n: _described(o) for n, o in fit.config["optimiser"].items()},
        "run": {k: v for k, v in fit.config.items() if k not in ("objective", "optimiser")},
    }
    tensors = {"params": fit.params, "state": fit.state}
    store.save(folder, config=config, tensors=tensors, history=fit.history)
    return Path(folder)


def load(folder: str | Path, *, program: Program | None = None, host: str | None = None) -> Fit:
    """Reads a fit that `Fit.save` wrote.

    Args:
        folder: The folder.
        program: The program, needed for one that is not of a declaration.
        host: Host to load a declaration on, if not the one it was trained on.

    Raises:
        StorageError: If the folder holds no run, or a damaged one.
        ArgumentError: If a program is needed and not given.
    """
    stored = store.load(folder)
    config = stored.config
    try:
        run = dict(config["run"])
        objective = specs.from_dict(config["objective"])
        optimiser = {n: o and specs.from_dict(o) for n, o in config["optimiser"].items()}
        own = _program(folder, config, program, host)
    except (KeyError, TypeError) as error:
        raise StorageError(f"{folder} holds no fit of ppgm: {error!r} in its config") from error
    same = own.host == config["host"]
    return Fit(
        own, stored.tensors["params"], stored.history, stored.tensors["state"] if same else {},
        {**run, "objective": objective, "optimiser": optimiser},
    )  # fmt: skip


def check_params(fit: Fit, data: Mapping[str, Any]) -> None:
    """Checks that a fit of a program of one's own, which `load` was given, has its parameters.

    Args:
        fit: The fit.
        data: Data to run the program with, to find its parameters.

    Raises:
        StorageError: If names or shapes differ; a program would run with its initial values.
    """
    if fit.program.declaration is not None or not fit.config:
        return
    wanted = hosts.load(fit.program.host).initial(fit.program, data, fit.program.seed)
    groups = (g for player in fit.config["objective"].players for g in player.groups)
    nets = tuple(f"{group}." for group in groups if group not in ("model", "guide"))
    found = {n: v for n, v in fit.params.items() if n in wanted or not n.startswith(nets)}
    store.match({n: v.shape for n, v in wanted.items()}, found)


def move(fit: Fit, host: str) -> Fit:
    """Returns the fit on another host; see `Fit.to`."""
    if fit.program.host == host:
        return fit
    if fit.program.declaration is None:
        raise ArgumentError(
            f"the program is written in {fit.program.host} and cannot move to {host}: only "
            "programs of a declaration (`ppgm.program(...)`) run on both hosts"
        )
    moved = program(fit.program.declaration, host=host, seed=fit.program.seed)
    return fit._replace(program=moved, state={})


def describe(fit: Fit) -> str:
    """Returns a summary of a fit in a few lines."""
    program, config = fit.program, fit.config
    size = sum(v.size for v in fit.params.values())
    name = program.declaration or getattr(program.model, "__name__", "program")
    lines = [f"{name} on {program.host}: {size:,} parameters"]
    if not len(fit.history.get("epoch", ())):
        return lines[0] + ", not trained"
    lines.append(
        f"trained by {config['objective']}, {config['epochs']} epochs, {config['steps']} steps, "
        f"seed {config['seed']}, {fit.history['seconds'][-1]:.1f} s"
    )
    shown = ("bound", "validation")
    lines += [f"{n}: {fit.history[n][-1]:.3f}" for n in shown if n in fit.history]
    return "\n".join(lines)


def _described(optimiser: Any) -> dict[str, Any] | None:
    """Returns the spec of a portable optimiser; the hosts' own cannot be written down."""
    try:
        return specs.to_dict(optimiser)
    except PpgmError:
        return None


def _program(
    folder: str | Path, config: dict[str, Any], given: Program | None, host: str | None
) -> Program:
    if config["declaration"] is not None and given is None:
        declaration = specs.from_dict(config["declaration"], kind="models")
        return program(declaration, host=host or config["host"], seed=config["program_seed"])
    if given is None:
        raise ArgumentError(
            f"{folder} holds a fit of a program written in {config['host']}: give the program, "
            "`ppgm.load(folder, program=...)`"
        )
    if host is not None and host != given.host:
        raise ArgumentError(f"host '{host}' is not the program's, '{given.host}': leave it out")
    return given
