"""Drawn galaxies against GalSim, against integrals and against what their light adds up to."""

import math

import galsim
import numpy as np
import pytest
import torch
from scipy import integrate, special

from rosse.sky.columns import PARTS
from rosse.sky.draw import draw
from rosse.sky.photometry import part_fluxes
from sky.drawing_inputs import SURVEY, by_formula, by_galsim, grid, moffat, row, rows, stamp

EDGE = {"inclination": 90.0, "disc_thickness": 0.15}


def sersic(n: float, r_e: float, q: float, pa: float, flux: float = 1.0) -> galsim.GSObject:
    round_one = galsim.Sersic(n, half_light_radius=r_e, flux=flux)
    flattened = galsim.Transformation(round_one, jac=[1, 0, 0, q], flux_ratio=1 / q)
    return flattened.rotate((pa + 90) * galsim.degrees)


def worst(drawn: torch.Tensor, truth: np.ndarray) -> float:
    """Largest difference, in units of the peak."""
    return float(np.abs(drawn.numpy() - truth).max() / truth.max())


@pytest.mark.parametrize(("bulge", "inclination"), [(0.0, 60.0), (0.4, 40.0), (1.0, 0.0)])
def test_bulge_and_disc_are_galsims(bulge: float, inclination: float) -> None:
    table = row(bulge_share=bulge, disc_share=1 - bulge, inclination=inclination)
    flux = part_fluxes(table, SURVEY)[0]
    psf = moffat()
    drawn = draw(table, SURVEY, frame=65, psf=stamp(psf)).flux[0]
    for band in range(3):
        parts = []
        if bulge:
            parts.append(sersic(2.0, 1.5 * math.sqrt(0.8) / math.sqrt(0.8), 0.8, 30.0, flux[0, band]))
        if bulge < 1:
            parts.append(sersic(1.0, 9.0, math.cos(math.radians(inclination)), 30.0, flux[1, band]))
        assert worst(drawn[band], by_galsim(galsim.Add(parts), psf, 65)) < 1e-3


def test_an_inclined_disc_has_the_axis_ratio_of_its_inclination() -> None:
    """Moments of a disc of infinitely small thickness: cos i; with thickness q0: Hubble's formula."""
    for thickness, inclination in ((0.0, 50.0), (0.2, 70.0)):
        table = row(disc_share=1.0, disc_n=0.5, inclination=inclination, disc_thickness=thickness, pa=0.0)
        image = draw(table, SURVEY, frame=161).flux[0, 1].double().numpy()
        y, x = np.mgrid[-80:81, -80:81]
        moments = [float((image * v**2).sum() / image.sum()) - 1 / 12 for v in (x, y)]  # less the pixel's own
        c2 = math.cos(math.radians(inclination)) ** 2
        assert math.sqrt(moments[0] / moments[1]) == pytest.approx(math.sqrt(c2 + thickness**2 * (1 - c2)), rel=3e-3)


def test_a_bar_is_its_formula() -> None:
    """The bar is made on the finer grid: PSF, pixel and folding against GalSim's of the same formula."""
    table = row(bar_share=1.0, bar_length_px=9.0, bar_q=0.35, bar_angle=40.0, inclination=35.0)
    step, turn, q = 0.1, math.radians(30 + 90), math.cos(math.radians(35))
    x, y = grid(24.0, step)
    along, across = x * math.cos(turn) + y * math.sin(turn), (y * math.cos(turn) - x * math.sin(turn)) / q
    c, s = math.cos(math.radians(40)), math.sin(math.radians(40))
    u, v = np.abs(along * c + across * s) / 9.0, np.abs(across * c - along * s) / (0.35 * 9.0)
    light = np.exp(-2 * (u**2.5 + v**2.5))
    light /= (2 * special.gamma(1.4) * 2**-0.4) ** 2 * 9.0 * 0.35 * 9.0 * q
    flux = part_fluxes(table, SURVEY)[0, PARTS.index("bar"), 1]
    for oversampling, fwhm in ((1, 3.0), (2, 1.6)):
        psf = moffat(fwhm)
        seen = stamp(psf, 60 * oversampling + 1, oversampling)
        drawn = draw(table, SURVEY, frame=65, psf=seen, psf_oversampling=oversampling).flux[0, 1]
        assert worst(drawn, flux * by_galsim(by_formula(light, step), psf, 65)) < 2e-3


def test_a_disc_seen_edge_on_is_van_der_kruit_and_searles() -> None:
    table = row(disc_share=1.0, **EDGE)
    step, turn, length = 0.2, math.radians(120), 9.0 / 1.6783
    height = 2 * 0.15 * length
    x, y = grid(60.0, step)
    r, h = np.abs(x * math.cos(turn) + y * math.sin(turn)) / length, (y * math.cos(turn) - x * math.sin(turn)) / height
    light = (
        np.where(r > 1e-6, r * special.k1(np.maximum(r, 1e-6)), 1.0) / np.cosh(h) ** 2 / (2 * math.pi * length * height)
    )
    light *= 1 / (special.k1(1e-9) * 1e-9)
    psf = moffat()
    drawn = draw(table, SURVEY, frame=65, psf=stamp(psf)).flux[0, 1]
    truth = by_galsim(by_formula(light, step), psf, 65) * part_fluxes(table, SURVEY)[0, 1, 1]
    assert float(drawn.sum()) == pytest.approx(truth.sum(), rel=0.01)
    assert worst(drawn, truth) < 3e-3


