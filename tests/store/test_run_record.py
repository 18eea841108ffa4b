"""run.json: what a run was made of, in plain JSON, without the machine."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import rosse
from rosse.errors import FileError
from rosse.status import Status
from rosse.store import describe_run, write_catalogue
from rosse.store import provenance as provenance_module
from store.galaxy_rows import galaxies


@dataclass(frozen=True, kw_only=True)
class Options:
    threshold: float = 1.5
    bands: tuple[str, ...] = ("g", "r")
    psf: Path = Path("psf.fits")


def test_what_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("image.fits").write_bytes(b"pixels")
    options = {"detect": Options(), "limit": np.float32(0.5), "nothing": float("nan"), "status": Status.OK}
    started = datetime(2024, 3, 1, 12, tzinfo=UTC)
    about = describe_run(options, ["image.fits"], command="rosse run image.fits", started=started)
    catalogue = write_catalogue("out", [galaxies(30)], provenance=about)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record == catalogue.provenance
    assert record["options"] == {
        "detect": {"threshold": 1.5, "bands": ["g", "r"], "psf": "psf.fits"},
        "limit": 0.5,
        "nothing": None,
        "status": "ok",
    }
    sha = hashlib.sha256(b"pixels").hexdigest()
    assert record["inputs"] == [{"path": "image.fits", "bytes": 6, "sha256": sha}]
    assert record["versions"]["rosse"] == rosse.__version__
    assert {"python", "numpy", "astropy", "pyarrow", "hats", "duckdb"} <= set(record["versions"])
    assert record["started"] == "2024-03-01T12:00:00+00:00"
    assert datetime.fromisoformat(record["finished"]) > started
    assert record["counts"] == {"not_converged": 3, "ok": 27}
    assert record["catalogue"] == {"layout": "hats", "rows": 30, "rows_without_position": 0, "partitions": 1}
    assert record["read_with"]["lsdb"] == "lsdb.open_catalog(DIR)"


def test_no_trace_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("image.fits").write_bytes(b"pixels")
    write_catalogue("out", [galaxies(30)], provenance=describe_run({}, ["image.fits"]))
    for path in Path("out").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(tmp_path).encode() not in content
            assert len(socket.gethostname()) < 4 or socket.gethostname().encode() not in content


def test_large_inputs_are_not_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance_module, "HASH_LIMIT", 5)
    (tmp_path / "x").write_bytes(b"123456")
    (found,) = describe_run(inputs=[tmp_path / "x"])["inputs"]
    assert set(found) == {"path", "bytes", "modified"}


def test_missing_input(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone\.fits cannot be read: No such file"):
        describe_run(inputs=[tmp_path / "gone.fits"])


def test_torch_is_told_only_if_it_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class FakeTorch:
        __version__ = "9.9"

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert "torch" not in provenance_module.versions()
    monkeypatch.setitem(sys.modules, "torch", FakeTorch)
    assert provenance_module.versions()["torch"] == "9.9"


def test_the_bookkeeping_cannot_be_overwritten(tmp_path: Path) -> None:
    about = {"format": "x", "catalogue": {}, "counts": 3, "mine": 1}
    record = write_catalogue(tmp_path / "c", [pa.table({"id": ["a"]})], provenance=about).provenance
    assert (record["format"], record["catalogue"]["rows"], record["counts"]) == ("rosse-catalogue", 1, {})
    assert record["mine"] == 1
