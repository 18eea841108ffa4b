"""The instruments: bands, pixel scale, zero point, PSF, depth and gain of each known survey."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rosse.errors import InputError, OptionError, unknown_name


@dataclass(frozen=True, kw_only=True)
class Survey:
    """A survey as its images are released (coadds, unless its note says otherwise).

    Parameters
    ----------
    name : key in `SURVEYS`.
    bands : C names, in the order of wavelength.
    scale : pixel scale, arcsec/pixel.
    zeropoint : (C,) AB magnitude of one flux unit of the released images.
    psf_fwhm : (C,) typical PSF full width at half maximum, arcsec.
    depth : (C,) 5-sigma point-source depth, AB magnitude.
    gain : (C,) typical effective gain, electrons per flux unit; used for Poisson noise where no noise map is given.
    psf_has_pixel : whether the survey's PSF images already hold the integration over the pixel (they do, where they
        are built from the survey's own pixels).
    reference : where these figures come from.
    """

    name: str
    bands: tuple[str, ...]
    scale: float
    zeropoint: tuple[float, ...]
    psf_fwhm: tuple[float, ...]
    depth: tuple[float, ...]
    gain: tuple[float, ...]
    psf_has_pixel: bool = True
    reference: str = ""

    def __post_init__(self) -> None:
        for field in ("zeropoint", "psf_fwhm", "depth", "gain"):
            values = getattr(self, field)
            if len(values) != len(self.bands):
                raise InputError(f"survey {self.name}: {field} has {len(values)} values for {len(self.bands)} bands")

    def index(self, band: str) -> int:
        """Position of a band, or an error that lists the bands."""
        if band not in self.bands:
            raise OptionError(f"survey {self.name}: " + unknown_name("band", band, self.bands))
        return self.bands.index(band)

    def select(self, bands: tuple[str, ...]) -> Survey:
        """The same survey with these bands only, in this order."""
        at = [self.index(band) for band in bands]
        return replace(
            self,
            bands=bands,
            zeropoint=tuple(self.zeropoint[i] for i in at),
            psf_fwhm=tuple(self.psf_fwhm[i] for i in at),
            depth=tuple(self.depth[i] for i in at),
            gain=tuple(self.gain[i] for i in at),
        )


# Effective gains of coadds vary over the sky by a factor of two and more: they are typical values, meant for images
# that come without a noise map. Nothing uses them where sigma, variance, weight or ivar is given.
SURVEYS: dict[str, Survey] = {
    s.name: s
    for s in (
        Survey(
            name="sdss",
            bands=("u", "g", "r", "i", "z"),
            scale=0.396,
            zeropoint=(22.5,) * 5,
            psf_fwhm=(1.53, 1.44, 1.32, 1.26, 1.29),
            depth=(22.15, 23.13, 22.70, 22.20, 20.71),
            gain=(160.0, 900.0, 950.0, 650.0, 160.0),
            reference="York+2000; frames in nanomaggies, data.sdss.org frame data model; depth of DR7 imaging",
        ),
        Survey(
            name="decals",
            bands=("g", "r", "z"),
            scale=0.262,
            zeropoint=(22.5,) * 3,
            psf_fwhm=(1.29, 1.18, 1.11),
            depth=(24.95, 24.54, 23.02),
            gain=(11000.0, 11000.0, 12000.0),
            reference="Dey+2019, Legacy Surveys DR9 coadds in nanomaggies; gain: 250 s at DECam's 26.6, 26.8, 26.5 mag "
            "(electrons per second)",
        ),
        Survey(
            name="bass-mzls",
            bands=("g", "r", "z"),
            scale=0.262,
            zeropoint=(22.5,) * 3,
            psf_fwhm=(1.61, 1.47, 1.01),
            depth=(24.27, 23.82, 23.26),
            gain=(6000.0, 6300.0, 7500.0),
            reference="Zou+2017 (BASS), Dey+2019 (MzLS), Legacy Surveys DR9 coadds in nanomaggies; gain: the 215, 265, "
            "225 s that reach this depth at 26.1, 25.9, 26.3 mag (electrons per second) and the sky of its exposures",
        ),
        Survey(
            name="des",
            bands=("g", "r", "i", "z", "Y"),
            scale=0.263,
            zeropoint=(30.0,) * 5,
            psf_fwhm=(1.11, 0.95, 0.88, 0.83, 0.90),
            depth=(25.4, 25.1, 24.5, 23.8, 22.4),
            gain=(2.1, 2.4, 2.2, 1.6, 0.5),
            reference="Abbott+2021 (DES DR2)",
        ),
        Survey(
            name="hsc",
            bands=("g", "r", "i", "z", "y"),
            scale=0.168,
            zeropoint=(27.0,) * 5,
            psf_fwhm=(0.77, 0.76, 0.58, 0.68, 0.68),
            depth=(26.5, 26.1, 25.9, 25.1, 24.4),
            gain=(48.0, 46.0, 53.0, 32.0, 18.0),
            reference="Aihara+2018, 2022 (HSC-SSP Wide, PDR2/3)",
        ),
        Survey(
            name="lsst",
            bands=("u", "g", "r", "i", "z", "y"),
            scale=0.2,
            zeropoint=(31.4,) * 6,
            psf_fwhm=(0.92, 0.87, 0.83, 0.80, 0.78, 0.76),
            depth=(26.1, 27.4, 27.5, 26.8, 26.1, 24.9),
            gain=(3.6, 20.0, 43.0, 35.0, 25.0, 12.0),
            reference="Ivezic+2019, ten-year coadds in nanojansky",
        ),
        Survey(
            name="euclid-vis",
            bands=("VIS",),
            scale=0.1,
            zeropoint=(23.9,),
            psf_fwhm=(0.16,),
            depth=(26.2,),
            gain=(1900.0,),
            reference="Euclid Collaboration: Mellier+2025; mosaics in microjansky",
        ),
        Survey(
            name="hst-acs",
            bands=("F435W", "F606W", "F775W", "F814W", "F850LP"),
            scale=0.05,
            zeropoint=(25.68, 26.50, 25.66, 25.95, 24.86),
            psf_fwhm=(0.10, 0.10, 0.10, 0.10, 0.11),
            depth=(27.8, 28.0, 27.5, 27.2, 27.2),
            gain=(2000.0, 2000.0, 2000.0, 2000.0, 2000.0),
            psf_has_pixel=True,
            reference="Giavalisco+2004, Koekemoer+2007; drizzled, electrons per second, STScI zero points",
        ),
        Survey(
            name="jwst-nircam",
            bands=("F090W", "F115W", "F150W", "F200W", "F277W", "F356W", "F444W"),
            scale=0.04,
            zeropoint=(28.9,) * 7,
            psf_fwhm=(0.033, 0.040, 0.050, 0.066, 0.092, 0.116, 0.145),
            depth=(28.4, 28.4, 28.6, 28.8, 29.2, 29.3, 28.9),
            gain=(25.0, 30.0, 32.0, 34.0, 38.0, 38.0, 28.0),
            reference="Bagley+2023 (CEERS), Finkelstein+2025; mosaics in 10 nJy as the DAWN archive releases them",
        ),
        Survey(
            name="csst",
            bands=("NUV", "u", "g", "r", "i", "z", "y"),
            scale=0.074,
            zeropoint=(25.0, 25.4, 26.6, 26.3, 26.1, 25.3, 23.5),
            psf_fwhm=(0.135, 0.135, 0.135, 0.135, 0.145, 0.165, 0.165),
            depth=(25.4, 25.4, 26.3, 26.0, 25.9, 25.2, 24.4),
            gain=(600.0, 300.0, 300.0, 300.0, 300.0, 300.0, 600.0),
            reference="Zhan 2021, Gong+2019; electrons per second, design figures",
        ),
    )
}


def survey(name: str | Survey) -> Survey:
    """Look a survey up by name; a `Survey` of your own is returned as it is."""
    if isinstance(name, Survey):
        return name
    if name not in SURVEYS:
        raise OptionError(unknown_name("survey", name, SURVEYS) + " (or give a rosse.Survey of your own)")
    return SURVEYS[name]
