"""Asymmetries: how much a galaxy differs from itself turned by 180 degrees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rosse.shapes.simplex import minimise
from rosse.shapes.turned import Difference, Flipped, Holes

FREE = 8  # pixels around the aperture in which the centre may move before its edge is cut off
STEP = 0.05  # of the start's coordinates in the stamp, the first triangle (the rule of scipy.optimize.fmin)
ROUND = 16  # sides of windows are multiples of it, so that there are few


def asymmetry(sums: Difference, sky: Tensor) -> Tensor:
    """A = (sum |I - I_180| - n A_sky) / sum |I| (Conselice 2003; Lotz et al. 2004, eq. 7, with the sky per pixel).

    Parameters
    ----------
    sums : over the aperture of radius 1.5 Petrosian radii for A, over a ring for the outer asymmetry.
    sky : mean absolute difference of a pixel of empty sky and its counterpart.
    """
    return (sums.absolute - sums.area * sky) / sums.light


def rms_asymmetry_squared(sums: Difference, sky_sigma: Tensor) -> Tensor:
    """A_rms^2 = (sum (I - I_180)^2 - 2 n sigma^2) / (sum I^2 - n sigma^2) (Sazonova et al. 2024, eq. 27).

    `sky_sigma` is the standard deviation of a pixel of empty sky. In noise the square may be negative, so it is the
    square that is given.
    """
    noise = sums.area * sky_sigma.square()
    return (sums.squared - 2 * noise) / (sums.power - noise)


def shape_asymmetry(sums: Difference) -> Tensor:
    """Asymmetry of a map of 0 and 1 (Pawlik et al. 2016, sect. 3.2), without their factor 1/2."""
    return sums.absolute / sums.light


@dataclass(frozen=True, kw_only=True, eq=False)
class _Window:
    """Squares of like side around the apertures of some galaxies, all with gaps in their data or all without.

    Parameters
    ----------
    rows : (M,) which galaxies.
    first : (M, 2) x and y of the square's first pixel in the stamp.
    side : of the square, pixels.
    own, light : (M, side, side) the galaxy, and its absolute value.
    data : (M, side, side) 1 where there are data, 0 elsewhere; None where there are everywhere.
    gaps : whether the stamps have pixels without data.
    """

    rows: Tensor
    first: Tensor
    side: int
    own: Tensor
    light: Tensor
    data: Tensor | None
    gaps: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """Where B galaxies are most like themselves turned, within circles around their centre.

    Parameters
    ----------
    image, bad : (B, N, N) stamps, and where they have no data.
    flipped, holes : the image turned, and the pixels without data within the stamps' extents.
    radius : (B,) of the circle, pixels.
    sky : (B,) what noise adds, per pixel.
    """

    image: Tensor
    bad: Tensor
    flipped: Flipped
    holes: Holes
    radius: Tensor
    sky: Tensor

    def least(self, rows: Tensor, start: Tensor, *, tolerance: float, max_steps: int) -> tuple[Tensor, Tensor]:
        """Centres (M, 2) of galaxies `rows` (M,), from `start` (M, 2), and whether (M,) the search ended."""
        side = 2 * (self.radius[rows].ceil().long() + FREE) + 1
        side = (torch.div(side + ROUND - 1, ROUND, rounding_mode="floor") * ROUND).clamp_max(self.image.shape[1])
        kind, order = (2 * side + (self.holes.count[rows] > 0).long()).sort(
            stable=True
        )  # it follows from each galaxy alone
        kinds, counts = torch.unique_consecutive(kind, return_counts=True)
        rows, stops = rows[order], counts.cumsum(0)
        parts, begins = (torch.split(v, counts.tolist()) for v in (rows, start[order]))
        windows = [
            self._window(part, begin, int(k) // 2, bool(k % 2))
            for part, begin, k in zip(parts, begins, kinds.tolist(), strict=True)
        ]
        edge = self.image.shape[1] - 1

        def function(points: Tensor, which: Tensor) -> Tensor:
            inside = points.clamp(0, edge)
            cuts = [0, *torch.searchsorted(which, stops).tolist()]
            out = [
                self._asymmetry(window, inside[low:high], which[low:high] - offset)
                for window, low, high, offset in zip(windows, cuts, cuts[1:], [0, *stops.tolist()], strict=False)
                if high > low
            ]
            value = torch.cat(out) if out else points[:, 0]
            good = torch.isfinite(value) & (points == inside).all(1)
            return torch.where(good, value, torch.inf)  # beyond the stamp, there is no light to compare

        begin = start[order]
        found, ended = minimise(function, begin, STEP * begin, tolerance=tolerance, max_steps=max_steps)
        back = order.argsort()
        return found[back], ended[back]

    def _window(self, rows: Tensor, start: Tensor, side: int, gaps: bool) -> _Window:
        first = (start.round().long() - side // 2).clamp(0, self.image.shape[1] - side)
        at = torch.cat([rows[:, None], first], 1).tolist()

        def part(whole: Tensor) -> Tensor:
            return torch.stack([whole[i, y : y + side, x : x + side] for i, x, y in at])

        own, bad = part(self.image), part(self.bad)
        data = (~bad).to(own.dtype) if bool(bad.any()) else None
        return _Window(rows=rows, first=first, side=side, own=own, light=own.abs(), data=data, gaps=gaps)

    def _asymmetry(self, window: _Window, centre: Tensor, which: Tensor) -> Tensor:
        """Asymmetry (M,) about centres (M, 2) of members `which` of a window.

        A pixel at the edge of the circle counts by the part of its diameter that lies inside.
        """
        rows, first = window.rows[which], window.first[which]
        back = self.flipped.about(centre, rows, first, window.side)
        whole = len(which) == len(window.rows)  # then they are all there, in order
        own, light = (window.own, window.light) if whole else (window.own[which], None)
        weight = _circle(centre - first, self.radius[rows], window.side)
        if window.data is not None:
            weight.mul_(window.data if whole else window.data[which])
        if window.gaps:
            self.holes.cut_out(weight, centre, rows, first)
        delta = back.sub_(own).abs_().mul_(weight)
        light = own.abs_() if light is None else light  # own is a copy then
        absolute, light, area = (v.flatten(1).sum(1).double() for v in (delta, light * weight, weight))
        return (absolute - area * self.sky[rows]) / light


def _circle(centre: Tensor, radius: Tensor, side: int) -> Tensor:
    """Part (M, side, side) of each pixel's diameter inside circles."""
    line = torch.arange(side, device=centre.device)
    x, y = ((line - centre[:, i, None]).square() for i in (0, 1))
    twice = 2 * radius[:, None]
    rows, columns = ((0.5 + radius[:, None] / 2 - y / twice).float(), (-x / twice).float())
    return (rows[:, :, None] + columns[:, None, :]).clamp_(0, 1)
