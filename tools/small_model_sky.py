"""Pictures of virtual galaxies with votes, of several surveys, from which `tools/train_small_model.py` learns.

Each galaxy is drawn with its survey's PSF, depth and neighbours, becomes a colour picture as `rosse.nets.colours` makes
it, and is varied by what a picture's maker may choose: framing, stretch, black level, strength of colours, JPEG.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from astropy.table import Table
from PIL import Image

import rosse
from rosse.cutouts import Cutouts
from rosse.nets.colours import Stretch, colour_pictures
from rosse.sky.draw import Truth
from rosse.sky.fields import galaxies_per_square_degree, stars_per_square_degree
from rosse.sky.observe import Observation, Telescope, View
from rosse.sky.photometry import kpc_per_arcsec
from rosse.sky.sight import FEATURES, sight

SIDE = 64
VOTERS = 40
ROWS = 1024  # galaxies of a file
FRAMES = (40, 64, 88)  # pixels
MOST = FRAMES[-1]  # larger galaxies are drawn on coarser pixels
STEP = 1.5  # ratio of two such pixel scales
REACH = 2.4  # Petrosian R90 from the centre to the border of a frame
POOL = 48  # neighbours of each kind
FAINTER = 4  # magnitudes, than the limit of a sample, to which there are neighbours
LINEAR = ("t_type", "bulge_light", "inclination", "bar", "pitch", "flocculence", "axis_ratio")
TARGETS = (*FEATURES, "uneven", *LINEAR)  # what a network is taught beside votes, see `targets`


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Galaxies of one survey.

    Parameters
    ----------
    survey, bands : who looks.
    limit, redshift : of the population.
    share : of all files.
    """

    survey: str
    bands: tuple[str, ...]
    limit: float
    redshift: tuple[float, float]
    share: int


SAMPLES = (
    Sample(survey="sdss", bands=("g", "r", "i"), limit=17.77, redshift=(0.01, 0.25), share=3),
    Sample(survey="decals", bands=("g", "r", "z"), limit=17.77, redshift=(0.01, 0.25), share=3),
    Sample(survey="sdss", bands=("g", "r", "i"), limit=15.5, redshift=(0.001, 0.05), share=2),
    Sample(survey="hsc", bands=("g", "r", "i"), limit=20.5, redshift=(0.02, 0.8), share=1),
    Sample(survey="lsst", bands=("g", "r", "i"), limit=20.5, redshift=(0.02, 0.8), share=1),
)
CYCLE = [number for number, sample in enumerate(SAMPLES) for _ in range(sample.share)]


def made(work: Path, number: int) -> Path:
    """File of a number; it is drawn unless it is there."""
    path = work / f"part-{number:04d}.npz"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        found = part(SAMPLES[CYCLE[number % len(CYCLE)]], seed=7000 + number)
        scratch = path.with_suffix(".tmp")
        with open(scratch, "wb") as file:
            np.savez(file, **found)
        scratch.rename(path)
    return path


