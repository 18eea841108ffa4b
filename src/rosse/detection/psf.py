"""The PSF of an image from its stars: which sources are stars, a fit to their pixels, smooth wings."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rosse.detection.psf_fit import Stars, fit_psf, model_images, sample_variance

if TYPE_CHECKING:
    from rosse.io import FieldPsf

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

MIN_STARS = 5  # fewer cannot outvote a galaxy or a binary among them
_SLOPE_STARS = 40  # for a PSF that changes over the field: three times as many unknowns
_UNDERSAMPLED = 3.0  # full width at half maximum in pixels below which the PSF is sampled twice per pixel
_SIZE = 10.0  # side of the stamp over the full width at half maximum
_SAME = 4.0  # scatter of the stars' residuals above which one of them is no star
_UNLIKE = 0.04  # median residual from which they are not one kind of thing; stars have 0.002 to 0.02, galaxies 0.06
_MANY = 12  # fewer may agree by chance, and have to agree better
_UNLIKE_REST = 0.015  # the same, where stars are looked for among what is too different
_LEAST = 0.03  # residual, over the star's own light, that is always accepted


@dataclass(frozen=True, kw_only=True, eq=False)
class StarList:
    """Where the stars of a field are, and their pixels.

    Parameters
    ----------
    x, y : (N,) position in the mosaic.
    data, ivar : (N, C, s, s) stamps around the nearest pixel.
    radius : (N,) half-light radius of each, pixels.
    half : half-light radius of a star, pixels.
    """

    x: Floats
    y: Floats
    data: Floats
    ivar: Floats
    radius: Floats
    half: float

    def select(self, rows: NDArray[np.bool_]) -> StarList:
        """Some of the stars."""
        parts = {name: getattr(self, name)[rows] for name in ("x", "y", "data", "ivar", "radius")}
        return StarList(**parts, half=float(np.median(self.radius[rows])))


def psf_from_stars(stars: StarList, bands: tuple[str, ...], shape: tuple[int, int]) -> FieldPsf | str:
    """PSF of every band, or the reason why there is none.

    While the stars differ too much among themselves, the larger half of them is taken for galaxies and left out.

    Parameters
    ----------
    shape : height and width of the mosaic, for the polynomial's zero points and scales.
    """
    unlike = _UNLIKE if len(stars.x) >= _MANY else 0.5 * _UNLIKE
    while True:
        found = _same_stars(stars, bands, shape, unlike)
        half = stars.select(stars.radius <= np.median(stars.radius))
        if not isinstance(found, str) or len(half.x) < MIN_STARS or len(half.x) == len(stars.x):
            return found
        stars, unlike = half, _UNLIKE_REST


def _same_stars(stars: StarList, bands: tuple[str, ...], shape: tuple[int, int], unlike: float) -> FieldPsf | str:
    from rosse.io import FieldPsf

    if len(stars.x) < MIN_STARS:
        return f"{len(stars.x)} stars are too few; {MIN_STARS} are needed"
    sampling = 0.5 if 1.7 * stars.half < _UNDERSAMPLED else 1.0
    zero, scale = [(n - 1) / 2 for n in shape], [max(n / 2, 1.0) for n in shape]
    degree = int(_many_everywhere(stars, zero))
    planes = []
    for c, band in enumerate(bands):
        fitted = _one_band(stars, c, (degree, zero, scale), sampling)
        if not isinstance(fitted, str) and fitted[1] > unlike:
            fitted = f"{len(stars.x)} sources that might be stars differ by {fitted[1]:.1%} and so are none"
        if isinstance(fitted, str):
            return f"band {band}: {fitted}"
        planes.append(fitted[0])
    return FieldPsf(basis=np.stack(planes), degree=degree, x_zero=zero[1], y_zero=zero[0], x_scale=scale[1],
                    y_scale=scale[0], sampling=sampling, has_pixel=True, bands=bands)  # fmt: skip


def stamp_size(half: float) -> int:
    """Side of the stamps for stars with this half-light radius, pixels: odd."""
    return max(15, 2 * int(np.ceil(0.5 * _SIZE * 1.7 * half)) + 1)


def _many_everywhere(stars: StarList, zero: list[float]) -> bool:
    """Whether a linear change over the field can be told: many stars, some in each quarter."""
    quarter = 2 * (stars.y > zero[0]).astype(int) + (stars.x > zero[1])
    return len(stars.x) >= _SLOPE_STARS and int(np.bincount(quarter, minlength=4).min()) >= MIN_STARS


def _one_band(stars: StarList, c: int, polynomial: tuple[int, list[float], list[float]], sampling: float) -> Any:
    """Basis (K, h, w) of one band and the median residual of its stars, or the reason why there is none."""
    degree, zero, scale = polynomial
    u, v = (stars.x - zero[1]) / scale[1], (stars.y - zero[0]) / scale[0]
    terms = np.stack([np.ones_like(u), u, v], axis=1)[:, : 1 + 2 * degree]
    data, ivar = stars.data[:, c], stars.ivar[:, c]
    core = _disc(data.shape[-1], 1.5 * stars.half)
    flux = (data * core * (ivar > 0)).sum((1, 2))
    noise = np.sqrt((core / np.where(ivar > 0, ivar, np.inf)).sum((1, 2)))
    bright = (flux > 10.0 * noise) & ((ivar > 0) | ~core).all((1, 2))
    list_ = Stars(data=data, ivar=ivar, flux=flux * 1.5, dx=stars.x - np.rint(stars.x), dy=stars.y - np.rint(stars.y),
                  terms=terms).select(bright)  # fmt: skip
    samples = 2 * round((data.shape[-1] // 2) / sampling) + 1
    for _ in range(3):
        if len(list_) < MIN_STARS:
            return f"{len(list_)} stars are too few; {MIN_STARS} are needed"
        basis, fitted = fit_psf(list_, samples, sampling)
        share = _residual_share(fitted, basis, sampling, core)
        keep = share <= max(_LEAST, _outlying(share))
        if keep.all():
            break
        list_ = fitted.select(keep)
    return _finished(basis, sample_variance(fitted, samples, sampling)), float(np.median(share))


def _residual_share(stars: Stars, basis: Floats, sampling: float, core: NDArray[np.bool_]) -> Floats:
    """What is left of each star's core after the PSF is subtracted, beyond the noise: rms over that of the model."""
    model = stars.flux[:, None, None] * model_images(stars, basis, sampling)
    good = core & (stars.ivar > 0)
    noise = np.where(good, 1.0 / np.where(good, stars.ivar, 1.0), 0.0).sum((1, 2))
    left = np.maximum((np.square(stars.data - model) * good).sum((1, 2)) - noise, 0.0)
    return np.asarray(np.sqrt(left / np.maximum((np.square(model) * good).sum((1, 2)), 1e-300)))


