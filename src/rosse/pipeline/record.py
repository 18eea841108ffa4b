"""What a run was made of, so that resuming never mixes two runs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import rosse
from rosse.errors import FileError
from rosse.store.provenance import as_json

HASHED = 16 * 2**20  # bytes; a larger file is told by size and time alone, as make does: reading it takes too long
LISTED = 100  # more inputs than these are summed up in one entry

Record = dict[str, Any]


def make_record(options: Mapping[str, Any], inputs: Iterable[Path]) -> Record:
    """Options and inputs that decide the result, as plain JSON.

    Parameters
    ----------
    options : name → value; only what changes the numbers, not the number of workers.
    inputs : every file that is read.
    """
    plain = as_json(options)
    return {"rosse": rosse.__version__, "options": plain, "inputs": _describe(sorted(set(inputs)))}


def fingerprint(record: Record) -> str:
    """Short name of a record."""
    return hashlib.blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=16).hexdigest()


def differences(then: Record, now: Record) -> list[str]:
    """What differs, for people: ``["threshold: 1.5 then, 2.0 now"]``; empty when a run can be resumed."""
    found = []
    if then.get("rosse") != now["rosse"]:
        found.append(f"rosse: {then.get('rosse')} then, {now['rosse']} now")
    before, after = then.get("options", {}), now["options"]
    found += [
        f"{name}: {_text(before, name)} then, {_text(after, name)} now"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    before, after = then.get("inputs", {}), now["inputs"]
    for name in sorted({*before, *after}):
        if name not in before:
            found.append(f"{name} is new")
        elif name not in after:
            found.append(f"{name} is no longer among the inputs")
        elif why := _changed(before[name], after[name]):
            found.append(f"{name} {why}")
    return found


def _text(options: Mapping[str, Any], name: str) -> str:
    return json.dumps(options[name]) if name in options else "not set"


def _describe(paths: list[Path]) -> dict[str, Any]:
    if len(paths) > LISTED:
        return {"files": _summed(paths)}
    names = Counter(path.name for path in paths)
    return {(path.name if names[path.name] == 1 else str(path)): _file(path) for path in paths}


def _file(path: Path) -> dict[str, Any]:
    size, modified = _stat(path)
    described: dict[str, Any] = {"size": size, "modified": modified}
    if size <= HASHED:
        with open(path, "rb") as file:
            described["hash"] = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return described


def _summed(paths: list[Path]) -> dict[str, Any]:
    digest, total = hashlib.blake2b(digest_size=16), 0
    for path in paths:
        size, modified = _stat(path)
        digest.update(f"{path.name}\0{size}\0{modified}\n".encode())
        total += size
    return {"count": len(paths), "size": total, "names, sizes and times": digest.hexdigest()}


def _stat(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as err:
        raise FileError(f"{path} cannot be read: {err.strerror or err}") from err
    return found.st_size, found.st_mtime_ns


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if then.get("count") != now.get("count"):
        return f"counted {then.get('count', 'few')} then, {now.get('count', 'few')} now"
    if "count" in now:
        return "" if then == now else "are not what they were (a name, size or time differs)"
    if then.get("size") != now["size"]:
        return f"had {then.get('size')} bytes then, {now['size']} now"
    if "hash" in now:  # a copy or a touch changes the time and nothing else
        return "" if then.get("hash") == now["hash"] else "has other content now"
    same = then.get("modified") == now["modified"]
    return "" if same else f"was modified {_when(then.get('modified'))} then, {_when(now['modified'])} now"


def _when(nanoseconds: int | None) -> str:
    return datetime.fromtimestamp((nanoseconds or 0) / 1e9).isoformat(sep=" ", timespec="seconds")
