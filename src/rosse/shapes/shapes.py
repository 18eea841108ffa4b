"""The verb: indices of all galaxies of some cutouts, whatever happens to one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.errors import InputError, OptionError, bands_text
from rosse.shapes.batches import batches, for_each
from rosse.shapes.errors import resampled
from rosse.shapes.indices import INDICES
from rosse.shapes.measure import measure
from rosse.shapes.options import ShapeOptions
from rosse.shapes.reasons import reasons
from rosse.shapes.result import Shapes
from rosse.shapes.segment import TARGET, given_segments, made_segments
from rosse.shapes.stamps import Stamps, cut, extents

Floats = NDArray[np.float64]
EXTRA = (
    "theta", "sky_mean", "sky_sigma", "sky_box", "centre_found", "outside", "lost", "gini_fills", "gini_dark", "ring"
)  # fmt: skip
NAMES = (*(name for name in INDICES if name != "pa"), *EXTRA)


def measure_shapes(
    cutouts: Cutouts,
    *,
    segments: ArrayLike | Tensor | None = None,
    band: str | None = None,
    options: ShapeOptions | None = None,
    draws: int = 0,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
) -> Shapes:
    """Measure the shapes of galaxies without a model: sizes, concentration, asymmetries, Gini, M20, clumps.

    Parameters
    ----------
    cutouts : B galaxies, sky-subtracted. Pixels without weight do not count.
    segments : (B, H, W) maps of the sources in whole numbers, 0 sky; the galaxy's number is that of the central pixel.
        Without them, maps are made from the pixels.
    band : name of the band to measure in; the middle one of several if None.
    options : every constant of the papers.
    draws : images with their noise drawn anew from which one-sigma errors are taken; 0 gives none, 20 and more are
        usual.
    seed : of that noise; the noise of a galaxy follows from seed and id, not from its place in the batch.
    advance : called with the number of galaxies done after each batch, e.g. by a progress bar.

    Returns
    -------
    Shapes
        One row per galaxy. What cannot be measured is NaN and has a `Reason`; it never changes another galaxy.

    Notes
    -----
    Conventions are those of Rodriguez-Gomez et al. (2019, MNRAS 483, 4140); each formula names its paper.
    """
    options = options or ShapeOptions()
    if draws < 0 or draws == 1:
        raise OptionError(f"draws is {draws}; 0 for no errors, or at least 2 is wanted")
    number = _band(cutouts, band)
    flux, ivar = cutouts.flux[:, number], cutouts.ivar[:, number]
    tell = _shared(advance, draws + 1)
    labels = _segments(flux, ivar, segments, options)
    values = _values(flux, ivar, labels, options, tell)
    sigma = None
    if draws:
        # segments that were made are made anew: their edge is part of what noise changes
        sigma = resampled(
            lambda image: _values(
                image, ivar, labels if segments is not None else _segments(image, ivar, None, options), options, tell
            ),
            flux, ivar, ids=cutouts.id, draws=draws, seed=seed,
        )  # fmt: skip
        sigma = {name: np.where(np.isfinite(values[name]), value, np.nan) for name, value in sigma.items()}
    seen = (ivar > 0).flatten(1).any(1).cpu().numpy()
    found = (labels == TARGET).flatten(1).any(1).cpu().numpy()
    return Shapes(
        cutouts=cutouts,
        band=number,
        segments=labels.to(torch.int8),
        options=options,
        values=values,
        sigma=None if sigma is None else sigma | {"pa": sigma["theta"]},
        reasons=reasons({"pa": values["theta"], **values}, seen=seen, found=found, options=options),
    )


def _band(cutouts: Cutouts, band: str | None) -> int:
    if band is None:
        return len(cutouts.bands) // 2
    if band not in cutouts.bands:
        raise InputError(f"no band {band!r} in these cutouts; they have {bands_text(cutouts.bands)}")
    return cutouts.bands.index(band)


def _segments(flux: Tensor, ivar: Tensor, segments: ArrayLike | Tensor | None, options: ShapeOptions) -> Tensor:
    if segments is not None:
        shape = (int(flux.shape[0]), int(flux.shape[1]), int(flux.shape[2]))
        return given_segments(segments, shape, flux.device)
    parts = [made_segments(f, w, options) for f, w in zip(torch.split(flux, 32), torch.split(ivar, 32), strict=True)]
    return torch.cat(parts) if parts else torch.zeros(flux.shape, dtype=torch.long, device=flux.device)


def _shared(advance: Callable[[int], None] | None, passes: int) -> Callable[[int], None] | None:
    """`advance` for work that goes over every galaxy several times: it hears of whole galaxies."""
    if advance is None:
        return None
    done = 0

    def some(count: int) -> None:
        nonlocal done
        before, done = done // passes, done + count
        advance(done // passes - before)

    return some


def _values(
    flux: Tensor, ivar: Tensor, labels: Tensor, options: ShapeOptions, advance: Callable[[int], None] | None
) -> dict[str, Floats]:
    """Every index (B,) of images (B, H, W) with maps of their sources."""
    first, size = extents(labels == TARGET, factor=options.stamp, minimum=options.stamp_minimum)
    out = {name: np.full(len(flux), np.nan) for name in NAMES}

    def batch(rows: Tensor, side: int) -> None:
        stamps = cut(
            flux[rows], ivar[rows], labels[rows], first=first[rows], size=size[rows], side=side,
            outlier=options.outlier,
        )  # fmt: skip
        at = rows.cpu().numpy()
        for name, value in _measured(stamps, options, flux.shape[1:]).items():
            out[name][at] = value

    for_each(batch, batches(size, options.batch_pixels), advance)
    return out


def _measured(stamps: Stamps, options: ShapeOptions, frame: torch.Size) -> dict[str, Floats]:
    """Every index of stamps, positions in pixels of the cutout."""
    values, _ = measure(stamps, options)
    corner = stamps.corner.double()
    for i, axis in enumerate("xy"):
        for name in (axis, f"{axis}_centroid"):
            values[name] = values[name] + corner[:, i]
    values["outside"] = _outside(values, options, frame)
    return {name: _finite(values[name].double().cpu().numpy()) for name in NAMES}


def _finite(values: Floats) -> Floats:
    """NaN in place of what a division by nothing gave."""
    return np.where(np.isfinite(values), values, np.nan)


def _outside(values: Mapping[str, Tensor], options: ShapeOptions, frame: torch.Size) -> Tensor:
    """1 where the aperture of concentration, asymmetry and smoothness reaches beyond the cutout."""
    radius = options.extent_cas * values["r_petro"]
    low = torch.minimum(values["x"], values["y"]) - radius < -0.5
    high = (values["x"] + radius > frame[1] - 0.5) | (values["y"] + radius > frame[0] - 0.5)
    return (low | high).double()
