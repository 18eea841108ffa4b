"""Virtual galaxies as two real sets of SDSS pictures show theirs: framing, stretch, neighbours and noise.

`gz1` imitates the Galaxy Zoo pictures of SDSS's image server: galaxies brighter than r = 17.77, Lupton's stretch, cut
out of JPEGs on the survey's own pixels and enlarged, of which the middle half is looked at (1.5 Petrosian R90 to
either side of the centre). `efigi` imitates EFIGI (Baillard+2011): nearby galaxies, STIFF's stretch, frames in
proportion to D25. The class of a picture is what most of the virtual sky's volunteers say, its Hubble stage stands in
the table.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from astropy.table import Table
from PIL import Image

import rosse
from machine import cores
from rosse import Population
from rosse.sky.draw import Drawn, Truth, draw
from rosse.sky.fields import galaxies_per_square_degree, stars_per_square_degree
from rosse.sky.judging import STEEPNESS, logistic
from rosse.sky.noise import Noise, noise_level
from rosse.sky.opinions import answers
from rosse.sky.photometry import kpc_per_arcsec, part_fluxes
from rosse.sky.psf import psf_stamps, survey_psf
from rosse.sky.sight import Look, sight_of_parts
from rosse.surveys import SURVEYS

SIDE = 72  # pixels drawn, of which a network sees the middle 64 after its augmentations
SEEN = 64
BANDS = ("g", "r", "i")
CLASSES = ("elliptical", "edge-on", "spiral")
UNSURE = -1
SDSS = SURVEYS["sdss"].select(BANDS)
WHITE = 40.0  # nanomaggies per arcsec^2: 18.5 mag/arcsec^2
ANSWERS = ("smooth", "featured", "arms", "axis ratio", "disc axis ratio")  # shares of volunteers, and what they see
CLEARER = 1.3  # by so much arms must stand out more for people to see which way they turn
OPEN, OPEN_SCATTER = 0.42, 0.06  # axis ratio of a disc from which one sees which way its arms turn: 66 degrees
FLAT, FLAT_SCATTER = 0.45, 0.05  # axis ratio of isophotes below which a smooth galaxy is taken for a disc on its edge
BIN = 1.2  # ratio of two pixel scales between which galaxies are drawn on the same one


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How a set of pictures is made.

    Parameters
    ----------
    population : which galaxies there are.
    choose : rows of a table and random numbers → how often each row is wanted.
    scale : table → arcsec per pixel of SEEN pixels.
    stretch : (H, W, 3) i, r, g in nanomaggies per arcsec^2, random numbers → brightness 0 to 1.
    neighbours : faintest r of other galaxies and stars in the frame.
    offset : of the bands from each other, SDSS's pixels.
    tiles : whether the picture is cut out of a JPEG on the survey's own pixels.
    asked : whether volunteers look at it.
    pixels : of the JPEG along one of the picture that is looked at.
    """

    population: dict
    choose: Callable
    scale: Callable
    stretch: Callable
    neighbours: float
    offset: float = 0.12
    tiles: bool = False
    asked: bool = False
    pixels: int = 2


def column(table: Table, name: str) -> np.ndarray:
    return np.asarray(table[name], dtype=float)


def r90(table: Table) -> np.ndarray:
    """Petrosian R90, arcsec, after seeing.

    2.3 r_e for exponential and de Vaucouleurs profiles alike (Graham+2005, doi:10.1086/444475, Table 1), less for
    inclined discs, whose light within a circle is on one line.
    """
    seen = np.where(column(table, "disc_share") > 0, np.cos(np.radians(np.nan_to_num(column(table, "inclination")))), 1)
    own = 2.3 * column(table, "r_e") / kpc_per_arcsec(column(table, "z")) * (0.85 + 0.15 * seen)
    return np.hypot(own, 1.2)


