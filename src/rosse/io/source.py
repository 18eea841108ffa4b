"""What a caller may pass as an image or a map: a path, paths by band, or an array."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from rosse.errors import UNNAMED, FileError, InputError, OptionError, bands_text
from rosse.io.choose import find_image, split_name
from rosse.io.planes import ConstantPlane, NpyPlane, Plane, array_planes
from rosse.io.say import say

Pathlike = str | os.PathLike[str]
Image = Pathlike | Mapping[str, Pathlike] | NDArray[Any]
Map = Pathlike | Mapping[str, Pathlike] | NDArray[Any] | float

log = logging.getLogger(__name__)

ARRAY_SUFFIXES = (".npy", ".npz")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Planes of one shape with what is known of each.

    Parameters
    ----------
    label : name for messages.
    planes : C planes.
    bands : C names, empty where unknown.
    headers : for each plane, its header and the one it inherits from; empty for arrays.
    picture : whether it is a JPEG or the like, whose values and pixels are not those of any survey.
    """

    label: str
    planes: tuple[Plane, ...]
    bands: tuple[str, ...] = ()
    headers: tuple[tuple[fits.Header, ...], ...] = ()
    picture: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.planes[0].shape

    def select(self, at: Sequence[int]) -> Source:
        """These planes, in this order."""
        headers = tuple(self.headers[i] for i in at) if self.headers else ()
        bands = tuple(self.bands[i] for i in at) if self.bands else ()
        return replace(self, planes=tuple(self.planes[i] for i in at), bands=bands, headers=headers)


def open_source(value: Any, *, role: str = "image", extension: str | int | None = None, like: str = "") -> Source:
    """Open what the caller passed for a role, reading headers only (arrays are taken as they are)."""
    if isinstance(value, Mapping):
        return _by_band(value, role=role, extension=extension, like=like)
    if isinstance(value, (str, os.PathLike)):
        return _from_path(os.fspath(value), role=role, extension=extension, like=like)
    planes = array_planes(role, value)
    _same_shape(role, planes)
    return Source(label=role, planes=tuple(planes))


def open_map(value: Any, image: Source, *, role: str, like: str = "") -> Source:
    """Open a map that belongs to an image: one plane for each of its planes, or one for all of them."""
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        if not (np.isfinite(value) and value > 0):
            raise OptionError(f"{role} is {float(value):g}; a positive number is wanted")
        constant = ConstantPlane(label=role, shape=image.shape, value=float(value))
        return Source(label=role, planes=(constant,) * len(image.planes))
    source = open_source(value, role=role, like=like)
    if isinstance(value, Mapping) or (source.bands and set(image.bands) <= set(source.bands)):
        missing = [band for band in image.bands if band not in source.bands]
        if missing == [UNNAMED]:
            raise InputError(
                f"{role} is given for {bands_text(source.bands)}, but the image's band has no name; name it with bands "
                f"(--bands {source.bands[0]}), or give the {role} without a name"
            )
        if missing:
            raise InputError(f"{role} lacks {bands_text(missing)}; it has {bands_text(source.bands)}")
        source = source.select([source.bands.index(band) for band in image.bands])
    if source.shape != image.shape:
        raise InputError(f"{source.label} ({role}) has {_size(source)} pixels, {image.label} has {_size(image)}")
    if len(source.planes) not in (1, len(image.planes)):
        raise InputError(
            f"{source.label} ({role}) has {len(source.planes)} planes, {image.label} has {len(image.planes)} bands"
        )
    if len(source.planes) == len(image.planes):
        return source
    level = logging.INFO if role == "mask" else logging.WARNING  # bad pixels are often the same in all bands
    say(log, level, f"one {role}", "%s: one %s serves for all bands (%s)", source.label, role,
        ", ".join(image.bands) or len(image.planes))  # fmt: skip
    return source.select([0] * len(image.planes))


def _from_path(name: str, *, role: str, extension: str | int | None, like: str) -> Source:
    suffix = Path(split_name(name)[0]).suffix.lower()
    if suffix in ARRAY_SUFFIXES:
        array = load_array(name, role)
        planes: Sequence[Plane] = array_planes(name, array)
        if isinstance(array, np.memmap):
            path = str(array.filename)
            index = [None] if array.ndim == 2 else range(len(planes))
            planes = [
                NpyPlane(label=p.label, path=path, index=i, shape=p.shape) for p, i in zip(planes, index, strict=True)
            ]
        return Source(label=name, planes=tuple(planes))
    if suffix in PICTURE_SUFFIXES:
        from rosse.io.images import picture_planes

        planes, bands = picture_planes(name)
        return Source(label=name, planes=tuple(planes), bands=bands, picture=True)
    found = find_image(name, role=role, extension=extension, like=like)
    headers = ((found.header, found.inherited),) * len(found.planes)
    _same_shape(name, found.planes)
    return Source(label=name, planes=tuple(found.planes), bands=found.bands, headers=headers)


def load_array(name: str, role: str) -> NDArray[Any]:
    """Array of a ``.npy`` file (mapped, not read), or of the member of an ``.npz`` that is named or bears the role."""
    path, member = split_name(os.path.expanduser(name))
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            keys = list(loaded.files)
            key = str(member) if member is not None else role if role in keys else keys[0] if len(keys) == 1 else None
            if key not in keys:
                raise FileError(f"{path} holds {', '.join(keys)}; name one, e.g. '{path}[{keys[0]}]'")
            return np.asarray(loaded[key])
    except FileNotFoundError as err:
        raise FileError(f"{path}: there is no such file") from err
    except (OSError, ValueError, EOFError) as err:
        if isinstance(err, FileError):
            raise
        raise FileError(f"{path} cannot be read as a NumPy file, it is truncated or damaged ({err})") from err


def _by_band(value: Mapping[str, Any], *, role: str, extension: str | int | None, like: str) -> Source:
    if not value:
        raise OptionError(f"{role} is an empty mapping; band names with their files are wanted")
    parts = {b: open_source(v, role=role, extension=extension, like=like) for b, v in value.items()}
    for band, part in parts.items():
        if len(part.planes) != 1:
            raise InputError(f"{part.label} ({role}, band {band}) has {len(part.planes)} planes; one is wanted")
    planes = [part.planes[0] for part in parts.values()]
    _same_shape(role, planes)
    headers = tuple(part.headers[0] if part.headers else () for part in parts.values())
    first = next(iter(parts.values()))
    return Source(label=first.label, planes=tuple(planes), bands=tuple(str(b) for b in value), headers=headers)


def _same_shape(name: str, planes: Sequence[Plane]) -> None:
    shapes = {plane.shape for plane in planes}
    if len(shapes) > 1:
        each = ", ".join(f"{plane.label} {plane.shape[0]} x {plane.shape[1]}" for plane in planes)
        raise InputError(f"{name}: the bands have different sizes ({each}); bring them onto one pixel grid first")


def _size(source: Source) -> str:
    return f"{source.shape[0]} x {source.shape[1]}"
