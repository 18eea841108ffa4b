"""Cutouts are checked once where they enter, and everything in them stays aligned afterwards."""

from __future__ import annotations

import logging
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rosse.cutouts import Cutouts, pad_cutouts, pad_psf, stack_cutouts
from rosse.errors import InputError


def make(b: int = 3, c: int = 2, h: int = 8, w: int = 6, **changes: Any) -> Cutouts:
    """Cutouts in which every number tells its row: a row that went astray is seen."""
    row = torch.arange(b, dtype=torch.float32)
    given = {
        "flux": row[:, None, None, None] + torch.arange(c * h * w).reshape(c, h, w) / 1000,
        "ivar": (1 + row)[:, None, None, None].expand(b, c, h, w).clone(),
        "psf": _delta(b, c) * 1.0,
        "scale": 0.1 * (1 + row),
        "zeropoint": 20.0 + torch.arange(c),
        "id": [f"galaxy-{i}" for i in range(b)],
        "ra": np.arange(b) * 10.0,
        "dec": np.arange(b) * -1.0,
        "corner": torch.stack([row, 100 + row], 1),
        "north": row / 10,
        "parity": torch.where(row % 2 == 0, 1.0, -1.0),
    }
    return Cutouts(**{**given, **changes})


def _delta(b: int, c: int, size: int = 5) -> torch.Tensor:
    psf = torch.zeros(b, c, size, size)
    psf[..., size // 2, size // 2] = 1
    return psf


def assert_row(cutouts: Cutouts, at: int, row: int) -> None:
    """Row `at` of `cutouts` is galaxy number `row` of `make()`, in every field."""
    one = make(b=8)
    assert cutouts.id[at] == f"galaxy-{row}"
    assert (cutouts.ra[at], cutouts.dec[at]) == (one.ra[row], one.dec[row])
    for name in ("flux", "ivar", "scale", "corner", "north", "parity"):
        assert torch.equal(getattr(cutouts, name)[at], getattr(one, name)[row]), name


# --- the border ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flux": torch.zeros(3, 8, 6)}, "flux has shape (3, 8, 6); (galaxies, bands, height, width) is wanted"),
        ({"ivar": torch.ones(3, 2, 8, 5)}, "flux has shape (3, 2, 8, 6), but ivar (3, 2, 8, 5)"),
        ({"bands": ("g",)}, "flux has 2 bands, but 1 band names came"),
        ({"scale": torch.ones(2)}, "scale has shape (2,); (3,) is wanted"),
        ({"scale": torch.tensor([0.1, 0.0, 0.1])}, "scale must be positive"),
        ({"zeropoint": torch.ones(3)}, "zeropoint has shape (3,); (2,) is wanted"),
        ({"corner": torch.ones(3)}, "corner has shape (3,); (3, 2) is wanted"),
        ({"ra": np.zeros(2)}, "ra has shape (2,); one number for each of 3 galaxies is wanted"),
        ({"id": ["a", "b"]}, "id has 2 entries for 3 galaxies"),
        ({"id": ["a", "b", "a"]}, "ids must be unique, but these come more than once: a"),
        ({"psf": torch.ones(2, 2, 5, 5)}, "psf has shape (2, 2, 5, 5); (3 or 1, 2 or 1, height, width) is wanted"),
        ({"psf": torch.ones(1, 3, 5, 5)}, "psf has shape (1, 3, 5, 5); (3 or 1, 2 or 1, height, width) is wanted"),
        ({"psf": torch.zeros(1, 2, 5, 5)}, "psf sums to zero or less"),
        ({"psf": torch.full((1, 2, 5, 5), torch.nan)}, "psf is not finite"),
    ],
)
def test_border_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make(**changes)


@pytest.mark.parametrize("value", [-1.0, torch.nan, torch.inf])
def test_impossible_ivar_names_its_rows(value: float) -> None:
    ivar = torch.ones(3, 2, 8, 6)
    ivar[1, 0, 2, 2] = value
    with pytest.raises(InputError, match=r"ivar is negative or not finite, rows \[1\]; give 0"):
        make(ivar=ivar)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_flux_must_be_finite_where_it_counts(value: float) -> None:
    flux, ivar = torch.ones(3, 2, 8, 6), torch.ones(3, 2, 8, 6)
    flux[1, 0, 2, 2] = flux[2, 1, 0, 0] = value
    with pytest.raises(InputError, match=r"flux is not finite in pixels that carry weight, rows \[1, 2\]"):
        make(flux=flux, ivar=ivar)
    ivar[1, 0, 2, 2] = ivar[2, 1, 0, 0] = 0
    left_out = make(flux=flux, ivar=ivar)
    assert torch.isfinite(left_out.flux).all(), "0 x NaN is NaN: what carries no weight must not reach a sum"
    assert not torch.isfinite(flux).all(), "the caller's array is not touched"


