"""Mosaics: a field of the virtual sky as one image per band, with world coordinates, noise, PSF and the truth."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.errors import InputError, OptionError, StorageError
from rosse.io.psf_files import FieldPsf
from rosse.io.psfex import exponents, powers
from rosse.sky import chance
from rosse.sky.draw import draw
from rosse.sky.extents import stamp_sides
from rosse.sky.fields import Pointing, check_places, turned
from rosse.sky.noise import Level, Noise, correlate, deviations, few_electrons, noise_level, variance
from rosse.sky.psf import Psf, psf_stamps, survey_psf
from rosse.surveys import Survey
from rosse.surveys import survey as known_survey
from rosse.tables import to_arrow

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.table import Table

TOGETHER = 2**21  # pixels of stamps that are drawn at a time
STRIP = 256  # rows of the mosaic whose noise is drawn at a time
DEGREE = 3  # of the polynomial by which a PSF that varies is written
# AB magnitude of one flux unit → its name in a header.
UNITS = {22.5: "nanomaggy", 31.4: "nJy", 23.9: "uJy", 28.9: "10*nJy"}


@dataclass(frozen=True, kw_only=True)
class PsfVariation:
    """How a PSF changes over a field: smooth polynomials of degree two with random coefficients.

    Parameters
    ----------
    width : typical change of the width from the field's middle to its edge, relative.
    ellipticity : the same of each component of the reduced shear.
    """

    width: float = 0.03
    ellipticity: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.width < 0.5 or not 0 <= self.ellipticity < 0.2:
            raise OptionError(
                f"a variation of the PSF's width of {self.width} and ellipticity of {self.ellipticity} came; 0 to 0.5 "
                "and 0 to 0.2 are wanted"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldView:
    """How a survey takes an image of a field.

    Parameters
    ----------
    bands : of the survey; empty: all of them.
    psf : typical PSF; None: the survey's.
    variation : of the PSF over the field; None: it is the same everywhere.
    noise : what spoils the image; None: nothing.
    sky : (C,) factors of the sky's variance, e.g. of a bright night; empty: the survey's own.
    """

    bands: tuple[str, ...] = ()
    psf: Psf | None = None
    variation: PsfVariation | None = None
    noise: Noise | None = field(default_factory=Noise)
    sky: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """An image of a field, and the truth.

    Parameters
    ----------
    flux, ivar : (C, H, W) float32, sky-subtracted, and the inverse of its pixels' variance.
    light : (C, H, W) float32 without noise.
    pointing : its place on the sky.
    survey : bands, zero points and gain, with the pointing's scale.
    psf : of the field.
    truth : the objects whose light was drawn, with `ra`, `dec`, `x`, `y` and `mag_BAND`.
    noise_correlation : variance of a large aperture over the sum of its pixels' variances.
    """

    flux: NDArray[np.float32]
    ivar: NDArray[np.float32]
    light: NDArray[np.float32]
    pointing: Pointing
    survey: Survey
    psf: FieldPsf
    truth: Table
    noise_correlation: float = 1.0

    def header(self, band: int) -> Header:
        """FITS header of a band: world coordinates, zero point, gain."""
        header = self.pointing.wcs().to_header()
        zeropoint = self.survey.zeropoint[band]
        header["FILTER"] = self.survey.bands[band]
        header["BUNIT"] = UNITS.get(zeropoint, "count")
        header["MAGZERO"] = (zeropoint, "AB magnitude of one flux unit")
        header["GAIN"] = (self.survey.gain[band], "electrons per flux unit")
        header["EXPTIME"] = (1.0, "s; the whole exposure is in GAIN")
        header["PSFFWHM"] = (self.survey.psf_fwhm[band], "typical PSF, before the pixel [arcsec]")
        header["NOISECOR"] = (self.noise_correlation, "variance of apertures over that of pixels")
        header["ORIGIN"] = (f"rosse, virtual {self.survey.name}", "simulated, not observed")
        return header

    def write(self, directory: str | os.PathLike[str]) -> dict[str, Path]:
        """Write ``BAND.fits``, ``BAND.ivar.fits``, ``psf.fits``, ``truth.parquet`` and ``run.toml``.

        Within the directory, ``rosse run --config run.toml`` measures the field.

        Returns
        -------
        dict
            ``"g"`` → image, ``"ivar-g"``, ..., ``"psf"``, ``"truth"``, ``"config"`` → files.
        """
        folder = Path(directory)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return self._write(folder)
        except OSError as err:
            raise StorageError(f"{folder} cannot be written: {err.strerror or err}") from err

    def _write(self, folder: Path) -> dict[str, Path]:
        import pyarrow.parquet as pq
        from astropy.io import fits

        files: dict[str, Path] = {}
        for band, name in enumerate(self.survey.bands):
            for key, ending, values in ((name, "", self.flux), (f"ivar-{name}", ".ivar", self.ivar)):
                header = self.header(band)
                if ending:
                    header["BUNIT"] = f"1/({header['BUNIT']})^2"
                files[key] = folder / f"{name}{ending}.fits"
                _replace(files[key], lambda path, v=values[band], h=header: fits.PrimaryHDU(v, h).writeto(path))
        files |= {"psf": folder / "psf.fits", "truth": folder / "truth.parquet", "config": folder / "run.toml"}
        _replace(files["psf"], self.psf.to_fits)
        _replace(files["truth"], lambda path: pq.write_table(to_arrow(self.truth), path))
        _replace(files["config"], lambda path: path.write_text(self._config(), encoding="utf-8"))
        return files

    def _config(self) -> str:
        tables = ((key, ending) for key, ending in (("bands", ""), ("ivar", ".ivar")))
        text = 'out = "catalogue"\npsf = "psf.fits"\n'
        for key, ending in tables:
            text += f"\n[{key}]\n" + "".join(f'{band} = "{band}{ending}.fits"\n' for band in self.survey.bands)
        return text


def mosaic(
    table: Table, pointing: Pointing, survey: Survey | str = "lsst", *, seed: int = 0, view: FieldView | None = None
) -> Field:
    """Image of a field.

    Parameters
    ----------
    table : rows of a population with `ra` and `dec` (`populate`), and ``meta["seed"]``.
    pointing : the image's place; its scale may differ from the survey's, the depth stays.
    survey : who looks.
    seed : of noise and PSF.
    view : how to look.
    """
    check_places(table)
    view = view or FieldView()
    known = known_survey(survey)
    known = replace(known.select(tuple(view.bands) or known.bands), scale=pointing.scale)
    shape = view.psf or survey_psf(known)
    psf = field_psf(shape, known, pointing, seed=seed, variation=view.variation)
    typical = psf_stamps(shape, pointing.scale)
    count = shape.oversampling(pointing.scale)
    level = noise_level(known, typical, noise=view.noise or Noise(), oversampling=count)
    if view.sky:
        level = _brighter(level, view.sky)
    light, truth = _drawn(table, pointing, known, psf=(psf, count), level=level)
    flux, ivar = _exposed(light, level, view.noise, (seed, known.name))
    return Field(
        flux=flux, ivar=ivar, light=light.numpy(), pointing=pointing, survey=known, psf=psf, truth=truth,
        noise_correlation=1.0 if view.noise is None else view.noise.correlation,
    )  # fmt: skip


def field_psf(
    psf: Psf, survey: Survey, pointing: Pointing, *, seed: int = 0, variation: PsfVariation | None = None
) -> FieldPsf:
    """PSF of a field; where it varies, a polynomial of degree 3 in the place, fitted to stamps of the true shapes.

    The images are drawn with the polynomial: it is the truth, not an approximation of it.
    """
    count = psf.oversampling(pointing.scale)
    height, width = pointing.shape
    if variation is None:
        stamps = psf_stamps(psf, pointing.scale, far=True)[0].double().numpy()
        return FieldPsf(basis=stamps[:, None], sampling=1.0 / count, bands=survey.bands)
    u, v = (grid.ravel() for grid in np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-1, 1, 7)))
    factor, shear = _shapes(variation, survey, seed, (u, v))
    stamps = psf_stamps(psf, pointing.scale, width=factor, shear=shear, far=True).double().numpy()
    terms = powers(u, v, DEGREE)
    basis = np.linalg.lstsq(terms, stamps.reshape(len(u), -1), rcond=None)[0]
    return FieldPsf(
        basis=basis.reshape(-1, *stamps.shape[1:]).swapaxes(0, 1), degree=DEGREE,
        x_zero=(width - 1) / 2, y_zero=(height - 1) / 2, x_scale=width / 2, y_scale=height / 2, sampling=1.0 / count,
        bands=survey.bands,
    )  # fmt: skip


def _shapes(
    variation: PsfVariation, survey: Survey, seed: int, at: tuple[NDArray[Any], NDArray[Any]]
) -> tuple[Tensor, Tensor]:
    """Factors of the width (N, C) and shears (N, C, 2) at places of the field, -1 to 1."""
    terms = torch.as_tensor(powers(*at, 2)[:, 1:])  # without the constant: the middle is typical
    one = torch.zeros(1, dtype=torch.int64)
    count = len(exponents(2)) - 1
    each = [chance.normal(seed, one, f"psf field {survey.name} {band}", (3, count))[0] for band in survey.bands]
    value = torch.einsum("nk,cpk->ncp", terms, torch.stack(each)) / count**0.5
    value = value.clamp(-3, 3)
    return torch.exp(variation.width * value[..., 0]), variation.ellipticity * value[..., 1:]


def stamps_at(psf: FieldPsf, x: NDArray[Any], y: NDArray[Any], *, most: int) -> Tensor:
    """PSF stamps (B or 1, C, h, w) of unit sum at places of the field, in the PSF's own sampling.

    They are cut to `most` samples or one more: wings that reach farther show in bright stars only, on large stamps.
    """
    cut = max(0, (psf.basis.shape[-1] - most) // 2)
    within = slice(cut, psf.basis.shape[-1] - cut)
    basis = psf.basis[..., within, within]
    if psf.degree == 0:
        images = basis[None, :, 0]
    else:
        u, v = (x - psf.x_zero) / psf.x_scale, (y - psf.y_zero) / psf.y_scale
        images = np.einsum("bk,ckhw->bchw", powers(u, v, psf.degree), basis, optimize=True)
    return torch.as_tensor(images / images.sum((-2, -1), keepdims=True), dtype=torch.float32)


def _brighter(level: Level, sky: tuple[float, ...]) -> Level:
    if len(sky) != len(level.sigma) or min(sky) <= 0:
        raise InputError(f"sky is {sky}; {len(level.sigma)} positive factors are wanted, one for each band")
    factor = torch.tensor(sky, dtype=torch.float64)
    photons = (level.sigma * level.gain).square() - level.read_variance
    return replace(level, sigma=(photons * factor + level.read_variance).sqrt() / level.gain)


def _drawn(
    table: Table, pointing: Pointing, survey: Survey, *, psf: tuple[FieldPsf, int], level: Level
) -> tuple[Tensor, Table]:
    """Noiseless image (C, H, W), and the truth of what is in it."""
    x, y = pointing.pixels(table)
    sides = stamp_sides(table, survey, level.sigma.numpy(), reach=psf[0].basis.shape[-1] // (2 * psf[1]))
    inside = (np.abs(x - (pointing.shape[1] - 1) / 2) < (pointing.shape[1] + sides) / 2) & (
        np.abs(y - (pointing.shape[0] - 1) / 2) < (pointing.shape[0] + sides) / 2
    )
    table, x, y, sides = table[inside], x[inside], y[inside], sides[inside]
    seen = turned(table, pointing.rotation)
    image = torch.zeros(len(survey.bands), *pointing.shape)
    total = np.zeros((len(table), len(survey.bands)))
    for side in np.unique(sides):
        rows = np.flatnonzero(sides == side)
        step = max(1, TOGETHER // int(side) ** 2)
        for some in (rows[i : i + step] for i in range(0, len(rows), step)):
            corner = np.stack([np.floor(x[some] + 0.5), np.floor(y[some] + 0.5)], 1).astype(int) - side // 2
            stamps = draw(
                seen[some], survey, frame=(int(side), int(side)), scale=pointing.scale,
                psf=stamps_at(psf[0], x[some], y[some], most=int(side) * psf[1]), psf_oversampling=psf[1],
                seed=int(table.meta["seed"]), centre=torch.as_tensor(np.stack([x[some], y[some]], 1) - corner),
            ).flux  # fmt: skip
            total[some] = stamps.double().sum((-2, -1)).numpy()
            for stamp, (left, bottom) in zip(stamps, corner, strict=True):
                paste(image, stamp, int(bottom), int(left))
    return image, _truth(table, survey, (x, y), total)


def paste(image: Tensor, stamp: Tensor, bottom: int, left: int) -> None:
    """Add a stamp (C, h, w), whose first pixel lies at row `bottom` and column `left`, to an image (C, H, W)."""
    (height, width), (h, w) = image.shape[-2:], stamp.shape[-2:]
    low_y, low_x, high_y, high_x = max(bottom, 0), max(left, 0), min(bottom + h, height), min(left + w, width)
    if low_y < high_y and low_x < high_x:
        part = stamp[:, low_y - bottom : high_y - bottom, low_x - left : high_x - left]
        image[:, low_y:high_y, low_x:high_x] += part


def _truth(table: Table, survey: Survey, at: tuple[NDArray[Any], NDArray[Any]], flux: NDArray[Any]) -> Table:
    from astropy.table import Column

    out = table.copy()
    for name, values in zip(("x", "y"), at, strict=True):
        out[name] = Column(values, unit="pix", description=f"{name} of the centre, 0 at the first pixel's centre")
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitudes = np.asarray(survey.zeropoint) - 2.5 * np.log10(flux)
    for i, band in enumerate(survey.bands):
        about = f"AB magnitude of the light that was drawn, {survey.name} {band}"
        out[f"mag_{band}_seen"] = Column(magnitudes[:, i], unit="mag", description=about)
    return out


def _exposed(
    light: Tensor, level: Level, noise: Noise | None, key: tuple[int, str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Image and inverse variance (C, H, W) with noise, drawn strip by strip."""
    kernel = None if noise is None else noise.kernel
    edge = (0, 0) if kernel is None else tuple(side // 2 for side in kernel.shape)
    wide = torch.nn.functional.pad(light[None], (edge[1], edge[1], edge[0], edge[0]), mode="replicate")[0]
    spread = torch.empty_like(wide)
    added = torch.zeros_like(wide)
    for number, first in enumerate(range(0, wide.shape[1], STRIP)):
        strip = wide[None, :, first : first + STRIP]
        spread[:, first : first + STRIP] = variance(strip, level)[0]
        if noise is not None:
            added[:, first : first + STRIP] = _strip_noise(strip, level, (key[0], number, key[1]))[0]
    if kernel is not None:
        spread, added = correlate(spread[None], kernel.square())[0], correlate(added[None], kernel)[0]
    return (light + added).numpy(), spread.reciprocal_().numpy()


def _strip_noise(strip: Tensor, level: Level, key: tuple[int, int, str]) -> Tensor:
    row, shape = torch.tensor([key[1]]), tuple(strip.shape[1:])
    few = bool(few_electrons(strip, level).any())
    read = chance.noise(key[0], row, f"field read noise {key[2]}", shape) if few else None
    return deviations(strip, level, normal=chance.noise(key[0], row, f"field noise {key[2]}", shape), read=read)


def _replace(path: Path, write: Any) -> None:
    """Write a file beside its place and put it there in one step."""
    temporary = path.with_name(f".writing-{path.name}")
    temporary.unlink(missing_ok=True)
    write(temporary)
    os.replace(temporary, path)
