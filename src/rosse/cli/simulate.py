"""`rosse simulate`: the virtual sky as a survey would see it."""

from __future__ import annotations

import json
import math
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosse.cli import launch, screen
from rosse.cli.options import SimulateOptions
from rosse.errors import FileError, OptionError, RunError, unknown_name

if TYPE_CHECKING:
    from rosse.cli.screen import Watch
    from rosse.pipeline.record import Record
    from rosse.sky.population import Population
    from rosse.sky.shards import Shards

RECORD, STORE = "simulate.json", "packed.json"
N, MOSAIC_SIDE = 1000, 1000
START = 3  # shards that are made while another process starts
BELOW = 1.0  # mag by which a mosaic's faintest galaxies are fainter than the survey's depth for point sources
SDSS_R = 616.6  # nm
DEEP = (0.01, 3.0)  # redshifts of a mosaic whose limit is faint
_FOR_CUTOUTS = ("frame", "size", "psf_scatter", "jpeg")
_FOR_MOSAICS = ("pixels", "centre", "rotation", "psf_variation")
_NOT_RECORDED = ("out", "workers")

HELP = """Galaxies of the virtual sky as a survey would see them, with the truth: cutouts, or the mosaic of a field.

Cutouts come as a packed store (rosse.io.open_packed) of Parquet files with their truth beside them. What was stopped
goes on where it was when the same command is given again, and any number of workers writes the same bytes.

A mosaic is drawn as a whole, on one processor and in memory: one that was stopped is begun anew when the same command
is given again, and one that is finished is not made twice.

Examples:

  rosse simulate --survey lsst --n 10000 --out sky

  rosse simulate --survey decals --types spiral=3,elliptical=1 --limit 18 --jpeg --out training

  rosse simulate --mosaic --survey hsc --bands g,r,i --limit 23 --out field
"""


def simulate(options: SimulateOptions) -> None:
    """Make what was asked for, and say what there is."""
    if options.out is None:
        raise OptionError("--out is missing: give the directory of the images")
    _refuse_strangers(options)
    directory = Path(options.out).expanduser()
    if parts := _finished(directory, options):
        _say_store(directory, options, parts)
        return
    from rosse.pipeline.directory import locked

    if options.mosaic:
        job: Any = _mosaic_of(options)
    else:
        job = _shards_of(options, directory)
    with screen.watching(directory) as watch, locked(directory):
        _claim(directory, _record(options))
        if options.mosaic:
            _make_mosaic(job, directory)
        else:
            _make_shards(job, options, watch)


