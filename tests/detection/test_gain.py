"""Gains of surveys against the brightness of the night sky."""

import numpy as np
import pytest

from rosse.surveys import SURVEYS

NIGHT = {"g": 22.2, "r": 21.1, "z": 18.8}  # mag / arcsec^2 of dark and grey nights in Arizona and Chile


@pytest.mark.parametrize("name", ["decals", "bass-mzls"])
def test_depth_and_gain_agree_with_the_night_sky(name: str) -> None:
    """The noise at the stated depth is that of the sky's electrons: with the gain follows how bright this sky is."""
    survey = SURVEYS[name]
    faintest = 10 ** (-0.4 * (np.array(survey.depth) - np.array(survey.zeropoint)))
    # Pixels under a Moffat profile of beta 3 weigh a quarter more than under a Gaussian of the same width.
    area = 1.25 * 4 * np.pi * (np.array(survey.psf_fwhm) / 2.355) ** 2
    level = (faintest / 5) ** 2 * np.array(survey.gain) / area  # flux units per arcsec^2
    brightness = np.array(survey.zeropoint) - 2.5 * np.log10(level)
    np.testing.assert_allclose(brightness, [NIGHT[band] for band in survey.bands], atol=0.7)
