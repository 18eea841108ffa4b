"""Every component: what all must do, and each against GalSim, SciPy or a sum over fine pixels."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import galsim
import numpy as np
import pytest
import torch
from scipy import integrate, special

from rosse.errors import OptionError
from rosse.light.components import Component, Parameter
from rosse.light.edge_on import EdgeOnDisc
from rosse.light.elliptical import Elliptical, read
from rosse.light.known import COMPONENTS
from rosse.light.model import as_model
from rosse.light.profiles import Sersic
from rosse.light.psf import fourier_grid, gaussian_psf
from rosse.light.radial_profiles import (
    BrokenExponential,
    CoreSersic,
    Ferrers,
    King,
    ModifiedKing,
    Moffat,
    Nuker,
    Profile,
    TruncatedSersic,
)
from rosse.light.render import Layout, draw, unit_rows
from rosse.light.shaped import Shaped
from rosse.light.sky import Sky

SECH = Profile(function=lambda r, r_s: 1 / torch.cosh(r / r_s), declared=(Parameter.length("r_s"),))
SHAPED = {
    "boxy": Shaped(boxy=True),
    "lopsided": Shaped(fourier=(1, 3)),
    "bent": Shaped(bending=(2,)),
    "power spiral": Shaped(spiral="power"),
    "logarithmic spiral, boxy": Shaped(spiral="log", boxy=True),
}
ALL: dict[str, Component] = {name: make() for name, make in COMPONENTS.items()}
ALL |= {"own": SECH, "ring": TruncatedSersic(inner=True)} | SHAPED
GRID = fourier_grid((48, 50), gaussian_psf(3.0, 31)[None, None])


def values_of(component: Component, **given: float) -> torch.Tensor:
    """Slots (1, 1, L) of a galaxy of a few pixels, those of `given` in natural units."""
    row = []
    for slot in component.slots:
        natural = {"flux": 1.7, "x": 23.7, "y": 24.3, "level": 0.1, "q": 0.6, "pa": 0.8}.get(slot.name)
        if natural is None:
            natural = 5 * slot.start if slot.unit == "length" else slot.start if slot.log else slot.start + 0.1
        natural = given.get(slot.name, natural)
        row.append(math.log(natural) if slot.log else natural)
    return torch.tensor([[row]], dtype=torch.float64)


@pytest.mark.parametrize("name", ALL)
def test_contract(name: str) -> None:
    """Finite, with the slopes that differences have, and a batch is its galaxies one by one."""
    component = ALL[name]
    layout, at = Layout(model=as_model(component)), values_of(component)
    rows = unit_rows(layout, at, GRID)
    slopes = rows * layout.scales(at)[..., None, None]
    assert rows.shape == (1, 1, layout.size, 48, 50)
    assert torch.isfinite(rows).all()
    for i, slot in enumerate(layout.slots):
        step = torch.zeros_like(at)
        step[..., i] = 1e-2
        numeric = (draw(layout, at + step, GRID) - draw(layout, at - step, GRID)) / 2e-2
        scale = float(slopes[:, :, i].abs().max()) + 1e-6
        assert float((numeric - slopes[:, :, i]).abs().max()) < 1e-2 * scale, slot.name
    other = values_of(component, x=20.0, q=0.8)
    both = draw(layout, torch.cat([at, other]), GRID)
    for one, alone in zip(both, (at, other), strict=True):
        assert torch.allclose(one, draw(layout, alone, GRID)[0], atol=2e-6 * float(both.abs().max()))
    if not isinstance(component, Sky):
        assert 0.2 < float(rows[0, 0, 0].sum()) < 1.001


# Independent formulas, of radius and parameters in natural units.
def moffat(r, fwhm, beta):
    return (1 + (2 * r / fwhm) ** 2 * (2 ** (1 / beta) - 1)) ** -beta


def king(r, r_c, r_t, alpha=2.0):
    inside = (1 + (r / r_c) ** 2) ** (-1 / alpha) - (1 + (r_t / r_c) ** 2) ** (-1 / alpha)
    return np.where(r < r_t, np.clip(inside, 0, None) ** alpha, 0.0)


def ferrers(r, r_out, alpha, beta):
    return np.where(r < r_out, np.clip(1 - (r / r_out) ** (2 - beta), 0, None) ** alpha, 0.0)


def core_sersic(r, r_e, n, r_b, alpha, gamma):
    b = special.gammaincinv(2 * n, 0.5)
    return (1 + (r_b / r) ** alpha) ** (gamma / alpha) * np.exp(
        -b * ((r**alpha + r_b**alpha) / r_e**alpha) ** (1 / (alpha * n))
    )


def nuker(r, r_b, alpha, beta, gamma):
    power = (r / r_b) ** -gamma * (1 + (r / r_b) ** alpha) ** ((gamma - beta) / alpha)
    return power * np.exp(-((r / (300 * r_b)) ** 2))


def broken(r, r_s, r_s_out, r_b, dr_b):
    turn = dr_b * (np.logaddexp(0, (r - r_b) / dr_b) - np.logaddexp(0, -r_b / dr_b))
    return np.exp(-r / r_s + (1 / r_s - 1 / r_s_out) * turn)


def truncated(r, r_e, n, r_out, dr_out):
    b = special.gammaincinv(2 * n, 0.5)
    big = 2.65 - 4.98 * r_out / (r_out - (r_out + dr_out))
    return np.exp(-b * (r / r_e) ** (1 / n)) * 0.5 * (np.tanh((2 - big) * r / r_out + big) + 1)


FORMULAS = [
    (Moffat(), moffat, {"fwhm": 3.0, "beta": 2.6}, 1e-5),
    (King(), king, {"r_c": 1.3, "r_t": 9.0}, 1e-5),
    (ModifiedKing(), king, {"r_c": 1.3, "r_t": 9.0, "alpha": 1.1}, 1e-4),
    (Ferrers(), ferrers, {"r_out": 7.0, "alpha": 2.2, "beta": 0.5}, 2e-5),
    (Ferrers(), ferrers, {"r_out": 7.0, "alpha": 1.0, "beta": 0.0}, 1e-4),
    (CoreSersic(), core_sersic, {"r_e": 6.0, "n": 3.1, "r_b": 0.9, "alpha": 4.0, "gamma": 0.3}, 2e-5),
    (Nuker(), nuker, {"r_b": 1.2, "alpha": 1.7, "beta": 3.3, "gamma": 0.6}, 1e-4),
    (BrokenExponential(), broken, {"r_s": 5.0, "r_s_out": 2.0, "r_b": 8.0, "dr_b": 1.0}, 1e-5),
    (TruncatedSersic(), truncated, {"r_e": 4.0, "n": 1.4, "r_out": 8.0, "dr_out": 5.0}, 1e-5),
    (SECH, lambda r, r_s: 1 / np.cosh(np.minimum(r / r_s, 500)), {"r_s": 2.0}, 1e-5),
]


@pytest.mark.parametrize(("component", "formula", "values", "limit"), FORMULAS, ids=lambda v: type(v).__name__)
def test_transform_and_growth_are_the_integrals(component: Elliptical, formula, values, limit: float) -> None:
    radial = torch.tensor([[math.log(values[p.name]) if p.log else values[p.name] for p in component.radial]]).double()
    ln_r = np.linspace(math.log(1e-4), math.log(4e3), 400_001)  # fine enough for J0 up to k r = 4e4
    r = np.exp(ln_r)
    light = formula(r, *values.values()) * r**2
    total = integrate.simpson(light, x=ln_r)
    profile = component.profile(radial)
    k = np.geomspace(0.01, 3.0, 12)
    exact = [integrate.simpson(light * special.j0(each * r), x=ln_r) / total for each in k]
    scale = float(torch.exp(radial[0, 0]))
    value, _, _ = read(profile.transform(), torch.log(torch.tensor(k * scale))[None].float())
    np.testing.assert_allclose(value[0].numpy(), exact, atol=limit)
    edges = np.array([0.5, 2.0, 6.0, 20.0, 100.0])
    within = [integrate.simpson(light[r <= edge], x=ln_r[r <= edge]) / total for edge in edges]
    # read linearly between two radii, because it only serves far copies
    np.testing.assert_allclose(profile.growth(torch.tensor(edges)[None])[0][0], within, atol=3e-4)


def galsim_drawn(galaxy: galsim.GSObject, psf: galsim.GSObject, at: tuple[float, float], size: int) -> np.ndarray:
    centre = (size - 1) / 2
    seen = galsim.Convolve(galaxy, psf)
    return seen.drawImage(galsim.ImageD(size, size), scale=1.0, offset=(at[0] - centre, at[1] - centre)).array


EXACT = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-5, kvalue_accuracy=1e-7)


@pytest.mark.parametrize("kind", ["moffat", "edge-on"])
def test_images_are_galsims(kind: str) -> None:
    psf = galsim.Gaussian(fwhm=3.2, gsparams=EXACT)
    stamp = psf.drawImage(galsim.ImageD(61, 61), scale=1.0).array
    grid = fourier_grid((96, 96), torch.from_numpy(stamp / stamp.sum())[None, None].float())
    if kind == "moffat":
        component = Moffat()
        galaxy = galsim.Moffat(beta=2.5, fwhm=6.0 * math.sqrt(0.5), gsparams=EXACT)
        galaxy = galaxy.shear(q=0.5, beta=0.8 * galsim.radians)
        at = values_of(component, flux=1.0, x=47.6, y=48.2, fwhm=6.0, beta=2.5, q=0.5, pa=0.8)
    else:
        component = EdgeOnDisc()
        galaxy = galsim.InclinedExponential(90 * galsim.degrees, scale_radius=6.0, scale_height=1.1, gsparams=EXACT)
        galaxy = galaxy.rotate(0.8 * galsim.radians)
        at = values_of(component, flux=1.0, x=47.6, y=48.2, r_s=6.0, h_s=1.1, pa=0.8)
    truth = galsim_drawn(galaxy, psf, (47.6, 48.2), 96)
    image = draw(Layout(model=as_model(component)), at, grid)[0, 0].numpy()
    assert np.sqrt(((image - truth) ** 2).sum() / (truth**2).sum()) < 5e-4
    assert np.abs(image - truth).max() < 5e-4 * truth.max()


@pytest.mark.parametrize("oversampling", [1, 3])
def test_a_boxy_lopsided_galaxy_is_a_sum_over_fine_pixels(oversampling: int) -> None:
    size, fine, fwhm = 41, 15, 3.0
    component = Shaped(boxy=True, fourier=(1,), profile=Sersic())
    at = values_of(component, flux=1.0, x=20.3, y=19.8, r_e=4.0, n=1.0, c0=0.8, a_1=0.2, phi_1=0.5, q=0.7, pa=0.6)
    psf = gaussian_psf(oversampling * fwhm, 31 * oversampling)[None, None]
    grid = fourier_grid((size, size), psf, psf_has_pixel=oversampling == 1, oversampling=oversampling)
    image = draw(Layout(model=as_model(component)), at, grid)[0, 0].numpy()

    axis = (np.arange(3 * size * fine) + 0.5) / fine - 0.5 - size  # three frames wide, so that no light is lost
    y, x = np.meshgrid(axis - 19.8, axis - 20.3, indexing="ij")
    along, across = x * np.cos(0.6) + y * np.sin(0.6), (y * np.cos(0.6) - x * np.sin(0.6)) / 0.7
    radius = (np.abs(along) ** 2.8 + np.abs(across) ** 2.8) ** (1 / 2.8)
    radius *= 1 + 0.2 * np.cos(np.arctan2(across, along) + 0.5)
    light = np.exp(-special.gammaincinv(2.0, 0.5) * radius / 4.0)
    sigma = fwhm / math.sqrt(8 * math.log(2)) * fine
    kernel = np.exp(-0.5 * (np.fft.fftfreq(len(axis)) * 2 * np.pi * sigma) ** 2)
    if oversampling > 1:  # the stamp holds its own, finer pixel
        kernel *= np.sinc(np.fft.fftfreq(len(axis)) * fine / oversampling)
    seen = np.fft.ifft2(np.fft.fft2(light) * kernel[:, None] * kernel).real
    binned = seen.reshape(3 * size, fine, 3 * size, fine).sum((1, 3))[size : 2 * size, size : 2 * size] / light.sum()
    assert np.sqrt(((image - binned) ** 2).sum() / (binned**2).sum()) < 1e-3


def test_a_profile_that_cannot_be_one_is_refused_when_it_is_made() -> None:
    length = Parameter.length("r_s")
    with pytest.raises(OptionError, match="needs a function"):
        Profile()
    with pytest.raises(OptionError, match=r"Parameter\.length\('alpha'\)"):
        Profile(function=lambda r, a: r * a, declared=(Parameter.number("alpha", 0.5, 2.0),))
    with pytest.raises(OptionError, match="cannot be called with a radius and 1 parameters"):
        Profile(function=lambda r: 1 / r, declared=(length,))
    with pytest.raises(OptionError, match="negative, zero or not finite"):
        Profile(function=lambda r, r_s: -torch.exp(-r / r_s), declared=(length,))
    with pytest.raises(OptionError, match="taken by every component"):
        Profile(function=lambda r, r_s, q: torch.exp(-r / r_s) * q, declared=(length, Parameter.number("q", 0.1, 1)))
    with pytest.raises(OptionError, match="boxy, or has Fourier modes"):
        Shaped()
    with pytest.raises(OptionError, match="did you mean 'power'"):
        Shaped(spiral="powr")
    with pytest.raises(OptionError, match="different whole numbers"):
        Shaped(fourier=(1, 1))
    with pytest.raises(OptionError, match="both are off"):
        TruncatedSersic(outer=False)


def test_two_threads_may_differentiate_at_once() -> None:
    layout, at = Layout(model=as_model(SECH)), values_of(SECH)
    alone = unit_rows(layout, at, GRID)
    with ThreadPoolExecutor(4) as pool:
        for rows in pool.map(lambda _: unit_rows(layout, at, GRID), range(16)):
            assert torch.equal(rows, alone)
