"""What drawn structure looks like when it is measured: arms, rings, clumps, dust lanes, shells, masks."""

import math
from typing import Any

import galsim
import numpy as np
import pytest
import torch
from astropy.table import Table
from scipy import ndimage

from rosse.errors import InputError, OptionError
from rosse.sky.columns import PARTS
from rosse.sky.draw import Truth, draw
from rosse.sky.photometry import kpc_per_arcsec, part_fluxes
from rosse.sky.population import Population
from rosse.surveys import SURVEYS
from sky.drawing_inputs import SURVEY, by_galsim, moffat, row, rows, stamp

ARMS = {"arm_width": 0.3, "arm_start_px": 6.0, "arm_reach_px": 60.0, "disc_r_e_px": 25.0}
WHOLE = {
    "bulge_share": 0.15, "disc_share": 0.5, "bar_share": 0.1, "arm_share": 0.15, "ring_share": 0.05,
    "clump_share": 0.05, "bar_length_px": 6.0, "bar_q": 0.35, "bar_angle": 30.0, "arm_count": 2, "arm_pitch": 18.0,
    "arm_width": 0.3, "arm_start_px": 6.0, "arm_reach_px": 24.0, "ring_radius_px": 7.0, "ring_width_px": 2.0,
    "clump_count": 20, "inclination": 40.0, "dust_tau": 2.0, "lopsidedness": 0.1,
}  # fmt: skip


def spiral_spectrum(image: np.ndarray, modes: range, windings: np.ndarray) -> np.ndarray:
    """Amplitudes (modes, windings) of logarithmic spirals ``exp(i (m phi + p ln r))`` (Puerari & Dottori 1992)."""
    half = image.shape[0] // 2
    ln_r, phi = np.meshgrid(np.linspace(np.log(8.0), np.log(55.0), 96), np.arange(256) * 2 * np.pi / 256, indexing="ij")
    r = np.exp(ln_r)
    light = ndimage.map_coordinates(image, [half + r * np.sin(phi), half + r * np.cos(phi)], order=3)
    light = light / light.mean(1, keepdims=True)
    wave = np.fft.fft(light, axis=1) / 256
    return np.array([[abs((wave[:, m] * np.exp(-1j * p * ln_r[:, 0])).sum()) for p in windings] for m in modes])


@pytest.mark.parametrize(
    ("count", "pitch", "turn"), [(1, 25.0, 1), (2, 12.0, -1), (2, 30.0, 1), (3, 20.0, -1), (4, 22.0, 1)]
)
def test_pitch_angle_number_and_sense_of_the_arms(count: int, pitch: float, turn: int) -> None:
    """Six galaxies each: the median pitch is the one asked for, though every galaxy strays from it."""
    table = rows(*[row(arm_share=1.0, arm_count=count, arm_pitch=pitch, arm_turn=turn, **ARMS)] * 6)
    images = draw(table, SURVEY, frame=129, psf=stamp(moffat(2.5), 25), seed=3).flux[:, 1].double().numpy()
    windings = np.linspace(-30, 30, 601)
    found, modes = [], []
    for image in images:
        power = spiral_spectrum(image, range(1, 7), windings)
        modes.append(int(np.unravel_index(power.argmax(), power.shape)[0]) + 1)
        found.append(-count / windings[power[count - 1].argmax()])  # crest: m phi + p ln r is constant
    assert modes.count(count) >= 5
    assert math.degrees(math.atan(np.median(found))) * turn == pytest.approx(pitch, rel=0.1)


def test_the_ring_lies_at_its_radius_and_is_as_wide_as_asked() -> None:
    table = row(ring_share=1.0, ring_radius_px=30.0, ring_width_px=8.0)
    image = draw(table, SURVEY, frame=129).flux[0, 1].double().numpy()
    y, x = np.mgrid[-64:65, -64:65]
    r = np.hypot(x, y)
    light = ndimage.sum_labels(image, np.round(r), np.arange(64)) / np.arange(0.5, 64.5)
    mean = (light * np.arange(64)).sum() / light.sum()
    width = 2.3548 * math.sqrt((light * (np.arange(64) - mean) ** 2).sum() / light.sum())
    assert mean == pytest.approx(30.0, rel=0.03)
    assert width == pytest.approx(8.0, rel=0.12)  # it is out of round, by up to 6 %