def d25(table: Table) -> np.ndarray:
    """Diameter, arcsec, at 25 mag/arcsec^2 in B, by Jester+2005 (doi:10.1086/432466) from g and r; at least 2 r_e."""
    per = kpc_per_arcsec(column(table, "z"))
    flux = part_fluxes(table, SDSS)
    lights = np.stack([flux[:, 0], flux[:, 1:6].sum(1)])[..., :2]  # (2, B, g r)
    blue = 10 ** (1.39 * np.log10(np.maximum(lights[..., 0], 1e-9)) - 0.39 * np.log10(np.maximum(lights[..., 1], 1e-9)))
    blue *= 10 ** (-0.4 * 0.21)
    thin = np.maximum(np.cos(np.radians(np.nan_to_num(column(table, "inclination")))), 0.15)
    shapes = [(column(table, "bulge_r_e"), column(table, "bulge_n"), column(table, "bulge_q")),
              (column(table, "disc_r_e"), column(table, "disc_n"), thin)]  # fmt: skip
    radius = np.geomspace(0.3, 600, 240)
    total = np.zeros((len(table), len(radius)))
    for light, shape in zip(blue, shapes, strict=True):
        size, n, q = (np.where(np.isfinite(v), v, 1.0)[:, None] for v in (shape[0] / per, *shape[1:]))
        b = 2 * n - 1 / 3 + 4 / (405 * n)
        total += light[:, None] * np.exp(-b * ((radius / size) ** (1 / n) - 1)) / (size**2 * q * norm(n, b))
    inside = total >= 10 ** (-0.4 * (25 - 22.5))
    edge = np.where(inside.any(1), radius[inside.shape[1] - 1 - np.argmax(inside[:, ::-1], axis=1)], 0)
    return 2 * np.maximum(edge, column(table, "r_e") / per)


