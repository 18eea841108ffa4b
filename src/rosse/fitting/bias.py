"""What noise shifts a best fit by, because models are not linear: second order in the noise, to be taken off."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rosse.fitting.uncertainty import Optimum, chosen, optima

if TYPE_CHECKING:
    from rosse.fitting.plan import Plan
    from rosse.fitting.result import Fit

LARGEST = 0.5  # of sigma: where the second order says more than this, it is no guide
LONGEST = 0.3  # step of second differences in logarithms, radians and pixels, where a sigma is longer


def without_bias(fit: Fit) -> Fit:
    """The same fit, moved so that ``(value - truth) / sigma`` is 0 on average over noise.

    The least chi^2 of a faint galaxy is on average a little too elongated and too steep for its error: by 0.1 sigma at
    S/N 50, by 0.02 sigma at S/N 400. One galaxy does not feel it; the mean of a thousand does.

    Notes
    -----
    To second order in the noise, with covariance C, derivative images A, weights W and second derivatives H of the
    model: the mean shift of least squares is ``b = -1/2 C A' W sum_pq C_pq H_pq`` (Box 1971, J. R. Stat. Soc. B 33,
    171, eq. 2.27). A value that scatters up also has another sigma, which adds ``sigma_p (A u)' W H[u, u]`` along the
    direction ``u = C e_p / sigma_p``; and where the fit moves a logarithm and the table has its exponential,
    ``-sigma_p^2 / 2``. The sum is taken off each coordinate, no more than half a sigma and not over a bound. Errors
    and `chi2` stay those of the least chi^2. Under the Poisson likelihood the skewness of the noise is left out.
    """
    vector = np.array(fit.vector)
    logs = np.array([_is_log(fit, p) for p in range(fit.plan.size)])
    with torch.no_grad():
        for at, part in optima(fit, chosen(fit, None)):
            covariance = torch.from_numpy(fit.covariance[at]).to(part.vector.device)
            moved = part.vector - mean_shift(part, covariance, torch.from_numpy(logs).to(part.vector.device))
            inside = torch.minimum(torch.maximum(moved, part.limits.lower), part.limits.upper)
            vector[at] = inside.cpu().numpy()
    return replace(fit, vector=vector)


def mean_shift(part: Optimum, covariance: Tensor, logs: Tensor) -> Tensor:
    """Mean of (value - truth) / sigma, times sigma, (B, P), for best fits of covariance (B, P, P).

    Parameters
    ----------
    part : the galaxies.
    covariance : NaN for coordinates that did not move; their shift is 0.
    logs : (P,) coordinates that are logarithms of what the table has.
    """
    matrix = torch.where(torch.isfinite(covariance), covariance, 0.0)
    sigma = matrix.diagonal(dim1=1, dim2=2).clamp_min(0.0).sqrt()
    inverse = torch.where(sigma > 0, 1 / sigma.clamp_min(1e-300), 0.0)
    along = matrix * inverse[:, None, :]  # (B, P, P): column p is where the fit goes when coordinate p is 1 sigma off
    values, vectors = torch.linalg.eigh(along * inverse[:, :, None])
    roots = vectors * values.clamp_min(0.0).sqrt()[:, None] * sigma[:, :, None]  # its square is the covariance
    shift = torch.stack(
        [_second_order(part, i, matrix=matrix[i], along=along[i], roots=roots[i]) for i in range(len(part.vector))]
    )
    shift = shift - torch.where(logs, 0.5, 0.0) * sigma.square()
    return torch.minimum(torch.maximum(shift, -LARGEST * sigma), LARGEST * sigma)


def _second_order(part: Optimum, row: int, *, matrix: Tensor, along: Tensor, roots: Tensor) -> Tensor:
    """Shift (P,) of one galaxy, logarithms aside."""
    one = torch.tensor([row], device=part.vector.device)
    here, size = part.vector[row], len(matrix)
    steps = torch.cat([roots.T, along.T])  # (2 P, P)
    curving = torch.ones_like(here)
    curving[_linear(part.problem.plan)] = 0.0  # a flux of any size is no step too far
    factor = (LONGEST / (steps * curving).abs().amax(1).clamp_min(1e-300)).clamp_max(1.0)
    steps = steps * factor[:, None]
    points = torch.cat([here + steps, here - steps, here[None]])
    many = part.problem.rows(one.expand(len(points)))
    images = many.drawn(many.local(points))
    curved = images[: 2 * size] + images[2 * size : 4 * size] - 2 * images[-1]  # (2 P, C, H, W)
    curved /= factor.square().to(curved.dtype)[:, None, None, None]
    problem = part.problem.rows(one)
    rows = problem.weighted_rows(here[None])[0]  # (C, P, H, W)
    both = torch.cat([curved[:size].sum(0, keepdim=True), curved[size:]]) * problem.noise_root(images[-1:])
    slopes = torch.einsum("cphw,kchw->kp", rows, both).to(torch.float64)  # (1 + P, P)
    sigma = matrix.diagonal().clamp_min(0.0).sqrt()
    return -0.5 * matrix @ slopes[0] + sigma * (slopes[1:] * along.T).sum(1)


def _linear(plan: Plan) -> list[int]:
    """Coordinates that the image is linear in."""
    return [p for p, at in enumerate(plan.coordinates) if at.slot in plan.layout.linear]


def _is_log(fit: Fit, p: int) -> bool:
    coordinate = fit.plan.coordinates[p]
    return fit.plan.layout.slots[coordinate.slot].log and coordinate.below is None
