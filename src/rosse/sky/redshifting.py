"""Real galaxies moved to a higher redshift and into another survey (after FERENGI: Barden, Jahnke & Haeussler 2008).

An image shrinks with the angular diameter distance, dims with the luminosity distance, is seen in a bluer band of its
own, and gets the PSF and the noise of the target survey. Nothing is interpolated or deconvolved: the image is read at
the frequencies of its smaller copy, multiplied there by target over own transfer function, and transformed back.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.errors import InputError, OptionError, rows_text
from rosse.sky import chance
from rosse.sky.noise import Level, Noise, deviations, few_electrons, noise_level, variance
from rosse.sky.photometry import distance_modulus, kpc_per_arcsec
from rosse.sky.psf import Psf, pivot, psf_stamps, survey_psf
from rosse.surveys import Survey, survey

Array = NDArray[np.float64]
log = logging.getLogger(__name__)

GAIN_LIMIT = 1.1  # by how much an amplitude may be raised before it is called deconvolution
MATTERS = 0.02  # transfer below which an amplitude does not matter
BAND_REACH = 0.12  # how far a rest wavelength may lie outside of the bands, relative


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a galaxy is moved to.

    Parameters
    ----------
    z : redshift.
    bands : of the survey; empty: all of them.
    frame : (H, W) pixels of the new images.
    psf : of the new images; None: the survey's typical one.
    noise : of the new images, without a kernel; None: only the old images' noise is left in them.
    brighter : magnitudes by which the galaxy is made brighter, for galaxies were younger then.
    """

    z: float
    bands: tuple[str, ...] = ()
    frame: tuple[int, int] = (64, 64)
    psf: Psf | None = None
    noise: Noise | None = field(default_factory=Noise)
    brighter: float = 0.0


def size_ratio(z: ArrayLike, z_to: ArrayLike) -> Array:
    """Angular size at `z_to` over that at `z` of the same length (Barden+2008, eq. 1 with equal pixels)."""
    return np.asarray(kpc_per_arcsec(np.asarray(z, float)) / kpc_per_arcsec(np.asarray(z_to, float)))


def flux_ratio(z: ArrayLike, z_to: ArrayLike) -> Array:
    """Flux density f_nu at `z_to` over that at `z`, each at the wavelength at which the same light arrives.

    ``(d_L / d_L')^2 (1 + z') / (1 + z)`` (Hogg+2002, astro-ph/0210394, eq. 6): surface brightness in f_nu dims as
    (1 + z)^-3, in f_lambda as (1 + z)^-5, and in all wavelengths together as (1 + z)^-4 (Tolman 1930).
    """
    before, after = np.asarray(z, float), np.asarray(z_to, float)
    return np.asarray(10 ** (-0.4 * (distance_modulus(after) - distance_modulus(before))) * (1 + after) / (1 + before))


def band_weights(own: Array, wanted: Array) -> Array:
    """Weights (D, C) with which bands at wavelengths `own` (C,) make those at `wanted` (D,): linear in ln(wavelength).

    Raises
    ------
    InputError
        A wavelength is more than 12 per cent outside of the bands.
    """
    order = np.argsort(own)
    sorted_own = own[order]
    outside = (wanted < sorted_own[0] * (1 - BAND_REACH)) | (wanted > sorted_own[-1] * (1 + BAND_REACH))
    if outside.any():
        raise InputError(
            f"light of {', '.join(f'{w:.0f}' for w in wanted[outside])} nm as the cutouts see it is wanted, but their "
            f"bands are at {', '.join(f'{w:.0f}' for w in sorted_own)} nm; choose other bands or a redshift nearer by"
        )
    weights = np.zeros((len(wanted), len(own)))
    place = np.interp(np.log(wanted), np.log(sorted_own), np.arange(len(own)))
    lower = np.minimum(place.astype(int), max(len(own) - 2, 0))
    rows = np.arange(len(wanted))
    weights[rows, order[lower]] = 1 - (place - lower)
    if len(own) > 1:
        weights[rows, order[lower + 1]] = place - lower
    return weights