def test_parts_add_up_and_clumps_are_where_the_list_says() -> None:
    table = row(**WHOLE)
    drawn = draw(table, SURVEY, frame=65, psf=stamp(moffat()), also=Truth(parts=True, clumps=True))
    plain = draw(table, SURVEY, frame=65, psf=stamp(moffat()))
    assert drawn.parts is not None
    assert drawn.parts.shape == (1, len(PARTS), 3, 65, 65)
    assert torch.allclose(drawn.parts.sum(1), drawn.flux, atol=1e-4 * float(drawn.flux.max()))
    assert torch.allclose(plain.flux, drawn.flux, atol=1e-4 * float(drawn.flux.max()))
    clumps = drawn.clumps
    assert clumps is not None
    assert len(clumps) == 20
    image = drawn.parts[0, PARTS.index("clumps"), 1].double().numpy()
    assert clumps["flux_r"].sum() == pytest.approx(image.sum(), rel=2e-3)
    listed = galsim.Add(
        [galsim.Gaussian(fwhm=c["fwhm"], flux=c["flux_r"]).shift(c["x"] - 32, c["y"] - 32) for c in clumps]
    )
    truth = by_galsim(listed, moffat(), 65)
    assert np.abs(image - truth).max() < 2e-3 * truth.max()


def test_luminosities_of_clumps_follow_kennicutts_power_law() -> None:
    """``dN / dL ~ L^-2`` between two limits: the maximum-likelihood slope of many."""
    table = rows(*[row(disc_share=0.5, clump_share=0.5, clump_count=100)] * 20)
    found = draw(table, SURVEY, frame=32, also=Truth(clumps=True), seed=1).clumps
    assert found is not None
    ratio = np.concatenate(
        [own["flux_r"] / own["flux_r"].min() for own in (found[found["galaxy"] == i] for i in range(20))]
    )
    assert len(ratio) == 2000
    inner = ratio[(ratio > 1.2) & (ratio < 12)]
    slopes = np.linspace(1.2, 2.8, 161)
    norm = [(12 ** (1 - s) - 1.2 ** (1 - s)) / (1 - s) if abs(s - 1) > 1e-6 else np.log(10) for s in slopes]
    likelihood = [-s * np.log(inner).sum() - len(inner) * np.log(n) for s, n in zip(slopes, norm, strict=True)]
    assert slopes[int(np.argmax(likelihood))] == pytest.approx(2.0, abs=0.2)


def test_clumps_follow_the_arms() -> None:
    values = {
        "arm_share": 0.4,
        "clump_share": 0.2,
        "disc_share": 0.4,
        "arm_count": 2,
        "arm_pitch": 20.0,
        "clump_count": 60,
    }
    table = rows(*[row(**values, **ARMS)] * 8)
    drawn = draw(table, SURVEY, frame=129, also=Truth(parts=True, clumps=True), seed=2)
    assert drawn.parts is not None
    assert drawn.clumps is not None
    arms, disc = (drawn.parts[:, PARTS.index(name), 1] for name in ("arms", "disc"))
    contrast = (arms / disc).clamp_max(50)
    inside = drawn.clumps[(np.abs(drawn.clumps["x"] - 64) < 60) & (np.abs(drawn.clumps["y"] - 64) < 60)]
    at = contrast[inside["galaxy"], np.round(inside["y"]).astype(int), np.round(inside["x"]).astype(int)]
    y, x = np.mgrid[-64:65, -64:65]
    ring = torch.as_tensor((np.hypot(x, y) > 8) & (np.hypot(x, y) < 50))
    assert float(at.median()) > 2 * float(contrast[:, ring].median())


def test_a_dust_lane_darkens_the_middle_of_a_galaxy_seen_edge_on_and_is_redder_there() -> None:
    values = {"bulge_share": 0.3, "disc_share": 0.7, "inclination": 90.0, "disc_thickness": 0.2, "pa": 90.0}
    values |= {"disc_r_e_px": 25.0, "bulge_r_e_px": 6.0, "dust_tau": 3.0}
    table = rows(row(**values, dust_lane=0.4), row(**values))
    with_lane, without = draw(table, SURVEY, frame=97, psf=stamp(moffat(2.5), 25)).flux.double().numpy()
    column = with_lane[:, :, 38:58].mean(2)
    middle, above = column[:, 48], column[:, 48 + 5 : 48 + 8].mean(1)
    assert middle[1] < above[1]
    assert middle[0] / middle[2] < 0.85 * above[0] / above[2]  # opaque slabs: 0.72
    plain = without[1, :, 38:58].mean(1)
    assert plain[48] == plain.max()


