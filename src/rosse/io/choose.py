"""Which HDU of a file is meant: named by the caller, else told by names and shapes, else an error that lists them."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from astropy.io import fits

from rosse.errors import FileError
from rosse.io.fits import FitsPlane, card, hdu_label, open_hdus, planes_of
from rosse.io.say import say

log = logging.getLogger(__name__)

# Words in EXTNAME, EXTTYPE or IMAGETYP that tell what an HDU holds. Anything else is unknown, which is not the same
# as "an image": the 60 CCDs of a DECam file are called S1, N1, ...
ROLE_WORDS: dict[str, tuple[str, ...]] = {
    "weight": ("WHT", "WEIGHT", "WGT", "WT", "WEIGHTS"),
    "ivar": ("IVAR", "INVVAR", "INVVARIANCE", "IVM"),
    "sigma": ("ERR", "ERROR", "ERRORS", "SIGMA", "RMS", "STD", "STDDEV", "UNCERT", "UNCERTAINTY", "NOISE"),
    "variance": ("VAR", "VARIANCE"),
    "mask": ("MASK", "MSK", "DQ", "BPM", "FLAG", "FLAGS", "QUALITY", "DATAQUALITY", "SEG", "SEGM", "SEGMENTATION"),
    "psf": ("PSF", "PSFIM"),
    "other": ("CON", "CTX", "CONTEXT", "EXP", "EXPOSURE", "EXPMAP", "NEXP", "BKG", "BACK", "BACKGROUND", "SKY", "AREA",
              "COVERAGE", "DEPTH", "MODEL", "RESIDUAL", "CHI", "AIRMASS", "D2IMARR", "WCSDVARR"),
    "image": ("SCI", "SCIENCE", "IMAGE", "IMG", "DATA", "FLUX", "INTENSITY", "COADD", "SIGNAL"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class FitsImage:
    """What a file gives for one role: its planes, their band names where the file tells them, and the header."""

    planes: list[FitsPlane]
    bands: tuple[str, ...]
    header: fits.Header
    inherited: fits.Header


def split_name(name: str) -> tuple[str, str | int | None]:
    """``file.fits[WHT]`` → the path and the extension (a number, a name, or ``name,version``)."""
    match = re.fullmatch(r"(.+)\[([^\[\]]+)\]", name, re.DOTALL)
    if match is None or os.path.exists(name):
        return name, None
    path, extension = match.groups()
    return path, int(extension) if extension.strip().lstrip("-").isdigit() else extension.strip()


def find_image(name: str, *, role: str = "image", extension: str | int | None = None, like: str = "") -> FitsImage:
    """Planes of the HDU that holds the image (or the weight, mask, ...), without reading pixels.

    Parameters
    ----------
    name : path or ``path[EXT]``.
    role : key of `ROLE_WORDS`.
    extension : number or name of the HDU; what stands in `name` wins.
    like : extension of the image that this belongs to: the last hint where several HDUs come into question.
    """
    path, named = split_name(os.path.expanduser(name))
    wanted = named if named is not None else extension
    with open_hdus(path) as (hdus, size):
        numbers = [_named(path, hdus, wanted)] if wanted is not None else _automatic(path, hdus, role, like)
        planes = [plane for number in numbers for plane in planes_of(path, hdus, number, size)]
        header = hdus[numbers[0]].header
        inherited = hdus[0].header if numbers[0] else fits.Header()
        each = [_band(hdus[number]) for number in numbers]
    bands = tuple(each) if len(each) > 1 else header_bands(header, len(planes))
    return FitsImage(planes=planes, bands=bands, header=header, inherited=inherited)


def header_bands(header: fits.Header, count: int) -> tuple[str, ...]:
    """Band names of a cube from BAND0.. (or BAND1..) or BANDS; empty where the header does not tell them."""
    for first in (0, 1):
        names = [str(card(header, f"BAND{first + i}") or "").strip() for i in range(count)]
        if count > 1 and all(names):
            return tuple(names)
    text = str(card(header, "BANDS") or "").strip()
    names = re.split(r"[\s,;]+", text) if re.search(r"[\s,;]", text) else list(text)
    return tuple(names) if count > 1 and len(names) == count else ()


def _is_plane(hdu: Any) -> bool:
    """Whether an HDU holds a plane or a cube of planes (more axes may have length 1)."""
    if not getattr(hdu, "is_image", False) or not isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
        return False
    shape = tuple(hdu.shape)
    return len(shape) >= 2 and all(shape) and min(shape[-2:]) > 1 and sum(n > 1 for n in shape[:-2]) <= 1


def role_of(hdu: Any) -> str:
    """Key of `ROLE_WORDS` that an HDU's names tell, empty if they tell nothing."""
    for key in ("EXTNAME", "EXTTYPE", "IMAGETYP"):
        words = re.findall(r"[A-Z]+", str(card(hdu.header, key) or "").upper())
        for role, known in ROLE_WORDS.items():
            if any(word in known for word in words):
                return role
    return ""