def redshift(
    cutouts: Cutouts, z: ArrayLike, target: Target, *, seen_by: Survey | str, to: Survey | str = "lsst", seed: int = 0
) -> Cutouts:
    """Galaxies as a survey would see them at a higher redshift.

    Parameters
    ----------
    cutouts : B galaxies with PSF, scale and zero point. Pixels without weight are filled by their mirror images
        through the centre.
    z : (B,) or one, their redshifts.
    target : redshift, bands and frame of the new images.
    seen_by : survey of the cutouts, which tells the wavelengths of their bands.
    to : survey of the new images.
    seed : of the noise.

    Returns
    -------
    Cutouts
        The target survey's noise is what makes up the old images' noise to it; `ivar` tells both. Where the old
        images are the noisier ones, nothing is added and a warning names the rows.

    Raises
    ------
    InputError
        The new PSF is not wider than the old one, made smaller, or a band is missing.
    """
    _check(cutouts, target)
    known = survey(to)
    known = known.select(target.bands or known.bands)
    own = survey(seen_by).select(cutouts.bands)
    shape = target.psf or survey_psf(known)
    count = shape.oversampling(known.scale)
    stamp = psf_stamps(shape, known.scale, device=cutouts.flux.device)
    before = np.broadcast_to(np.asarray(z, dtype=float), (len(cutouts),))
    if not (before > 0).all() or not (before <= target.z).all():
        raise OptionError(f"redshifts of {before.min():g} to {before.max():g} cannot be moved to {target.z:g}; "
                          "positive ones below it are wanted")  # fmt: skip
    mixed = _mixing(own, known, before, target)
    step = known.scale / (cutouts.scale.cpu().numpy() * size_ratio(before, target.z))  # old pixels along a new one
    ratio, spectrum = _spectra(_filled(cutouts), cutouts, (stamp, count), target.frame, torch.as_tensor(step))
    weight = torch.as_tensor(mixed, dtype=torch.float32, device=cutouts.flux.device)
    flux = _image(torch.einsum("bdc,bdcyx->bdyx", weight.to(spectrum.dtype), spectrum), target.frame, count)
    left = _noise_left(cutouts, ratio * weight[..., None, None], torch.as_tensor(step), count)
    return _finished(flux, left, cutouts=cutouts, target=target, seen=(known, stamp, count), seed=seed)


def _check(cutouts: Cutouts, target: Target) -> None:
    missing = [
        name
        for name, there in (
            ("PSF", cutouts.psf is not None),
            ("scale", bool(torch.isfinite(cutouts.scale).all())),
            ("zero point", bool(torch.isfinite(cutouts.zeropoint).all())),
        )
        if not there
    ]
    if missing:
        raise InputError(f"cutouts without {' and '.join(missing)} came; redshifting needs them")
    if not target.z > 0:
        raise OptionError(f"the redshift to move to is {target.z}; a positive one is wanted")
    if target.noise is not None and target.noise.kernel is not None:
        raise OptionError(
            "noise with a kernel came; the noise that makes up the old images' to the new survey's is independent from "
            "pixel to pixel here: give Noise() without a kernel"
        )


def _mixing(own: Survey, to: Survey, z: Array, target: Target) -> Array:
    """Factors (B, D, C) from fluxes in the C old bands to the D new ones: zero points, K-correction, dimming."""
    old = np.array([pivot(own, band) for band in own.bands])
    new = np.array([pivot(to, band) for band in to.bands])
    units = 10 ** (0.4 * (np.asarray(to.zeropoint)[:, None] - np.asarray(own.zeropoint)[None, :]))
    dimming = flux_ratio(z, target.z) * 10 ** (0.4 * target.brighter)
    weights = np.stack([band_weights(old, new * (1 + each) / (1 + target.z)) for each in z])
    return np.asarray(weights * units * dimming[:, None, None])


