"""Drawn galaxies against GalSim, and the derivatives against differences."""

import math

import galsim
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rosse.light.model import Model, as_model
from rosse.light.profiles import DeVaucouleurs, Exponential, Gaussian, PointSource, Sersic
from rosse.light.psf import fourier_grid, gaussian_psf
from rosse.light.render import Layout, draw, unit_rows
from rosse.light.sky import Sky

EXACT = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-5, kvalue_accuracy=1e-7, maximum_fft_size=16384)
MOFFAT = galsim.Moffat(beta=3.5, fwhm=3.2, gsparams=EXACT)


def moffat_stamp(size: int = 101, *, method: str = "auto") -> torch.Tensor:
    stamp = MOFFAT.drawImage(galsim.ImageD(size, size), scale=1.0, method=method).array
    return torch.from_numpy(stamp / stamp.sum())[None, None].float()


def galsim_image(
    n: float, r_e: float, q: float, pa: float, x: float, y: float, size: int, *, psf: bool = True
) -> np.ndarray:
    accuracy = EXACT if psf else galsim.GSParams(maxk_threshold=2e-3, maximum_fft_size=16384)  # a bare cusp has no end
    galaxy = galsim.Sersic(n=n, half_light_radius=r_e * math.sqrt(q), gsparams=accuracy)
    galaxy = galaxy.shear(q=q, beta=pa * galsim.radians)
    seen = galsim.Convolve(galaxy, MOFFAT, gsparams=EXACT) if psf else galaxy
    centre = (size - 1) / 2
    return seen.drawImage(galsim.ImageD(size, size), scale=1.0, offset=(x - centre, y - centre)).array


def vector(n: float, r_e: float, q: float, pa: float, x: float, y: float) -> torch.Tensor:
    return torch.tensor([[[1.0, x, y, math.log(r_e), math.log(n), math.log(q), pa]]], dtype=torch.float64)


LAYOUT = Layout(model=as_model(Sersic()))


@pytest.mark.parametrize("n", [0.5, 1.0, 2.5, 4.0, 6.0])
@pytest.mark.parametrize(("r_e", "q"), [(1.0, 0.5), (3.0, 0.1), (8.0, 0.7), (14.0, 1.0)])
def test_a_galaxy_through_a_survey_psf_is_galsims(n: float, r_e: float, q: float) -> None:
    x, y, pa = 63.4, 64.2, 0.7
    truth = galsim_image(n, r_e, q, pa, x, y, 128)
    image = draw(LAYOUT, vector(n, r_e, q, pa, x, y), fourier_grid((128, 128), moffat_stamp()))[0, 0].numpy()
    assert np.sqrt(((image - truth) ** 2).sum() / (truth**2).sum()) < 5e-4
    assert np.abs(image - truth).max() < 5e-4 * truth.max()
    assert image.sum() == pytest.approx(truth.sum(), abs=1e-3)


@pytest.mark.parametrize("r_e", [20.0, 45.0])
def test_a_galaxy_that_fills_its_frame_is_free_of_its_copies(r_e: float) -> None:
    truth = galsim_image(3.0, r_e, 0.6, 1.1, 40.2, 39.7, 80)
    image = draw(LAYOUT, vector(3.0, r_e, 0.6, 1.1, 40.2, 39.7), fourier_grid((80, 80), moffat_stamp()))[0, 0].numpy()
    assert np.sqrt(((image - truth) ** 2).sum() / (truth**2).sum()) < 1e-3
    edge = np.s_[0, :]
    np.testing.assert_allclose(image[edge], truth[edge], rtol=5e-3)


@pytest.mark.parametrize("n", [0.7, 1.0, 2.0])
def test_without_a_psf_the_pixel_is_integrated(n: float) -> None:
    truth = galsim_image(n, 5.0, 0.6, 0.3, 31.8, 32.1, 64, psf=False)
    image = draw(LAYOUT, vector(n, 5.0, 0.6, 0.3, 31.8, 32.1), fourier_grid((64, 64), None))[0, 0].numpy()
    assert np.sqrt(((image - truth) ** 2).sum() / (truth**2).sum()) < 1e-2


def test_a_psf_without_the_pixel_gives_the_same_image_when_told() -> None:
    point = fourier_grid((64, 64), moffat_stamp(method="no_pixel"), psf_has_pixel=False)
    whole = fourier_grid((64, 64), moffat_stamp())
    at = vector(2.0, 4.0, 0.5, 0.3, 31.8, 32.1)
    a, b = draw(LAYOUT, at, point), draw(LAYOUT, at, whole)
    assert float((a - b).abs().max() / b.max()) < 2e-3


