"""Which zero point, gain, saturation and scale hold for an image: argument, then header, then survey."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from rosse.errors import UNNAMED, InputError, OptionError
from rosse.io.headers import header_band, header_gain, header_saturation, header_zeropoint
from rosse.io.say import say
from rosse.io.source import Source
from rosse.io.wcs import local_frame
from rosse.surveys import Survey

log = logging.getLogger(__name__)

TOLERANCE = 0.05  # pixel scales that differ by more are a mistake somewhere, not a distortion

MOST_BANDS = 24  # more planes than that are hardly bands that nobody has named

PerBand = float | Sequence[float] | Mapping[str, float] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """Bands of an image and what a flux unit is in each of them; all (C,), NaN where unknown."""

    bands: tuple[str, ...]
    zeropoint: NDArray[np.float64]
    gain: NDArray[np.float64]
    saturation: NDArray[np.float64]


def calibrate(
    source: Source,
    survey: Survey | None,
    *,
    bands: Sequence[str] | None,
    zeropoint: PerBand,
    gain: PerBand,
    saturation: PerBand,
) -> tuple[Source, Calibration]:
    """Name the bands, choose the planes that are wanted, and find what a flux unit is in each."""
    if source.picture:
        survey = None  # pictures are stretched and resized as people like, whatever the survey's units are
    source, names = _bands(source, survey, bands)
    zero = _per_band("zeropoint", zeropoint, names)
    from_survey = _from_survey(survey, names, "zeropoint")
    zero = _fill(source, "zeropoint", zero, header_zeropoint, from_survey)
    survey_gain = _from_survey(survey, names, "gain")
    shift = np.where(np.isfinite(zero - from_survey), zero - from_survey, 0.0)
    survey_gain *= 10 ** (-0.4 * shift)  # the survey's gain belongs to its own flux unit
    electrons = _fill(source, "gain", _per_band("gain", gain, names), header_gain, survey_gain)
    level = _per_band("saturation", saturation, names)
    level = _fill(source, "saturation", level, header_saturation, np.full(len(names), np.nan))
    return source, Calibration(bands=names, zeropoint=zero, gain=electrons, saturation=level)


def _bands(source: Source, survey: Survey | None, wanted: Sequence[str] | None) -> tuple[Source, tuple[str, ...]]:
    count = len(source.planes)
    if wanted is not None:
        names = _names(wanted, count)
        if source.bands and all(name in source.bands for name in names):
            return source.select([source.bands.index(name) for name in names]), names
        if len(names) != count:
            known = f" ({', '.join(source.bands)})" if source.bands else ""
            raise OptionError(f"bands names {', '.join(names)}, but {source.label} has {count} planes{known}")
        return source, _unique(names)
    if source.bands:
        return source, _unique(source.bands)
    if count > MOST_BANDS:
        raise InputError(
            f"{source.label} has {count} planes without band names: a stack of galaxies, or a spectral cube? Name the "
            "bands, or make `Cutouts.from_arrays` of a stack"
        )
    if count == 1:
        of_survey: tuple[str, ...] = survey.bands if survey else ()
        told = header_band(source.headers[0], of_survey) if source.headers else ""
        return source, (told or (of_survey[0] if len(of_survey) == 1 else UNNAMED),)
    if survey is not None and len(survey.bands) == count:
        say(log, logging.WARNING, "bands", "%s does not name its %d bands; they are taken as %s's %s", source.label,
            count, survey.name, ", ".join(survey.bands))  # fmt: skip
        return source, survey.bands
    return source, tuple(f"band{i}" for i in range(count))


def _names(wanted: Sequence[str], count: int) -> tuple[str, ...]:
    if isinstance(wanted, str):
        parts = [part.strip() for part in wanted.split(",")]
        return tuple(wanted) if len(parts) == 1 and count > 1 and len(wanted) == count else tuple(parts)
    return tuple(str(name) for name in wanted)


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise OptionError(f"band names must differ; {', '.join(names)} came")
    return names


def _per_band(what: str, value: PerBand, names: tuple[str, ...]) -> NDArray[np.float64]:
    numbers = _numbers(what, value, names)
    if what != "zeropoint" and (numbers <= 0).any():
        raise OptionError(f"{what} is {numbers[numbers <= 0][0]:g}; a positive number is wanted")
    return numbers


def _numbers(what: str, value: PerBand, names: tuple[str, ...]) -> NDArray[np.float64]:
    if value is None:
        return np.full(len(names), np.nan)
    if isinstance(value, Mapping):
        unknown = [band for band in value if band not in names]
        if unknown:
            has = "a band without a name; name it with bands" if names == (UNNAMED,) else ", ".join(names)
            raise OptionError(f"{what} is given for band {', '.join(unknown)}, the image has {has}")
        return np.array([float(value.get(band, np.nan)) for band in names])
    array = np.asarray(value, dtype=np.float64)
    if array.shape not in ((), (1,), (len(names),)):
        raise OptionError(f"{what} has shape {array.shape}; one number or {len(names)}, one per band, are wanted")
    return np.broadcast_to(array, (len(names),)).copy()


def _from_survey(survey: Survey | None, names: tuple[str, ...], field: str) -> NDArray[np.float64]:
    """A survey's values for these bands; for a band it does not know, the value that all its bands share, if any."""
    out = np.full(len(names), np.nan)
    if survey is None:
        return out
    values: tuple[float, ...] = getattr(survey, field)
    for i, name in enumerate(names):
        if name in survey.bands:
            out[i] = values[survey.bands.index(name)]
        elif len(set(values)) == 1:
            out[i] = values[0]
    return out


