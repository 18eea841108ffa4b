"""The least-squares problem of a batch of galaxies: chi^2 and its normal equations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rosse.light.psf import FourierGrid
from rosse.light.render import Layout, draw_with_derivatives


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """B galaxies on one frame, and the model that is to match them.

    Parameters
    ----------
    flux : (B, C, H, W)
    root : (B, C, H, W) square root of the inverse variance.
    grid : frame and PSF.
    layout : what the parameter vector holds.
    """

    flux: Tensor
    root: Tensor
    grid: FourierGrid
    layout: Layout

    def evaluate(self, vector: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """chi^2 (B,), descent direction (B, P) and normal matrix (B, P, P) at `vector` for galaxies `rows`.

        Pixels are single precision; what is summed over them is double.
        """
        images, derivatives = draw_with_derivatives(self.layout, vector, self.grid.rows(rows))
        root = self.root[rows]
        residual = ((self.flux[rows] - images) * root).flatten(2)  # (B, C, N)
        weighted = (derivatives * root[:, :, None]).flatten(3)  # (B, C, L, N)
        chi2 = residual.square().sum((1, 2), dtype=torch.float64)
        local_normal = (weighted @ weighted.transpose(-1, -2)).to(torch.float64)
        local_gradient = (weighted @ residual[..., None])[..., 0].to(torch.float64)
        return chi2, *self._assemble(local_gradient, local_normal)

    def _assemble(self, gradient: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
        """Sum over bands (B, C, L) and (B, C, L, L) into the places of the whole vector."""
        batch, size = len(gradient), self.layout.size
        whole = gradient.new_zeros(batch, size)
        matrix = gradient.new_zeros(batch, size, size)
        for c, places in enumerate(self.layout.band_places(gradient.device)):
            whole[:, places] += gradient[:, c]
            matrix[:, places[:, None], places[None, :]] += normal[:, c]
        return whole, matrix
