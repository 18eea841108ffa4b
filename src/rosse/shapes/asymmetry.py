"""Asymmetries: how much a galaxy differs from itself turned by 180 degrees."""

from __future__ import annotations

import torch
from torch import Tensor

from rosse.shapes.simplex import minimise
from rosse.shapes.turned import FREE, Box, Difference, box_around, difference


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


def least_asymmetry(
    image: Tensor,
    bad: Tensor | None,
    start: Tensor,
    *,
    step: Tensor,
    radius: Tensor,
    sky: Tensor,
    tolerance: float,
    max_steps: int,
) -> tuple[Tensor, Tensor]:
    """Centre (B, 2) of least asymmetry within circles around it, and whether (B,) the search ended.

    Parameters
    ----------
    image, bad : (B, H, W) stamps, and 1 where they have no data; None where all do.
    start : (B, 2) where the search begins, x and y.
    step : (B,) size of the first triangle, pixels.
    radius : (B,) of the circle, pixels.
    sky : (B,) what noise adds, per pixel.
    """
    centre, ended = start.clone(), torch.zeros(len(start), dtype=torch.bool, device=start.device)

    edge = torch.tensor([image.shape[2] - 1, image.shape[1] - 1], dtype=start.dtype, device=start.device)

    def search(rows: Tensor, box: Box) -> None:
        def function(points: Tensor, which: Tensor) -> Tensor:
            at = rows[which]
            value = asymmetry(difference(box, points, which, radius[at], squares=False), sky[at])
            inside = ((points >= 0) & (points <= edge)).all(1)
            return torch.where(inside & torch.isfinite(value), value, torch.inf)  # beyond, there is no light to compare

        centre[rows], ended[rows] = minimise(
            function, start[rows], step[rows, None].expand(-1, 2), tolerance=tolerance, max_steps=max_steps
        )

    rows = torch.arange(len(start), device=start.device)
    search(rows, box_around(image, bad, start, float(radius.max())))
    far = ((centre - start).abs().amax(1) > FREE - 1).nonzero().flatten()
    if len(far):
        reach = float(max(image.shape[1:]))
        search(far, box_around(image[far], None if bad is None else bad[far], start[far], reach))
    return centre, ended
