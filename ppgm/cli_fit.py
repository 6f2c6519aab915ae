"""``ppgm fit``: trains a model of the registry on a data set, into a run folder."""

__all__ = ["fit"]

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ppgm.cli_values import assignments, build
from ppgm.errors import ArgumentError

if TYPE_CHECKING:
    from ppgm.cli_runs import Run
    from ppgm.data import Dataset

OBJECTIVES = {"generator": "gan", "rbm": "cd", "sbn": "vimco"}
"""Objectives of models that the ELBO is not the first choice for."""


@click.command()
@click.argument("model")
@click.option("--data", "source", help="A name (ppgm list data) or a .npz, .npy or .csv file.")
@click.option(
    "--binarise", help="static, dynamic, threshold or none; the data set's own if left out."
)
@click.option("--data-seed", type=click.IntRange(min=0), default=0, help="Seed of the data set.")
@click.option("--objective", help="A name (ppgm list objectives).  [elbo; what suits the model]")
@click.option("--particles", type=int, help="Draws per row: short for --option particles=N.")
@click.option("--host", type=click.Choice(["numpyro", "pyro"]), help="[numpyro]")
@click.option("--epochs", type=int, help="Passes over the data.  [20]")
@click.option("--steps", type=int, help="Optimisation steps, in place of --epochs.")
@click.option("--batch-size", type=int, help="Rows of a minibatch.  [128]")
@click.option("--optimiser", help="A name (ppgm list optimisers).  [adam]")
@click.option("--rate", type=float, help="Learning rate.  [0.001]")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Seed of weights, minibatches and draws.  [0]"
)
@click.option("--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Field of the model.")
@click.option(
    "--option", "options", multiple=True, metavar="FIELD=VALUE", help="Field of the objective."
)
@click.option(
    "--optimiser-option",
    "tuning",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Field of the optimiser.",
)
@click.option("--validation", is_flag=True, help="Log the bound of the held-out rows as well.")
@click.option(
    "--out", type=click.Path(file_okay=False), help="Run folder.  [runs/MODEL-OBJECTIVE-HOST]"
)
@click.option("--resume", is_flag=True, help="Go on from the run in --out.")
@click.option("--overwrite", is_flag=True, help="Replace the run in --out.")
@click.option("--pictures/--no-pictures", default=True, help="Draw PNG files into the folder.")
def fit(**given: Any) -> None:
    """Train MODEL and save it, with pictures, in a run folder.

    \b
    ppgm fit vae --data digits --objective iwae --particles 5 --epochs 50
    ppgm fit vae --set latent=8 --set hidden=64,64 --set likelihood=bernoulli
    ppgm fit generator --data ring --rate 1e-3 --optimiser-option b1=0 --steps 4000
    ppgm fit vae --out runs/a --resume --epochs 20

    MODEL is a name of `ppgm list models`. Fields of the model such as `features` that follow
    from the data are filled in. With --resume and another --objective the parameters go on, and
    epochs and history begin anew: the run in --out loses those that it had.
    """  # noqa: D301 (click's mark is a backspace)
    from ppgm.cli_pictures import pictures

    if given["epochs"] is None and given["steps"] is None:
        given["epochs"] = 20
    run, done = _resumed(given) if given["resume"] else (_started(given), {})
    run.fit.save(run.folder)
    click.echo(str(run.fit))
    files = pictures(run) if given["pictures"] else []
    click.echo(f"saved in {run.folder}" + "".join(f", {f.name}" for f in files))
    if _cut_short(run, done, given):
        click.get_current_context().exit(130)


def _started(given: dict[str, Any]) -> "Run":
    """Trains a new program."""
    import ppgm
    from ppgm import registry
    from ppgm.cli_data import for_model, load
    from ppgm.cli_runs import Run, remember

    cls = registry.get("models", given["model"])
    host = given["host"] or "numpyro"
    source, seed = given["source"] or "digits", given["seed"] or 0
    name = given["objective"] or OBJECTIVES.get(given["model"], "elbo")
    folder = Path(given["out"] or f"runs/{given['model']}-{name}-{host}".replace(":", "-"))
    _check_free(folder, overwrite=given["overwrite"])

    loaded = load(source, binarise=given["binarise"], seed=given["data_seed"])
    data = for_model(loaded, cls)
    if len(data.train) < len(loaded.train):
        click.echo(f"{source}: {data.description}")
    model = _model(given["model"], given["sets"], data)
    objective = build("objectives", name, _options(given))
    program = ppgm.program(model, host=host, seed=seed)
    trained = ppgm.fit(
        program,
        data.train,
        objective,
        epochs=given["epochs"],
        steps=given["steps"],
        batch_size=_batch(given, data),
        optimiser=_optimiser(given) or build("optimisers", "adam", {}),
        seed=seed,
        validation=data.test if given["validation"] else None,
    )
    trained = remember(trained, source, given["binarise"], given["data_seed"])
    return Run(folder, trained, data)


