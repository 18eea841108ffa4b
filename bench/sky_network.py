"""A small network that says of a picture which class and which Hubble stage its galaxy has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sky_pictures import CLASSES, SEEN, SIDE

WIDTHS = (16, 32, 64, 128)
BATCH = 128
RATE, DECAY = 3e-3, 0.05
MOST = 4.0
MIDDLE, SPREAD = 3.0, 5.0  # of Hubble stages


class Block(nn.Module):
    """Two convolutions beside a straight way; the first one halves the image."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.straight = nn.Conv2d(before, after, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(functional.relu(self.norms[0](self.first(x))))
        return functional.relu(self.norms[1](y) + self.straight(functional.avg_pool2d(x, 2)))


class Network(nn.Module):
    """Pictures (B, 3, 64, 64) of brightness 0 to 1 → (B, 3) logits of CLASSES and (B,) Hubble stage."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
        )
        self.body = nn.Sequential(
            nn.Conv2d(WIDTHS[0], WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU(),
            *(Block(a, b) for a, b in pairwise(WIDTHS)),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(WIDTHS[-1], len(CLASSES) + 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(self.stem(standard(x))).mean((2, 3))
        out = self.head(features)
        return out[:, :-1], MIDDLE + SPREAD * out[:, -1]


def standard(x: Tensor) -> Tensor:
    """Each picture with mean 0 and variance 1: stretches differ from set to set."""
    spread, mean = torch.std_mean(x, (1, 2, 3), keepdim=True)
    return (x - mean) / (spread + 0.02)


def augmented(x: Tensor, draw: torch.Generator) -> Tensor:
    """Pictures (B, 3, SEEN, SEEN) out of (B, 3, SIDE, SIDE): turned, moved, zoomed, with other colours.

    All that is changed here is what a picture's maker may choose; none of it was fitted to real pictures.
    """
    count = len(x)

    def number(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=draw, device=x.device)

    angle, zoom = 2 * math.pi * number(), torch.exp(0.3 * (number() - 0.5)) * (SEEN / SIDE)
    angle = torch.where(number() < 0.5, torch.round(angle * 2 / math.pi) * math.pi / 2, angle)
    mirror = torch.where(number() < 0.5, 1.0, -1.0)
    c, s = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    shift = 0.06 * (number(2) - 0.5)
    turn = torch.stack([c * mirror, -s, shift[:, 0], s * mirror, c, shift[:, 1]], 1).view(-1, 2, 3)
    grid = functional.affine_grid(turn, [count, 3, SEEN, SEEN], align_corners=False)
    x = functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    one = (-1, 1, 1, 1)
    blurred = functional.avg_pool2d(x, 3, 1, 1)
    x = torch.lerp(x, blurred, 0.6 * number().square().view(one))
    mean = x.mean(1, keepdim=True)
    vivid = torch.where(number() < 0.2, 0.0, 0.3 + 1.1 * number())  # some are grey
    x = mean + (x - mean) * vivid.view(one)
    x = x * torch.exp(0.3 * (number(3, 1, 1) - 0.5)) + 0.03 * number(3, 1, 1)
    x = x.clamp(1e-4, 1) ** torch.exp(0.6 * (number().view(one) - 0.5))
    noise = torch.randn(x.shape, generator=draw, device=x.device)
    return x + 0.03 * number().square().view(one) * noise


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What a network learns from.

    Parameters
    ----------
    pictures : (N, SIDE, SIDE, 3) uint8.
    label : (N,) class; negative where there is none.
    weight : (N,) of a picture among those of its class: how many galaxies of a survey it stands for.
    stage : (N,) Hubble stage; NaN where there is none.
    """

    pictures: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    stage: np.ndarray


def balanced(label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weights (N,) with mean 1 in each class; none is more than MOST, lest few pictures are learnt by heart."""
    out = np.zeros(len(label))
    for each in range(len(CLASSES)):
        there = label == each
        if there.any():
            part = weight[there] / weight[there].mean()
            part = np.minimum(part, MOST)
            out[there] = part / part.sum() * np.sum(label >= 0) / len(CLASSES)
    return out


def loss(network: Network, x: Tensor, weight: Tensor, label: Tensor, stage: Tensor) -> Tensor:
    """What is known counts: class, stage or both."""
    logits, found = (each.float() for each in network(x))
    staged = torch.isfinite(stage)
    wrong = functional.cross_entropy(logits, label.clamp_min(0), label_smoothing=0.05, reduction="none")
    far = (found - stage)[staged] / SPREAD
    return (weight * wrong).mean() + 2 * functional.smooth_l1_loss(far, torch.zeros_like(far), beta=0.3)


def train(examples: Examples, *, epochs: int, seed: int) -> Network:
    """A network that has seen examples only.

    The length of the training and its rates are fixed beforehand: no other pictures are looked at.
    """
    torch.manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = Network().to(device, memory_format=torch.channels_last).train()
    images = torch.as_tensor(examples.pictures).permute(0, 3, 1, 2)
    weights = torch.as_tensor(balanced(examples.label, examples.weight)).float()
    labels, stages = torch.as_tensor(examples.label).long(), torch.as_tensor(examples.stage).float()
    steps = epochs * (len(images) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=max(steps, 2), pct_start=0.2)
    order, draw = torch.Generator().manual_seed(seed), torch.Generator(device).manual_seed(seed)
    for _ in range(epochs):
        for some in torch.randperm(len(images), generator=order)[: len(images) // BATCH * BATCH].split(BATCH):
            x = augmented(images[some].to(device).float() / 255, draw)
            optimiser.zero_grad()
            x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device, torch.bfloat16):
                off = loss(network, x, *(each[some].to(device) for each in (weights, labels, stages)))
            off.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def judged(network: Network, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) probabilities and (N,) stages of (N, SEEN, SEEN, 3) pictures: means of eight turned and mirrored views."""
    device = next(network.parameters()).device
    chances, stages = [], []
    for start in range(0, len(pictures), 256):
        x = torch.as_tensor(pictures[start : start + 256]).to(device).permute(0, 3, 1, 2).float() / 255
        views = [network(torch.rot90(v, turn, (2, 3))) for v in (x, x.flip(3)) for turn in range(4)]
        chances.append(torch.stack([logits.softmax(1) for logits, _ in views]).mean(0).cpu())
        stages.append(torch.stack([stage for _, stage in views]).mean(0).cpu())
    return torch.cat(chances).numpy(), torch.cat(stages).numpy()
