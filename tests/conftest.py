"""What every room's tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# Before torch is loaded: the tests run in several processes already, one for each core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every process they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every run; a slow moment of the machine is not a failure.
settings.register_profile("rosse", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("rosse")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Directory of real galaxies: ROSSE_REAL_DATA, else shared/data beside the repository."""
    folder = Path(os.environ.get("ROSSE_REAL_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the real galaxies are not here: ROSSE_REAL_DATA names their folder, not part of the project")
    return folder
