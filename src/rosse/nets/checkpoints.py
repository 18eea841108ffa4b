"""States of a training as files that appear whole: tensors as safetensors, everything else as JSON inside."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rosse.errors import FileError, StorageError

_ABOUT = "rosse"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any] | None = None) -> None:
    """Write tensors beside the file, flush them to the disk, and rename: a crash leaves the old file or the new one."""
    from safetensors.torch import save

    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_whole(path, save(plain, metadata={_ABOUT: json.dumps(about or {})}))


def write_whole(path: Path, content: bytes) -> None:
    """A file that appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as err:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {err.strerror or err}; what was saved before is kept") from err


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors of a file, and what was written about them."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get(_ABOUT, "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118 - it is no dict
    except FileNotFoundError as err:
        raise FileError(f"{path}: there is no such file") from err
    except (SafetensorError, OSError, ValueError) as err:
        raise FileError(f"{path} is damaged, or is no safetensors file: {err}") from err


def load_state(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Put tensors into a module that must want exactly these."""
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as err:
        raise FileError(f"{where}: its weights are not those of this network: {err}") from err


def digest(*parts: bytes | str) -> str:
    """SHA-256 of texts and bytes, 64 hexadecimal digits."""
    out = hashlib.sha256()
    for part in parts:
        out.update(part.encode() if isinstance(part, str) else part)
        out.update(b"\0")
    return out.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def optimiser_tensors(optimiser: torch.optim.Optimizer, prefix: str = "optimiser.") -> dict[str, Tensor]:
    """State of an optimiser, ``optimiser.12.exp_avg``: parameter number and name."""
    state = optimiser.state_dict()["state"]
    return {
        f"{prefix}{number}.{name}": torch.as_tensor(value)
        for number, values in state.items()
        for name, value in values.items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str = "optimiser."
) -> None:
    """Put back what `optimiser_tensors` gave; rates and groups are the caller's."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(prefix):
            number, name = key.removeprefix(prefix).split(".", 1)
            state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
