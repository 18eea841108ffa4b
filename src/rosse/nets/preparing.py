"""From cutouts to what a network sees. What was done in training is stored with the weights and done again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from rosse.cutouts import Cutouts, pad_cutouts
from rosse.errors import InputError, OptionError, bands_text
from rosse.nets.colours import Framed, colour_pictures
from rosse.nets.conditions import conditions_of
from rosse.nets.framing import cropped, half_widths, petrosian_radius

PICTURE_BANDS = ("R", "G", "B")
WHITE = 255.0
STRETCHED = 1.5  # Petrosian radius of the brightness of a picture over that of the light
HIGHEST = 1e6  # in units of noise: brighter pixels are saturated, or their noise is wrong


class Images(Protocol):
    """Where cutouts come from, a batch at a time: a packed store, files, or what is in memory."""

    @property
    def ids(self) -> NDArray[np.str_]:
        """(N,) names of the galaxies."""
        ...

    def batch(self, indices: ArrayLike) -> Cutouts:
        """The galaxies in these rows, in this order."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class InMemory:
    """Cutouts as `Images`."""

    cutouts: Cutouts

    @property
    def ids(self) -> NDArray[np.str_]:
        """(N,) names of the galaxies."""
        return self.cutouts.id

    def batch(self, indices: ArrayLike) -> Cutouts:
        """The galaxies in these rows, in this order."""
        return self.cutouts[np.asarray(indices)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """What a network sees of B galaxies.

    Parameters
    ----------
    pixels : (B, C, side, side) prepared.
    conditions : (B, 3) of `rosse.nets.conditions.NAMES`, NaN where unknown.
    """

    pixels: Tensor
    conditions: Tensor

    def to(self, device: str | torch.device) -> Batch:
        """The same on a device."""
        return Batch(pixels=self.pixels.to(device), conditions=self.conditions.to(device))

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How cutouts become pixels of a network.

    Fluxes are divided by the noise of an empty pixel of their band, then compressed by asinh, which keeps the sign of
    noise and the slope of faint light (Lupton+1999, arXiv:astro-ph/9903081); pixels without weight become 0. Pictures,
    whose noise is not known, keep their values from 0 to 1. Both are then standardised band by band.

    Parameters
    ----------
    bands : names, in this order.
    side : pixels of the network's input. Fluxes are cut or padded to it around the target, so that the pixel scale
        stays; pictures are resized, since each has its own scale already.
    picture : whether the cutouts are colour pictures, of values from 0 to 255.
    softening : units of noise below which asinh is linear.
    middle, spread : of the values in each band, from the training images.
    colours : whether images in units of flux, in any bands, become colour pictures first, and pictures are cut like
        them: one network for all surveys. `bands` are then those of pictures.
    radii : of `colours`: Petrosian radii from a galaxy's centre to the border of its picture.
    """

    bands: tuple[str, ...]
    side: int
    picture: bool = False
    softening: float = 3.0
    middle: tuple[float, ...]
    spread: tuple[float, ...]
    colours: bool = False
    radii: float = 1.5

    def __post_init__(self) -> None:
        if self.side < 8:
            raise OptionError(f"side is {self.side}; 8 pixels or more are wanted")
        if self.colours and not (self.picture and self.bands == PICTURE_BANDS and self.radii > 0):
            raise OptionError("colours are of pictures in R, G and B, and reach a positive number of radii")
        if not self.softening > 0 or min(self.spread) <= 0:
            raise OptionError("softening and spread must be positive")
        if not len(self.bands) == len(self.middle) == len(self.spread):
            raise OptionError("one middle and one spread for each band are wanted")

    def __call__(self, cutouts: Cutouts, redshift: ArrayLike | None = None) -> Batch:
        """What a network sees of cutouts with these bands, or more.

        Parameters
        ----------
        cutouts : B galaxies.
        redshift : (B,), NaN where unknown.
        """
        if self.colours:
            return self._in_colours(cutouts, redshift)
        if cutouts.bands != self.bands:
            self.check_bands(cutouts.bands)
            cutouts = cutouts.band(*self.bands)
        if is_picture(cutouts) != self.picture:
            kinds = ("images in units of flux, with their noise", "colour pictures")
            raise InputError(f"the network was trained on {kinds[self.picture]}; {kinds[not self.picture]} came")
        conditions = conditions_of(cutouts, redshift)
        side = self.side
        linear = _resized(cutouts, side) if self.picture else in_noise(pad_cutouts(cutouts, side, side))
        return Batch(pixels=self.stretched(linear.float()), conditions=conditions)

    def check_bands(self, bands: tuple[str, ...]) -> None:
        """Refuse images that lack a band; those that become colour pictures may have any."""
        if not self.colours and not set(self.bands) <= set(bands):
            raise InputError(
                f"the network was trained on {bands_text(self.bands)}; the cutouts have {bands_text(bands)}"
            )

    def _in_colours(self, cutouts: Cutouts, redshift: ArrayLike | None) -> Batch:
        """Pictures in which galaxies are equally large; pixel scale and PSF are those of the pictures."""
        conditions = conditions_of(cutouts, redshift)
        if is_picture(cutouts):
            framed = framed_pictures(cutouts, self.side, radii=self.radii)
        else:
            framed = colour_pictures(cutouts, self.side, radii=self.radii)
        conditions[:, 0] /= framed.finer.cpu()
        conditions[:, 1] *= framed.finer.cpu()
        return Batch(pixels=self.stretched(framed.pixels.float()), conditions=conditions)

    def stretched(self, linear: Tensor) -> Tensor:
        """Pixels of a network from linear ones, in units of noise or from 0 to 1."""
        value = linear if self.picture else torch.asinh(linear / self.softening)
        return (value - self._each(self.middle, value)) / self._each(self.spread, value)

    def linear(self, pixels: Tensor) -> Tensor:
        """Linear pixels from those of a network: where noise is added and light is blurred."""
        value = pixels * self._each(self.spread, pixels) + self._each(self.middle, pixels)
        return value if self.picture else torch.sinh(value) * self.softening

    def record(self) -> dict[str, Any]:
        """As JSON keeps it."""
        kept = asdict(self)
        if not self.colours:
            del kept["colours"], kept["radii"]
        return kept

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Preparation:
        """What `record` gave."""
        lists = {name: tuple(record[name]) for name in ("bands", "middle", "spread")}
        return cls(**{**record, **lists})

    @classmethod
    def fitted(cls, samples: Iterable[Cutouts], *, side: int, softening: float = 3.0) -> Preparation:
        """Preparation with middle and spread of some training images.

        Parameters
        ----------
        samples : cutouts in the same bands.
        side, softening : as above.
        """
        plain: Preparation | None = None
        sums = 0.0 * np.zeros((3, 1))
        for cutouts in samples:
            count = len(cutouts.bands)
            zeros, ones = (0.0,) * count, (1.0,) * count
            plain = plain or cls(bands=cutouts.bands, side=side, picture=is_picture(cutouts), softening=softening,
                                 middle=zeros, spread=ones)  # fmt: skip
            x = plain(cutouts).pixels.double().numpy()
            sums = sums + np.stack([np.full(count, x[:, 0].size), x.sum((0, 2, 3)), np.square(x).sum((0, 2, 3))])
        if plain is None:
            raise InputError("no image came to learn from; at least one is wanted")
        mean = sums[1] / sums[0]
        spread = np.sqrt(np.maximum(sums[2] / sums[0] - mean**2, 0.0))
        if not (spread > 0).all():
            raise InputError("a band of the training images has one value in all pixels; leave that band out")
        # Fluxes keep their zero, which stands for pixels without weight as well.
        middle = mean if plain.picture else np.zeros_like(mean)
        return cls(bands=plain.bands, side=side, picture=plain.picture, softening=softening,
                   middle=tuple(middle.tolist()), spread=tuple(spread.tolist()))  # fmt: skip

    def _each(self, values: tuple[float, ...], like: Tensor) -> Tensor:
        return like.new_tensor(values)[:, None, None]


def is_picture(cutouts: Cutouts) -> bool:
    """Whether cutouts are colours of a JPEG or PNG: R, G and B, without a zero point."""
    return cutouts.bands == PICTURE_BANDS and not bool(torch.isfinite(cutouts.zeropoint).any())


def framed_pictures(pictures: Cutouts, side: int, *, radii: float) -> Framed:
    """Pictures cut so that galaxies are equally large in them, (B, 3, side, side); borders without weight are cut off.

    The sky is the median brightness on the border. Brightness is not flux: with the usual stretches it falls to a fifth
    of its mean further out, so that fewer of such radii are the same piece of a galaxy.
    """
    there = (pictures.ivar > 0).all(1)
    values = pictures.flux / WHITE
    mean = values.mean(1)
    inner = _inner(there)
    sky = torch.where(_border(there, inner), mean, torch.nan).flatten(1).nanmedian(1).values.nan_to_num(0.0)
    radius = petrosian_radius((mean - sky[:, None, None]).clamp_min(0.0), there)
    half = torch.minimum(half_widths(radius / STRETCHED, radii, pictures.frame), inner.clamp_min(1))
    return Framed(pixels=cropped(values, half, side), finer=side / (2 * half.to(mean.dtype)))


def _inner(there: Tensor) -> Tensor:
    """Half the side (B,) of the largest square about the middle of the pixels with weight."""
    sizes = torch.stack((there.any(2).sum(1), there.any(1).sum(1)), 1)
    return sizes.amin(1) // 2


def _border(there: Tensor, inner: Tensor) -> Tensor:
    """The outermost tenth (B, H, W) of these squares."""
    height, width = there.shape[-2:]
    y = (torch.arange(height, device=there.device) - height // 2).abs()[:, None]
    x = (torch.arange(width, device=there.device) - width // 2).abs()
    far = torch.maximum(y, x)
    reach = inner[:, None, None]
    return there & (far <= reach) & (far >= 0.9 * reach)


def in_noise(cutouts: Cutouts) -> Tensor:
    """Flux (B, C, H, W) in units of the noise of an empty pixel; 0 where there is no weight.

    The noise of an empty pixel is one that a tenth of the pixels fall below: light adds noise.
    """
    weight = cutouts.ivar.flatten(2).sort(-1).values
    above = (0.1 * (weight > 0).sum(-1, keepdim=True)).long()
    typical = weight.gather(-1, weight.shape[-1] - 1 - above)[..., None]  # (B, C, 1, 1)
    value = torch.where(cutouts.ivar > 0, cutouts.flux * typical.sqrt(), 0.0)
    return value.clamp(-HIGHEST, HIGHEST)


def _resized(pictures: Cutouts, side: int) -> Tensor:
    """Square pictures (B, C, side, side) of values from 0 to 1, each from its own pixels.

    A batch pads smaller pictures with pixels of zero weight: they are taken off first, lest a picture depend on its
    neighbours. The shorter side is kept whole, the longer one cut around the middle.
    """
    there = pictures.ivar.amax(1) > 0  # (B, H, W)
    sizes = torch.stack((there.any(2).sum(1), there.any(1).sum(1)), 1)  # (B, 2)
    out = pictures.flux.new_zeros(len(pictures), len(pictures.bands), side, side)
    for size in torch.unique(sizes, dim=0).tolist():
        rows = torch.nonzero((sizes == sizes.new_tensor(size)).all(1)).flatten()
        if min(size):
            own = pad_cutouts(pictures[rows], *size).flux / WHITE
            out[rows] = _square(own, side)
    return out


def _square(pictures: Tensor, side: int) -> Tensor:
    height, width = pictures.shape[-2:]
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    square = pictures[..., top : top + least, left : left + least]
    if least == side:
        return square
    return functional.interpolate(square, (side, side), mode="bilinear", antialias=True, align_corners=False)
