"""PSFEx models: reading and writing their tables, evaluating the polynomial, resampling to image pixels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from rosse.errors import FileError, InputError, StorageError
from rosse.io.choose import split_name
from rosse.io.fits import card, open_hdus
from rosse.io.streams import open_stream

LANCZOS = 3  # as in PSFEx, SExtractor and GalSim's DES_PSFEx


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """One band's model; see `FieldPsf` for the meaning of the fields.

    Parameters
    ----------
    basis : (K, h, w)
    zero, scale : of x and y.
    """

    basis: NDArray[np.float64]
    degree: int
    zero: tuple[float, float]
    scale: tuple[float, float]
    sampling: float
    has_pixel: bool = True
    assumed: bool = False


def powers(u: NDArray[np.float64], v: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Polynomial terms (B, K) in PSFEx's order: 1, u, u^2, ..., v, u v, ..., v^2."""
    return np.stack([u**i * v**j for i, j in exponents(degree)], axis=-1)


def exponents(degree: int) -> list[tuple[int, int]]:
    """Exponents of u and v of each term."""
    return [(i, j) for j in range(degree + 1) for i in range(degree + 1 - j)]


def on_pixels(basis: NDArray[np.float64], sampling: float) -> NDArray[np.float64]:
    """Images (..., h, w) interpolated at steps of one image pixel, to an odd size centred on ``(h // 2, w // 2)``."""
    height, width = basis.shape[-2:]
    return _steps(height, sampling) @ basis @ _steps(width, sampling).T


def _steps(size: int, sampling: float) -> NDArray[np.float64]:
    """Matrix (pixels, samples) of Lanczos weights, rows normalised so that a constant stays constant."""
    centre = size // 2
    half = max(1, math.ceil((size - centre - 1) * sampling - 1e-6), math.ceil(centre * sampling - 1e-6))
    at = np.arange(-half, half + 1) / sampling + centre
    reach = np.arange(-LANCZOS - 1, size + LANCZOS + 1)  # samples beyond the stamp count as zero, with their weight
    offset = at[:, None] - reach[None, :]
    weights = np.where(np.abs(offset) < LANCZOS, np.sinc(offset) * np.sinc(offset / LANCZOS), 0.0)
    total = weights.sum(axis=1, keepdims=True)
    return (weights / np.where(np.abs(total) > 1e-12, total, 1.0))[:, LANCZOS + 1 : LANCZOS + 1 + size]


def common(models: Sequence[Model]) -> list[Model]:
    """The same models with one degree, zero, scale, sampling and size."""
    if len({model.has_pixel for model in models}) > 1:
        raise InputError("some bands' PSFs contain the pixel and some do not; give PSFs of one kind")
    if len({model.sampling for model in models}) > 1:
        models = [replace(m, basis=on_pixels(m.basis, m.sampling), sampling=1.0) for m in models]
    degree = max(model.degree for model in models)
    varying = next((model for model in models if model.degree), models[0])
    models = [_recast(model, degree, varying.zero, varying.scale) for model in models]
    size = tuple(max(model.basis.shape[axis] for model in models) for axis in (1, 2))
    return [replace(model, basis=_padded(model.basis, size)) for model in models]


def _recast(model: Model, degree: int, zero: tuple[float, float], scale: tuple[float, float]) -> Model:
    """The same polynomial with a higher degree and other zero points and scales, by the binomial theorem."""
    if (model.degree, model.zero, model.scale) == (degree, zero, scale):
        return model
    slope = [scale[k] / model.scale[k] for k in (0, 1)]
    shift = [(zero[k] - model.zero[k]) / model.scale[k] for k in (0, 1)]
    terms = exponents(degree)
    basis = np.zeros((len(terms), *model.basis.shape[1:]))
    for (i, j), image in zip(exponents(model.degree), model.basis, strict=True):
        for a in range(i + 1):
            for b in range(j + 1):
                factor = math.comb(i, a) * slope[0] ** a * shift[0] ** (i - a)
                factor *= math.comb(j, b) * slope[1] ** b * shift[1] ** (j - b)
                basis[terms.index((a, b))] += factor * image
    return replace(model, basis=basis, degree=degree, zero=zero, scale=scale)


