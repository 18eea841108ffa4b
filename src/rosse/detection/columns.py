"""The source table's columns: names, units, descriptions."""

from __future__ import annotations

from rosse.detection.options import MEANING
from rosse.tables import Column

_FLAGS = "; ".join(f"{flag.value} {text}" for flag, text in MEANING.items())


def source_columns(bands: tuple[str, ...], length: str) -> list[Column]:
    """Columns of a source table.

    Parameters
    ----------
    bands : names; a single band gets no suffix.
    length : unit of `r_half`, ``"arcsec"``, or ``"pix"`` where the pixel scale is unknown.
    """
    return [*_WHERE, *_light(bands), *_what(length)]


def suffixes(bands: tuple[str, ...]) -> tuple[str, ...]:
    """Column suffix of each band: none for a single one, ``_g`` and so on for several."""
    return ("",) if len(bands) == 1 else tuple(f"_{band}" for band in bands)


_WHERE = [
    Column(name="id", description="identifier: image, region and running number", dtype="str"),
    Column(name="ra", unit="deg", description="right ascension of the barycentre, ICRS; NaN without a WCS"),
    Column(name="dec", unit="deg", description="declination of the barycentre, ICRS; NaN without a WCS"),
    Column(name="x_image", unit="pix", description="x of the barycentre in the image, 0 at the first pixel's centre"),
    Column(name="y_image", unit="pix", description="y of the barycentre in the image, 0 at the first pixel's centre"),
    Column(name="a_image", unit="pix", description="rms of the light along the major axis"),
    Column(name="b_image", unit="pix", description="rms of the light along the minor axis"),
    Column(name="pa_image", unit="deg", description="position angle of the major axis, east of north"),
]


def _light(bands: tuple[str, ...]) -> list[Column]:
    columns = []
    for band, end in zip(bands, suffixes(bands), strict=True):
        within = "" if not end else f" in {band}"
        for kind, what in (("auto", "Kron aperture"), ("iso", "detection isophote")):
            columns += [
                Column(name=f"flux_{kind}{end}", description=f"flux within the {what}{within}, unit of the image"),
                Column(
                    name=f"sigma_flux_{kind}{end}",
                    description=f"error of flux_{kind}{end}: noise of the pixels and error of the sky level",
                ),
            ]
        columns += [
            Column(name=f"mag_auto{end}", unit="mag", description=f"AB magnitude of flux_auto{end}"),
            Column(name=f"sigma_mag_auto{end}", unit="mag", description=f"error of mag_auto{end}"),
            Column(
                name=f"sigma_sky{end}",
                unit="pix-1",
                description=f"error of the sky level{within}, unit of the image per pixel",
            ),
        ]
    return columns


def _what(length: str) -> list[Column]:
    return [
        Column(name="kron_radius", unit="pix", description="semi-major axis of the Kron aperture"),
        Column(name="r_half", unit=length, description="radius of the circle that holds half of the Kron flux"),
        Column(name="snr", description="Kron flux over the noise of its pixels, bands added"),
        Column(name="stellarity", description="0 galaxy to 1 point source; NaN where no PSF is known"),
        Column(name="kind", description="galaxy, star or artefact", dtype="str"),
        Column(name="flags", description=f"sum of: {_FLAGS}", dtype="i4"),
        Column(name="npix", unit="pix", description="pixels of the isophote", dtype="i8"),
        Column(name="cutout_size", unit="pix", description="side of the cutout", dtype="i4"),
    ]
