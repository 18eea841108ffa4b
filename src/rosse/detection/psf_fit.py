"""A PSF from stamps of stars: least squares for its samples, each star's flux and position fitted along."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LANCZOS = 3  # interpolation between samples, as in `FieldPsf` and PSFEx
_ROUNDS = 8  # of samples and stars in turn
_STEPS = 30  # of conjugate gradients; stopping early keeps what the stars do not constrain smooth
_ROUGHNESS = 1e-3  # penalty on the Laplacian, over the data's information: for waves that the stars do not sample
_MODEL_ERROR = 0.1  # of the model, when pixels are judged
_PEAK_ERROR = 0.01  # of a star's peak: what the model of a bright star is off by anyway
_CLIP = 5.0  # sigma at which a pixel of a star belongs to something else


@dataclass(frozen=True, kw_only=True, eq=False)
class Stars:
    """Stamps of N stars in one band.

    Parameters
    ----------
    data, ivar : (N, s, s) sky-subtracted, s odd; ivar 0 leaves a pixel out.
    flux : (N,)
    dx, dy : (N,) position relative to the central pixel.
    terms : (N, K) polynomial terms of the position in the field.
    """

    data: Floats
    ivar: Floats
    flux: Floats
    dx: Floats
    dy: Floats
    terms: Floats

    def __len__(self) -> int:
        return len(self.flux)

    def select(self, rows: NDArray[np.bool_]) -> Stars:
        """Some of the stars."""
        return Stars(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def fit_psf(stars: Stars, samples: int, sampling: float) -> tuple[Floats, Stars]:
    """Samples of the PSF and the stars that agree with it.

    Parameters
    ----------
    samples : side of the grid, odd; its centre is sample ``samples // 2``.
    sampling : pixels per sample.

    Returns
    -------
    basis : (K, samples, samples)
        The first term sums to one over the pixels of a star at a pixel's centre.
    stars : with their fitted flux and position.

    Notes
    -----
    The pixels of a star at any sub-pixel position are the Lanczos interpolation of the samples, so that stars need not
    be resampled, which would widen the PSF (Anderson & King 2000; Bertin 2011, PSFEx).
    """
    basis = np.zeros((stars.terms.shape[1], samples, samples))
    for turn in range(_ROUNDS):
        weight = _weight(stars, basis if turn else None, sampling)
        basis = _solve(stars, weight, basis, sampling)
        basis /= basis[0].sum() * sampling**2
        stars = _fit_stars(stars, weight, basis, sampling)
        stars = _centred(stars, basis[0], sampling)
    return _solved_last(stars, basis, sampling), stars


def model_images(stars: Stars, basis: Floats, sampling: float) -> Floats:
    """Images (N, s, s) of the stars with unit flux."""
    x, y = _rows(stars, basis.shape[-1], sampling)
    return _forward(basis, x, y, stars.terms)


def sample_variance(stars: Stars, samples: int, sampling: float) -> Floats:
    """Variance (samples, samples) of each sample of the first term, as if its neighbours were known."""
    x, y = _rows(stars, samples, sampling)
    weight = stars.ivar * np.square(stars.flux)[:, None, None]
    information = np.einsum("nij,nik,njl->kl", weight, np.square(y), np.square(x), optimize=True)
    return np.asarray(1.0 / np.maximum(information, 1e-12 * information.max()))


def lanczos_rows(offset: Floats, pixels: int, samples: int, sampling: float) -> Floats:
    """Weights (N, pixels, samples) that interpolate samples at the pixels of stamps whose star is off-centre."""
    at = (np.arange(pixels) - pixels // 2 - offset[:, None]) / sampling + samples // 2
    distance = at[..., None] - np.arange(samples)
    weight = np.where(np.abs(distance) < LANCZOS, np.sinc(distance) * np.sinc(distance / LANCZOS), 0.0)
    # A constant stays constant; beyond the grid the PSF is zero, and weights there count as well.
    inner = np.abs(at - (samples - 1) / 2) <= (samples - 1) / 2 - LANCZOS
    total = np.where(inner, weight.sum(-1), 1.0)
    return np.asarray(weight / total[..., None])


def _rows(stars: Stars, samples: int, sampling: float) -> tuple[Floats, Floats]:
    pixels = stars.data.shape[-1]
    return (
        lanczos_rows(stars.dx, pixels, samples, sampling),
        lanczos_rows(stars.dy, pixels, samples, sampling),
    )


def _forward(basis: Floats, x: Floats, y: Floats, terms: Floats) -> Floats:
    each = np.einsum("nk,kij->nij", terms, basis)
    return np.asarray(y @ each @ x.transpose(0, 2, 1))


def _adjoint(image: Floats, x: Floats, y: Floats, terms: Floats) -> Floats:
    return np.asarray(np.einsum("nk,nij->kij", terms, y.transpose(0, 2, 1) @ image @ x))


def _solve(stars: Stars, weight: Floats, start: Floats, sampling: float) -> Floats:
    """Weighted least squares for the samples by conjugate gradients."""
    x, y = _rows(stars, start.shape[-1], sampling)
    flux = stars.flux[:, None, None]

    information = float(np.einsum("n,n->", weight.mean((1, 2)) * sampling**2, np.square(stars.flux)))

    def normal(basis: Floats) -> Floats:
        data = _adjoint(weight * flux**2 * _forward(basis, x, y, stars.terms), x, y, stars.terms)
        return data + _ROUGHNESS / sampling**2 * information * _laplacian(_laplacian(basis))

    right = _adjoint(weight * flux * stars.data, x, y, stars.terms)
    basis = start.copy()
    residual = right - normal(basis)
    direction, power = residual.copy(), float(np.sum(residual**2))
    first = max(float(np.sum(right**2)), 1e-300)
    for _ in range(_STEPS):
        if power < 1e-16 * first:
            break
        image = normal(direction)
        step = power / max(float(np.sum(direction * image)), 1e-300)
        basis += step * direction
        residual -= step * image
        new = float(np.sum(residual**2))
        direction = residual + (new / power) * direction
        power = new
    return basis


def _laplacian(image: Floats) -> Floats:
    """Sum of the four neighbours less four times the sample; zero beyond the border."""
    wide = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    around = wide[:, 2:, 1:-1] + wide[:, :-2, 1:-1] + wide[:, 1:-1, 2:] + wide[:, 1:-1, :-2]
    return np.asarray(around - 4.0 * image)


def _fit_stars(stars: Stars, weight: Floats, basis: Floats, sampling: float) -> Stars:
    """One Gauss-Newton step for the flux and position of each star."""
    step = 0.05
    image = model_images(stars, basis, sampling)
    slopes = []
    for name in ("dx", "dy"):
        low, high = (replace(stars, **{name: getattr(stars, name) + s}) for s in (-step, step))
        slopes.append((model_images(high, basis, sampling) - model_images(low, basis, sampling)) / (2 * step))
    flux = stars.flux[:, None, None]
    columns = np.stack([image, flux * slopes[0], flux * slopes[1]], axis=1)  # (N, 3, s, s)
    matrix = np.einsum("nij,npij,nqij->npq", weight, columns, columns, optimize=True)
    vector = np.einsum("nij,npij,nij->np", weight, columns, stars.data - flux * image, optimize=True)
    matrix += np.eye(3) * 1e-9 * np.trace(matrix, axis1=1, axis2=2)[:, None, None] + 1e-300 * np.eye(3)
    change = np.linalg.solve(matrix, vector[..., None])[..., 0]
    return replace(
        stars,
        flux=np.maximum(stars.flux + change[:, 0], 0.1 * stars.flux),
        dx=np.clip(stars.dx + np.clip(change[:, 1], -0.5, 0.5), -1.5, 1.5),
        dy=np.clip(stars.dy + np.clip(change[:, 2], -0.5, 0.5), -1.5, 1.5),
    )


def _centred(stars: Stars, psf: Floats, sampling: float) -> Stars:
    """Move every star by the PSF's own centroid, so that the next solution is centred on its middle sample."""
    x, y = windowed_centroid(psf)
    return replace(stars, dx=stars.dx + sampling * x, dy=stars.dy + sampling * y)


