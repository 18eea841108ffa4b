"""One contract for every survey of the dict: figures of the right size, units and order of magnitude."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rosse.errors import InputError, OptionError
from rosse.surveys import SURVEYS, Survey, survey

NAMES = sorted(SURVEYS)


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_plausible(name: str) -> None:
    it = SURVEYS[name]
    assert it.name == name
    assert it.bands
    assert len(set(it.bands)) == len(it.bands)
    assert it.reference
    assert 0.01 < it.scale < 1.5
    # PSFs are between half a pixel (undersampled HST, JWST mosaics) and eight pixels
    assert all(0.5 * it.scale < fwhm < 8 * it.scale for fwhm in it.psf_fwhm)
    assert all(18 < depth < 31 for depth in it.depth)
    assert all(gain > 0 for gain in it.gain)
    assert all(-5 < zeropoint < 35 for zeropoint in it.zeropoint)


@pytest.mark.parametrize("name", NAMES)
def test_a_source_at_the_depth_has_photons(name: str) -> None:
    """Zero point, depth and gain agree with each other: 5 sigma need at least 25 electrons, and not 10^9."""
    it = SURVEYS[name]
    flux = 10 ** (-0.4 * (np.array(it.depth) - np.array(it.zeropoint)))
    electrons = flux * np.array(it.gain)
    assert (electrons > 25).all(), dict(zip(it.bands, electrons, strict=True))
    assert (electrons < 1e5).all(), dict(zip(it.bands, electrons, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_select_keeps_each_band_with_its_figures(name: str) -> None:
    it = SURVEYS[name]
    turned = it.select(it.bands[::-1])
    for field in ("zeropoint", "psf_fwhm", "depth", "gain"):
        assert getattr(turned, field) == getattr(it, field)[::-1]
    assert turned.index(it.bands[-1]) == 0


def test_surveys_of_the_plan_are_all_known() -> None:
    plan = {"sdss", "decals", "bass-mzls", "des", "hsc", "lsst", "euclid-vis", "hst-acs", "jwst-nircam", "csst"}
    assert plan <= set(SURVEYS)


def test_lookup_by_name_or_by_itself() -> None:
    assert survey("sdss") is SURVEYS["sdss"]
    mine = dataclasses.replace(SURVEYS["sdss"], name="mine", scale=0.4)
    assert survey(mine) is mine


def test_misspelt_survey_and_band() -> None:
    with pytest.raises(OptionError, match=r"unknown survey 'decal'; did you mean 'decals'.*Survey of your own"):
        survey("decal")
    with pytest.raises(OptionError, match="survey sdss: unknown band 'y'"):
        SURVEYS["sdss"].select(("g", "y"))


def test_figures_that_do_not_fit_the_bands() -> None:
    with pytest.raises(InputError, match="survey mine: gain has 1 values for 2 bands"):
        Survey(
            name="mine",
            bands=("g", "r"),
            scale=0.3,
            zeropoint=(25.0, 25.0),
            psf_fwhm=(1.0, 1.0),
            depth=(24.0, 24.0),
            gain=(1.0,),
        )
