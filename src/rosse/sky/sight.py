"""What of a virtual galaxy is to be seen in an image: how clearly each part stands out, and of what shape the rest is.

A part stands out by the signal-to-noise ratio at which an ideal observer finds it who does not know how bright the
smooth galaxy beneath it is. Its image is the noiseless one through PSF and pixel, so that what is not resolved looks
like the smooth galaxy and does not stand out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.errors import OptionError
from rosse.sky.columns import PARTS
from rosse.sky.draw import SDSS_R
from rosse.sky.geometry import Galaxies, galaxies_of, in_plane, on_sky
from rosse.sky.observe import Observation
from rosse.sky.photometry import kpc_per_arcsec
from rosse.sky.psf import pivot

if TYPE_CHECKING:
    from astropy.table import Table

Array = NDArray[np.float64]

# The observer's own noise: an eye does not find a pattern of this contrast (rms, of a galaxy's light) without effort,
# however little noise there is. Burgess & Colborne 1988 (J. Opt. Soc. Am. A 5, 617) measure such noise, in proportion
# to what is seen; the size follows from the votes of Galaxy Zoo 2, see `opinions`.
EYE = 0.013
FEATURES = ("arms", "bar", "ring", "clumps", "tides", "companion")
SMOOTH = ("bulge", "disc")
OTHERS = ("axis_ratio", "disc_axis_ratio", "bulge_light", "clump_light", "resolution")
EXPONENTIAL = 3 / 1.678347**2  # second moment of an exponential disc along its major axis, half-light radii squared
ROWS = 64  # at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """What is to be seen of B galaxies.

    Parameters
    ----------
    clarity : feature → (B,) signal-to-noise ratio at which it stands out: of `FEATURES`, and ``"uneven"``, what of the
        disc differs from the disc turned by 180 degrees.
    axis_ratio : (B,) of the isophotes above the noise, as they are seen through the PSF.
    disc_axis_ratio : (B,) of the disc, as seen through the PSF.
    bulge_light, clump_light : (B,) share of the bulge and of clumps in the galaxy's light.
    resolution : (B,) half-light radius over that of the PSF's core (half its FWHM).
    """

    clarity: dict[str, Array]
    axis_ratio: Array
    disc_axis_ratio: Array
    bulge_light: Array
    clump_light: Array
    resolution: Array


def sight(seen: Observation) -> Sight:
    """What is to be seen in the band nearest to SDSS r.

    Parameters
    ----------
    seen : observation with the images of parts, ``view=View(also=Truth(parts=True))``.
    """
    if seen.drawn.parts is None:
        raise OptionError(
            "the observation holds no images of parts, from which follows what can be seen; "
            "observe with view=View(also=Truth(parts=True))"
        )
    pivots = [pivot(seen.survey, name) for name in seen.survey.bands]
    band = int(np.argmin(np.abs(np.array(pivots) - SDSS_R)))
    blocks = []
    for first in range(0, len(seen), ROWS):
        rows = slice(first, first + ROWS)
        variance = 1 / seen.cutouts.ivar[rows, band].double()  # infinite where a pixel is to be ignored
        parts = seen.drawn.parts[rows, :, band]
        look = Look(scale=seen.survey.scale, fwhm=seen.survey.psf_fwhm[band])
        blocks.append(sight_of_parts(seen.truth[rows], parts, variance * seen.noise_correlation, look))
    return Sight(
        clarity={name: np.concatenate([each.clarity[name] for each in blocks]) for name in blocks[0].clarity},
        **{name: np.concatenate([getattr(each, name) for each in blocks]) for name in OTHERS},
    )


@dataclass(frozen=True, kw_only=True)
class Look:
    """Pixel scale and FWHM of the PSF, arcsec, of images in one band."""

    scale: float
    fwhm: float


def sight_of_parts(truth: Table, parts: Tensor, variance: Tensor, look: Look) -> Sight:
    """What is to be seen in one band, of images that need not be of an `Observation`.

    Parameters
    ----------
    truth : B rows of a population's table.
    parts : (B, P, H, W) images of the parts, each galaxy in the middle.
    variance : (B, H, W) of the pixels' noise; of correlated noise, that of an aperture over its number of pixels.
    """
    z = np.nan_to_num(np.asarray(truth["z"], dtype=float)).clip(0)
    # the seed chooses random detail, of which there is none here
    galaxies = galaxies_of(truth, 1 / (kpc_per_arcsec(z) * look.scale), seed=0, device=parts.device)
    clarity, others = _block(galaxies, parts.double(), variance.double(), look.fwhm / look.scale)
    return Sight(clarity=clarity, **others)


def _block(
    galaxies: Galaxies, parts: Tensor, variance: Tensor, fwhm: float
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Clarity of features, and the other fields of `Sight`, of some rows."""
    total = parts.sum(1)
    weight = 1 / (variance + eye_variance(total))
    radius = _radius(galaxies, total.shape[-2:])
    size = galaxies.columns["r_e"].clamp_min(1e-3)
    smooth = _smooth_templates(parts, radius, size)
    disc = parts[:, PARTS.index("disc")]
    features = [parts[:, PARTS.index(name)] for name in FEATURES] + [(disc - turned(disc)) / 2]
    clarity = marginal_snr(torch.stack(features, 1), smooth, weight)
    own = total - parts[:, PARTS.index("companion")]
    core = fwhm / 2
    numbers = {
        "axis_ratio": seen_axis_ratio(own, variance.sqrt()),
        "disc_axis_ratio": _disc_axis_ratio(galaxies, fwhm),
        **{
            f"{name}_light": parts[:, PARTS.index(part)].sum((1, 2)) / own.sum((1, 2)).clamp_min(1e-30)
            for name, part in (("bulge", "bulge"), ("clump", "clumps"))
        },
        "resolution": size / core,
    }
    return (
        {name: clarity[:, i].cpu().numpy() for i, name in enumerate((*FEATURES, "uneven"))},
        {name: value.double().cpu().numpy() for name, value in numbers.items()},
    )


