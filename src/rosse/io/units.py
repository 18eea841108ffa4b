"""Units of flux in which single precision holds both an image and its inverse variance."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from rosse.errors import InputError
from rosse.io.say import say

log = logging.getLogger(__name__)

# float32 ends at 1e-38 and 3e38, and the squares of bright pixels must fit as well.
FINEST, COARSEST = 1e-16, 1e16  # of the noise, in units of flux
_DECADES = 10  # steps of units, so coarse that all galaxies of a survey get the same
_FAR = 30.0  # magnitudes


def within_precision(
    name: str, flux: NDArray[np.float64], ivar: NDArray[np.float64], zeropoint: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Flux and ivar (C, H, W), brought to another unit where single precision would lose them, and zero points (C,).

    Images in cgs units, 1e-19 erg/s/cm^2/A and less, are such. The zero point follows, so that magnitudes stay; where
    it is not known nothing would tell that the unit of the table is another one, so that this is an error.
    """
    flux, ivar, zeropoint = flux.copy(), ivar.copy(), zeropoint.copy()
    for i in range(len(flux)):
        weighted = ivar[i][ivar[i] > 0]
        if not weighted.size:
            continue
        noise = float(np.median(weighted)) ** -0.5
        if FINEST <= noise <= COARSEST:
            continue
        if not np.isfinite(zeropoint[i]):
            raise InputError(
                f"the noise is {noise:.1e} in the image's unit of flux, beyond single precision; tell its zero point, "
                "and it is read in another unit, or multiply image and noise so that the noise is near 1"
            )
        step = _DECADES * round(float(np.log10(noise)) / _DECADES)
        flux[i] *= 10.0**-step
        ivar[i] = np.where(ivar[i] > 0, ivar[i] * 10.0**step * 10.0**step, 0.0)
        zeropoint[i] -= 2.5 * step
        say(log, logging.WARNING, "flux unit", "%s: the noise is %.1e in the image's unit of flux, beyond single "
            "precision; fluxes are given in units of 1e%d of it, with the zero point %g", name, noise, step,
            zeropoint[i])  # fmt: skip
    return flux, ivar, zeropoint


def nearer_zeropoint(wanted: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zero points (C,) to bring fluxes to: `wanted`, or where that is very far the one by whole steps nearer `own`."""
    step = 2.5 * _DECADES
    off = np.nan_to_num(own - wanted)
    return np.where(np.abs(off) > _FAR, wanted + step * np.round(off / step), wanted)
