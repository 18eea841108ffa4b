"""Pictures (JPEG, PNG, TIFF): colours as bands, and nothing known about units, noise or PSF."""

from __future__ import annotations

import os

import numpy as np

from rosse.errors import FileError
from rosse.io.planes import ArrayPlane


def picture_planes(path: str) -> tuple[list[ArrayPlane], tuple[str, ...]]:
    """Planes of a picture, first row at the bottom as in FITS: R, G and B, or one of grey. Transparency is dropped."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(os.path.expanduser(path)) as picture:
            colour = picture.mode not in ("1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L")
            pixels = np.asarray(picture.convert("RGB") if colour else picture)
    except FileNotFoundError as err:
        raise FileError(f"{path}: there is no such file") from err
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as err:
        raise FileError(f"{path} cannot be read as a picture, it is truncated or damaged ({err})") from err
    if pixels.ndim == 2:
        return [ArrayPlane(label=path, array=pixels[::-1])], ()
    if not colour:
        return [ArrayPlane(label=path, array=pixels[::-1, :, 0])], ()
    return [ArrayPlane(label=f"{path} {c}", array=pixels[::-1, :, i]) for i, c in enumerate("RGB")], ("R", "G", "B")
