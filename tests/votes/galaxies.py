"""Images whose votes have known probabilities: a round or flat blob, and how flat it is decides what people say."""

from __future__ import annotations

import numpy as np

from rosse.cutouts import Cutouts
from rosse.tree import Answer, Question, Tree
from rosse.votes.table import VoteTable

SHAPES = Tree(
    name="shapes",
    questions=(
        Question(name="flat", text="Is it flat?", answers=(Answer(name="yes"), Answer(name="no"))),
        Question(
            name="size",
            answers=(Answer(name="small"), Answer(name="middle"), Answer(name="large")),
            after=("flat_yes",),
        ),
    ),
)
PEOPLE = 40


def galaxies(count: int, seed: int = 0, side: int = 24) -> tuple[Cutouts, VoteTable, np.ndarray]:
    """Images, votes, and the probability of each answer."""
    draw = np.random.default_rng(seed)
    q, r, angle = draw.uniform(0.2, 1, count), draw.uniform(1.5, 4.5, count), draw.uniform(0, np.pi, count)
    y, x = np.mgrid[:side, :side] - side // 2
    c, s = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    u, v = x * c + y * s, (y * c - x * s) / q[:, None, None]
    flux = 40 * np.exp(-0.5 * (u**2 + v**2) / r[:, None, None] ** 2)
    image = np.stack([flux, 1.5 * flux], 1) + draw.normal(0, 1, (count, 2, side, side))
    psf = np.zeros((1, 2, 5, 5))
    psf[..., 1:4, 1:4] = 1 / 9
    cutouts = Cutouts.from_arrays(
        image, sigma=np.ones_like(image), psf=psf, bands=("g", "r"), scale=0.4, zeropoint=22.5,
        id=[f"g{i:05d}" for i in range(count)],
    )  # fmt: skip
    flat = 1 / (1 + np.exp(12 * (q - 0.55)))
    size = np.stack([4.5 - r, np.full(count, 1.0), r - 1.5], 1)
    shares = np.concatenate([flat[:, None], 1 - flat[:, None], size / size.sum(1, keepdims=True)], 1)
    first = draw.binomial(PEOPLE, flat)
    second = np.array([draw.multinomial(n, p) for n, p in zip(first, shares[:, 2:], strict=True)])
    counts = np.concatenate([first[:, None], PEOPLE - first[:, None], second], 1)
    return cutouts, VoteTable.of(SHAPES, cutouts.id, counts), shares
