"""The command ``ppgm``.

Exit codes: 0 done, 1 an error that one line on stderr explains, 2 a wrong command line, 130
interrupted. Nothing heavy is imported before a command needs it.
"""

__all__ = ["cli", "main"]

import errno
import json
from typing import Any

import click

import ppgm
from ppgm import tables
from ppgm.cli_answers import compare, evaluate, infer, sample
from ppgm.cli_fit import fit
from ppgm.cli_gradients import estimators, gradients
from ppgm.cli_graph import graph
from ppgm.errors import NonFiniteError, PpgmError

DIVERGED = {
    "fit": "try a smaller --rate, --optimiser-option clip_norm=1, or check the data's scale; "
    "nothing was saved",
    "infer": "try a smaller --option optimiser.rate=R, --option optimiser.clip_norm=1, or check "
    "the data's scale; nothing was saved",
    "demo": "its rates are set for all seeds: try another --seed or --host; what was trained "
    "before is in the folder of --out",
}
"""What a shell can do about a `NonFiniteError`, by command."""


class Commands(click.Group):
    """A group whose commands end with one line and an exit code for what goes wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except NonFiniteError as error:
            advice = DIVERGED.get(ctx.invoked_subcommand or "", "check the data's scale")
            return _fail(ctx, f"{error.fact}: {advice}")
        except PpgmError as error:
            return _fail(ctx, str(error))
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            return ctx.exit(130)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of a pipe left: click ends quietly
                raise
            return _fail(ctx, str(error))


def _fail(ctx: click.Context, message: str) -> None:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    ctx.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(ppgm.__version__, prog_name="ppgm")
def cli() -> None:
    """Deep generative models as probabilistic programs, on Pyro and NumPyro.

    \b
    ppgm demo                                     a tour on real data
    ppgm fit vae --objective iwae --particles 5   train; see ppgm fit --help
    ppgm compare runs/a runs/b                    which of two runs is better
    """  # noqa: D301 (click's mark is a backspace)


@cli.command("list")
@click.argument("kind", required=False)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
def list_(kind: str | None, form: str) -> None:
    """List models, objectives, methods and their parts, of ppgm and of plug-ins.

    KIND is one of models, guides, objectives, gradients, methods, likelihoods, networks,
    schedules, optimisers or data; without it everything is listed.
    """
    from ppgm import registry

    entries = [] if kind == "data" else registry.catalogue(kind)
    rows = [(e.kind, e.name, e.origin, e.summary) for e in entries]
    if kind in (None, "data"):
        from ppgm.cli_data import SUMMARIES

        rows += [("data", name, "ppgm", summary) for name, summary in SUMMARIES.items()]
    header = ("kind", "name", "origin", "summary")
    if form == "json":
        click.echo(json.dumps([dict(zip(header, row, strict=True)) for row in rows], indent=2))
    else:
        click.echo(tables.text(header, rows))


@cli.command()
@click.option("--out", type=click.Path(file_okay=False), default="runs/demo", show_default=True)
@click.option(
    "--host",
    type=click.Choice(["numpyro", "pyro"]),
    default="numpyro",
    show_default=True,
    help="Host that trains everything.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--quick", is_flag=True, help="A few steps of everything: a check, no results.")
def demo(out: str, host: str, seed: int, quick: bool) -> None:  # noqa: FBT001
    """Take a tour: five kinds of inference on bundled data, in under three minutes."""
    from ppgm import demo as tour

    tour.run(out, host=host, seed=seed, quick=quick, say=click.echo)


for _command in (fit, evaluate, infer, sample, graph, compare, estimators, gradients):
    cli.add_command(_command)


def main() -> None:
    """Runs the command line."""
    cli(prog_name="ppgm")
