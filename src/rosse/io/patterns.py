"""How the files of a galaxy are called: templates with ``{name}``, and the patterns of tools in use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rosse.errors import OptionError, unknown_name
from rosse.io.choose import split_name
from rosse.io.noise import NOISE_KINDS, one_noise
from rosse.io.source import ARRAY_SUFFIXES, PICTURE_SUFFIXES

PACKED = (".gz", ".fz", ".bz2")
PACKED_EXPRESSION = r"(\.gz|\.fz|\.bz2)?"
FITS_SUFFIXES = (".fits", ".fit", ".fts", ".fz", ".fits.gz", ".fit.gz", ".fits.bz2", ".fits.fz")


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """How the files of a galaxy are called: templates with ``{name}`` and, where each band has its file, ``{band}``.

    Parameters
    ----------
    image, psf, mask : templates, relative to the folder.
    sigma, variance, ivar, weight : template of the noise, one of the four.
    mask_kind : what the mask files hold.
    """

    image: str
    sigma: str | None = None
    variance: str | None = None
    ivar: str | None = None
    weight: str | None = None
    psf: str | None = None
    mask: str | None = None
    mask_kind: str = "bool"

    def __post_init__(self) -> None:
        if "{name}" not in self.image:
            raise OptionError(f"the pattern {self.image!r} of images lacks {{name}}")
        one_noise(**self.noise_templates)

    @property
    def noise_templates(self) -> dict[str, str | None]:
        """Template of each kind of noise."""
        return {kind: getattr(self, kind) for kind in NOISE_KINDS}


# The naming patterns of tools in use. The first that fits a folder is taken, `galmoss` before the others.
PATTERNS: dict[str, Pattern] = {
    "galmoss": Pattern(
        image="{name}_image.fits", sigma="{name}_sigma.fits", psf="{name}_psf.fits", mask="{name}_mask.fits",
        mask_kind="segmentation",
    ),
    "pysersic": Pattern(
        image="{name}_im.npy", sigma="{name}_sig.npy", psf="{name}_psf.npy", mask="{name}_mask.npy",
    ),
    "profit": Pattern(
        image="{name}fitim.fits", sigma="{name}sigma.fits", psf="{name}psfim.fits", mask="{name}segim.fits",
        mask_kind="segmentation",
    ),
}  # fmt: skip


def find_pattern(pattern: str | Pattern | Mapping[str, str] | None) -> Pattern | None:
    """A pattern by name, by its templates, or by the template of the image alone."""
    if pattern is None or isinstance(pattern, Pattern):
        return pattern
    if isinstance(pattern, str):
        if "{" in pattern:
            return Pattern(image=pattern)
        if pattern not in PATTERNS:
            raise OptionError(unknown_name("pattern", pattern, PATTERNS) + "; or give templates with {name}")
        return PATTERNS[pattern]
    known = set(Pattern.__dataclass_fields__)
    unknown = [role for role in pattern if role not in known]
    if unknown:
        raise OptionError(unknown_name("role in the pattern", unknown[0], known))
    if "image" not in pattern:
        raise OptionError("the pattern has no template for the image")
    return Pattern(**pattern)


def pattern_of(paths: Sequence[str]) -> Pattern | None:
    """The known pattern that the names of all these images follow, if there is one."""
    files = [os.path.basename(split_name(path)[0]) for path in paths]
    for pattern in PATTERNS.values():
        expression = _expression(pattern.image)
        if all(expression.fullmatch(file) for file in files):
            return pattern
    return None


def existing(path: str) -> str:
    """The file, or its packed copy where only that is there."""
    return next((path + packing for packing in ("", *PACKED) if os.path.exists(path + packing)), path)


def galaxy_name(path: str, pattern: Pattern | None = None) -> str:
    """Name of a galaxy from its image's path: what stands for ``{name}``, else the file's stem."""
    base, extension = split_name(path)
    file = os.path.basename(base)
    if pattern is not None:
        match = _expression(os.path.basename(pattern.image)).fullmatch(file)
        if match:
            return match["name"]
    for suffix in sorted((*FITS_SUFFIXES, *ARRAY_SUFFIXES, *PICTURE_SUFFIXES), key=len, reverse=True):
        if file.lower().endswith(suffix):
            file = re.sub(r"\.fits?$", "", file[: -len(suffix)], flags=re.IGNORECASE)
            break
    return file if extension is None else f"{file}[{extension}]"


def matches(folder: Path, template: str) -> Iterator[tuple[str, str, str]]:
    """(name, band, path) of the files that fit a template; packed variants (.gz, .fz) fit as well."""
    expression = _expression(template)
    depth = template.count("/")
    for path in _walk(folder, depth):
        match = expression.fullmatch(path)
        if match:
            yield match["name"], match.groupdict().get("band") or "", os.path.join(folder, path)


def _walk(folder: Path, depth: int, prefix: str = "") -> Iterator[str]:
    """Relative paths of the files that lie exactly `depth` folders below."""
    with os.scandir(folder) as items:
        for item in items:
            if depth and item.is_dir():
                yield from _walk(Path(item.path), depth - 1, f"{prefix}{item.name}/")
            elif not depth and item.is_file():
                yield prefix + item.name


def _expression(template: str) -> re.Pattern[str]:
    text = re.escape(template)
    for field, characters in (("name", "[^/]+"), ("band", "[^/_.]+")):
        marker = re.escape("{" + field + "}")
        text = text.replace(marker, f"(?P<{field}>{characters})", 1).replace(marker, f"(?P={field})")
    return re.compile(text + (PACKED_EXPRESSION if template.endswith((".fits", ".fit")) else ""))
