"""A population as a survey sees it: images with known truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from rosse.cutouts import Cutouts, stack_cutouts
from rosse.errors import InputError, OptionError
from rosse.sky import chance
from rosse.sky.artefacts import add_stray_light, affected, spoil
from rosse.sky.draw import Drawn, Truth, draw
from rosse.sky.noise import Level, Noise, correlate, deviations, few_electrons, noise_level, variance
from rosse.sky.population import Population
from rosse.sky.psf import Psf, PsfScatter, psf_stamps, survey_psf
from rosse.surveys import Survey
from rosse.surveys import survey as known_survey

if TYPE_CHECKING:
    from astropy.table import Table

Key = tuple[int, Tensor, str]
BATCH = 256  # galaxies at a time: enough that those of like structure are drawn together
FEWEST = 32  # that are worth a thread of their own
IN_CACHE = 2**17  # pixels that get their noise at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """How a survey looks at a population.

    Parameters
    ----------
    bands : of the survey; empty: all of them.
    frame : (H, W) pixels, or one number for both.
    size : arcsec, instead of `frame`: the same patch of sky in every survey, whatever its pixels.
    scale : arcsec/pixel; None: the survey's. A depth belongs to a star, so the noise per pixel follows.
    psf : typical PSF; None: the survey's (`survey_psf`).
    scatter : how PSFs differ from galaxy to galaxy; None: all have the typical one.
    noise : what spoils the images; None: nothing, and the errors are those that there would have been.
    artefacts : whether trails, ghosts, bleeding stars and wrong sizes are put where the population says so.
    also : what else is wanted of the noiseless galaxies: parts, masks, clumps.
    device : where to compute, and where the images stay.
    """

    bands: tuple[str, ...] = ()
    frame: int | tuple[int, int] = 64
    size: float | None = None
    scale: float | None = None
    psf: Psf | None = None
    scatter: PsfScatter | None = None
    noise: Noise | None = field(default_factory=Noise)
    artefacts: bool = True
    also: Truth = field(default_factory=Truth)
    device: str = "cpu"

    def __post_init__(self) -> None:
        sides = self.frame if isinstance(self.frame, tuple) else (self.frame, self.frame)
        whole = all(isinstance(side, int | np.integer) for side in sides)
        if len(sides) != 2 or not whole or min(sides) < 4:
            raise OptionError(f"frame is {self.frame!r}; two sides of 4 pixels or more are wanted")
        for name in ("size", "scale"):
            value = getattr(self, name)
            number = isinstance(value, int | float | np.integer | np.floating)
            if value is not None and not (number and 0 < value < np.inf):
                raise OptionError(f"{name} is {value!r}; a positive number is wanted")

    def survey(self, seen_by: Survey | str) -> Survey:
        """The survey with these bands and this scale."""
        known = known_survey(seen_by)
        known = known.select(tuple(self.bands)) if self.bands else known
        return known if self.scale is None else replace(known, scale=self.scale)

    def pixels(self, seen_by: Survey) -> tuple[int, int]:
        """Height and width of the frame."""
        if self.size is not None:
            side = max(4, round(self.size / seen_by.scale))
            return side, side
        return self.frame if isinstance(self.frame, tuple) else (self.frame, self.frame)


@dataclass(frozen=True, kw_only=True, eq=False)
class Observation:
    """What a survey saw of a population, and the truth.

    Parameters
    ----------
    cutouts : B images with noise. `ivar` is the inverse of each pixel's true variance: sky, read-out and the photons
        of the galaxy, which surveys estimate from their own pixels.
    truth : B rows of the population with the columns `ra` and `dec`.
    drawn : the noiseless galaxies, without artefacts.
    survey : bands and scale as used.
    noise_correlation : variance of a large aperture over the sum of its pixels' variances; 1 without a kernel.
    """

    cutouts: Cutouts
    truth: Table
    drawn: Drawn
    survey: Survey
    noise_correlation: float = 1.0

    def __len__(self) -> int:
        return len(self.cutouts)

    def __repr__(self) -> str:
        return f"Observation by {self.survey.name} of {self.cutouts!r}"


def observe(
    population: Population,
    survey: Survey | str = "lsst",
    *,
    seed: int | None = None,
    bands: tuple[str, ...] = (),
    frame: int | tuple[int, int] = 64,
    scale: float | None = None,
    noise: bool = True,
    view: View | None = None,
) -> Observation:
    """Images of a population as a survey would take them, with the truth.

    The same rows seen by two surveys are aligned: the same galaxies, centres and orientations (north up, east left),
    each with the survey's pixels, PSF, depth and noise. A row's image depends on the seeds, the survey and the row,
    never on its neighbours.

    Parameters
    ----------
    population : what there is to see.
    survey : who looks: a name of `SURVEYS`, or a `Survey` of your own.
    seed : of noise, PSFs and artefacts; default: the population's.
    bands, frame, scale : as in `View`.
    noise : False leaves it out.
    view : all of these options and more in one, instead.

    Examples
    --------
    >>> import rosse
    >>> sky = rosse.observe(rosse.Population(4, seed=1), survey="lsst", bands=("g", "r", "i"))
    >>> sky.cutouts
    Cutouts of 4 galaxies in bands g, r, i: 64 x 64 pixels, PSF of 39 pixels
    """
    plain = View(bands=tuple(bands), frame=frame, scale=scale, noise=Noise() if noise else None)
    if view is not None and (bands or frame != 64 or scale is not None or not noise):
        raise OptionError("bands, frame, scale and noise are part of the view; give them there")
    if not isinstance(population, Population):
        raise InputError(
            f"a {type(population).__name__} came; observe wants a Population, not its table: for rows of your own see "
            "rosse.sky.draw.draw"
        )
    if not len(population):
        raise InputError("a population of no rows cannot be observed")
    telescope = Telescope.of(survey, view or plain)
    key = population.seed if seed is None else seed

    def look(rows: Population) -> Observation:
        return telescope.look(rows.table(), drawn_with=population.seed, seed=key)

    share = -(-len(population) // torch.get_num_threads())
    return _stacked(_side_by_side(look, list(_batches(population, min(max(share, FEWEST), BATCH)))))


def observe_in_batches(
    population: Population,
    survey: Survey | str = "lsst",
    *,
    seed: int | None = None,
    view: View | None = None,
    batch: int = BATCH,
) -> Iterator[Observation]:
    """The same as `observe`, batch by batch: memory does not grow with the population.

    Parameters
    ----------
    population, survey, seed : as in `observe`.
    view : how to look; default `View()`.
    batch : rows at a time.
    """
    view = view or View()
    telescope = Telescope.of(survey, view)
    key = population.seed if seed is None else seed
    for rows in _batches(population, batch):
        yield telescope.look(rows.table(), drawn_with=population.seed, seed=key)


def _batches(population: Population, batch: int) -> Iterator[Population]:
    for first in range(0, len(population), batch):
        yield population.rows(first, min(first + batch, len(population)))


def _side_by_side(look: Callable[[Population], Observation], batches: list[Population]) -> list[Observation]:
    """Look at all batches, one on each of torch's threads: quicker than each of them on all cores."""
    threads = min(torch.get_num_threads(), len(batches))
    if threads <= 1:
        return [look(batch) for batch in batches]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(look, batches))
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, kw_only=True, eq=False)
class Telescope:
    """A survey, made ready to look: what does not depend on the galaxies.

    Parameters
    ----------
    survey : bands and scale as used.
    view : how to look.
    psf : of the survey.
    oversampling : pixels of a PSF stamp along one of the image.
    typical : (1, C, h, w) stamp of the typical PSF.
    level : noise of an empty pixel.
    """

    survey: Survey
    view: View
    psf: Psf
    oversampling: int
    typical: Tensor
    level: Level

    @classmethod
    def of(cls, seen_by: Survey | str, view: View) -> Telescope:
        """Telescope of a survey."""
        known = view.survey(seen_by)
        psf = view.psf or survey_psf(known)
        if len(psf.fwhm) != len(known.bands):
            raise OptionError(f"the PSF has {len(psf.fwhm)} widths for {len(known.bands)} bands")
        count = psf.oversampling(known.scale)
        stamp = psf_stamps(psf, known.scale, oversampling=count, device=view.device)
        level = noise_level(known, stamp, noise=view.noise or Noise(), oversampling=count)
        return cls(survey=known, view=view, psf=psf, oversampling=count, typical=stamp, level=level)

    def stamps(self, seed: int, rows: Tensor, *, far: bool = False) -> Tensor:
        """PSF (B or 1, C, h, w) of each row; `far` with the wings that bright stars show."""
        scatter = self.view.scatter
        if scatter is None and not far:
            return self.typical
        width, shear = (None, None) if scatter is None else scatter.draw(seed, rows, self.survey)
        return psf_stamps(
            self.psf, self.survey.scale, width=width, shear=shear, oversampling=self.oversampling, far=far,
            device=self.view.device,
        )  # fmt: skip

    def draw(self, truth: Table, psf: Tensor, *, drawn_with: int) -> Drawn:
        """Noiseless images of rows."""
        return draw(
            truth, self.survey, frame=self.view.pixels(self.survey), psf=psf, psf_oversampling=self.oversampling,
            seed=drawn_with, also=self.view.also, device=self.view.device,
        )  # fmt: skip

    def look(self, truth: Table, *, drawn_with: int, seed: int) -> Observation:
        """Images of the rows of a population's table.

        Parameters
        ----------
        truth : B rows.
        drawn_with : seed of the population.
        seed : of noise, PSFs and artefacts.
        """
        rows = torch.as_tensor(np.asarray(truth["id"], dtype=np.int64), device=self.view.device)
        psf = self.stamps(seed, rows)
        drawn = self.draw(truth, psf, drawn_with=drawn_with)
        stars = np.flatnonzero(np.asarray(truth["kind"]) == "star")
        if len(stars):
            wings = self.stamps(seed, rows[torch.as_tensor(stars, device=rows.device)], far=True)
            drawn.flux[stars] = self.draw(truth[stars], wings, drawn_with=drawn_with).flux
        light = self._with_stray_light(drawn.flux, truth, seed)
        flux, ivar = self._exposed(light, seed, rows)
        truth = with_places(truth, drawn_with, rows.cpu())
        cutouts = self._cutouts(flux, ivar, psf, truth)
        if self.view.artefacts:
            cutouts = spoil(cutouts, truth, seed=seed, sigma=self.level.sigma)
        noise = self.view.noise
        return Observation(
            cutouts=cutouts, truth=truth, drawn=drawn, survey=self.survey,
            noise_correlation=1.0 if noise is None else noise.correlation,
        )  # fmt: skip

    def _exposed(self, light: Tensor, seed: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """As `expose`, on a processor some rows at a time: all of them are too many for its cache."""
        size = len(rows) if light.device.type != "cpu" else max(1, IN_CACHE // light[0].numel())
        parts = [
            expose(some, self.level, self.view.noise, (seed, names, self.survey.name))
            for some, names in zip(torch.split(light, size), torch.split(rows, size), strict=True)
        ]
        flux, ivar = (torch.cat(each) for each in zip(*parts, strict=True))
        return flux, ivar

    def _with_stray_light(self, flux: Tensor, truth: Table, seed: int) -> Tensor:
        if not self.view.artefacts or len(affected(truth, "none")) == len(truth):
            return flux
        fwhm = tuple(width / self.survey.scale for width in self.psf.fwhm)
        return add_stray_light(flux, truth, seed=seed, sigma=self.level.sigma, fwhm=fwhm)

    def _cutouts(self, flux: Tensor, ivar: Tensor, psf: Tensor, truth: Table) -> Cutouts:
        return Cutouts(
            flux=flux, ivar=ivar, psf=psf, psf_oversampling=self.oversampling,
            scale=torch.full((len(flux),), self.survey.scale, dtype=torch.float64, device=flux.device),
            zeropoint=torch.tensor(self.survey.zeropoint, dtype=torch.float64, device=flux.device),
            bands=self.survey.bands, id=np.asarray(truth["id"]).astype(str), ra=np.asarray(truth["ra"]),
            dec=np.asarray(truth["dec"]),
        )  # fmt: skip


def expose(flux: Tensor, level: Level, noise: Noise | None, key: Key) -> tuple[Tensor, Tensor]:
    """Images with noise, and the inverse of their pixels' variance, (B, C, H, W) each.

    Parameters
    ----------
    flux : (B, C, H, W) noiseless.
    level : of an empty pixel.
    noise : None leaves it out; the inverse variance is the same.
    key : seed, (B,) numbers of the rows and name of the survey, on which the noise depends.
    """
    kernel = None if noise is None else noise.kernel
    if kernel is None:
        spread = variance(flux, level)
        return (flux if noise is None else flux + _noise(flux, level, key)), spread.reciprocal_()
    edge = tuple(side // 2 for side in kernel.shape)
    wide = torch.nn.functional.pad(flux, (edge[1], edge[1], edge[0], edge[0]), mode="replicate")
    spread = correlate(variance(wide, level), kernel.square())
    return flux + correlate(_noise(wide, level, key), kernel), spread.reciprocal_()


def _noise(flux: Tensor, level: Level, key: Key) -> Tensor:
    seed, rows, name = key
    shape = tuple(flux.shape[1:])
    read = chance.noise(seed, rows, f"read noise {name}", shape) if bool(few_electrons(flux, level).any()) else None
    return deviations(flux, level, normal=chance.noise(seed, rows, f"noise {name}", shape), read=read)


def with_places(truth: Table, seed: int, rows: Tensor) -> Table:
    """The table with a place on the sky for each row, uniform on the sphere; those that have one keep it."""
    from astropy.table import Column

    if "ra" in truth.colnames and "dec" in truth.colnames:
        return truth
    number = chance.uniform(seed, rows, "place", (2,)).numpy()
    out = truth.copy(copy_data=False)
    dec = np.degrees(np.arcsin(2 * number[:, 1] - 1))
    out["ra"] = Column(360 * number[:, 0], unit="deg", description="right ascension, uniform on the sphere")
    out["dec"] = Column(dec, unit="deg", description="declination, uniform on the sphere")
    return out


def _stacked(parts: list[Observation]) -> Observation:
    """One observation of several."""
    if len(parts) == 1:
        return parts[0]
    from astropy.table import vstack

    cutouts = stack_cutouts([part.cutouts for part in parts])
    return replace(
        parts[0], cutouts=cutouts, truth=vstack([part.truth for part in parts], metadata_conflicts="silent"),
        drawn=_joined([part.drawn for part in parts]),
    )  # fmt: skip


def _joined(parts: list[Drawn]) -> Drawn:
    def join(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else torch.cat(values)

    masks = parts[0].masks
    return Drawn(
        flux=join("flux"), parts=join("parts"), halpha=join("halpha"), clumps=_clumps(parts),
        masks=None if masks is None else {name: torch.cat([(p.masks or {})[name] for p in parts]) for name in masks},
    )  # fmt: skip


def _clumps(parts: list[Drawn]) -> Table | None:
    """The lists of clumps in one, with rows of the whole batch."""
    from astropy.table import vstack

    tables, first = [], 0
    for part in parts:
        if part.clumps is None:
            return None
        table = part.clumps.copy()
        table["galaxy"] += first
        tables.append(table)
        first += len(part.flux)
    return vstack(tables)