def test_a_galaxy_without_any_weight_is_data() -> None:
    ivar = torch.ones(3, 2, 8, 6)
    ivar[1] = 0
    assert len(make(ivar=ivar)) == 3


def test_psf_is_normalised_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    psf = torch.rand(3, 2, 5, 5, generator=torch.Generator().manual_seed(1)) + 0.1
    with caplog.at_level(logging.WARNING):
        cutouts = make(psf=psf)
        cutouts[1:][0].to("cpu")
    assert cutouts.psf is not None
    torch.testing.assert_close(cutouts.psf.sum((-2, -1)), torch.ones(3, 2))
    assert [record.message for record in caplog.records if "does not sum to one" in record.message] != []
    assert len(caplog.records) == 1


def test_a_psf_of_unit_sum_is_not_talked_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        make()
    assert not caplog.records


def test_defaults() -> None:
    plain = Cutouts(flux=torch.zeros(2, 3, 4, 4), ivar=torch.ones(2, 3, 4, 4))
    assert plain.bands == ("band0", "band1", "band2")
    assert plain.id.tolist() == ["0", "1"]
    assert plain.psf is None
    assert torch.isnan(plain.scale).all()
    assert torch.isnan(plain.zeropoint).all()
    assert plain.corner.tolist() == [[0, 0], [0, 0]]
    assert plain.frame == (4, 4)


def test_frozen() -> None:
    with pytest.raises(AttributeError):
        make().flux = torch.zeros(1)  # type: ignore[misc]


# --- from arrays ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "batch"), [((8, 6), (1, 1)), ((4, 8, 6), (4, 1)), ((4, 3, 8, 6), (4, 3))])
def test_from_arrays_of_two_to_four_axes(shape: tuple[int, ...], batch: tuple[int, int]) -> None:
    image = np.random.default_rng(1).normal(size=shape)
    cutouts = Cutouts.from_arrays(image, sigma=np.full(shape, 0.5))
    assert cutouts.flux.shape == (*batch, 8, 6)
    assert cutouts.flux.dtype == torch.float32
    np.testing.assert_allclose(cutouts.flux.numpy().ravel(), image.ravel(), rtol=1e-6)
    assert (cutouts.ivar == 4).all()


def test_from_arrays_one_noise_map_serves_all() -> None:
    cutouts = Cutouts.from_arrays(np.zeros((4, 3, 8, 6)), sigma=np.full((8, 6), 2.0), scale=0.2, zeropoint=22.5)
    assert cutouts.ivar.shape == (4, 3, 8, 6)
    assert (cutouts.ivar == 0.25).all()
    assert cutouts.scale.tolist() == [0.2] * 4
    assert cutouts.zeropoint.tolist() == [22.5] * 3


def test_from_arrays_any_byte_order_and_integers() -> None:
    image = np.arange(48, dtype=">i2").reshape(8, 6)
    cutouts = Cutouts.from_arrays(image, ivar=np.ones((8, 6), dtype=">f4"))
    np.testing.assert_array_equal(cutouts.flux[0, 0].numpy(), image)


