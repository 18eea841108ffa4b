"""Commands made from dataclasses of options, so that nothing is spelt twice."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from rosse.cli.options import Option, options_of
from rosse.errors import OptionError

STOPPED = 130  # what shells expect of a process that Ctrl-C ended


def command(kind: type, action: Callable[[Any], None], *, argument: str) -> Callable[..., None]:
    """Function whose signature Typer reads.

    Parameters
    ----------
    kind : dataclass of options.
    action : what to do with one.
    argument : the option that is given without its name.
    """
    known = options_of(kind)

    def run(config: str | None = None, **given: Any) -> None:
        with interruptible():
            action(settle(kind, given, config))

    parameters = [_parameter(name, about, name == argument) for name, about in known.items()]
    text = Annotated[str, typer.Option("--config", help="TOML file with any of these options; the command line wins.")]
    parameters.append(inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=text))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends with what the run has to say; Typer would end without a word."""
    try:
        yield
    except KeyboardInterrupt as err:
        typer.echo(str(err) or "stopped", err=True)
        raise typer.Exit(STOPPED) from None


def settle(kind: type, given: dict[str, Any], config: str | None) -> Any:
    """Options of a command line and a TOML file; the command line wins."""
    from rosse.pipeline.config import read_config

    known = options_of(kind)
    chosen = read_config(config, {name: about.value for name, about in known.items()}) if config else {}
    for name, value in given.items():
        if value is None or value == []:
            continue
        parse = known[name].parse
        try:
            chosen[name] = parse(value) if parse else value
        except OptionError as err:
            raise OptionError(f"--{name.replace('_', '-')}: {err}") from err
    return kind(**chosen)


def _parameter(name: str, about: Option, positional: bool) -> inspect.Parameter:
    flags = about.flags or (f"--{name.replace('_', '-')}",)
    how: Any
    if positional:
        how = typer.Argument(help=about.help, show_default=False, metavar=_metavar(name, about))
    else:
        how = typer.Option(*flags, help=about.help, show_default=False, rich_help_panel=about.panel)
    kind: Any = list[str] if about.kind is list else about.kind
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, how])


def _metavar(name: str, about: Option) -> str:
    return f"[{name.upper().removesuffix('S')}]..." if about.kind is list else name.upper()
