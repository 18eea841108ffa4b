"""What networks see: fluxes in units of noise, pictures from 0 to 1, and how a galaxy was seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rosse.cutouts import Cutouts
from rosse.errors import InputError, OptionError
from rosse.nets.conditions import conditions_of, encoded, psf_fwhm
from rosse.nets.preparing import Batch, Preparation, in_noise


def fluxes(count: int = 5, side: int = 20, sigma: float = 3.0) -> Cutouts:
    draw = np.random.default_rng(2)
    image = draw.normal(0, sigma, (count, 2, side, side))
    return Cutouts.from_arrays(image, sigma=np.full_like(image, sigma), bands=("g", "r"), scale=0.3, zeropoint=22.5)


def pictures(*sides: int) -> list[Cutouts]:
    draw = np.random.default_rng(3)
    return [
        Cutouts(
            flux=torch.from_numpy(draw.integers(0, 255, (1, 3, side, side + 4)).astype(np.float32)),
            ivar=torch.ones(1, 3, side, side + 4), bands=("R", "G", "B"), id=np.array([f"p{side}"]),
        )
        for side in sides
    ]  # fmt: skip


def test_fluxes_are_asinh_of_flux_over_noise() -> None:
    cutouts = fluxes()
    prepare = Preparation(bands=("g", "r"), side=20, softening=2.0, middle=(0.0, 0.0), spread=(1.0, 4.0))
    x = prepare(cutouts).pixels.numpy()
    expected = np.arcsinh(cutouts.flux.numpy() / 3.0 / 2.0) / np.array([1.0, 4.0])[:, None, None]
    np.testing.assert_allclose(x, expected, rtol=2e-5, atol=1e-6)


def test_the_noise_is_that_of_empty_pixels_and_pixels_without_weight_are_empty() -> None:
    image = np.zeros((1, 1, 10, 10))
    sigma = np.full_like(image, 2.0)
    image[0, 0, 3:6, 3:6], sigma[0, 0, 3:6, 3:6] = 100.0, 9.0  # a galaxy with its photons' noise
    mask = np.zeros_like(image, dtype=bool)
    mask[0, 0, :2] = True
    image[0, 0, :2] = 77.0
    x = in_noise(Cutouts.from_arrays(image, sigma=sigma, mask=mask))
    assert float(x[0, 0, 4, 4]) == pytest.approx(50.0)
    assert float(x[0, 0, :2].abs().max()) == 0.0


def test_linear_pixels_come_back() -> None:
    prepare = Preparation.fitted([fluxes()], side=16)
    linear = 30 * torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(prepare.linear(prepare.stretched(linear)), linear, rtol=1e-4, atol=1e-4)


def test_fitted_values_have_a_spread_of_one() -> None:
    cutouts = fluxes(count=40)
    x = Preparation.fitted([cutouts[:20], cutouts[20:]], side=20)(cutouts).pixels
    assert torch.allclose(x.square().mean((0, 2, 3)).sqrt(), torch.ones(2), atol=0.02)
    seen = pictures(30, 50)
    x = torch.cat([Preparation.fitted(seen, side=16)(each).pixels for each in seen])
    assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)


def test_a_picture_does_not_depend_on_its_neighbours() -> None:
    from rosse.cutouts import stack_cutouts

    seen = pictures(40, 70, 33)
    prepare = Preparation.fitted(seen, side=32)
    alone = torch.cat([prepare(each).pixels for each in seen])
    assert torch.allclose(prepare(stack_cutouts(seen)).pixels, alone, atol=1e-5)


def test_pictures_are_resized_as_pillow_does() -> None:
    from PIL import Image

    picture = pictures(64)[0]
    prepare = Preparation(bands=("R", "G", "B"), side=24, picture=True, middle=(0,) * 3, spread=(1,) * 3)
    square = picture.flux[0, 1, :, 2:66].numpy()
    expected = np.asarray(Image.fromarray(square).resize((24, 24), Image.Resampling.BILINEAR)) / 255
    np.testing.assert_allclose(prepare(picture).pixels[0, 1].numpy(), expected, atol=2e-3)


def test_what_does_not_suit_the_network_is_named() -> None:
    prepare = Preparation.fitted([fluxes()], side=16)
    with pytest.raises(InputError, match="trained on bands g, r; the cutouts have band g"):
        prepare(fluxes().band("g"))
    with pytest.raises(InputError, match="trained on bands g, r"):
        prepare(pictures(20)[0])
    odd = Preparation(bands=("R", "G", "B"), side=16, picture=False, middle=(0,) * 3, spread=(1,) * 3)
    with pytest.raises(InputError, match="in units of flux, with their noise; colour pictures came"):
        odd(pictures(20)[0])
    with pytest.raises(OptionError, match="side is 4"):
        Preparation(bands=("r",), side=4, middle=(0,), spread=(1,))


def test_more_bands_than_needed_are_left_out() -> None:
    cutouts = fluxes()
    prepare = Preparation.fitted([cutouts.band("r")], side=16)
    assert torch.equal(prepare(cutouts).pixels, prepare(cutouts.band("r")).pixels)


def test_a_preparation_survives_json() -> None:
    import json

    prepare = Preparation.fitted([fluxes()], side=16)
    assert Preparation.of_record(json.loads(json.dumps(prepare.record()))) == prepare


def test_the_width_of_a_gaussian_psf_is_its_own() -> None:
    galsim = pytest.importorskip("galsim")
    for fwhm in (2.5, 4.0, 7.0):
        image = galsim.Gaussian(fwhm=fwhm).drawImage(nx=61, ny=61, scale=1, method="no_pixel").array
        psf = torch.from_numpy(image / image.sum())[None, None]
        assert float(psf_fwhm(psf)) == pytest.approx(fwhm, rel=2e-3)


def test_conditions_are_known_or_marked_as_unknown() -> None:
    psf = np.zeros((1, 1, 5, 5))
    psf[0, 0, 1:4, 1:4] = 1 / 9
    known = Cutouts.from_arrays(np.zeros((2, 1, 8, 8)), sigma=1.0, psf=psf, scale=0.25)
    values = conditions_of(known, [0.1, np.nan])
    assert values[:, 0].tolist() == [0.25, 0.25]
    assert torch.isfinite(values[:, 1]).all()
    assert values[0, 2] == pytest.approx(0.1)
    blind = conditions_of(Cutouts.from_arrays(np.zeros((2, 1, 8, 8)), sigma=1.0))
    assert blind.isnan().all()
    assert encoded(blind).tolist() == [[0, 0, 0, 1, 1, 1]] * 2
    assert encoded(values)[:, 3:].tolist() == [[0, 0, 0], [0, 0, 1]]
    assert torch.isfinite(encoded(values)).all()
    with pytest.raises(InputError, match="above -1"):
        conditions_of(known, [0.1, -99.0])
    with pytest.raises(InputError, match=r"redshift has shape \(3,\)"):
        conditions_of(known, [0.1, 0.2, 0.3])


def test_a_batch_moves_whole() -> None:
    batch = Batch(pixels=torch.zeros(2, 1, 8, 8), conditions=torch.zeros(2, 3)).to("cpu")
    assert len(batch) == 2