def test_a_remnants_shells_have_sharp_outer_edges() -> None:
    shells = {"merger_stage": 4, "shell_count": 1, "shell_reach_px": 40.0, "r_e_px": 6.0, "bulge_r_e_px": 6.0}
    table = row(tide_share=1.0, disc_r_e=0.0, pa=0.0, **shells)
    image = draw(table, SURVEY, frame=129).flux[0, 1].double().numpy()
    y, x = np.mgrid[-64:65, -64:65]
    along = np.array([image[(np.abs(np.hypot(x, y) - r) < 0.5) & (np.abs(y) > np.abs(x))].max() for r in range(30, 50)])
    edge = 30 + int(np.argmax(-np.diff(along)))
    assert 35 <= edge <= 41
    assert along[edge + 3 - 30] < 0.35 * along[edge - 3 - 30]


def test_masks_cover_what_they_name() -> None:
    table = rows(row(**WHOLE), row(bulge_share=1.0))
    masks = draw(table, SURVEY, frame=65, psf=stamp(moffat(2.5)), also=Truth(masks=True)).masks
    assert masks is not None
    assert set(masks) == {"bulge", "bar", "arms", "ring", "clumps", "tides"}
    assert bool(masks["bulge"][1, 32, 32])
    assert not any(bool(masks[name][1].any()) for name in masks if name != "bulge")
    y, x = torch.meshgrid(torch.arange(65) - 32, torch.arange(65) - 32, indexing="ij")
    r = torch.hypot(x.float(), y.float())
    assert bool(masks["arms"][0].any())
    assert float(r[masks["arms"][0]].min()) > 3.0
    assert float(r[masks["bar"][0]].max()) < 9.0
    some = draw(table, SURVEY, frame=65, also=Truth(masks={"bulge": 0.9})).masks
    assert some is not None
    assert set(some) == {"bulge"}


def test_halpha_holds_what_the_star_formation_rate_says() -> None:
    """``log L = log SFR + 41.27`` (Kennicutt & Evans 2012) at the luminosity distance of astropy's Planck18."""
    from astropy.cosmology import Planck18

    table = row(**(WHOLE | {"dust_tau": 0.0}), log_sfr=0.5)
    halpha = draw(table, SURVEY, frame=201, also=Truth(halpha=True)).halpha
    assert halpha is not None
    distance = Planck18.luminosity_distance(0.05).to_value("cm")
    expected = 10 ** (0.5 + 41.27) / (4 * math.pi * distance**2) * 1e17
    assert float(halpha.double().sum()) == pytest.approx(expected, rel=5e-3)


def test_halpha_is_the_line_of_the_spectrum() -> None:
    """The sum of the map is the flux of the line in a spectrum, behind the same dust."""
    from rosse.sky.spectra import observe_spectra

    table = rows(
        row(**(WHOLE | {"dust_tau": 3.0}), log_sfr=0.8),
        row(**(WHOLE | {"dust_tau": 1.5, "inclination": 60.0}), log_sfr=0.8),
        row(bulge_share=1.0, log_sfr=-0.5),
    )
    table.meta["seed"] = 5
    halpha = draw(table, SURVEY, frame=201, also=Truth(halpha=True)).halpha
    assert halpha is not None
    seen = observe_spectra(table, "desi")
    assert (seen.attenuation[:2] > 0.5).all()
    flux = seen.line_flux[:, seen.lines.index("h_alpha")]
    np.testing.assert_allclose(halpha.double().sum((1, 2)).numpy(), flux, rtol=0.05)


def test_results_do_not_depend_on_the_batch() -> None:
    many = rows(
        row(**WHOLE), row(bulge_share=1.0, bulge_boxiness=0.5), row(**WHOLE | {"inclination": 88.0, "dust_lane": 0.5}),
        row(disc_share=1.0, disorder=0.8), row(**WHOLE | {"arm_count": 4}),
    )  # fmt: skip
    psf = stamp(moffat(), 25)
    together = draw(many, SURVEY, frame=64, psf=psf, seed=9).flux
    backwards = draw(many[::-1], SURVEY, frame=64, psf=psf, seed=9).flux.flip(0)
    for i in range(len(many)):
        alone = draw(many[i : i + 1], SURVEY, frame=64, psf=psf, seed=9).flux[0]
        for other in (together[i], backwards[i]):
            assert float((alone - other).abs().max()) < 2e-5 * float(alone.max())


def test_other_seeds_and_rows_give_other_detail_with_the_same_flux() -> None:
    table = rows(row(**WHOLE), row(**WHOLE))
    images = draw(table, SURVEY, frame=64, seed=1).flux[:, 1]
    other = draw(table, SURVEY, frame=64, seed=2).flux[:, 1]
    assert float((images[0] - images[1]).abs().max()) > 0.02 * float(images[0].max())
    assert float((images[0] - other[0]).abs().max()) > 0.02 * float(images[0].max())


