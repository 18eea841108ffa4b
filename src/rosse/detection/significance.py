"""The detection image: bands added by their noise, then filtered with the shape of a point source."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve
from scipy.stats import norm

Pixels = NDArray[np.float32]

_ENOUGH_SKY = 1000  # pixels for a scatter that is known to a few per cent

# SExtractor's default.conv, for images whose PSF is not known.
DEFAULT_KERNEL = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionImage:
    """What sources are looked for in.

    Parameters
    ----------
    flux : (H, W) noise-weighted mean of the bands, in units of the typical noise of a pixel.
    ivar : (H, W) its inverse variance, 0 where no band has data.
    smooth : (H, W) matched-filtered flux.
    noise : (H, W) noise of `smooth`; 1 where there is no data.
    significance : (H, W) `smooth` over `noise`.
    """

    flux: Pixels
    ivar: Pixels
    smooth: Pixels
    noise: Pixels
    significance: Pixels


def detection_image(flux: Pixels, ivar: Pixels, kernel: NDArray[np.float64]) -> DetectionImage:
    """Add the bands and filter.

    Parameters
    ----------
    flux, ivar : (C, H, W) sky-subtracted pixels and their background noise.
    kernel : (h, w) odd; its normalisation does not matter.

    Notes
    -----
    With a source as bright in band c as the band's typical noise ``s_c``, the best sum is ``sum s d w / sum s^2 w``
    with inverse variances w. This choice of spectrum does not depend on the bands' flux units, and gives bands of
    different depth the weight that surveys plan them with. The filter maximises the signal-to-noise ratio of a
    point source under noise that varies from pixel to pixel (Zackay & Ofek 2017, eq. 12; Barbary 2016):
    ``F = k*(w d) / sqrt(k^2*w)``. Pixels without weight drop out of both sums.
    """
    spectrum = _typical_noise(ivar)[:, None, None]
    signal = np.sum(spectrum * flux * ivar, axis=0, dtype=np.float64)
    weight = np.sum(spectrum**2 * ivar, axis=0, dtype=np.float64)
    turned = kernel[::-1, ::-1] / kernel.sum()
    top = oaconvolve(signal, turned, mode="same")
    power = np.maximum(oaconvolve(weight, turned**2, mode="same"), 0.0)
    mean = oaconvolve(weight, turned, mode="same")
    some = power > 1e-6 * np.sum(turned**2)  # below it, only the rounding of the transform is left
    with np.errstate(divide="ignore", invalid="ignore"):
        return DetectionImage(
            flux=np.where(weight > 0, signal / weight, 0.0).astype(np.float32),
            ivar=np.asarray(weight, dtype=np.float32),
            smooth=np.where(some, top / mean, 0.0).astype(np.float32),
            noise=np.where(some, np.sqrt(power) / mean, 1.0).astype(np.float32),
            significance=np.where(some, top / np.sqrt(power), 0.0).astype(np.float32),
        )


def calibrated(image: DetectionImage, sky: NDArray[np.bool_]) -> DetectionImage:
    """The same image with its noise raised to the scatter that the filtered sky really has.

    Resampled, drizzled and compressed images have noise that is correlated from pixel to pixel, and filtering averages
    it down by less than independent pixels would; without this, thousands of noise peaks pass for sources. Scatter is
    taken below the median only, where faint sources do not add to it, and never lowers the noise.

    Parameters
    ----------
    sky : (H, W) pixels away from sources.
    """
    values = image.significance[sky & (image.ivar > 0)]
    if len(values) < _ENOUGH_SKY:
        return image
    low, middle = np.percentile(values, [100.0 * norm.cdf(-1.0), 50.0])
    factor = np.float32(max(1.0, float(middle - low)))
    return replace(image, noise=image.noise * factor, significance=image.significance / factor)


def gaussian_kernel(fwhm: float) -> NDArray[np.float64]:
    """Circular Gaussian of a width in pixels, on an odd square that holds it to 3 sigma."""
    sigma = fwhm / 2.3548
    half = max(1, int(np.ceil(3.0 * sigma)))
    axis = np.arange(-half, half + 1)
    profile = np.exp(-0.5 * (axis / sigma) ** 2)
    return np.outer(profile, profile)


def _typical_noise(ivar: Pixels) -> NDArray[np.float64]:
    """Median noise of each band; 1 for a band without data."""
    return np.array([1.0 / np.sqrt(np.median(w[w > 0])) if (w > 0).any() else 1.0 for w in ivar])