def _filled(cutouts: Cutouts) -> Tensor:
    """Flux (B, C, H, W) whose pixels without weight hold their mirror images through the target's centre, or 0."""
    seen = cutouts.ivar > 0
    mirrored, there = (_turned(plane) for plane in (cutouts.flux, seen.to(cutouts.flux.dtype)))
    return torch.where(seen, cutouts.flux, torch.where(there > 0, mirrored, torch.zeros_like(mirrored)))


def _turned(image: Tensor) -> Tensor:
    """Half a turn about pixel (H // 2, W // 2); what comes from outside is 0."""
    height, width = image.shape[-2:]
    turned = image.flip((-2, -1))
    shift_y, shift_x = 1 - height % 2, 1 - width % 2
    turned = torch.roll(turned, (shift_y, shift_x), dims=(-2, -1))
    if shift_y:
        turned[..., 0, :] = 0
    if shift_x:
        turned[..., 0] = 0
    return turned


def _spectra(
    flux: Tensor, cutouts: Cutouts, new: tuple[Tensor, int], frame: tuple[int, int], step: Tensor
) -> tuple[Tensor, Tensor]:
    """Target over own transfer function, and with it the spectra of the smaller copies: (B, D, C, Ky, Kx) each."""
    stamp, count = new
    size = _grid(frame, flux.shape[-2:], stamp, (step, count))
    ky, kx = (2 * math.pi * f(n) for f, n in ((torch.fft.fftfreq, size[0]), (torch.fft.rfftfreq, size[1])))
    target = _at(stamp, ky[None], kx[None])[:, :, None]  # (1, D, 1, Ky, Kx)
    own_y, own_x = (k[None] * (count / step[:, None]) for k in (ky, kx))  # radians per old pixel
    assert cutouts.psf is not None
    finer = cutouts.psf_oversampling
    own = _at(cutouts.psf, own_y / finer, own_x / finer)
    if not cutouts.psf_has_pixel:
        pixel = [torch.special.sinc(k / (2 * math.pi)).to(own.device) for k in (own_y, own_x)]
        own = own * (pixel[0][:, None, :, None] * pixel[1][:, None, None, :])
    within = (own_y.abs()[:, :, None] <= math.pi) & (own_x.abs()[:, None, :] <= math.pi)
    own = (own * within[:, None].to(own.device))[:, None]  # (B, 1, C, Ky, Kx)
    _refuse_sharper(target, own)
    # where the old image holds nothing but noise, an amplitude is handed on, not raised
    ratio = target * own.conj() / torch.maximum(own.abs(), target.abs()).square().clamp_min(1e-20)
    return ratio, ratio * _at(flux, own_y, own_x)[:, None]


