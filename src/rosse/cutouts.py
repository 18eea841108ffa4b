"""Cutouts: a batch of galaxies as pixels, checked once where they enter."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from rosse.errors import UNNAMED, InputError, bands_text, rows_text

log = logging.getLogger(__name__)

_UNSET: Any = None  # an optional array: `Cutouts` puts its default there, so that readers always find an array


@dataclass(frozen=True, kw_only=True, eq=False)
class Cutouts:
    """B galaxies in C bands on one frame of H x W pixels, each with its target at the centre.

    Zero `ivar` is the only mask: bad pixels, neighbours and the padding around a smaller stamp all have it. Slicing
    gives `Cutouts` again.

    Parameters
    ----------
    flux : (B, C, H, W)
        Sky-subtracted flux per pixel. It may be NaN or infinite where `ivar` is 0, and is 0 there then.
    ivar : (B, C, H, W)
        Inverse variance of `flux`; 0 leaves a pixel out.
    psf : (B or 1, C, h, w), unit sum, or None
        PSF on the pixels of the image, centred on pixel ``(h // 2, w // 2)``. None: no PSF is known; models are
        then only integrated over the pixel.
    psf_has_pixel : whether `psf` already holds the integration over the pixel, as the PSFs of surveys do.
    psf_oversampling : pixels of `psf` along one pixel of the image; 1 but for undersampled instruments (HST, JWST,
        Euclid), whose PSFs come finer than their images.
    scale : (B,) arcsec/pixel; NaN where unknown, lengths are then in pixels.
    zeropoint : (C,) AB magnitude of one flux unit in each band; NaN where unknown.
    bands : C names.
    id : (B,) unique text.
    ra, dec : (B,) degrees, NaN where unknown.
    corner : (B, 2)
        Position (x, y) of the frame's first pixel in the image that it was cut from.
    north : (B,) direction of north, radians from +x to +y.
    parity : (B,) +1 where east is 90 degrees counter-clockwise of north (the usual view of the sky), -1 where the
        image is mirrored.
    """

    flux: Tensor
    ivar: Tensor
    psf: Tensor | None = None
    psf_has_pixel: bool = True
    psf_oversampling: int = 1
    scale: Tensor = _UNSET
    zeropoint: Tensor = _UNSET
    bands: tuple[str, ...] = ()
    id: NDArray[np.str_] = _UNSET
    ra: NDArray[np.float64] = _UNSET
    dec: NDArray[np.float64] = _UNSET
    corner: Tensor = _UNSET
    north: Tensor = _UNSET
    parity: Tensor = _UNSET

    def __post_init__(self) -> None:
        _check_pixels(self.flux, self.ivar)
        if not bool(torch.isfinite(self.flux).all()):  # without weight, but 0 * NaN is NaN in every sum
            _put(self, "flux", self.flux.nan_to_num(0.0, 0.0, 0.0))
        b, c = self.flux.shape[:2]
        _put(self, "bands", tuple(self.bands) or _default_bands(c))
        if len(self.bands) != c:
            raise InputError(f"flux has {c} bands, but {len(self.bands)} band names came: {self.bands}")
        for name, shape, default in (
            ("scale", (b,), torch.nan),
            ("zeropoint", (c,), torch.nan),
            ("corner", (b, 2), 0.0),
            ("north", (b,), np.pi / 2),
            ("parity", (b,), 1.0),
        ):
            _put(self, name, _vector(name, getattr(self, name), shape, default, self.flux.device))
        for name in ("ra", "dec"):
            value = getattr(self, name)
            _put(self, name, _positions(name, np.full(b, np.nan) if value is None else value, b))
        _put(self, "id", _identifiers(self.id, b))
        if self.psf is not None:
            _put(self, "psf", _checked_psf(self.psf, b, c))
        if not isinstance(self.psf_oversampling, int) or self.psf_oversampling < 1:
            raise InputError(f"psf_oversampling is {self.psf_oversampling!r}; a whole number, 1 or more, is wanted")
        if bool((self.scale <= 0).any()):
            raise InputError("scale must be positive, arcsec/pixel; NaN where it is unknown")

    @classmethod
    def from_arrays(
        cls,
        image: ArrayLike | Sequence[ArrayLike],
        *,
        sigma: ArrayLike | None = None,
        ivar: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        psf: ArrayLike | None = None,
        scale: float | ArrayLike | None = None,
        zeropoint: float | ArrayLike | None = None,
        bands: Sequence[str] = (),
        id: Sequence[str] | None = None,
        **where: Any,
    ) -> Cutouts:
        """Cutouts from NumPy arrays, the way an astronomer holds them.

        Parameters
        ----------
        image : (H, W), (B, H, W) or (B, C, H, W)
            Sky-subtracted flux. Pixels that are not finite are left out (ivar 0).
        sigma, ivar : like `image`
            Noise, exactly one of the two; `sigma` must be positive wherever `mask` does not leave the pixel out.
        mask : like `image`, True (or non-zero) leaves the pixel out.
        psf : (h, w), (C, h, w) or (B or 1, C, h, w)
        scale, zeropoint, bands, id : as in `Cutouts`; one number stands for all.
        where : `ra`, `dec`, `corner`, `north`, `parity`, `psf_has_pixel`, `psf_oversampling`, as in `Cutouts`.

        Raises
        ------
        InputError
            Shapes disagree, or `sigma` is not positive; the message names the rows.
        """
        known = {f.name for f in fields(cls)}
        if set(where) - known:
            raise TypeError(f"Cutouts.from_arrays got unexpected arguments {sorted(set(where) - known)}")
        flux = _four_axes("image", image)
        keep = np.isfinite(flux)
        if mask is not None:
            keep &= ~_like("mask", mask, flux).astype(bool)
        weight = np.where(keep, _weight(flux, keep, sigma, ivar), 0.0)
        _refuse_beyond_float32(weight)
        return cls(
            flux=torch.from_numpy(np.where(keep, flux, 0.0).astype(np.float32)),
            ivar=torch.from_numpy(weight.astype(np.float32)),
            psf=None if psf is None else _psf_axes(psf),
            scale=_filled(scale, flux.shape[0]),
            zeropoint=_filled(zeropoint, flux.shape[1]),
            bands=tuple(bands),
            id=_UNSET if id is None else np.asarray(id, dtype=str),
            **where,
        )

    def __len__(self) -> int:
        return int(self.flux.shape[0])

    def __repr__(self) -> str:
        height, width = self.frame
        many = "galaxy" if len(self) == 1 else "galaxies"
        psf = "no PSF" if self.psf is None else f"PSF of {self.psf.shape[-1]} pixels"
        return f"Cutouts of {len(self)} {many} in {bands_text(self.bands)}: {width} x {height} pixels, {psf}"

    def __getitem__(self, rows: int | slice | Sequence[int] | NDArray[Any] | Tensor) -> Cutouts:
        """The chosen galaxies, always as a batch: ``cutouts[3]`` is a batch of one."""
        if isinstance(rows, Tensor):
            rows = rows.cpu().numpy()
        elif isinstance(rows, Sequence) and not len(rows):
            rows = slice(0)  # NumPy takes an empty list for numbers that are no index
        index = np.atleast_1d(np.arange(len(self))[rows]).copy()  # torch has no negative strides
        at = torch.as_tensor(index, device=self.flux.device)
        changed: dict[str, Any] = {
            n: getattr(self, n)[at] for n in ("flux", "ivar", "scale", "corner", "north", "parity")
        }
        changed |= {n: getattr(self, n)[index] for n in ("id", "ra", "dec")}
        if self.psf is not None and self.psf.shape[0] > 1:
            changed["psf"] = self.psf[at]
        return self._trusted(**changed)

    def to(self, device: str | torch.device) -> Cutouts:
        """The same cutouts on a device, e.g. ``"cuda"``."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return self._trusted(**{n: v.to(device) for n, v in moved.items() if isinstance(v, Tensor)})

    def band(self, *names: str) -> Cutouts:
        """The same galaxies in these bands only, in this order."""
        missing = [name for name in names if name not in self.bands]
        if missing:
            raise InputError(f"no band {missing[0]!r} in these cutouts; they have {bands_text(self.bands)}")
        at = [self.bands.index(name) for name in names]
        psf = None if self.psf is None else self.psf[:, at]
        return self._trusted(
            flux=self.flux[:, at], ivar=self.ivar[:, at], psf=psf, zeropoint=self.zeropoint[at], bands=tuple(names)
        )

    @property
    def frame(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.flux.shape[2]), int(self.flux.shape[3])

    def _trusted(self, **changed: Any) -> Cutouts:
        """A copy with changed fields that need no second check: they come from checked ones."""
        new = object.__new__(type(self))
        for f in fields(self):
            object.__setattr__(new, f.name, changed.get(f.name, getattr(self, f.name)))
        return new


def _put(cutouts: Cutouts, name: str, value: Any) -> None:
    object.__setattr__(cutouts, name, value)


def stack_cutouts(parts: Sequence[Cutouts]) -> Cutouts:
    """One batch of several; smaller frames are padded with zero weight, their targets staying at the centre.

    Frames, PSF stamps and PSF counts may differ, bands and zero points may not.
    """
    if not parts:
        raise InputError("no cutouts came; at least one is needed")
    first = parts[0]
    for part in parts[1:]:
        if part.bands != first.bands:
            both = f"{bands_text(first.bands)} and in {bands_text(part.bands)}"
            raise InputError(f"cutouts in {both} cannot share a batch")
        if not torch.equal(part.zeropoint.nan_to_num(-1.0), first.zeropoint.nan_to_num(-1.0)):
            raise InputError("cutouts with different zero points cannot share a batch; scale their flux first")
        if (part.psf is None) != (first.psf is None) or part.psf_has_pixel != first.psf_has_pixel:
            raise InputError("cutouts with and without a PSF cannot share a batch")
        if part.psf_oversampling != first.psf_oversampling:
            raise InputError("cutouts whose PSFs are sampled differently cannot share a batch")
    if len(parts) == 1:
        return first
    height = max(part.frame[0] for part in parts)
    width = max(part.frame[1] for part in parts)
    padded = [pad_cutouts(part, height, width) for part in parts]
    psf = None if first.psf is None else _stacked_psf([(p.psf, len(p)) for p in padded])
    join: dict[str, Any] = {
        n: torch.cat([getattr(p, n) for p in padded]) for n in ("flux", "ivar", "scale", "corner", "north", "parity")
    }
    join |= {n: np.concatenate([getattr(p, n) for p in padded]) for n in ("ra", "dec")}
    join["id"] = _identifiers(np.concatenate([p.id for p in padded]), len(join["ra"]))
    return first._trusted(psf=psf, **join)


def pad_cutouts(cutouts: Cutouts, height: int, width: int) -> Cutouts:
    """The same galaxies on a larger (or smaller) frame; new pixels carry no weight.

    The frame's pixel ``(H // 2, W // 2)`` stays the pixel ``(height // 2, width // 2)``; `corner` follows.
    """
    h, w = cutouts.frame
    if (h, w) == (height, width):
        return cutouts
    top, left = height // 2 - h // 2, width // 2 - w // 2
    pad = (left, width - w - left, top, height - h - top)  # negative numbers crop
    corner = cutouts.corner - torch.tensor([left, top], dtype=cutouts.corner.dtype, device=cutouts.corner.device)
    return cutouts._trusted(
        flux=torch.nn.functional.pad(cutouts.flux, pad),
        ivar=torch.nn.functional.pad(cutouts.ivar, pad),
        corner=corner,
    )


def pad_psf(psf: Tensor, size: int) -> Tensor:
    """PSF stamps (..., h, w) on a larger square, their centres at ``size // 2``."""
    h, w = psf.shape[-2:]
    top, left = size // 2 - h // 2, size // 2 - w // 2
    return torch.nn.functional.pad(psf, (left, size - w - left, top, size - h - top))


def _stacked_psf(parts: Sequence[tuple[Tensor | None, int]]) -> Tensor:
    stamps = [(psf, n) for psf, n in parts if psf is not None]
    first = stamps[0][0]
    if all(psf.shape[0] == 1 and psf.shape == first.shape and torch.equal(psf, first) for psf, _ in stamps):
        return first
    size = max(max(psf.shape[-2:]) for psf, _ in stamps)
    return torch.cat([pad_psf(psf, size).expand(n, -1, -1, -1) for psf, n in stamps])


def _default_bands(count: int) -> tuple[str, ...]:
    return (UNNAMED,) if count == 1 else tuple(f"band{i}" for i in range(count))


def _check_pixels(flux: Tensor, ivar: Tensor) -> None:
    if flux.ndim != 4:
        raise InputError(f"flux has shape {tuple(flux.shape)}; (galaxies, bands, height, width) is wanted")
    if flux.shape != ivar.shape:
        raise InputError(f"flux has shape {tuple(flux.shape)}, but ivar {tuple(ivar.shape)}; they must agree")
    if not flux.shape[1]:
        raise InputError("flux has no band")
    ends = (*torch.aminmax(flux), *torch.aminmax(ivar)) if flux.numel() else ()  # NaN where there is one
    if ends and bool(torch.isfinite(torch.stack(ends)).all() & (ends[2] >= 0)):
        return  # found in two passes; masks of all pixels take ten
    bad = ~torch.isfinite(ivar) | (ivar < 0)
    _refuse(bad, "ivar is negative or not finite", "give 0 for pixels to leave out")
    _refuse(~torch.isfinite(flux) & (ivar > 0), "flux is not finite in pixels that carry weight",
            "set ivar to 0 there to leave them out")  # fmt: skip


def _refuse(bad: Tensor, what: str, remedy: str) -> None:
    rows = torch.nonzero(bad.flatten(1).any(1)).flatten().tolist() if bad.numel() else []
    if rows:
        raise InputError(f"{what}, {rows_text(rows)}; {remedy}")


def _vector(name: str, value: Any, shape: tuple[int, ...], default: float, device: torch.device) -> Tensor:
    if value is None:
        return torch.full(shape, default, dtype=torch.float64, device=device)
    tensor = torch.as_tensor(np.asarray(value) if not isinstance(value, Tensor) else value, device=device).to(
        torch.float64
    )
    if tensor.ndim == 0:
        tensor = tensor.expand(shape).clone()
    if tuple(tensor.shape) != shape:
        raise InputError(f"{name} has shape {tuple(tensor.shape)}; {shape} is wanted")
    return tensor


def _positions(name: str, value: ArrayLike, count: int) -> NDArray[np.float64]:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != (count,):
        raise InputError(f"{name} has shape {array.shape}; one number for each of {count} galaxies is wanted")
    return array


def _identifiers(value: Any, count: int) -> NDArray[np.str_]:
    array = np.array([f"{i}" for i in range(count)] if value is None else value, dtype=str).reshape(-1)
    if array.shape != (count,):
        raise InputError(f"id has {array.size} entries for {count} galaxies")
    names, counts = np.unique(array, return_counts=True)
    if (counts > 1).any():
        twice = ", ".join(names[counts > 1][:5])
        raise InputError(f"ids must be unique, but these come more than once: {twice}")
    return array


def _checked_psf(psf: Tensor, b: int, c: int) -> Tensor:
    if psf.ndim == 4 and psf.shape[1] == 1:
        psf = psf.expand(-1, c, -1, -1)  # one PSF for all bands
    if psf.ndim != 4 or psf.shape[0] not in (1, b) or psf.shape[1] != c:
        raise InputError(f"psf has shape {tuple(psf.shape)}; ({b} or 1, {c} or 1, height, width) is wanted")
    _refuse(~torch.isfinite(psf), "psf is not finite", "give a PSF without NaN or infinity")
    total = psf.to(torch.float64).sum((-2, -1), keepdim=True)
    _refuse(total <= 0, "psf sums to zero or less", "give a PSF whose pixels sum to one")
    off = (total - 1).abs().amax()
    if float(off) > 1e-4:
        log.warning("psf does not sum to one (off by up to %.2g); it was normalised", float(off))
    return (psf / total).to(torch.float32)


def _four_axes(name: str, value: Any) -> NDArray[np.float64]:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError) as err:
        raise InputError(f"{name} is not a rectangular array of numbers: {err}") from err
    if array.ndim not in (2, 3, 4):
        raise InputError(f"{name} has shape {array.shape}; (H, W), (B, H, W) or (B, C, H, W) is wanted")
    return array[None, None] if array.ndim == 2 else array[:, None] if array.ndim == 3 else array


