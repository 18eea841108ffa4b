"""Images of any survey, in any number of bands, as the colour pictures that people look at: one network serves all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.errors import OptionError
from rosse.nets.framing import cropped, half_widths, petrosian_radius

# Bands of red, green and blue, the first of each that there is: as people are shown SDSS, the Legacy Surveys and HSC.
CHOICE = (("i", "z", "I", "Y", "y"), ("r", "R", "V"), ("g", "B", "u"))
TILT = (0.8, 1.0, 1.4)  # of AB fluxes: discs of spirals become white
CORE = 0.6  # Petrosian radii within which the brightest light of the galaxy is looked for


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """How brightness is shown.

    Parameters
    ----------
    soft : noise of a pixel at which the stretch turns from linear to logarithmic, at least.
    depth : range of brightness that is shown, at most: it turns no fainter than the galaxy's centre over this.
    top : brightness shown as white, of that of the galaxy's centre.
    """

    soft: float = 4.0
    depth: float = 60.0
    top: float = 1.0

    def __post_init__(self) -> None:
        for name in ("soft", "depth", "top"):
            if not getattr(self, name) > 0:
                raise OptionError(f"stretch: {name} is {getattr(self, name)}; a positive number is wanted")


@dataclass(frozen=True, kw_only=True, eq=False)
class Framed:
    """Pictures of B galaxies.

    Parameters
    ----------
    pixels : (B, 3, side, side) red, green and blue, 0 to 1.
    finer : (B,) pixels of the picture along one of the image.
    """

    pixels: Tensor
    finer: Tensor


def colour_pictures(cutouts: Cutouts, side: int, *, radii: float | Tensor, stretch: Stretch | None = None) -> Framed:
    """Pictures in which all galaxies are equally large, of cutouts in any bands.

    Parameters
    ----------
    cutouts : B galaxies.
    side : pixels.
    radii : () or (B,) Petrosian radii from the galaxy's centre to the picture's border.
    stretch : of brightness.

    Notes
    -----
    Colours do not depend on brightness (Lupton+2004, doi:10.1086/382245); the middle of the bands' mean, which becomes
    white, is the galaxy's own, so that a star beside it does not make it dark. Where fewer than three bands came, those
    between are means; one alone gives a grey picture.
    """
    how = stretch or Stretch()
    planes, variance = _planes(cutouts)
    there = (cutouts.ivar > 0).all(1)
    mean = planes.mean(1)
    radius = petrosian_radius(mean, there)
    half = half_widths(radius * torch.as_tensor(radii, dtype=radius.dtype), 1.0, cutouts.frame)
    finer = side / (2 * half.to(mean.dtype))
    noise = variance.sum(1).sqrt() / planes.shape[1] * finer.clamp_max(1.0)  # of pixels that become one
    small = cropped(planes, half, side)
    light = small.mean(1)
    top = how.top * _peak(light, radius * finer).clamp_min(1e-30)
    soft = torch.maximum(how.soft * noise, top / how.depth).clamp_min(1e-30)
    shown = torch.asinh(light / soft[:, None, None]) / torch.asinh(top / soft)[:, None, None]
    each = small * (shown / torch.where(light.abs() > 0, light, 1.0))[:, None]
    most = each.amax(1, keepdim=True).clamp_min(1.0)  # what is too bright keeps its colour
    return Framed(pixels=(each / most).clamp(0, 1), finer=finer)


def _peak(light: Tensor, radius: Tensor) -> Tensor:
    """Brightest light (B,) near the middle of pictures (B, side, side) with Petrosian radii (B,)."""
    side = light.shape[-1]
    from_centre = torch.arange(side, device=light.device) - (side - 1) / 2
    r = torch.sqrt(from_centre[:, None] ** 2 + from_centre**2)
    core = r < (CORE * radius).clamp_min(2.0)[:, None, None]
    return torch.where(core, light, 0.0).flatten(1).quantile(0.998, dim=1)


def _planes(cutouts: Cutouts) -> tuple[Tensor, Tensor]:
    """AB fluxes (B, 3, H, W) of red, green and blue, 0 without weight, and the variance (B, 3) of a typical pixel."""
    bands = cutouts.bands
    last = len(bands) - 1
    ends = (last, last // 2 if last % 2 == 0 else last, 0)
    known = [next((bands.index(name) for name in names if name in bands), None) for names in CHOICE]
    chosen = [end if place is None else place for place, end in zip(known, ends, strict=True)]
    if None in known or len(set(chosen)) < 3:
        chosen = list(ends)
    zero = cutouts.zeropoint.nan_to_num(0.0)
    unit = (10 ** (-0.4 * (zero - zero[chosen[1]]))).to(cutouts.flux)[chosen]
    factor = unit * unit.new_tensor(TILT if last else (1.0, 1.0, 1.0))
    ivar = cutouts.ivar[:, chosen]
    planes = torch.where(ivar > 0, cutouts.flux[:, chosen], 0.0) * factor[:, None, None]
    variance = torch.where(ivar > 0, 1 / ivar, torch.nan).flatten(2).nanmedian(2).values.nan_to_num(1.0)
    if last == 1:
        planes[:, 1] = planes[:, [0, 2]].mean(1)
    return planes, variance * factor.square()
