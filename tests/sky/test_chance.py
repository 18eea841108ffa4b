"""Random numbers: independent of batch and order, uniform, normal, and unrelated between rows and streams."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from rosse.sky import chance

ROWS = torch.arange(200_000)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def test_words_are_those_of_splitmix64() -> None:
    """First numbers of Vigna's reference implementation started at 1234567, as published with it."""
    state = torch.tensor([1234567]) + torch.arange(1, 6) * chance._GAMMA
    found = [int(word) % 2**64 for word in chance._mix_(state)]
    assert found == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("device", DEVICES)
def test_a_number_depends_on_seed_name_and_row_only(device: str) -> None:
    rows = ROWS[:1000].to(device)
    whole = chance.uniform(3, rows, "mass", (4,))
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0)).to(device)
    assert torch.equal(chance.uniform(3, rows[order], "mass", (4,)), whole[order])
    assert torch.equal(chance.uniform(3, rows[17:18], "mass", (2,)), whole[17:18, :2])
    assert torch.equal(whole.cpu(), chance.uniform(3, rows.cpu(), "mass", (4,)))
    pixels = chance.noise(3, rows, "pixels", (3, 9, 7))
    assert pixels.shape == (1000, 3, 9, 7)
    assert pixels.dtype == torch.float32
    assert torch.equal(chance.noise(3, rows[order][:50], "pixels", (3, 9, 7)), pixels[order][:50])
    torch.testing.assert_close(pixels.cpu(), chance.noise(3, rows.cpu(), "pixels", (3, 9, 7)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1, -1, 2**70])
def test_uniform_along_rows_and_along_places(seed: int) -> None:
    along_rows = chance.uniform(seed, ROWS, "a").numpy()
    along_places = chance.uniform(seed, torch.tensor([5]), "a", (200_000,))[0].numpy()
    for sample in (along_rows, along_places):
        assert stats.kstest(sample, "uniform").pvalue > 1e-3
        assert stats.chisquare(np.bincount((sample * 1024).astype(int), minlength=1024)).pvalue > 1e-3
        pairs = np.histogram2d(sample[:-1:2], sample[1::2], bins=32)[0]
        assert stats.chisquare(pairs.ravel()).pvalue > 1e-3
        assert sample.min() > 0
        assert sample.max() < 1


def test_rows_seeds_and_streams_are_unrelated() -> None:
    first = chance.uniform(1, ROWS, "a").numpy()
    others = {
        "seed": chance.uniform(2, ROWS, "a"),
        "stream": chance.uniform(1, ROWS, "b"),
        "row": chance.uniform(1, ROWS + 1, "a"),
        "place": chance.uniform(1, ROWS, "a", (2,))[:, 1],
        "row and seed": chance.uniform(2, ROWS - 1, "a"),
    }
    for name, other in others.items():
        assert stats.pearsonr(first, other.numpy()).pvalue > 1e-3, name
        joint = np.histogram2d(first, other.numpy(), bins=16)[0]
        assert stats.chisquare(joint.ravel()).pvalue > 1e-3, name


def test_no_word_comes_twice() -> None:
    words = chance._words(0, torch.arange(1000), "a", 2000).flatten()
    assert len(torch.unique(words)) == len(words)


@pytest.mark.parametrize("name", ["normal", "noise"])
def test_normal_numbers(name: str) -> None:
    sample = getattr(chance, name)(7, torch.arange(1600), "n", (5001,)).double().numpy()
    flat = sample.ravel()
    assert stats.kstest(flat, "norm").pvalue > 1e-3
    for edge in (3.0, 4.0, 4.5):
        for tail in (flat > edge, flat < -edge):
            expected = stats.norm.sf(edge) * flat.size
            assert stats.poisson.cdf(tail.sum(), expected) > 1e-3
            assert stats.poisson.sf(tail.sum() - 1, expected) > 1e-3
    # over rows and along places, and between the two halves that Box-Muller makes of one word
    assert stats.kstest(sample.mean(axis=1) * np.sqrt(5001), "norm").pvalue > 1e-3
    for lag in (1, 2, 2500, 2501):
        assert stats.pearsonr(sample[:, lag:].ravel(), sample[:, :-lag].ravel()).pvalue > 1e-3
        assert stats.pearsonr(sample[:, lag:].ravel() ** 2, sample[:, :-lag].ravel() ** 2).pvalue > 1e-3
    assert stats.pearsonr(sample[1:].ravel(), sample[:-1].ravel()).pvalue > 1e-3


def test_seeds_are_as_different_as_chance_has_it() -> None:
    """Over many seeds the probabilities that tests give are themselves uniform: none is too good or too bad."""
    kolmogorov, means, squares = [], [], []
    for seed in range(200):
        sample = chance.noise(seed, torch.arange(20), "pixels", (1000,)).double().numpy().ravel()
        kolmogorov.append(stats.kstest(sample, "norm").pvalue)
        means.append(stats.norm.sf(sample.mean() * np.sqrt(sample.size)))
        squares.append(stats.chi2.sf((sample**2).sum(), sample.size))
    for probabilities in (kolmogorov, means, squares):
        assert stats.kstest(probabilities, "uniform").pvalue > 1e-3
