"""The sky that was left in a frame, or taken away too much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from rosse.light.components import Component, Parameter
from rosse.light.psf import FourierGrid

LEVEL = Parameter(name="level", unit="level", description="sky level at the centre of the frame")
SLOPE_X = Parameter(name="slope_x", unit="slope", description="gradient of the sky along x")
SLOPE_Y = Parameter(name="slope_y", unit="slope", description="gradient of the sky along y")


@final
@dataclass(frozen=True, repr=False)
class Sky(Component):
    """Flat or tilted sky, one in each band.

    Parameters
    ----------
    name : ``"sky"`` if not given.
    tilted : whether it has a gradient.
    fixed, bounds, prior, start : as in `Component`; flux per pixel. ``prior={"level": (0, 0.01)}`` says how well the
        sky was subtracted.
    """

    name: str = "sky"
    tilted: bool = False

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (SLOPE_X, SLOPE_Y) if self.tilted else ()

    @property
    def slots(self) -> tuple[Parameter, ...]:
        return (LEVEL, *self.parameters)

    @property
    def linear(self) -> tuple[bool, ...]:
        return (True,) * len(self.slots)

    def unit_rows(self, values: Tensor, grid: FourierGrid, rows: Tensor) -> None:
        height, width = grid.frame
        rows[:, :, 0] = 1.0
        if self.tilted and rows.shape[2] > 1:
            rows[:, :, 1] = torch.arange(width, device=rows.device) - width // 2
            rows[:, :, 2] = (torch.arange(height, device=rows.device) - height // 2)[:, None]
