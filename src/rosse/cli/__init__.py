"""The command line: one command per verb. Nothing heavy is loaded before a command needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import rosse
from rosse.cli import acquire, catalogue, finetune, fit, predict, run, shapes, simulate, train
from rosse.cli.build import STOPPED, command, interruptible
from rosse.cli.options import (
    AcquireOptions,
    FinetuneOptions,
    FitOptions,
    PredictOptions,
    RunOptions,
    ShapesOptions,
    SimulateOptions,
    TrainOptions,
)
from rosse.errors import CatalogueError, InputError, RosseError

app = typer.Typer(
    name="rosse",
    help="Survey images of galaxies in, a morphology catalogue out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
_USAGE = typer.BadParameter.__mro__[2]  # ClickException, whichever click this Typer brings


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    if version:
        typer.echo(f"rosse {rosse.__version__}")
        raise typer.Exit


DEMO_HELP = """Measure two fields that need no download, a simulated one with known truth and a real one.

Examples:

  rosse demo

  rosse demo --out /tmp/demo
"""


def demo(
    out: Annotated[Path, typer.Option("--out", help="Directory of catalogues and figures.")] = Path("demo"),
    workers: Annotated[int | None, typer.Option("--workers", help="Processes; default: one per core.")] = None,
) -> None:
    """Measure the two fields and print a summary."""
    from rosse.cli import screen
    from rosse.demo import run_demo

    with interruptible():
        run_demo(out, workers=workers, console=screen.out(fold=True))


app.command("run", help=run.HELP)(command(RunOptions, run.run, argument="images"))
app.command("fit", help=fit.HELP)(command(FitOptions, fit.fit, argument="cutouts"))
app.command("shapes", help=shapes.HELP)(command(ShapesOptions, shapes.shapes, argument="cutouts"))
app.command("train", help=train.HELP)(command(TrainOptions, train.train, argument="votes"))
app.command("finetune", help=finetune.HELP)(command(FinetuneOptions, finetune.finetune, argument="votes"))
app.command("predict", help=predict.HELP)(command(PredictOptions, predict.predict, argument="cutouts"))
app.command("acquire", help=acquire.HELP)(command(AcquireOptions, acquire.acquire, argument="cutouts"))
app.command("show", help=catalogue.SHOW_HELP)(catalogue.show)
app.command("export", help=catalogue.EXPORT_HELP)(catalogue.export)
app.command("simulate", help=simulate.HELP)(command(SimulateOptions, simulate.simulate, argument=""))
app.command("demo", help=DEMO_HELP)(demo)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 something is missing from the result, 2 it could not start, 130 stopped."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        sys.exit(app([text for text in given if text != "--debug"], standalone_mode=False) or 0)
    except KeyboardInterrupt:
        sys.exit(STOPPED)
    except Exception as err:
        if "--debug" in given:
            raise
        sys.exit(_explain(err))


def _explain(err: Exception) -> int:
    """One line on stderr, and the exit code."""
    if isinstance(err, typer.Abort):
        return STOPPED
    text, code = str(err), 1
    if isinstance(err, _USAGE):
        text, code = f"{err.format_message()} See: rosse --help, rosse COMMAND --help", 2  # type: ignore[attr-defined]
    elif isinstance(err, InputError | CatalogueError):
        code = 2
    elif not isinstance(err, RosseError):
        text = f"unexpected {type(err).__name__}: {err}. This is a fault of rosse; --debug shows where it comes from"
    typer.echo(f"error: {' '.join(text.split())}", err=True)
    return code
