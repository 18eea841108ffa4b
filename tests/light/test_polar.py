"""Galaxies without a transform of their own, against GalSim, against graded quadrature, and against analytic fluxes."""

import math
from collections.abc import Callable

import galsim
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf, gamma, gammaincinv
from torch import Tensor

from rosse.light.polar import polar_spectra, total, window
from rosse.light.psf import FourierGrid, fourier_grid, gaussian_psf
from rosse.light.shapes import boxy_radius, elliptical_angle, fourier_radius, plane_radius, power_spiral, unwind

EXACT = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-5, kvalue_accuracy=1e-7, maximum_fft_size=20000)
FWHM = 3.0
Brightness = Callable[[Tensor, Tensor], Tensor]  # (N,) offsets in the frame of the component to (N,)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def sersic(n: float, r_e: float, q: float, c0: float = 0.0) -> Brightness:
    b = float(gammaincinv(2 * n, 0.5))
    return lambda x, y: torch.exp(-b * ((boxy_radius(x, y, number(q), number(c0)) / r_e) ** (1 / n) - 1))


def rows_of(*galaxies: Brightness, theta: list[float]) -> Callable[[Tensor, Tensor], Tensor]:
    """What `polar_spectra` asks for: one row for each galaxy of a batch."""

    def rows_at(dx: Tensor, dy: Tensor) -> Tensor:
        turned = [unwind(dx[i], dy[i], number(t)) for i, t in enumerate(theta)]
        return torch.stack([galaxy(*at) for galaxy, at in zip(galaxies, turned, strict=True)])[:, None]

    return rows_at


def image(
    galaxy: Brightness, *, scale: float, q: float, theta: float, centre: tuple[float, float], grid: FourierGrid
) -> np.ndarray:
    spectra = polar_spectra(
        rows_of(galaxy, theta=[theta]),
        centre=torch.tensor([centre], dtype=torch.float64),
        scale=number(scale)[None],
        q=number(q)[None],
        theta=number(theta)[None],
        frame=grid.frame,
        size=grid.size,
    )
    return grid.to_images(spectra[:, 0] * grid.transfer[0])[0].numpy()


