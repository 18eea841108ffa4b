"""Virtual galaxies as two real sets of SDSS pictures show theirs: framing, stretch, neighbours and noise.

`gz1` imitates the Galaxy Zoo pictures of SDSS's image server: Lupton's stretch, of which the middle half is
looked at (1.6 Petrosian R90 to either side of the centre), galaxies brighter than r = 17.77. `efigi` imitates EFIGI (Baillard+2011): nearby galaxies, STIFF's
stretch, frames in proportion to D25. What is said of a picture (class, Hubble stage) follows from the table.
"""

from __future__ import annotations

import io
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from astropy.table import Table
from PIL import Image

from machine import cores
from rosse import Population
from rosse.sky.draw import draw
from rosse.sky.fields import galaxies_per_square_degree, stars_per_square_degree
from rosse.sky.noise import Noise, noise_level
from rosse.sky.photometry import kpc_per_arcsec, part_fluxes
from rosse.sky.psf import psf_stamps, survey_psf
from rosse.surveys import SURVEYS

SIDE = 72  # pixels drawn, of which a network sees the middle 64 after its augmentations
SEEN = 64
BANDS = ("g", "r", "i")
CLASSES = ("elliptical", "edge-on", "spiral")
UNSURE = -1
SDSS = SURVEYS["sdss"].select(BANDS)
WHITE = 40.0  # nanomaggies per arcsec^2: 18.5 mag/arcsec^2
QUIET = 0.45  # noise of the image server's pictures over the survey's: they were resampled and compressed
BIN = 1.2  # ratio of two pixel scales between which galaxies are drawn on the same one


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How a set of pictures is made.

    Parameters
    ----------
    population : which galaxies there are.
    choose : rows of a table and random numbers → how often each row is wanted.
    scale : table → arcsec per pixel of SEEN pixels.
    stretch : (H, W, 3) i, r, g in nanomaggies per arcsec^2, its noise, random numbers → brightness 0 to 1.
    neighbours : faintest r of other galaxies and stars in the frame.
    noise : over that of the survey.
    pixels : of the JPEG along one of the picture that is looked at.
    """

    population: dict
    choose: Callable
    scale: Callable
    stretch: Callable
    neighbours: float
    noise: float = 1.0
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


def classes(table: Table) -> np.ndarray:
    """What a volunteer of Galaxy Zoo 1 would choose: position in CLASSES, or UNSURE for what many would disagree on.

    Spirals are those whose arms can be seen to turn. What is flat and seen from the side is edge-on, whatever it is;
    all that has no arms that can be seen counts as elliptical, blue discs too, as there was no other answer
    (Lintott+2008, Table 1; Bamford+2009).
    """
    tilt, kind = np.nan_to_num(column(table, "inclination")), np.asarray(table["type"])
    contrast, snr = arms_seen(table)
    disc = column(table, "disc_share") > 0
    armed = disc & (column(table, "arm_count") > 0)
    edge = disc & (tilt > 72)
    seen = armed & (tilt < 65) & (contrast > 0.09) & (snr > 4)
    plain = (tilt < 60) & (~armed | (contrast < 0.05) | (snr < 2.2))
    out = np.select([edge, seen, plain], [1, 2, 0], UNSURE)
    return np.where(np.isin(kind, ("merger", "star", "artefact", "irregular")), UNSURE, out)


def stages(table: Table) -> np.ndarray:
    """Hubble stage in EFIGI's numbers, in which dwarf ellipticals are 11."""
    stage, kind = column(table, "t_type"), np.asarray(table["type"])
    stage = np.where((kind == "dwarf") & (stage <= -4), 11.0, stage)
    return np.where(np.isin(kind, ("merger", "star", "artefact")), np.nan, stage)


def choose_classes(table: Table, rng: np.random.Generator) -> np.ndarray:
    """As many of each class, and among those without arms as many discs of young stars as others.

    The answers of Galaxy Zoo go by shape, and colour is not to stand for it.
    """
    label = classes(table)
    kind = np.where((label == 0) & (column(table, "t_type") > 0.5), len(CLASSES), label)
    number = np.bincount(kind[kind >= 0], minlength=len(CLASSES) + 1) * np.array([2, 1, 1, 2])
    return np.where(label >= 0, 1 / np.maximum(number, 1)[kind], 0.0)


