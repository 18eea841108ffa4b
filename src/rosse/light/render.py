"""Draw models: galaxies as an instrument sees them, with the derivative of every pixel by every parameter.

Galaxies are drawn in Fourier space, where no cusp has to be sampled and the PSF is a product. The inverse transform
is periodic; the copies that reach into the frame are smooth there and are taken away in real space (`copies.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rosse.light.components import Model
from rosse.light.copies import subtract_copies
from rosse.light.psf import FourierGrid


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Where each parameter of a model stands in the vector that a fit works on.

    The vector is x, y (pixels), the shape parameters of each component, then the flux of each component in each band.

    Parameters
    ----------
    model : the components.
    bands : C.
    """

    model: Model
    bands: int

    @property
    def shapes(self) -> list[slice]:
        """Shape parameters of each component."""
        slices, start = [], 2
        for component in self.model.components:
            slices.append(slice(start, start + len(component.parameters)))
            start = slices[-1].stop
        return slices

    @property
    def first_flux(self) -> int:
        """Place of the first flux."""
        return 2 + sum(len(component.parameters) for component in self.model.components)

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return self.first_flux + self.bands * len(self.model.components)

    def flux(self, component: int, band: int) -> int:
        """Place of one flux."""
        return self.first_flux + component * self.bands + band

    def band_places(self, device: torch.device | str = "cpu") -> Tensor:
        """(C, L) places of the L parameters that each band knows: centre, shapes, and its own fluxes."""
        shared = list(range(self.first_flux))
        own = [[self.flux(i, c) for i in range(len(self.model.components))] for c in range(self.bands)]
        return torch.tensor([shared + fluxes for fluxes in own], device=device)


def draw(layout: Layout, vector: Tensor, grid: FourierGrid) -> Tensor:
    """Images of models.

    Parameters
    ----------
    layout : what the vector holds.
    vector : (B, P) parameters, in the coordinates of the fit.
    grid : frame, PSF and pixel.

    Returns
    -------
    (B, C, H, W) flux per pixel.
    """
    return draw_with_derivatives(layout, vector, grid, derivatives=False)[0]


def draw_with_derivatives(
    layout: Layout, vector: Tensor, grid: FourierGrid, *, derivatives: bool = True
) -> tuple[Tensor, Tensor]:
    """Images of models and their derivatives.

    Returns
    -------
    images : (B, C, H, W)
    derivatives : (B, C, L, H, W)
        By the L parameters that a band knows, in the order of `Layout.band_places`; L = 0 if not wanted.
    """
    batch, bands = len(vector), layout.bands
    values = vector.to(grid.transfer.real.dtype)
    response = grid.transfer * _phase(values[:, :2], grid)[:, None]  # (B, C, Ky, Kx)
    flux = values[:, layout.first_flux :].reshape(batch, -1, bands)
    total: Tensor | float = 0.0
    centre: Tensor | float = 0.0
    shapes, unit = [], []
    for i, (component, place) in enumerate(zip(layout.model.components, layout.shapes, strict=True)):
        value, by_shape = component.spectrum(values[:, place], grid.ky, grid.kx)
        rows = _images(response, value, by_shape if derivatives else None, grid)  # (B, C, 1 + S (+ 2), H, W)
        rows = subtract_copies(rows, component, vector[:, place], vector[:, :2], grid, derivatives=derivatives)
        scaled = rows * flux[:, i, :, None, None, None]
        total = total + scaled[:, :, 0]
        if derivatives:
            centre = centre + scaled[:, :, 1:3]
            shapes.append(scaled[:, :, 3:])
            unit.append(rows[:, :, :1])
    assert isinstance(total, Tensor)
    if not derivatives:
        return total, total.new_empty(batch, bands, 0, *grid.frame)
    assert isinstance(centre, Tensor)
    return total, torch.cat([centre, *shapes, *unit], dim=2)


def _phase(centre: Tensor, grid: FourierGrid) -> Tensor:
    """Shift to the centre (B, 2), as a phase (B, Ky, Kx)."""
    x = -grid.kx * centre[:, :1]
    y = -grid.ky * centre[:, 1:]
    along_x = torch.polar(torch.ones_like(x), x)
    along_y = torch.polar(torch.ones_like(y), y)
    return along_y[:, :, None] * along_x[:, None, :]


def _images(response: Tensor, value: Tensor, by_shape: list[Tensor] | None, grid: FourierGrid) -> Tensor:
    """Unit-flux image and, with `by_shape`, its derivatives by x, y and shapes: (B, C, R, H, W)."""
    base = response * value[:, None]
    spectra = [base]
    if by_shape is not None:
        spectra += [base * (-1j * grid.kx), base * (-1j * grid.ky[:, None])]
        spectra += [response * part[:, None] for part in by_shape]
    return grid.to_images(torch.stack(spectra, dim=2))
