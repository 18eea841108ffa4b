"""Every option of the commands, once: its name on the command line and in TOML, type, help."""

# ruff: noqa: RUF009 - `option` makes the field of a dataclass, as `field` does

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from rosse.pipeline import config
from rosse.pipeline.config import Files, Numbers

IMAGE, NOISE, DETECT, FIT, RUN = "The image", "Noise, mask, PSF", "Detection", "Fit", "The run"
SHAPES = "Shapes"
NETWORK, TRAINING = "The network", "The training"
LABELS = "The labels"
SKY, FIELD = "The population", "A mosaic"


@dataclass(frozen=True, kw_only=True)
class Option:
    """How an option is given.

    Parameters
    ----------
    help : one line.
    kind : type of the text on the command line.
    panel : heading under which it is listed.
    flags : spelling, where it is not the name itself.
    parse : what makes the value of it, from the command line and from TOML; None takes it as it is.
    """

    help: str
    kind: type = str
    panel: str = RUN
    flags: tuple[str, ...] = ()
    parse: Callable[[Any], Any] | None = None

    def value(self, given: Any) -> Any:
        """Value of what was given in TOML."""
        return (self.parse or config.of_kind(self.kind))(given)


def option(help: str, *, default: Any = None, **about: Any) -> Any:
    """A field that is an option."""
    return field(default=default, metadata={"option": Option(help=help, **about)})


