"""What a star looks like: seeing through the air, diffraction in a telescope, and how both differ between places."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from rosse.errors import InputError, OptionError
from rosse.sky import chance
from rosse.surveys import Survey

Array = NDArray[np.float64]

MOFFAT_BETA = 3.0
OUTSIDE = 3e-3  # share of a Moffat PSF's light outside of its stamp
FAR_OUTSIDE = 3e-5  # the same for bright stars, whose wings would else end in a square
WIDTHS, FAR_WIDTHS = (
    10,
    25,
)  # radius of a telescope's stamp, FWHM: some 1 % of the light is farther out, in wings that fall as r^-3
SAMPLES = 2.5  # of a PSF along its FWHM: fewer, and the stamp comes finer than the image
GAUSS = 0.5 / math.sqrt(3)  # two-point Gauss-Legendre nodes of a pixel: 2e-4 of the peak wrong at 3 pixels FWHM
TABLE = 2048  # entries of a transfer function's table

# Survey → telescope: diameter (m) and diameter of the central obscuration over it.
TELESCOPES: dict[str, tuple[float, float]] = {
    "euclid-vis": (1.2, 0.33),  # Euclid Collaboration: Cropper+2025
    "hst-acs": (2.4, 0.33),  # Krist, Hook & Stoehr 2011
    "jwst-nircam": (6.5, 0.2),  # Rigby+2023; the hexagons' spikes are not drawn
    "csst": (2.0, 0.0),  # Zhan 2021: off-axis
}


@dataclass(frozen=True, kw_only=True)
class Psf:
    """The PSF of each band: a Moffat profile, or an obscured Airy disc blurred by a Gaussian.

    Parameters
    ----------
    fwhm : (C,) full width at half maximum before the integration over the pixel, arcsec.
    beta : Moffat's exponent, on the ground.
    wavelength : (C,) nm; empty: on the ground.
    diameter : of the telescope, m, in space.
    obscuration : diameter of the central obscuration over that of the telescope.
    """

    fwhm: tuple[float, ...]
    beta: float = MOFFAT_BETA
    wavelength: tuple[float, ...] = ()
    diameter: float = math.nan
    obscuration: float = 0.0

    def __post_init__(self) -> None:
        if not all(width > 0 for width in self.fwhm) or not self.beta > 1:
            raise OptionError(f"a PSF of FWHM {self.fwhm}, beta {self.beta} came; positive and above 1 are wanted")
        if self.wavelength and (len(self.wavelength) != len(self.fwhm) or not self.diameter > 0):
            raise OptionError("a telescope's PSF needs a wavelength for each FWHM and a diameter, m")

    def oversampling(self, scale: float) -> int:
        """Pixels of a stamp along one pixel of an image of `scale` arcsec/pixel."""
        return max(1, math.ceil(SAMPLES * scale / min(self.fwhm) - 1e-9))

    def size(self, scale: float, *, far: bool = False) -> int:
        """Odd side of a stamp, pixels of the image; `far` where wings matter, of bright stars."""
        if self.wavelength:
            radius = (FAR_WIDTHS if far else WIDTHS) * max(self.fwhm)
        else:
            core = max(self.fwhm) / (2 * math.sqrt(2 ** (1 / self.beta) - 1))
            outside = FAR_OUTSIDE if far else OUTSIDE
            radius = core * math.sqrt(outside ** (-1 / (self.beta - 1)) - 1)
        return 2 * max(3, math.ceil(radius / scale)) + 1


@dataclass(frozen=True, kw_only=True)
class PsfScatter:
    """How PSFs differ from galaxy to galaxy, and from band to band of a galaxy.

    Parameters
    ----------
    width : standard deviation of the logarithm of the width. Coadds of ground-based surveys have 0.05 to 0.15.
    ellipticity : standard deviation of each of the two components of the reduced shear.
    """

    width: float = 0.06
    ellipticity: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.width < 1 or not 0 <= self.ellipticity < 0.2:
            raise OptionError(
                f"a scatter of the PSF's width of {self.width} and ellipticity of {self.ellipticity} came; 0 to 1 and "
                "0 to 0.2 are wanted"
            )

    def draw(self, seed: int, rows: Tensor, survey: Survey) -> tuple[Tensor, Tensor]:
        """Factors of the width (B, C) and reduced shears (B, C, 2), the same for a row in whatever batch it comes."""
        each = [chance.normal(seed, rows, f"psf {survey.name} {band}", (3,)) for band in survey.bands]
        number = torch.stack(each, 1).clamp(-3, 3)  # (B, C, 3)
        return torch.exp(self.width * number[..., 0]), self.ellipticity * number[..., 1:]


def survey_psf(survey: Survey) -> Psf:
    """Typical PSF of a survey: a Moffat profile, or diffraction where the telescope is in space."""
    if survey.name not in TELESCOPES:
        return Psf(fwhm=survey.psf_fwhm)
    diameter, obscuration = TELESCOPES[survey.name]
    wavelength = tuple(pivot(survey, band) for band in survey.bands)
    return Psf(fwhm=survey.psf_fwhm, wavelength=wavelength, diameter=diameter, obscuration=obscuration)


def pivot(survey: Survey, band: str) -> float:
    """Pivot wavelength of a band, nm: that at which f_lambda and f_nu belong together (Koornneef+1986)."""
    from rosse.sky.filters import curve

    wavelength, throughput = curve(survey, band)
    above = np.trapezoid(throughput * wavelength, wavelength)
    return float(np.sqrt(above / np.trapezoid(throughput / wavelength, wavelength)))


def psf_stamps(
    psf: Psf,
    scale: float,
    *,
    width: Tensor | None = None,
    shear: Tensor | None = None,
    oversampling: int | None = None,
    far: bool = False,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Stamps (B or 1, C, h, w) of unit sum, integrated over the image's pixel, centred on pixel (h // 2, w // 2).

    Parameters
    ----------
    psf : of C bands.
    scale : arcsec/pixel of the image.
    width : (B, C) factors of the FWHM; default 1.
    shear : (B, C, 2) reduced shear (g1, g2), which keeps the area: g1 > 0 is long along x, g2 > 0 along x = y.
    oversampling : samples of the stamp along one pixel of the image; default `Psf.oversampling`.
    far : a larger stamp, for the wings of bright stars.
    """
    count = oversampling or psf.oversampling(scale)
    bands = len(psf.fwhm)
    width = torch.ones(1, bands, device=device) if width is None else width.to(device)
    shear = torch.zeros(1, bands, 2, device=device) if shear is None else shear.to(device)
    if shear.shape[1:] != (bands, 2) or width.shape[1:] != (bands,):
        raise InputError(
            f"width {tuple(width.shape)} and shear {tuple(shear.shape)} came; (B, {bands}) and (B, {bands}, 2) are "
            "wanted"
        )
    side = count * psf.size(scale, far=far)
    side += 1 - side % 2
    draw = _diffraction if psf.wavelength else _moffat
    stamps = draw(psf, scale, count, side, (width.float(), shear.float()))
    return stamps / stamps.sum((-2, -1), keepdim=True)