def test_every_kind_of_galaxy_of_a_population_is_finite_and_positive() -> None:
    from rosse.sky.columns import TYPES
    from rosse.sky.population import Population

    table = Population(60, seed=4, mix=dict.fromkeys(TYPES, 1.0)).table()
    drawn = draw(table, SURVEY, frame=64, psf=stamp(moffat(), 25), seed=4).flux
    assert bool(torch.isfinite(drawn).all())
    peak = drawn.amax((2, 3))
    assert bool((drawn.amin((2, 3)) > -2e-3 * peak).all())
    assert bool((drawn.sum((2, 3)) <= 1.05 * torch.as_tensor(part_fluxes(table, SURVEY)).sum(1) * 1.5).all())


def test_what_cannot_be_drawn_is_told() -> None:
    table = row(bulge_share=1.0)
    short = table.copy()
    short.remove_column("bar_q")
    with pytest.raises(InputError, match=r"lacks columns \['bar_q'\]"):
        draw(short, SURVEY)
    with pytest.raises(InputError, match=r"column disc_r_e is infinite, rows \[0\]"):
        draw(row(bulge_share=1.0, disc_r_e=math.inf), SURVEY)
    with pytest.raises(InputError, match="scale must be positive"):
        draw(table, SURVEY, scale=0.0)
    with pytest.raises(InputError, match="psf has shape"):
        draw(table, SURVEY, psf=torch.ones(1, 2, 9, 9))
    with pytest.raises(InputError, match="centre has shape"):
        draw(table, SURVEY, centre=torch.zeros(2, 2))
    with pytest.raises(InputError, match=r"outside of the frame of \(64, 64\), rows \[0\]"):
        draw(table, SURVEY, centre=torch.tensor([[70.0, 3.0]]))
    with pytest.raises(OptionError, match="mask 'arm' is not known"):
        draw(table, SURVEY, also=Truth(masks={"arm": 0.1}))
    table.meta.clear()
    with pytest.raises(OptionError, match="which seed"):
        draw(table, SURVEY)


def test_what_is_outside_of_the_frame_does_not_come_back_on_the_other_side() -> None:
    """Companion and clumps beyond the frame: the same pixels as in the middle of a large frame."""
    values = WHOLE | {"clump_share": 0.2, "disc_r_e_px": 20.0, "merger_stage": 1, "companion_share": 0.3}
    companion = {"companion_x_px": 40.0, "companion_y_px": 2.0, "companion_r_e_px": 3.0, "companion_n": 2.0}
    table = row(**values, **companion, companion_q=0.6)
    psf = stamp(moffat(2.5), 25)
    small = draw(table, SURVEY, frame=(48, 48), psf=psf).flux[0]
    large = draw(table, SURVEY, frame=(144, 144), psf=psf).flux[0, :, 48:96, 48:96]
    assert float((small - large).abs().max()) < 2e-3 * float(large.max())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_draws_the_same() -> None:
    many = rows(row(**WHOLE), row(**WHOLE | {"inclination": 88.0, "dust_lane": 0.5}), row(bulge_share=1.0))
    also = Truth(parts=True, masks=True, clumps=True, halpha=True)
    here = draw(many, SURVEY, frame=64, psf=stamp(moffat(), 25), also=also)
    there = draw(many, SURVEY, frame=64, psf=stamp(moffat(), 25), also=also, device="cuda")
    assert float((here.flux - there.flux.cpu()).abs().max()) < 1e-4 * float(here.flux.max())


@pytest.mark.parametrize("kind", ["spiral", "lenticular", "edge_on"])
def test_dust_leaves_the_flux_in_sdss_r(kind: str) -> None:
    """`mag_r` is what is seen: an image of a dusty galaxy holds it, less only what is outside of the frame."""
    table = Population(40, seed=11, mix={kind: 1}, limit=16).table()
    arcsec = np.asarray(table["disc_r_e"]) / kpc_per_arcsec(np.asarray(table["z"], dtype=float))
    one_band = SURVEYS["sdss"].select(("r",))

    def magnitudes(galaxies: Table) -> Any:
        flux = draw(galaxies, one_band, frame=160, scale=arcsec / 8).flux[:, 0].double().sum((1, 2)).numpy()
        return one_band.zeropoint[0] - 2.5 * np.log10(flux)

    clear = table.copy()
    clear["dust_tau"] = 0.0
    assert (np.asarray(table["dust_tau"]) > 0.2).mean() > 0.5
    plain = magnitudes(clear)
    np.testing.assert_allclose(plain, table["mag_r"], atol=0.02)  # wings of bulges reach out of the frame
    change = np.abs(magnitudes(table) - plain)
    assert change.max() < 0.015
    assert np.quantile(change, 0.9) < 0.007