def eye_variance(light: Tensor) -> Tensor:
    """Variance (B, H, W) of the observer's own noise, which is in proportion to the light.

    Parameters
    ----------
    light : (B, H, W) noiseless image.

    Notes
    -----
    A picture is shown at the same size whatever its pixels, so the noise of a pixel grows with the number of pixels
    over which the light is spread, ``A = (sum I)^2 / sum I^2``: a pattern of rms contrast c has a signal-to-noise ratio
    of ``c / EYE`` in an image without other noise.
    """
    area = light.sum((1, 2)).square() / light.square().sum((1, 2)).clamp_min(1e-60)
    return (EYE * light).square() * area[:, None, None]


def marginal_snr(features: Tensor, smooth: Tensor, weight: Tensor) -> Tensor:
    """Signal-to-noise ratio (B, F) of each feature's brightness when that of the smooth templates is not known.

    Parameters
    ----------
    features : (B, F, H, W) image of each.
    smooth : (B, S, H, W) templates of what is beneath.
    weight : (B, H, W) inverse variance of pixels.

    Notes
    -----
    The Cramer-Rao bound of a linear amplitude: ``p'Wp - p'WS (S'WS)^-1 S'Wp`` (e.g. Kay 1993, Sect. 4.5), squared.
    """
    root = weight.sqrt()[:, None]
    p, s = (features * root).flatten(2), (smooth * root).flatten(2)
    size = s.square().sum(2, keepdim=True).sqrt()
    s = s / size.clamp_min(1e-30)
    gram = s @ s.mT + 1e-9 * torch.eye(s.shape[1], dtype=s.dtype, device=s.device)  # a template may not be there
    cross = s @ p.mT  # (B, S, F)
    left = p.square().sum(2) - (cross * torch.linalg.solve(gram, cross)).sum(1)
    return torch.sqrt(left.clamp_min(0.0))


def turned(image: Tensor) -> Tensor:
    """Images (..., H, W) turned by 180 degrees about the pixel ``(H // 2, W // 2)``; 0 where nothing comes to lie."""
    height, width = image.shape[-2:]
    out = image.flip((-2, -1))
    even = (1 - height % 2, 1 - width % 2)
    out = torch.roll(out, even, (-2, -1))
    if even[0]:
        out[..., 0, :] = 0
    if even[1]:
        out[..., :, 0] = 0
    return out


def seen_axis_ratio(image: Tensor, sigma: Tensor) -> Tensor:
    """Axis ratio (B,) of images (B, H, W) where they stand out of their noise `sigma` and are not cut by the frame.

    Notes
    -----
    From second moments of ``ln(I / I_0)`` above ``I_0``, the brightest pixel on the frame's border or the noise of a
    pixel, whichever is brighter: roughly the brightness of a picture shown with a logarithmic stretch. Any function of
    the brightness has the axis ratio of the isophotes, where all have the same.
    """
    height, width = image.shape[-2:]
    border = torch.stack(
        [image[:, 0].amax(1), image[:, -1].amax(1), image[..., 0].amax(1), image[..., -1].amax(1)]
    ).amax(0)
    noise = torch.where(torch.isfinite(sigma), sigma, 0.0).amin((1, 2))
    peak = image.amax((1, 2)).clamp_min(1e-30)
    floor = torch.minimum(torch.maximum(border, noise), 0.5 * peak)[:, None, None]  # something is always seen
    light = torch.log(image.clamp_min(0.0) / floor + 1e-30).clamp_min(0.0)
    light = light / light.sum((1, 2), keepdim=True)
    y = (torch.arange(height, device=image.device) - height // 2)[:, None]
    x = torch.arange(width, device=image.device) - width // 2
    xx, yy, xy = ((light * moment).sum((1, 2)) for moment in (x * x, y * y, x * y))
    middle, half = (xx + yy) / 2, torch.sqrt((xx - yy).square() / 4 + xy.square())
    return ((middle - half).clamp_min(0.0) / (middle + half).clamp_min(1e-12)).sqrt()


def _radius(galaxies: Galaxies, frame: torch.Size) -> Tensor:
    """Radius (B, H, W) in the disc's plane, pixels."""
    device = galaxies.rows.device
    dy = (torch.arange(frame[0], device=device) - frame[0] // 2).float()[:, None]
    dx = (torch.arange(frame[1], device=device) - frame[1] // 2).float()
    return in_plane(galaxies, *on_sky(galaxies, dx, dy)).r.double()


def _smooth_templates(parts: Tensor, radius: Tensor, size: Tensor) -> Tensor:
    """Smooth galaxies (B, 4, H, W): the bulge, and the disc with a profile that may be another than its own."""
    bulge, disc = (parts[:, PARTS.index(name)] for name in SMOOTH)
    disc = (disc + turned(disc)) / 2
    bent = radius / (radius + size[:, None, None])
    return torch.stack([bulge, disc, disc * bent, disc * bent.square()], 1)


def _disc_axis_ratio(galaxies: Galaxies, fwhm: float) -> Tensor:
    """Of second moments: that of an exponential disc and that of the PSF's core add up."""
    q = galaxies.axis_ratio[:, 0, 0].double().square()
    body = EXPONENTIAL * galaxies.columns["disc_r_e"].square()
    blur = (fwhm / 2.3548) ** 2
    return ((q * body + blur) / (body + blur)).sqrt()