def _fill(
    source: Source, what: str, given: NDArray[np.float64], header: Callable[..., tuple[float, str]],
    survey: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """Values given, else of the header, else of the survey; says which header card was used and what it overrules."""
    out = given.copy()
    for i, headers in enumerate(source.headers):
        if np.isfinite(out[i]) or not headers:
            continue
        value, key = header(*headers)
        if not np.isfinite(value):
            continue
        out[i] = value
        differs = what == "zeropoint" and np.isfinite(survey[i]) and abs(value - survey[i]) > 0.01
        level = logging.WARNING if differs else logging.INFO
        other = f", not the survey's {survey[i]:g}" if differs else ""
        say(log, level, f"{what} {key}", "%s: %s %g is taken from the header (%s)%s", source.planes[i].label, what,
            value, key, other)  # fmt: skip
    return np.where(np.isfinite(out), out, survey)


def check_scale(given: float | None) -> None:
    """Refuse a pixel scale that is none."""
    if given is not None and not (np.isfinite(given) and given > 0):
        raise OptionError(f"scale is {given:g}; a positive number of arcsec/pixel is wanted")


def image_scale(source: Source, wcs: WCS | None, survey: Survey | None, given: float | None) -> float:
    """Arcsec/pixel: the argument, else the WCS at the centre, else the survey's; warns where they disagree."""
    check_scale(given)
    height, width = source.shape
    known: list[tuple[str, float]] = [] if given is None else [("argument", float(given))]
    if wcs is not None:
        measured = local_frame(wcs, (width - 1) / 2, (height - 1) / 2).scale
        known += [("WCS", measured)] if np.isfinite(measured) and measured > 0 else []
    if survey is not None and not source.picture:
        known.append((f"survey {survey.name}", survey.scale))
    if not known:
        return float("nan")
    values = [value for _, value in known]
    if max(values) > (1 + TOLERANCE) * min(values):
        each = ", ".join(f"{name} {value:.4g}" for name, value in known)
        say(log, logging.WARNING, "scale", "%s: pixel scales disagree (arcsec/pixel: %s); %s is used", source.label,
            each, known[0][0])  # fmt: skip
    return values[0]
