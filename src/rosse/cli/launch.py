"""From options to a running job: models, engines and what commands say at the end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rosse.errors import OptionError, RunError, unknown_name

if TYPE_CHECKING:
    from rosse.cli.options import Measuring, Running
    from rosse.cli.screen import Watch
    from rosse.light.components import Component
    from rosse.light.model import Model
    from rosse.pipeline.engines import Engine
    from rosse.pipeline.rows import Fitting
    from rosse.pipeline.run import Job, Report
    from rosse.shapes import ShapeOptions

ENGINES = ("local", "ray")


def fitting_of(options: Measuring) -> Fitting:
    """How galaxies are fitted."""
    from rosse.pipeline.rows import Fitting

    return Fitting(model=model_of(options.model), device=device_of(options.device), figures=figures_of(options))


def figures_of(options: Running) -> Path | None:
    """Directory of figures, if any are wanted."""
    return Path(options.plot).expanduser().absolute() if options.plot else None


def shape_options(constants: Mapping[str, float] | None) -> ShapeOptions | None:
    """Options with some constants that are not those of the papers."""
    if not constants:
        return None
    from rosse.shapes import ShapeOptions

    usual = {field.name: field.default for field in fields(ShapeOptions)}
    for name, value in constants.items():
        if name not in usual:
            raise OptionError("shapes: " + unknown_name("constant", name, usual))
        if isinstance(usual[name], int) and value != int(value):
            raise OptionError(f"shapes: {name} is {value:g}; a whole number is wanted")
    whole = {name for name, value in usual.items() if value is None or isinstance(value, int)}
    return ShapeOptions(**{name: int(v) if name in whole else v for name, v in constants.items()})  # type: ignore[arg-type]


def model_of(text: str) -> Component | Model:
    """``sersic`` or a sum such as ``sersic+exponential``, whose parts are then called by their names."""
    from rosse.light.known import COMPONENTS
    from rosse.light.model import Model

    names = [name.strip().lower() for name in text.split("+")]
    for name in names:
        if name not in COMPONENTS:
            raise OptionError("--model: " + unknown_name("profile", name, COMPONENTS))
    if len(names) == 1:
        return COMPONENTS[names[0]]()
    parts = [COMPONENTS[name](name if names.count(name) == 1 else f"{name}{i + 1}") for i, name in enumerate(names)]
    return Model(tuple(parts))


def device_of(name: str) -> str:
    """A device that is there."""
    if name == "cpu":
        return name
    import torch

    if name.partition(":")[0] != "cuda":
        raise OptionError(f"--device is {name!r}; cpu or cuda is wanted")
    if not torch.cuda.is_available():
        raise OptionError(f"--device is {name!r}, but torch finds no CUDA device here; leave the option out")
    return name


def engine_of(options: Running) -> Engine:
    """Where to compute."""
    from rosse.pipeline.local import LocalEngine
    from rosse.pipeline.ray_engine import RayEngine

    if options.engine not in ENGINES:
        raise OptionError("--engine: " + unknown_name("engine", options.engine, ENGINES))
    if options.engine == "ray":
        return RayEngine(address=options.address, workers=options.workers)
    if options.address is not None:
        raise OptionError("--address is for --engine ray")
    one_fills_it = options.workers is None and options.device != "cpu"  # a GPU
    return LocalEngine(workers=1 if one_fills_it else options.workers)


def start(job: Job, directory: Path, options: Running, watch: Watch) -> Report:
    """Run a job, recorded with the command line."""
    from rosse.pipeline.run import run

    command = " ".join(["rosse", shlex.join(sys.argv[1:])])
    engine = engine_of(options)
    return run(replace(job, command=command), directory, engine=engine, overwrite=options.overwrite, progress=watch)


def refuse_failures(report: Report) -> None:
    """Raise when partitions are missing from the catalogue, after everything else was said."""
    if report.failed:
        named = "; ".join(f"{key}: {why}" for key, why in list(report.failed.items())[:5])
        more = f"; and {len(report.failed) - 5} more" if len(report.failed) > 5 else ""
        raise RunError(
            f"{len(report.failed)} partitions failed and are not in the catalogue ({named}{more}); "
            "the same command without --overwrite tries them again"
        )