def errors(ours: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Difference of all pixels (rms), of the 9 brightest (the core), and the largest of bright pixels, relative."""
    gap = np.abs(ours - truth)
    core = np.argsort(truth, axis=None)[-9:]
    bright = truth > 1e-3 * truth.max()
    rms = math.sqrt((gap**2).sum() / (truth**2).sum())
    return rms, float(gap.flat[core].max() / truth.max()), float((gap[bright] / truth[bright]).max())


def assert_accurate(ours: np.ndarray, truth: np.ndarray) -> None:
    rms, core, worst = errors(ours, truth)
    assert rms < 3e-4
    assert core < 5e-4
    assert worst < 0.02


# --- against GalSim ---------------------------------------------------------------------------------------------------


def galsim_sersic(n: float, r_e: float, q: float, theta: float, gsparams: galsim.GSParams = EXACT) -> galsim.GSObject:
    round_one = galsim.Sersic(n=n, half_light_radius=r_e * math.sqrt(q), gsparams=gsparams)
    return round_one.shear(q=q, beta=theta * galsim.radians)


def moffat_grid(size: int, moffat: galsim.GSObject) -> FourierGrid:
    stamp = moffat.drawImage(galsim.ImageD(101, 101), scale=1.0).array
    return fourier_grid((size, size), torch.from_numpy(stamp)[None, None].float())


@pytest.mark.parametrize("n", [0.5, 1.0, 2.5, 4.0])
@pytest.mark.parametrize(("r_e", "q"), [(1.0, 1.0), (4.0, 0.1), (9.0, 0.5), (25.0, 0.3)])
def test_a_sersic_galaxy_is_galsims(n: float, r_e: float, q: float) -> None:
    moffat = galsim.Moffat(beta=3.5, fwhm=4.0, gsparams=EXACT)  # its stamp holds all frequencies that it has
    size, x, y, theta = 96, 47.3, 48.6, 0.7
    seen = galsim.Convolve(galsim_sersic(n, r_e, q, theta), moffat, gsparams=EXACT)
    offset = (x - (size - 1) / 2, y - (size - 1) / 2)
    truth = seen.drawImage(galsim.ImageD(size, size), scale=1.0, offset=offset).array
    galaxy, grid = sersic(n, r_e, q), moffat_grid(size, moffat)
    ours = image(galaxy, scale=r_e, q=q, theta=theta, centre=(x, y), grid=grid)
    flux = float(
        total(rows_of(galaxy, theta=[theta]), scale=number(r_e)[None], q=number(q)[None], theta=number(0.7)[None])
    )
    assert_accurate(ours / flux, truth)


@given(
    n=st.floats(0.5, 4.0),
    r_e=st.floats(0.3, 2.0),
    q=st.floats(0.1, 1.0),
    theta=st.floats(0, 3.1),
    dx=st.floats(0, 1),
    dy=st.floats(0, 1),
)
@settings(max_examples=20)
def test_the_spectrum_of_a_small_galaxy_is_galsims(
    n: float, r_e: float, q: float, theta: float, dx: float, dy: float
) -> None:
    """Compared in Fourier space under a sharp PSF: no image in between and no copies, so the tolerance is narrow."""
    size, period = (64, 64), 128
    params = galsim.GSParams(kvalue_accuracy=1e-8, maxk_threshold=1e-4, maximum_fft_size=99999)
    truth = galsim_sersic(n, r_e, q, theta, params).shift(31 + dx, 31 + dy)
    k = truth.drawKImage(nx=period + 1, ny=period + 1, scale=2 * math.pi / period).array
    row = np.rint(np.fft.fftfreq(period) * period).astype(int) + period // 2
    k = k[np.ix_(row, np.arange(period // 2, period + 1))]
    galaxy = sersic(n, r_e, q)
    at = {"scale": number(r_e)[None], "q": number(q)[None], "theta": number(theta)[None]}
    rows = rows_of(galaxy, theta=[theta])
    centre = torch.tensor([[31 + dx, 31 + dy]], dtype=torch.float64)
    spectra = polar_spectra(rows, centre=centre, frame=size, size=(period, period), **at)[0, 0]
    seen = fourier_grid((96, 96), gaussian_psf(2.5, 63)[None, None]).transfer[0, 0].abs().numpy()
    assert seen.shape == k.shape
    gap = np.abs(spectra.numpy() / float(total(rows, **at)) - k) * seen
    assert gap.max() < (2e-4 if n < 2 else 5e-3)  # wings of large n reach beyond the grid, which ours leave out


# --- against graded quadrature ----------------------------------------------------------------------------------------


def graded(reach: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Gauss nodes on panels that halve towards the origin."""
    edges = np.concatenate([np.arange(step, reach + step, step)[::-1], step * 0.5 ** np.arange(1, 15), [0.0]])[::-1]
    edges = np.concatenate([-edges[:0:-1], edges])
    x, w = np.polynomial.legendre.leggauss(6)
    length = np.diff(edges)[:, None]
    return (edges[:-1, None] + length * (x + 1) / 2).ravel(), (length / 2 * w).ravel()


def quadrature(
    galaxy: Brightness, *, theta: float, q: float, centre: tuple[float, float], pixels: np.ndarray, fwhm: float
) -> np.ndarray:
    """Brightness of some pixels (K, 2) through a Gaussian PSF: every node of a graded mesh seen by every pixel."""
    reach = float(np.hypot(*(pixels - centre).T).max()) + 10
    (a, wa), (b, wb) = graded(reach, 1.0), graded(reach, 1.0 if q > 0.4 else 0.5)
    x, y = (v.ravel() for v in np.meshgrid(a, b))
    light = (wb[:, None] * wa).ravel() * galaxy(torch.from_numpy(x), torch.from_numpy(y)).numpy()
    at_x = centre[0] + x * math.cos(theta) - y * math.sin(theta)
    at_y = centre[1] + x * math.sin(theta) + y * math.cos(theta)
    sigma = fwhm / math.sqrt(8 * math.log(2))
    seen = []
    for px, py in pixels:
        near = np.nonzero((np.abs(at_x - px) < 9) & (np.abs(at_y - py) < 9))[0]
        u, v = (at_x[near] - px) / (sigma * math.sqrt(2)), (at_y[near] - py) / (sigma * math.sqrt(2))
        half = 0.5 / (sigma * math.sqrt(2))
        seen.append((light[near] * (erf(u + half) - erf(u - half)) * (erf(v + half) - erf(v - half))).sum() / 4)
    return np.array(seen)


def pixels_to_check(centre: tuple[float, float], theta: float, size: int) -> np.ndarray:
    """The core, both axes and directions between them, and every 9th pixel of the frame."""
    core = [(round(centre[0]) + i, round(centre[1]) + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    turns = theta + np.array([0, 0.25, 0.5, 1.0, 1.2, 1.5]) * math.pi
    rays = [(round(centre[0] + t * math.cos(a)), round(centre[1] + t * math.sin(a))) for t in (3, 6, 20) for a in turns]
    lattice = [(i, j) for i in range(0, size, 9) for j in range(0, size, 9)]
    found = sorted({*core, *rays, *lattice})
    return np.array([(i, j) for i, j in found if 0 <= i < size and 0 <= j < size])


def check(
    galaxy: Brightness, *, scale: float, q: float, theta: float, centre: tuple[float, float], fwhm: float = FWHM
) -> None:
    size = 64
    pixels = pixels_to_check(centre, theta, size)
    truth = quadrature(galaxy, theta=theta, q=q, centre=centre, pixels=pixels, fwhm=fwhm)
    grid = fourier_grid((size, size), gaussian_psf(fwhm, 41)[None, None])
    ours = image(galaxy, scale=scale, q=q, theta=theta, centre=centre, grid=grid)
    assert_accurate(ours[pixels[:, 1], pixels[:, 0]], truth)


@given(
    n=st.floats(0.5, 6.0),
    ln_r_e=st.floats(0.0, math.log(60.0)),
    q=st.floats(0.1, 1.0),
    theta=st.floats(0.0, 3.1),
    x=st.floats(25.0, 40.0),
    y=st.floats(25.0, 40.0),
    c0=st.floats(-0.7, 1.5),
)
@settings(max_examples=20)
def test_boxy_and_disky_galaxies_of_any_size(
    n: float, ln_r_e: float, q: float, theta: float, x: float, y: float, c0: float
) -> None:
    r_e = math.exp(ln_r_e)
    check(sersic(n, r_e, q, c0), scale=r_e, q=q, theta=theta, centre=(x, y))


def spiral(q: float) -> Brightness:
    profile = sersic(1.0, 9.0, 1.0)

    def brightness(x: Tensor, y: Tensor) -> Tensor:
        y = y / q
        x, y = unwind(x, y, power_spiral(plane_radius(x, y), number(3.0), number(15.0), number(2.5), number(0.4)))
        radius = fourier_radius(
            boxy_radius(x, y, number(0.6), number(0.0)),
            elliptical_angle(x, y, number(0.6)),
            [1, 2],
            [number(0.1), number(0.3)],
            [number(0.3), number(0.9)],
        )
        return profile(radius, torch.zeros_like(radius))

    return brightness


@pytest.mark.parametrize(("q", "theta"), [(1.0, 0.0), (0.6, 1.1), (0.3, 2.5)])
def test_a_spiral(q: float, theta: float) -> None:
    check(spiral(q), scale=9.0, q=q, theta=theta, centre=(31.3, 32.4))


def test_a_cusp_that_is_infinite_on_a_pixel() -> None:
    def power_law(x: Tensor, y: Tensor) -> Tensor:
        radius = torch.hypot(x, y / 0.6)
        return radius**-0.8 * torch.exp(-radius / 8)

    check(power_law, scale=1.0, q=0.6, theta=0.0, centre=(32.0, 31.0))


@pytest.mark.parametrize("centre", [(-3.2, 20.3), (66.0, 69.5), (-1.0, 30.0)])
def test_a_galaxy_whose_centre_is_outside_of_the_frame(centre: tuple[float, float]) -> None:
    check(sersic(2.0, 8.0, 0.5, 0.4), scale=8.0, q=0.5, theta=0.6, centre=centre)


@pytest.mark.parametrize("centre", [(-3.2, 20.3), (31.6, 32.2)])
@pytest.mark.parametrize("n", [1.0, 2.0])
def test_a_flat_galaxy_longer_than_its_frame_under_a_sharp_psf(n: float, centre: tuple[float, float]) -> None:
    check(sersic(n, 40.0, 0.1, 0.2), scale=40.0, q=0.1, theta=0.1, centre=centre, fwhm=2.5)


# --- flux -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0.5, 1.0, 4.0, 8.0])
@pytest.mark.parametrize("c0", [-1.0, -0.4, 0.0, 1.0])
def test_the_flux_of_a_boxy_profile(n: float, c0: float) -> None:
    r_e, q, p, b = 7.0, 0.4, c0 + 2, float(gammaincinv(2 * n, 0.5))
    area = 4 * q * gamma(1 + 1 / p) ** 2 / gamma(1 + 2 / p)  # of the superellipse of semi-major axis 1
    truth = area * 2 * n * r_e**2 * math.exp(b) * b ** (-2 * n) * gamma(2 * n)
    rows = rows_of(sersic(n, r_e, q, c0), theta=[0.3])
    flux = total(rows, scale=number(r_e)[None], q=number(q)[None], theta=number(0.3)[None])
    assert flux.shape == (1, 1)
    assert float(flux) == pytest.approx(truth, rel=3e-5)


# --- symmetries, derivatives, batches ---------------------------------------------------------------------------------

GRID = fourier_grid((65, 65), gaussian_psf(FWHM, 31)[None, None])


@given(theta=st.floats(0, 3.1), q=st.floats(0.1, 1.0), n=st.floats(0.5, 6.0), c0=st.floats(-0.9, 2.0))
@settings(max_examples=15)
def test_turning_galaxy_and_image_together_changes_nothing(theta: float, q: float, n: float, c0: float) -> None:
    galaxy = sersic(n, 5.0, q, c0)
    drawn = image(galaxy, scale=5.0, q=q, theta=theta, centre=(32.0, 32.0), grid=GRID)
    turned = image(galaxy, scale=5.0, q=q, theta=theta + math.pi / 2, centre=(32.0, 32.0), grid=GRID)
    np.testing.assert_allclose(np.rot90(turned), drawn, atol=2e-5 * drawn.max())


@given(theta=st.floats(0, 3.1), q=st.floats(0.2, 1.0), x=st.floats(20.0, 30.0), y=st.floats(20.0, 30.0))
@settings(max_examples=15)
def test_a_step_of_whole_pixels_moves_the_image(theta: float, q: float, x: float, y: float) -> None:
    galaxy = sersic(3.0, 3.0, q, 0.5)
    here = image(galaxy, scale=3.0, q=q, theta=theta, centre=(x, y), grid=GRID)
    there = image(galaxy, scale=3.0, q=q, theta=theta, centre=(x + 7, y + 3), grid=GRID)
    np.testing.assert_allclose(there[8:-8, 12:-8], here[5:-11, 5:-15], atol=2e-5 * here.max())


def test_rows_are_derivatives_at_fixed_nodes() -> None:
    """Slopes of brightness by r_e and q, and the phase for the centre, against differences of whole images."""
    at = torch.tensor([4.0, 0.5], dtype=torch.float64)

    def brightness(v: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
        return torch.exp(-3.0 * (boxy_radius(dx, dy, v[1], number(0.3)) / v[0]) ** (1 / 1.8))

    def rows(v: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        def rows_at(dx: Tensor, dy: Tensor) -> Tensor:
            step = 1e-6 * torch.eye(2, dtype=torch.float64)
            value = brightness(v, dx, dy)
            slopes = [(brightness(v + s, dx, dy) - brightness(v - s, dx, dy)) / 2e-6 for s in step]
            return torch.stack([value, *slopes], dim=1)

        return rows_at

    def images(v: Tensor, centre: Tensor) -> Tensor:
        spectra = polar_spectra(
            rows(v), centre=centre, scale=v[:1], q=v[1:], theta=number(0.0)[None], frame=GRID.frame, size=GRID.size
        )
        by_x, by_y = spectra[:, 0] * (-1j * GRID.kx), spectra[:, 0] * (-1j * GRID.ky[:, None])
        spectra = torch.cat([spectra, torch.stack([by_x, by_y], dim=1)], dim=1)
        return GRID.to_images(spectra * GRID.transfer)[0]

    centre = torch.tensor([[31.6, 32.3]], dtype=torch.float64)
    drawn = images(at, centre)
    for i in range(4):
        step = torch.zeros(4, dtype=torch.float64)
        step[i] = 0.01
        high, low = (images(at + s[:2], centre + s[2:])[0] for s in (step, -step))
        numeric = (high - low) / 0.02
        assert float((numeric - drawn[1 + i]).abs().max()) < 2e-3 * float(numeric.abs().max())


def batch(device: str) -> Tensor:
    galaxies = [sersic(4.0, 3.0, 0.2), sersic(1.0, 30.0, 0.9, 1.0), spiral(0.7)]
    theta = [0.3, 1.0, 2.0]
    at = {"scale": [3.0, 30.0, 9.0], "q": [0.2, 0.9, 0.7], "theta": theta}
    centre = torch.tensor([[20.2, 33.3], [30.0, 30.0], [41.7, 29.1]], dtype=torch.float64, device=device)
    on = {name: torch.tensor(v, dtype=torch.float64, device=device) for name, v in at.items()}
    spectra = polar_spectra(rows_of(*galaxies, theta=theta), centre=centre, frame=GRID.frame, size=GRID.size, **on)
    alone = [
        image(g, scale=at["scale"][i], q=at["q"][i], theta=theta[i], centre=tuple(centre[i].tolist()), grid=GRID)
        for i, g in enumerate(galaxies)
    ]
    drawn = GRID.to_images(spectra[:, 0].cpu() * GRID.transfer[0])
    for together, single in zip(drawn, alone, strict=True):
        np.testing.assert_allclose(together.numpy(), single, atol=2e-5 * single.max())
    return drawn


@pytest.mark.parametrize("points", [1 << 20, 1 << 10])
def test_a_batch_is_its_galaxies_one_by_one(points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rosse.light.polar.POINTS", points)
    assert batch("cpu").shape == (3, 65, 65)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_draws_what_the_cpu_draws() -> None:
    assert batch("cuda").shape == (3, 65, 65)


def test_the_window_is_a_partition() -> None:
    share = window(torch.linspace(0, 8, 801, dtype=torch.float64))
    assert float(share[0]) == 1.0
    assert abs(float(share[-1])) < 1e-12
    assert float(share.diff().max()) < 1e-9
