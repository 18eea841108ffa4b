"""Noise and masks: what kind of map came, and what it says about a pixel."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rosse.errors import InputError, OptionError, unknown_name
from rosse.io.planes import Plane, float32
from rosse.io.say import once, say

log = logging.getLogger(__name__)

NOISE_KINDS = ("sigma", "variance", "ivar", "weight")
MASK_KINDS = ("bool", "bits", "segmentation")


def one_noise(**maps: Any) -> tuple[str, Any] | None:
    """The one noise map that came, as (kind, map); an error if there are several, None if there is none."""
    given = {kind: value for kind, value in maps.items() if value is not None}
    if len(given) > 1:
        raise OptionError(f"{' and '.join(given)} came; give one of {', '.join(NOISE_KINDS)}, the noise is one map")
    return next(iter(given.items()), None)


def check_number(kind: str, value: Any) -> None:
    """Refuse one number for all pixels that cannot be a noise; maps pass."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if is_number and not (np.isfinite(value) and value > 0):
        raise OptionError(f"{kind} is {float(value):g}; a positive number is wanted")


def mask_kind(kind: str | None, bits: int | None, default: str = "bool") -> str:
    """The kind of a mask, checked: bits need to be named, and naming them means a bit plane."""
    if bits is not None and (isinstance(bits, bool) or int(bits) <= 0):
        raise OptionError(f"mask_bits is {bits!r}; a positive number whose binary digits are the bad bits is wanted")
    if kind is None:
        return default if bits is None else "bits"
    if kind not in MASK_KINDS:
        raise OptionError(unknown_name("mask_kind", kind, MASK_KINDS))
    if (kind == "bits") != (bits is not None):
        raise OptionError(f"mask_kind is {kind!r} and mask_bits {bits!r}; 'bits' and mask_bits belong together")
    return kind


def to_ivar(kind: str, values: NDArray[Any], factor: float = 1.0) -> tuple[NDArray[np.float32], int]:
    """Inverse variance of a map's values, and how many of them are no noise (negative, NaN; zero where it cannot be).

    Zero sigma or variance would be infinite certainty: survey maps write it where they have no data, so it becomes
    zero `ivar`, and is counted. Infinite sigma and zero weight are the proper ways to say "no data" and are not.
    """
    ivar, unusable = exact_ivar(kind, values, factor)
    out = float32(ivar)
    unusable |= ~np.isfinite(out)
    out[unusable] = 0.0
    return out, int(unusable.sum())


