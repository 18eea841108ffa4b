"""Where a pixel lies in a galaxy: angles on the sky and in the image, and elliptical radius.

Images use radians from +x to +y, tables degrees east of north; `position_angle` and `image_angle` are the only
places that convert.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Angles = TypeVar("Angles", Tensor, NDArray[np.float64])


def position_angle(theta: Angles, north: Angles, parity: Angles) -> Angles:
    """Position angle of an axis, degrees east of north in [0, 180).

    Parameters
    ----------
    theta : direction of the axis, radians from +x to +y.
    north, parity : as in `Cutouts`; with north up and east left (``pi / 2``, ``+1``) the angle is measured from +y
        towards -x, as GALFIT does.
    """
    degrees = parity * (theta - north) * (180.0 / np.pi)
    return degrees % 180.0


def image_angle(pa: Angles, north: Angles, parity: Angles) -> Angles:
    """Direction in the image, radians from +x to +y in [0, pi), of an axis whose position angle is `pa` degrees."""
    theta = north + parity * pa * (np.pi / 180.0)
    return theta % np.pi


def elliptical_radius(dx: Tensor, dy: Tensor, q: Tensor, theta: Tensor) -> Tensor:
    """Semi-major axis of the ellipse through each point, in the unit of `dx`.

    Parameters
    ----------
    dx, dy : offsets from the centre.
    q : axis ratio b/a.
    theta : direction of the major axis, radians from +x to +y.
    """
    along = dx * torch.cos(theta) + dy * torch.sin(theta)
    across = dy * torch.cos(theta) - dx * torch.sin(theta)
    return torch.sqrt(along.square() + (across / q).square())
