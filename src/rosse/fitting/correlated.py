"""Errors under correlated noise, as drizzling, resampling and PSF matching leave it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.errors import InputError
from rosse.fitting.uncertainty import Optimum, chosen, optima

if TYPE_CHECKING:
    from rosse.fitting.result import Fit

Floats = NDArray[np.float64]
CLIP = 3.0  # pixels of an image brighter than this many sigma belong to a source, with their neighbours
CLIP_RESIDUALS = 5.0  # what a fit leaves has few sources; clipping noise would make it look less correlated


def noise_correlation(data: Cutouts | Fit, *, reach: int = 4) -> Floats:
    """Autocorrelation of the noise, from pixels without sources or from what a fit leaves.

    Parameters
    ----------
    data : cutouts, whose sources are found and left out; or a fit, whose residuals are taken. Many galaxies (some
        100 000 pixels in all) make it exact to a per cent.
    reach : largest distance in pixels.

    Returns
    -------
    (C, 2 reach + 1, 2 reach + 1)
        1 at the centre; by symmetry the same at opposite offsets. The median over the galaxies, so that a few with a
        neighbour do not matter.
    """
    cutouts = data if isinstance(data, Cutouts) else data.cutouts
    root = cutouts.ivar.sqrt()
    noise = cutouts.flux * root if isinstance(data, Cutouts) else (cutouts.flux - data.model_images()) * root
    noise, use = noise.to(torch.float64), (root > 0) & torch.isfinite(noise)
    noise, use = _without_sources(noise, use, both_sides=not isinstance(data, Cutouts))
    size = 2 * reach + 1
    if min(cutouts.frame) < 2 * size:
        raise InputError(f"frames of {cutouts.frame} pixels came; a reach of {reach} pixels needs twice {size}")
    grid = [next_fast_len(length + reach, real=True) for length in cutouts.frame]
    products, pairs = (_autocorrelation(x, grid, reach) for x in (noise, use.to(torch.float64)))
    enough = pairs[..., reach, reach] > 100
    with np.errstate(invalid="ignore"):
        each = (products / pairs.clamp_min(0.5)).cpu().numpy()  # (B, C, size, size)
    each[~enough.cpu().numpy()] = np.nan
    if not np.isfinite(each).any((0, 2, 3)).all():
        raise InputError("no galaxy has 100 pixels without sources; give cutouts with some sky around the galaxies")
    middle = np.nanmedian(each, axis=0)
    return np.asarray(middle / middle[:, reach : reach + 1, reach : reach + 1])


def with_correlated_noise(fit: Fit, correlation: ArrayLike) -> Fit:
    """The same fit with the errors that correlated noise gives it.

    Parameters
    ----------
    fit : whose `ivar` is that of single pixels.
    correlation : (h, w) or (C, h, w)
        Autocorrelation of the noise, 1 at its centre pixel; `noise_correlation` measures it.

    Returns
    -------
    Fit
        `covariance` is new, and so are all errors of its table; `noise_factor` is what they grew by.

    Notes
    -----
    ``C = N^-1 (A' W V W A) N^-1`` with the derivative images A, weights W, normal matrix N and the noise's covariance
    ``V_ij = sigma_i sigma_j rho(i - j)``: exact for a linear model, and the parameters themselves stay what they were.
    A prior's part of N carries no pixel noise. Coordinates at a bound stay without an error.
    """
    rho = checked_correlation(correlation, len(fit.plan.bands))
    white, covariance = np.array(fit.covariance), np.array(fit.covariance)
    with torch.no_grad():
        for at, part in optima(fit, chosen(fit, None)):
            known = np.isfinite(fit.covariance[at])
            inverse = _inverse(part, known)
            white[at] = np.where(known, inverse, np.nan)
            covariance[at] = np.where(known, inverse @ _scattered(part, rho).cpu().numpy() @ inverse, np.nan)
    return replace(fit, covariance=covariance, noise_factor=_growth(white, covariance))


def _inverse(part: Optimum, known: NDArray[np.bool_]) -> Floats:
    """Covariance (B, P, P) of the `known` coordinates under white noise, 0 elsewhere.

    With derivatives at the optimum; those of the fit may be of a step before it.
    """
    rows = torch.arange(len(part.vector), device=part.vector.device)
    normal = part.problem.evaluate(part.vector, rows)[2].cpu().numpy()
    scale = np.sqrt(np.maximum(np.diagonal(normal, axis1=1, axis2=2), 1e-300))
    both = scale[:, :, None] * scale[:, None, :]  # a unit diagonal: parameters of any unit
    inverse = np.linalg.inv(np.where(known, normal / both, np.eye(normal.shape[1])))
    return np.where(known, inverse / both, 0.0)


def checked_correlation(correlation: ArrayLike, bands: int) -> Tensor:
    """Autocorrelation (C, h, w) as it can be used.

    Raises
    ------
    InputError
        Its shape is another, it is not 1 at its centre or not the same at opposite offsets.
    """
    rho = np.asarray(correlation, dtype=np.float64)
    rho = rho[None] if rho.ndim == 2 else rho
    if rho.ndim != 3 or rho.shape[0] not in (1, bands) or not (rho.shape[1] % 2 and rho.shape[2] % 2):
        raise InputError(
            f"correlation has shape {np.shape(correlation)}; (h, w) or ({bands}, h, w) with odd h and w is wanted"
        )
    middle = rho[:, rho.shape[1] // 2, rho.shape[2] // 2]
    if not np.isfinite(rho).all() or not np.allclose(middle, 1.0, atol=1e-6):
        raise InputError(f"correlation is {middle.tolist()} at its centre; 1 is wanted, divide by the variance")
    if not np.allclose(rho, rho[:, ::-1, ::-1], atol=1e-6):
        raise InputError("correlation differs at opposite offsets; an autocorrelation is the same there")
    return torch.from_numpy(np.broadcast_to(rho, (bands, *rho.shape[1:])).copy())


def _scattered(part: Optimum, rho: Tensor) -> Tensor:
    """Covariance (B, P, P) of the gradient of half chi^2 under noise of correlation (C, h, w)."""
    h, w = rho.shape[-2:]
    frame = part.problem.view.grid.frame
    size = [next_fast_len(length + reach // 2, real=True) for length, reach in zip(frame, (h, w), strict=True)]
    padded = rho.new_zeros(rho.shape[0], *size)
    padded[:, :h, :w] = rho
    power = torch.fft.rfft2(torch.roll(padded, (-(h // 2), -(w // 2)), dims=(-2, -1))).real
    power = power.to(part.vector.device, torch.float32)
    found = []
    for i in range(len(part.vector)):
        one = torch.tensor([i], device=part.vector.device)
        rows = part.problem.rows(one).weighted_rows(part.vector[one])[0]  # (C, P, H, W)
        spread = torch.fft.irfft2(torch.fft.rfft2(rows, s=size) * power[:, None], s=size)
        spread = spread[..., : frame[0], : frame[1]].flatten(2)
        found.append((rows.flatten(2) @ spread.transpose(1, 2)).to(torch.float64).sum(0))
    middle = torch.stack(found)
    return 0.5 * (middle + middle.transpose(1, 2))


def _growth(before: Floats, after: Floats) -> Floats:
    """Geometric mean (B,) over the coordinates of the factor that their errors grew by."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(np.diagonal(after, axis1=1, axis2=2) / np.diagonal(before, axis1=1, axis2=2)) / 2
    known = np.isfinite(ratio)
    mean = np.where(known, ratio, 0.0).sum(1) / np.maximum(known.sum(1), 1)
    return np.where(known.any(1), np.exp(mean), np.nan)


def _without_sources(noise: Tensor, use: Tensor, *, both_sides: bool) -> tuple[Tensor, Tensor]:
    """Noise (B, C, H, W) around its median, 0 where a source is, and which pixels are left.

    Sources of cutouts are found on the image smoothed by 5 pixels, so that their faint wings are found too; what a
    fit leaves has none but neighbours.
    """
    noise = torch.where(use, noise, torch.nan)
    for smooth in (1, 5, 5):
        centre = noise.flatten(2).nanmedian(2).values[..., None, None]
        noise = noise - centre.nan_to_num(0.0)
        image = torch.nn.functional.avg_pool2d(noise.nan_to_num(0.0), smooth, 1, smooth // 2)
        image = torch.where(torch.isfinite(noise), image, torch.nan)
        width = 1.4826 * image.abs().flatten(2).nanmedian(2).values[..., None, None]
        high = image.abs() > CLIP_RESIDUALS * width if both_sides else image > CLIP * width
        grown = torch.nn.functional.max_pool2d(
            high.to(torch.float64), 5 if smooth > 1 else 1, 1, 2 if smooth > 1 else 0
        )
        noise = torch.where(grown > 0, torch.nan, noise)
    use = torch.isfinite(noise)
    count = use.sum((-2, -1), keepdim=True).clamp_min(1)
    noise = torch.where(use, noise - noise.nansum((-2, -1), keepdim=True) / count, 0.0)
    return noise, use


def _autocorrelation(image: Tensor, grid: list[int], reach: int) -> Tensor:
    """Sum (B, C, 2 reach + 1, 2 reach + 1) over pixels of the product with the one at each offset."""
    power = torch.fft.rfft2(image, s=grid).abs().square()
    sums = torch.roll(torch.fft.irfft2(power, s=grid), (reach, reach), dims=(-2, -1))
    return sums[..., : 2 * reach + 1, : 2 * reach + 1]
