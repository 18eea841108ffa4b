"""Finding the files of each galaxy: in a folder by pattern, beside a list of images, or in a manifest."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rosse.errors import FileError, InputError, OptionError
from rosse.io.choose import split_name
from rosse.io.cutout_files import CutoutFiles, Reading
from rosse.io.noise import NOISE_KINDS
from rosse.io.patterns import FITS_SUFFIXES, PATTERNS, Pattern, existing, galaxy_name, matches, pattern_of
from rosse.io.psf_files import FieldPsf, read_psf
from rosse.io.source import PICTURE_SUFFIXES

log = logging.getLogger(__name__)

MANIFEST_SUFFIXES = (".csv", ".tsv", ".parquet", ".pq")
ROLES = ("noise", "psf", "mask")


def list_entries(
    source: Any, pattern: Pattern | None, given: Mapping[str, Any], reading: Reading, mask_kind: str | None
) -> list[CutoutFiles]:
    """Entries of a folder, a manifest, a glob, a file or a list of files."""
    given, reading = _shared(given, reading)
    if isinstance(source, Mapping):
        return [_by_band(source, given, reading, mask_kind)]
    if isinstance(source, (str, os.PathLike)):
        path = Path(os.path.expanduser(os.fspath(source)))
        if path.is_dir():
            return _folder(path, pattern, given, reading, mask_kind)
        if path.suffix.lower() in MANIFEST_SUFFIXES:
            from rosse.io.manifest import manifest_entries

            kind = mask_kind or "bool"
            entries = manifest_entries(path, replace(reading, mask_kind=kind))
            return [_completed(entry, {}, given, _stem(entry, pattern)) for entry in entries]
        pattern_like = glob.has_magic(str(path)) and not os.path.exists(split_name(str(path))[0])
        paths = sorted(glob.glob(str(path))) if pattern_like else [str(path)]
        if not paths:
            raise FileError(f"no file matches {path}")
        if not any(os.path.exists(split_name(existing(one))[0]) for one in paths):
            raise FileError(f"{path}: there is no such file or folder")
        return _beside(paths, pattern, given, reading, mask_kind)
    paths = [os.path.expanduser(os.fspath(item)) for item in source]
    if not paths:
        raise InputError("an empty list of images came; at least one is needed")
    return _beside(paths, pattern, given, reading, mask_kind)


def _shared(given: Mapping[str, Any], reading: Reading) -> tuple[dict[str, Any], Reading]:
    """Options that are values instead of files go into `reading`."""
    files = {role: value for role, value in given.items() if value is not None}
    psf = files.get("psf")
    if psf is not None and not isinstance(psf, (str, os.PathLike, list, tuple)):
        field = psf if isinstance(psf, FieldPsf) else read_psf(psf, has_pixel=reading.psf_has_pixel)
        reading = replace(reading, psf=field)
        del files["psf"]
    for kind in NOISE_KINDS:
        if kind in files:
            reading = replace(reading, noise_kind=kind)
            value = files.pop(kind)
            if isinstance(value, (int, float)):
                reading = replace(reading, noise=float(value))
            else:
                files["noise"] = value
    return files, reading


def _folder(
    folder: Path, pattern: Pattern | None, given: Mapping[str, Any], reading: Reading, mask_kind: str | None
) -> list[CutoutFiles]:
    """Galaxies of a folder: every name for which a file of any role is there, so that a missing image is noticed."""
    if pattern is None:
        pattern = _fitting(folder)
    if pattern is None:
        return _unnamed(folder, given, reading, mask_kind)
    found: dict[str, dict[str, dict[str, str]]] = {}
    reading = replace(reading, mask_kind=mask_kind or pattern.mask_kind)
    templates, reading = _templates(pattern, given, reading)
    for role, template in templates.items():
        for name, band, path in matches(folder, template):
            files_of = found.setdefault(name, {}).setdefault(role, {})
            files_of[band] = min(path, files_of.get(band, path), key=len)  # the plain file before its packed copy
    if not any("image" in roles for roles in found.values()):
        raise FileError(f"{folder} holds no file that matches {pattern.image!r}")
    bands = _band_order({band for roles in found.values() for band in roles.get("image", {})}, reading)
    if bands and reading.bands is None:
        reading = replace(reading, bands=bands)
    roles = {role for each in found.values() for role in each}
    if "noise" in templates and "noise" not in roles:
        reading = replace(reading, noise_kind="")
    entries = []
    for name in sorted(found):
        files: dict[str, Any] = {r: _expected(folder, templates[r], name, bands, found[name].get(r, {})) for r in roles}
        entry = CutoutFiles(id=Path(name).name, reading=reading, **files)
        entries.append(_completed(entry, {}, given, name))
    return entries


def _templates(pattern: Pattern, given: Mapping[str, Any], reading: Reading) -> tuple[dict[str, str], Reading]:
    """Templates by role of a pattern, without the roles that the caller gives otherwise."""
    templates = {"image": pattern.image}
    kind, noise = next(((k, t) for k, t in pattern.noise_templates.items() if t), ("", None))
    if noise and not reading.noise_kind:
        templates["noise"] = noise
        reading = replace(reading, noise_kind=kind)
    if pattern.psf and "psf" not in given and reading.psf is None:
        templates["psf"] = pattern.psf
    if pattern.mask and "mask" not in given:
        templates["mask"] = pattern.mask
    return templates, reading


def _fitting(folder: Path) -> Pattern | None:
    for name, pattern in PATTERNS.items():
        if next(matches(folder, pattern.image), None):
            if name != "galmoss":
                log.warning("%s: the files are named as %s does (%s); its pattern is used", folder, name, pattern.image)
            return pattern
    return None


def _unnamed(folder: Path, given: Mapping[str, Any], reading: Reading, mask_kind: str | None) -> list[CutoutFiles]:
    """A folder without a known naming pattern: a manifest and the pictures that it lists, or every image in it."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    manifests = [path for path in files if path.suffix.lower() in MANIFEST_SUFFIXES]
    if len(manifests) == 1:
        log.info("%s: the galaxies are those of %s", folder, manifests[0].name)
        return list_entries(manifests[0], None, given, reading, mask_kind)
    images = [path for path in files if path.name.lower().endswith((*FITS_SUFFIXES, *PICTURE_SUFFIXES))]
    if len(manifests) > 1 or not images:
        what = f"several tables ({', '.join(p.name for p in manifests)})" if manifests else "no images"
        raise FileError(f"{folder} holds {what}; name a manifest, or give a pattern such as '{{name}}_image.fits'")
    return _beside([str(path) for path in images], None, given, reading, mask_kind)


