"""The verb: indices of all galaxies of some cutouts, whatever happens to one of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.errors import InputError, OptionError, bands_text
from rosse.shapes.batches import batches, for_each
from rosse.shapes.indices import INDICES
from rosse.shapes.measure import measure
from rosse.shapes.options import ShapeOptions
from rosse.shapes.reasons import reasons
from rosse.shapes.result import Shapes
from rosse.shapes.segment import TARGET, given_segments, made_segments
from rosse.shapes.stamps import Stamps, cut, extents

Floats = NDArray[np.float64]
EXTRA = ("theta", "sky_mean", "sky_sigma", "sky_box", "centre_found", "outside")
NAMES = (*(name for name in INDICES if name != "pa"), *EXTRA)
ANGLES = ("theta",)


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
    draws : images with noise added anew from which one-sigma errors are taken; 0 gives none, 20 and more are usual.
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
    labels = _segments(flux, ivar, segments, options)
    run = _Run(cutouts=cutouts, flux=flux, ivar=ivar, labels=labels, options=options, draws=draws, seed=seed,
               values=_empty(len(cutouts)), sigma=_empty(len(cutouts)) if draws else None)  # fmt: skip
    first, size = extents(labels == TARGET, factor=options.stamp, minimum=options.stamp_minimum)
    run = replace(run, first=first, size=size)
    for_each(run.batch, batches(size, options.batch_pixels), advance)
    seen = (ivar > 0).flatten(1).any(1).cpu().numpy()
    found = (size[:, 0] > 0).cpu().numpy()
    return Shapes(
        cutouts=cutouts,
        band=number,
        segments=labels.to(torch.int8),
        options=options,
        values=run.values,
        sigma=None if run.sigma is None else run.sigma | {"pa": run.sigma["theta"]},
        reasons=reasons({"pa": run.values["theta"], **run.values}, seen=seen, found=found),
    )


def _empty(count: int) -> dict[str, Floats]:
    return {name: np.full(count, np.nan) for name in NAMES}


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
    parts = [
        made_segments(f, w, threshold=options.threshold, smoothing=options.smoothing, min_pixels=options.min_pixels)
        for f, w in zip(torch.split(flux, 32), torch.split(ivar, 32), strict=True)
    ]
    return torch.cat(parts) if parts else torch.zeros(flux.shape, dtype=torch.long, device=flux.device)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    cutouts: Cutouts
    flux: Tensor
    ivar: Tensor
    labels: Tensor
    options: ShapeOptions
    draws: int
    seed: int
    values: dict[str, Floats]
    sigma: dict[str, Floats] | None
    first: Tensor | None = None
    size: Tensor | None = None

    def batch(self, rows: Tensor, side: int) -> None:
        """Measure some galaxies, and put their numbers into the rows."""
        assert self.first is not None
        assert self.size is not None
        stamps = cut(
            self.flux[rows], self.ivar[rows], self.labels[rows], first=self.first[rows], size=self.size[rows],
            side=side, outlier=self.options.outlier,
        )  # fmt: skip
        at = rows.cpu().numpy()
        found = self._measured(stamps)
        for name, value in found.items():
            self.values[name][at] = value
        if self.sigma is not None:
            for name, value in self._errors(stamps, at).items():
                self.sigma[name][at] = np.where(np.isfinite(found[name]), value, np.nan)

    def _measured(self, stamps: Stamps) -> dict[str, Floats]:
        values, _ = measure(stamps, self.options)
        corner = stamps.corner.to(stamps.image.dtype)
        for i, axis in enumerate("xy"):
            for name in (axis, f"{axis}_centroid"):
                values[name] = values[name] + corner[:, i]
        values["outside"] = _outside(values, self.options, self.flux.shape[1:])
        return {name: _finite(values[name].double().cpu().numpy()) for name in NAMES}

    def _errors(self, stamps: Stamps, rows: NDArray[np.int64]) -> dict[str, Floats]:
        """Standard deviations (B,) over images with noise added anew."""
        generators = [_generator(self.seed, str(self.cutouts.id[row])) for row in rows]
        noise = stamps.variance.sqrt()
        drawn: dict[str, list[Floats]] = {name: [] for name in NAMES}
        for _ in range(self.draws):
            more = torch.stack(
                [_normal(g, s, n) for g, s, n in zip(generators, self._sizes(stamps), noise, strict=True)]
            )
            for name, value in self._measured(replace(stamps, image=stamps.image + more)).items():
                drawn[name].append(value)
        return {name: _spread(np.array(values), name) for name, values in drawn.items()}

    def _sizes(self, stamps: Stamps) -> list[tuple[int, int]]:
        return [(int(h), int(w)) for h, w in zip(stamps.height, stamps.width, strict=True)]


def _finite(values: Floats) -> Floats:
    """NaN in place of what a division by nothing gave."""
    return np.where(np.isfinite(values), values, np.nan)


def _generator(seed: int, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))  # 32 bits are all that torch reads


def _normal(generator: torch.Generator, size: tuple[int, int], noise: Tensor) -> Tensor:
    """Noise of a stamp; as many numbers are drawn as it has pixels, whatever the batch has."""
    drawn = torch.randn(size, generator=generator, dtype=noise.dtype).to(noise.device)
    out = torch.zeros_like(noise)
    out[: size[0], : size[1]] = drawn
    return out * noise


def _spread(values: Floats, name: str) -> Floats:
    """Standard deviation (B,) of draws (D, B); of angles, which are the same after half a turn, around their mean."""
    good = np.isfinite(values)
    enough = good.sum(0) >= max(2, len(values) // 2)  # an index that is lost in most draws has no error
    if name in ANGLES:
        mean = 0.5 * np.angle(np.where(good, np.exp(2j * np.where(good, values, 0.0)), 0).sum(0))
        values = (values - mean + np.pi / 2) % np.pi - np.pi / 2
        return np.where(
            enough, np.sqrt(np.where(good, values, 0.0).__pow__(2).sum(0) / np.maximum(good.sum(0), 1)), np.nan
        )
    count = np.maximum(good.sum(0), 1)
    mean = np.where(good, values, 0.0).sum(0) / count
    square = np.where(good, values - mean, 0.0) ** 2
    return np.where(enough, np.sqrt(square.sum(0) / np.maximum(count - 1, 1)), np.nan)


def _outside(values: Mapping[str, Tensor], options: ShapeOptions, frame: torch.Size) -> Tensor:
    """1 where the aperture of concentration, asymmetry and smoothness reaches beyond the cutout."""
    radius = options.extent_cas * values["r_petro"]
    low = torch.minimum(values["x"], values["y"]) - radius < -0.5
    high = (values["x"] + radius > frame[1] - 0.5) | (values["y"] + radius > frame[0] - 0.5)
    return (low | high).double()
