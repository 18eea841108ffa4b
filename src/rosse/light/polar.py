"""The spectrum of any brightness distribution, with its cusp integrated instead of sampled.

Components whose isophotes are no ellipses have no transform at hand. Around the centre, where a cusp has no scale,
their light is integrated on the nodes of a polar quadrature and carried to the Fourier grid by a non-uniform transform;
farther out it is smooth on the scale of a pixel, and its samples at the pixels are its spectrum. A smooth window of
elliptical radius divides the two. The nodes are where they are for numerical reasons alone: the derivative of an image
is the spectrum of the derivative of the brightness.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.light.coordinates import elliptical_radius

Rows = Callable[[Tensor, Tensor], Tensor]

# The window falls from 1 to 0 between these elliptical radii, in pixels along the minor axis. The light outside then
# varies slowly enough for samples at the pixels; what they fold from beyond 2 pi / 4 * 3 is below 1e-4 of the image.
INNER, OUTER = 1.5, 5.5
TAPER = (0.42323, 0.49755, 0.07922)  # Harris 1978, Proc. IEEE 66, 51, table 1: 3-term Blackman-Harris, -67 dB

FREQUENCY = (
    math.pi
)  # radians per pixel that the nodes resolve; their surplus covers the corners, where PSFs leave nothing
KERNEL = 5  # width of the spreading kernel on a grid twice as fine: 1e-5 of the light
SHARPNESS = 2.3 * KERNEL  # Barnett, Magland & af Klinteberg 2019, arXiv:1808.06736, sect. 3.2
ANGLES, RADII = 40, 8  # nodes beyond those that the frequency asks for, to hold the brightness itself
CUSP_RADII, CUSP_POWER = 24, 6  # rho = t^6 turns exp(-rho^(1/8)) into a smooth function of t
POINTS = 1 << 20  # brightness is evaluated on so many points at once, over all galaxies


def polar_spectra(
    rows_at: Rows,
    *,
    centre: Tensor,
    scale: Tensor,
    q: Tensor,
    theta: Tensor,
    frame: tuple[int, int],
    size: tuple[int, int],
) -> Tensor:
    """Spectra of B brightness distributions and their derivatives, on the half plane of a periodic grid.

    Parameters
    ----------
    rows_at : function of dx, dy
        Takes offsets from the centre in pixels, (B, N) in double precision, and returns (B, R, N): brightness per
        square pixel and R - 1 other quantities, its derivatives by shape parameters for instance. What it returns at
        the very centre is not used.
    centre : (B, 2)
        x and y in pixels; may lie outside of the frame.
    scale : (B,)
        Radius in pixels along the major axis within which the cusp lies: half-light radius, core radius.
    q, theta : (B,)
        Axis ratio and direction (radians from +x to +y) of the ellipses that the isophotes resemble.
    frame : (H, W) pixels that are wanted.
    size : (My, Mx) of the periodic grid; what lies beyond half the border between the two is left out.

    Returns
    -------
    (B, R, My, Mx // 2 + 1) complex64
        ``irfft2(spectra * transfer, s=size)[..., :H, :W]`` is the image, the phase of the centre included; times
        ``-1j * kx`` or ``-1j * ky`` it is the derivative by the centre.

    Notes
    -----
    The number of nodes follows the flattest galaxy of the batch: 3e3 for q = 1, 2e4 for q = 0.1. Galaxies of like q
    belong together.

    Under a PSF of 3 pixels, n = 0.5 to 8 and r_e = 1 to 60 pixels come out to 2e-5 (rms) if isophotes are ellipses and
    to 3e-4 down to a boxiness of -0.75. Sharper corners are met by samples alone beyond `OUTER`: 1e-3 at -1, a rhombus.
    Whatever else varies within a pixel out there, a thin ring for instance, is not integrated either.
    """
    centre, scale, q, theta = (v.to(torch.float64) for v in (centre, scale, q, theta))
    cells = _cell(frame[0], size[0]), _cell(frame[1], size[1])
    y, x = (_positions(period, high).to(centre) for period, (_, high) in zip(size, cells, strict=True))
    outside: Tensor = torch.fft.rfft2(_samples(rows_at, centre, q, theta, (y, x)))
    fine = 2 * size[0], 2 * size[1]
    spread = torch.zeros(*outside.shape[:2], fine[0] * fine[1], device=centre.device)
    for rho, phi, weight in _parts(*_nodes(scale, q)):
        dx, dy = _offsets(rho, phi, q, theta)
        x, y = dx + centre[:, :1], dy + centre[:, 1:]
        inside = (y > cells[0][0]) & (y <= cells[0][1]) & (x > cells[1][0]) & (x <= cells[1][1])
        strength = rows_at(dx, dy).to(torch.float32) * torch.where(inside, weight, 0.0).to(torch.float32)[:, None]
        _spread(spread, strength, x, y, fine)
    return outside + _narrow(torch.fft.rfft2(spread.reshape(*outside.shape[:2], *fine)), size)


def total(rows_at: Rows, *, scale: Tensor, q: Tensor, theta: Tensor, reach: float = 1e4) -> Tensor:
    """Integral of B brightness distributions, and of their derivatives, over the plane.

    Parameters
    ----------
    rows_at, scale, q, theta : as in `polar_spectra`.
    reach : how far to integrate, in units of `scale`; 1e4 leaves 1e-5 of the light of n = 8 outside.

    Returns
    -------
    (B, R) in double precision.
    """
    scale, q, theta = (v.to(torch.float64) for v in (scale, q, theta))
    rho, phi, weight = _far_nodes(reach)
    sums: Tensor | float = 0.0
    nodes = torch.as_tensor(rho).to(scale) * scale[:, None], torch.as_tensor(phi).to(scale)
    area = torch.as_tensor(weight).to(scale) * (q * scale.square())[:, None]
    for part_rho, part_phi, part_area in _parts(*nodes, area):
        dx, dy = _offsets(part_rho, part_phi, q, theta)
        sums = sums + (rows_at(dx, dy).to(torch.float64) * part_area[:, None]).sum(-1)
    assert isinstance(sums, Tensor)
    return sums


def window(radius: Tensor) -> Tensor:
    """Share of the light that is integrated around the centre, 1 within `INNER` and 0 beyond `OUTER`.

    Parameters
    ----------
    radius : pixels along the minor axis.
    """
    t = ((radius - INNER) / (OUTER - INNER)).clamp(0, 1)
    a0, a1, a2 = TAPER
    first, second = torch.sin(2 * math.pi * t) / (2 * math.pi), torch.sin(4 * math.pi * t) / (4 * math.pi)
    return 1 - t + (a1 * first - a2 * second) / a0  # the integral of the taper, from the outside


def _cell(length: int, period: int) -> tuple[float, float]:
    """Positions along one axis that the periodic grid stands for: the frame and half of the border on either side."""
    last = length + (period - length) // 2
    return last + 0.5 - period, last + 0.5


def _positions(period: int, high: float) -> Tensor:
    """Position of each pixel of the periodic grid, those behind the end of the cell on its other side."""
    index = torch.arange(period, dtype=torch.float64)
    return torch.where(index <= high, index, index - period)


def _offsets(rho: Tensor, phi: Tensor, q: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Offsets (B, N) from the centre, in pixels, of points in the elliptical frame."""
    c, s = torch.cos(theta)[:, None], torch.sin(theta)[:, None]
    along, across = rho * torch.cos(phi), q[:, None] * rho * torch.sin(phi)
    return along * c - across * s, along * s + across * c


def _parts(rho: Tensor, phi: Tensor, weight: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Nodes in parts that fit into memory."""
    step = max(POINTS // len(rho), 1)
    for start in range(0, len(phi), step):
        at = slice(start, start + step)
        yield rho[:, at], phi[at], weight[:, at]


def _samples(rows_at: Rows, centre: Tensor, q: Tensor, theta: Tensor, pixels: tuple[Tensor, Tensor]) -> Tensor:
    """What the window leaves outside, at the pixels (y, x) of the periodic grid: (B, R, My, Mx)."""
    y, x = pixels
    rows_per_part = max(POINTS // (len(centre) * len(x)), 1)
    parts = []
    for start in range(0, len(y), rows_per_part):
        dy = y[start : start + rows_per_part, None] - centre[:, 1, None, None]
        dx = x - centre[:, 0, None, None]
        dy, dx = (v.expand(-1, dy.shape[1], len(x)).flatten(1) for v in (dy, dx))
        share = 1 - window(elliptical_radius(dx, dy, q[:, None], theta[:, None]) * q[:, None])[:, None]
        # Where the share is 0 the brightness may be infinite.
        rows = torch.where(share > 0, rows_at(dx, dy) * share, 0.0)
        parts.append(rows.to(torch.float32).reshape(*rows.shape[:2], -1, len(x)))
    return torch.cat(parts, dim=2)


def _nodes(scale: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes of the polar quadrature within the window: rho (B, N), phi (N,) and windowed weights (B, N)."""
    reach = OUTER / q
    octaves = math.ceil(math.log2(max(4.0, 4 * float((reach / scale).max()))))
    # Few different numbers of nodes, so that few different tables are kept.
    largest = 2 ** (math.ceil(4 * math.log2(float(reach.max()))) / 4)
    t, phi, weight = (torch.as_tensor(v).to(q) for v in _near_nodes(largest, min(octaves, 30)))
    rho = reach[:, None] * t
    return rho, phi, weight * (q * reach.square())[:, None] * window(OUTER * t)


@lru_cache(maxsize=64)
def _near_nodes(reach: float, octaves: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Radii (of 1), angles and weights of panels that shrink by 2 towards the centre, the last one around a cusp.

    Parameters
    ----------
    reach : pixels of radius 1; each panel has the nodes that its waves of highest frequency ask for.
    octaves : number of panels around the one that holds the centre.
    """
    panels = []
    for i in range(octaves):
        high = 2.0**-i
        phase = FREQUENCY * reach * high
        radii, weights = _gauss(math.ceil(phase / 8) + RADII, high / 2, high)
        panels.append(_ring(radii, weights, math.ceil(phase * (math.pi / 2)) + ANGLES))
    t, weights = _gauss(CUSP_RADII, 0.0, 1.0)
    edge = 2.0**-octaves
    radii, weights = edge * t**CUSP_POWER, edge * CUSP_POWER * t ** (CUSP_POWER - 1) * weights
    panels.append(_ring(radii, weights, math.ceil(FREQUENCY * reach * edge * (math.pi / 2)) + ANGLES))
    rho, phi, weight = (np.concatenate(part) for part in zip(*panels, strict=True))
    return rho, phi, weight


@lru_cache(maxsize=8)
def _far_nodes(reach: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Radii (in scales), angles and weights out to `reach`."""
    inner = 2.0**-4
    t, weights = _gauss(CUSP_RADII, 0.0, 1.0)
    pieces = [(inner * t**CUSP_POWER, inner * CUSP_POWER * t ** (CUSP_POWER - 1) * weights)]
    steps = math.ceil(2 * math.log2(reach / inner))
    edges = inner * (reach / inner) ** (np.arange(steps + 1) / steps)
    pieces += [_gauss(12, low, high) for low, high in pairwise(edges.tolist())]
    rho, weight = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return _ring(rho, weight, 96)


def _gauss(nodes: int, low: float, high: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, w = np.polynomial.legendre.leggauss(nodes)
    return low + (high - low) * (x + 1) / 2, w * (high - low) / 2


def _ring(
    radii: NDArray[np.float64], weights: NDArray[np.float64], angles: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Every radius with every angle; the weights are those of the area of a unit disc."""
    # Gauss's nodes in each quadrant: on the axes, between them, isophotes may have corners.
    quadrant, angle_weights = _gauss(math.ceil(angles / 4), 0.0, math.pi / 2)
    phi = (quadrant + np.arange(4)[:, None] * (math.pi / 2)).ravel()
    area = (radii * weights)[:, None] * np.tile(angle_weights, 4)
    return np.repeat(radii, len(phi)), np.tile(phi, len(radii)), area.ravel()


def _spread(spread: Tensor, strength: Tensor, x: Tensor, y: Tensor, fine: tuple[int, int]) -> None:
    """Add point sources (B, R, N) to a periodic grid (B, R, Fy * Fx) of half pixels, each smeared by the kernel."""
    first_y, smear_y = _smear(y)
    first_x, smear_x = _smear(x)
    step = torch.arange(KERNEL, device=x.device)
    column = (first_x[..., None] + step) % fine[1]  # (B, N, K)
    batch, rows = strength.shape[:2]
    flat = spread.view(-1)
    start = torch.arange(batch, device=x.device)[:, None, None] * (rows * fine[0] * fine[1])
    for k in range(KERNEL):
        place = start + ((first_y + k) % fine[0])[..., None] * fine[1] + column
        smear = smear_y[..., k, None] * smear_x
        for r in range(rows):
            light = smear * strength[:, r, :, None]
            flat.scatter_add_(0, (place + r * fine[0] * fine[1]).flatten(), light.flatten())


def _smear(position: Tensor) -> tuple[Tensor, Tensor]:
    """First cell (...) of the fine grid that a point reaches, and its share (..., K) for each of the next K cells."""
    at = 2 * position
    first = torch.ceil(at - KERNEL / 2)
    step = torch.arange(KERNEL, device=position.device)
    z2 = (((first - at)[..., None] + step) * (2 / KERNEL)).to(torch.float32).square()
    return first.long(), torch.exp(SHARPNESS * (torch.sqrt((1 - z2).clamp_min(0)) - 1))


def _narrow(spectra: Tensor, size: tuple[int, int]) -> Tensor:
    """Spectra of the fine grid at the frequencies of the coarse one, without the kernel's own transform."""
    low, width = (size[0] + 1) // 2, size[1] // 2 + 1
    kept = torch.cat([spectra[..., :low, :width], spectra[..., spectra.shape[-2] - size[0] // 2 :, :width]], dim=-2)
    y = torch.as_tensor(_kernel_transform(size[0])).to(kept.real)
    x = torch.as_tensor(_kernel_transform(size[1])).to(kept.real)
    return kept / (y[:, None] * x[:width])


@lru_cache(maxsize=64)
def _kernel_transform(period: int) -> NDArray[np.float64]:
    """Transform of the kernel at the frequencies of `np.fft.fftfreq(period)`."""
    x, w = _gauss(100, -KERNEL / 2, KERNEL / 2)
    kernel = np.exp(SHARPNESS * (np.sqrt(1 - (2 * x / KERNEL) ** 2) - 1))
    waves = np.cos(np.pi * np.fft.fftfreq(period)[:, None] * x)
    transform: NDArray[np.float64] = waves @ (w * kernel)
    return transform
