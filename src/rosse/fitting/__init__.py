"""Fit parametric profiles to cutouts: `fit` and its result."""

from rosse.fitting.fit import fit as fit
from rosse.fitting.options import FitOptions as FitOptions
from rosse.fitting.result import Fit as Fit
