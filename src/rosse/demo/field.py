"""A simulated field as the DECam Legacy Survey would see it: three bands, WCS, noise, and every object's truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.demo.places import writing
from rosse.demo.population import BANDS, Frame, draw_objects, truth_table
from rosse.errors import InputError, require
from rosse.surveys import SURVEYS

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.table import Table
    from astropy.wcs import WCS

SURVEY = SURVEYS["decals"].select(BANDS)
MOFFAT_BETA = 3.0
PSF_SHEAR = ((0.020, -0.010), (-0.012, 0.018), (0.008, 0.025))  # (g1, g2) of each band's PSF
READ_NOISE = 5.0  # electrons; the rest of the sky's variance is Poisson
PSF_SIZE = 63  # pixels; holds 99.9 % of the light

Progress = Callable[[int, int], None]  # objects drawn, of all


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedField:
    """A field whose truth is known.

    Parameters
    ----------
    flux : (C, H, W) float32, nanomaggies, sky subtracted.
    ivar : (C, H, W) float32
        Inverse of the true variance: sky, read noise and the Poisson noise of the sources.
    bands : C names.
    header : FITS header of the TAN world coordinates.
    truth : one row per object, galaxies and stars; columns as in `rosse.demo.population.TRUTH_COLUMNS`.
    psf : (C, h, w) unit sum, integrated over the pixel, centred on pixel ``(h // 2, w // 2)``.
    """

    flux: NDArray[np.float32]
    ivar: NDArray[np.float32]
    bands: tuple[str, ...]
    header: Header
    truth: Table
    psf: NDArray[np.float64]

    def write(self, directory: str | Path) -> dict[str, Path]:
        """Write ``field-BAND.fits``, ``field-ivar-BAND.fits``, ``field-psf-BAND.fits`` and ``truth.fits``.

        Returns
        -------
        dict
            ``"g"`` → image, ``"ivar-g"`` → inverse variance, ``"psf-g"`` → PSF, ..., ``"truth"`` → truth.
        """
        folder = Path(directory)
        files: dict[str, Path] = {}
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for i, band in enumerate(self.bands):
                files[band] = _write_image(folder / f"field-{band}.fits", self.flux[i], self._about(band, "nanomaggy"))
                about = self._about(band, "1/nanomaggy^2")
                files[f"ivar-{band}"] = _write_image(folder / f"field-ivar-{band}.fits", self.ivar[i], about)
                files[f"psf-{band}"] = _write_image(folder / f"field-psf-{band}.fits", self.psf[i])
            files["truth"] = folder / "truth.fits"
            self.truth.write(files["truth"], overwrite=True)
        return files

    def _about(self, band: str, unit: str) -> Header:
        header = self.header.copy()
        header["FILTER"] = band
        header["BUNIT"] = unit
        header["MAGZERO"] = (SURVEY.zeropoint[SURVEY.index(band)], "AB magnitude of one nanomaggy")
        header["ORIGIN"] = ("rosse demo", "simulated with GalSim, not observed")
        return header


def simulate_field(
    *,
    size: int = 1400,
    galaxies: int = 340,
    stars: int = 60,
    seed: int = 1845,
    centre: tuple[float, float] = (150.1, 2.2),
    rotation: float = 0.0,
    progress: Progress | None = None,
) -> SimulatedField:
    """Draw a field with GalSim; the same arguments give the same field.

    Depth, PSF widths, pixel scale, zero points and gains are those of ``SURVEYS["decals"]``. The sky's variance per
    pixel is set so that a point source at the survey's depth has S/N 5 when it is weighted by the PSF. Noise is
    independent from pixel to pixel, which that of a real coadd is not quite. No galaxy has arms, bars or clumps.

    Parameters
    ----------
    size : pixels on a side.
    galaxies : how many; about seven in ten are single Sersic profiles, the rest a bulge and a disc.
    stars : how many point sources.
    seed : of everything random.
    centre : ra and dec of the field's centre, degrees.
    rotation : angle from the image's +y axis to north, degrees, counter-clockwise.
    progress : called with (objects drawn, all objects) after each one.
    """
    if size < 128 or galaxies < 0 or stars < 0:
        raise InputError(f"size {size}, galaxies {galaxies}, stars {stars}: at least 128 pixels and no negative counts")
    rng = np.random.default_rng(seed)
    values = draw_objects(rng, Frame(size=size, scale=SURVEY.scale), galaxies, stars)
    wcs = _world(size, centre, rotation)
    values["ra"], values["dec"] = wcs.pixel_to_world_values(values["x"], values["y"])
    truth = truth_table(values)
    light, psf = _draw(truth, wcs, size, progress)
    flux, ivar = _expose(rng, light, psf)
    return SimulatedField(flux=flux, ivar=ivar, bands=BANDS, header=wcs.to_header(), truth=truth, psf=psf)


def read_truth(path: str | Path) -> Table:
    """The truth as `SimulatedField.write` put it down: NaN stays NaN and text is text."""
    from astropy.table import Table

    truth = Table.read(path, mask_invalid=False)
    truth.convert_bytestring_to_unicode()
    return truth


def _world(size: int, centre: tuple[float, float], rotation: float) -> WCS:
    """TAN projection, east to the left of north."""
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    step, angle = SURVEY.scale / 3600, np.deg2rad(rotation)
    wcs.wcs.crpix = [(size + 1) / 2, (size + 1) / 2]
    wcs.wcs.crval = list(centre)
    wcs.wcs.cd = step * np.array([[-np.cos(angle), -np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.set()
    return wcs


def _draw(
    truth: Table, wcs: WCS, size: int, progress: Progress | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Noise-free light (C, size, size) of every object, and the PSF (C, PSF_SIZE, PSF_SIZE)."""
    galsim = require("galsim", extra="demo")
    precision = galsim.GSParams(folding_threshold=2e-3, maximum_fft_size=16384)
    psfs = [
        galsim.Moffat(beta=MOFFAT_BETA, fwhm=fwhm, gsparams=precision).shear(g1=g1, g2=g2)
        for fwhm, (g1, g2) in zip(SURVEY.psf_fwhm, PSF_SHEAR, strict=True)
    ]
    images = [galsim.ImageD(size, size, xmin=0, ymin=0, init_value=0.0) for _ in BANDS]
    angles = np.deg2rad(truth["pa"]) + _north(wcs, truth)
    for i, row in enumerate(truth):
        for image, psf, band in zip(images, psfs, BANDS, strict=True):
            profile = psf * _flux(row, band) if row["kind"] == "star" else _galaxy(row, band, angles[i], psf)
            _paint(profile, image, float(row["x"]), float(row["y"]))
        if progress is not None:
            progress(i + 1, len(truth))
    stamps = [p.drawImage(nx=PSF_SIZE, ny=PSF_SIZE, scale=SURVEY.scale, dtype=float).array for p in psfs]
    psf_images = np.stack([stamp / stamp.sum() for stamp in stamps])
    return np.stack([image.array for image in images]), psf_images


def _north(wcs: WCS, truth: Table) -> NDArray[np.float64]:
    """Direction of north at each object, radians from +x to +y."""
    step = 1 / 3600
    x, y = wcs.world_to_pixel_values(truth["ra"], np.asarray(truth["dec"]) + step)
    direction: NDArray[np.float64] = np.arctan2(y - np.asarray(truth["y"]), x - np.asarray(truth["x"]))
    return direction


def _flux(row: Any, band: str) -> float:
    zeropoint = SURVEY.zeropoint[SURVEY.index(band)]
    return float(10 ** (-0.4 * (row[f"mag_{band}"] - zeropoint)))


def _galaxy(row: Any, band: str, angle: float, psf: Any) -> Any:
    """PSF-convolved galaxy with its flux in one band; `angle` of the major axis in radians from +x to +y."""
    galsim = require("galsim", extra="demo")

    def part(n: float, r_e: float, q: float) -> Any:
        # GalSim's half-light radius is that of the circle which is sheared: sqrt(a b).
        profile = galsim.Sersic(n=float(n), half_light_radius=float(r_e * np.sqrt(q)), gsparams=psf.gsparams)
        return profile.shear(q=float(q), beta=angle * galsim.radians)

    if row["kind"] == "galaxy":
        whole = part(row["n"], row["r_e"], row["q"])
    else:
        ratio = float(row[f"bulge_to_total_{band}"])
        bulge = part(row["bulge_n"], row["bulge_r_e"], row["bulge_q"])
        whole = ratio * bulge + (1 - ratio) * part(1.0, row["disc_r_e"], row["disc_q"])
    return galsim.Convolve(whole * _flux(row, band), psf)


def _paint(profile: Any, image: Any, x: float, y: float) -> None:
    """Add a profile to the field on a stamp that holds all but 0.2 % of its light."""
    galsim = require("galsim", extra="demo")
    side = min(profile.getGoodImageSize(SURVEY.scale), 2 * image.array.shape[0])
    stamp = profile.drawImage(
        nx=side, ny=side, scale=SURVEY.scale, center=galsim.PositionD(x, y), dtype=float, method="auto"
    )
    common = stamp.bounds & image.bounds
    if common.isDefined():
        image[common] += stamp[common]


def _expose(
    rng: np.random.Generator, light: NDArray[np.float64], psf: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sky-subtracted flux with Poisson and read noise, and the inverse of its true variance."""
    flux, ivar = np.empty(light.shape, np.float32), np.empty(light.shape, np.float32)
    for i in range(len(light)):
        gain = SURVEY.gain[i]
        faintest = 10 ** (-0.4 * (SURVEY.depth[i] - SURVEY.zeropoint[i]))
        variance = (faintest / 5 * gain) ** 2 * np.square(psf[i]).sum()  # electrons^2 per pixel
        sky = variance - READ_NOISE**2
        if sky <= 0:
            raise InputError(f"{SURVEY.bands[i]}: a read noise of {READ_NOISE} e- leaves nothing for the sky")
        expected = np.clip(light[i], 0, None) * gain + sky  # FFT ringing may dip below zero by a rounding error
        electrons = rng.poisson(expected) + rng.normal(0, READ_NOISE, expected.shape)
        flux[i] = (electrons - sky) / gain
        ivar[i] = gain**2 / (expected + READ_NOISE**2)
    return flux, ivar


def _write_image(path: Path, image: NDArray[Any], header: Header | None = None) -> Path:
    from astropy.io import fits

    fits.PrimaryHDU(image.astype(np.float32), header=header).writeto(path, overwrite=True)
    return path
