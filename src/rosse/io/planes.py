"""Planes: two axes of pixels that are read by section, wherever they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rosse.errors import InputError


class Plane(Protocol):
    """One image plane; nothing is read until `read`."""

    @property
    def label(self) -> str:
        """Name for messages, e.g. ``field.fits[SCI]``."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """The pixels of a section, in native byte order, scaled; NaN where an integer image is blank.

        Integers stay integers unless the file scales them.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayPlane:
    """A plane that lies in memory (or is mapped into it)."""

    label: str
    array: NDArray[Any]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.array.shape[0]), int(self.array.shape[1])

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """The pixels of a section."""
        return native(np.asarray(self.array[rows, columns]))


@dataclass(frozen=True, kw_only=True, eq=False)
class NpyPlane:
    """A plane of a ``.npy`` file, mapped when it is read, so that it can be sent to another process by its name."""

    label: str
    path: str
    index: int | None
    shape: tuple[int, int]

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """The pixels of a section."""
        mapped = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return native(np.array(mapped[rows, columns] if self.index is None else mapped[self.index, rows, columns]))


def native(array: NDArray[Any]) -> NDArray[Any]:
    """The same values in the machine's byte order."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def array_planes(name: str, value: Any) -> list[ArrayPlane]:
    """Planes of an array (H, W) or (C, H, W); masked entries of a masked array become NaN."""
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(np.float64), np.nan)
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.dtype.kind not in "biuf" or array.ndim not in (2, 3) or not array.size:
        raise InputError(
            f"{name} is an array of shape {array.shape} and type {array.dtype}; "
            "numbers of shape (H, W) or (C, H, W) are wanted"
        )
    if array.ndim == 3 and array.shape[2] in (3, 4) and array.shape[0] > 16:
        raise InputError(
            f"{name} has shape {array.shape}, which looks like (H, W, colours); give (colours, H, W), e.g. by "
            "np.moveaxis(array, -1, 0)"
        )
    stack = array[None] if array.ndim == 2 else array
    return [ArrayPlane(label=f"{name}[{i}]" if len(stack) > 1 else name, array=plane) for i, plane in enumerate(stack)]


def clip(section: slice, size: int, axis: str) -> slice:
    """A slice with both ends inside the image; what lies outside is cut off, so that margins need no care."""
    if section.step not in (None, 1):
        raise InputError(f"{axis} {section} has a step; sections are contiguous")
    start = 0 if section.start is None else max(0, int(section.start))
    stop = size if section.stop is None else min(size, int(section.stop))
    if stop <= start:
        raise InputError(f"{axis} {start}:{stop} hold no pixel of an image with {size} {axis}")
    return slice(start, stop)


def float32(array: NDArray[Any]) -> NDArray[np.float32]:
    """Pixels as float32; what does not fit becomes infinite, which readers treat as bad."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return array.astype(np.float32, copy=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class ConstantPlane:
    """One number for every pixel, e.g. the noise of a flat image."""

    label: str
    shape: tuple[int, int]
    value: float

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """The pixels of a section."""
        return np.full((rows.stop - rows.start, columns.stop - columns.start), self.value)
