"""How a galaxy was seen: pixel scale, width of the PSF and redshift, as numbers beside the pixels, each if known."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.errors import InputError

NAMES = ("scale", "psf_fwhm", "redshift")  # arcsec/pixel, pixels, -
_FWHM = 2 * math.sqrt(2 * math.log(2))  # of a Gaussian of unit sigma
_MIDDLE, _SPREAD = (-0.6, 0.4, 0.1), (0.35, 0.25, 0.2)  # of log10, log10 and ln(1 + z): what surveys span


def conditions_of(cutouts: Cutouts, redshift: ArrayLike | None = None) -> Tensor:
    """Pixel scale, PSF width and redshift (B, 3) of cutouts; NaN where unknown.

    Parameters
    ----------
    cutouts : B galaxies.
    redshift : (B,), NaN where unknown; None: of no galaxy.
    """
    out = torch.full((len(cutouts), len(NAMES)), torch.nan)
    out[:, 0] = cutouts.scale.cpu().float()
    if cutouts.psf is not None:
        out[:, 1] = psf_fwhm(cutouts.psf).mean(1).cpu() / cutouts.psf_oversampling
    if redshift is not None:
        z = np.asarray(redshift, dtype=np.float32)
        if z.shape != (len(cutouts),):
            raise InputError(f"redshift has shape {z.shape}; one number for each of {len(cutouts)} galaxies is wanted")
        if (z <= -1).any():
            raise InputError("redshifts must be above -1; put NaN where they are unknown")
        out[:, 2] = torch.from_numpy(z)
    return out


def psf_fwhm(psf: Tensor) -> Tensor:
    """FWHM (B, C), pixels, of the Gaussian with the same noise-equivalent area as PSFs (B, C, h, w) of unit sum.

    Notes
    -----
    4 pi sigma^2 = 1 / sum p^2 (King 1983, PASP 95, 163, eq. 1). Second moments would measure noise in the wings.
    """
    area = 1 / psf.double().square().sum((-2, -1))
    return (_FWHM * torch.sqrt(area / (4 * math.pi))).float()


def encoded(conditions: Tensor) -> Tensor:
    """Numbers near 0 with a spread near 1, and 1 where one is unknown, (B, 6), from conditions (B, 3)."""
    known = torch.isfinite(conditions)
    safe = torch.where(known, conditions, 1.0)
    logs = torch.stack((safe[:, 0].clamp_min(1e-4).log10(), safe[:, 1].clamp_min(1e-4).log10(),
                        torch.log1p(safe[:, 2])), 1)  # fmt: skip
    middle, spread = (conditions.new_tensor(each) for each in (_MIDDLE, _SPREAD))
    return torch.cat((torch.where(known, (logs - middle) / spread, 0.0), (~known).to(conditions.dtype)), 1)
