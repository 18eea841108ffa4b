"""Sources of an image: background, detection, deblending, photometry, stars against galaxies, cutouts, PSF."""

from rosse.detection.build import build_psf
from rosse.detection.detect import detect
from rosse.detection.options import DetectOptions, Flag, Region
from rosse.detection.result import Detection

__all__ = ["DetectOptions", "Detection", "Flag", "Region", "build_psf", "detect"]
