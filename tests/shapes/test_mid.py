"""Multimode, intensity and deviation of a batch at once, as on a GPU, against one galaxy after the other, and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

import rosse
from rosse.shapes.mid import mid
from rosse.shapes.mid_batched import mid_at_once
from rosse.shapes.roots import brent
from rosse.shapes.stamps import Stamps, cut, extents
from shapes.profiles import round_segment, sersic


def stamps() -> Stamps:
    """Galaxies with clumps, smooth ones, one of two pixels, one without light, one at the edge of its frame."""
    rng, images, segments = np.random.default_rng(7), [], []
    for i in range(8):
        image = sersic(rng.uniform(0.6, 3), rng.uniform(3, 8), rng.uniform(0.4, 1), rng.uniform(0, 3), side=81)
        for _ in range(3 * (i % 2)):
            x, y = (int(v) for v in rng.normal(0, 8, 2))
            image = image + 0.1 * sersic(0.5, 2.0, side=81, shift=(x, y))
        images.append(image + rng.normal(0, 10 ** rng.uniform(-5.5, -3.7), image.shape))
        segments.append(round_segment(81, rng.uniform(8, 25)))
    small = np.zeros((81, 81), dtype=int)
    small[40, 40:42] = 1
    images += [images[0], -np.abs(images[1]), np.roll(images[3], 36, 1)]
    segments += [small, segments[1], np.roll(segments[3], 36, 1) * (np.arange(81) > 45)]
    flux, labels = torch.from_numpy(np.array(images)).float(), torch.from_numpy(np.array(segments)).long()
    first, size = extents(labels == 1, factor=2.5, minimum=48)
    return cut(flux, torch.ones_like(flux), labels, first=first, size=size, side=81, outlier=0)


@pytest.mark.parametrize("options", [rosse.ShapeOptions(), rosse.ShapeOptions(sigma_mid=2.5, boxcar_mid=4, eta=0.5)])
def test_a_batch_at_once_gives_what_each_galaxy_gives(options: rosse.ShapeOptions) -> None:
    batch = stamps()
    other = batch.segment.clone()
    one, one_map = mid(batch, other, options)
    all_of_them, whole_map = mid_at_once(batch, other, options)
    assert torch.equal(one_map, whole_map)
    for name, value in one.items():
        np.testing.assert_allclose(all_of_them[name].numpy(), value.numpy(), rtol=1e-5, atol=1e-7, err_msg=name)
    assert np.isfinite(one["multimode"].numpy()).sum() == 10  # not that without light
    assert (one["multimode"] > 0.1).any()


@given(st.floats(-2, 2), st.integers(1, 6))
def test_roots_are_scipys(shift: float, power: int) -> None:
    """Of a smooth function and of one with jumps, to the same tolerance, many at once."""
    scale = np.array([0.3, 1.0, 7.0])

    def smooth(x: torch.Tensor) -> torch.Tensor:
        return torch.tensor(scale) * (x - shift) ** (2 * power - 1) + 0.1 * (x - shift)

    def jumps(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > shift + torch.tensor(scale) / 10, 1.0, -0.5) * torch.tensor(scale)

    low, high, near = -3.0 * np.ones(3), 3.0 * np.ones(3), np.array([1e-3, 1e-6, 1e-2])
    for function in (smooth, jumps):
        found = brent(function, *(torch.from_numpy(v) for v in (low, high)), tolerance=torch.from_numpy(near)).numpy()
        for i in range(3):
            its = optimize.brentq(
                lambda x, i=i, f=function: float(f(torch.full((3,), x, dtype=torch.float64))[i]), -3, 3, xtol=near[i]
            )
            assert found[i] == pytest.approx(its, abs=1e-12)
