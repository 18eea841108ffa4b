"""Options as text: what a command line or a TOML file says, turned into values."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rosse.errors import FileError, OptionError, unknown_name

Files = str | dict[str, str]
Numbers = float | tuple[float, ...] | dict[str, float]

_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", list: "a list of texts"}


def read_config(path: str | Path, known: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """Options of a TOML file.

    Parameters
    ----------
    path : of the file.
    known : option → what turns its value into that of the option; it may raise `OptionError`.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            found = tomllib.load(file)
    except OSError as err:
        raise FileError(f"{path} cannot be read: {err.strerror or err}") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise FileError(f"{path} is not TOML: {err}") from err
    options = {}
    for key, value in found.items():
        name = key.replace("-", "_")
        if name not in known:
            raise OptionError(f"{path.name}: " + unknown_name("option", key, known))
        try:
            options[name] = known[name](value)
        except OptionError as err:
            raise OptionError(f"{path.name}: {key}: {err}") from err
    return options


def of_kind(kind: type) -> Callable[[Any], Any]:
    """Check for a plain value: a whole number serves as a number, nothing else is converted."""

    def check(value: Any) -> Any:
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if kind is list and isinstance(value, str):
            return [value]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise OptionError(f"{_NAMES[kind]} is wanted, {value!r} came")
        return value

    return check


def files(value: Any) -> Files:
    """``a.fits``, or by band ``g=a.fits,r=b.fits`` (in TOML also a table)."""
    if isinstance(value, Mapping):
        return {str(band): _text(name) for band, name in value.items()}
    return _by_band(_text(value)) or _text(value)


def noise(value: Any) -> Files | float:
    """Like `files`, or one number for all pixels."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    return files(value)


def numbers(value: Any) -> Numbers:
    """``22.5``, one for each band ``22.5,22.3``, or by band ``g=22.5,r=22.3`` (in TOML also a list or a table)."""
    if isinstance(value, Mapping):
        return {str(band): _number(number) for band, number in value.items()}
    if isinstance(value, str) and (named := _by_band(value)):
        return {band: _number(number) for band, number in named.items()}
    several = value.split(",") if isinstance(value, str) else value
    if isinstance(several, Sequence):
        values = tuple(_number(number) for number in several)
        return values[0] if len(values) == 1 else values
    return _number(value)


def bands(value: Any) -> tuple[str, ...] | dict[str, str]:
    """Names ``g,r,z`` of an image's planes, or a file for each, ``g=a.fits,r=b.fits`` (in TOML also list or table)."""
    if isinstance(value, Mapping):
        return {str(band): _text(name) for band, name in value.items()}
    if isinstance(value, str):
        return _by_band(value) or tuple(name.strip() for name in value.split(","))
    if isinstance(value, Sequence):
        return tuple(_text(name) for name in value)
    raise OptionError(f"names or files of bands are wanted, {value!r} came")


def names(value: Any) -> tuple[str, ...]:
    """``g,r,z`` (in TOML also a list)."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, Sequence):
        raise OptionError(f"names such as g,r,z are wanted, {value!r} came")
    return tuple(_text(name) for name in value)


def shares(value: Any) -> tuple[str, ...] | dict[str, float]:
    """Names ``spiral,edge_on``, or each with its share, ``spiral=3,edge_on=1`` (in TOML also a list or a table)."""
    if isinstance(value, Mapping):
        return {str(name): _number(share) for name, share in value.items()}
    if isinstance(value, str) and (named := _by_band(value)):
        return {name: _number(share) for name, share in named.items()}
    return names(value)


def settings(value: Any) -> dict[str, float]:
    """``eta=0.25,sky_box=16``: numbers by name (in TOML also a table)."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",")]
        if not all(name.strip() and sign and text.strip() for name, sign, text in pairs):
            raise OptionError(f"name=number, several with commas, is wanted, {value!r} came")
        value = {name.strip(): text for name, _, text in pairs}
    if not isinstance(value, Mapping):
        raise OptionError(f"numbers by name are wanted, {value!r} came")
    return {str(name): _number(number) for name, number in value.items()}


def weights(value: Any) -> str | dict[str, float]:
    """``bar=2,merging=0.5``, or one word (in TOML also a table)."""
    return value.strip() if isinstance(value, str) and "=" not in value else settings(value)


def paths(value: Any) -> list[str]:
    """One path (in TOML also a list)."""
    return [value] if isinstance(value, str) else [_text(path) for path in value]


def extension(value: Any) -> str | int:
    """Name or number of an HDU."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if _text(value).isdigit() else _text(value)


def whole_number(value: Any) -> int:
    """A whole number, also as ``0b101`` or ``0x5``."""
    try:
        return int(value, 0) if isinstance(value, str) else int(of_kind(int)(value))
    except ValueError:
        raise OptionError(f"a whole number such as 5 or 0b101 is wanted, {value!r} came") from None


def _by_band(text: str) -> dict[str, str]:
    """``g=a,r=b`` as a mapping; empty when the text is not of this form. Commas within ``[EXT,1]`` do not count."""
    parts = re.split(r",(?![^\[]*\])", text)
    found = [match for part in parts if (match := re.fullmatch(r"\s*([\w.+-]+)\s*=\s*(.+?)\s*", part))]
    if len(found) < len(parts):
        if found and len(parts) > 1:
            raise OptionError(f"band=value for every band is wanted, {text!r} came")
        return {}
    named = {match[1]: match[2] for match in found}
    if len(named) < len(found):
        raise OptionError(f"a band comes twice in {text!r}")
    return named


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise OptionError(f"a number is wanted, {value!r} came") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise OptionError(f"a text is wanted, {value!r} came")
    return value.strip()