def _beside(
    paths: Sequence[str], pattern: Pattern | None, given: Mapping[str, Any], reading: Reading, mask_kind: str | None
) -> list[CutoutFiles]:
    """Galaxies of a list of images, with the files that a naming pattern expects beside them."""
    chosen = pattern or pattern_of(paths)
    kind = mask_kind or (chosen.mask_kind if chosen and "mask" not in given else "bool")
    reading = replace(reading, mask_kind=kind)
    templates, reading = _templates(chosen, given, reading) if chosen else ({}, reading)
    names = [galaxy_name(path, chosen) for path in paths]
    expected: dict[str, list[str]] = {}
    for role, template in templates.items():
        files = [existing(os.path.join(os.path.dirname(split_name(p)[0]), template.replace("{name}", n)))
                 for p, n in zip(paths, names, strict=True)]  # fmt: skip
        if role != "image" and any(os.path.exists(file) for file in files):
            expected[role] = files
    if "noise" in templates and "noise" not in expected:
        reading = replace(reading, noise_kind="")
    lists = {role: value for role, value in given.items() if isinstance(value, (list, tuple))}
    for role, value in lists.items():
        if len(value) != len(paths):
            what = reading.noise_kind if role == "noise" else role
            raise OptionError(f"{len(value)} files came as {what} for {len(paths)} images")
    entries = []
    for i, (path, name) in enumerate(zip(paths, names, strict=True)):
        beside = {role: files[i] for role, files in expected.items()}
        one = {role: value[i] if role in lists else value for role, value in given.items()}
        entries.append(_completed(CutoutFiles(id=name, image=(path,), reading=reading), beside, one, name))
    return entries