def options_of(kind: type) -> dict[str, Option]:
    """Name → option of a dataclass of options."""
    return {f.name: f.metadata["option"] for f in fields(kind)}


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What headers may not say."""

    survey: str | None = option("Known survey: scale, zero point, gain where the file is silent.", panel=IMAGE)
    bands: tuple[str, ...] | dict[str, str] | None = option(
        "A file per band, g=a.fits,r=b.fits, or names of the planes of a cube, g,r,z.", panel=IMAGE, parse=config.bands
    )
    extension: str | int | None = option("Name or number of the image's HDU.", panel=IMAGE, parse=config.extension)
    scale: float | None = option("Pixel scale, arcsec/pixel.", kind=float, panel=IMAGE)
    zeropoint: Numbers | None = option(
        "AB magnitude of one flux unit: 22.5, or g=22.5,r=22.3.", panel=IMAGE, parse=config.numbers
    )
    gain: Numbers | None = option("Electrons per flux unit.", panel=IMAGE, parse=config.numbers)
    sigma: Files | float | None = option("One-sigma noise: map or number.", panel=NOISE, parse=config.noise)
    variance: Files | float | None = option("Variance: map or number.", panel=NOISE, parse=config.noise)
    ivar: Files | float | None = option("Inverse variance: map or number.", panel=NOISE, parse=config.noise)
    weight: Files | float | None = option(
        "Relative weight (SExtractor's MAP_WEIGHT), scaled to the sky.", panel=NOISE, parse=config.noise
    )
    mask: Files | None = option(
        "Mask; non-zero is bad, unless --mask-kind says else; none: without one.", panel=NOISE, parse=config.files
    )
    mask_kind: str | None = option("bool, bits or (for cutouts) segmentation.", panel=NOISE)
    mask_bits: int | None = option("Bad bits of a bit mask, e.g. 0b101.", panel=NOISE, parse=config.whole_number)


@dataclass(frozen=True, kw_only=True)
class Running:
    """Where a run computes, and what becomes of an earlier one."""

    device: str = option("cpu or cuda.", default="cpu")
    plot: str | None = option("Directory for a figure of every galaxy.")
    workers: int | None = option("Processes; default: one per core.", kind=int)
    engine: str = option("local, or ray for a cluster.", default="local")
    address: str | None = option("Of a running Ray cluster, host:6379; default: start one here.")
    overwrite: bool = option(
        "Start anew, or go on from what is finished (the default).",
        default=False,
        kind=bool,
        flags=("--overwrite/--resume",),
    )


@dataclass(frozen=True, kw_only=True)
class Measuring(Running):
    """The fit, and where it runs."""

    model: str = option(
        "Profile (sersic, exponential, moffat, ferrers, ...: the page on profiles has all) or a sum, sersic+sky.",
        default="sersic",
        panel=FIT,
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions(Calibration, Measuring):
    """Options of `rosse run`."""

    images: list[str] = option("Images; several are tiles of one survey.", default=(), kind=list)
    out: str | None = option("Directory of the catalogue.")
    saturation: Numbers | None = option("Flux at which pixels saturate.", panel=IMAGE, parse=config.numbers)
    psf: Files | None = option(
        "Stamp, cube or PSFEx model; stars: build it from the field (the default); none: fit without one.",
        panel=NOISE,
        parse=config.files,
    )
    threshold: float | None = option("Detection threshold, sigma.", kind=float, panel=DETECT)
    min_pixels: int | None = option("Pixels above the threshold that make a source.", kind=int, panel=DETECT)
    deblend_contrast: float | None = option("Rise of a peak that makes it a source.", kind=float, panel=DETECT)
    mesh: int | None = option("Side of the background's cells, pixels.", kind=int, panel=DETECT)
    star_limit: float | None = option("Stellarity above which a source is a star.", kind=float, panel=DETECT)
    cutout_maximum: int | None = option("Largest side of a cutout, pixels.", kind=int, panel=DETECT)
    min_snr: float | None = option("Galaxies below it are listed, not measured; default 5.", kind=float, panel=FIT)
    shapes: bool = option(
        "Measure shapes without a model as well (the default), or fit only.",
        default=True,
        kind=bool,
        flags=("--shapes/--no-shapes",),
        panel=SHAPES,
    )
    shape_band: str | None = option("Name of the band for shapes; default: the middle one.", panel=SHAPES)
    shape_draws: int = option(
        "Images with new noise for their errors; default none.", kind=int, default=0, panel=SHAPES
    )
    shape_seed: int = option("Of that noise; default 0.", kind=int, default=0, panel=SHAPES)
    shape_correct: bool = option(
        "Take noise and PSF bias off asymmetry and concentration.",
        default=False,
        kind=bool,
        flags=("--shape-correct",),
        panel=SHAPES,
    )
    shape_constants: dict[str, float] | None = option(
        "Constants of the papers, eta=0.25,sky_box=16: fields of ShapeOptions.", panel=SHAPES, parse=config.settings
    )
    votes: bool = option(
        "Predict volunteers' votes as well (the default), or do not.",
        default=True,
        kind=bool,
        flags=("--votes/--no-votes",),
        panel=NETWORK,
    )
    votes_model: str = option("By which model: gz-decals-small (the default), or a directory.",
                              default="gz-decals-small", panel=NETWORK)  # fmt: skip
    plot: str | None = option("Directory for figures of every galaxy; those of shapes go into its folder shapes.")
    size: int | None = option("Side of a partition, pixels; bounds the memory; default 2048.", kind=int)
    match: float | None = option("Radius for sources of overlapping tiles, arcsec; default 1.", kind=float)


@dataclass(frozen=True, kw_only=True)
class CutoutOptions(Calibration):
    """Which cutouts, and what belongs to them."""

    cutouts: list[str] = option("Images, a folder, or a CSV/Parquet manifest.", default=(), kind=list)
    out: str | None = option("Directory of the catalogue; without it the table is printed.")
    pattern: str | None = option(
        "Names in a folder, '{name}_image.fits', or a known pattern: galmoss (default), pysersic, profit.", panel=IMAGE
    )
    psf: Files | None = option("Stamp, cube or PSFEx model; none: fit without one.", panel=NOISE, parse=config.files)
    psf_oversampling: int | None = option(
        "Pixels of the PSF along one pixel of the image; default 1.", kind=int, panel=NOISE
    )
    estimate_noise: bool = option(
        "Measure the noise from the sky where no map is given.", default=False, kind=bool, panel=NOISE
    )


@dataclass(frozen=True, kw_only=True)
class FitOptions(CutoutOptions, Measuring):
    """Options of `rosse fit`."""


@dataclass(frozen=True, kw_only=True)
class ShapesOptions(CutoutOptions, Running):
    """Options of `rosse shapes`."""

    band: str | None = option("Name of the band; default: the middle one.", panel=SHAPES)
    draws: int = option("Images with new noise for errors; default none.", kind=int, default=0, panel=SHAPES)
    seed: int = option("Of that noise; default 0.", kind=int, default=0, panel=SHAPES)
    correct: bool = option(
        "Take noise and PSF bias off asymmetry and concentration; needs the PSF.",
        default=False,
        kind=bool,
        flags=("--correct",),
        panel=SHAPES,
    )
    constants: dict[str, float] | None = option(
        "Constants of the papers, eta=0.25,sky_box=16: fields of ShapeOptions.", panel=SHAPES, parse=config.settings
    )


@dataclass(frozen=True, kw_only=True)
class SimulateOptions:
    """Options of `rosse simulate`."""

    out: str | None = option("Directory of images and truth.")
    survey: str = option("Who looks: sdss, decals, hsc, lsst, euclid-vis, hst-acs, ...; default lsst.", default="lsst")
    bands: tuple[str, ...] | None = option("Names, g,r,i; default: all of the survey's.", parse=config.names)
    seed: int = option("Of everything random; default 0.", kind=int, default=0)
    n: int | None = option("Rows of the population; default 1000; of a mosaic: as many as the sky holds.", kind=int)
    types: tuple[str, ...] | dict[str, float] | None = option(
        "Types, spiral,edge_on, or their shares, spiral=3,elliptical=1; default: those of a survey to this limit.",
        panel=SKY,
        parse=config.shares,
    )
    limit: float | None = option(
        "Faintest magnitude in SDSS r; default 17.77, of a mosaic: one below the survey's depth.", kind=float, panel=SKY
    )
    z: Numbers | None = option("Range of redshifts, 0.01,0.25 (the default), or one for all, 0.5.", panel=SKY,
                               parse=config.numbers)  # fmt: skip
    frame: int | None = option("Side of the images, pixels; default 64.", kind=int, panel=IMAGE)
    size: float | None = option("Side of the images, arcsec, instead of --frame.", kind=float, panel=IMAGE)
    scale: float | None = option("Pixel scale, arcsec/pixel; default: the survey's.", kind=float, panel=IMAGE)
    psf_scatter: float | None = option(
        "Scatter of the PSF's width from galaxy to galaxy, relative; its ellipticity has a third of it.",
        kind=float,
        panel=NOISE,
    )
    jpeg: bool = option("Colour pictures too.", default=False, kind=bool, flags=("--jpeg",), panel=IMAGE)
    device: str = option("cpu or cuda.", default="cpu")
    workers: int | None = option("Processes; default: one per core.", kind=int)
    mosaic: bool = option("One image of a field instead of cutouts.", default=False, kind=bool, flags=("--mosaic",),
                          panel=FIELD)  # fmt: skip
    pixels: int | None = option("Side of the mosaic, pixels; default 1000.", kind=int, panel=FIELD)
    centre: Numbers | None = option("Its place, RA,DEC in degrees; default 150.1,2.2.", panel=FIELD,
                                    parse=config.numbers)  # fmt: skip
    rotation: float | None = option("From +y to north, degrees counter-clockwise.", kind=float, panel=FIELD)
    psf_variation: float | None = option(
        "Change of the PSF's width from middle to edge, relative; its ellipticity changes by two thirds of it.",
        kind=float,
        panel=FIELD,
    )


@dataclass(frozen=True, kw_only=True)
class TrainOptions(CutoutOptions):
    """Options of `rosse train`."""

    votes: str | None = option("Table of votes: CSV, Parquet, FITS, ...")
    cutouts: list[str] = option("Images: a folder, a packed store, a manifest; default: those that the table names.",
                                default=(), kind=str, flags=("--images",), panel=IMAGE, parse=config.paths)  # fmt: skip
    out: str | None = option("Directory of the model.")
    tree: str = option("Name of a tree, or its TOML file; default gz-decals.", default="gz-decals")
    id: str | None = option("Column of the galaxies' names.")
    suffix: str | None = option("What the table appends to questions, -dr8.")
    rounded: bool = option("Round shares of weighted votes to whole votes.", default=False, kind=bool,
                           flags=("--rounded",))  # fmt: skip
    redshift: str | None = option("Table with ids and redshifts, which the network is told as well.")
    encoder: str = option("small, tiny, or any name of timm; default small.", default="small", panel=NETWORK)
    pretrained: bool = option("Start from timm's weights.", default=False, kind=bool, flags=("--pretrained",),
                              panel=NETWORK)  # fmt: skip
    side: int = option("Side of the network's images, pixels; default 64.", kind=int, default=64, panel=NETWORK)
    turns: int = option("Turned views whose features are averaged: 1, 4 or 8; default 1.", kind=int, default=1,
                        panel=NETWORK)  # fmt: skip
    dropout: float | None = option("Share of features; default 0.15.", kind=float, panel=NETWORK)
    members: int = option("Networks of the ensemble; default 1.", kind=int, default=1, panel=NETWORK)
    draws: int = option("Draws of dropout at prediction; default 8.", kind=int, default=8, panel=NETWORK)
    views: int = option("Turned views at prediction: 1, 4 or 8; default 1.", kind=int, default=1, panel=NETWORK)
    epochs: int | None = option("At most; default 30.", kind=int, panel=TRAINING)
    batch: int | None = option("Galaxies in a step; default 64.", kind=int, panel=TRAINING)
    rate: float | None = option("Largest learning rate; default 0.002.", kind=float, panel=TRAINING)
    patience: int | None = option("Epochs without progress until it stops; default 10.", kind=int, panel=TRAINING)
    weights: str | dict[str, float] | None = option(
        "Weights of questions, bar=2,merging=0.5, or balanced.", panel=TRAINING, parse=config.weights
    )
    seed: int | None = option("Of everything random; default 0.", kind=int, panel=TRAINING)
    device: str = option("cpu or cuda.", default="cpu", panel=TRAINING)
    precision: str | None = option("auto, single or bfloat16.", panel=TRAINING)
    overwrite: bool = option("Start anew, or go on (the default).", default=False, kind=bool,
                             flags=("--overwrite/--resume",), panel=TRAINING)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(CutoutOptions):
    """Options of `rosse finetune`."""

    votes: str | None = option("Table of votes, or of labels with --classes or --numbers.")
    model: str | None = option("Model to start from: gz-decals-small, or a directory.", panel=NETWORK)
    cutouts: list[str] = option("Images: a folder, a packed store, a manifest; default: those that the table names.",
                                default=(), kind=str, flags=("--images",), panel=IMAGE, parse=config.paths)  # fmt: skip
    out: str | None = option("Directory of the new model.")
    tree: str | None = option("Name of a tree, or its TOML file.")
    classes: str | None = option("Column of classes, instead of votes on a tree.")
    numbers: tuple[str, ...] | None = option("Columns of numbers, t_type,bar_length, instead of votes on a tree.",
                                             parse=config.names)  # fmt: skip
    id: str | None = option("Column of the galaxies' names.")
    suffix: str | None = option("What the table appends to questions, -dr8.")
    rounded: bool = option("Round shares of weighted votes to whole votes.", default=False, kind=bool,
                           flags=("--rounded",))  # fmt: skip
    redshift: str | None = option("Table with ids and redshifts.")
    epochs: int | None = option("At most, of each stage; default 5 of the head, 20 of the whole, 30 with --probe.",
                                kind=int, panel=TRAINING)  # fmt: skip
    batch: int | None = option("Galaxies in a step; default 32.", kind=int, panel=TRAINING)
    probe: bool = option("Leave the encoder as it is.", default=False, kind=bool, flags=("--probe",), panel=TRAINING)
    decay: float | None = option("Of the rate, from block to block of the encoder; default 0.9.", kind=float,
                                 panel=TRAINING)  # fmt: skip
    weights: str | dict[str, float] | None = option(
        "Weights of questions, bar=2,merging=0.5, or balanced.", panel=TRAINING, parse=config.weights
    )
    views: int | None = option("Turned views at prediction: 1, 4 or 8; default: as the model.", kind=int,
                               panel=TRAINING)  # fmt: skip
    side: int | None = option("Side of the network's images, pixels; default: as the model.", kind=int,
                              panel=NETWORK)  # fmt: skip
    seed: int | None = option("Of everything random; default 0.", kind=int, panel=TRAINING)
    device: str = option("cpu or cuda.", default="cpu", panel=TRAINING)
    overwrite: bool = option("Start anew, or go on (the default).", default=False, kind=bool,
                             flags=("--overwrite/--resume",), panel=TRAINING)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PredictOptions(CutoutOptions, Running):
    """Options of `rosse predict`."""

    cutouts: list[str] = option("Images, a folder, a packed store, a manifest, or a catalogue.", default=(), kind=list)
    model: str | None = option("A model: gz-decals-small, or a directory.", panel=NETWORK)
    images: str | None = option("Images of the galaxies of a catalogue.", panel=IMAGE)
    redshift: str | None = option("Table with ids and redshifts.", panel=NETWORK)


@dataclass(frozen=True, kw_only=True)
class AcquireOptions(CutoutOptions):
    """Options of `rosse acquire`."""

    cutouts: list[str] = option("Images, a folder, a packed store, or a manifest.", default=(), kind=list)
    model: str | None = option("Directory of a model with members, or draws of dropout.", panel=NETWORK)
    out: str | None = option("CSV file of the galaxies to label next.")
    labelled: tuple[str, ...] | None = option("Tables whose galaxies are left out: votes.csv,more.csv.",
                                              parse=config.names, panel=LABELS)  # fmt: skip
    n: int = option("Galaxies to label next; default 100.", kind=int, default=100, panel=LABELS)
    strategy: str = option("random, margin, entropy, information, power, joint, centres or variance (the default).",
                           default="variance", panel=LABELS)  # fmt: skip
    question: tuple[str, ...] | None = option("Questions that labels are wanted for, bar,merging; default: all.",
                                              parse=config.names, panel=LABELS)  # fmt: skip
    people: int = option("Who will look at each galaxy; default 40.", kind=int, default=40, panel=LABELS)
    seed: int = option("Of what is left to chance; default 0.", kind=int, default=0, panel=LABELS)
    subjects: str | None = option("Directory of pictures and a manifest for Zooniverse.", panel=LABELS)
    redshift: str | None = option("Table with ids and redshifts.", panel=NETWORK)
    device: str = option("cpu or cuda.", default="cpu")
    overwrite: bool = option("Choose anew, or go on (the default).", default=False, kind=bool,
                             flags=("--overwrite/--resume",))  # fmt: skip
