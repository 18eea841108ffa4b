"""The bar: an elongated body in the disc's plane."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rosse.sky.geometry import Galaxies, Plane
from rosse.sky.quick import fading_

POWER = 2.5  # of the fall along either axis, and of its isophotes: flat with a sharp end, and boxy (Athanassoula+1990)
AT_END = 2.0  # e-folds from the centre to the bar's end
NARROWEST = 1.1  # pixels: a narrower bar is drawn so wide, which no PSF tells apart


def bar_light(galaxies: Galaxies, plane: Plane) -> Tensor:
    """Brightness (B, h, w) of the bar at unit flux.

    Notes
    -----
    ``exp(-2 (|x / a|^2.5 + |y / b|^2.5))`` with a the bar's semi-major axis and b = q a: its isophotes are boxy, as
    those of bars are (Athanassoula+1990, MNRAS 245, 130), and 1/e^2 of its centre is left at its end. The integral
    along an axis is ``2 a Gamma(1 + 1/2.5) 2^(-1/2.5)``.
    """
    g = galaxies
    c, s = torch.cos(g["bar_angle"]), torch.sin(g["bar_angle"])
    length = torch.maximum(g["bar_length"], NARROWEST / g.fine_ratio)
    width = torch.maximum(g["bar_length"] * g["bar_q"], NARROWEST / g.fine_ratio)
    along = (plane.x * (c / length)).addcmul_(plane.y, s / length).abs_()
    across = (plane.y * (c / width)).addcmul_(plane.x, -s / width).abs_()
    fall = along.square().mul_(along.sqrt_()).addcmul_(across.square(), across.sqrt())
    extent = 2 * math.gamma(1 + 1 / POWER) * AT_END ** (-1 / POWER)
    return fading_(fall.mul_(-AT_END)).mul_(1 / (extent**2 * length * width * g.fine_ratio))