def test_from_arrays_leaves_out_what_is_masked_or_not_finite() -> None:
    image, sigma, mask = np.ones((2, 8, 6)), np.ones((2, 8, 6)), np.zeros((2, 8, 6), dtype=int)
    image[0, 1, 1] = np.nan
    image[0, 2, 2] = np.inf
    mask[1, 3, 3] = 7
    sigma[1, 3, 3] = -1  # a masked pixel may have any noise
    cutouts = Cutouts.from_arrays(image, sigma=sigma, mask=mask)
    without = torch.nonzero(cutouts.ivar == 0).tolist()
    assert without == [[0, 0, 1, 1], [0, 0, 2, 2], [1, 0, 3, 3]]
    assert torch.isfinite(cutouts.flux).all()


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_from_arrays_refuses_sigma_that_is_not_positive(value: float) -> None:
    sigma = np.ones((3, 8, 6))
    sigma[1, 2, 2] = sigma[2, 0, :2] = value
    with pytest.raises(InputError, match=r"sigma is zero, negative or NaN in 3 pixels, rows \[1, 2\]; give a positive"):
        Cutouts.from_arrays(np.zeros((3, 8, 6)), sigma=sigma)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of sigma and ivar is wanted, neither came"),
        ({"sigma": np.ones((8, 6)), "ivar": np.ones((8, 6))}, "exactly one of sigma and ivar is wanted, both came"),
        (
            {"sigma": np.full((8, 6), 1e-20)},
            "1 / sigma^2 is too large for float32; give image and noise in a smaller unit",
        ),
        (
            {"sigma": np.full((8, 6), 1e25)},
            "1 / sigma^2 is too small for float32; give image and noise in a larger unit",
        ),
        ({"sigma": np.ones((8, 5))}, "sigma has shape (8, 5), which does not fit the image's (3, 1, 8, 6)"),
        ({"ivar": np.ones((2, 8, 6))}, "ivar has shape (2, 8, 6), which does not fit"),
        ({"ivar": np.ones((8, 6)), "mask": np.ones((6, 8))}, "mask has shape (6, 8), which does not fit"),
        ({"ivar": np.ones((8, 6)), "psf": np.ones(5)}, "psf has shape (5,)"),
    ],
)
def test_from_arrays_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        Cutouts.from_arrays(np.zeros((3, 8, 6)), **arguments)


@pytest.mark.parametrize("image", [np.zeros(6), np.zeros((1, 1, 1, 1, 1))])
def test_from_arrays_refuses_other_axes(image: Any) -> None:
    with pytest.raises(InputError, match=r"image has shape .*; \(H, W\), \(B, H, W\) or \(B, C, H, W\) is wanted"):
        Cutouts.from_arrays(image, sigma=np.ones((8, 6)))


def test_from_arrays_refuses_ragged_images() -> None:
    with pytest.raises(InputError, match="image is not a rectangular array of numbers"):
        Cutouts.from_arrays([np.zeros((8, 6)), np.zeros((8, 7))], sigma=np.ones((8, 6)))


def test_from_arrays_refuses_a_misspelt_argument() -> None:
    with pytest.raises(TypeError, match="psf_has_pixels"):
        Cutouts.from_arrays(np.zeros((8, 6)), ivar=np.ones((8, 6)), psf_has_pixels=True)


# --- slices, devices, bands ----------------------------------------------------------------------------------------

INDEX = st.one_of(
    st.integers(-8, 7),
    st.slices(8),
    st.lists(st.integers(-8, 7), max_size=8, unique_by=lambda i: i % 8),
    st.lists(st.booleans(), min_size=8, max_size=8).map(np.array),
)


@given(INDEX)
def test_slicing_keeps_everything_aligned(index: Any) -> None:
    cutouts = make(b=8)
    rows = np.atleast_1d(np.arange(8)[slice(0) if isinstance(index, list) and not index else index])
    part = cutouts[index]
    assert isinstance(part, Cutouts)
    assert len(part) == len(rows)
    assert part.psf is not None
    assert part.psf.shape[0] in (1, len(rows))
    for at, row in enumerate(rows):
        assert_row(part, at, int(row))


def test_slicing_by_tensor() -> None:
    part = make(b=8)[torch.tensor([5, 2])]
    assert_row(part, 0, 5)
    assert_row(part, 1, 2)


def test_a_shared_psf_stays_shared() -> None:
    part = make(psf=_delta(1, 2))[1:]
    assert part.psf is not None
    assert part.psf.shape[0] == 1


def test_one_psf_serves_all_bands() -> None:
    psf = make(psf=_delta(3, 1)).psf
    assert psf is not None
    assert torch.equal(psf, _delta(3, 2))


def test_each_psf_goes_with_its_galaxy() -> None:
    psf = torch.zeros(3, 2, 5, 5)
    psf[torch.arange(3), :, torch.arange(3), 0] = 1
    part = make(psf=psf)[[2, 0]]
    assert part.psf is not None
    assert torch.equal(part.psf, psf[[2, 0]])


def test_beyond_the_end() -> None:
    with pytest.raises(IndexError):
        make()[3]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device here"))])  # fmt: skip