def _band(hdu: Any) -> str:
    return str(card(hdu.header, "BAND") or "").strip()


def _named(path: str, hdus: fits.HDUList, wanted: str | int) -> int:
    key: Any = wanted
    if isinstance(wanted, str) and "," in wanted:
        name, _, version = wanted.rpartition(",")
        key = (name.strip(), int(version)) if version.strip().isdigit() else wanted
    try:
        number = int(hdus.index_of(key))
        hdu = hdus[number]
        number %= len(hdus)  # counted from the end
    except (KeyError, IndexError) as err:
        raise FileError(f"{path} has no extension {wanted!r}; it holds {listing(hdus)}") from err
    if not _is_plane(hdu):
        raise FileError(f"{path}[{wanted}] is not an image; the file holds {listing(hdus)}")
    return number


def _automatic(path: str, hdus: fits.HDUList, role: str, like: str) -> list[int]:
    images = [i for i, hdu in enumerate(hdus) if _is_plane(hdu)]
    if not images:
        raise FileError(f"{path} holds no image with two axes; it holds {listing(hdus)}")
    if len(images) == 1:
        return images
    roles = {i: role_of(hdus[i]) for i in images}
    alike = {"ivar": "weight", "weight": "ivar"}.get(role, role)  # the caller has said which of the two it is
    fitting = next(
        ([i for i in images if roles[i] == name] for name in (role, alike, "") if name in roles.values()), []
    )
    if role == "image" and roles[images[0]] == "" and images[0] == 0:
        fitting = [0]  # the primary HDU is the image, whatever follows it
    stack = len(fitting) > 1 and _is_stack([hdus[i] for i in fitting])
    if len(fitting) > 1 and not stack:
        fitting = [i for i in fitting if like and hdus[i].name == like.upper()] or fitting
    if len(fitting) == 1 or stack:
        chosen = hdu_label(path, hdus, fitting[0])
        say(log, logging.INFO, f"hdu {role}", "%s: of %d images, %s is taken as %s", path, len(images), chosen, role)
        return fitting
    index = fitting[0] if fitting else images[0]
    raise FileError(
        f"{path} holds {len(images)} images and none is marked as the one {role} of the field: {listing(hdus)}; "
        f"name one, e.g. '{path}[{hdus[index].name or index}]'"
    )


def _is_stack(hdus: Sequence[Any]) -> bool:
    """Whether HDUs are the bands of one field: one shape, each with a BAND card of its own."""
    bands = [_band(hdu) for hdu in hdus]
    return all(bands) and len(set(bands)) == len(bands) and len({tuple(hdu.shape) for hdu in hdus}) == 1


def listing(hdus: fits.HDUList) -> str:
    """What a file holds, for messages: ``0 PRIMARY (no data), 1 SCI 100 x 100, 2 table``."""
    parts = []
    for i, hdu in enumerate(hdus):
        shape = getattr(hdu, "shape", None)
        is_image = bool(getattr(hdu, "is_image", False))
        what = (" x ".join(map(str, shape)) if shape else "(no data)") if is_image else "table"
        parts.append(f"{i} {hdu.name} {what}".replace("  ", " "))
    shown = parts if len(parts) <= 12 else [*parts[:12], f"... {len(parts)} in all"]
    return ", ".join(shown)
