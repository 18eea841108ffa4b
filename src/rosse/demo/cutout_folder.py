"""Cutouts as files, in the naming that `rosse fit` reads by default."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rosse.demo.places import writing

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

    from rosse.cutouts import Cutouts


def write_cutouts(cutouts: Cutouts, folder: str | Path, *, wcs: WCS | None = None) -> list[Path]:
    """Write ``ID_image.fits``, ``ID_sigma.fits``, ``ID_mask.fits`` and ``ID_psf.fits`` of single-band cutouts.

    The mask is a segmentation: 0 for pixels to use and 1 for those to leave out. The value at the centre means the
    galaxy itself in such a map, so that a masked centre is NaN in the image instead.

    Parameters
    ----------
    cutouts : in one band.
    folder : created if missing.
    wcs : of the image that they were cut from; each image gets its part of it.

    Returns
    -------
    list
        The images.
    """
    from astropy.io import fits

    target = Path(folder)
    images: list[Path] = []
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        for i, name in enumerate(cutouts.id):
            flux, ivar = cutouts.flux[i, 0].cpu().numpy(), cutouts.ivar[i, 0].cpu().numpy()
            middle = (flux.shape[0] // 2, flux.shape[1] // 2)
            mask = (ivar == 0).astype(np.int16)
            if mask[middle]:
                flux, mask[middle] = flux.copy(), 2
                flux[middle] = np.nan
            typical = float(np.median(ivar[ivar > 0])) if (ivar > 0).any() else 1.0
            parts: dict[str, Any] = {
                "image": flux,
                "sigma": 1 / np.sqrt(np.where(ivar > 0, ivar, typical)),
                "mask": mask,
            }
            if cutouts.psf is not None:
                parts["psf"] = cutouts.psf[min(i, len(cutouts.psf) - 1), 0].cpu().numpy()
            for part, pixels in parts.items():
                path = target / f"{name}_{part}.fits"
                fits.PrimaryHDU(pixels, header=_header(cutouts, i, wcs)).writeto(path, overwrite=True)
            images.append(target / f"{name}_image.fits")
    return images


def _header(cutouts: Cutouts, row: int, wcs: WCS | None) -> Header:
    from astropy.io.fits import Header

    header = Header()
    if wcs is not None:
        part = wcs.deepcopy()
        part.wcs.crpix = np.asarray(part.wcs.crpix) - cutouts.corner[row].cpu().numpy()
        header = part.to_header()
    header["OBJECT"] = str(cutouts.id[row])
    header["FILTER"] = cutouts.bands[0]
    if np.isfinite(zeropoint := float(cutouts.zeropoint[0])):
        header["MAGZERO"] = (zeropoint, "AB magnitude of one flux unit")
    return header
