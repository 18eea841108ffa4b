"""What lies where in the directory of a demo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rosse.errors import StorageError

IMAGES = "images"  # the simulated field, its truth, and Hubble's picture
HUBBLE = "hubble"  # catalogue and contact sheet of the real field
CUTOUTS = "cutouts"  # the galaxies of the contact sheet, as files
SHEET = "contact-sheet.png"
RECOVERED = "recovered.png"
SUMMARY = "demo.json"
MARK = ".rosse-demo"  # says that the directory is a demo's, and of which options and version
STAGE = ".unfinished"  # catalogues and figures until all is done
SIMULATED = "simulated"  # the simulated field's part of the stage; it ends in the demo's directory itself


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Errors of the operating system as `StorageError` that names the place."""
    try:
        yield
    except OSError as err:
        raise StorageError(f"{target} cannot be written: {err.strerror or err}") from err
