"""One network for every survey: galaxies are as large as they are, and look alike whoever took the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from rosse.cutouts import Cutouts
from rosse.errors import InputError, OptionError
from rosse.nets.colours import Stretch, colour_pictures
from rosse.nets.framing import cropped, half_widths, petrosian_radius
from rosse.nets.preparing import PICTURE_BANDS, Preparation


def discs(scale_lengths: list[float], side: int, *, bands: tuple[str, ...] = ("g", "r", "i"), **more: float) -> Cutouts:
    """Exponential discs of total flux 1000 h^2 with noise of 1."""
    y, x = np.mgrid[:side, :side] - side // 2
    r = np.hypot(x, y)
    light = np.stack([100 * np.exp(-r / h) for h in scale_lengths])
    colour = np.linspace(0.5, 1.5, len(bands))[None, :, None, None]
    noise = np.random.default_rng(0).normal(0, more.get("sigma", 1.0), (len(light), len(bands), side, side))
    flux = light[:, None] * colour + noise
    return Cutouts.from_arrays(flux, sigma=np.full(flux.shape, more.get("sigma", 1.0)), bands=bands, scale=0.3,
                               zeropoint=22.5)  # fmt: skip


def test_the_petrosian_radius_of_a_disc_is_that_of_the_formula() -> None:
    """Exponential disc: I(x) = e^-x, mean within 2 (1 - (1 + x) e^-x) / x^2, ratio 0.2."""
    x = brentq(lambda x: np.exp(-x) - 0.2 * 2 * (1 - (1 + x) * np.exp(-x)) / x**2, 1, 8)
    lengths = [3.0, 5.0, 8.0]
    light = discs(lengths, 96, sigma=0.5).flux.mean(1)
    found = petrosian_radius(light, torch.ones_like(light, dtype=torch.bool))
    np.testing.assert_allclose(found, x * np.array(lengths), atol=1.5)


def test_a_galaxy_larger_than_the_frame_fills_it() -> None:
    light = torch.ones(1, 32, 40)
    radius = petrosian_radius(light, torch.ones_like(light, dtype=torch.bool))
    assert float(radius[0]) == 15
    assert half_widths(radius, 1.5, (32, 40)).tolist() == [16]
    assert half_widths(torch.tensor([0.5]), 1.5, (32, 40)).tolist() == [4]


def test_a_crop_is_centred_on_the_target() -> None:
    for side in (40, 41):
        image = torch.zeros(1, 1, side, side)
        image[..., side // 2, side // 2] = 1.0
        small = cropped(image, torch.tensor([8]), 16)[0, 0]
        assert np.unravel_index(int(small.argmax()), (16, 16)) == (8, 8)


def test_galaxies_are_equally_large_whatever_their_distance() -> None:
    framed = colour_pictures(discs([4.0, 8.0], 160, sigma=0.01), 48, radii=1.5)
    near, far = framed.pixels[1], framed.pixels[0]
    assert float((near - far).abs().mean()) < 0.02
    assert float(framed.finer[0] / framed.finer[1]) == pytest.approx(2.0, rel=0.06)


def test_colours_are_those_of_the_light_however_bright() -> None:
    cutouts = discs([6.0], 64, sigma=0.01)
    faint = Cutouts(**{**vars(cutouts), "flux": cutouts.flux / 50, "ivar": cutouts.ivar * 2500})
    for each in (cutouts, faint):
        pixels = colour_pictures(each, 32, radii=1.0, stretch=Stretch(top=3.0)).pixels[0]
        middle = pixels[:, 12:20, 12:20]
        expected = np.array([1.5 * 0.8, 1.0 * 1.0, 0.5 * 1.4])  # i, r, g with their tilts
        ratio = (middle / middle[1:2]).mean((1, 2)).numpy()
        np.testing.assert_allclose(ratio, expected, rtol=0.03)


def test_a_bright_star_beside_a_galaxy_does_not_make_it_dark() -> None:
    alone = discs([4.0], 96, sigma=0.5)
    flux = alone.flux.clone()
    flux[..., 60:63, 66:69] += 5000
    crowded = Cutouts(**{**vars(alone), "flux": flux})
    dark, bright = (colour_pictures(each, 48, radii=1.5).pixels[0, 1, 22:27, 22:27].mean() for each in (crowded, alone))
    assert float(dark) == pytest.approx(float(bright), rel=0.1)


@pytest.mark.parametrize("bands", [("r",), ("g", "z"), ("g", "r", "z"), ("u", "g", "r", "i", "z"), ("F606W", "F814W")])
def test_any_bands_become_a_picture(bands: tuple[str, ...]) -> None:
    preparation = Preparation(bands=PICTURE_BANDS, side=32, picture=True, colours=True, middle=(0.1,) * 3,
                              spread=(0.2,) * 3)  # fmt: skip
    batch = preparation(discs([4.0, 5.0], 64, bands=bands))
    assert batch.pixels.shape == (2, 3, 32, 32)
    assert bool(torch.isfinite(batch.pixels).all())
    shown = preparation.linear(batch.pixels)
    assert 0 <= float(shown.min()) <= float(shown.max()) <= 1 + 1e-6
    if len(bands) == 1:
        assert torch.equal(batch.pixels[:, 0], batch.pixels[:, 2])


def test_conditions_are_those_of_the_picture_and_rows_are_independent() -> None:
    cutouts = discs([3.0, 6.0, 9.0], 128)
    psf = torch.zeros(1, 3, 15, 15)
    x = torch.arange(15) - 7
    psf[:] = torch.exp(-0.5 * (x[:, None] ** 2 + x**2) / 1.5**2)
    psf /= psf.sum((2, 3), keepdim=True)
    cutouts = Cutouts(**{**vars(cutouts), "psf": psf})
    preparation = Preparation(bands=PICTURE_BANDS, side=48, picture=True, colours=True, middle=(0.0,) * 3,
                              spread=(1.0,) * 3)  # fmt: skip
    batch = preparation(cutouts)
    finer = colour_pictures(cutouts, 48, radii=1.5).finer
    np.testing.assert_allclose(batch.conditions[:, 0], 0.3 / finer, rtol=1e-5)
    np.testing.assert_allclose(batch.conditions[:, 1], 2.3548 * 1.5 * finer, rtol=0.02)
    for row in range(3):
        alone = preparation(cutouts[[row]])
        torch.testing.assert_close(alone.pixels[0], batch.pixels[row], rtol=0, atol=1e-5)


def test_pictures_are_framed_by_what_they_show() -> None:
    """A picture of a small galaxy and one of a large one, with the sky not black."""
    light = discs([4.0, 8.0], 160, sigma=0.0001).flux[:, 1:2].clamp_min(0)
    shown = (20 + 2 * light).clamp(0, 255).expand(-1, 3, -1, -1)
    pictures = Cutouts(flux=shown, ivar=torch.ones_like(shown), bands=PICTURE_BANDS)
    preparation = Preparation(bands=PICTURE_BANDS, side=48, picture=True, colours=True, middle=(0.0,) * 3,
                              spread=(1.0,) * 3)  # fmt: skip
    small, large = preparation(pictures).pixels
    assert float((small - large).abs().mean()) < 0.02
    record = Preparation.of_record(preparation.record())
    assert record == preparation


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(OptionError, match="colours are of pictures"):
        Preparation(bands=("g",), side=32, colours=True, middle=(0.0,), spread=(1.0,))
    with pytest.raises(OptionError, match="soft is 0"):
        Stretch(soft=0)
    plain = Preparation(bands=("g",), side=32, middle=(0.0,), spread=(1.0,))
    with pytest.raises(InputError, match="trained on band g"):
        plain.check_bands(("r",))