def _resumed(given: dict[str, Any]) -> tuple["Run", dict[str, int]]:
    """Goes on from a run; returns it with the epochs and steps that its counts began at."""
    import ppgm
    from ppgm import registry
    from ppgm.cli_runs import opened
    from ppgm.fit_arguments import defaults, epochs_done, optimisers_of, steps_done

    if given["out"] is None:
        raise ArgumentError("--resume needs --out, the folder of the run to go on from")
    for option in ("sets", "binarise", "data_seed"):
        if given[option]:
            flag = {"sets": "set"}.get(option, option).replace("_", "-")
            raise ArgumentError(f"--{flag} cannot change in a run that is resumed: leave it out")
    run = opened(given["out"], data=given["source"], host=given["host"])
    kind, name = registry.name_of(type(run.fit.program.declaration))
    if given["model"] not in (name, name.partition(":")[2]):
        raise ArgumentError(f"{given['out']} is a run of '{name}', not of '{given['model']}'")

    options = _options(given)
    if given["objective"] is None and options:
        raise ArgumentError("--option and --particles need --objective in a run that is resumed")
    asked = build("objectives", given["objective"], options) if given["objective"] else None
    objective, _ = defaults(run.fit, asked, given["seed"])
    optimisers = optimisers_of(_optimiser(given), objective, run.fit)
    done = {
        "epochs": epochs_done(run.fit, objective),
        "steps": steps_done(run.fit, objective),
    }
    if objective != run.fit.config["objective"]:
        click.echo("another objective: parameters go on, epochs and history begin anew")
    trained = ppgm.fit(
        run.fit,
        run.data.train,
        objective,
        epochs=given["epochs"],
        steps=given["steps"],
        batch_size=given["batch_size"] or run.fit.config["batch_size"],
        optimiser=optimisers,
        seed=given["seed"],
        validation=run.data.test if given["validation"] else None,
    )
    kept = {"data": {**run.fit.config.get("data", {}), **_source(given)}}
    return run._replace(fit=trained._replace(config={**trained.config, **kept})), done


def _source(given: dict[str, Any]) -> dict[str, Any]:
    return (
        {} if given["source"] is None else {"source": given["source"], "binarise": None, "seed": 0}
    )


def _check_free(folder: Path, *, overwrite: bool) -> None:
    if (folder / "manifest.json").exists() and not overwrite:
        raise ArgumentError(
            f"{folder} holds a run: add --resume to go on from it, --overwrite to replace it, or "
            "choose another --out"
        )


def _model(name: str, sets: tuple[str, ...], data: "Dataset") -> Any:
    from ppgm.cli_data import columns

    return build("models", name, assignments(sets), defaults={"features": columns(data)})


def _options(given: dict[str, Any]) -> dict[str, str]:
    options = assignments(given["options"])
    if given["particles"] is None:
        return options
    if "particles" in options:
        raise ArgumentError("give either --particles or --option particles=N")
    return {**options, "particles": str(given["particles"])}


def _optimiser(given: dict[str, Any]) -> Any:
    """Returns the optimiser that was asked for, or None if nothing was."""
    tuning = assignments(given["tuning"])
    if given["rate"] is not None:
        if "rate" in tuning:
            raise ArgumentError("give either --rate or --optimiser-option rate=R")
        tuning["rate"] = str(given["rate"])
    if given["optimiser"] is None and not tuning:
        return None
    return build("optimisers", given["optimiser"] or "adam", tuning)


def _batch(given: dict[str, Any], data: "Dataset") -> int:
    rows = len(next(iter(data.train.values())))
    return min(rows, given["batch_size"] or 128)


def _cut_short(run: "Run", done: dict[str, int], given: dict[str, Any]) -> bool:
    """Whether Ctrl-C ended the training before its time."""
    key = "epochs" if given["steps"] is None else "steps"
    return run.fit.config[key] - done.get(key, 0) < given[key]
