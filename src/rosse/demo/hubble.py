"""The real field: the Hubble Deep Field as the colour picture that scikit-image carries."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rosse.demo.places import writing
from rosse.errors import FileError, require

if TYPE_CHECKING:
    from rosse.io import Mosaic
    from rosse.pipeline.jobs import FieldOptions

PICTURE = "hubble-deep-field.jpg"
BANDS = ("B", "G", "R")  # the picture's colours in the order of wavelength

STAR = (753.5, 293.2)  # pixel of the one bright star; without a PSF stars and galaxies cannot be told apart
MINIMUM_SNR = 450.0  # in units of the picture's noise, that of a JPEG

# What every reader of these numbers must know.
CAVEAT = (
    "a JPEG: no PSF, no world coordinates, no zero point; stretched for the eye and compressed, and taken as it is. "
    "Sizes are in pixels, n is that of the stretched picture, errors are lower limits."
)


def fetch_picture(folder: Path) -> Path:
    """Copy the picture out of the installed scikit-image; nothing is downloaded."""
    package = require("skimage", extra="demo")
    source = Path(str(package.__file__)).parent / "data" / "hubble_deep_field.jpg"
    if not source.is_file():
        raise FileError(
            f"scikit-image {package.__version__} does not carry {source.name}; install another version, "
            "or run the demo without Hubble's field"
        )
    target = folder / PICTURE
    with writing(target):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return target


def open_hubble(picture: Path) -> Mosaic:
    """The picture as a mosaic in three bands, its values taken for flux."""
    from rosse.io import open_mosaic

    return open_mosaic(picture, bands=BANDS, name="hubble")


def hubble_options() -> FieldOptions:
    """Every source is found and masked, the bright galaxies are fitted.

    JPEG noise is correlated between pixels and clipped at black, so that the threshold is higher than for a real
    image; so is the contrast for deblending, since arms and knots are overdone by the stretch. Without a PSF galaxies
    that are not much larger than it cannot be measured, and the bright ones are the large ones.
    """
    from rosse.detection import DetectOptions
    from rosse.pipeline.asking import Asking
    from rosse.pipeline.jobs import FieldOptions

    detection = DetectOptions(
        threshold=8.0, min_pixels=16, deblend_contrast=0.02, cutout_factor=1.0, cutout_maximum=111, psf_from_stars=False
    )
    return FieldOptions(size=512, margin=96, min_snr=MINIMUM_SNR, detection=detection, asking=Asking.of())


@contextmanager
def without_magnitudes() -> Iterator[None]:
    """Leave out the warning that a picture has no zero point: the summary says so."""

    def known(record: logging.LogRecord) -> bool:
        return "no zero point" not in record.getMessage()

    logger = logging.getLogger("rosse.detection.catalogue")
    logger.addFilter(known)
    try:
        yield
    finally:
        logger.removeFilter(known)
