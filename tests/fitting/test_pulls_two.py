"""Bulge and disc together: what is taken off their best fits against bias."""

import numpy as np
import torch

import rosse
from rosse import Exponential, Sersic
from rosse.fitting.bias import LARGEST, mean_shift
from rosse.fitting.uncertainty import chosen, optima

from .populations import discs_with_bulges
from .test_errors import as_cutouts


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
