"""Where things stand on the sky: how many there are, their places, and the images that are pointed at them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from rosse.errors import InputError, OptionError
from rosse.sky import chance
from rosse.sky.columns import TYPES
from rosse.sky.population import Population, type_table
from rosse.sky.selection import select

if TYPE_CHECKING:
    from astropy.table import Table
    from astropy.wcs import WCS

Array = NDArray[np.float64]

COLOUR = 0.4  # r - i of a typical faint galaxy
# Stars per deg^2 brighter than r = 20 at a galactic pole, and dex per mag (Bahcall & Soneira 1980, Table 1, V = 20).
STARS, STAR_SLOPE, STARS_TO = 2000.0, 0.2, 20.0


@dataclass(frozen=True, kw_only=True)
class Pointing:
    """An image's place on the sky, in the tangential projection (TAN of Calabretta & Greisen 2002).

    Parameters
    ----------
    centre : (ra, dec) degrees, at the middle of the image.
    shape : (H, W) pixels.
    scale : arcsec/pixel.
    rotation : from the image's +y axis to north, degrees, counter-clockwise; east is left of north.
    """

    centre: tuple[float, float] = (150.1, 2.2)
    shape: tuple[int, int] = (1000, 1000)
    scale: float = 0.2
    rotation: float = 0.0

    def __post_init__(self) -> None:
        pairs = all(isinstance(pair, tuple) and len(pair) == 2 for pair in (self.shape, self.centre))
        whole = pairs and all(isinstance(side, int | np.integer) and side >= 16 for side in self.shape)
        numbers = whole and all(math.isfinite(value) for value in (*self.centre, self.scale, self.rotation))
        if not numbers or not self.scale > 0 or not abs(self.centre[1]) <= 90:
            raise OptionError(
                f"an image of {self.shape} pixels of {self.scale} arcsec at {self.centre}, turned by {self.rotation}, "
                "came; (height, width) of 16 pixels or more, a positive scale, (ra, dec) with a declination "
                "within 90 degrees and a finite rotation are wanted"
            )

    @property
    def area(self) -> float:
        """Solid angle, deg^2."""
        return self.shape[0] * self.shape[1] * (self.scale / 3600) ** 2

    def wcs(self) -> WCS:
        """World coordinates."""
        from astropy.wcs import WCS

        wcs = WCS(naxis=2)
        step, angle = self.scale / 3600, math.radians(self.rotation)
        wcs.wcs.crpix = [(self.shape[1] + 1) / 2, (self.shape[0] + 1) / 2]
        wcs.wcs.crval = list(self.centre)
        wcs.wcs.cd = step * np.array([[-math.cos(angle), -math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.cunit = ["deg", "deg"]
        wcs.array_shape = self.shape
        wcs.wcs.set()
        return wcs

    def pixels(self, table: Table) -> tuple[Array, Array]:
        """Places x, y (B,) of rows with `ra` and `dec`, 0 at the centre of the first pixel."""
        x, y = self.wcs().world_to_pixel_values(np.asarray(table["ra"], float), np.asarray(table["dec"], float))
        return np.asarray(x, dtype=float), np.asarray(y, dtype=float)


def galaxies_per_square_degree(limit: float) -> float:
    """How many galaxies brighter than `limit`, SDSS r, there are.

    ``log10 N`` rises by 0.6 per mag, as in Euclidean space, to the 92 at 17.77 of the SDSS main galaxy sample
    (Strauss+2002, doi:10.1086/342343), from there on a straight line to the 5.4 per arcmin^2 at i = 22, and beyond
    that as ``46 * 10^(0.31 (i - 25))`` per arcmin^2 (LSST Science Book, arXiv:0912.0201, eq. 3.7), with r - i = 0.4.
    """
    magnitude, deep = 17.77, 22.0 + COLOUR
    known = np.log10([92.0, 46 * 10 ** (0.31 * (22.0 - 25)) * 3600])
    if limit < magnitude:
        return float(10 ** (known[0] + 0.6 * (limit - magnitude)))
    if limit < deep:
        return float(10 ** np.interp(limit, [magnitude, deep], known))
    return float(10 ** (known[1] + 0.31 * (limit - deep)))


def stars_per_square_degree(limit: float) -> float:
    """How many stars brighter than `limit` there are at a galactic pole."""
    return float(STARS * 10 ** (STAR_SLOPE * (limit - STARS_TO)))


def populate(kind: Population, pointing: Pointing, *, stars: float | None = None, margin: float = 10.0) -> Table:
    """Rows of a population with places around a pointing, as many as the sky holds.

    Parameters
    ----------
    kind : limit, ranges, mix and seed; its number of rows counts where it is not 0. A faint limit wants a wide range
        of redshifts.
    pointing : the image.
    stars : per deg^2; default: those of a galactic pole, to the population's limit.
    margin : arcsec around the image, whose galaxies reach into it.

    Returns
    -------
    Table
        Of the population, with `ra` and `dec`, independently and uniformly distributed. ``meta["seed"]`` is that of
        the population.
    """
    from astropy.table import vstack

    half = tuple(side * pointing.scale / 7200 + margin / 3600 for side in pointing.shape)
    area = 4 * half[0] * half[1]
    density = stars_per_square_degree(kind.limit) if stars is None else stars
    number = kind.n or _count(kind.seed, "galaxies", galaxies_per_square_degree(kind.limit) * area)
    tables = [replace(kind, n=number, mix=galaxies_only(kind)).table()]
    others = _count(kind.seed, "stars", density * area)
    if others:
        tables.append(replace(kind, n=others, start=kind.start + number, mix={"star": 1.0}).table())
    table = vstack(tables, metadata_conflicts="silent")
    table.meta["seed"] = kind.seed
    return _placed(table, pointing, half)


def galaxies_only(kind: Population) -> dict[str, float]:
    """Shares of the types without stars, which have counts of their own, and without spoiled cutouts."""
    shares = kind.mix
    if shares is None:
        natural = type_table(kind, select(kind.limit, kind.redshift, kind.log_mass))[1]
        shares = dict(zip(TYPES, natural.tolist(), strict=True))
    galaxies = {name: share for name, share in shares.items() if name not in ("star", "artefact") and share > 0}
    if not galaxies:
        raise OptionError(
            f"types {', '.join(shares)} came for a field; at least one type of galaxies is wanted: its stars have "
            "counts of their own, and only cutouts are spoiled"
        )
    return galaxies


def _count(seed: int, what: str, mean: float) -> int:
    """A Poisson number."""
    from scipy.stats import poisson

    number = float(chance.uniform(seed, torch.zeros(1, dtype=torch.int64), f"number of {what}"))
    return int(poisson.ppf(number, mean)) if mean > 0 else 0


def _placed(table: Table, pointing: Pointing, half: tuple[float, ...]) -> Table:
    from astropy.table import Column

    seed = int(table.meta["seed"])
    rows = torch.as_tensor(np.asarray(table["id"], dtype=np.int64))
    number = 2 * chance.uniform(seed, rows, "field place", (2,)).numpy() - 1
    x = number[:, 0] * half[1] * 3600 / pointing.scale + (pointing.shape[1] - 1) / 2
    y = number[:, 1] * half[0] * 3600 / pointing.scale + (pointing.shape[0] - 1) / 2
    ra, dec = pointing.wcs().pixel_to_world_values(x, y)
    table["ra"] = Column(ra, unit="deg", description="right ascension")
    table["dec"] = Column(dec, unit="deg", description="declination")
    return table


def turned(table: Table, angle: Array | float) -> Table:
    """Galaxies turned counter-clockwise on the sky, degrees: what an image shows whose +y axis is not north.

    Position angles count from north to east, counter-clockwise in an image with east left of north. They run to 360
    degrees here: half a turn makes another galaxy of one whose sides differ by arms, dust or shells.
    """
    out = table.copy()
    turn = np.broadcast_to(np.asarray(angle, dtype=float), (len(table),))
    for name in ("pa", "companion_pa"):
        out[name] = (np.asarray(table[name], dtype=float) + turn) % 360.0
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    x, y = (np.asarray(table[name], dtype=float) for name in ("companion_x", "companion_y"))
    out["companion_x"], out["companion_y"] = c * x - s * y, s * x + c * y
    for name in ("pa", "companion_pa", "companion_x", "companion_y"):
        out[name].unit, out[name].description = table[name].unit, table[name].description
    return out


def check_places(table: Table) -> None:
    """Raise where rows have no place on the sky."""
    missing = [name for name in ("ra", "dec") if name not in table.colnames]
    if missing:
        raise InputError(f"the table lacks {' and '.join(missing)}; populate() gives places, or set them yourself")
