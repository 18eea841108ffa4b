"""Other views of the same galaxies: turned, mirrored, moved, through more air and noise; never in other colours.

Nothing changes the ratio of fluxes in different bands: colours tell of stars and dust. All random numbers come from
one generator on the processor, so that a training that goes on sees what it would have seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from rosse.errors import OptionError
from rosse.nets.preparing import Batch, Preparation


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How images are varied in training.

    Parameters
    ----------
    turn : whether galaxies are turned and mirrored: half of them by right angles, which leaves pixels what they are,
        half by any angle.
    zoom : largest change of size, relative; the pixel scale among the conditions follows.
    shift : largest change of place, relative to the side.
    blur : largest sigma of a Gaussian that widens the PSF, pixels; the PSF width among the conditions follows.
    noise : largest noise that is added, in units of that of the image (of the full range for pictures).
    forget : share of galaxies for which a condition is made unknown, so that predictions work without it.
    share : of galaxies that are blurred, and of those that get noise.
    tone : of pictures: largest change of the logarithms of brightness and of its exponent, and of colours against
        grey. What a picture's maker chooses differs from set to set; fluxes are never changed so.
    """

    turn: bool = True
    zoom: float = 0.05
    shift: float = 0.03
    blur: float = 0.7
    noise: float = 0.5
    forget: float = 0.15
    share: float = 0.3
    tone: float = 0.0

    def __post_init__(self) -> None:
        for name in ("zoom", "shift", "blur", "noise", "forget", "share", "tone"):
            if not 0 <= getattr(self, name) <= (1 if name in ("forget", "share") else 10):
                raise OptionError(f"augmentation: {name} is {getattr(self, name)}; a number from 0 on is wanted")

    def __call__(self, batch: Batch, preparation: Preparation, draw: torch.Generator) -> Batch:
        """A new view of each galaxy; `draw` decides which."""
        conditions = batch.conditions.clone()
        pixels = self._turned(batch.pixels, conditions, draw, picture=preparation.picture)
        pixels = self._worsened(pixels, conditions, preparation, draw)
        if self.tone and preparation.picture:
            pixels = preparation.stretched(toned(preparation.linear(pixels), self.tone, draw))
        lost = torch.rand(conditions.shape, generator=draw) < self.forget
        return Batch(pixels=pixels, conditions=conditions.masked_fill(lost, math.nan))

    def _turned(self, pixels: Tensor, conditions: Tensor, draw: torch.Generator, *, picture: bool) -> Tensor:
        count = len(pixels)
        number = torch.rand(count, 6, generator=draw)
        angle = 2 * math.pi * number[:, 0] * self.turn
        mirror = torch.where((number[:, 1] < 0.5) & self.turn, -1.0, 1.0)
        zoom = torch.exp(math.log1p(self.zoom) * (2 * number[:, 2] - 1))
        shift = 2 * self.shift * (2 * number[:, 3:5] - 1)  # a side is 2 long for grid_sample
        right = number[:, 5] < 0.5
        out = pixels.clone()
        free = torch.nonzero(~right).flatten()
        if len(free):
            out[free] = _resampled(pixels[free], angle[free], mirror[free], zoom[free], shift[free], picture=picture)
            conditions[free, 0] *= zoom[free]
            conditions[free, 1] /= zoom[free]
        quarter = torch.floor(angle * 2 / math.pi).long() % 4
        for turns in range(4):
            for sign in (-1.0, 1.0):
                some = torch.nonzero(right & (quarter == turns) & (mirror == sign)).flatten()
                if len(some) and (turns or sign < 0):
                    view = pixels[some].flip(-1) if sign < 0 else pixels[some]
                    out[some] = torch.rot90(view, turns, (-2, -1))
        return out

    def _worsened(self, pixels: Tensor, conditions: Tensor, preparation: Preparation, draw: torch.Generator) -> Tensor:
        """Through worse seeing, at less depth; noise is made white again after a blur, as it is in any image."""
        number = torch.rand(len(pixels), 4, generator=draw)
        sigma = torch.where(number[:, 0] < self.share, self.blur * number[:, 1], 0.0)
        extra = torch.where(number[:, 2] < self.share, self.noise * number[:, 3], 0.0)
        some = torch.nonzero((sigma > 0) | (extra > 0)).flatten()
        if not len(some):
            return pixels
        linear = preparation.linear(pixels[some])
        empty = linear == 0  # pixels without weight
        blurred, left = blur(linear, sigma[some])
        one = (-1, 1, 1, 1)
        white = torch.randn(linear.shape, generator=draw)
        if preparation.picture:
            value = (blurred + 0.1 * extra[some].view(one) * white).clamp(0, 1)
        else:
            added = torch.sqrt(1 - left + extra[some].square()).view(one)
            value = (blurred + added * white) / torch.sqrt(1 + extra[some].square()).view(one)
            value = torch.where(empty, 0.0, value)
        conditions[some, 1] = torch.sqrt(conditions[some, 1].square() + 8 * math.log(2) * sigma[some].square())
        out = pixels.clone()
        out[some] = preparation.stretched(value)
        return out


def toned(pictures: Tensor, most: float, draw: torch.Generator) -> Tensor:
    """Pictures (B, C, H, W) of brightness 0 to 1 as other people would show them.

    Parameters
    ----------
    pictures : brightness x becomes (g x)^y; colours go towards grey or away from it.
    most : largest logarithm of g, y and of the strength of colours.
    draw : decides which.
    """
    number = most * (2 * torch.rand(len(pictures), 3, generator=draw) - 1)
    gain, power, vivid = (torch.exp(each)[:, None, None, None].to(pictures) for each in number.unbind(1))
    grey = pictures.mean(1, keepdim=True)
    value = grey + vivid * (pictures - grey)
    return (gain * value).clamp(1e-4, 1) ** power


def blur(images: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) convolved with Gaussians of sigma (B,) pixels, and what is left (B,) of their noise variance.

    White noise of variance 1 has the variance sum k^2 after a convolution with k.
    """
    reach = max(1, math.ceil(3 * float(sigma.max())))
    x = torch.arange(-reach, reach + 1, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (x / sigma[:, None].clamp_min(1e-3)).square())
    kernel = kernel / kernel.sum(1, keepdim=True)  # (B, k)
    count, bands, height, width = images.shape
    flat = functional.pad(images.reshape(1, count * bands, height, width), (reach,) * 4, mode="replicate")
    each = kernel.repeat_interleave(bands, 0)
    flat = functional.conv2d(flat, each[:, None, :, None], groups=count * bands)
    flat = functional.conv2d(flat, each[:, None, None, :], groups=count * bands)
    return flat.view(images.shape), kernel.square().sum(1).square()


def _resampled(pixels: Tensor, angle: Tensor, mirror: Tensor, zoom: Tensor, shift: Tensor, *, picture: bool) -> Tensor:
    """Images turned by any angle about the target; outside is reflected (pictures) or empty (fluxes)."""
    c, s = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    turn = torch.stack((c * mirror, -s, shift[:, 0], s * mirror, c, shift[:, 1]), 1).view(-1, 2, 3)
    grid = functional.affine_grid(turn, list(pixels.shape), align_corners=False)
    padding = "reflection" if picture else "zeros"

    def sampled(images: Tensor) -> Tensor:
        return functional.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)

    out, blank = sampled(pixels), pixels == 0
    if picture or not bool(blank.any()):
        return out
    return torch.where(sampled(blank.to(pixels.dtype)) > 0.5, 0.0, out)  # pixels without weight stay exactly 0
