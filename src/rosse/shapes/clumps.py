"""Smoothness: light in clumps."""

from __future__ import annotations

from torch import Tensor


def residual(image: Tensor, smoothed: Tensor) -> Tensor:
    """What an image has in excess of its smoothed self; deficits do not count (Lotz et al. 2004, eq. 8)."""
    return (image - smoothed).clamp_min(0)


def smoothness(clumps: Tensor, light: Tensor, area: Tensor, sky: Tensor) -> Tensor:
    """S = (sum (I - I_s) - n S_sky) / sum I (Conselice 2003, without his factor of 10; Lotz et al. 2004, eq. 11).

    Parameters
    ----------
    clumps, light : (B,) sums of the residual and of the image over the ring from 0.25 to 1.5 Petrosian radii.
    area : (B,) of that ring, pixels: of all of it, or of what has data, see `rosse.ShapeOptions.whole_ring`.
    sky : (B,) mean residual of a pixel of empty sky.
    """
    return (clumps - area * sky) / light
