"""Isophotes that are no ellipses: boxes, Fourier modes, bends, spirals and truncations.

Coordinates are in the frame of the component, x along its major axis and y across it, in any unit of length that all
arguments share. The functions compose: bend or unwind the coordinates, take a radius, deform it, hand it to a profile.
All are differentiable, the origin included.

The formulas are those of GALFIT 3 (Peng, Ho, Impey & Rix 2010, AJ 139, 2097, arXiv:0912.0731, sect. 5). Angles here
are in radians where GALFIT has degrees, and directions are measured from +x to +y where it measures from "up".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TINY = 1e-12
SPIRAL_BAR = 0.23  # rotation in radians that defines the end of the bar (Peng et al. 2010, appendix A: CDEF)


def boxy_radius(x: Tensor, y: Tensor, q: Tensor, c0: Tensor) -> Tensor:
    """Semi-major axis of the generalised ellipse through each point: boxy for c0 > 0, disky for c0 < 0.

    Parameters
    ----------
    x, y : in the frame of the component.
    q : axis ratio b/a.
    c0 : boxiness; 0 is an ellipse, -1 a rhombus, and below -2 there is none.

    Notes
    -----
    ``r = (|x|^(c0 + 2) + |y / q|^(c0 + 2))^(1 / (c0 + 2))`` (Athanassoula et al. 1990, MNRAS 245, 130; Peng et al.
    2010, eq. 3).
    """
    along, across = x.abs(), (y / q).abs()
    longer = torch.maximum(along, across).clamp_min(TINY)  # at the origin the quotient below is 0 / 0
    quotient = (torch.minimum(along, across) / longer).clamp_min(TINY)  # on an axis, 0^c0 and log 0 have no derivative
    power = c0 + 2
    return longer * (1 + quotient**power) ** (1 / power)


def elliptical_angle(x: Tensor, y: Tensor, q: Tensor) -> Tensor:
    """Angle of each point in the circle that the ellipse is a projection of, ``atan2(y / q, x)`` in radians."""
    at_origin = (x == 0) & (y == 0)
    return torch.atan2(y / q, torch.where(at_origin, TINY, x))  # at the origin the angle has no derivative


def fourier_radius(
    radius: Tensor, angle: Tensor, orders: Sequence[int], amplitudes: Sequence[Tensor], phases: Sequence[Tensor]
) -> Tensor:
    """Radius deformed by azimuthal Fourier modes: lopsided by m = 1, three-cornered by m = 3, and so on.

    Parameters
    ----------
    radius, angle : of the ellipse, e.g. `boxy_radius` and `elliptical_angle`.
    orders : m of each mode.
    amplitudes : a_m of each, as a fraction of the radius; a sum of absolute values below 1 keeps isophotes closed.
    phases : phi_m of each, in radians; turning the mode by 2 pi / m changes nothing.

    Notes
    -----
    ``r (1 + sum_m a_m cos(m (theta + phi_m)))`` (Peng et al. 2010, eq. 5). A positive phase turns the mode from +y to
    +x, as there.
    """
    deformed = torch.ones_like(radius)
    for order, amplitude, phase in zip(orders, amplitudes, phases, strict=True):
        deformed = deformed + amplitude * torch.cos(order * (angle + phase))
    return radius * deformed


def bend(x: Tensor, y: Tensor, scale: Tensor, orders: Sequence[int], amplitudes: Sequence[Tensor]) -> Tensor:
    """The coordinate y of a component whose major axis is curved.

    Parameters
    ----------
    x, y : in the frame of the component.
    scale : length in which x is counted, usually the size of the component.
    orders : m of each mode; 1 is a shear, 2 a banana, 3 an S.
    amplitudes : a_m of each, in the unit of y; positive bends towards -y.

    Notes
    -----
    ``y' = y + sum_m a_m (x / r_scale)^m`` (Peng et al. 2010, eq. 6).
    """
    bent = y
    for order, amplitude in zip(orders, amplitudes, strict=True):
        bent = bent + amplitude * (x / scale) ** order
    return bent


def face_on(x: Tensor, y: Tensor, inclination: Tensor, node: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates in the plane of a disc that is seen inclined.

    Parameters
    ----------
    x, y : on the sky.
    inclination : radians between the line of sight and the axis of the disc; 0 is face-on, and less than pi / 2.
    node : direction of the line along which the disc is not foreshortened, radians from +x to +y.

    Returns
    -------
    x, y : along the node and across it, stretched.

    Notes
    -----
    GALFIT has this within its spirals, as theta_incl and theta_PA^sky (Peng et al. 2010, eqs. 7-9). Here it is a step
    of its own: the x axis of the plane is the node, and what is turned within the plane is turned by the caller.
    """
    c, s = torch.cos(node), torch.sin(node)
    return x * c + y * s, (y * c - x * s) / torch.cos(inclination)


