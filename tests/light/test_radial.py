"""The Sersic profile against SciPy, GalSim and closed forms."""

import galsim
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special

from rosse.light.elliptical import read
from rosse.light.radial import (
    sersic_b,
    sersic_constants,
    sersic_flux_within,
    sersic_profile,
    sersic_transform,
)

KAPPA = np.geomspace(1e-3, 300, 400)


def transform(n: float, kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ln_kappa = torch.log(torch.tensor(kappa))[None]
    value, slope, (by_ln_n,) = read(sersic_transform(torch.tensor([n])), ln_kappa)
    return tuple(part[0].numpy() for part in (value, slope, by_ln_n))


@given(n=st.floats(0.3, 8.0))
def test_half_the_light_is_within_r_e(n: float) -> None:
    constants = sersic_constants(torch.tensor([n], dtype=torch.float64))

    def integrand(u):
        return 2 * np.pi * u * float(sersic_profile(torch.tensor([[u]]).double(), constants)[0])

    assert integrate.quad(integrand, 0, 1, limit=200)[0] == pytest.approx(0.5, abs=2e-6)


@given(n=st.floats(0.3, 8.0), u=st.floats(0.01, 30.0))
def test_flux_within_a_radius_is_the_incomplete_gamma_function(n: float, u: float) -> None:
    constants = sersic_constants(torch.tensor([n], dtype=torch.float64))
    expected = special.gammainc(2 * n, special.gammaincinv(2 * n, 0.5) * u ** (1 / n))
    assert float(sersic_flux_within(torch.tensor([[u]]).double(), constants)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n", [0.5, 1.0])
def test_transform_in_closed_form(n: float) -> None:
    b = float(sersic_b(n))
    exact = np.exp(-(KAPPA**2) / (4 * b)) if n == 0.5 else (1 + (KAPPA / b) ** 2) ** -1.5
    np.testing.assert_allclose(transform(n, KAPPA)[0], exact, atol=2e-6)


@pytest.mark.parametrize("n", [0.3, 0.77, 2.0, 3.3, 4.0, 6.2])
def test_transform_is_galsims(n: float) -> None:
    exactly = galsim.GSParams(kvalue_accuracy=1e-8, maximum_fft_size=2**20)
    profile = galsim.Sersic(n=n, half_light_radius=1.0, gsparams=exactly)
    kappa = KAPPA[KAPPA < 20]
    exact = np.array([profile.kValue(k, 0).real for k in kappa])
    np.testing.assert_allclose(transform(n, kappa)[0], exact, atol=3e-5)  # what GalSim's own table is good to


@pytest.mark.parametrize("kappa", [0.05, 0.3])
def test_transform_beyond_galsims_reach_is_the_integral(kappa: float) -> None:
    n, b = 8.0, float(special.gammaincinv(16.0, 0.5))
    norm = np.exp(2 * n * np.log(b) - special.gammaln(2 * n)) / n

    def integrand(t):
        return norm * np.exp(2 * t - b * np.exp(t / n)) * special.j0(kappa * np.exp(t))

    exact = integrate.quad(integrand, -40, np.log(4000 / kappa), limit=20000)[0]
    assert transform(n, np.array([kappa]))[0][0] == pytest.approx(exact, abs=2e-5)


@pytest.mark.parametrize("n", [0.31, 1.7, 7.9])
def test_slopes_are_those_of_the_values(n: float) -> None:
    h = 2e-3
    _, by_ln_kappa, by_ln_n = transform(n, KAPPA)
    up, down = transform(n, KAPPA * np.exp(h))[0], transform(n, KAPPA * np.exp(-h))[0]
    np.testing.assert_allclose(by_ln_kappa, (up - down) / (2 * h), atol=1e-4)
    up, down = transform(n * np.exp(h), KAPPA)[0], transform(n * np.exp(-h), KAPPA)[0]
    np.testing.assert_allclose(by_ln_n, (up - down) / (2 * h), atol=1e-4)


def test_profile_at_the_centre_is_finite_with_finite_slopes() -> None:
    constants = sersic_constants(torch.tensor([0.3, 1.0, 8.0], dtype=torch.float64))
    for part in sersic_profile(torch.zeros(3, 1, dtype=torch.float64), constants):
        assert torch.isfinite(part).all()