def exact_ivar(kind: str, values: NDArray[Any], factor: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The same in double precision, whatever the unit of flux, and which values are no noise."""
    map_ = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if kind == "sigma":
            ivar, unusable = 1.0 / np.square(map_), ~(map_ > 0)
        elif kind == "variance":
            ivar, unusable = 1.0 / map_, ~(map_ > 0)
        else:
            ivar, unusable = map_ * factor, ~(map_ >= 0) | np.isposinf(map_)
    unusable |= ~np.isfinite(ivar)
    return np.where(unusable, 0.0, ivar), unusable


def bad_pixels(kind: str, values: NDArray[Any], bits: int | None = None) -> NDArray[np.bool_]:
    """Pixels to leave out, of a boolean mask or a bit plane; NaN is bad."""
    if kind == "segmentation":
        raise OptionError("a segmentation marks the neighbours of one galaxy: it belongs to a cutout, not to a mosaic")
    unknown = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(values.shape, dtype=bool)
    if kind == "bool":
        return np.asarray((values != 0) | unknown, dtype=bool)
    whole = np.where(unknown, 0, values).astype(np.uint64 if values.dtype == np.uint64 else np.int64)
    return np.asarray(((whole & whole.dtype.type(bits or 0)) != 0) | unknown, dtype=bool)


def neighbours(segmentation: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of other sources: those whose value is neither zero nor that of the central pixel ``(H//2, W//2)``."""
    height, width = segmentation.shape[-2:]
    centre = segmentation[..., height // 2, width // 2, None, None]
    return np.asarray((segmentation != 0) & (segmentation != centre), dtype=bool)


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseMap:
    """Noise of C planes.

    Parameters
    ----------
    kind : one of `NOISE_KINDS`.
    planes : C maps.
    factor : (C,) ivar of one unit of the map; 1 but for relative weights.
    run : name under which remarks are made once in each process.
    """

    kind: str
    planes: tuple[Plane, ...]
    factor: tuple[float, ...]
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    def ivar(self, band: int, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Inverse variance of a section, zero where the map is unusable; says so once per map."""
        plane = self.planes[band]
        values = plane.read(rows, columns)
        ivar, unusable = to_ivar(self.kind, values, self.factor[band])
        if not ivar.any():
            _refuse_beyond_precision(plane.label, exact_ivar(self.kind, values, self.factor[band])[0])
        if unusable:
            with once(self.run):
                say(log, logging.WARNING, plane.label, "%s: %s is zero, negative or not finite in %d of %d pixels of "
                    "rows %d:%d, columns %d:%d; they are left out, as they are elsewhere", plane.label, self.kind,
                    unusable, ivar.size, rows.start, rows.stop, columns.start, columns.stop)  # fmt: skip
        return ivar


def _refuse_beyond_precision(label: str, exact: NDArray[np.float64]) -> None:
    """Where every weight was lost although there are some, the unit of flux is to blame and not the map."""
    weights = exact[exact > 0]
    if weights.size:
        raise InputError(
            f"{label}: the noise is {float(np.median(weights)) ** -0.5:.1e} in the image's unit of flux, beyond single "
            "precision; multiply image and noise so that the noise is near 1, and change the zero point to match"
        )


CLIPPED_NORMAL = 0.98483  # standard deviation of a unit normal that is cut at 3 of its own standard deviations


def clipped(values: NDArray[np.float64]) -> tuple[float, float]:
    """Median and scatter after clipping at 3 sigma until nothing more goes, as SExtractor's background.

    The scatter is that of the whole normal distribution: what clipping takes off its tails is given back.
    """
    kept = values
    for _ in range(20):
        middle, spread = float(np.median(kept)), float(np.std(kept))
        inside = kept[np.abs(kept - middle) <= 3.0 * spread]
        if inside.size == kept.size or inside.size < 10:
            break
        kept = inside
    return float(np.median(kept)), float(np.std(kept)) / CLIPPED_NORMAL


def sky_sigma(flux: NDArray[np.float64], keep: NDArray[np.bool_]) -> tuple[float, float]:
    """Level and scatter of the sky of a cutout, from the outer tenth of its frame (where the galaxy is faintest)."""
    height, width = flux.shape
    rim = max(3, min(height, width) // 10)
    inside = np.zeros(flux.shape, dtype=bool)
    inside[rim : height - rim, rim : width - rim] = True
    chosen = keep & ~inside if (keep & ~inside).sum() >= 25 else keep
    return clipped(flux[chosen])


def weight_factor(flux: Plane, weight: Plane, windows: int = 5, size: int = 128) -> float:
    """Factor that turns a relative weight into inverse variance: the one that makes the sky's scatter unity.

    The scatter of ``(flux - sky) * sqrt(weight)`` is measured in up to `windows` x `windows` windows over the image
    (SExtractor scales MAP_WEIGHT to its background rms in the same way; Bertin & Arnouts 1996). The lower quartile is
    used: sources can only add to the scatter.
    """
    scatter = []
    size = min(size, max(32, min(flux.shape) // 3))
    for rows in _windows(flux.shape[0], windows, size):
        for columns in _windows(flux.shape[1], windows, size):
            pixels = flux.read(rows, columns).astype(np.float64)
            weights = weight.read(rows, columns).astype(np.float64)
            good = np.isfinite(pixels) & np.isfinite(weights) & (weights > 0)
            if good.sum() < max(25, 0.2 * good.size):
                continue
            sky, _ = clipped(pixels[good])
            _, sigma = clipped((pixels[good] - sky) * np.sqrt(weights[good]))
            scatter.append(sigma)
    variance = float(np.quantile(np.square(scatter), 0.25)) if scatter else 0.0
    if not variance > 0:
        raise InputError(
            f"{weight.label}: a relative weight cannot be scaled to {flux.label}, whose sky shows no noise where the "
            "weight is positive; give ivar, sigma or variance instead"
        )
    return 1.0 / variance


def _windows(length: int, count: int, size: int) -> Sequence[slice]:
    starts = np.unique(np.linspace(0, max(0, length - size), count).astype(int)) if length > size else [0]
    return [slice(int(start), min(length, int(start) + size)) for start in starts]