def plane_radius(x: Tensor, y: Tensor) -> Tensor:
    """Distance from the origin."""
    return torch.sqrt((x.square() + y.square()).clamp_min(TINY**2))  # at the origin the root has no derivative


def unwind(x: Tensor, y: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates before a spiral turned each point by `rotation`, radians from +x to +y."""
    c, s = torch.cos(rotation), torch.sin(rotation)
    return x * c + y * s, y * c - x * s


def power_spiral(radius: Tensor, r_in: Tensor, r_out: Tensor, theta_out: Tensor, alpha: Tensor) -> Tensor:
    """Rotation at each radius of a spiral whose arms open as a power law outside of a bar.

    Parameters
    ----------
    radius : in the plane of the disc.
    r_in : radius of the bar, within which the rotation fades; smaller than `r_out`, and may be negative.
    r_out : radius by which the arms have turned by 0.98 `theta_out`.
    theta_out : radians; positive arms turn from +x to +y with growing radius.
    alpha : power law of the rotation beyond `r_out`.

    Notes
    -----
    ``theta(r) = theta_out tanh(...) (1/2 (r / r_out + 1))^alpha`` (Peng et al. 2010, eqs. 7-9).
    """
    return theta_out * _onset(radius, r_in, r_out, theta_out) * (0.5 * (radius / r_out + 1)) ** alpha


def logarithmic_spiral(radius: Tensor, r_in: Tensor, r_out: Tensor, theta_out: Tensor, r_winding: Tensor) -> Tensor:
    """Rotation at each radius of a spiral whose arms wind as the logarithm of radius outside of a bar.

    Parameters
    ----------
    radius, r_in, r_out, theta_out : as in `power_spiral`.
    r_winding : winding scale radius; the larger, the more the rotation grows in proportion to radius.

    Notes
    -----
    ``theta(r) = theta_out tanh(...) log(r / r_ws + 1) / log(r_out / r_ws + 1)`` (Peng et al. 2010, eqs. 7-9).
    """
    growth = torch.log1p(radius / r_winding) / torch.log1p(r_out / r_winding)
    return theta_out * _onset(radius, r_in, r_out, theta_out) * growth


def truncation(radius: Tensor, r_break: Tensor, r_soft: Tensor) -> Tensor:
    """Factor that cuts a profile off outside of `r_break` if `r_soft` is larger, and inside of it if it is smaller.

    Parameters
    ----------
    radius : of the truncation, which may have a shape of its own.
    r_break : where the factor is 0.98.
    r_soft : where it has fallen to 0.01 or less; differs from `r_break`.

    Notes
    -----
    ``P = 1/2 (tanh((2 - B) r / r_break + B) + 1)``, ``B = 2.65 - 4.98 r_break / (r_break - r_soft)`` (Peng et al. 2010,
    eqs. 10-12 and appendix B). The sign of ``r_break - r_soft`` tells an inner from an outer truncation; where two
    components share one, so that light goes from the one to the other, the second has ``1 - P``. At r_soft the factor
    is 0.009 for a hole of r_soft = 0 and falls below: the constants are rounded in the paper.
    """
    b = 2.65 - 4.98 * r_break / (r_break - r_soft)
    return 0.5 * (torch.tanh((2 - b) * radius / r_break + b) + 1)


def _onset(radius: Tensor, r_in: Tensor, r_out: Tensor, theta_out: Tensor) -> Tensor:
    """Share of the rotation, from 0 in the bar to 1 in the arms.

    Notes
    -----
    ``1/2 (tanh(B (r / r_out - 1) + 2) + 1)``, ``B = (2 - atanh A) r_out / (r_out - r_in)`` and
    ``A = 2 CDEF / (|theta_out| + CDEF) - 1.00001`` (Peng et al. 2010, appendix A). At `r_in` theta_out
    times this is CDEF / (1 + CDEF / |theta_out|), at most 13 degrees.
    """
    at_bar = 2 * SPIRAL_BAR / (theta_out.abs() + SPIRAL_BAR) - 1.00001  # the 1e-5 keeps atanh finite at theta_out = 0
    b = (2 - torch.atanh(at_bar)) * r_out / (r_out - r_in)
    return 0.5 * (torch.tanh(b * (radius / r_out - 1) + 2) + 1)
