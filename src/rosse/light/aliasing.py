"""The frequencies that a PSF's own pixels hide.

A PSF stamp sampled at the pixel has the transform ``T_s(k) = sum_m T(k + 2 pi m)``: what the instrument lets through
beyond the pixel's Nyquist frequency is folded back. For a star on a pixel's centre that is all there is to know. A
galaxy's own spectrum G at the folded frequencies is another one, and so is the phase of its centre: the image has
``sum_m G(k + 2 pi m) T(k + 2 pi m)``. How ``T_s`` splits into its terms follows from how T falls, smoothly. Without
this, pixels at 1e-3 of the peak of a compact galaxy are 10 % wrong under a Moffat PSF of 3 pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

# Of the Nyquist frequency: where the fall is fitted. Corners of the frequency plane reach beyond it unaliased.
FITTED = (0.5, 1.1)
UNALIASED = 0.9  # the largest frequency along either axis that is used in the fit
FLOOR = 1e-4  # amplitudes below this are not worth fitting
WORTH = 6e-5  # nor are folded amplitudes below this worth moving
SCATTER = 0.3  # of the logarithm about the fit, above which a stamp is noise, or has no smooth fall
SLOWEST = -0.3  # slope of the logarithm per radian per pixel at 1.5 times Nyquist, which a PSF falls faster than
ROUNDS = 4  # of the fit; each knows better how much of the amplitude is folded
FOLDS = ((0, 0), (1, 0), (0, 1), (1, 1))  # whole turns along x and y: none, and the three nearest


@dataclass(frozen=True, kw_only=True, eq=False)
class Aliases:
    """N pairs of a frequency of the grid and one that is folded onto it.

    Parameters
    ----------
    index : (N,) of the grid's frequency in its plane, flattened with ky running fastest, as it lies in memory.
    ky, kx : (N,) the folded frequency, radians per pixel.
    turns : runs of the N by how many whole turns the grid's frequency is larger: along x, along y, first and end.
    own : (B or 1, C, Ky, Kx) share of the transfer function that is not folded.
    gain : (B or 1, C, N) what is passed at the folded frequency, in units of the transfer function.
    fall : (B or 1, C, 5) how the PSF falls with frequency, from which all this follows; see `_fall`.
    """

    index: Tensor
    ky: Tensor
    kx: Tensor
    turns: tuple[tuple[int, int, int, int], ...]
    own: Tensor
    gain: Tensor
    fall: Tensor

    def rows(self, rows: Tensor) -> Aliases:
        """The same for some galaxies of the batch."""
        return replace(self, own=self.own.mT[rows].mT, gain=self.gain[rows], fall=self.fall[rows])

    def bands(self, bands: slice) -> Aliases:
        """The same for some bands."""
        return replace(self, own=self.own[:, bands], gain=self.gain[:, bands], fall=self.fall[:, bands])

    def light(self, response: Tensor, folded: Tensor, centre: Tensor) -> Tensor:
        """What is folded, (B, C, N) complex, to be given to `add`.

        Parameters
        ----------
        response : (B, C, Ky, Kx) transfer function and phase of the shift to the centre.
        folded : (B, K, N) spectra around the origin at the folded frequencies; K is C or 1.
        centre : (B, K, 2) x and y in pixels.
        """
        light = torch.index_select(response.mT.flatten(-2), -1, self.index).mul_(folded * self.gain)
        for turn_x, turn_y, first, end in self.turns:
            angle = 2 * math.pi * (turn_x * centre[..., :1] + turn_y * centre[..., 1:])
            light[..., first:end] *= torch.polar(torch.ones_like(angle), angle).to(light.dtype)
        return light

    def add(self, spectra: Tensor, light: Tensor) -> None:
        """Add what is folded to spectra (B, C, R, Ky, Kx), ky contiguous: at unit flux, and by x and y if R > 1."""
        flat = spectra.mT.view(*spectra.shape[:-2], -1)
        flat[:, :, 0].index_add_(-1, self.index, light)
        for row, k in ((1, self.kx), (2, self.ky))[: flat.shape[2] - 1]:
            flat[:, :, row].index_add_(-1, self.index, light * (-1j * k))


def find_aliases(
    transfer: Tensor, ky: Tensor, kx: Tensor, *, psf_has_pixel: bool, fall: Tensor | None = None
) -> Aliases | None:
    """What is folded in the transforms of PSF stamps; None where it is nothing, or cannot be known.

    Parameters
    ----------
    transfer : (B or 1, C, Ky, Kx) of the stamps as they came.
    ky, kx : frequencies of the half plane.
    psf_has_pixel : whether the stamps hold the pixel.
    fall : of these PSFs, where it is known from another grid.
    """
    turn_y = torch.where(ky < 0, -1, 1)
    places = [(ky - 2 * math.pi * y * turn_y, kx - 2 * math.pi * x) for x, y in FOLDS]
    terms = torch.stack([_terms(*place) for place in places])  # (4, Ky, Kx, 5)
    pixel = torch.stack([_pixel(*place) for place in places])
    smear = pixel if psf_has_pixel else torch.ones_like(pixel)
    amplitude = transfer.abs()
    if fall is None:
        fitted = _fitted(ky, kx)
        fall = _fall(amplitude[..., fitted], terms[:, fitted], smear[:, fitted])
    share = _share(fall, terms, smear)
    found = (amplitude[:, :, None] * share).amax((0, 1)) > WORTH
    found[0] = False
    if not bool(found.any()):
        return None
    own = (1 - (share * found).sum(2)).mT.contiguous().mT
    fold, row, column = found.nonzero(as_tuple=True)
    gain = share[:, :, fold, row, column]
    if not psf_has_pixel:
        gain = gain * (pixel[fold, row, column] / pixel[0, row, column])
    over_x, over_y = torch.tensor(FOLDS, device=ky.device)[fold].T
    over_y = over_y * turn_y[row]
    return Aliases(
        index=column * len(ky) + row,
        ky=ky[row] - 2 * math.pi * over_y,
        kx=kx[column] - 2 * math.pi * over_x,
        turns=_runs(torch.stack([over_x, over_y])),
        own=own,
        gain=gain,
        fall=fall,
    )


def _runs(turns: Tensor) -> tuple[tuple[int, int, int, int], ...]:
    """Runs of equal columns of (2, N): both values, first and end."""
    values, counts = torch.unique_consecutive(turns, dim=1, return_counts=True)
    ends = counts.cumsum(0)
    return tuple(zip(*values.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True))


def _fitted(ky: Tensor, kx: Tensor) -> Tensor:
    """Which frequencies (Ky, Kx) tell how the transform falls."""
    k = torch.hypot(ky[:, None], kx) / math.pi
    along = torch.maximum(ky.abs()[:, None], kx.abs().expand(len(ky), -1)) / math.pi
    return (k > FITTED[0]) & (k < FITTED[1]) & (along < UNALIASED)


def _fall(amplitude: Tensor, terms: Tensor, smear: Tensor) -> Tensor:
    """Logarithm (B, C, 5) of what the PSF without the pixel passes, in `_terms`; NaN where it is no smooth fall.

    Parameters
    ----------
    amplitude : (B, C, P) of the transfer function at the frequencies that are fitted.
    terms : (4, P, 5) there and where they are folded from.
    smear : (4, P) what the pixel passes.
    """
    weight = (amplitude / (amplitude + FLOOR)).to(torch.float64)
    design = terms[0].to(torch.float64)
    normal = torch.einsum("bcp,pi,pj->bcij", weight, design, design)
    own = torch.ones_like(amplitude)
    for _ in range(ROUNDS):
        log = torch.log((amplitude * own / smear[0]).clamp_min(1e-12)).to(torch.float64)
        fall = torch.linalg.solve(normal, torch.einsum("bcp,pi->bci", weight * log, design))
        own = _share(fall, terms, smear)[:, :, 0]
    scatter = (weight * (log - fall @ design.T).square()).sum(-1) / weight.sum(-1)
    slope = fall[..., 1] + 3 * math.pi * fall[..., 2]
    unfit = (scatter.sqrt() > SCATTER) | (slope > SLOWEST)
    return torch.where(unfit[..., None], math.nan, fall)


def _share(fall: Tensor, terms: Tensor, smear: Tensor) -> Tensor:
    """Share (B, C, 4, ...) of a transfer function that comes from each of the four; only the first where unfit."""
    log = torch.einsum("bci,f...i->bcf...", fall.to(torch.float32), terms)
    passed = torch.exp(log - log[:, :, :1]) * (smear / smear[0])
    share = passed / passed.sum(2, keepdim=True)
    return torch.nan_to_num(share, nan=0.0)


def _terms(ky: Tensor, kx: Tensor) -> Tensor:
    """(Ky, Kx, 5) smooth functions: a parabola in k, and the ellipticity of a PSF."""
    y2, x2 = ky.square()[:, None], kx.square()
    k2 = y2 + x2
    return torch.stack([torch.ones_like(k2), torch.sqrt(k2), k2, x2 - y2, ky[:, None] * kx], -1)


def _pixel(ky: Tensor, kx: Tensor) -> Tensor:
    """(Ky, Kx) transform of a pixel; not quite 0 where it vanishes."""
    value: Tensor = torch.special.sinc(ky / (2 * math.pi))[:, None] * torch.special.sinc(kx / (2 * math.pi))
    return value.abs().clamp_min(1e-9)