def _finished(directory: Path, options: SimulateOptions) -> dict[str, int]:
    """Parts of a store that stands there just as it is wanted, with their rows; none where something is to be done.

    Nothing heavy is loaded to find out: to say that all is there takes a second, not ten.
    """
    from rosse.pipeline.record import differences

    try:
        found = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        parts = {name: int(rows) for name, rows in json.loads((directory / STORE).read_text(encoding="utf-8"))["parts"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    whole = all((directory / name).is_file() for name in parts)
    return parts if whole and not differences(found, _record(options)) else {}


def _refuse_strangers(options: SimulateOptions) -> None:
    """Options that belong to the other kind of output."""
    strangers = _FOR_CUTOUTS if options.mosaic else _FOR_MOSAICS
    # 0 equals False, but who gives --rotation 0 has given it
    given = [name for name in strangers if getattr(options, name) is not None and getattr(options, name) is not False]
    if given:
        kind = "cutouts, not for --mosaic" if options.mosaic else "a mosaic: give --mosaic too"
        raise OptionError(f"--{given[0].replace('_', '-')} is for {kind}")
    if options.frame is not None and options.size is not None:
        raise OptionError(f"--frame {options.frame} and --size {options.size:g} came; one of the two is wanted")
    if options.mosaic and options.device != "cpu":
        raise OptionError(f"--device is {options.device!r}; a mosaic is drawn on the processor, leave the option out")
    if options.mosaic and options.workers is not None:
        raise OptionError("--workers is for cutouts; a mosaic is drawn by one process")
    if options.workers is not None and options.workers < 1:
        raise OptionError(f"--workers is {options.workers}; at least 1 is wanted")


def _limit(options: SimulateOptions) -> float | None:
    """Faintest magnitude, None for the population's own: a mosaic shows what lies a little below its depth in r."""
    if options.limit is not None or not options.mosaic:
        return options.limit
    from rosse.sky.psf import pivot
    from rosse.surveys import survey

    known = survey(options.survey)
    nearest = min(range(len(known.bands)), key=lambda i: abs(math.log(pivot(known, known.bands[i]) / SDSS_R)))
    return round(known.depth[nearest] + BELOW, 2)


def _population(options: SimulateOptions, n: int) -> Population:
    from rosse.sky.columns import TYPES
    from rosse.sky.population import Population

    mix = options.types
    if mix is not None and not isinstance(mix, dict):
        mix = dict.fromkeys(mix, 1.0)
    for name in mix or ():
        if name not in TYPES:
            raise OptionError("--types: " + unknown_name("type", name, TYPES))
    about: dict[str, Any] = {"mix": mix}
    if (limit := _limit(options)) is not None:
        about["limit"] = limit
    if options.mosaic:
        about["redshift"] = DEEP
    if isinstance(options.z, float):
        about["z"] = options.z
    elif isinstance(options.z, tuple) and len(options.z) == 2:
        about["redshift"] = options.z
    elif options.z is not None:
        raise OptionError(f"--z is {options.z}; one redshift or the two ends of a range are wanted")
    return Population(n, options.seed, **about)


def _shards_of(options: SimulateOptions, directory: Path) -> Shards:
    from rosse.sky.observe import Telescope, View
    from rosse.sky.psf import PsfScatter
    from rosse.sky.shards import Shards

    n = N if options.n is None else options.n
    if n < 1:
        raise OptionError(f"--n is {n}; at least 1 is wanted")
    wide = options.psf_scatter
    view = View(
        bands=options.bands or (), frame=64 if options.frame is None else options.frame,
        size=options.size, scale=options.scale,
        scatter=None if wide is None else PsfScatter(width=wide, ellipticity=wide / 3),
        device=launch.device_of(options.device),
    )  # fmt: skip
    Telescope.of(options.survey, view)  # says what is wrong before anything is written
    population = _population(options, n)
    population.rows(0, 1).table()
    return Shards(
        directory=directory, population=population, survey=options.survey, view=view, seed=options.seed,
        pictures=options.jpeg,
    )  # fmt: skip


def _make_shards(job: Shards, options: SimulateOptions, watch: Watch) -> None:
    from rosse.pipeline.engines import Lost
    from rosse.pipeline.local import LocalEngine

    start, missing = time.monotonic(), job.missing()
    made = 0
    if missing or not (job.directory / STORE).exists():
        engine = LocalEngine(workers=options.workers or _workers(options, len(missing)))
        done = sum(job.rows(number) for number in range(job.count) if number not in set(missing))
        watch.begin(total=len(job.population), done=done)
        try:
            for result in engine.map(job, missing):
                if isinstance(result, Lost):
                    raise RunError(f"shard {result.item} was lost: {result.reason}; what is finished is kept")
                made += result[1]
                watch.add(weight=result[1], counts={"simulated": result[1]})
        except KeyboardInterrupt:
            left = len(job.missing())
            raise KeyboardInterrupt(
                f"stopped; {job.count - left} of {job.count} shards are finished, the same command goes on from there"
            ) from None
        finally:
            watch.end()
            job.tidy()
        job.finish()
    _say_store(job.directory, options, _finished(job.directory, options), made=made, seconds=time.monotonic() - start)


def _say_store(
    directory: Path, options: SimulateOptions, parts: dict[str, int], *, made: int = 0, seconds: float = 0.0
) -> None:
    shards = "1 shard" if len(parts) == 1 else f"{len(parts)} shards"
    lines = [("galaxies", f"{sum(parts.values())} in {shards}, as {options.survey} sees them")]
    if made:
        lines.append(("speed", f"{made / seconds:.0f} galaxies/s ({made} in {seconds:.0f} s)"))
    else:
        lines.append(("made", "before; nothing was to be done"))
    lines += [
        ("images", f"rosse.io.open_packed({str(directory)!r})"),
        ("truth", f"pandas.read_parquet({str(directory / 'truth-00000.parquet')!r}), ..."),
    ]
    _say(lines)


def _workers(options: SimulateOptions, shards: int) -> int:
    """As many as there are cores, one for a GPU, and fewer where starting them takes longer than what they do."""
    from rosse.pipeline.local import LocalEngine

    cores = LocalEngine().size if options.device == "cpu" else 1
    return max(1, min(cores, shards // START))


def _mosaic_of(options: SimulateOptions) -> Any:
    from rosse.sky.fields import Pointing, galaxies_only
    from rosse.sky.mosaic import PsfVariation
    from rosse.surveys import survey

    known = survey(options.survey)
    known = known.select(options.bands or known.bands)
    centre = options.centre
    if centre is not None and not (isinstance(centre, tuple) and len(centre) == 2):
        raise OptionError(f"--centre is {centre}; two numbers, RA,DEC in degrees, are wanted")
    about: dict[str, Any] = {} if centre is None else {"centre": centre}
    side = MOSAIC_SIDE if options.pixels is None else options.pixels
    pointing = Pointing(
        shape=(side, side), scale=known.scale if options.scale is None else options.scale,
        rotation=options.rotation or 0.0, **about,
    )  # fmt: skip
    wide = options.psf_variation
    variation = None if wide is None else PsfVariation(width=wide, ellipticity=2 * wide / 3)
    kind = _population(options, options.n or 0)
    galaxies_only(kind)  # says what is wrong before anything is written
    return pointing, known, kind, variation


def _make_mosaic(job: Any, directory: Path) -> None:
    import pyarrow.parquet as pq

    from rosse.sky.fields import populate
    from rosse.sky.mosaic import FieldView, mosaic

    pointing, known, population, variation = job
    start = time.monotonic()
    finished = (directory / "run.toml").exists()  # the last file that a field writes
    if not finished:
        table = populate(population, pointing)
        field = mosaic(table, pointing, known, seed=population.seed, view=FieldView(variation=variation))
        field.write(directory)
    kinds = pq.read_table(directory / "truth.parquet", columns=["kind"])["kind"].to_pylist()
    stars = kinds.count("star")
    took = "made before" if finished else f"in {time.monotonic() - start:.0f} s"
    lines = [
        ("field", f"{pointing.shape[1]} x {pointing.shape[0]} pixels, {known.name} {', '.join(known.bands)}, {took}"),
        ("truth", str(directory / "truth.parquet")),
        ("measure it", f"cd {directory} && rosse run --config run.toml"),
        ("objects", f"{len(kinds) - stars} galaxies, {stars} stars to r = {population.limit:g}"),
    ]
    _say(lines)


def _record(options: SimulateOptions) -> Record:
    from rosse.pipeline.record import make_record

    names = [f.name for f in fields(options) if f.name not in _NOT_RECORDED]
    return make_record({name: getattr(options, name) for name in names}, [])


def _claim(directory: Path, record: Record) -> None:
    """Make a directory this simulation's own, or go on in it; one that holds something else is refused."""
    from rosse.pipeline.parts import write_json
    from rosse.pipeline.record import differences

    path = directory / RECORD
    if not path.exists():
        strangers = [
            each.name for each in directory.iterdir() if not each.name.startswith(".") and each.name != screen.LOG
        ]
        if strangers:
            raise OptionError(f"{directory} holds {strangers[0]} and is no simulation's; give another --out")
        write_json(path, record)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise FileError(f"{path} cannot be read: {err}; remove the directory, or give another --out") from err
    if different := differences(found, record):
        raise OptionError(
            f"{directory} holds a simulation of something else: {'; '.join(different)}. "
            "Remove it, or give another --out"
        )


def _say(lines: list[tuple[str, str]]) -> None:
    console = screen.out()
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        console.print(f"{name:<{width}} {text}", markup=False)
