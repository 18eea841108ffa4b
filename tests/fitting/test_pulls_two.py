"""Bulge and disc together: what is taken off their best fits against bias."""

import numpy as np
import pytest
import torch

import rosse
from rosse import Exponential, Sersic
from rosse.fitting import without_bias
from rosse.fitting.bias import LARGEST, mean_shift
from rosse.fitting.uncertainty import chosen, optima

from .populations import discs_with_bulges, true_columns
from .test_errors import as_cutouts, assert_calibrated, pulls


def test_components_that_cannot_be_told_apart_have_a_finite_shift() -> None:
    """Their errors are many times the parameters: a step that long leaves every range that can be drawn."""
    fit = rosse.fit(as_cutouts(discs_with_bulges(4, seed=3, size=48).image), Sersic("bulge") + Exponential("disc"))
    logs = torch.zeros(fit.plan.size, dtype=torch.bool)
    with torch.no_grad():
        for at, part in optima(fit, chosen(fit, None)):
            covariance = 1e6 * torch.from_numpy(fit.covariance[at])
            shift = mean_shift(part, covariance, logs)
            sigma = covariance.diagonal(dim1=1, dim2=2).sqrt()
            assert bool(torch.isfinite(shift).all())
            assert np.all((shift.abs() <= LARGEST * sigma).numpy())


@pytest.mark.slow
def test_errors_hold_where_bulge_and_disc_are_resolved() -> None:
    """S/N 300 to 1200, sizes and index known to 6 %, by the fit of the image without noise: 1100 of 4000 galaxies.

    The mean of a pull is known to 0.03, its width to 0.02.
    """
    model = Sersic("bulge") + Exponential("disc")
    galaxies = discs_with_bulges(4000, seed=91, snr=(300, 1200))
    sure, true = rosse.fit(as_cutouts(galaxies.clean), model).table(), true_columns(galaxies.truth)
    known = [np.asarray(sure[f"sigma_{name}"]) / true[name] for name in ("bulge_r_e", "disc_r_e", "bulge_n")]
    resolved = np.maximum.reduce(known) < 0.06
    assert resolved.sum() > 1000
    fit = without_bias(rosse.fit(as_cutouts(galaxies.image[resolved]), model))
    assert (fit.status == 0).mean() > 0.998
    found = pulls(fit, {name: values[resolved] for name, values in galaxies.truth.items()})
    assert_calibrated({k: v for k, v in found.items() if not k.endswith("flux")}, mean=0.1, width=(0.93, 1.07))
