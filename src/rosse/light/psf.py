"""From PSF stamps to transfer functions, and the frequencies on which models are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.light.aliasing import Aliases, find_aliases

# Without a PSF image nothing limits the frequencies of a cuspy galaxy: the spectrum beyond the pixel's own is folded
# back from this many zones in all, which leaves n = 2 right to 0.4 % of its peak and n = 3 to 1 %.
ZONES_WITHOUT_PSF = 3
ONE_BY_ONE = 2**22  # frequencies of one image beyond which its rows are transformed one after the other
LARGEST_WIDE = 2**22  # pixels of a grid that is made wider; its frame is larger than nearly all galaxies


@dataclass(frozen=True, kw_only=True, eq=False)
class FourierGrid:
    """Where in Fourier space a batch of frames is drawn, and what the instrument does there.

    Parameters
    ----------
    frame : (H, W) of the images.
    size : (My, Mx) of the periodic grid; larger than the frame by a border that keeps periodic copies at a distance.
    zones : number of frequency zones along each axis that fold onto the grid: 1 where a PSF on the image's own pixels
        limits them, the oversampling of a finer PSF.
    ky : (zones * My,) radians per pixel.
    kx : (zones * (Mx // 2 + 1),) radians per pixel.
    transfer : (B or 1, C, zones * My, zones * (Mx // 2 + 1))
        Transfer function of PSF and pixel; 1 at frequency 0. Best with ky contiguous in memory: see `to_images`.
    aliases : what in it is folded back from beyond the grid; None where that is nothing.
    exact : whether periodic copies are to be summed finely where they are uneven; the first steps of a fit need not.
    psf_has_pixel : whether the PSF came with the pixel in it, or `transfer` multiplies both.
    widest : whether there is no grid that keeps copies further away.
    """

    frame: tuple[int, int]
    size: tuple[int, int]
    zones: int
    ky: Tensor
    kx: Tensor
    transfer: Tensor
    aliases: Aliases | None = None
    exact: bool = True
    psf_has_pixel: bool = True
    widest: bool = False

    @cached_property
    def variance(self) -> Tensor:
        """Square (B or 1,) of the PSF's width along either axis, pixels; the mean of the bands."""
        zero_y, next_y = self.ky.abs().argsort(stable=True)[:2].tolist()
        zero_x, next_x = self.kx.abs().argsort(stable=True)[:2].tolist()
        passed = torch.stack([self.transfer[..., next_y, zero_x], self.transfer[..., zero_y, next_x]], -1).abs()
        k2 = torch.stack([self.ky[next_y], self.kx[next_x]]).square()
        return (2 * (1 - passed) / k2).mean((1, 2)).to(torch.float64)

    @cached_property
    def wider(self) -> FourierGrid | None:
        """The same on twice the grid, where copies are further away; None where that is not worth it."""
        size = 2 * self.size[0], 2 * self.size[1]
        if self.widest or self.zones > 1 or not self.exact or size[0] * size[1] > LARGEST_WIDE:
            return None
        ky, kx = (
            _angular(_frequencies(n, 1, m), n, self.ky) for n, m in zip(size, (size[0], size[1] // 2 + 1), strict=True)
        )
        transfer = self.transfer if self.psf_has_pixel else self.transfer / _pixel(self.ky, self.kx)
        stamp = torch.fft.irfft2(transfer, s=self.size)
        transfer = psf_transfer(torch.fft.fftshift(stamp, dim=(-2, -1)), size)
        aliases = None
        if self.aliases is not None:
            aliases = find_aliases(transfer, ky, kx, psf_has_pixel=self.psf_has_pixel, fall=self.aliases.fall)
        transfer = transfer if self.psf_has_pixel else transfer * _pixel(ky, kx)
        return replace(
            self, size=size, ky=ky, kx=kx, transfer=transfer.mT.contiguous().mT, aliases=aliases, widest=True
        )

    def shifted(self, centre: Tensor) -> Tensor:
        """Transfer function (B, C, Ky, Kx) times the phase of a shift to `centre` (B, K, 2), x and y in pixels.

        Contiguous along ky, as `to_images` likes it.
        """
        x = -self.kx.to(torch.float64) * centre[..., :1]  # thousands of radians in a large frame: double precision
        y = -self.ky.to(torch.float64) * centre[..., 1:]
        along_x = torch.polar(torch.ones_like(x), x).to(self.transfer.dtype)
        along_y = torch.polar(torch.ones_like(y), y).to(self.transfer.dtype)
        shape = max(len(self.transfer), len(x)), max(self.transfer.shape[1], x.shape[1]), len(self.kx), len(self.ky)
        moved = self.transfer.new_empty(shape)
        torch.mul(self.transfer.mT, along_x[..., None], out=moved)
        moved *= along_y[..., None, :]
        return moved.mT

    def to_images(self, spectra: Tensor) -> Tensor:
        """Images (..., H, W) of half-plane spectra (..., zones * My, zones * (Mx // 2 + 1)).

        Fastest where ky is contiguous, as `shifted` has it: half the time of an FFT is fetching a strided column.
        """
        if self.zones > 1:
            lead, (my, mx) = spectra.shape[:-2], (self.size[0], self.size[1] // 2 + 1)
            spectra = spectra.reshape(*lead, self.zones, my, self.zones, mx).sum((-4, -2))
        columns = torch.fft.ifft(spectra.mT, dim=-1)[..., : self.frame[0]]  # the rows of the border are never needed
        images: Tensor = torch.fft.irfft(columns.mT.contiguous(), n=self.size[1], dim=-1)[..., : self.frame[1]]
        return images

    def zoned(self, spectra: Tensor) -> Tensor:
        """Spectra (..., s My, s Mx // 2 + 1) on the half plane of a grid `zones` times finer, as this one has them."""
        if self.zones == 1:
            return spectra
        my = self.zones * self.size[0]
        y, x = (torch.round(k * (n / (2 * math.pi))).long() for k, n in zip((self.ky, self.kx), self.size, strict=True))
        there = spectra[..., (y % my)[:, None], x.abs()]
        mirrored = spectra[..., (-y % my)[:, None], x.abs()].conj()  # the half that a real image does not need
        return torch.where(x < 0, mirrored, there)

    def rows(self, rows: Tensor) -> FourierGrid:
        """The same grid for some galaxies of the batch."""
        if self.transfer.shape[0] == 1:
            return self
        return replace(self, transfer=self.transfer.mT[rows].mT, aliases=self.aliases and self.aliases.rows(rows))

    def bands(self, bands: slice) -> FourierGrid:
        """The same grid for some bands."""
        return replace(self, transfer=self.transfer[:, bands], aliases=self.aliases and self.aliases.bands(bands))


def fourier_grid(
    frame: tuple[int, int],
    psf: Tensor | None,
    *,
    bands: int = 1,
    psf_has_pixel: bool = True,
    oversampling: int = 1,
    exact: bool = True,
    device: str | torch.device = "cpu",
) -> FourierGrid:
    """Grid and transfer function for images of `frame` pixels.

    Parameters
    ----------
    frame : (H, W).
    psf : (B or 1, C, h, w) unit sum, centred on pixel (h // 2, w // 2); None: models are integrated over the pixel
        and nothing else.
    bands : C, needed without a PSF.
    psf_has_pixel : whether `psf` holds the integration over the image's pixel already.
    oversampling : pixels of `psf` along one pixel of the image.
    exact : False for the first steps of a fit, which can do with a border that the wings of the PSF reach across.
    """
    zones = ZONES_WITHOUT_PSF if psf is None else oversampling
    stamp = (1, 1) if psf is None else tuple(-(-int(length) // oversampling) for length in psf.shape[-2:])
    size = (_padded(frame[0], stamp[0], exact=exact), _padded(frame[1], stamp[1], exact=exact))
    integer_y = _frequencies(size[0], zones, size[0])
    integer_x = _frequencies(size[1], zones, size[1] // 2 + 1)
    ky, kx = (_angular(k, n, torch.empty(0, device=device)) for k, n in zip((integer_y, integer_x), size, strict=True))
    pixel = _pixel(ky, kx)
    aliases = None
    if psf is None:
        transfer = pixel.to(torch.complex64).expand(1, bands, -1, -1)
    else:
        transfer = psf_transfer(psf.to(device), size, oversampling)
        if zones > 1:
            transfer = transfer[..., integer_y[:, None] % (zones * size[0]), integer_x % (zones * size[1])]
        elif len(ky) * len(kx) <= ONE_BY_ONE:
            aliases = find_aliases(transfer, ky, kx, psf_has_pixel=psf_has_pixel)
        transfer = transfer if psf_has_pixel else transfer * pixel
        transfer = transfer.mT.contiguous().mT
    return FourierGrid(
        frame=frame,
        size=size,
        zones=zones,
        ky=ky,
        kx=kx,
        transfer=transfer,
        aliases=aliases,
        exact=exact,
        psf_has_pixel=psf is None or psf_has_pixel,
    )


def grid_of(cutouts: Cutouts, *, exact: bool = True) -> FourierGrid:
    """Grid of the frames of cutouts, with their PSFs; see `fourier_grid`."""
    return fourier_grid(
        cutouts.frame,
        cutouts.psf,
        bands=len(cutouts.bands),
        psf_has_pixel=cutouts.psf_has_pixel,
        oversampling=cutouts.psf_oversampling,
        exact=exact,
        device=cutouts.flux.device,
    )


def psf_transfer(psf: Tensor, size: tuple[int, int], oversampling: int = 1) -> Tensor:
    """Discrete Fourier transform of PSF stamps whose centre is pixel (h // 2, w // 2).

    Returns
    -------
    (..., My, Mx // 2 + 1), or all (..., s My, s Mx) of it where a pixel of the image has s > 1 pixels of the PSF.
    """
    h, w = psf.shape[-2:]
    padded = psf.new_zeros(*psf.shape[:-2], oversampling * size[0], oversampling * size[1], dtype=torch.float32)
    padded[..., :h, :w] = psf
    padded = torch.roll(padded, (-(h // 2), -(w // 2)), dims=(-2, -1))
    transfer: Tensor = torch.fft.rfft2(padded) if oversampling == 1 else torch.fft.fft2(padded)
    return transfer


def _frequencies(length: int, zones: int, keep: int) -> Tensor:
    """Integer frequencies (zones * keep,) within `zones` times the band, those that fold onto each of the first `keep`.

    Zone after zone, so that a reshape to (zones, keep) brings the ones to be added above each other.
    """
    first = torch.arange(keep)
    lowest = torch.ceil((-zones * length / 2 - first) / length + 1e-9) * length + first
    if zones == 1 and keep < length:
        lowest = first  # the half plane: Nyquist as a positive frequency
    return (lowest + length * torch.arange(zones)[:, None]).flatten().to(torch.int64)


def gaussian_psf(fwhm: float, size: int) -> Tensor:
    """Gaussian PSF stamp (size, size) of unit sum, integrated over the pixels; `fwhm` in pixels."""
    sigma = fwhm / math.sqrt(8 * math.log(2))
    edges = (torch.arange(size + 1, dtype=torch.float64) - size // 2 - 0.5) / (sigma * math.sqrt(2))
    line = torch.diff(torch.special.erf(edges))
    stamp = line[:, None] * line[None, :]
    return (stamp / stamp.sum()).to(torch.float32)


def _padded(length: int, stamp: int, *, exact: bool) -> int:
    """Grid length: the frame, a border of a quarter of it and, to be exact, at least half a PSF; and the whole PSF.

    A multiple of 4, so that pixels can be made twice as wide.
    """
    least = max(length + max(length // 4, stamp // 2 + 1 if exact else 0, 8), stamp)
    return 4 * int(next_fast_len(-(-least // 4), real=True))


def _angular(integer: Tensor, length: int, like: Tensor) -> Tensor:
    """Radians per pixel of integer frequencies."""
    return (integer.to(like.device) * (2 * math.pi / length)).to(torch.float32)


def _pixel(ky: Tensor, kx: Tensor) -> Tensor:
    """Transform (Ky, Kx) of a pixel of unit width."""
    value: Tensor = torch.special.sinc(ky / (2 * math.pi))[:, None] * torch.special.sinc(kx / (2 * math.pi))
    return value