def _outlying(share: Floats) -> float:
    middle = float(np.median(share))
    return middle + _SAME * 1.4826 * float(np.median(np.abs(share - middle)))


def _finished(basis: Floats, variance: Floats) -> Floats:
    """Wings without noise that fade to zero at the border, and unit sum.

    In rings around the centre every term is drawn towards its mean on the ring as far as its scatter there is no larger
    than the noise.
    """
    size = basis.shape[-1]
    y, x = np.indices((size, size)) - size // 2
    radius = np.hypot(x, y)
    ring = np.rint(radius).astype(int)
    count = np.bincount(ring.ravel())

    def mean(image: Floats) -> Floats:
        return np.asarray((np.bincount(ring.ravel(), weights=image.ravel()) / count)[ring])

    smoothed = []
    for term in basis:
        profile = mean(term)
        noise = mean(variance)
        real = np.maximum(mean(np.square(term - profile)) - noise, 0.0)
        smoothed.append(profile + (term - profile) * real / (real + noise))
    edge = size // 2
    fade = 0.5 * (1.0 + np.cos(np.pi * np.clip((radius / edge - 0.8) / 0.2, 0.0, 1.0)))
    out = np.stack(smoothed) * fade
    return np.asarray(out / out[0].sum())


def _disc(size: int, radius: float) -> NDArray[np.bool_]:
    y, x = np.indices((size, size)) - size // 2
    return np.asarray(np.hypot(x, y) <= max(radius, 1.5))


def half_light(psf: FieldPsf | None, shape: tuple[int, int]) -> float:
    """Half-light radius of a point source in the middle of the mosaic, pixels; NaN without a PSF."""
    if psf is None:
        return float("nan")
    stamp = psf.at(0.5 * (shape[1] - 1), 0.5 * (shape[0] - 1))[0].mean(0).astype(np.float64)
    y, x = np.indices(stamp.shape) - np.array([side // 2 for side in stamp.shape])[:, None, None]
    radius = np.hypot(x, y).ravel()
    order = np.argsort(radius, kind="stable")
    inside = np.cumsum(stamp.ravel()[order]) / stamp.sum()
    area = np.arange(1, len(order) + 1)  # pixels, which grow more evenly than their radii
    return float(np.sqrt(np.interp(0.5, inside, area) / np.pi))


def central_part(stamp: Floats, light: float = 0.9) -> Floats:
    """The smallest centred square of an odd stamp that holds a fraction of its light, without negative pixels."""
    size = min(stamp.shape)
    middle = (stamp.shape[0] // 2, stamp.shape[1] // 2)
    positive = np.maximum(stamp, 0.0)
    for half in range(1, (size - 1) // 2 + 1):
        part = positive[middle[0] - half : middle[0] + half + 1, middle[1] - half : middle[1] + half + 1]
        if part.sum() >= light * positive.sum():
            return part
    return positive
