"""How the demo measures its fields: images on disk, a run of the pipeline, figures."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rosse.demo import places
from rosse.demo.contact_sheet import contact_sheet
from rosse.demo.cutout_folder import write_cutouts
from rosse.demo.field import read_truth, simulate_field
from rosse.demo.hubble import STAR, fetch_picture, hubble_options, open_hubble, without_magnitudes
from rosse.demo.places import writing
from rosse.demo.population import BANDS
from rosse.demo.recovered_figure import recovered_figure
from rosse.demo.recovery import detection_summary, recover
from rosse.demo.showcase import Shown, choose_brightest, choose_simulated, fit_shown
from rosse.errors import RunError

if TYPE_CHECKING:
    from astropy.table import Table
    from rich.console import Console

    from rosse.demo.options import DemoOptions
    from rosse.io import Mosaic
    from rosse.pipeline.jobs import FieldOptions
    from rosse.pipeline.run import Report

BRIGHT = 22.5  # r mag; completeness and classes are counted down to here

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where and with what the demo is made.

    Parameters
    ----------
    folder : of the demo.
    workers : processes, None for one per core.
    screen : console for progress; nothing is shown unless it is a terminal.
    """

    folder: Path
    workers: int | None
    screen: Console

    @contextmanager
    def step(self, text: str) -> Iterator[Say]:
        """Say what is being done, on a terminal."""
        if not self.screen.is_terminal:
            yield lambda _: None
            return
        with self.screen.status(text) as status:
            yield lambda more: status.update(f"{text}  [dim]{more}")

    def run(self, mosaic: Mosaic, name: str, *, psf: bool, options: FieldOptions, inputs: Sequence[Path]) -> Report:
        """Run the pipeline on a field; what an earlier call left finished is not computed again."""
        from rosse.pipeline.jobs import field_job
        from rosse.pipeline.local import LocalEngine
        from rosse.pipeline.progress import Bar
        from rosse.pipeline.run import run

        job = field_job([mosaic], psfs=None if psf else [None], options=options, inputs=inputs)
        report = run(job, self.stage(name), engine=LocalEngine(workers=self.workers), progress=Bar(self.screen))
        if report.failed:
            reasons = "; ".join(f"{key}: {reason}" for key, reason in report.failed.items())
            raise RunError(f"{len(report.failed)} parts of the field could not be measured: {reasons}")
        return report

    def stage(self, name: str) -> Path:
        """Directory of a field's catalogue and figures until all is done."""
        return self.folder / places.STAGE / name

    def put_in_place(self) -> None:
        """Move what is staged to where it is looked for, `run.json` last, in place of an older demo's."""
        with writing(self.folder):
            _move(self.stage(places.SIMULATED), self.folder)
            if self.stage(places.HUBBLE).is_dir():
                _move(self.stage(places.HUBBLE), self.folder / places.HUBBLE)
            shutil.rmtree(self.folder / places.STAGE)


def measure_simulated(shop: Workshop, options: DemoOptions) -> dict[str, Any]:
    """Draw, measure and compare the simulated field; write catalogue and figures to the stage."""
    from rosse.io import open_mosaic
    from rosse.store import open_catalogue

    images = _images(shop, options)
    files = {band: images / f"field-{band}.fits" for band in BANDS}
    noise = {band: images / f"field-ivar-{band}.fits" for band in BANDS}
    mosaic = open_mosaic(files, ivar=noise, survey="decals", name="simulated")
    settings = _field_options(options)
    inputs = [*files.values(), *noise.values()]
    report = shop.run(mosaic, places.SIMULATED, psf=True, options=settings, inputs=inputs)
    stage = shop.stage(places.SIMULATED)
    with shop.step("figures of the simulated field"):
        sources = open_catalogue(stage).to_astropy()
        truth = read_truth(images / "truth.fits")
        recoveries = _recovered(stage, truth, sources, options)
        _simulated_sheet(stage, mosaic, choose_simulated(truth, sources), settings)
    summary = _counts(sources, report)
    summary["size"], summary["galaxies"], summary["stars"] = options.size, options.galaxies, options.stars
    summary["detection"] = detection_summary(truth, sources, bright=BRIGHT)
    summary["recovered"] = recoveries
    summary["minimum_snr"] = options.minimum_snr
    return summary


def measure_hubble(shop: Workshop) -> dict[str, Any]:
    """Measure the bright galaxies of the Hubble Deep Field; write catalogue and figure to the stage."""
    from rosse.store import open_catalogue

    picture = fetch_picture(shop.folder / places.IMAGES)
    mosaic, settings = open_hubble(picture), hubble_options()
    stage = shop.stage(places.HUBBLE)
    with without_magnitudes():
        report = shop.run(mosaic, places.HUBBLE, psf=False, options=settings, inputs=[picture])
        with shop.step("figure of the Hubble Deep Field"):
            sources = open_catalogue(stage).to_astropy()
            _hubble_sheet(stage, mosaic, sources, settings)
    return _counts(sources, report)


