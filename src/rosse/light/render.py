"""Draw models: galaxies as an instrument sees them, with the derivative of every pixel by every parameter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rosse.light.components import Parameter
from rosse.light.model import Model
from rosse.light.psf import FourierGrid


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Where each number that describes a model in one band stands: the slots of its components, one after the other.

    Parameters
    ----------
    model : the components.
    """

    model: Model

    @cached_property
    def places(self) -> tuple[slice, ...]:
        """Slots of each component."""
        places, start = [], 0
        for component in self.model.components:
            places.append(slice(start, start + len(component.slots)))
            start = places[-1].stop
        return tuple(places)

    @cached_property
    def slots(self) -> tuple[Parameter, ...]:
        """All L slots."""
        return tuple(slot for component in self.model.components for slot in component.slots)

    @property
    def size(self) -> int:
        """L, the number of slots."""
        return len(self.slots)

    @cached_property
    def linear(self) -> tuple[int, ...]:
        """Slots that the image is linear in: fluxes and the sky."""
        flags = [flag for component in self.model.components for flag in component.linear]
        return tuple(i for i, flag in enumerate(flags) if flag)

    @cached_property
    def fluxes(self) -> tuple[int, ...]:
        """Slot of the flux of each component that has one."""
        return tuple(i for i, slot in enumerate(self.slots) if slot.unit == "flux")

    @cached_property
    def factor(self) -> tuple[int, ...]:
        """For each slot the one whose value multiplies its row: the flux of its component; -1 for a linear slot."""
        owner = []
        for component, place in zip(self.model.components, self.places, strict=True):
            owner += [-1 if flag else place.start for flag in component.linear]
        return tuple(owner)

    def scales(self, local: Tensor) -> Tensor:
        """What each row of `unit_rows` is to be multiplied by, (..., L), for local values (..., L)."""
        whole = torch.cat([local, torch.ones_like(local[..., :1])], -1)
        return whole[..., list(self.factor)]


def draw(layout: Layout, local: Tensor, grid: FourierGrid) -> Tensor:
    """Images of models.

    Parameters
    ----------
    layout : what the slots hold.
    local : (B, K, L) values of the slots in the coordinates of the fit; K = C, or 1 where all bands share them.
    grid : frame, PSF and pixel.

    Returns
    -------
    (B, C, H, W) flux per pixel.
    """
    bands = grid.transfer.shape[1]
    total = torch.zeros(len(local), bands, *grid.frame, device=local.device)
    one = torch.empty(len(local), bands, 1, *grid.frame, device=local.device)
    for component, place in zip(layout.model.components, layout.places, strict=True):
        if all(component.linear) and place.stop > place.start + 1:
            rows = one.new_empty(len(local), bands, place.stop - place.start, *grid.frame)
            component.unit_rows(local[..., place], grid, rows)
            total += torch.einsum("bcr,bcrhw->bchw", local[..., place].float().expand(-1, bands, -1), rows)
        else:
            component.unit_rows(shared(local[..., place]), grid, one)
            total.addcmul_(one[:, :, 0], local[..., place.start, None, None].float())
    return total


def unit_rows(layout: Layout, local: Tensor, grid: FourierGrid, dtype: torch.dtype = torch.float32) -> Tensor:
    """Rows (B, C, L, H, W): the derivative of the image by each slot, before `Layout.scales` multiplies it.

    The row of a flux is the component's image at unit flux.
    """
    bands = grid.transfer.shape[1]
    rows = torch.empty(len(local), bands, layout.size, *grid.frame, device=local.device, dtype=dtype)
    for component, place in zip(layout.model.components, layout.places, strict=True):
        component.unit_rows(shared(local[..., place]), grid, rows[:, :, place])
    return rows


def unit_images(layout: Layout, local: Tensor, grid: FourierGrid) -> Tensor:
    """The rows (B, C, A, H, W) of `unit_rows` for the A linear slots only: no slopes are drawn."""
    bands = grid.transfer.shape[1]
    found = []
    for component, place in zip(layout.model.components, layout.places, strict=True):
        count = sum(component.linear)
        rows = torch.empty(len(local), bands, count, *grid.frame, device=local.device)
        component.unit_rows(shared(local[..., place]), grid, rows)
        found.append(rows)
    return torch.cat(found, 2) if len(found) > 1 else found[0]


def shared(values: Tensor) -> Tensor:
    """Values (B, K, R) with K = 1 where all bands have the same shape; fluxes do not count, for rows have unit flux."""
    if values.shape[1] > 1 and bool((values[:, 1:, 1:] == values[:, :1, 1:]).all()):
        return values[:, :1]
    return values