def choose_stages(table: Table, rng: np.random.Generator) -> np.ndarray:
    """As many of each Hubble stage, of galaxies as large on the sky as those of EFIGI."""
    stage, size = stages(table), d25(table)
    there = np.isfinite(stage) & (size > 45) & (size < 600)
    bins = np.where(there, np.rint(np.where(there, stage, 0)).astype(int) + 6, 0)
    number = np.bincount(bins[there], minlength=18)
    return np.where(there, 1 / np.maximum(number, 1)[bins], 0.0) * np.where(bins == 17, 0.3, 1.0)


def lupton(planes: np.ndarray, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """SDSS's pictures: Lupton+2004 (doi:10.1086/382245), with the factors for i, r, g and softening of its server."""
    factors = np.array([4.9, 5.9, 9.0]) * rng.normal(1, 0.04, 3) * np.exp(rng.normal(0, 0.15))
    scaled = planes * SDSS.scale**2 * factors + 0.01 * rng.normal(0, 1, 3)
    radius = np.maximum(scaled.sum(-1, keepdims=True), 1e-6)
    coloured = np.maximum(scaled, 0) * np.arcsinh(3 * radius) / (3 * radius)
    return coloured / np.maximum(coloured.max(-1, keepdims=True), 1)


def stiff(planes: np.ndarray, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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
        scale=lambda table: 3.15 * r90(table) / SEEN,
        stretch=lupton,
        neighbours=21.5,
        noise=QUIET,
        pixels=1,
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


def drawn(table: Table, scale: float, seed: int, centre: torch.Tensor | None = None) -> torch.Tensor:
    """(B, 3, SIDE, SIDE) noiseless, nanomaggies per pixel."""
    psf = survey_psf(SDSS)
    count = psf.oversampling(scale)
    stamp = psf_stamps(psf, scale, oversampling=count)
    return draw(table, SDSS, frame=SIDE, scale=scale, psf=stamp, psf_oversampling=count, centre=centre, seed=seed).flux


def others(framing: Framing, scale: float, rng: np.random.Generator, count: int) -> torch.Tensor:
    """Noiseless frames with the neighbours of `count` galaxies."""
    field = galaxies_per_square_degree(framing.neighbours), stars_per_square_degree(framing.neighbours)
    mean = sum(field) * (SIDE * scale / 3600) ** 2
    seed = int(rng.integers(1 << 30))
    pool = [Population(48, seed=seed, limit=framing.neighbours, redshift=(0.01, 1.0)).table(),
            Population(48, seed=seed, limit=framing.neighbours, mix={"star": 1.0}).table()]  # fmt: skip
    centre = torch.as_tensor(rng.uniform(0, SIDE - 1, (96, 2)))
    flux = torch.cat([drawn(part, scale, seed, centre[48 * i : 48 * i + 48]) for i, part in enumerate(pool)])
    out = torch.zeros(count, *flux.shape[1:])
    for row in range(count):
        for _ in range(rng.poisson(mean)):
            pick = flux[int(rng.integers(48)) + (48 if rng.uniform() * sum(field) > field[0] else 0)]
            turned = torch.rot90(pick, int(rng.integers(4)), (1, 2))
            out[row] += turned if rng.uniform() < 0.5 else turned.flip(2)
    return out


def observed(flux: torch.Tensor, scale: float, share: float, rng: np.random.Generator) -> np.ndarray:
    """The same with noise; on pixels smaller than SDSS's own it is smooth."""
    level = torch.as_tensor(native_sigma() * scale / SDSS.scale, dtype=torch.float32)[:, None, None]
    gain = torch.tensor(SDSS.gain)[:, None, None]
    noise = torch.as_tensor(rng.normal(size=flux.shape), dtype=torch.float32)
    share = torch.as_tensor(share * np.exp(rng.normal(0, 0.25, (len(flux), 1, 1, 1))), dtype=torch.float32)
    noise = noise * share * torch.sqrt(level**2 + flux.clamp_min(0) / gain)
    width = 0.4 * SDSS.scale / scale
    if width > 0.3:
        taps = torch.exp(-0.5 * (torch.arange(-4, 5) / width) ** 2)
        kernel = torch.outer(taps, taps)[None, None] / taps.sum() ** 2
        shape = noise.shape
        noise = torch.nn.functional.conv2d(noise.view(-1, 1, *shape[2:]), kernel, padding=4).view(shape)
    return (flux + noise).numpy()


def pictures_of(name: str, table: Table, scale: float, seed: int) -> np.ndarray:
    """(B, SIDE, SIDE, 3) uint8 of galaxies that are drawn on pixels of one scale."""
    framing, rng = FRAMINGS[name], np.random.default_rng([seed, int(1e4 * scale)])
    flux = drawn(table, scale, seed)
    flux = observed(flux + others(framing, scale, rng, len(table)), scale, framing.noise, rng) / scale**2
    noise = native_sigma()[::-1] / SDSS.scale / scale
    planes = apart(flux[:, ::-1], 0.15 * SDSS.scale / scale, rng).transpose(0, 2, 3, 1)  # i, r, g
    return np.stack([compressed(framing.stretch(each, noise, rng), framing.pixels, rng) for each in planes])


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


def compressed(picture: np.ndarray, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """As a JPEG on finer pixels, reduced."""
    whole = Image.fromarray(np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8))
    file = io.BytesIO()
    whole.resize((pixels * SIDE, pixels * SIDE), Image.Resampling.BICUBIC).save(
        file, "jpeg", quality=int(rng.integers(75, 96))
    )
    return np.asarray(Image.open(file).reduce(pixels))


def rows_of(name: str, count: int, seed: int) -> Table:
    """The galaxies of a set, with columns `scale`, `label` and `stage`."""
    framing, rng = FRAMINGS[name], np.random.default_rng(seed)
    table = Population(12 * count, seed=seed, **framing.population).table()
    weight = framing.choose(table, rng)
    picked = rng.choice(len(table), count, replace=False, p=weight / weight.sum())
    table = table[np.sort(picked)]
    table["scale"], table["label"], table["stage"] = framing.scale(table), classes(table), stages(table)
    return table


def make(name: str, count: int, seed: int) -> tuple[np.ndarray, Table]:
    """Pictures (N, SIDE, SIDE, 3) uint8 of `count` virtual galaxies and their table, drawn on all cores."""
    table = rows_of(name, count, seed)
    step = np.rint(np.log(column(table, "scale")) / np.log(BIN)).astype(int)
    step = np.clip(step, *np.quantile(step, [0.02, 0.98]).astype(int))  # few galaxies would cost a scale of their own
    jobs = [np.flatnonzero(step == s) for s in np.unique(step)]
    jobs = [part for job in jobs for part in np.array_split(job, -(-len(job) // 512))]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores(), mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        work = [pool.submit(pictures_of, name, table[job], float(BIN ** step[job[0]]), seed) for job in jobs]
        done = np.concatenate([each.result() for each in work])
    order = np.concatenate(jobs)
    pictures = np.empty_like(done)
    pictures[order] = done
    return pictures, table


def made(name: str, count: int, seed: int, cache: Path | None) -> tuple[np.ndarray, Table]:
    """The same, kept in a folder if one is given."""
    if cache is None:
        return make(name, count, seed)
    stem = cache / f"{name}-{count}-{seed}"
    if not stem.with_suffix(".npy").is_file():
        cache.mkdir(parents=True, exist_ok=True)
        pictures, table = make(name, count, seed)
        table.write(stem.with_suffix(".ecsv"), overwrite=True)
        np.save(stem.with_suffix(".npy"), pictures)
    return np.load(stem.with_suffix(".npy")), Table.read(stem.with_suffix(".ecsv"))
