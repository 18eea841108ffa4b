"""Between the units of tables and the coordinates of a fit, for every kind of parameter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.light.components import Parameter
from rosse.light.coordinates import image_angle, position_angle

Floats = NDArray[np.float64]


def has_scale(cutouts: Cutouts) -> bool:
    """Whether lengths can be in arcsec: the pixel scale of every galaxy is known."""
    return bool(torch.isfinite(cutouts.scale).all())


def to_fit(slot: Parameter, value: Floats, cutouts: Cutouts, *, arcsec: bool) -> Tensor:
    """Coordinate (B,) of a parameter given in the units of the table.

    Parameters
    ----------
    slot : which parameter.
    value : (B,)
    cutouts : B galaxies.
    arcsec : whether lengths are in arcsec; else in pixels.
    """
    number = torch.as_tensor(np.asarray(value, dtype=np.float64), device=cutouts.flux.device)
    if slot.unit == "length" and arcsec:
        number = number / cutouts.scale
    elif slot.unit == "angle":
        number = image_angle(number, cutouts.north, cutouts.parity)
    elif slot.unit == "degree":
        number = number * (math.pi / 180)
    elif slot.unit == "pixel":
        number = number - cutouts.corner[:, 0 if slot.name == "x" else 1]
    return torch.log(number) if slot.log else number


def width_to_fit(slot: Parameter, width: Floats, cutouts: Cutouts, *, arcsec: bool) -> Tensor:
    """A one-sigma width (B,) in pixels and radians, from the units of the table; no logarithm is taken."""
    number = torch.as_tensor(np.asarray(width, dtype=np.float64), device=cutouts.flux.device)
    if slot.unit == "length" and arcsec:
        return number / cutouts.scale
    return number * (math.pi / 180) if slot.unit in ("angle", "degree") else number


def to_table(slot: Parameter, value: Floats, sigma: Floats, cutouts: Cutouts, *, arcsec: bool) -> tuple[Floats, Floats]:
    """Value and one-sigma error (B,) in the units of the table, from coordinates of the fit."""
    factor: Any = 1.0
    if slot.log:
        value = np.exp(value)
        factor = value
    if slot.unit == "length" and arcsec:
        scale = cutouts.scale.cpu().numpy()
        value, factor = value * scale, factor * scale
    elif slot.unit == "angle":
        value = position_angle(value, cutouts.north.cpu().numpy(), cutouts.parity.cpu().numpy())
        factor = 180 / math.pi
    elif slot.unit == "degree":
        value, factor = np.degrees(value), 180 / math.pi
    elif slot.unit == "pixel":
        value = value + cutouts.corner[:, 0 if slot.name == "x" else 1].cpu().numpy()
    return value, sigma * factor
