"""Dithered single exposures of a field, each with its own place, seeing, sky and noise, as a coadd is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from rosse.errors import OptionError
from rosse.sky import chance
from rosse.sky.fields import Pointing
from rosse.sky.mosaic import Field, FieldView, mosaic
from rosse.sky.psf import survey_psf
from rosse.surveys import Survey
from rosse.surveys import survey as known_survey

if TYPE_CHECKING:
    from astropy.table import Table


SEEDS = 1_000_003  # exposures of one seed keep apart from those of the next


@dataclass(frozen=True, kw_only=True)
class Dither:
    """How exposures differ.

    Parameters
    ----------
    count : number of exposures.
    shift : largest shift along either axis, arcsec; shifts are no whole pixels.
    rotation : largest turn, degrees.
    seeing : standard deviation of the logarithm of the PSF's width.
    sky : the same of the sky's brightness.
    """

    count: int = 4
    shift: float = 3.0
    rotation: float = 0.0
    seeing: float = 0.1
    sky: float = 0.2

    def __post_init__(self) -> None:
        whole = isinstance(self.count, int) and self.count >= 1
        if not whole or not all(0 <= value < math.inf for value in (self.shift, self.rotation, self.seeing, self.sky)):
            raise OptionError(f"{self} came; at least one exposure and finite numbers from 0 on are wanted")


def expose_dithered(
    table: Table,
    pointing: Pointing,
    survey: Survey | str = "lsst",
    *,
    seed: int = 0,
    dither: Dither | None = None,
    view: FieldView | None = None,
) -> tuple[Field, ...]:
    """Single exposures of a field. All of them together have the survey's depth.

    Parameters
    ----------
    table : rows of a population with `ra` and `dec` (`rosse.sky.fields.populate`).
    pointing : the middle of the exposures' places.
    survey : who looks. Its depth and gain are those of the coadd: an exposure has its share of the photons.
    seed : of shifts, PSFs, sky and noise.
    dither : how exposures differ.
    view : as in `rosse.sky.mosaic.mosaic`.
    """
    dither, view = dither or Dither(), view or FieldView()
    coadd = known_survey(survey)
    coadd = coadd.select(tuple(view.bands) or coadd.bands)
    single = single_exposure(coadd, dither.count)
    psf = view.psf or survey_psf(coadd)
    out = []
    for number in range(dither.count):
        place, wider, brighter = _conditions(seed, number, pointing, dither, coadd)
        fwhm = tuple(width * factor for width, factor in zip(psf.fwhm, wider, strict=True))
        seen = replace(view, psf=replace(psf, fwhm=fwhm), sky=brighter)
        # the depth is that of the typical seeing: `noise_level` would make a night of bad seeing a darker one
        known = replace(single, depth=_same_sky(single, wider))
        out.append(mosaic(table, place, known, seed=seed * SEEDS + number, view=seen))
    return tuple(out)


def single_exposure(survey: Survey, count: int) -> Survey:
    """The survey of one of `count` equal exposures: less deep by ``1.25 log10(count)`` mag, with less gain."""
    return replace(
        survey,
        depth=tuple(depth - 1.25 * math.log10(count) for depth in survey.depth),
        gain=tuple(gain / count for gain in survey.gain),
    )


def _same_sky(survey: Survey, wider: tuple[float, ...]) -> tuple[float, ...]:
    """Depths with which a star spread over ``wider^2`` times the area has the same sky."""
    return tuple(depth - 2.5 * math.log10(factor) for depth, factor in zip(survey.depth, wider, strict=True))


def _conditions(
    seed: int, number: int, pointing: Pointing, dither: Dither, survey: Survey
) -> tuple[Pointing, tuple[float, ...], tuple[float, ...]]:
    """Place, factors of the PSF's width, and of the sky's brightness, of one exposure."""
    row = torch.tensor([number])
    x, y, turn = (2 * chance.uniform(seed, row, "dither", (3,))[0] - 1).tolist()
    night = chance.normal(seed, row, "night", (2, len(survey.bands)))[0].clamp(-3, 3)
    centre = pointing.wcs().pixel_to_world_values(
        (pointing.shape[1] - 1) / 2 + x * dither.shift / pointing.scale,
        (pointing.shape[0] - 1) / 2 + y * dither.shift / pointing.scale,
    )
    place = replace(
        pointing,
        centre=(float(np.asarray(centre[0])), float(np.asarray(centre[1]))),
        rotation=pointing.rotation + turn * dither.rotation,
    )
    wider, brighter = torch.exp(dither.seeing * night[0]), torch.exp(dither.sky * night[1])
    return place, tuple(wider.tolist()), tuple(brighter.tolist())