def test_dust_reddens_as_an_integral_says_and_leaves_the_flux_in_r() -> None:
    """A slab of stars and dust, ``(1 - e^-tau) / tau``, over an exponential disc; colours by SciPy's integral."""
    tau, scale = 3.0, 1.4 * 9.0 / 1.6783
    clear, dusty = row(disc_share=1.0), row(disc_share=1.0, dust_tau=tau)
    images = draw(rows(clear, dusty), SURVEY, frame=201).flux.double().sum((2, 3)).numpy()

    def left(wavelength: float) -> float:
        depth = tau * (wavelength / 1.05 / 550) ** -0.7

        def light(r: float) -> float:
            t = depth * math.exp(-r / scale)
            return float(r * math.exp(-r * 1.67835 / 9.0) * (1 - math.exp(-t)) / t)

        return float(integrate.quad(light, 0, 100)[0]) * (1.67835 / 9.0) ** 2

    from rosse.sky.psf import pivot

    ratio = images[1] / images[0]
    waves = [pivot(SURVEY, band) for band in SURVEY.bands]
    expected = [left(wave) / left(617.7) for wave in waves]
    assert ratio == pytest.approx(expected, rel=3e-3)
    assert ratio[1] == pytest.approx(1.0, abs=3e-3)


PART_ROWS = {
    "bulge": {"bulge_n": 1.0},
    "disc": {"lopsidedness": 0.4, "disorder": 0.7, "inclination": 50.0},
    "bar": {"bar_length_px": 8.0, "bar_q": 0.3, "bar_angle": 50.0, "inclination": 40.0},
    "arm": {
        "arm_count": 3, "arm_pitch": 14.0, "arm_width": 0.25, "arm_start_px": 4.0, "arm_reach_px": 22.0,
        "flocculence": 0.5, "inclination": 45.0,
    },
    "ring": {"ring_radius_px": 14.0, "ring_width_px": 3.0, "inclination": 60.0},
    "clump": {"clump_count": 30, "inclination": 30.0},
    "companion": {
        "companion_x_px": 12.0, "companion_y_px": -7.0, "companion_r_e_px": 3.0, "companion_n": 1.2,
        "companion_q": 0.5,
    },
}  # fmt: skip
TORN = {
    "merger_stage": 2, "tail_count": 2, "tail_length_px": 50.0, "tail_curl": 100.0, "companion_share": 1e-9,
    "companion_x_px": 20.0, "companion_y_px": 9.0, "companion_r_e_px": 5.0, "companion_q": 0.7, "companion_n": 1.0,
}  # fmt: skip
TIDES = {
    "tide-passage": TORN,
    "tide-merging": {**TORN, "merger_stage": 3, "companion_x_px": 4.0},
    "tide-remnant": {**TORN, "merger_stage": 4, "tail_count": 0, "shell_count": 4, "shell_reach_px": 40.0},
    "arm-edge_on": {**PART_ROWS["arm"], **EDGE},
}


@pytest.mark.parametrize("name", [*PART_ROWS, *TIDES])
def test_the_sum_of_a_part_is_its_flux(name: str) -> None:
    """Before dust, over a frame that holds it all; with other random detail in each of six galaxies."""
    part = name.partition("-")[0]
    values = PART_ROWS.get(name) or TIDES[name]
    table = rows(*[row(**{f"{part}_share": 1.0, **values})] * 6)
    expected = part_fluxes(table, SURVEY).sum(1)
    image = draw(table, SURVEY, frame=301, psf=stamp(moffat(), 25), seed=5).flux.double().sum((2, 3)).numpy()
    off = image / expected - 1
    assert np.sqrt((off**2).mean()) < 1e-3
    assert np.abs(off).max() < 3e-3


def test_a_star_is_the_psf() -> None:
    table = row(kind="star", temperature=5800.0, z=0.0, bulge_share=1.0, bulge_r_e=math.nan, bulge_n=math.nan)
    table["bulge_q"] = math.nan
    psf = moffat()
    drawn = draw(table, SURVEY, frame=61, psf=stamp(psf)).flux[0, 1].numpy()
    seen = stamp(psf)[0, 1].numpy() * part_fluxes(table, SURVEY)[0, 0, 1]
    assert np.abs(drawn - seen).max() < 2e-4 * seen.max()


def test_pixels_of_half_the_size_see_the_same_galaxy() -> None:
    """Structure is a function of the galaxy, not of the pixels; but pieces of arms below a pixel are evened out."""
    arms = {"arm_count": 2, "arm_pitch": 20.0, "arm_width": 0.35, "arm_start_px": 15.0, "arm_reach_px": 80.0}
    table = row(disc_share=0.7, arm_share=0.3, inclination=40.0, disc_r_e_px=40.0, **arms)
    wide, narrow = stamp(moffat(3.0)), stamp(galsim.Convolve(moffat(6.0), galsim.Pixel(math.sqrt(3.0))), 121)
    coarse = draw(table, SURVEY, frame=64, psf=wide).flux[0, 1]
    fine = draw(table, SURVEY, frame=128, psf=narrow, scale=SURVEY.scale / 2).flux[0, 1] * 4
    assert float((fine[::2, ::2] - coarse).abs().max() / coarse.max()) < 0.03