def test_to_a_device_and_back(device: str) -> None:
    there = make(b=8).to(device)
    assert there.flux.device.type == device
    assert there[2:4].ivar.device.type == device
    back = there.to("cpu")
    for row in range(8):
        assert_row(back, row, row)


def test_bands_by_name() -> None:
    cutouts = make(c=3, bands=("g", "r", "z"), psf=_delta(3, 3))
    part = cutouts.band("z", "g")
    assert part.bands == ("z", "g")
    assert torch.equal(part.flux, cutouts.flux[:, [2, 0]])
    assert part.zeropoint.tolist() == [22.0, 20.0]
    assert part.psf is not None
    assert part.psf.shape[1] == 2
    with pytest.raises(InputError, match="no band 'i' in these cutouts; they have bands g, r, z"):
        cutouts.band("i")


# --- padding and stacking ------------------------------------------------------------------------------------------

SIZE = st.integers(1, 12)


@given(SIZE, SIZE, SIZE, SIZE)
def test_padding_keeps_the_centre_and_the_corner(h: int, w: int, height: int, width: int) -> None:
    flux = torch.zeros(1, 1, h, w)
    flux[0, 0, h // 2, w // 2] = 1
    corner = torch.tensor([[30.0, 40.0]])
    before = Cutouts(flux=flux, ivar=torch.ones_like(flux), corner=corner)
    after = pad_cutouts(before, height, width)
    assert after.frame == (height, width)
    assert after.flux[0, 0, height // 2, width // 2] == 1
    # the target is where it was in the image that both were cut from
    assert torch.equal(
        after.corner[0] + torch.tensor([width // 2, height // 2]), corner[0] + torch.tensor([w // 2, h // 2])
    )
    assert int((after.ivar > 0).sum()) == min(h, height) * min(w, width), "what is new carries no weight"
    assert torch.equal(pad_cutouts(after, h, w).flux, before.flux), "the target survives a round trip"


@given(st.lists(st.tuples(st.integers(1, 3), SIZE, SIZE), min_size=1, max_size=4))
def test_stacking_keeps_rows_centres_and_ids(shapes: list[tuple[int, int, int]]) -> None:
    parts, first = [], 0
    for b, h, w in shapes:
        names = [f"galaxy-{first + i}" for i in range(b)]
        parts.append(make(b=b, h=h, w=w, id=names, psf=_delta(b, 2, size=2 * len(parts) + 1)))
        first += b
    both = stack_cutouts(parts)
    assert both.id.tolist() == [f"galaxy-{i}" for i in range(first)]
    height, width = both.frame
    assert (height, width) == (max(s[1] for s in shapes), max(s[2] for s in shapes))
    centres = torch.cat([part.flux[:, :, part.frame[0] // 2, part.frame[1] // 2] for part in parts])
    assert torch.equal(both.flux[:, :, height // 2, width // 2], centres)
    assert torch.equal(both.scale, torch.cat([part.scale for part in parts]))
    assert both.psf is not None
    size = both.psf.shape[-1]
    assert (both.psf[..., size // 2, size // 2] == 1).all(), "PSFs of different sizes share their centre"


def test_equal_shared_psfs_stay_one() -> None:
    one, two = make(psf=_delta(1, 2)), make(psf=_delta(1, 2), id=["a", "b", "c"])
    both = stack_cutouts([one, two])
    assert both.psf is not None
    assert both.psf.shape[0] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ["galaxy-0", "b", "c"]}, "ids must be unique"),
        ({"bands": ("g", "r")}, "cannot share a batch"),
        ({"zeropoint": torch.tensor([25.0, 25.0])}, "different zero points"),
        ({"psf": None}, "with and without a PSF"),
        ({"psf_has_pixel": False}, "cannot share a batch"),
    ],
)
def test_stacking_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        stack_cutouts([make(), make(**{"id": ["a", "b", "c"], **changes})])


def test_stacking_nothing() -> None:
    with pytest.raises(InputError, match="no cutouts came"):
        stack_cutouts([])


@pytest.mark.parametrize("size", [5, 6, 9])
def test_pad_psf_keeps_the_centre(size: int) -> None:
    assert torch.equal(pad_psf(_delta(1, 1), size), _delta(1, 1, size))


def test_a_batch_describes_itself_in_one_line() -> None:
    cutouts = Cutouts.from_arrays(np.zeros((3, 10, 12)), sigma=1.0)
    assert repr(cutouts) == "Cutouts of 3 galaxies in a band without a name: 12 x 10 pixels, no PSF"
