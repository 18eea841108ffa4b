"""Figures hold what they should: the right words and pixels, in every form that a fit can have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

import rosse
from rosse.demo import contact_sheet as sheet_module
from rosse.demo.contact_sheet import contact_sheet
from rosse.demo.cutout_folder import write_cutouts
from rosse.demo.recovered_figure import recovered_figure
from rosse.demo.recovery import QUANTITIES, Recovery
from rosse.errors import StorageError


def a_fit(bands: tuple[str, ...] = ("g", "r", "z"), *, scale: float | None = 0.262, count: int = 3) -> rosse.Fit:
    """Round Gaussian blobs in noise, the second with a masked half, the last with nothing at all."""
    rng = np.random.default_rng(0)
    y, x = np.indices((41, 41)) - 20
    blob = np.exp(-(x**2 + y**2) / 30.0)
    image = 20 * blob + rng.normal(0, 1, (count, len(bands), 41, 41))
    ivar = np.ones_like(image)
    ivar[1, :, :, 25:] = 0
    ivar[-1] = 0
    zeropoint = None if scale is None else 22.5
    cutouts = rosse.Cutouts.from_arrays(image, ivar=ivar, bands=bands, scale=scale, zeropoint=zeropoint)
    kernel = torch.zeros(1, len(bands), 3, 3)
    kernel[..., 1, 1] = 1
    return rosse.fit(replace(cutouts, psf=kernel))


def read_pixels(path: Path) -> NDArray[np.float64]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float64)


@pytest.mark.parametrize("bands", [("r",), ("g", "z"), ("g", "r", "z"), ("g", "r", "i", "z", "y")])
@pytest.mark.parametrize("picture", [False, True])
def test_sheet_of_any_number_of_bands(bands: tuple[str, ...], picture: bool, tmp_path: Path) -> None:
    path = contact_sheet(a_fit(bands), [0, 1, 2], tmp_path / "sheet.png", title="three", picture=picture)
    pixels = read_pixels(path)
    colourful = np.ptp(pixels, axis=2).max()
    assert colourful > 60  # residuals are blue and red, whatever the bands
    dark = (pixels.max(2) < 30).mean()
    assert dark > 0.1  # sky of galaxy and model


def test_sheet_tells_numbers_units_and_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []

    def caught(figure: Figure, path: Path) -> Path:
        parts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
        texts.extend(part.get_text() for part in parts)
        return path

    monkeypatch.setattr(sheet_module, "save", caught)
    fit = a_fit()
    contact_sheet(fit, [2, 0], tmp_path / "s.png", notes=["first", "second"], caption="pixels")
    row = fit.table()[0]
    assert any(f"r {row['mag_r']:.2f}" in text and "″" in text for text in texts)
    assert "first   no data" in texts
    assert "second" in texts
    assert {"galaxy", "model", "residual", "pixels", "residual / σ"} <= set(texts)
    texts.clear()
    contact_sheet(a_fit(scale=None), [0], tmp_path / "s.png")
    assert any(" px" in text for text in texts)
    assert not any("″" in text for text in texts)


def test_galaxy_and_model_share_one_stretch() -> None:
    """A model that equals the galaxy looks like it."""
    image = np.random.default_rng(0).uniform(1, 50, (3, 9, 9))
    shown, drawn = sheet_module._stretched(image, image, np.ones((3, 9, 9)), np.ones(3))
    assert np.array_equal(shown, drawn)
    assert shown.min() >= 0
    assert shown.max() <= 1


@pytest.mark.parametrize(
    ("value", "sigma", "text"),
    [(3.273, 0.041, "3.27±0.04"), (3.273, 0.9, "3.3±0.9"), (21.0, 4.0, "21±4"), (0.2, 0.00041, "0.2000±0.0004"),
     (2.0, np.nan, "2.00"), (np.nan, 0.1, "–")],
)  # fmt: skip
def test_decimals_follow_the_error(value: float, sigma: float, text: str) -> None:
    from astropy.table import Table

    assert sheet_module._with_error(Table({"n": [value], "sigma_n": [sigma]})[0], "n") == text


@pytest.mark.parametrize("count", [0, 1, 40])
def test_recovered_figure_of_any_number_of_galaxies(count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    true = rng.uniform(0.5, 4, count)
    sigma = 0.1 * true
    recoveries = [
        Recovery(quantity=q, true=true, fitted=true + rng.normal(0, sigma), sigma=sigma, snr=rng.uniform(20, 90, count))
        for q in QUANTITIES
    ]
    path = recovered_figure(recoveries, tmp_path / "deep" / "recovered.png", title="t", caption="c")
    assert min(read_pixels(path).shape[:2]) > 1000


def test_a_figure_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"sheet\.png"):
        contact_sheet(a_fit(("r",)), [0], tmp_path / "file" / "sheet.png")


def test_cutouts_come_back_from_their_files(tmp_path: Path) -> None:
    cutouts = a_fit(("r",)).cutouts
    write_cutouts(cutouts, tmp_path)
    back = rosse.read_cutouts(tmp_path, scale=0.262)
    order = [list(back.id).index(name) for name in cutouts.id]
    keep = (cutouts.ivar > 0).numpy()
    assert np.array_equal((back.ivar[order] > 0).numpy(), keep)
    assert np.allclose(back.flux[order].numpy()[keep], cutouts.flux.numpy()[keep])
    assert np.allclose(back.ivar[order].numpy()[keep], cutouts.ivar.numpy()[keep], rtol=1e-4)
    assert back.bands == ("r",)
