"""PSFs from files: stamps, cubes, PSFEx models and what `FieldPsf.to_fits` writes, all as one noun.

A PSFEx model is a polynomial in the position whose coefficients are images, sampled at `PSF_SAMP` image pixels
(Bertin 2011, ASP Conf. Ser. 442, 435). A single stamp is the same with degree 0.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rosse.errors import UNNAMED, InputError, OptionError, bands_text
from rosse.io import psfex
from rosse.io.choose import split_name
from rosse.io.psfex import Model
from rosse.io.say import say
from rosse.io.source import ARRAY_SUFFIXES, Source, open_source

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldPsf:
    """The PSF of a field in C bands as a polynomial in the pixel position.

    Parameters
    ----------
    basis : (C, K, h, w)
        Coefficient images, centred on pixel ``(h // 2, w // 2)``; K = (degree + 1)(degree + 2) / 2, in the order
        1, x, x^2, ..., y, xy, ..., y^2 of PSFEx. One PSF for the whole field has K = 1.
    degree : of the polynomial.
    x_zero, y_zero, x_scale, y_scale : the polynomial's variables are ``(x - x_zero) / x_scale`` and so in y; pixels,
        0 at the centre of the first one.
    sampling : image pixels per sample of `basis`.
    has_pixel : whether the integration over a pixel is contained, as in PSFs made from survey pixels.
    bands : C names, empty where unknown.
    assumed : whether nobody measured it: good for a first fit, not for telling stars from galaxies.
    """

    basis: NDArray[np.float64]
    degree: int = 0
    x_zero: float = 0.0
    y_zero: float = 0.0
    x_scale: float = 1.0
    y_scale: float = 1.0
    sampling: float = 1.0
    has_pixel: bool = True
    bands: tuple[str, ...] = ()
    assumed: bool = False

    def __post_init__(self) -> None:
        basis = np.asarray(self.basis, dtype=np.float64)
        terms = (self.degree + 1) * (self.degree + 2) // 2
        if basis.ndim != 4 or basis.shape[1] != terms or not basis.size:
            raise InputError(f"the PSF basis has shape {basis.shape}; (bands, {terms}, h, w) is wanted for degree "
                             f"{self.degree}")  # fmt: skip
        if not np.isfinite(basis).all():
            raise InputError("the PSF has pixels that are not finite; give one without NaN")
        if not self.sampling > 0 or not self.x_scale or not self.y_scale:
            raise InputError(f"sampling {self.sampling} and scales {self.x_scale}, {self.y_scale} of a PSF are wanted "
                             "positive")  # fmt: skip
        if self.bands and len(self.bands) != len(basis):
            raise InputError(f"the PSF has {len(basis)} planes for the bands {', '.join(self.bands)}")
        object.__setattr__(self, "basis", basis)

    @classmethod
    def constant(cls, stamp: ArrayLike, *, has_pixel: bool = True, bands: Sequence[str] = ()) -> FieldPsf:
        """One PSF for the whole field, from a stamp (h, w) or (C, h, w) on image pixels."""
        array = np.asarray(stamp, dtype=np.float64)
        if array.ndim not in (2, 3):
            raise InputError(f"the PSF has shape {array.shape}; (h, w) or (bands, h, w) is wanted")
        return cls(basis=array.reshape((-1, 1, *array.shape[-2:])), has_pixel=has_pixel, bands=tuple(bands))

    def __repr__(self) -> str:
        count, _, height, width = self.basis.shape
        where = "constant" if self.degree == 0 else f"polynomial of degree {self.degree} in x, y"
        return f"FieldPsf of {width} x {height} samples in {', '.join(self.bands) or f'{count} bands'}, {where}"

    @cached_property
    def on_pixels(self) -> NDArray[np.float64]:
        """`basis` on image pixels, (C, K, h, w) with odd h and w, by Lanczos-3 interpolation as PSFEx does it."""
        return psfex.on_pixels(self.basis, self.sampling)

    def at(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float32]:
        """PSF at B positions: (B, C, h, w), unit sum, odd size, centred on pixel ``(h // 2, w // 2)``.

        Parameters
        ----------
        x, y : (B,) or one number
            Pixel position in the image, 0 at the centre of the first pixel.
        """
        x, y = np.broadcast_arrays(np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float)))
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise InputError("positions of PSFs are not finite")
        u, v = (x - self.x_zero) / self.x_scale, (y - self.y_zero) / self.y_scale
        images = np.einsum("bk,ckhw->bchw", psfex.powers(u, v, self.degree), self.on_pixels, optimize=True)
        total = images.sum(axis=(-2, -1), keepdims=True)
        if (total <= 0).any():
            raise InputError("the PSF sums to zero or less at a position of the image; give one with positive flux")
        return np.asarray(images / total, dtype=np.float32)

    def select(self, bands: Sequence[str]) -> FieldPsf:
        """The same PSF in these bands.

        One plane serves for one band, whatever it is called, and, where it has no name, for all; either is said.
        """
        if len(self.basis) == 1 and (not self.bands or len(bands) == 1):
            if self.bands and self.bands != tuple(bands) and UNNAMED not in (self.bands[0], bands[0]):
                say(log, logging.WARNING, "psf band", "the PSF of band %s is used for band %s", self.bands[0], bands[0])
            if len(bands) > 1:
                say(log, logging.WARNING, "one psf", "one PSF serves for all bands (%s)", ", ".join(bands))
            return replace(self, basis=np.repeat(self.basis, len(bands), axis=0), bands=tuple(bands))
        if not self.bands and len(self.basis) == len(bands):
            return replace(self, bands=tuple(bands))
        missing = [band for band in bands if band not in self.bands]
        if missing:
            has = bands_text(self.bands) if self.bands else f"{len(self.basis)} planes without names"
            if missing == [UNNAMED]:
                raise InputError(f"the image has a band without a name, the PSF has {has}; name the image's with bands")
            raise InputError(f"the PSF lacks {bands_text(missing)}; it has {has}")
        return replace(self, basis=self.basis[[self.bands.index(band) for band in bands]], bands=tuple(bands))

    def to_fits(self, path: str | os.PathLike[str]) -> None:
        """Write a file that `read_psf`, SExtractor and GalSim read: a PSFEx table for each band."""
        psfex.write(Path(path), [
            (name, Model(basis=self.basis[i], degree=self.degree, zero=(self.x_zero, self.y_zero),
                         scale=(self.x_scale, self.y_scale), sampling=self.sampling, has_pixel=self.has_pixel,
                         assumed=self.assumed))
            for i, name in enumerate(self.bands or ("",) * len(self.basis))
        ])  # fmt: skip


def read_psf(
    psf: FieldPsf | str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]] | ArrayLike,
    bands: Sequence[str] | None = None,
    *,
    has_pixel: bool = True,
) -> FieldPsf:
    """PSF of a field from a file, from one file per band, or from an array.

    Parameters
    ----------
    psf : path or ``path[EXT]``, mapping band → path, an array (h, w) or (C, h, w), or a `FieldPsf`, passed on
        A FITS stamp or cube, ``.npy``/``.npz``, a PSFEx file (``.psf``), a table with PSFEx models of many CCDs
        (then ``path[CCDNAME]`` picks one), or a file of `FieldPsf.to_fits`.
    bands : names wanted, in this order; the file's own by default.
    has_pixel : whether stamps contain the integration over the pixel; PSFEx models always do.
    """
    field: FieldPsf
    if isinstance(psf, FieldPsf):
        field = psf
    elif isinstance(psf, Mapping):
        if not psf:
            raise OptionError("psf is an empty mapping; band names with their files are wanted")
        parts = [(str(band), read_psf(path, has_pixel=has_pixel)) for band, path in psf.items()]
        field = join_bands(parts)
    elif isinstance(psf, (str, os.PathLike)):
        field = _from_file(os.fspath(psf), has_pixel)
    else:
        field = _from_source(open_source(np.asarray(psf), role="psf"), has_pixel)
    return field if bands is None else field.select(tuple(bands))


def join_bands(parts: Sequence[tuple[str, FieldPsf]]) -> FieldPsf:
    """One PSF of several bands; sampling, degree, zero points and sizes are brought to common ones without loss.

    (Different samplings are all brought to image pixels, which `FieldPsf.at` would do as well.)
    """
    models = []
    for band, part in parts:
        if len(part.basis) != 1:
            raise InputError(f"the PSF of band {band} has {len(part.basis)} planes; one is wanted")
        models.append(Model(basis=part.basis[0], degree=part.degree, zero=(part.x_zero, part.y_zero),
                            scale=(part.x_scale, part.y_scale), sampling=part.sampling,
                            has_pixel=part.has_pixel, assumed=part.assumed))  # fmt: skip
    return _field(models, [band for band, _ in parts])


def _from_file(name: str, has_pixel: bool) -> FieldPsf:
    path, _ = split_name(os.path.expanduser(name))
    if Path(path).suffix.lower() not in ARRAY_SUFFIXES and psfex.has_table(path):
        named = psfex.read(name)
        if named:
            bands = [band for band, _ in named]
            return _field([model for _, model in named], bands if all(bands) else [])
    return _from_source(open_source(name, role="psf"), has_pixel)


def _field(models: Sequence[Model], bands: Sequence[str]) -> FieldPsf:
    models = psfex.common(models)
    first = models[0]
    return FieldPsf(
        basis=np.stack([model.basis for model in models]),
        degree=first.degree,
        x_zero=first.zero[0],
        y_zero=first.zero[1],
        x_scale=first.scale[0],
        y_scale=first.scale[1],
        sampling=first.sampling,
        has_pixel=first.has_pixel,
        bands=tuple(bands),
        assumed=any(model.assumed for model in models),
    )


def _from_source(source: Source, has_pixel: bool) -> FieldPsf:
    whole = (slice(0, source.shape[0]), slice(0, source.shape[1]))
    stamps = np.stack([plane.read(*whole).astype(np.float64) for plane in source.planes])
    stamps, off = unit_sum(stamps, source.label)
    if off > 1e-3:
        say(log, logging.WARNING, "psf sum",
            "%s: the PSF does not sum to one (off by up to %.2g); it was normalised", source.label, off)  # fmt: skip
    return FieldPsf.constant(stamps, has_pixel=has_pixel, bands=source.bands)


def unit_sum(stamps: NDArray[np.float64], label: str) -> tuple[NDArray[np.float64], float]:
    """Stamps (C, h, w) with unit sum, and how far off they were; an error where they have no finite positive sum."""
    if not np.isfinite(stamps).all():
        raise InputError(f"{label}: the PSF has pixels that are not finite; give one without NaN")
    total = stamps.sum(axis=(-2, -1), keepdims=True)
    if (total <= 0).any():
        raise InputError(f"{label}: the PSF sums to {float(total.min()):.3g}; a positive sum is wanted")
    height, width = stamps.shape[-2:]
    rows, columns = np.mgrid[:height, :width]
    centre = (stamps * np.stack([rows - height // 2, columns - width // 2])[:, None]).sum(axis=(-2, -1)) / total[
        ..., 0, 0
    ]
    if float(np.abs(centre).max()) > 0.25 * max(1.0, 0.02 * min(height, width)):
        say(log, logging.WARNING, "psf centre",
            "%s: the PSF's centroid is %.2f pixels off the pixel (h // 2, w // 2) that is taken as its centre; "
            "fitted positions move by that much", label, float(np.abs(centre).max()))  # fmt: skip
    return stamps / total, float(np.abs(total - 1).max())