def _solved_last(stars: Stars, basis: Floats, sampling: float) -> Floats:
    weight = _weight(stars, basis, sampling)
    basis = _solve(stars, weight, basis, sampling)
    return np.asarray(basis / (basis[0].sum() * sampling**2))


def windowed_centroid(stamp: Floats) -> tuple[float, float]:
    """Centroid (x, y) from the middle sample under a Gaussian window of the stamp's own width."""
    size = stamp.shape[-1]
    y, x = np.indices(stamp.shape, dtype=np.float64) - size // 2
    positive = np.maximum(stamp, 0.0)
    area = positive.sum() ** 2 / max(float(np.square(positive).sum()), 1e-300)  # 4 pi sigma^2 of a Gaussian
    variance = max(area / (4.0 * np.pi), 0.5)
    cx = cy = 0.0
    for _ in range(20):
        window = positive * np.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2) / variance)
        total = max(float(window.sum()), 1e-300)
        # The window halves the width, and with it the offset that is seen.
        cx += 2.0 * float((window * (x - cx)).sum()) / total
        cy += 2.0 * float((window * (y - cy)).sum()) / total
    return cx, cy


def _weight(stars: Stars, basis: Floats | None, sampling: float) -> Floats:
    """One weight for all pixels of a star, none for its bad ones and those far off the model.

    Even weights keep the equations well conditioned: noise decides among faint stars, the PSF's own error among bright
    ones, so that no single star rules.
    """
    good = stars.ivar > 0
    variance = np.where(good, 1.0 / np.where(good, stars.ivar, 1.0), 0.0)
    sky = np.array([np.median(v[g]) if g.any() else np.inf for v, g in zip(variance, good, strict=True)])
    if basis is not None:
        image = stars.flux[:, None, None] * model_images(stars, basis, sampling)
        good &= np.square(stars.data - image) < _CLIP**2 * (variance + np.square(_MODEL_ERROR * image))
    peak = _PEAK_ERROR * stars.flux / (4.0 * np.pi * _width(stars) ** 2)
    return np.asarray(good / (sky + np.square(peak))[:, None, None])


def _width(stars: Stars) -> float:
    """Rms radius along one axis of a typical star, as if it were Gaussian, pixels."""
    stack = np.maximum(np.median(stars.data / stars.flux[:, None, None], axis=0), 0.0)
    return float(np.sqrt(max(stack.sum() ** 2 / max(np.square(stack).sum(), 1e-300) / (4.0 * np.pi), 0.3)))
