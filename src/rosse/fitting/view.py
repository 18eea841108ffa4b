"""The pixels of some galaxies as a fit sees them: whole, cut down, or wider."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rosse.light.psf import FourierGrid

SMALLEST_FRAME = 40  # pixels are not made wider, nor frames cut down, than leaves so many on a side


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """Pixels of B galaxies on one frame.

    Parameters
    ----------
    flux : (B, C, H, W)
    root : (B, C, H, W) square root of the inverse variance.
    grid : frame and PSF.
    corner : x and y of its first pixel in the frame that the fit's coordinates belong to.
    zoom : size of its pixels in those of that frame.
    """

    flux: Tensor
    root: Tensor
    grid: FourierGrid
    corner: tuple[float, float] = (0.0, 0.0)
    zoom: int = 1

    def rows(self, rows: Tensor) -> View:
        """Some of the galaxies."""
        return replace(self, flux=self.flux[rows], root=self.root[rows], grid=self.grid.rows(rows))

    def around(self, middle: View) -> View:
        """The same without the pixels that another view has, to the nearest pixel."""
        first = [(a - b) / self.zoom for a, b in zip(middle.corner, self.corner, strict=True)]
        last = [a + length * middle.zoom / self.zoom for a, length in zip(first, middle.grid.frame[::-1], strict=True)]
        x, y = (slice(round(a), round(b)) for a, b in zip(first, last, strict=True))
        root = self.root.clone()
        root[:, :, y, x] = 0.0
        return replace(self, root=root)

    def coarser(self, smallest: int) -> View | None:
        """The same on pixels twice as wide, good enough for the first steps of a fit.

        None where that cannot be, or leaves fewer than `smallest` of them on a side.
        """
        height, width = self.grid.frame
        my, mx = self.grid.size
        if self.grid.zones > 1 or my % 4 or mx % 4 or min(height, width) < 2 * smallest:
            return None
        flux, weight = self.flux[:, :, : height // 2 * 2, : width // 2 * 2], self.root.square()
        weight = weight[:, :, : height // 2 * 2, : width // 2 * 2]
        pooled = 4 * torch.nn.functional.avg_pool2d(weight, 2)
        light = 4 * torch.nn.functional.avg_pool2d(flux * weight, 2)
        good = torch.nn.functional.avg_pool2d((weight > 0).float(), 2) >= 0.5
        mean = torch.where(good, light / pooled.clamp_min(1e-37), 0.0)
        kept = torch.cat([torch.arange(my // 4), torch.arange(my - my // 4, my)]).to(flux.device)
        ky, kx = 2 * self.grid.ky[kept], 2 * self.grid.kx[: mx // 4 + 1]
        pair = torch.cos(ky / 4)[:, None] * torch.cos(kx / 4)  # the sum of two neighbours, as a transfer function
        grid = replace(
            self.grid,
            frame=(height // 2, width // 2),
            size=(my // 2, mx // 2),
            ky=ky,
            kx=kx,
            transfer=self.grid.transfer[:, :, kept, : mx // 4 + 1] * pair,
            aliases=None,
            exact=False,
        )
        root = torch.where(good, pooled.sqrt() / 4, 0.0)
        return replace(self, flux=4 * mean, root=root, grid=grid, zoom=2 * self.zoom)