MODELS = [
    as_model(Sersic()),
    as_model(Exponential()),
    as_model(DeVaucouleurs()),
    as_model(Gaussian()),
    as_model(PointSource()),
    Sersic("bulge") + Exponential("disc") + PointSource("nucleus") + Sky(tilted=True),
]
VALUES = {
    "level": 0.1,
    "slope_x": 1e-3,
    "slope_y": 2e-3,
    "flux": 1.7,
    "x": 23.7,
    "y": 24.3,
    "r_e": math.log(4.0),
    "n": math.log(2.2),
    "q": math.log(0.6),
    "pa": 0.8,
}


def some_values(layout: Layout, bands: int) -> torch.Tensor:
    """Slots (1, bands, L) with a different flux for every component and band."""
    line = [VALUES.get(slot.name, 0.3) for slot in layout.slots]
    out = torch.tensor([[line] * bands], dtype=torch.float64)
    for i in layout.fluxes:
        out[0, :, i] += torch.arange(bands) + 0.1 * i
    return out


@pytest.mark.parametrize("shared", [True, False], ids=["one shape", "a shape per band"])
@pytest.mark.parametrize("model", MODELS, ids=lambda m: "+".join(type(c).__name__ for c in m.components))
def test_contract_of_every_model(model: Model, shared: bool) -> None:
    """Shape, finiteness, derivatives, and a batch that equals its galaxies one by one."""
    layout = Layout(model=model)
    psf = torch.cat([gaussian_psf(3.0, 31)[None], gaussian_psf(4.0, 31)[None]])[None]
    grid = fourier_grid((48, 50), psf)
    at = some_values(layout, 2)
    if not shared:
        at[0, 1] *= 1.03
    images, rows = draw(layout, at, grid), unit_rows(layout, at, grid)
    derivatives = rows * layout.scales(at)[..., None, None]
    assert images.shape == (1, 2, 48, 50)
    assert torch.isfinite(images).all()
    assert torch.isfinite(derivatives).all()
    for i in range(layout.size):
        step = torch.zeros_like(at)
        step[0, :, i] = 1e-2
        numeric = (draw(layout, at + step, grid) - draw(layout, at - step, grid)) / 2e-2
        scale = float(derivatives[:, :, i].abs().max()) + 1e-9
        assert float((numeric - derivatives[:, :, i]).abs().max()) < 4e-3 * scale, layout.slots[i].name
    both = draw(layout, torch.cat([at, at * 1.01]), grid)
    assert torch.allclose(both[:1], images, atol=1e-6 * float(images.max()))


@given(pa=st.floats(0, math.pi), q=st.floats(0.1, 1.0), n=st.floats(0.5, 6.0))
@settings(max_examples=15)
def test_turning_galaxy_and_image_together_changes_nothing(pa: float, q: float, n: float) -> None:
    grid = fourier_grid((65, 65), gaussian_psf(3.0, 31)[None, None])
    image = draw(LAYOUT, vector(n, 5.0, q, pa, 32.0, 32.0), grid)[0, 0]
    turned = draw(LAYOUT, vector(n, 5.0, q, pa + math.pi / 2, 32.0, 32.0), grid)[0, 0]
    back = torch.rot90(turned, 1, (0, 1))  # the turn from +x to +y, undone
    assert torch.allclose(image, back, atol=3e-5 * float(image.max()))


@given(n=st.floats(0.5, 2.0), r_e=st.floats(1.0, 6.0), q=st.floats(0.2, 1.0))
@settings(max_examples=15)
def test_flux_is_conserved(n: float, r_e: float, q: float) -> None:
    grid = fourier_grid((160, 160), gaussian_psf(3.0, 31)[None, None])
    image = draw(LAYOUT, vector(n, r_e, q, 0.3, 80.0, 80.0), grid)
    assert float(image.sum()) == pytest.approx(1.0, abs=5e-3)  # the wings of n = 2 leave the frame


def test_components_that_add_up_need_names() -> None:
    with pytest.raises(ValueError, match="names of their own"):
        Sersic() + Exponential()
    with pytest.raises(ValueError, match="did you mean 'r_e'"):
        Sersic(fixed={"re": 3.0})
    with pytest.raises(ValueError, match="low < high"):
        Sersic(bounds={"n": (4.0, 1.0)})