def _moffat(psf: Psf, scale: float, count: int, side: int, shape: tuple[Tensor, Tensor]) -> Tensor:
    """Moffat (1969) profiles, ``(1 + (r / r_d)^2)^-beta``, averaged over a pixel at four points."""
    width, shear = shape
    core = width.new_tensor(psf.fwhm) * (0.5 / (scale * math.sqrt(2 ** (1 / psf.beta) - 1)))  # pixels of the image
    x = (torch.arange(side, device=width.device) - side // 2).float() / count
    g1, g2 = shear.unbind(-1)
    inverse = 1 / ((width * core).square() * (1 - g1.square() - g2.square()))
    # |S^-1 x|^2 with S = ((1 + g1, g2), (g2, 1 - g1)) / sqrt(1 - g^2)
    xx = ((1 - g1).square() + g2.square()) * inverse
    yy = ((1 + g1).square() + g2.square()) * inverse
    xy = -4 * g2 * inverse
    total = None
    for step_y in (-GAUSS, GAUSS):
        for step_x in (-GAUSS, GAUSS):
            u, v = x + step_x, x + step_y
            along_x = 1 + xx[..., None] * u.square()
            radius = torch.addcmul(
                along_x[..., None, :] + (yy[..., None] * v.square())[..., :, None],
                xy[..., None, None] * v[:, None],
                u,
            )
            value = radius.pow_(-psf.beta)
            total = value if total is None else total.add_(value)
    assert total is not None
    return total


def _diffraction(psf: Psf, scale: float, count: int, side: int, shape: tuple[Tensor, Tensor]) -> Tensor:
    """PSFs of a telescope from their transfer functions, on a grid that keeps periodic copies of the wings away."""
    width, shear = shape
    step = scale / count
    grid = int(next_fast_len(2 * side, real=True))
    ky = 2 * math.pi * torch.fft.fftfreq(grid, step, device=width.device)[:, None]  # radians per arcsec
    kx = 2 * math.pi * torch.fft.rfftfreq(grid, step, device=width.device)[None, :]
    factor = (width / torch.sqrt(1 - shear.square().sum(-1)))[..., None, None]
    g1, g2 = (g[..., None, None] for g in shear.unbind(-1))
    k = factor * torch.sqrt(((1 + g1) * kx + g2 * ky).square() + (g2 * kx + (1 - g1) * ky).square())
    spectrum = torch.stack([_looked_up(_band(psf, band), k[:, band]) for band in range(len(psf.fwhm))], 1)
    pixel = torch.special.sinc(kx * (scale / (2 * math.pi))) * torch.special.sinc(ky * (scale / (2 * math.pi)))
    images = torch.roll(torch.fft.irfft2(spectrum * pixel, s=(grid, grid)), (side // 2, side // 2), dims=(-2, -1))
    return images[..., :side, :side]


def _looked_up(band: tuple[float, float, float, float], k: Tensor) -> Tensor:
    """Transfer function at wave numbers `k`, radians per arcsec."""
    largest, table = _transfer_table(*band)
    place = (k * ((TABLE - 1) / largest)).clamp(max=TABLE - 1)
    values = torch.as_tensor(table, dtype=torch.float32, device=k.device)
    lower = place.long().clamp(max=TABLE - 2)
    return torch.lerp(values[lower], values[lower + 1], place - lower)


def _band(psf: Psf, band: int) -> tuple[float, float, float, float]:
    return psf.fwhm[band], psf.wavelength[band], psf.diameter, psf.obscuration


@lru_cache(maxsize=64)
def _transfer_table(fwhm: float, wavelength: float, diameter: float, obscuration: float) -> tuple[float, Array]:
    """Largest wave number (radians per arcsec) that passes, and the transfer function at `TABLE` ones up to it."""
    largest = 2 * math.pi * diameter / (wavelength * 1e-9) * math.radians(1 / 3600)
    nu = np.linspace(0, 1, TABLE)
    sharp = annulus_transfer(nu, obscuration)
    sigma = _blur(fwhm, largest * nu, sharp)
    return largest, sharp * np.exp(-0.5 * np.square(sigma * largest * nu))


def annulus_transfer(nu: Array, obscuration: float) -> Array:
    """Transfer function of an annular aperture.

    Parameters
    ----------
    nu : spatial frequency over the largest that passes, diameter / wavelength.
    obscuration : inner over outer diameter.

    Notes
    -----
    O'Neill (1956), J. Opt. Soc. Am. 46, 285: the area that the annulus shares with itself, shifted: of two outer
    circles, of two inner ones, less twice that of an outer and an inner one.
    """
    separation = 2 * np.asarray(nu, dtype=float)  # of the centres, in units of the outer radius
    shared = _lens(separation, 1.0, 1.0)
    if obscuration > 0:
        shared = shared + _lens(separation, obscuration, obscuration) - 2 * _lens(separation, 1.0, obscuration)
    return np.asarray(shared / (math.pi * (1 - obscuration**2)))


def _lens(distance: Array, large: float, small: float) -> Array:
    """Area that two discs share."""
    d = np.clip(distance, max(large - small, 1e-9), large + small)
    a = np.clip((d**2 + large**2 - small**2) / (2 * d * large), -1, 1)
    b = np.clip((d**2 + small**2 - large**2) / (2 * d * small), -1, 1)
    kite = np.clip((small + large - d) * (d + small - large) * (d - small + large) * (d + small + large), 0, None)
    return np.asarray(large**2 * np.arccos(a) + small**2 * np.arccos(b) - 0.5 * np.sqrt(kite))


def _blur(fwhm: float, k: Array, sharp: Array) -> float:
    """Sigma, arcsec, of the Gaussian that widens a PSF to `fwhm`; 0 where diffraction alone is as wide."""
    from scipy.optimize import brentq
    from scipy.special import j0

    def excess(sigma: float) -> float:
        passed = sharp * np.exp(-0.5 * np.square(sigma * k)) * k
        return float(np.trapezoid(passed * j0(k * fwhm / 2), k) - 0.5 * np.trapezoid(passed, k))

    return 0.0 if excess(0.0) >= 0 else float(brentq(excess, 0.0, fwhm))
