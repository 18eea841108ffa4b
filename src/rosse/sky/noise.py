"""The noise of survey images: photons of sky and source, read-out, and what resampling makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rosse.errors import InputError, OptionError
from rosse.surveys import Survey

COUNTED = 30.0  # electrons: below, photons are counted one by one; above, cumulants to the fourth order suffice
SNR_OF_DEPTH = 5.0
READ_SHARE = 0.1  # of the variance of an empty pixel, where no read noise is given


@dataclass(frozen=True, kw_only=True, eq=False)
class Noise:
    """What spoils an image.

    Parameters
    ----------
    read_noise : electrons per pixel of the coadd, one number for all bands; None: a tenth of an empty pixel's variance.
        Sky and read noise together always are those of the survey's depth.
    kernel : (h, w) of odd sides and unit sum, by which white noise is convolved, as the resampling of a coadd does;
        None: independent pixels. See `bilinear_kernel` and `lanczos_kernel`.
    """

    read_noise: float | None = None
    kernel: Tensor | None = None

    def __post_init__(self) -> None:
        if self.read_noise is not None and not self.read_noise >= 0:
            raise OptionError(f"read_noise is {self.read_noise}; 0 or more electrons are wanted")
        if self.kernel is None:
            return
        if self.kernel.ndim != 2 or not all(side % 2 for side in self.kernel.shape):
            raise InputError(f"the noise kernel has shape {tuple(self.kernel.shape)}; two odd sides are wanted")
        if abs(float(self.kernel.sum()) - 1) > 1e-4:
            raise InputError(
                f"the noise kernel sums to {float(self.kernel.sum()):.4g}; 1 is wanted, so that the noise of a large "
                "aperture is that of the depth"
            )

    @property
    def correlation(self) -> float:
        """Variance of the sum over a large aperture, over the sum of its pixels' variances (1: independent pixels)."""
        return 1.0 if self.kernel is None else 1.0 / float(self.kernel.double().square().sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class Level:
    """Noise of an empty pixel.

    Parameters
    ----------
    sigma : (C,) or (B, C) of sky and read-out together, flux units, before resampling.
    gain : (C,) electrons per flux unit.
    read_variance : like `sigma`, electrons^2.
    """

    sigma: Tensor
    gain: Tensor
    read_variance: Tensor


def effective_area(psf: Tensor, oversampling: int = 1) -> Tensor:
    """Pixels over which a star's light is spread for the filter that is best: 1 / sum(P^2), (...) of (..., h, w).

    King (1983), PASP 95, 163. An oversampled stamp is read where the image's pixels are, the star on the centre of one.
    """
    stamp = psf.double()
    if oversampling > 1:
        h, w = stamp.shape[-2:]
        stamp = stamp[..., (h // 2) % oversampling :: oversampling, (w // 2) % oversampling :: oversampling]
        stamp = stamp / stamp.sum((-2, -1), keepdim=True)
    return 1 / stamp.square().sum((-2, -1))


def noise_level(survey: Survey, psf: Tensor, *, noise: Noise, oversampling: int = 1) -> Level:
    """Noise per pixel at which a star of the survey's depth has a signal-to-noise ratio of 5.

    Parameters
    ----------
    survey : depth, zero point and gain of C bands.
    psf : (1, C, h, w) the survey's typical PSF on the pixels of the image.
    noise : how it is made up.
    oversampling : of `psf`.
    """
    area = effective_area(psf[0], oversampling)
    faintest = torch.tensor(
        [10 ** (-0.4 * (d - z)) for d, z in zip(survey.depth, survey.zeropoint, strict=True)], dtype=torch.float64
    )
    gain = torch.tensor(survey.gain, dtype=torch.float64)
    sigma = faintest / (SNR_OF_DEPTH * torch.sqrt(area.cpu()))
    electrons = (sigma * gain).square()
    if noise.read_noise is None:
        return Level(sigma=sigma, gain=gain, read_variance=READ_SHARE * electrons)
    read = torch.full_like(electrons, noise.read_noise**2)
    if bool((read > electrons).any()):
        band = int((read - electrons).argmax())
        raise OptionError(
            f"{survey.name} {survey.bands[band]}: a read noise of {noise.read_noise:g} electrons is more than the "
            f"{math.sqrt(float(electrons[band])):.3g} that the depth allows in all; give a smaller one"
        )
    return Level(sigma=sigma, gain=gain, read_variance=read)


def variance(flux: Tensor, level: Level) -> Tensor:
    """Variance (B, C, H, W) of a pixel that holds `flux`, flux units squared: sky, read-out, the source's photons."""
    sigma, gain = (_planes(v, flux) for v in (level.sigma, level.gain))
    return flux.clamp_min(0.0).div_(gain).add_(sigma.square())


def deviations(flux: Tensor, level: Level, *, normal: Tensor, read: Tensor | None = None) -> Tensor:
    """Noise (B, C, H, W) to be added to a noiseless image.

    Parameters
    ----------
    flux : (B, C, H, W) noiseless.
    level : of an empty pixel.
    normal : like `flux`, standard normal numbers.
    read : like `flux`, further ones for the read noise of pixels that hold few electrons; needed where there are such.

    Notes
    -----
    With mean and third and fourth cumulant L of the photons and variance V = L + R of all, the Cornish-Fisher
    expansion (Cornish & Fisher 1938, Rev. Inst. Int. Stat. 5, 307) turns a normal number g into
    ``sqrt(V) g + s (g^2 - 1) / 6 + [s (g^3 - 3 g) / 24 - s^2 (2 g^3 - 5 g) / 36] / sqrt(V)`` with s = L/V: skew and
    kurtosis of the photons are kept. Where fewer than `COUNTED` electrons are expected, they are counted: the Poisson
    distribution is inverted at the probability of g.
    """
    gain, read_variance = (_planes(v, flux) for v in (level.gain, level.read_variance))
    sky = _planes((level.sigma * level.gain).square() - level.read_variance, flux)
    photons = flux.clamp_min(0.0).mul_(gain).add_(sky)
    noise = _expanded(photons, photons + read_variance, normal)
    few = photons < COUNTED
    if bool(few.any()):
        if read is None:
            raise InputError("pixels hold few electrons: normal numbers for the read noise are wanted as well")
        counted = poisson(photons[few], normal[few]) - photons[few]
        noise[few] = counted + read_variance.sqrt().expand_as(flux)[few] * read[few]
    return noise.div_(gain)


def few_electrons(flux: Tensor, level: Level) -> Tensor:
    """Rows (B,) in which some pixel holds so few electrons that they are counted."""
    sky = (level.sigma * level.gain).square() - level.read_variance
    least = flux.amin((-2, -1)).clamp_min(0.0) * level.gain.to(flux) + sky.to(flux)
    return (least < COUNTED).any(1)


def poisson(mean: Tensor, normal: Tensor) -> Tensor:
    """Poisson numbers (N,) of `mean` (N,): the distribution's quantile at the probability of a normal number."""
    probability = torch.special.ndtr(normal.double())
    term = torch.exp(-mean.double())
    total = term.clone()
    count = torch.zeros_like(total)
    largest = math.ceil(COUNTED + 9 * math.sqrt(COUNTED)) + 10
    for k in range(1, largest):
        below = total < probability
        if not bool(below.any()):
            break
        count += below
        term = term * mean.double() / k
        total = total + term
    return count.to(mean.dtype)


def _expanded(photons: Tensor, whole: Tensor, g: Tensor) -> Tensor:
    """Cornish & Fisher's expansion of a number with cumulants (0, `whole`, `photons`, `photons`)."""
    share = photons / whole
    root = whole.sqrt()
    square = g * g
    fourth = share * g * (square - 3) / 24 - share * share * g * (2 * square - 5) / 36
    return (root * g).add_(share.mul(square - 1), alpha=1 / 6).add_(fourth.div_(root))


def correlate(image: Tensor, kernel: Tensor) -> Tensor:
    """Images (B, C, H, W) convolved with a kernel (h, w), where it lies in them: (B, C, H - h + 1, W - w + 1)."""
    b, c, height, width = image.shape
    flat = image.reshape(b * c, 1, height, width)
    out: Tensor = torch.nn.functional.conv2d(flat, kernel.to(image).flip(0, 1)[None, None])
    return out.reshape(b, c, *out.shape[-2:])


def bilinear_kernel(x: float = 0.5, y: float = 0.5) -> Tensor:
    """Weights (3, 3) of linear interpolation at a shift of (x, y) pixels, 0 to 1."""
    lines = [torch.tensor([0.0, 1 - shift, shift], dtype=torch.float64) for shift in (y, x)]
    return lines[0][:, None] * lines[1][None, :]


def lanczos_kernel(x: float = 0.5, y: float = 0.5, *, order: int = 3) -> Tensor:
    """Weights (2 order + 1, 2 order + 1) of Lanczos interpolation at a shift of (x, y) pixels, unit sum (SWarp's)."""
    lines = []
    for shift in (y, x):
        at = torch.arange(-order, order + 1, dtype=torch.float64) - shift
        taps = torch.where(at.abs() < order, torch.special.sinc(at) * torch.special.sinc(at / order), 0.0)
        lines.append(taps / taps.sum())
    return lines[0][:, None] * lines[1][None, :]


def _planes(values: Tensor, like: Tensor) -> Tensor:
    """(C,) or (B, C) as (..., C, 1, 1) with the type and on the device of an image."""
    return values.to(like)[..., None, None]
