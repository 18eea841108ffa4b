"""Fit parametric profiles to cutouts: `fit` and its result."""

from rosse.fitting.bias import without_bias as without_bias
from rosse.fitting.correlated import noise_correlation as noise_correlation
from rosse.fitting.correlated import with_correlated_noise as with_correlated_noise
from rosse.fitting.fit import fit as fit
from rosse.fitting.joint_result import JointFit as JointFit
from rosse.fitting.options import FitOptions as FitOptions
from rosse.fitting.result import Fit as Fit
