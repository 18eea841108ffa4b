"""The demo: two fields measured the way a user would, their numbers, figures and a summary."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosse import __version__
from rosse.demo import places
from rosse.demo.options import DemoOptions
from rosse.demo.places import writing
from rosse.demo.report import print_summary
from rosse.errors import OptionError

if TYPE_CHECKING:
    from rich.console import Console


def run_demo(
    out: str | Path = "demo",
    *,
    options: DemoOptions | None = None,
    workers: int | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Measure the two fields, or show what an earlier run of the same version and options found.

    Parameters
    ----------
    out : directory for catalogues, figures and images; an unfinished demo in it goes on.
    options : what to measure.
    workers : processes; one per core by default.
    console : where the summary is printed; standard output by default.

    Returns
    -------
    dict
        What ``demo.json`` holds.

    Raises
    ------
    OptionError
        `out` holds something that is not a demo.
    """
    from rich.console import Console

    folder, options = Path(out), options or DemoOptions()
    console = console or Console(highlight=False)
    mark = _fingerprint(options)
    summary = _finished(folder, mark, options)
    earlier = summary is not None
    if summary is None:
        _claim(folder, mark)
        summary = _measured(folder, options, workers) | {"fingerprint": mark}
        _write_json(folder / places.SUMMARY, summary)
    print_summary(summary, folder, console, earlier=earlier)
    return summary


def _measured(folder: Path, options: DemoOptions, workers: int | None) -> dict[str, Any]:
    from rich.console import Console

    from rosse.demo.measure import Workshop, measure_hubble, measure_simulated

    start = time.monotonic()
    shop = Workshop(folder=folder, workers=workers, screen=Console(stderr=True))
    summary: dict[str, Any] = {"version": __version__, "simulated": measure_simulated(shop, options)}
    if options.hubble:
        summary["hubble"] = measure_hubble(shop)
    shop.put_in_place()
    return summary | {"seconds": time.monotonic() - start}


def _fingerprint(options: DemoOptions) -> str:
    """Changes with the options, the version and the code, so that an upgrade measures anew."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([__version__, asdict(options)], sort_keys=True).encode())
    package = Path(__file__).parents[1]
    for source in sorted(package.rglob("*.py")):
        digest.update(source.relative_to(package).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


def _finished(folder: Path, mark: str, options: DemoOptions) -> dict[str, Any] | None:
    """Summary of a finished demo that would come out the same, if all that it wrote is still there."""
    try:
        summary: dict[str, Any] = json.loads((folder / places.SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    wanted = ["run.json", places.SHEET, places.RECOVERED]
    if options.hubble:
        wanted += [f"{places.HUBBLE}/{name}" for name in ("run.json", places.SHEET)]
    complete = all((folder / name).is_file() for name in wanted)
    return summary if complete and summary.get("fingerprint") == mark else None


def _claim(folder: Path, mark: str) -> None:
    """Take an empty directory, or that of a demo; what other options or another version left unfinished is dropped."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        known = (folder / places.MARK).read_text(encoding="utf-8") if (folder / places.MARK).exists() else None
        if known is None and any(folder.iterdir()):
            raise OptionError(f"{folder} is not empty and holds no demo; give another directory with --out")
        if known != mark:
            for name in (places.STAGE, places.IMAGES):
                shutil.rmtree(folder / name, ignore_errors=True)
        (folder / places.SUMMARY).unlink(missing_ok=True)
        (folder / places.MARK).write_text(mark, encoding="utf-8")


def _write_json(path: Path, value: dict[str, Any]) -> None:
    scratch = path.with_suffix(".tmp")
    with writing(path):
        scratch.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(scratch, path)
