"""What can go wrong, drawn once.

    RosseError
    ├── InputError (ValueError)         what the caller passed cannot be used
    │   ├── OptionError                 an option is unknown or has an impossible value
    │   └── FileError                   a file is missing, truncated or not what it was said to be
    ├── CatalogueError                  a directory is not a catalogue, or not the one expected
    ├── RunError                        a run could not go on; what it had computed is kept
    │   └── StorageError                writing failed: disk full, no permission
    └── MissingPackageError (ImportError)   an optional part is not installed

A galaxy that fails is not an exception: it is a row with a `Status`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Sequence
from types import ModuleType


class RosseError(Exception):
    """Every error that rosse raises on purpose."""


class InputError(RosseError, ValueError):
    """What the caller passed cannot be used; the message says what was wanted."""


class OptionError(InputError):
    """An option is unknown or has an impossible value."""


class FileError(InputError):
    """A file is missing, truncated or not what it was said to be."""


class CatalogueError(RosseError):
    """A directory is not a catalogue, or not the one that was expected."""


class RunError(RosseError):
    """A run could not go on; what it had computed is kept."""


class StorageError(RunError):
    """Writing failed: disk full, no permission."""


class MissingPackageError(RosseError, ImportError):
    """An optional part is not installed; the message holds the command that installs it."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional dependency, or say which command installs it.

    Parameters
    ----------
    module : dotted name, e.g. ``"ray"``.
    extra : the extra of ``pip install 'rosse[extra]'`` that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as err:
        package = module.partition(".")[0]
        if (err.name or "").partition(".")[0] != package:
            raise
        raise MissingPackageError(f"{package} is not installed; it comes with: pip install 'rosse[{extra}]'") from err


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Text for a misspelt name: *unknown survey 'sds'; did you mean 'sdss'?*."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
    return f"unknown {kind} {name!r}; {hint}"


UNNAMED = "band"  # what a single band is called that nobody has named


def bands_text(bands: Sequence[str]) -> str:
    """Bands for a message: ``band r``, ``bands g, r``, or ``a band without a name``."""
    if tuple(bands) == (UNNAMED,):
        return "a band without a name"
    return f"band{'s' if len(bands) != 1 else ''} {', '.join(bands)}"


def rows_text(rows: Sequence[int], limit: int = 8) -> str:
    """Row numbers for a message, shortened: ``rows [1, 5, 7, ... 120 in all]``."""
    numbers = [int(row) for row in rows]
    if len(numbers) <= limit:
        return f"rows {numbers}"
    return f"rows [{', '.join(map(str, numbers[:limit]))}, ... {len(numbers)} in all]"
