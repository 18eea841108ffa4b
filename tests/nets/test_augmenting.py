"""Views of galaxies: turns keep pixels, colours stay, and seeing and depth change as in a telescope."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from rosse.errors import OptionError
from rosse.nets.augmenting import Augmentation, blur
from rosse.nets.preparing import Batch, Preparation

PLAIN = Preparation(bands=("g", "r"), side=32, middle=(0.0, 0.0), spread=(1.0, 1.0))
NOTHING = Augmentation(turn=False, zoom=0, shift=0, blur=0, noise=0, forget=0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 64, side: int = 32) -> Batch:
    pixels = torch.randn(count, 2, side, side, generator=generator(9))
    return Batch(pixels=pixels, conditions=torch.tensor([[0.3, 4.0, 0.1]]).repeat(count, 1))


def galaxies(count: int) -> torch.Tensor:
    """Noiseless, of two bands with a ratio of 3."""
    y, x = np.mgrid[:48, :48] - 24.0
    image = 50 * np.exp(-0.5 * ((x / 6) ** 2 + (y / 3) ** 2))
    return torch.from_numpy(np.stack([image, 3 * image])).float()[None].repeat(count, 1, 1, 1)


def test_without_anything_to_change_nothing_changes() -> None:
    seen = batch()
    out = NOTHING(seen, PLAIN, generator())
    assert torch.allclose(out.pixels, seen.pixels, atol=1e-4)  # half of them go through an interpolation by nothing
    assert torch.equal(out.conditions, seen.conditions)


def test_the_same_seed_gives_the_same_views_and_another_does_not() -> None:
    seen, vary = batch(), Augmentation()
    one, two = vary(seen, PLAIN, generator(4)), vary(seen, PLAIN, generator(4))
    assert torch.equal(one.pixels, two.pixels)
    assert torch.equal(one.conditions.nan_to_num(-1), two.conditions.nan_to_num(-1))
    assert not torch.equal(one.pixels, vary(seen, PLAIN, generator(5)).pixels)


def test_turns_by_right_angles_keep_every_pixel_and_all_eight_occur() -> None:
    seen = batch(400, 9)
    out = Augmentation(zoom=0, shift=0, blur=0, noise=0, forget=0)(seen, PLAIN, generator())
    views = [torch.rot90(v, k, (-2, -1)) for v in (seen.pixels, seen.pixels.flip(-1)) for k in range(4)]
    same = torch.stack([(out.pixels == view).flatten(1).all(1) for view in views])
    share = same.any(0).float().mean()
    assert abs(float(share) - 0.5) < 0.1  # the others are turned by any angle
    assert (same.sum(1) > 10).all()


def test_colours_stay_what_they_are() -> None:
    prepare = Preparation(bands=("g", "r"), side=48, softening=3.0, middle=(0.0, 0.0), spread=(0.7, 1.3))
    seen = Batch(pixels=prepare.stretched(galaxies(200)), conditions=torch.full((200, 3), math.nan))
    vary = Augmentation(noise=0, forget=0, blur=1.0, share=1.0)
    flux = prepare.linear(vary(seen, prepare, generator()).pixels)
    # Noise is made white again, so that faint pixels tell little: bright ones do.
    total = flux.clamp_min(0)[:, :, 18:30, 18:30].sum((2, 3))
    assert torch.allclose(total[:, 1] / total[:, 0], torch.tensor(3.0), rtol=0.05)


def test_blur_is_a_gaussian() -> None:
    images = torch.randn(3, 2, 40, 40, generator=generator())
    sigma = torch.tensor([0.8, 1.5, 2.2])
    found, _ = blur(images, sigma)
    for image, width, out in zip(images.numpy(), sigma.tolist(), found.numpy(), strict=True):
        reach = math.ceil(3 * 2.2)
        expected = [gaussian_filter(band, width, mode="nearest", radius=reach) for band in image]
        np.testing.assert_allclose(out, expected, atol=2e-5)


def test_what_is_left_of_noise_after_a_blur_is_as_computed() -> None:
    images = torch.randn(2, 1, 400, 400, generator=generator())
    found, left = blur(images, torch.tensor([0.7, 1.4]))
    assert torch.allclose(found.var((1, 2, 3)), left, rtol=0.05)


def test_noise_has_unit_variance_in_a_worse_view() -> None:
    prepare = Preparation(bands=("g", "r"), side=64, middle=(0.0, 0.0), spread=(1.0, 1.0))
    white = torch.randn(60, 2, 64, 64, generator=generator(1))
    seen = Batch(pixels=prepare.stretched(white), conditions=torch.tensor([[0.3, 4.0, 0.1]]).repeat(60, 1))
    vary = Augmentation(turn=False, zoom=0, shift=0, blur=1.5, noise=1.0, forget=0, share=1.0)
    flux = prepare.linear(vary(seen, prepare, generator()).pixels)
    spread = flux.std((1, 2, 3))
    assert float((spread - 1).abs().max()) < 0.06


def test_the_width_of_the_psf_follows_a_blur_and_a_zoom() -> None:
    seen = batch(300)
    blurred = Augmentation(turn=False, zoom=0, shift=0, blur=2.0, noise=0, forget=0, share=1.0)
    width = blurred(seen, PLAIN, generator()).conditions[:, 1]
    assert float(width.min()) >= 4.0
    assert float(width.max()) == pytest.approx(math.sqrt(16 + 8 * math.log(2) * 4), rel=0.02)
    zoomed = Augmentation(turn=False, zoom=0.2, shift=0, blur=0, noise=0, forget=0)(seen, PLAIN, generator()).conditions
    assert torch.allclose(zoomed[:, 0] * zoomed[:, 1], torch.tensor(1.2), rtol=1e-5)  # arcsec stay
    assert float(zoomed[:, 0].max()) > 0.33


def test_conditions_are_forgotten_as_often_as_asked() -> None:
    lost = Augmentation(turn=False, forget=0.3)(batch(2000, 8), PLAIN, generator()).conditions.isnan()
    assert torch.allclose(lost.float().mean(0), torch.full((3,), 0.3), atol=0.04)


def test_pixels_without_weight_stay_empty() -> None:
    pixels = torch.randn(50, 2, 16, 16, generator=generator())
    pixels[:, :, :4] = 0
    seen = Batch(pixels=pixels, conditions=torch.full((50, 3), math.nan))
    vary = Augmentation(turn=False, zoom=0, shift=0, blur=1.0, noise=1.0, forget=0, share=1.0)
    out = vary(seen, PLAIN, generator()).pixels
    assert float(out[:, :, :4].abs().max()) < 1e-5


def test_impossible_augmentations_are_named() -> None:
    with pytest.raises(OptionError, match=r"forget is 1\.5"):
        Augmentation(forget=1.5)
    with pytest.raises(OptionError, match="noise is -1"):
        Augmentation(noise=-1)
