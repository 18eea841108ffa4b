"""From PSF stamps to transfer functions, and the frequencies on which models are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.fft import next_fast_len
from torch import Tensor

# Without a PSF image nothing limits the frequencies of a cuspy galaxy: the spectrum beyond the pixel's own is folded
# back from this many zones on either side, which leaves n = 2 right to 0.4 % of its peak and n = 3 to 1 %.
FOLDED_ZONES = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class FourierGrid:
    """Where in Fourier space a batch of frames is drawn, and what the instrument does there.

    Parameters
    ----------
    frame : (H, W) of the images.
    size : (My, Mx) of the periodic grid; larger than the frame by a border that keeps periodic copies at a distance.
    zones : number of frequency zones along each axis that fold onto the grid, 1 where a PSF image limits them.
    ky : (zones * My,) radians per pixel.
    kx : (zones * (Mx // 2 + 1),) radians per pixel.
    transfer : (B or 1, C, zones * My, zones * (Mx // 2 + 1))
        Transfer function of PSF and pixel; 1 at frequency 0.
    """

    frame: tuple[int, int]
    size: tuple[int, int]
    zones: int
    ky: Tensor
    kx: Tensor
    transfer: Tensor

    def to_images(self, spectra: Tensor) -> Tensor:
        """Images (..., H, W) of half-plane spectra (..., zones * My, zones * (Mx // 2 + 1))."""
        if self.zones > 1:
            lead, (my, mx) = spectra.shape[:-2], (self.size[0], self.size[1] // 2 + 1)
            spectra = spectra.reshape(*lead, self.zones, my, self.zones, mx).sum((-4, -2))
        images: Tensor = torch.fft.irfft2(spectra, s=self.size)
        return images[..., : self.frame[0], : self.frame[1]]

    def rows(self, rows: Tensor) -> FourierGrid:
        """The same grid for some galaxies of the batch."""
        if self.transfer.shape[0] == 1:
            return self
        return FourierGrid(
            frame=self.frame, size=self.size, zones=self.zones, ky=self.ky, kx=self.kx, transfer=self.transfer[rows]
        )


def fourier_grid(
    frame: tuple[int, int],
    psf: Tensor | None,
    *,
    bands: int = 1,
    psf_has_pixel: bool = True,
    device: str | torch.device = "cpu",
) -> FourierGrid:
    """Grid and transfer function for images of `frame` pixels.

    Parameters
    ----------
    frame : (H, W).
    psf : (B or 1, C, h, w) unit sum, centred on pixel (h // 2, w // 2); None: models are integrated over the pixel
        and nothing else.
    bands : C, needed without a PSF.
    psf_has_pixel : whether `psf` holds the integration over the pixel already.
    """
    stamp = (1, 1) if psf is None else (int(psf.shape[-2]), int(psf.shape[-1]))
    size = (_padded(frame[0], stamp[0]), _padded(frame[1], stamp[1]))
    zones = 1 if psf is not None else 2 * FOLDED_ZONES + 1
    shift = torch.arange(zones, device=device) - zones // 2
    ky = (torch.fft.fftfreq(size[0], device=device) + shift[:, None]).flatten() * (2 * math.pi)
    kx = (torch.fft.rfftfreq(size[1], device=device) + shift[:, None]).flatten() * (2 * math.pi)
    pixel = _sinc(ky)[:, None] * _sinc(kx)[None, :]
    if psf is None:
        transfer = pixel.to(torch.complex64).expand(1, bands, -1, -1)
    else:
        transfer = psf_transfer(psf.to(device), size)
        transfer = transfer if psf_has_pixel else transfer * pixel
    return FourierGrid(frame=frame, size=size, zones=zones, ky=ky, kx=kx, transfer=transfer)


def psf_transfer(psf: Tensor, size: tuple[int, int]) -> Tensor:
    """Discrete Fourier transform (..., My, Mx // 2 + 1) of PSF stamps whose centre is pixel (h // 2, w // 2)."""
    h, w = psf.shape[-2:]
    padded = torch.zeros(*psf.shape[:-2], *size, dtype=torch.float32, device=psf.device)
    padded[..., :h, :w] = psf
    transfer: Tensor = torch.fft.rfft2(torch.roll(padded, (-(h // 2), -(w // 2)), dims=(-2, -1)))
    return transfer


def gaussian_psf(fwhm: float, size: int) -> Tensor:
    """Gaussian PSF stamp (size, size) of unit sum, integrated over the pixels; `fwhm` in pixels."""
    sigma = fwhm / math.sqrt(8 * math.log(2))
    edges = (torch.arange(size + 1, dtype=torch.float64) - size // 2 - 0.5) / (sigma * math.sqrt(2))
    line = torch.diff(torch.special.erf(edges))
    stamp = line[:, None] * line[None, :]
    return (stamp / stamp.sum()).to(torch.float32)


def _padded(length: int, stamp: int) -> int:
    """Grid length: the frame, a border of a quarter of it and at least half a PSF, and the whole PSF."""
    return int(next_fast_len(max(length + max(length // 4, stamp // 2 + 1, 8), stamp), real=True))


def _sinc(k: Tensor) -> Tensor:
    """Transform of a pixel of unit width."""
    value: Tensor = torch.special.sinc(k / (2 * math.pi))
    return value