def part(sample: Sample, *, seed: int) -> dict[str, np.ndarray]:
    """Pictures, votes and targets of `ROWS` galaxies."""
    rng = np.random.default_rng(seed)
    table = chosen(rosse.Population(6 * ROWS, seed=seed, limit=sample.limit, redshift=sample.redshift).table(), rng)
    survey = rosse.SURVEYS[sample.survey].select(sample.bands)
    reach = REACH * r90(table, survey.psf_fwhm[1])
    step = np.ceil(np.log(np.maximum(2 * reach / MOST / survey.scale, 1)) / np.log(STEP)).astype(int)
    frame = np.array(FRAMES)[np.searchsorted(FRAMES, np.minimum(2 * reach / (survey.scale * STEP**step), MOST))]
    groups = np.unique(np.stack([step, frame], 1), axis=0)
    rows, found = [], []
    for which, side in groups.tolist():
        here = np.flatnonzero((step == which) & (frame == side))
        for some in np.array_split(here, -(-len(here) // 128)):
            rows.append(some)
            found.append(group(sample, table[some], (survey.scale * STEP**which, side), seed, rng))
    back = np.argsort(np.concatenate(rows))
    return {name: np.concatenate([each[name] for each in found])[back] for name in found[0]}


def chosen(table: Table, rng: np.random.Generator) -> Table:
    """Half as they are, half with as many of each type: bars, rings and mergers are rare."""
    kind = np.asarray(table["type"])
    number = {name: (kind == name).sum() for name in np.unique(kind)}
    even = np.array([0.0 if name in ("star", "artefact") else 1 / number[name] for name in kind])
    weight = 0.5 / len(table) + 0.5 * even / even.sum()
    rows = rng.choice(len(table), ROWS, replace=False, p=weight / weight.sum())
    return table[np.sort(rows)]


def r90(table: Table, fwhm: float) -> np.ndarray:
    """Petrosian R90, arcsec, through a PSF of a FWHM in arcsec (2.3 r_e, Graham+2005, doi:10.1086/444475, Table 1)."""
    z = np.nan_to_num(np.asarray(table["z"], dtype=float))
    size = np.nan_to_num(np.asarray(table["r_e"], dtype=float))
    own = np.where(z > 0, 2.3 * size / kpc_per_arcsec(np.maximum(z, 1e-4)), 0.0)
    return np.hypot(own, fwhm)


def group(
    sample: Sample, table: Table, grid: tuple[float, int], seed: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Galaxies that are drawn on the same pixels: scale in arcsec, side."""
    view = View(bands=sample.bands, frame=grid[1], scale=grid[0])
    telescope = Telescope.of(sample.survey, view)
    # volunteers judge one band, and the images of parts are most of the work
    one = Telescope.of(sample.survey, replace(view, bands=("r",), also=Truth(parts=True)))
    seen = one.look(table, drawn_with=seed, seed=seed)
    votes = rosse.volunteers(seen, "gz-decals", seed=seed + 1, voters=VOTERS)
    pictures, finer = shown(crowded(telescope.look(table, drawn_with=seed, seed=seed), sample, rng), rng)
    return {
        "pictures": pictures,
        "counts": votes.counts.astype(np.int16),
        "asked": votes.asked.astype(np.int16),
        "probability": votes.probability.astype(np.float32),
        "scale": (grid[0] / finer).astype(np.float32),
        "fwhm": (np.mean(telescope.psf.fwhm) / grid[0] * finer).astype(np.float32),
        "targets": targets(seen),
        "about": np.stack([np.asarray(table[name], dtype=np.float32) for name in ("mag_r", "z")], 1),
        "size": r90(table, 0.0).astype(np.float32),
        "survey": np.full(len(table), SAMPLES.index(sample), dtype=np.int16),
    }


def targets(seen: Observation) -> np.ndarray:
    """(B, T) what is to be seen, and what there is; NaN where it has no meaning."""
    found, truth = sight(seen), seen.truth
    column = {name: np.asarray(truth[name], dtype=float) for name in truth.colnames if truth[name].dtype.kind in "fi"}
    armed, galaxy = column["arm_count"] > 0, np.asarray(truth["kind"]) == "galaxy"
    linear = {
        "t_type": column["t_type"] / 4,
        "bulge_light": 4 * found.bulge_light,
        "inclination": np.where(column["disc_share"] > 0, column["inclination"] / 25, np.nan),
        "bar": np.where(column["bar_share"] > 0, 1 + column["bar_length"] / column["r_e"], 0.0),
        "pitch": np.where(armed, column["arm_pitch"] / 10, np.nan),
        "flocculence": np.where(armed, 2 * column["flocculence"], np.nan),
        "axis_ratio": 4 * found.axis_ratio,
    }
    clear = [np.log1p(found.clarity[name]) for name in (*FEATURES, "uneven")]
    out = np.stack([*clear, *(linear[name] for name in LINEAR)], 1).astype(np.float32)
    out[~galaxy | ~np.isfinite(out).any(1)] = np.nan
    return out


def crowded(seen: Observation, sample: Sample, rng: np.random.Generator) -> Cutouts:
    """The cutouts with other galaxies and stars around."""
    cutouts, side = seen.cutouts, seen.cutouts.frame[0]
    galaxies, stars = (
        galaxies_per_square_degree(sample.limit + FAINTER),
        stars_per_square_degree(sample.limit + FAINTER),
    )
    light = neighbours(sample, seen.survey.scale)
    reach = light.shape[-1] // 2
    mean = (galaxies + stars) * (side * seen.survey.scale / 3600) ** 2
    wide = torch.nn.functional.pad(cutouts.flux, (reach, reach, reach, reach))
    for row in range(len(cutouts)):
        for _ in range(min(rng.poisson(mean), 12)):
            star = rng.uniform() * (galaxies + stars) > galaxies
            other = torch.rot90(light[int(rng.integers(POOL)) + POOL * star], int(rng.integers(4)), (1, 2))
            y, x = rng.integers(side, size=2)
            wide[row, :, y : y + 2 * reach, x : x + 2 * reach] += other
    flux = wide[..., reach : reach + side, reach : reach + side].contiguous()
    return Cutouts(flux=flux, ivar=cutouts.ivar, psf=cutouts.psf, psf_oversampling=cutouts.psf_oversampling,
                   scale=cutouts.scale, zeropoint=cutouts.zeropoint, bands=cutouts.bands)  # fmt: skip


@lru_cache(maxsize=64)
def neighbours(sample: Sample, scale: float) -> torch.Tensor:
    """Noiseless light (2 POOL, C, H, W) of faint galaxies, then of stars, on pixels of the survey's or larger ones."""
    light = native_neighbours(sample)
    coarser = scale / rosse.SURVEYS[sample.survey].scale
    side = 2 * max(4, round(MOST / coarser / 2))
    small = torch.nn.functional.interpolate(light, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return small * (MOST / side) ** 2


@lru_cache(maxsize=8)
def native_neighbours(sample: Sample) -> torch.Tensor:
    """The same on the survey's own pixels."""
    telescope = Telescope.of(sample.survey, View(bands=sample.bands, frame=MOST))
    limit = sample.limit + FAINTER
    tables = [rosse.Population(POOL, seed=1, limit=limit, redshift=(0.01, 1.0)).table(),
              rosse.Population(POOL, seed=1, limit=limit, mix={"star": 1.0}).table()]  # fmt: skip
    return torch.cat([telescope.draw(table, telescope.typical, drawn_with=1).flux for table in tables])


def shown(cutouts: Cutouts, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (B, SIDE, SIDE, 3) uint8 with varied makers, and pixels of each along one of the cutout."""

    def spread(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    pictures, finer = [], []
    for row in range(len(cutouts)):
        how = Stretch(soft=spread(2, 8), depth=spread(15, 250), top=spread(0.6, 1.3))
        framed = colour_pictures(cutouts[[row]], SIDE, radii=spread(1.0, 2.2), stretch=how)
        pixels = varied(framed.pixels[0].permute(1, 2, 0).numpy(), rng)
        file = io.BytesIO()
        Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(file, "jpeg", quality=int(rng.integers(70, 96)))
        pictures.append(np.asarray(Image.open(file).convert("RGB")))
        finer.append(float(framed.finer[0]))
    return np.stack(pictures), np.array(finer)


def varied(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture (H, W, 3) with another sky, other colours, and bands a little off each other."""
    if rng.uniform() < 0.5:
        black = rng.uniform(0, 0.15)
        pixels = np.clip((pixels - black) / (1 - black), 0, 1)
    grey = pixels.mean(-1, keepdims=True)
    vivid = 0.0 if rng.uniform() < 0.1 else rng.uniform(0.15, 1.2)
    pixels = (grey + vivid * (pixels - grey)) * np.exp(rng.normal(0, 0.08, 3))
    if rng.uniform() < 0.5:
        pixels = pixels + rng.uniform(0, 0.08) * np.exp(rng.normal(0, 0.2, 3))
    if rng.uniform() < 0.3:
        for band in (0, 2):
            off, axis = rng.uniform(0, 0.6), int(rng.integers(2))
            pixels[..., band] = (1 - off) * pixels[..., band] + off * np.roll(pixels[..., band], 1, axis)
    return np.clip(pixels, 0, 1)
