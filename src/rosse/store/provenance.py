"""Where a catalogue came from: options, versions, inputs, times."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import math
import platform
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import rosse
from rosse.errors import FileError

PACKAGES = ("numpy", "astropy", "pyarrow", "duckdb", "hats", "sep", "scipy", "galsim", "ray")
HASH_LIMIT = 2**30  # larger files are told by size and time of change: hashing a mosaic can take longer than reading it


def describe_run(
    options: Any = None,
    inputs: Iterable[str | Path] = (),
    *,
    command: str = "",
    started: datetime | None = None,
) -> dict[str, Any]:
    """What `write_catalogue` takes as ``provenance``: how a run was made.

    Parameters
    ----------
    options : mapping or dataclass, nested as it likes; kept as plain JSON.
    inputs : files that were read. Paths are kept as given; sizes and SHA-256 are taken now.
    command : name of the verb or the command line.
    started : when the run began; now if left out.
    """
    return {
        "command": command,
        "options": as_json(options if options is not None else {}),
        "inputs": [describe_file(path) for path in inputs],
        "versions": versions(),
        "started": as_json(started or datetime.now(UTC)),
    }


def describe_file(path: str | Path) -> dict[str, Any]:
    """Path as given, size, and SHA-256 (time of change instead for a file of more than 1 GiB)."""
    try:
        status = Path(path).stat()
        about: dict[str, Any] = {"path": str(path), "bytes": status.st_size}
        if status.st_size > HASH_LIMIT:
            about["modified"] = as_json(datetime.fromtimestamp(status.st_mtime, UTC))
        else:
            with Path(path).open("rb") as stream:
                about["sha256"] = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as err:
        raise FileError(f"input {path} cannot be read: {err.strerror or err}") from err
    return about


def versions() -> dict[str, str]:
    """Versions of rosse, Python and the packages that results depend on; torch only where it was used."""
    found = {"rosse": rosse.__version__, "python": platform.python_version()}
    torch = sys.modules.get("torch")
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found if torch is None else {**found, "torch": str(torch.__version__)}


def as_json(value: Any) -> Any:
    """The value in the types of JSON; a number that is not finite becomes null."""
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    return _containers_as_json(value)


def _containers_as_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return as_json(value.tolist())
    if isinstance(value, Iterable) and not isinstance(value, Path | bytes):
        return [as_json(item) for item in value]
    return str(value)