def _padded(basis: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    pads = [(0, 0)]
    for have, want in zip(basis.shape[1:], size, strict=True):
        before = want // 2 - have // 2
        pads.append((before, want - have - before))
    return np.pad(basis, pads)


def has_table(path: str) -> bool:
    """Whether a FITS file holds a table at all: a quick look, since most PSFs of cutouts are plain stamps."""
    with open_stream(path) as stream:
        stream.seek(0)
        return b"XTENSION= 'BINTABLE'" in stream.read()


def read(name: str) -> list[tuple[str, Model]]:
    """Models in a FITS file with their bands; empty if the file holds no PSFEx table."""
    path, wanted = split_name(name)
    with open_hdus(path) as (hdus, _):
        found = []
        for i, hdu in enumerate(hdus):
            column = _column(hdu, "PSF_MASK")
            if column is not None:
                found.append((i, hdu, column))
        if not found:
            return []
        models = []
        for i, hdu, column in found:
            try:
                rows = hdu.data
            except (OSError, TypeError, ValueError) as err:
                raise FileError(f"{path} is truncated or damaged: its PSFEx table cannot be read ({err})") from err
            labels = [_label(hdu, row, len(rows)) for row in rows]
            models += [
                (i, label, _band(hdu), _model(path, hdu, row, column)) for label, row in zip(labels, rows, strict=True)
            ]
    return _chosen(path, wanted, models)


def _chosen(path: str, wanted: str | int | None, models: list[Any]) -> list[tuple[str, Model]]:
    if wanted is not None:
        key = str(wanted).strip().lower()
        models = [m for m in models if m[0] == wanted or key in m[1].lower().split("/")] or _absent(
            path, wanted, models
        )
    bands = [band for _, _, band, _ in models]
    ours = [m[1] for m in models] == [_plane(i) for i in range(len(models))]  # bands that nobody has named
    if len(models) > 1 and len({band for band in bands if band}) < len(models) and not ours:
        labels = [label or str(i) for i, label, _, _ in models]
        shown = ", ".join(labels[:12]) + (f", ... {len(labels)} in all" if len(labels) > 12 else "")
        raise FileError(f"{path} holds {len(models)} PSF models: {shown}; name one, e.g. '{path}[{labels[0]}]'")
    return [(band, model) for _, _, band, model in models]


def _absent(path: str, wanted: str | int, models: list[Any]) -> list[Any]:
    labels = ", ".join(str(label or i) for i, label, _, _ in models[:12])
    raise FileError(f"{path} has no PSF model {wanted!r}; it holds {labels}")


def _label(hdu: Any, row: Any, count: int) -> str:
    """Names by which a model can be picked: the CCD in a table of many rows, else the plane or the extension."""
    plane = card(hdu.header, "PLANE")
    if plane is not None:
        return _plane(plane)
    ccd = _column(hdu, "CCDNAME")
    if ccd is None:
        return str(hdu.name) if count == 1 else ""
    exposure = _column(hdu, "EXPNUM")
    name = str(row[ccd]).strip()
    return name if exposure is None else f"{name}/{row[exposure]}"


def _plane(number: int) -> str:
    return f"plane{number}"


def _band(hdu: Any) -> str:
    return str(card(hdu.header, "BAND") or "").strip()


def _column(hdu: Any, name: str) -> str | None:
    if not isinstance(hdu, fits.BinTableHDU):
        return None
    return next((column for column in hdu.columns.names if column.upper() == name), None)


def _model(path: str, hdu: Any, row: Any, column: str) -> Model:
    def get(key: str, default: Any = None) -> Any:
        """A number of the model: a column of the row, else a card."""
        named = _column(hdu, key)
        value = row[named] if named is not None else card(hdu.header, key)
        if value is None and default is None:
            raise FileError(f"{path}: the PSFEx table has neither a column nor a card {key}")
        return default if value is None else value

    masks = np.asarray(row[column], dtype=np.float64)
    masks = masks[None] if masks.ndim == 2 else masks
    degree = int(get("POLDEG1", 0)) if int(get("POLNAXIS", 2)) else 0
    if int(get("POLNGRP", 1)) > 1 or (int(get("POLNAXIS", 2)) not in (0, 2)):
        raise FileError(f"{path}: the PSFEx model varies with more than the position (POLNGRP, POLNAXIS); one that "
                        "depends on x and y alone is wanted")  # fmt: skip
    terms = (degree + 1) * (degree + 2) // 2
    if masks.ndim != 3 or len(masks) < terms:
        raise FileError(f"{path}: PSF_MASK has shape {masks.shape}; {terms} images are wanted for degree {degree}")
    # tables of many CCDs are padded to the largest model
    height, width = int(get("PSFAXIS2", masks.shape[1])), int(get("PSFAXIS1", masks.shape[2]))
    return Model(
        basis=masks[:terms, :height, :width].copy(),
        degree=degree,
        zero=(float(get("POLZERO1", 0.0)) - 1.0, float(get("POLZERO2", 0.0)) - 1.0),  # FITS pixels start at 1
        scale=(float(get("POLSCAL1", 1.0)), float(get("POLSCAL2", 1.0))),
        sampling=float(get("PSF_SAMP")) or 1.0,
        has_pixel=bool(get("HASPIXEL", True)),
        assumed=bool(get("ASSUMED", False)),
    )


def write(path: Path, models: Sequence[tuple[str, Model]]) -> None:
    """Write models as PSFEx tables, one HDU per band."""
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for i, (band, model) in enumerate(models):
        count, height, width = model.basis.shape
        column = fits.Column("PSF_MASK", f"{model.basis.size}D", dim=f"({width},{height},{count})",
                             array=model.basis[None])  # fmt: skip
        hdu = fits.BinTableHDU.from_columns([column], name="PSF_DATA")
        cards: list[tuple[str, Any, str]] = [
            ("POLNAXIS", 2, "Number of context parameters"),
            ("POLGRP1", 1, "Polynomial group"),
            ("POLNAME1", "X_IMAGE", "Name of the first context parameter"),
            ("POLZERO1", model.zero[0] + 1.0, "Offset value, pixels from 1"),
            ("POLSCAL1", model.scale[0], "Scale value"),
            ("POLGRP2", 1, "Polynomial group"),
            ("POLNAME2", "Y_IMAGE", "Name of the second context parameter"),
            ("POLZERO2", model.zero[1] + 1.0, "Offset value, pixels from 1"),
            ("POLSCAL2", model.scale[1], "Scale value"),
            ("POLNGRP", 1, "Number of context groups"),
            ("POLDEG1", model.degree, "Polynomial degree"),
            ("PSFNAXIS", 3, "Dimensionality of the PSF data"),
            ("PSFAXIS1", width, "Number of elements along this axis"),
            ("PSFAXIS2", height, "Number of elements along this axis"),
            ("PSFAXIS3", count, "Number of elements along this axis"),
            ("PSF_SAMP", model.sampling, "Image pixels per sample"),
            ("HASPIXEL", model.has_pixel, "Pixel integration is contained"),
            ("ASSUMED", model.assumed, "Not measured: a guess for a first fit"),
        ]
        hdu.header.extend(cards, strip=False)
        if band:
            hdu.header["BAND"] = (band, "Filter")
        elif len(models) > 1:
            hdu.header["PLANE"] = (i, "Number of the band, which has no name")
        hdus.append(hdu)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hdus.writeto(path, overwrite=True)
    except OSError as err:
        raise StorageError(f"{path} cannot be written: {err.strerror or err}") from err
