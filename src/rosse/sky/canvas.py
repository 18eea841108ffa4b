"""From parts to pixels: what is drawn in Fourier space and what on a finer grid come together before one transform."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rosse.light.psf import FourierGrid
from rosse.sky.clumps import Clumps, clump_spectra
from rosse.sky.geometry import side_by_side

# Samples of structure along one pixel. What structure has beyond twice the pixel's own frequencies is then folded to
# where a PSF that pixels can sample passes next to nothing.
FINE = 1.5


class Smooth(NamedTuple):
    """Galaxies of the batch with a component whose transform is known.

    Parameters
    ----------
    part : its place in PARTS.
    which : (M,) rows of the batch.
    weight : (M, C) flux in each band.
    spectra, folded, copies : as in `Symmetric.drawn`: (M, Ky, Kx), (M, 1, A) or None, (M, 1, H, W).
    centre : (M, 2) pixels.
    """

    part: int
    which: Tensor
    weight: Tensor
    spectra: Tensor
    folded: Tensor | None
    copies: Tensor
    centre: Tensor


class Fine(NamedTuple):
    """Galaxies of the batch with light on the finer grid.

    Parameters
    ----------
    part : its place in PARTS.
    which : (M,) rows of the batch.
    weight : (M, C) flux in each band.
    light : (M, fy, fx) brightness at unit flux, per pixel^2.
    screen : (M, C, fy, fx) transmission, or None.
    """

    part: int
    which: Tensor
    weight: Tensor
    light: Tensor
    screen: Tensor | None


class Points(NamedTuple):
    """Clumps of some galaxies.

    Parameters
    ----------
    part : its place in PARTS.
    which : (M,) rows of the batch.
    clumps : of M galaxies.
    light : (M, C, N) flux of each.
    centre : (M, 2) pixels.
    """

    part: int
    which: Tensor
    clumps: Clumps
    light: Tensor
    centre: Tensor


Layer = Smooth | Fine | Points


@dataclass(frozen=True, kw_only=True, eq=False)
class Canvas:
    """The periodic cell in which images are composed.

    Parameters
    ----------
    grid : frame, PSF and pixel.
    """

    grid: FourierGrid

    @property
    def fine(self) -> float:
        """Samples along one pixel; a PSF that is finer than the image lets more pass."""
        return FINE if self.grid.zones == 1 else float(max(2, self.grid.zones))

    @property
    def shape(self) -> tuple[int, int]:
        """Samples of the whole cell, (fy, fx)."""
        return round(self.fine * self.grid.size[0]), round(self.fine * self.grid.size[1])

    def offsets(self, centre: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets dx (M, 1, fx) and dy (M, fy, 1) of the fine grid's samples from centres (M, 2), pixels.

        The cell is larger than the frame; its border goes half to either side.
        """
        lines = []
        for length, size, count in zip(self.grid.frame, self.grid.size, self.shape, strict=True):
            at = torch.arange(count, device=centre.device, dtype=torch.float32) * (size / count)
            lines.append(torch.where(at > (length - 1 + size) / 2, at - size, at))
        y, x = lines
        place = centre.to(torch.float32)
        return x - place[:, :1, None], y[:, None] - place[:, 1:, None]

    def compose(self, layers: list[Layer], count: int) -> Tensor:
        """Image (count, C, H, W) of all layers together."""
        bands = self.grid.transfer.shape[1]
        device = self.grid.ky.device
        spectra = torch.zeros(count, bands, len(self.grid.ky), len(self.grid.kx), dtype=torch.complex64, device=device)
        copies = torch.zeros(count, bands, *self.grid.frame, device=device)
        rough = [layer for layer in layers if isinstance(layer, Fine)]
        for layer in layers:
            if isinstance(layer, Smooth):
                self._add_smooth(spectra, copies, layer)
            elif isinstance(layer, Points):
                self._add_points(spectra, layer)
        if rough:
            self._add_fine(spectra, rough)
        return self.grid.to_images(spectra) - copies

    def _add_smooth(self, spectra: Tensor, copies: Tensor, layer: Smooth) -> None:
        grid = self.grid.rows(layer.which)
        out = grid.shifted(layer.centre[:, None]) * (layer.weight[..., None, None] * layer.spectra[:, None])
        if grid.aliases is not None and layer.folded is not None:
            response = grid.shifted(layer.centre[:, None])
            folded = layer.weight[..., None] * layer.folded
            light = grid.aliases.light(response, folded, layer.centre[:, None])
            out = out * grid.aliases.own
            grid.aliases.add(out[:, :, None], light)
        rows = side_by_side(layer.which)
        spectra[rows] += out
        copies[rows] += layer.weight[..., None, None] * layer.copies

    def _add_points(self, spectra: Tensor, layer: Points) -> None:
        grid = self.grid.rows(layer.which)
        own = clump_spectra(layer.clumps, layer.light, grid.ky, grid.kx)
        spectra[side_by_side(layer.which)] += grid.shifted(layer.centre[:, None]) * own

    def _add_fine(self, spectra: Tensor, layers: list[Fine]) -> None:
        """All of the finer grid: summed there, band by band, and transformed once."""
        which = torch.unique(torch.cat([layer.which for layer in layers]))
        bands, shape = spectra.shape[1], layers[0].light.shape[1:]
        total = torch.zeros(len(which), bands, *shape, device=spectra.device)
        for layer in layers:
            rows = side_by_side(torch.searchsorted(which, layer.which))
            for band in range(bands):
                light = layer.light if layer.screen is None else layer.light * layer.screen[:, band]
                weight = layer.weight[:, band, None, None]
                if isinstance(rows, slice):
                    total[rows, band].addcmul_(light, weight)
                else:
                    total[rows, band] += light * weight
        spectra[side_by_side(which)] += self._through(total, self.grid.rows(which))

    def _through(self, images: Tensor, grid: FourierGrid) -> Tensor:
        """Spectra (M, C, Ky, Kx) of fine images as the instrument passes them.

        What a PSF's own pixels fold is left where it is: structure is smooth, and has next to nothing there.
        """
        turn_y, turn_x = (2 * math.pi / n for n in grid.size)
        rows = self.shape[0]
        y, x = torch.round(grid.ky / turn_y).long(), torch.round(grid.kx / turn_x).long()
        if grid.zones == 1:  # the columns that are not wanted need no second transform
            seen = torch.fft.fft(torch.fft.rfft(images)[..., : len(x)], dim=-2)[..., y % rows, :]
        else:
            seen = _at(torch.fft.rfft2(images), y[:, None], x[None, :], rows)
        passed: Tensor = seen * (grid.transfer / self.fine**2)
        return passed


def _at(spectra: Tensor, y: Tensor, x: Tensor, rows: int) -> Tensor:
    """Values at whole frequencies of a half plane (..., rows, columns); those at negative x are conjugates."""
    mirrored = x < 0
    row = torch.where(mirrored, -y, y) % rows
    found = spectra[..., row, x.abs()]
    values: Tensor = torch.where(mirrored, found.conj(), found)
    return values
