"""Colour pictures of cutouts, as people and networks look at them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rosse.cutouts import Cutouts

SOFT = 4.0  # noise of the mean image at which the stretch turns from linear to logarithmic
FAINTEST_PEAK = 30.0  # noise: fainter galaxies are not stretched to full brightness
QUALITY = 95


def colour_pictures(cutouts: Cutouts) -> NDArray[np.uint8]:
    """Pictures (B, H, W, 3): red is the reddest band, blue the bluest, the first row at the top is north.

    Brightness is the inverse hyperbolic sine of the bands' mean, and the colour of a pixel does not depend on its
    brightness (Lupton+2004, doi:10.1086/382245). Bands count equally in AB flux, but for a tilt that makes spirals'
    discs white.
    """
    bands = cutouts.flux.shape[1]
    chosen = [bands - 1, bands // 2, 0] if bands >= 3 else [bands - 1, 0, 0] if bands == 2 else [0, 0, 0]
    unit = (10 ** (-0.4 * (cutouts.zeropoint - cutouts.zeropoint[0]))).to(cutouts.flux)
    tilt = cutouts.flux.new_tensor([0.8, 1.0, 1.4] if bands > 1 else [1.0, 1.0, 1.0])
    planes = cutouts.flux[:, chosen] * unit[chosen][:, None, None]
    if bands == 2:
        planes[:, 1] = planes[:, [0, 2]].mean(1)
    variance = torch.where(cutouts.ivar > 0, 1 / cutouts.ivar, torch.nan)[:, chosen] * unit[chosen, None, None].square()
    noise = variance.flatten(2).nanmedian(2).values.nan_to_num(1.0).sum(1).sqrt() / 3
    mean = planes.mean(1)
    soft = (SOFT * noise)[:, None, None]
    peak = torch.maximum(mean.flatten(1).quantile(0.997, dim=1), FAINTEST_PEAK * noise)[:, None, None]
    bright = torch.asinh(mean / soft) / torch.asinh(peak / soft) / torch.where(mean.abs() > 0, mean, 1.0)
    coloured = planes * tilt[:, None, None] * bright[:, None]
    most = coloured.amax(1, keepdim=True).clamp_min(1.0)  # saturated pixels keep their colour
    whole = (coloured / most).clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.asarray(whole.flip(2).permute(0, 2, 3, 1).cpu().numpy())


def write_pictures(cutouts: Cutouts, folder: Path) -> None:
    """Write ``ID.jpg`` of each galaxy."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in zip(cutouts.id, colour_pictures(cutouts), strict=True):
        Image.fromarray(pixels).save(folder / f"{name}.jpg", quality=QUALITY)