def norm(n: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Flux over brightness at r_e and r_e^2 (Graham & Driver 2005, eq. 4)."""
    from scipy.special import gamma

    return 2 * np.pi * n * np.exp(b) * b ** (-2 * n) * gamma(2 * n)


def arms_seen(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Contrast of the arms after seeing, and its signal-to-noise ratio in a patch half as wide as their gap.

    A wave as long as the gap between arms (at r_e of the disc, across the arms, shortened by the inclination) is
    weakened by the seeing; its height is the arms' share of the light there.
    """
    per = kpc_per_arcsec(column(table, "z"))
    size = column(table, "disc_r_e") / per
    tilt = np.maximum(np.cos(np.radians(column(table, "inclination"))), 0.1)
    gap = 2 * np.pi * size * np.sin(np.radians(column(table, "arm_pitch"))) / np.maximum(column(table, "arm_count"), 1)
    gap = np.minimum(gap, 2 * size) * np.sqrt(tilt)
    blur = np.exp(-2 * (np.pi * SDSS.psf_fwhm[1] / 2.355 / gap) ** 2)
    flux = part_fluxes(table, SDSS)[..., 1]  # r
    young, old = flux[:, 3] + 0.5 * flux[:, 5], flux[:, 1] + 0.3 * flux[:, 0]
    contrast = blur * young / np.maximum(young + old, 1e-9) * (1 - 0.5 * np.nan_to_num(column(table, "flocculence")))
    brightness = 0.5 * flux.sum(1) / (np.pi * size**2 * tilt) * 0.5  # at r_e, nanomaggies per arcsec^2
    noise = float(native_sigma()[1]) / SDSS.scale / (gap / 2)
    return np.nan_to_num(contrast), np.nan_to_num(contrast * brightness / noise)


def strata(table: Table) -> np.ndarray:
    """What is drawn equally often: 0 smooth, 1 flat, 2 with arms that may be seen, 3 with clear arms; -1: none."""
    tilt, kind = np.nan_to_num(column(table, "inclination")), np.asarray(table["type"])
    contrast, snr = arms_seen(table)
    disc = column(table, "disc_share") > 0
    armed = disc & (column(table, "arm_count") > 0) & (tilt < 72)
    clear, likely = armed & (contrast > 0.09) & (snr > 4), armed & (contrast > 0.04) & (snr > 1.5)
    out = np.select([disc & (tilt > 66) & ~clear, clear, likely], [1, 3, 2], 0)
    return np.where(np.isin(kind, ("merger", "star", "artefact", "irregular")), UNSURE, out)


def looked_at(table: Table, parts: torch.Tensor, variance: torch.Tensor, look: Look) -> np.ndarray:
    """(B, 5) what the virtual sky's volunteers say and see, in the order of ANSWERS."""
    sight = sight_of_parts(table, parts, variance, look)
    said = answers(sight, table)
    smooth, featured = said["smooth-or-featured"][:, 0], said["smooth-or-featured"][:, 1]
    arms = featured * said["disk-edge-on"][:, 1] * said["has-spiral-arms"][:, 0]
    return np.stack([smooth, featured, arms, sight.axis_ratio, sight.disc_axis_ratio], 1)


def shares(table: Table) -> np.ndarray:
    """(B, 3) share of volunteers of Galaxy Zoo 1 who would choose each of CLASSES.

    They are those who walk through the tree of Galaxy Zoo 2. Galaxy Zoo 1 asked once: for ellipticals, for spirals
    that turn this way or that, and for spirals that are "edge on or unclear" (Lintott+2008, Table 1). That is all that
    is featured and does not show which way it turns. What is smooth and flat is a disc on its edge.
    """
    smooth, featured, arms, ratio, disc = (column(table, name) for name in ANSWERS)
    flat = logistic((FLAT - ratio) / FLAT_SCATTER)
    turning = 1 - (1 - arms) ** (CLEARER**-STEEPNESS)  # `noticed` with a higher threshold
    turning *= logistic((disc - OPEN) / OPEN_SCATTER)
    return np.stack([smooth * (1 - flat), featured - turning + smooth * flat, turning], 1)


def classes(table: Table) -> np.ndarray:
    """What most volunteers choose: position in CLASSES, or UNSURE for what is not asked about."""
    return np.where(strata(table) >= 0, shares(table).argmax(1), UNSURE)


def stages(table: Table) -> np.ndarray:
    """Hubble stage in EFIGI's numbers, in which dwarf ellipticals are 11."""
    stage, kind = column(table, "t_type"), np.asarray(table["type"])
    stage = np.where((kind == "dwarf") & (stage <= -4), 11.0, stage)
    return np.where(np.isin(kind, ("merger", "star", "artefact")), np.nan, stage)


def choose_classes(table: Table, rng: np.random.Generator) -> np.ndarray:
    """As many of each stratum, that each class has many and the doubtful cases are there."""
    kind = strata(table)
    number = np.bincount(kind[kind >= 0], minlength=4)
    return np.where(kind >= 0, 1 / np.maximum(number, 1)[kind], 0.0)


def choose_stages(table: Table, rng: np.random.Generator) -> np.ndarray:
    """As many of each Hubble stage, of galaxies as large on the sky as those of EFIGI."""
    stage, size = stages(table), d25(table)
    there = np.isfinite(stage) & (size > 45) & (size < 600)
    bins = np.where(there, np.rint(np.where(there, stage, 0)).astype(int) + 6, 0)
    number = np.bincount(bins[there], minlength=18)
    return np.where(there, 1 / np.maximum(number, 1)[bins], 0.0) * np.where(bins == 17, 0.3, 1.0)


def lupton(planes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """SDSS's pictures: Lupton+2004 (doi:10.1086/382245), with the factors for i, r, g and softening of its server.

    What is fainter than half to three quarters of the noise is black, as the sky of the real pictures shows.
    """
    factors = np.array([4.9, 5.9, 9.0]) * rng.normal(1, 0.04, 3) * np.exp(rng.normal(0, 0.15))
    scaled = planes * SDSS.scale**2 * factors - rng.normal(0.1, 0.02) + 0.005 * rng.normal(0, 1, 3)
    radius = np.maximum(scaled.sum(-1, keepdims=True), 1e-6)
    coloured = np.maximum(scaled, 0) * np.arcsinh(3 * radius) / (3 * radius)
    return coloured / np.maximum(coloured.max(-1, keepdims=True), 1)


def stiff(planes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """STIFF's pictures (Bertin 2012): each band from its sky to a maximum, gamma of 2.2, early types white.

    The maximum lies between a fixed brightness and that of each galaxy's own centre, as the pictures of EFIGI show.
    """
    centre = np.quantile(planes.mean(-1), 0.998)
    top = max(centre, 1.0) ** 0.25 * WHITE**0.75 * np.exp(rng.normal(0, 0.4))
    early = np.array([1.33, 1.0, 0.50]) * np.exp(rng.normal(0, 0.07, 3))  # i, r, g of old stars
    scaled = np.maximum(planes / (top * early) + rng.uniform(0.002, 0.005) + 0.0007 * rng.normal(0, 1, 3), 0)
    light = scaled.mean(-1, keepdims=True)
    colour = light + rng.uniform(0.7, 1.2) * (scaled - light)
    return np.clip(colour * light ** (1 / 2.2) / np.maximum(light, 1e-6), 0, 1)


FRAMINGS = {
    "gz1": Framing(
        population={"limit": 17.77, "redshift": (0.01, 0.2)},
        choose=choose_classes,
        scale=lambda table: 3.0 * r90(table) / SEEN,
        stretch=lupton,
        neighbours=21.5,
        tiles=True,
        asked=True,
        pixels=2,
    ),
    "efigi": Framing(
        population={"limit": 15.5, "redshift": (0.001, 0.04)},
        choose=choose_stages,
        scale=lambda table: 1.02 * d25(table) / SEEN,
        stretch=stiff,
        neighbours=20.0,
    ),
}


def native_sigma() -> np.ndarray:
    """Noise of an empty pixel of SDSS in g, r, i, nanomaggies."""
    psf = survey_psf(SDSS)
    count = psf.oversampling(SDSS.scale)
    stamp = psf_stamps(psf, SDSS.scale, oversampling=count)
    return noise_level(SDSS, stamp, noise=Noise(), oversampling=count).sigma.numpy()


def drawn(table: Table, grid: tuple[float, int], seed: int, **options) -> Drawn:
    """Noiseless (B, 3, side, side), nanomaggies per pixel."""
    scale, side = grid
    psf = survey_psf(SDSS)
    count = psf.oversampling(scale)
    stamp = psf_stamps(psf, scale, oversampling=count)
    return draw(table, SDSS, frame=side, scale=scale, psf=stamp, psf_oversampling=count, seed=seed, **options)


def others(framing: Framing, grid: tuple[float, int], rng: np.random.Generator, count: int) -> torch.Tensor:
    """Noiseless frames with the neighbours of `count` galaxies."""
    scale, side = grid
    field = galaxies_per_square_degree(framing.neighbours), stars_per_square_degree(framing.neighbours)
    mean = sum(field) * (side * scale / 3600) ** 2
    seed = int(rng.integers(1 << 30))
    pool = [Population(48, seed=seed, limit=framing.neighbours, redshift=(0.01, 1.0)).table(),
            Population(48, seed=seed, limit=framing.neighbours, mix={"star": 1.0}).table()]  # fmt: skip
    centre = torch.as_tensor(rng.uniform(0, side - 1, (96, 2)))
    flux = torch.cat([drawn(part, grid, seed, centre=centre[48 * i : 48 * i + 48]).flux for i, part in enumerate(pool)])
    out = torch.zeros(count, *flux.shape[1:])
    for row in range(count):
        for _ in range(rng.poisson(mean)):
            pick = flux[int(rng.integers(48)) + (48 if rng.uniform() * sum(field) > field[0] else 0)]
            turned = torch.rot90(pick, int(rng.integers(4)), (1, 2))
            out[row] += turned if rng.uniform() < 0.5 else turned.flip(2)
    return out


def observed(flux: torch.Tensor, scale: float, rng: np.random.Generator) -> np.ndarray:
    """The same with noise."""
    level = torch.as_tensor(native_sigma() * scale / SDSS.scale, dtype=torch.float32)[:, None, None]
    gain = torch.tensor(SDSS.gain)[:, None, None]
    noise = torch.as_tensor(rng.normal(size=flux.shape), dtype=torch.float32)
    depth = torch.as_tensor(np.exp(rng.normal(0, 0.15, (len(flux), 1, 1, 1))), dtype=torch.float32)
    noise = noise * depth * torch.sqrt(level**2 + flux.clamp_min(0) / gain)
    return (flux + noise).numpy()


def pictures_of(name: str, table: Table, grid: tuple[float, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(B, SIDE, SIDE, 3) uint8 of galaxies drawn on one grid (arcsec per pixel, pixels a side), and ANSWERS."""
    (scale, side), framing = grid, FRAMINGS[name]
    rng = np.random.default_rng([seed, int(1e4 * scale), side])
    found = drawn(table, grid, seed, also=Truth(parts=framing.asked))
    level = native_sigma()[1] * scale / SDSS.scale
    variance = float(level) ** 2 + found.flux[:, 1].clamp_min(0) / SDSS.gain[1]
    said = np.full((len(table), len(ANSWERS)), np.nan)
    if framing.asked:
        said = looked_at(table, found.parts[:, :, 1], variance, Look(scale=scale, fwhm=SDSS.psf_fwhm[1]))
    near = others(framing, grid, rng, len(table))
    flux = observed(found.flux + near, scale, rng) / scale**2
    planes = apart(flux[:, ::-1], framing.offset * SDSS.scale / scale, rng).transpose(0, 2, 3, 1)  # i, r, g
    pictures = [framing.stretch(each, rng) for each in planes]
    wanted = SIDE * column(table, "scale") / scale
    cut = [compressed(p, framing, float(min(w, side)), rng) for p, w in zip(pictures, wanted, strict=True)]
    return np.stack(cut), said


def apart(flux: np.ndarray, offset: float, rng: np.random.Generator) -> np.ndarray:
    """Bands (B, 3, H, W) a little off each other, pixels: the server's pictures show such fringes."""
    from scipy.ndimage import shift

    moves = rng.normal(0, offset, (*flux.shape[:2], 2))
    return np.stack(
        [
            [shift(band, by, order=1, mode="nearest") for band, by in zip(*each, strict=True)]
            for each in zip(flux, moves, strict=True)
        ]
    )


def compressed(picture: np.ndarray, framing: Framing, across: float, rng: np.random.Generator) -> np.ndarray:
    """The middle of a picture, `across` pixels wide, as the set has it: enlarged, as a JPEG, and reduced."""
    whole = Image.fromarray(np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8))
    if framing.tiles:
        whole = jpeg(whole, rng)
    edge, fine = (whole.width - across) / 2, framing.pixels * SIDE
    box = (edge, edge, edge + across, edge + across)
    whole = jpeg(whole.resize((fine, fine), Image.Resampling.BILINEAR, box), rng)
    return np.asarray(whole.reduce(framing.pixels))


def jpeg(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """After a JPEG, whose colours are half as sharp as its brightness."""
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=int(rng.integers(60, 90)))
    return Image.open(file).convert("RGB")


def rows_of(name: str, count: int, seed: int) -> Table:
    """The galaxies of a set, with columns `scale`, `stage` and `chance`, how often each is wanted among others."""
    framing, rng = FRAMINGS[name], np.random.default_rng(seed)
    table = Population(12 * count, seed=seed, **framing.population).table()
    weight = framing.choose(table, rng)
    picked = rng.choice(len(table), count, replace=False, p=weight / weight.sum())
    table = table[np.sort(picked)]
    table["scale"], table["stage"] = framing.scale(table), stages(table)
    table["chance"] = weight[np.sort(picked)]
    return table


def grids_of(scale: np.ndarray) -> np.ndarray:
    """(N, 2) on which grid galaxies are drawn whose pictures have this scale: step of the pixels' size, side.

    A picture that shows more than one pixel for each of SDSS's is an enlargement of SDSS's pixels, seeing, noise and
    all, and is made as such.
    """
    step = np.maximum(np.rint(np.log(scale / SDSS.scale) / np.log(BIN)), 0).astype(int)
    step = np.minimum(step, int(np.quantile(step, 0.98)))  # few galaxies would cost a scale of their own
    across = np.minimum(SIDE * scale / (SDSS.scale * BIN**step), SIDE * np.sqrt(BIN))
    return np.stack([step, 2 + 10 * np.ceil(across / 10).astype(int)], 1)


def grid_of(step: int, side: int) -> tuple[float, int]:
    """Arcsec per pixel, pixels a side."""
    return float(SDSS.scale * BIN**step), int(side)


def make(name: str, count: int, seed: int) -> tuple[np.ndarray, Table]:
    """Pictures (N, SIDE, SIDE, 3) uint8 of `count` virtual galaxies and their table, drawn on all cores."""
    table = rows_of(name, count, seed)
    grids = grids_of(column(table, "scale"))
    jobs = [np.flatnonzero((grids == grid).all(1)) for grid in np.unique(grids, axis=0)]
    jobs = [part for job in jobs for part in np.array_split(job, -(-len(job) // 256))]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores(), mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        work = [pool.submit(pictures_of, name, table[job], grid_of(*grids[job[0]]), seed) for job in jobs]
        done = [each.result() for each in work]
    back = np.argsort(np.concatenate(jobs))
    said = np.concatenate([each for _, each in done])[back]
    table.add_columns(list(said.T), names=list(ANSWERS))
    return np.concatenate([pictures for pictures, _ in done])[back], table


@lru_cache(maxsize=1)
def code() -> str:
    """Eight hexadecimal digits of all that pictures depend on but options: this file, and what draws galaxies."""
    package = Path(rosse.__file__).parent
    files = [Path(__file__), package / "surveys.py", *(package / "sky").glob("*.py"), *(package / "light").glob("*.py")]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def made(name: str, count: int, seed: int, cache: Path | None) -> tuple[np.ndarray, Table]:
    """The same, kept in a folder if one is given."""
    if cache is None:
        return make(name, count, seed)
    stem = cache / f"{name}-{count}-{seed}-{code()}"
    if not stem.with_suffix(".npy").is_file():
        cache.mkdir(parents=True, exist_ok=True)
        pictures, table = make(name, count, seed)
        table.write(stem.with_suffix(".ecsv"), overwrite=True)
        np.save(stem.with_suffix(".npy"), pictures)
    return np.load(stem.with_suffix(".npy")), Table.read(stem.with_suffix(".ecsv"))
