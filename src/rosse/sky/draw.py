"""Draw virtual galaxies: noiseless images as an instrument sees them, and the truth that goes with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from rosse.errors import InputError, OptionError, rows_text
from rosse.light.psf import FourierGrid, fourier_grid
from rosse.sky import truth
from rosse.sky.canvas import Canvas
from rosse.sky.columns import PARTS
from rosse.sky.dust import extinction
from rosse.sky.geometry import galaxies_of
from rosse.sky.layers import Job, grouped, layers_of
from rosse.sky.masks import MASK_SHARES, masks_of
from rosse.sky.photometry import kpc_per_arcsec, part_fluxes
from rosse.sky.psf import pivot
from rosse.surveys import SURVEYS, Survey
from rosse.surveys import survey as known_survey

if TYPE_CHECKING:
    from astropy.table import Table

VALUES = {"cpu": 2**19, "cuda": 2**25}  # samples of one group of galaxies: what stays in a cache, or fills a GPU
SDSS_R = 617.7  # nm, pivot wavelength of SDSS r, in which `mag_r` is


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Noiseless images of B galaxies, and the truth that goes with them.

    Parameters
    ----------
    flux : (B, C, H, W) flux per pixel in the survey's unit, through PSF and pixel.
    parts : (B, K, C, H, W) the same of each of PARTS, which add up to `flux`; None where not asked for.
    masks : name -> (B, H, W) pixels to which a part adds notably, see `masks`; None where not asked for.
    clumps : one row per clump: row of the batch, position and flux; None where not asked for.
    halpha : (B, H, W) H-alpha flux per pixel, 1e-17 erg/s/cm2, through the PSF; None where not asked for.
    """

    flux: Tensor
    parts: Tensor | None = None
    masks: dict[str, Tensor] | None = None
    clumps: Table | None = None
    halpha: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What else `draw` is to return.

    Parameters
    ----------
    parts : an image of each part.
    masks : where each part adds notably: name -> share, see `MASK_SHARES`; True for these defaults.
    clumps : the list of clumps.
    halpha : a map of H-alpha.
    """

    parts: bool = False
    masks: bool | dict[str, float] = False
    clumps: bool = False
    halpha: bool = False

    @property
    def shares(self) -> dict[str, float]:
        """Share of the light from which a part is notable, by name; empty without masks."""
        if isinstance(self.masks, dict):
            for name in self.masks:
                if name not in MASK_SHARES:
                    raise OptionError(f"mask {name!r} is not known; there are {', '.join(MASK_SHARES)}")
            return self.masks
        return dict(MASK_SHARES) if self.masks else {}


def draw(
    table: Table,
    survey: Survey | str,
    *,
    frame: int | tuple[int, int] = 64,
    scale: float | ArrayLike | None = None,
    psf: Tensor | None = None,
    psf_oversampling: int = 1,
    centre: Tensor | None = None,
    seed: int | None = None,
    also: Truth = Truth(),
    device: str | torch.device = "cpu",
) -> Drawn:
    """Noiseless images of rows of a population.

    Parameters
    ----------
    table : B rows of `Population.table()`.
    survey : its bands and flux unit, or its name.
    frame : (H, W), or one number for both, pixels. North is up and east left.
    scale : arcsec/pixel, one number or (B,); default that of the survey.
    psf : (B or 1, C, h, w) as in `Cutouts`, holding the pixel; without it images are integrated over the pixel alone.
    psf_oversampling : samples of `psf` along one pixel.
    centre : (B, 2) x and y of each galaxy's centre, pixels; default ``(W // 2, H // 2)``.
    seed : of the population; default what the table's meta say.
    also : what else is wanted.
    device : where to compute; the results stay there.

    Notes
    -----
    Dust reddens and reshapes a galaxy and leaves its flux in SDSS r, all parts together: `mag_r` is what is seen.
    """
    known = known_survey(survey)
    frame = (frame, frame) if isinstance(frame, int) else frame
    job = _job(table, known, scale=scale, seed=_seed(table, seed), device=device)
    places = _centres(centre, len(job.galaxies), frame, device)
    if psf is not None:
        _check_psf(psf, len(places), len(known.bands))
    grid = fourier_grid(frame, psf, bands=len(known.bands), oversampling=psf_oversampling, device=device)
    grid = replace(grid, widest=True)  # parts share one grid, whose copies are then summed as finely as need be
    job = replace(job, centre=places)
    parts = _parts(job, grid) if also.parts else None
    return Drawn(
        flux=_images(job, grid) if parts is None else parts.sum(1),
        parts=parts,
        masks=_masks(job, grid, parts, also.shares) if also.masks else None,
        clumps=truth.clump_table(job, known.bands) if also.clumps else None,
        halpha=_halpha(job, grid, table) if also.halpha else None,
    )


def _job(
    table: Table, survey: Survey, *, scale: float | ArrayLike | None, seed: int, device: str | torch.device
) -> Job:
    z = np.nan_to_num(np.asarray(table["z"], dtype=float), nan=0.0).clip(0)
    pixel = np.broadcast_to(np.asarray(survey.scale if scale is None else scale, dtype=float), z.shape)
    if not (pixel > 0).all():
        raise InputError("scale must be positive, arcsec/pixel")
    galaxies = galaxies_of(table, 1 / (kpc_per_arcsec(z) * pixel), seed=seed, device=device)
    waves = torch.tensor([pivot(survey, band) for band in survey.bands], dtype=torch.float64)
    stretch = torch.as_tensor(1 + z)[:, None]
    reference = part_fluxes(table, SURVEYS["sdss"].select(("r",)))[..., 0]
    return Job(
        galaxies=galaxies,
        fluxes=torch.as_tensor(part_fluxes(table, survey), device=device),
        reference=torch.as_tensor(reference, device=device),
        extinction=extinction(waves / stretch).to(device, torch.float32),
        reference_extinction=extinction(SDSS_R / stretch[:, 0]).to(device, torch.float32),
        waves=tuple(waves.tolist()),
        centre=torch.zeros(len(z), 2, dtype=torch.float64, device=device),
    )


def _images(job: Job, grid: FourierGrid) -> Tensor:
    """(B, C, H, W) of all parts together."""
    bands = job.fluxes.shape[2]
    out = torch.empty(len(job.galaxies), bands, *grid.frame, device=grid.ky.device)
    for index, canvas, group in _groups(job, grid):
        layers = layers_of(group, canvas)
        out[index] = canvas.compose(layers, len(index))
    return out


def _parts(job: Job, grid: FourierGrid) -> Tensor:
    """(B, K, C, H, W) of each part."""
    bands = job.fluxes.shape[2]
    out = torch.zeros(len(job.galaxies), len(PARTS), bands, *grid.frame, device=grid.ky.device)
    for index, canvas, group in _groups(job, grid):
        layers = layers_of(group, canvas)
        for part in range(len(PARTS)):
            own = [layer for layer in layers if layer.part == part]
            if own:
                out[index, part] = canvas.compose(own, len(index))
    return out


def _groups(job: Job, grid: FourierGrid) -> Iterator[tuple[Tensor, Canvas, Job]]:
    """Galaxies that are drawn together: those of like structure, as many as stay in the cache."""
    canvas = Canvas(grid=grid)
    samples = canvas.shape[0] * canvas.shape[1]
    most = max(1, VALUES.get(torch.device(grid.ky.device).type, 2**19) // samples)
    return ((index, Canvas(grid=grid.rows(index)), some) for index, some in grouped(job, most))


def _masks(job: Job, grid: FourierGrid, parts: Tensor | None, shares: dict[str, float]) -> dict[str, Tensor]:
    """Masks from the images of the parts in the band nearest to SDSS r."""
    band = job.nearest(SDSS_R)
    if parts is None:
        one = slice(band, band + 1)
        return masks_of(_parts(job.bands(one), grid.bands(one))[:, :, 0], shares)
    return masks_of(parts[:, :, band], shares)


def _halpha(job: Job, grid: FourierGrid, table: Table) -> Tensor:
    """(B, H, W) of H-alpha, through the PSF of the band nearest to the line at rest: one band for all galaxies."""
    band = job.nearest(truth.HALPHA)
    return _images(truth.halpha_job(job, table, band), grid.bands(slice(band, band + 1)))[:, 0]


def _seed(table: Table, seed: int | None) -> int:
    if seed is not None:
        return seed
    if "seed" not in table.meta:
        raise OptionError("the table does not say which seed its population has (meta['seed']); give it as seed=...")
    return int(table.meta["seed"])


def _centres(centre: Tensor | None, count: int, frame: tuple[int, int], device: str | torch.device) -> Tensor:
    if centre is None:
        centre = torch.tensor([[frame[1] // 2, frame[0] // 2]], dtype=torch.float64).expand(count, 2)
    if centre.shape != (count, 2) or not bool(torch.isfinite(centre).all()):
        raise InputError(f"centre has shape {tuple(centre.shape)}; finite x and y, ({count}, 2), are wanted")
    centre = centre.to(device, torch.float64)
    x, y = centre.T
    outside = (x < -0.5) | (x > frame[1] - 0.5) | (y < -0.5) | (y > frame[0] - 0.5)
    if bool(outside.any()):
        raise InputError(f"centre is outside of the frame of {frame}, {rows_text(outside.nonzero()[:, 0].tolist())}")
    return centre


def _check_psf(psf: Tensor, count: int, bands: int) -> None:
    if psf.ndim != 4 or psf.shape[0] not in (1, count) or psf.shape[1] != bands:
        raise InputError(f"psf has shape {tuple(psf.shape)}; ({count} or 1, {bands}, h, w) is wanted")