def _images(shop: Workshop, options: DemoOptions) -> Path:
    """Directory of the simulated images, drawn unless they are there."""
    folder = shop.folder / places.IMAGES
    if (folder / "truth.fits").is_file():
        return folder
    with shop.step("drawing the simulated field") as say:
        field = simulate_field(
            size=options.size,
            galaxies=options.galaxies,
            stars=options.stars,
            seed=options.seed,
            progress=lambda done, total: say(f"{done} of {total} objects"),
        )
        field.write(folder)  # the truth comes last
    return folder


def _field_options(options: DemoOptions) -> FieldOptions:
    """Four partitions, so that two cores have work; galaxies of this field fit in the largest cutout."""
    from rosse.detection import DetectOptions
    from rosse.pipeline.asking import Asking
    from rosse.pipeline.jobs import FieldOptions

    return FieldOptions(
        size=max(options.size // 2, 128), margin=192, detection=DetectOptions(cutout_maximum=351), asking=Asking.of()
    )


def _move(staged: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for path in sorted(staged.iterdir(), key=lambda path: path.name == "run.json"):
        if path.name.startswith("."):
            continue  # the run's lock
        old = target / path.name
        if old.is_dir():
            shutil.rmtree(old)
        path.replace(old)


def _recovered(folder: Path, truth: Table, sources: Table, options: DemoOptions) -> list[dict[str, Any]]:
    recoveries = recover(truth, sources, minimum_snr=options.minimum_snr)
    count = len(recoveries[0].true)
    recovered_figure(
        recoveries, folder / places.RECOVERED,
        title="Recovered against true, simulated DECaLS field",
        caption=f"{count} single-Sersic galaxies with S/N > {options.minimum_snr:g} in $r$ and no other object within "
        "3 $r_e$ + 2″. Bars: one sigma. PSF from the field's own stars. Curves: the unit Gaussian.",
    )  # fmt: skip
    return [recovery.summary() for recovery in recoveries]


def _simulated_sheet(folder: Path, mosaic: Mosaic, shown: Sequence[Shown], settings: FieldOptions) -> None:
    """The contact sheet, and its galaxies in r as files for `rosse fit`."""
    from rosse.io import read_psf

    psf = read_psf(folder / "psf.fits", mosaic.bands)
    fit, notes = fit_shown(mosaic, shown, psf=psf, options=settings.detection)
    contact_sheet(
        fit, range(len(notes)), folder / places.SHEET, notes=notes,
        title="Simulated DECaLS field: single-Sersic fits in g, r and z",
        caption="asinh stretch, the same for galaxy and model. Grey: pixels without weight (neighbours).",
    )  # fmt: skip
    write_cutouts(fit.cutouts.band("r"), folder / places.CUTOUTS, wcs=mosaic.wcs)


def _hubble_sheet(target: Path, mosaic: Mosaic, sources: Table, settings: FieldOptions) -> None:
    shown = choose_brightest(sources, without=STAR)
    fit, notes = fit_shown(mosaic, shown, psf=None, options=settings.detection)
    contact_sheet(
        fit, range(len(notes)), target / places.SHEET, notes=notes, picture=True,
        title="Hubble Deep Field: single-Sersic fits to a picture",
        caption="A JPEG: no PSF, no scale, stretched for the eye; fitted as it is, in pixels. Grey: neighbours. "
        "Picture: R. Williams (STScI), HDF team, NASA.",
    )  # fmt: skip


def _counts(sources: Table, report: Report) -> dict[str, Any]:
    """Numbers of a run: sources by kind, fits by status, galaxies per second."""
    status = Counter(str(value) for value in sources["status"])
    fitted = sum(n for name, n in status.items() if name != "skipped")
    whole = sum(report.computed.values()) >= len(sources)  # not the rest of a run that was stopped
    return {
        "sources": len(sources),
        "kinds": dict(Counter(str(value) for value in sources["kind"]).most_common()),
        "fitted": fitted,
        "status": {name: n for name, n in status.most_common() if name != "skipped"},
        "skipped": status["skipped"],
        "seconds": report.seconds,
        "rate": fitted / report.seconds if whole else None,
        "chi2_dof": _median(np.ma.filled(np.ma.asarray(sources["chi2_dof"], dtype=float), np.nan)),
    }


def _median(values: Any) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else None
