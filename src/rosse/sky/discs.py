"""The disc: smooth, lopsided or in patches, inclined or edge-on; and the bulge where its isophotes are no ellipses."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from rosse.light.radial import sersic_constants
from rosse.sky.geometry import Galaxies, Nodes, Plane, polar_nodes
from rosse.sky.quick import exp_
from rosse.sky.texture import Texture, patch_field

EDGE_ON = math.radians(84.0)  # inclination from which the disc is drawn as one seen edge-on
BOXY_FROM = 0.15  # boxiness below which isophotes are drawn as ellipses
PATCHES = 1.1  # scatter of ln brightness of a disc that is nothing but patches
GRAIN = 0.10  # share of patches in every disc that has arms: no disc of gas and dust is smooth
THINNER, LONGER = 0.5, 1.35  # the young disc over the old one (Bizyaev & Mitronova 2009; MacArthur+2004)
THINNEST_LAYER = 0.7  # pixels, height of a disc seen edge-on: a thinner one is drawn so thick
SOFT = 0.5  # pixels: how far from the axes the difference between boxy and elliptic isophotes begins
SMALLEST = 1e-3  # pixels: a smaller half-light radius is a point


def sersic_light(ln_radius: Tensor, r_e: Tensor, n: Tensor, area: Tensor | float) -> Tensor:
    """Sersic brightness at unit flux (Graham & Driver 2005, eqs. 1-5).

    Parameters
    ----------
    ln_radius : (B, h, w) of the semi-major axis, pixels.
    r_e : (B, 1, 1) half-light semi-major axis, pixels.
    n : (B, 1, 1) Sersic index.
    area : area of an isophote over that of a circle of the same semi-major axis.
    """
    r_e = r_e.clamp_min(SMALLEST)
    constants = sersic_constants(n.flatten().to(torch.float64))
    b, ln_norm = (v.to(torch.float32)[:, None, None] for v in (constants.b, constants.ln_norm))
    power = exp_((ln_radius - torch.log(r_e)).div_(n))
    return exp_(torch.addcmul(ln_norm - torch.log(r_e.square() * area), b, power, value=-1))


def sersic_ellipse(slots: list[Tensor], dx: Tensor, dy: Tensor) -> Tensor:
    """Sersic brightness (B, h, w) at unit flux of ellipses, for ln r_e, ln n, ln q and direction (B,) each."""
    r_e, n, q = (torch.exp(slot.to(torch.float32))[:, None, None] for slot in slots[:3])
    theta = slots[3].to(torch.float32)[:, None, None]
    c, s = torch.cos(theta), torch.sin(theta)
    x, y = dx * c + dy * s, (dy * c - dx * s) / q
    return sersic_light(0.5 * torch.log(x * x + y * y + 0.01), r_e, n, q)


def disc_light(galaxies: Galaxies, plane: Plane) -> Tensor:
    """Brightness (B, h, w) at unit flux of the disc, before what makes it uneven."""
    g = galaxies
    return sersic_light(plane.ln_r, g["disc_r_e"], g["disc_n"], g.fine_ratio)


def unevenness(galaxies: Galaxies, plane: Plane, texture: Texture) -> Tensor:
    """What the disc's brightness is multiplied by, (B, h, w): its first Fourier mode, and patches.

    Notes
    -----
    The amplitude of the first mode grows with radius and is `lopsidedness` beyond two scale lengths, where it is
    measured (Rix & Zaritsky 1995, ApJ 447, 82).
    """
    g = galaxies
    phase = g.random("lopsided", 1)[0] * (2 * math.pi)
    amplitude = g["lopsidedness"].clamp(0.0, 0.9)
    side = (plane.x * (amplitude * torch.cos(phase))).addcmul_(plane.y, amplitude * torch.sin(phase))
    # x^2 / (x^2 + 1/2) / r with x = r / r_e
    soft = torch.addcdiv(plane.r, 0.5 * g["disc_r_e"].clamp_min(SMALLEST).square(), plane.r)
    one_sided = side.div_(soft).add_(1)
    share = torch.maximum(g["disorder"].clamp(0.0, 1.0), GRAIN * (g["arm_share"] > 0))
    if not bool((share > 0).any()):
        return one_sided
    field = patch_field(g, texture, plane.x, plane.y).clamp(-2.5, 2.5)
    patches = exp_(field.mul_(PATCHES).sub_(PATCHES**2 / 2))
    return one_sided.mul_(patches.sub_(1).mul_(share).add_(1))


def disc_nodes(galaxies: Galaxies) -> Nodes:
    """Where the light of an uneven disc is summed."""
    r_e = galaxies["disc_r_e"].clamp_min(SMALLEST)
    return polar_nodes(galaxies, 0.005 * r_e, 12.0 * r_e, (64, 64))


def bulge_nodes(galaxies: Galaxies) -> Nodes:
    """Where the light of a bulge is summed; x and y are along and across on the sky."""
    g = galaxies
    q = torch.where(g["bulge_q"] > 0, g["bulge_q"], 1.0).clamp_min(0.05)
    r_e = g["bulge_r_e"].clamp_min(SMALLEST)
    return polar_nodes(g, 0.02 * r_e, 20.0 * r_e.clamp_min(SOFT), (32, 48), ratio=q, turned=True)


def edge_on_shape(galaxies: Galaxies) -> tuple[Tensor, Tensor]:
    """Scale length and layer height (B, 1, 1) of the disc seen edge-on, pixels.

    The layer is as thick as the disc is and what its inclination adds.
    """
    g = galaxies
    length = g["disc_r_e"].clamp_min(SMALLEST) / 1.6783
    tilt = torch.cos(g["inclination"]).abs()
    height = length * torch.sqrt((2 * g["disc_thickness"]).square() + tilt.square())
    return length, height.clamp_min(THINNEST_LAYER)


def edge_on_light(galaxies: Galaxies, along: Tensor, across: Tensor) -> Tensor:
    """Brightness (B, h, w) at unit flux of an exponential disc seen edge-on.

    Notes
    -----
    ``(r / r_s) K_1(r / r_s) sech^2(h / h_s)`` (van der Kruit & Searle 1981, eqs. 4-5).
    """
    length, height = edge_on_shape(galaxies)
    layer = exp_((across / height).abs_(), -2)  # sech^2 x = 4 e / (1 + e)^2 with e = exp(-2 x)
    return _profile(along, length) * layer / (1 + layer).square() * (2 / (math.pi * length * height))


def thin_light(galaxies: Galaxies, along: Tensor, across: Tensor, texture: Texture) -> Tensor:
    """Brightness (B, h, w) at unit flux of the young disc seen edge-on: thinner, longer and in knots."""
    length, height = edge_on_shape(galaxies)
    length, height = length * LONGER, height * THINNER
    points = torch.linspace(-10.0, 10.0, 801, device=along.device) * length
    step = length / 40
    total = (_knots(galaxies, points, texture) * _profile(points, length)).sum(2, keepdim=True) * (step * 2 * height)
    layer = exp_((across / height).abs_(), -2)
    light = _profile(along, length) * _knots(galaxies, along, texture) * layer / (1 + layer).square()
    return 4 * light / total


def _knots(galaxies: Galaxies, along: Tensor, texture: Texture) -> Tensor:
    """How brightness changes along a disc seen edge-on."""
    return exp_(patch_field(galaxies, texture, along, torch.zeros_like(along)).clamp(-2.5, 2.5), 0.6)


def _profile(along: Tensor, length: Tensor) -> Tensor:
    """Brightness along an exponential disc seen edge-on, 1 at the centre: ``x K_1(x)`` with x in scale lengths."""
    table = _bessel(along.device)
    at = (along.abs() * (STEPS / length)).clamp_max(len(table) - 1.001)
    left = at.to(torch.int32)
    low, high = (torch.index_select(table, 0, (left + i).flatten()).view(at.shape) for i in (0, 1))
    return torch.lerp(low, high, at - left)


STEPS = 128  # per scale length, in the table of x K_1(x)


@lru_cache(maxsize=4)
def _bessel(device: torch.device) -> Tensor:
    """X K_1(x) at x = 0, 1 / STEPS, ... 20, beyond which it is 0."""
    x = torch.arange(20 * STEPS + 1, dtype=torch.float64) / STEPS
    value = x.clamp_min(1e-9) * torch.special.modified_bessel_k1(x.clamp_min(1e-9))
    value[-1] = 0.0
    return torch.as_tensor(value, dtype=torch.float32, device=device)


def bulge_light(galaxies: Galaxies, along: Tensor, across: Tensor, *, boxy: bool) -> Tensor:
    """Brightness (B, h, w) of the bulge at unit flux.

    Parameters
    ----------
    galaxies, along, across : offsets from the centre along and across the major axis, pixels.
    boxy : with its boxy isophotes, or with ellipses in their place.

    Notes
    -----
    ``r = (|x|^c + |y / q|^c)^(1/c)``, c = 2 + C0 (Peng+2010, eq. 3); an isophote's area is
    ``4 Gamma(1 + 1/c)^2 / Gamma(1 + 2/c)`` times q r^2.
    """
    g = galaxies
    q = torch.where(g["bulge_q"] > 0, g["bulge_q"], 1.0).clamp_min(0.05)
    # No grid samples a cusp; both kinds are softened alike, so that their difference has none.
    x2, y2 = along.square().add_(SOFT**2), across.square().add_(SOFT**2).div_(q.square())
    if not boxy:
        return sersic_light((x2 + y2).log_().mul_(0.5), g["bulge_r_e"], g["bulge_n"], q)
    c = torch.where(g["bulge_boxiness"].abs() < BOXY_FROM, 2.0, 2 + g["bulge_boxiness"]).clamp(1.0, 6.0)
    area = (4 / math.pi) * torch.exp(2 * torch.lgamma(1 + 1 / c) - torch.lgamma(1 + 2 / c))
    powers = [exp_(side.log_().mul_(c / 2)) for side in (x2, y2)]
    ln_radius = (powers[0] + powers[1]).log_().div_(c)
    return sersic_light(ln_radius, g["bulge_r_e"], g["bulge_n"], q * area)