def _by_band(
    source: Mapping[str, Any], given: Mapping[str, Any], reading: Reading, mask_kind: str | None
) -> CutoutFiles:
    """One galaxy with an image for each band."""
    if not source:
        raise OptionError("an empty mapping came; band names with their images are wanted")
    images = tuple(os.path.expanduser(os.fspath(path)) for path in source.values())
    reading = replace(reading, bands=tuple(str(band) for band in source), mask_kind=mask_kind or "bool")
    name = galaxy_name(images[0], pattern_of(images))
    return _completed(CutoutFiles(id=name, image=images, reading=reading), {}, given, name)


def _stem(entry: CutoutFiles, pattern: Pattern | None) -> str:
    return galaxy_name(entry.image[0], pattern) if entry.image else entry.id


def _completed(entry: CutoutFiles, beside: Mapping[str, str], given: Mapping[str, Any], name: str) -> CutoutFiles:
    """An entry with the files beside its image and with those that the caller names by template."""
    changed: dict[str, Any] = {role: (path,) for role, path in beside.items()}
    for role in ROLES:
        if role in given and entry.image and not getattr(entry, role):
            bands = entry.reading.bands or ()
            if isinstance(given[role], Mapping):
                what = entry.reading.noise_kind if role == "noise" else role
                changed[role] = _of_bands(what, given[role], bands)
                continue
            template = os.fspath(given[role])
            each = bands if "{band}" in template else ("",)
            changed[role] = tuple(_resolved(template.replace("{band}", band), entry.image[0], name) for band in each)
    return replace(entry, **changed) if changed else entry


def _of_bands(role: str, files: Mapping[str, Any], bands: Sequence[str]) -> tuple[str, ...]:
    """The file of each band."""
    if not bands:
        raise OptionError(f"{role} is given for band {', '.join(files)}, but nobody says which bands the images have; "
                          "name them with bands, or give the images by band too")  # fmt: skip
    missing = [band for band in bands if band not in files]
    if missing:
        raise OptionError(f"{role} lacks a file for band {', '.join(missing)}; it has {', '.join(files)}")
    return tuple(os.path.expanduser(os.fspath(files[band])) for band in bands)


def _resolved(template: str, image: str, name: str) -> str:
    """A template filled in; relative ones are looked for beside the image, then in the working directory."""
    template = os.path.expanduser(template)
    filled = template.replace("{name}", name).replace("{image}", split_name(image)[0])
    if os.path.isabs(filled) or "{image}" in template:
        return filled
    beside = os.path.join(os.path.dirname(split_name(image)[0]), filled)
    places = [beside, filled] if "{name}" in template else [filled, beside]
    return next((place for place in map(existing, places) if os.path.exists(split_name(place)[0])), places[0])


def _band_order(found: set[str], reading: Reading) -> tuple[str, ...]:
    """Bands of a pattern with ``{band}``: those asked for, else in the survey's order, else by name."""
    if found <= {""}:
        return ()
    if reading.bands is not None:
        return reading.bands
    known = reading.survey.bands if reading.survey else ()
    ordered = [band for band in known if band in found] + sorted(found - set(known))
    log.info("bands found: %s", ", ".join(ordered))
    return tuple(ordered)


def _expected(
    folder: Path, template: str, name: str, bands: Sequence[str], found: Mapping[str, str]
) -> tuple[str, ...]:
    """Files of one role, also those that are not there: reading them will name them as missing."""
    wanted = bands if "{band}" in template else ("",)
    filled = {band: os.path.join(folder, template.replace("{name}", name).replace("{band}", band)) for band in wanted}
    return tuple(found.get(band, filled[band]) for band in wanted)
