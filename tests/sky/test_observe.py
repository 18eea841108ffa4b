"""Observations of a population: aligned pairs, rows that do not know of each other, fluxes as GalSim draws them."""

from __future__ import annotations

import galsim
import numpy as np
import pytest
import torch

import rosse
from rosse.errors import InputError, OptionError
from rosse.sky.artefacts import SATURATION
from rosse.sky.draw import Truth
from rosse.sky.noise import Noise, lanczos_kernel
from rosse.sky.observe import BATCH, Telescope, View, observe, observe_in_batches
from rosse.sky.photometry import kpc_per_arcsec
from rosse.sky.psf import PsfScatter, survey_psf
from rosse.surveys import SURVEYS

FEW = rosse.Population(6, seed=11, mix={"elliptical": 1.0})


def test_the_same_rows_are_aligned_in_every_survey() -> None:
    """Centroid and position angle of the same galaxies, measured by GalSim in noiseless images of equal size."""
    measured = {}
    for name, band in (("sdss", "r"), ("hsc", "r"), ("lsst", "r"), ("euclid-vis", "VIS")):
        seen = observe(FEW, name, view=View(bands=(band,), size=20.0, noise=None))
        scale = SURVEYS[name].scale
        side = seen.cutouts.frame[0]
        moments = [
            galsim.hsm.FindAdaptiveMom(galsim.Image(np.ascontiguousarray(image.double().numpy())))
            for image in seen.cutouts.flux[:, 0]
        ]
        x = [(m.moments_centroid.x - 1 - side // 2) * scale for m in moments]
        y = [(m.moments_centroid.y - 1 - side // 2) * scale for m in moments]
        angle = [np.arctan2(m.observed_shape.e2, m.observed_shape.e1) / 2 for m in moments]
        measured[name] = np.array([x, y, angle])
    for name, values in measured.items():
        assert np.abs(values[:2]).max() < 0.01, name  # arcsec
        turn = np.sin(values[2] - measured["lsst"][2])
        assert np.abs(turn).max() < 0.03, name


def test_position_angles_are_those_of_the_table() -> None:
    seen = observe(FEW, "lsst", view=View(bands=("r",), noise=None, frame=96))
    for image, row in zip(seen.cutouts.flux[:, 0], seen.truth, strict=True):
        if row["bulge_q"] > 0.85:
            continue
        shape = galsim.hsm.FindAdaptiveMom(galsim.Image(np.ascontiguousarray(image.double().numpy()))).observed_shape
        from_x = np.degrees(np.arctan2(shape.e2, shape.e1) / 2)  # +x is west, +y north: north is at 90 degrees
        assert abs((from_x - 90 - row["pa"] + 90) % 180 - 90) < 2


def test_an_elliptical_has_the_pixels_that_galsim_draws() -> None:
    seen = observe(FEW, "decals", view=View(bands=("r",), noise=None, frame=128))
    it = SURVEYS["decals"]
    for image, row in zip(seen.cutouts.flux[:, 0].double().numpy(), seen.truth, strict=True):
        if row["bulge_share"] < 1 or row["bulge_boxiness"] != 0:
            continue
        arcsec = row["bulge_r_e"] / float(kpc_per_arcsec(np.array(row["z"])))
        galaxy = galsim.Sersic(n=row["bulge_n"], half_light_radius=arcsec * row["bulge_q"] ** 0.5).shear(
            q=row["bulge_q"], beta=(row["pa"] + 90) * galsim.degrees
        )
        precise = galsim.GSParams(folding_threshold=5e-4, maximum_fft_size=16384)
        psf = galsim.Moffat(beta=3, fwhm=it.psf_fwhm[1])
        drawn = galsim.Convolve(galaxy, psf, gsparams=precise).drawImage(
            nx=129, ny=129, scale=it.scale, dtype=float
        ).array[:128, :128]  # fmt: skip
        ratio = float((image * drawn).sum() / (drawn * drawn).sum())
        # mag_r is in SDSS r: the other band's flux differs by a colour, the same for all pixels
        assert -2.5 * np.log10(ratio) + 22.5 == pytest.approx(row["mag_r"], abs=0.1)
        assert np.abs(image / ratio - drawn).max() < 0.01 * drawn.max()


def test_a_row_does_not_know_of_its_neighbours() -> None:
    some = rosse.Population(40, seed=3)
    view = View(bands=("g", "r"), scatter=PsfScatter())
    whole = observe(some, "hsc", view=view)
    for part, first in ((some.rows(17, 20), 17), (some.rows(39, 40), 39)):
        seen = observe(part, "hsc", view=view)
        rows = slice(first, first + len(part))
        assert list(seen.cutouts.id) == list(whole.cutouts.id[rows])
        sigma = whole.cutouts.ivar[rows].rsqrt().nan_to_num(posinf=1.0)
        assert float(((seen.cutouts.flux - whole.cutouts.flux[rows]) / sigma).abs().max()) < 0.02
        assert seen.cutouts.psf is not None
        assert whole.cutouts.psf is not None
        torch.testing.assert_close(seen.cutouts.psf, whole.cutouts.psf[rows])
        np.testing.assert_array_equal(seen.cutouts.ra, whole.cutouts.ra[rows])


def test_batches_are_the_whole() -> None:
    some = rosse.Population(25, seed=8)
    parts = list(observe_in_batches(some, "sdss", view=View(bands=("r",)), batch=10))
    assert [len(part) for part in parts] == [10, 10, 5]
    whole = observe(some, "sdss", bands=("r",))
    joined = torch.cat([part.cutouts.flux for part in parts])
    assert float((joined - whole.cutouts.flux).abs().max()) < 1e-3 * float(whole.cutouts.ivar.rsqrt().min())


def test_clumps_of_several_batches_name_their_galaxy() -> None:
    """More galaxies than are drawn at a time: those of a late one are those that it has when it is alone."""
    view = View(bands=("r",), frame=32, noise=None, also=Truth(clumps=True))
    galaxies = rosse.Population(BATCH + 40, seed=3, mix={"spiral": 1.0})
    clumps = observe(galaxies, "decals", view=view).drawn.clumps
    late = int(clumps["galaxy"].max())
    assert late >= BATCH
    alone = observe(galaxies[late : late + 1], "decals", view=view).drawn.clumps
    same = clumps[clumps["galaxy"] == late]
    assert len(same) == len(alone) > 0
    np.testing.assert_allclose(same["x"], alone["x"], atol=1e-3)
    np.testing.assert_allclose(same["flux_r"], alone["flux_r"], rtol=1e-3)


def test_noise_differs_between_surveys_seeds_and_bands() -> None:
    star = rosse.Population(1, seed=1, mix={"star": 1.0})

    def noise(survey: str, seed: int) -> torch.Tensor:
        seen = observe(star, survey, seed=seed, bands=("g", "r"), frame=64)
        return ((seen.cutouts.flux - seen.drawn.flux) * seen.cutouts.ivar.sqrt())[0]

    base = noise("decals", 1)
    torch.testing.assert_close(base, noise("decals", 1), rtol=0, atol=0)
    others = [noise("decals", 2)[0], noise("hsc", 1)[0], base[1]]
    for other in others:
        correlation = float((base[0] * other).mean())
        assert abs(correlation) < 4 / 64


def test_noise_is_that_of_the_inverse_variance() -> None:
    seen = observe(rosse.Population(100, seed=2, mix={"spiral": 1.0}), "lsst", bands=("g", "r", "i"))
    pull = (seen.cutouts.flux - seen.drawn.flux) * seen.cutouts.ivar.sqrt()
    assert float(pull.mean()) == pytest.approx(0, abs=0.005)
    assert float(pull.var()) == pytest.approx(1, abs=0.006)


def test_without_noise_the_image_is_what_was_drawn() -> None:
    seen = observe(FEW, "sdss", bands=("r",), noise=False)
    torch.testing.assert_close(seen.cutouts.flux, seen.drawn.flux)
    assert bool((seen.cutouts.ivar > 0).all())


def test_correlated_noise_is_told() -> None:
    seen = observe(FEW, "sdss", view=View(bands=("r",), noise=Noise(kernel=lanczos_kernel(0.5, 0.5))))
    assert seen.noise_correlation == pytest.approx(1 / float(lanczos_kernel(0.5, 0.5).square().sum()))
    assert seen.noise_correlation > 1.1


def test_a_common_scale_keeps_flux_and_depth() -> None:
    own, common = (
        observe(FEW, "lsst", view=View(bands=("r",), size=40.0, scale=scale, noise=None)) for scale in (None, 0.4)
    )
    torch.testing.assert_close(own.cutouts.flux.sum((1, 2, 3)), common.cutouts.flux.sum((1, 2, 3)), rtol=0.01, atol=0)
    assert float(common.cutouts.scale[0]) == 0.4
    assert common.cutouts.frame == (100, 100)
    # the same sky in pixels of four times the area
    ratio = float(own.cutouts.ivar.median() / common.cutouts.ivar.median())
    assert ratio == pytest.approx(4, rel=0.2)


def test_artefacts_are_where_the_truth_says() -> None:
    spoiled = rosse.Population(300, seed=5, mix={"artefact": 1.0})
    view = View(bands=("g", "r"), noise=None)
    clean = observe(spoiled, "decals", view=View(bands=("g", "r"), noise=None, artefacts=False))
    seen = observe(spoiled, "decals", view=view)
    sigma = Telescope.of("decals", view).level.sigma.float()[:, None, None]
    kinds = np.asarray(seen.truth["artefact"])
    added = (seen.cutouts.flux - clean.cutouts.flux) / sigma
    for kind, least in (("trail", 2.0), ("ghost", 0.5), ("bleed", 0.9 * SATURATION)):
        rows = np.flatnonzero(kinds == kind)
        assert len(rows) > 20
        assert float(added[rows].amax((1, 2, 3)).quantile(0.1)) > least, kind
    bled = np.flatnonzero(kinds == "bleed")
    assert bool((seen.cutouts.ivar[bled] == 0).flatten(1).any(1).all())
    trails = np.flatnonzero(kinds == "trail")
    assert bool((added[trails].amax((2, 3)).amin(1) < 1e-3).all())  # one band only
    zoomed = np.flatnonzero(kinds == "bad_zoom")
    assert bool((seen.cutouts.scale[zoomed] < 0.7 * clean.cutouts.scale[zoomed]).all())
    others = np.flatnonzero(kinds == "none")
    assert len(others) == 0


def test_an_enlarged_cutout_keeps_surface_brightness() -> None:
    spoiled = rosse.Population(40, seed=6, mix={"artefact": 1.0})
    clean, seen = (
        observe(spoiled, "decals", view=View(bands=("r",), noise=None, artefacts=on)) for on in (False, True)
    )
    rows = np.flatnonzero(np.asarray(seen.truth["artefact"]) == "bad_zoom")
    per_arcsec2 = [o.cutouts.flux[rows, 0, 32, 32] / o.cutouts.scale[rows].square() for o in (clean, seen)]
    torch.testing.assert_close(per_arcsec2[1], per_arcsec2[0], rtol=1e-4, atol=0)


def test_impossible_views_are_refused() -> None:
    with pytest.raises(OptionError, match="frame is 2"):
        View(frame=2)
    with pytest.raises(OptionError, match="scale is -1"):
        View(scale=-1.0)
    with pytest.raises(OptionError, match="frame is '64'; two sides"):
        View(frame="64")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="size is '12'; a positive number"):
        View(size="12")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a Table came; observe wants a Population"):
        observe(FEW.table(), "sdss")
    with pytest.raises(OptionError, match="part of the view"):
        observe(FEW, "sdss", bands=("r",), view=View())
    with pytest.raises(OptionError, match="unknown survey"):
        observe(FEW, "sds")
    with pytest.raises(InputError, match="no rows"):
        observe(FEW.rows(0, 0), "sdss")
    with pytest.raises(OptionError, match="5 widths for 1 bands"):
        observe(FEW, "sdss", view=View(bands=("r",), psf=survey_psf(SURVEYS["sdss"])))