def _like(name: str, value: Any, flux: NDArray[np.float64]) -> NDArray[np.float64]:
    array = np.asarray(value, dtype=np.float64)
    array = array[None, None] if array.ndim == 2 else array[:, None] if array.ndim == 3 else array
    try:
        return np.broadcast_to(array, flux.shape)
    except ValueError as err:
        raise InputError(f"{name} has shape {np.shape(value)}, which does not fit the image's {flux.shape}") from err


def _weight(flux: NDArray[np.float64], keep: NDArray[np.bool_], sigma: Any, ivar: Any) -> NDArray[np.float64]:
    if (sigma is None) == (ivar is None):
        came = "neither" if sigma is None else "both"
        raise InputError(f"exactly one of sigma and ivar is wanted, {came} came; the noise is never guessed")
    if ivar is not None:
        return _like("ivar", ivar, flux)
    noise = _like("sigma", sigma, flux)
    bad = keep & ~(noise > 0)
    rows = np.nonzero(bad.any(axis=(1, 2, 3)))[0].tolist()
    if rows:
        raise InputError(
            f"sigma is zero, negative or NaN in {int(bad.sum())} pixels, {rows_text(rows)}; "
            "give a positive noise there, or mask these pixels"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(keep, 1.0 / np.square(noise), 0.0)


def _refuse_beyond_float32(weight: NDArray[np.float64]) -> None:
    limits = np.finfo(np.float32)
    most = float(weight.max(initial=0.0))
    if most > float(limits.max):
        raise InputError("1 / sigma^2 is too large for float32; give image and noise in a smaller unit of flux")
    if 0.0 < most < float(limits.tiny):
        raise InputError("1 / sigma^2 is too small for float32; give image and noise in a larger unit of flux")


def _psf_axes(psf: Any) -> Tensor:
    array = np.asarray(psf, dtype=np.float64)
    if array.ndim not in (2, 3, 4):
        raise InputError(f"psf has shape {array.shape}; (h, w), (C, h, w) or (B, C, h, w) is wanted")
    return torch.from_numpy(array[(None,) * (4 - array.ndim)].copy())


def _filled(value: Any, count: int) -> Any:
    if value is None:
        return None
    return torch.as_tensor(np.broadcast_to(np.asarray(value, dtype=np.float64), (count,)).copy())
