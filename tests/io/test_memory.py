"""A mosaic of 40,000 x 40,000 pixels is read by section on 2 GiB of memory."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")

SIZE = 40_000


def write_sparse(path: Path, bitpix: int = -32, scale: float = 1.0, zero: float = 0.0) -> None:
    """A plain FITS file whose pixels are a hole in the file, but for the diagonal blocks that `stored` describes."""
    header = fits.Header()
    header["SIMPLE"], header["BITPIX"], header["NAXIS"] = True, bitpix, 2
    header["NAXIS1"], header["NAXIS2"] = SIZE, SIZE
    if (scale, zero) != (1.0, 0.0):
        header["BSCALE"], header["BZERO"] = scale, zero
    start = header.tostring(padding=True).encode()
    item = abs(bitpix) // 8
    size = len(start) + SIZE * SIZE * item
    with path.open("wb") as stream:
        stream.write(start)
        stream.truncate(size + (-size) % 2880)
        for row in (0, SIZE // 2, SIZE - 1):
            stream.seek(len(start) + (row * SIZE + row) * item)
            stream.write(np.array([row % 30_000 + 1], dtype=">i2" if bitpix == 16 else ">f4").tobytes())


def write_tiled(path: Path) -> np.ndarray:
    """An fpacked file whose 40,000 rows all point to the same compressed tile; returns that row."""
    row = np.random.default_rng(1).integers(0, 2000, (1, SIZE)).astype(np.int32)
    packed = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(row, compression_type="RICE_1", tile_shape=(1, SIZE))]).writeto(
        packed
    )
    with fits.open(io.BytesIO(packed.getvalue()), disable_image_compression=True) as hdus:
        header, start = hdus[1].header.copy(), hdus[1].fileinfo()["datLoc"]
        width, heap = header["NAXIS1"], header["PCOUNT"]
    entry = packed.getvalue()[start : start + width]
    tile = packed.getvalue()[start + width : start + width + heap]
    header["NAXIS2"] = header["ZNAXIS2"] = SIZE
    primary = fits.PrimaryHDU().header.tostring(padding=True).encode()
    data = entry * SIZE + tile
    path.write_bytes(primary + header.tostring(padding=True).encode() + data + bytes(-len(data) % 2880))
    return np.asarray(row[0])


READ = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30))
from rosse.io import open_mosaic
path, extra = sys.argv[1], {k: sys.argv[2] for k in sys.argv[3:]}
mosaic = open_mosaic(path, **extra)
half = mosaic.shape[0] // 2
values = []
for start in (0, half - 1024, mosaic.shape[0] - 2048):
    part = slice(start, start + 2048)
    section = mosaic.section(part, part)
    at = {0: 0, half - 1024: 1024}.get(start, 2047)
    values.append(float(section.flux[0, at, at]))
# not ru_maxrss: a child begins with that of the process which started it
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(*values, int(peak.split()[1]) / 1024)
"""


def read(*arguments: object) -> tuple[list[float], float]:
    """The three marked pixels, and the peak memory in MiB of a process that may use 2 GiB of address space."""
    done = subprocess.run(
        [sys.executable, "-c", READ, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    *values, peak = map(float, done.stdout.split())
    return values, peak


@pytest.mark.parametrize(("bitpix", "scale", "zero"), [(-32, 1.0, 0.0), (16, 0.5, 100.0)])
def test_plain_mosaic(tmp_path: Path, bitpix: int, scale: float, zero: float) -> None:
    path = tmp_path / "mosaic.fits"
    write_sparse(path, bitpix, scale, zero)
    assert path.stat().st_size >= SIZE**2 * abs(bitpix) // 8
    values, peak = read(path)
    stored = np.array([1, SIZE // 2 % 30_000 + 1, (SIZE - 1) % 30_000 + 1])
    assert values == list(stored * scale + zero)
    assert peak < 400


def test_mosaic_with_a_noise_map(tmp_path: Path) -> None:
    image, sigma = tmp_path / "mosaic.fits", tmp_path / "sigma.fits"
    write_sparse(image)
    write_sparse(sigma, 16, 1.0, 10.0)
    values, peak = read(image, sigma, "sigma")
    assert values == [1.0, SIZE // 2 % 30_000 + 1, (SIZE - 1) % 30_000 + 1]
    assert peak < 500


def test_tiled_mosaic(tmp_path: Path) -> None:
    path = tmp_path / "mosaic.fits.fz"
    row = write_tiled(path)
    values, peak = read(path)
    assert values == [row[0], row[SIZE // 2], row[SIZE - 1]]
    assert peak < 1200