def _grid(frame: tuple[int, int], old: tuple[int, ...], stamp: Tensor, finer: tuple[Tensor, int]) -> tuple[int, int]:
    """Size of the periodic grid, fine pixels: it holds the frame, and the old image made smaller, and the PSF."""
    step, count = finer
    size = []
    for new, length, reach in zip(frame, old, stamp.shape[-2:], strict=True):
        need = max(new * count, math.ceil(length * count / float(step.min()))) + reach
        size.append(2 * int(next_fast_len((need + 1) // 2, real=True)))
    return size[0], size[1]


def _at(image: Tensor, ky: Tensor, kx: Tensor) -> Tensor:
    """Transform (B, C, Ky, Kx) of images (B or 1, C, h, w) about pixel (h // 2, w // 2).

    Parameters
    ----------
    ky, kx : (B or 1, Ky), (B or 1, Kx) radians per pixel.
    """
    height, width = image.shape[-2:]
    waves = []
    for k, length in ((ky, height), (kx, width)):
        phase = -k.double()[..., None] * (torch.arange(length, dtype=torch.float64) - length // 2)
        waves.append(torch.polar(torch.ones_like(phase), phase).to(image.device, torch.complex64))
    along_x = image.to(torch.complex64) @ waves[1].transpose(-2, -1)[:, None]
    out: Tensor = waves[0][:, None] @ along_x
    return out


def _refuse_sharper(target: Tensor, own: Tensor) -> None:
    """Raise where an amplitude that matters would have to be raised."""
    raised = (target.abs() > MATTERS) & (target.abs() > GAIN_LIMIT * own.abs())
    bad = torch.nonzero(raised.flatten(1).any(1)).flatten().tolist()
    if bad:
        raise InputError(
            f"{rows_text(bad)}: the target's PSF is not wider than the image's own, made smaller by the distance; "
            "nothing is deconvolved: choose a higher redshift, a survey that sees less sharply, or a wider psf"
        )


def _image(spectrum: Tensor, frame: tuple[int, int], count: int) -> Tensor:
    """Images (B, D, H, W) on the survey's pixels from spectra on a grid that is `count` times finer."""
    size = (spectrum.shape[-2], 2 * (spectrum.shape[-1] - 1))
    fine = torch.fft.irfft2(spectrum, s=size) * count**2
    rows, columns = (((torch.arange(n) - n // 2) * count) % m for n, m in zip(frame, size, strict=True))
    image: Tensor = fine[..., rows.to(fine.device)[:, None], columns.to(fine.device)]
    return image


def _noise_left(cutouts: Cutouts, ratio: Tensor, step: Tensor, count: int) -> Tensor:
    """Variance (B, D) of the old images' sky noise in the new ones' pixels.

    White noise of variance v in pixels that are r times smaller comes to ``v r^2`` times the mean of the squared gain
    over the frequencies (Parseval).
    """
    weight = torch.where(cutouts.ivar > 0, cutouts.ivar, torch.nan)
    sky = 1 / weight.flatten(2).nanquantile(0.75, dim=2)  # (B, C): most of a cutout's pixels hold sky
    power = ratio.abs().square()
    whole = power[..., 0] + power[..., -1] + 2 * power[..., 1:-1].sum(-1)  # the half plane that is not kept
    passed = whole.sum(-1) / (power.shape[-2] * 2 * (power.shape[-1] - 1))  # (B, D, C)
    left = torch.einsum("bc,bdc->bd", sky.nan_to_num(0.0), passed) * count**2
    whole_left: Tensor = left * step.to(left).square()[:, None]
    return whole_left


def _finished(
    flux: Tensor, left: Tensor, *, cutouts: Cutouts, target: Target, seen: tuple[Survey, Tensor, int], seed: int
) -> Cutouts:
    known, stamp, count = seen
    total = left[..., None, None].expand_as(flux)
    if target.noise is not None:
        level = noise_level(known, stamp, noise=target.noise, oversampling=count)
        level, short = _to_add(level, left)
        if short:
            log.warning("%s: the old image is noisier than the survey, even at the new redshift", rows_text(short))
        rows = torch.arange(len(cutouts), device=flux.device)
        read = None
        if bool(few_electrons(flux, level).any()):
            read = chance.noise(seed, rows, f"redshift read {known.name}", tuple(flux.shape[1:]))
        normal = chance.noise(seed, rows, f"redshift {known.name}", tuple(flux.shape[1:]))
        total = total + variance(flux, level)
        flux = flux + deviations(flux, level, normal=normal, read=read)
    return Cutouts(
        flux=flux,
        ivar=torch.where(total > 0, 1 / total, 0.0),
        psf=stamp,
        psf_oversampling=count,
        scale=torch.full((len(cutouts),), known.scale, dtype=torch.float64, device=flux.device),
        zeropoint=torch.tensor(known.zeropoint, dtype=torch.float64, device=flux.device),
        bands=known.bands,
        id=cutouts.id,
        ra=cutouts.ra,
        dec=cutouts.dec,
        north=cutouts.north,
        parity=cutouts.parity,
    )


def _to_add(level: Level, left: Tensor) -> tuple[Level, list[int]]:
    """Noise (B, C) that makes what is `left` up to that of the survey, and the rows where it is more already."""
    wanted = level.sigma.to(left).square()[None]
    rest = (wanted - left).clamp_min(0.0)
    share = rest / wanted
    short = torch.nonzero((left > wanted).any(1)).flatten().tolist()
    read = level.read_variance.to(left) * share
    return replace(level, sigma=rest.sqrt(), read_variance=read), short
