"""Parquet against Zarr as a packed store of cutouts: random batches, writing, size.

    python bench/packed.py            # writes docs/benchmarks/packed.md; needs zarr >= 3, which rosse itself does not

10,000 cutouts of 3 x 64 x 64 pixels, flux and ivar in float32, in batches of 64 at random. `rosse` is the store
as `rosse.io.write_packed` makes it and `Packed.batch` reads it, checks included; the others are bare arrays.
Files are in the page cache: what is compared is the format, not the disk.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from machine import machine

COUNT, BATCH, TRIALS = 10_000, 64, 30
SHAPE = (3, 64, 64)
TABLE = Path(__file__).parents[1] / "docs" / "benchmarks" / "packed.md"

Reader = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    rng = np.random.default_rng(0)
    flux = rng.normal(0, 1, (COUNT, *SHAPE)).astype(np.float32)
    depth = rng.uniform(2, 6, (COUNT, 3, 1, 1))
    ivar = (depth / (1 + 0.05 * np.abs(flux))).astype(np.float32)  # photon noise: no two pixels alike
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, write in layouts(flux, ivar):
            place = Path(folder) / "store"
            start = time.perf_counter()
            read = write(place)
            wrote = time.perf_counter() - start
            rows.append((name, wrote, size(place), batches(read, flux, rng)))
            print("{} | write {:.1f} s | {:.0f} MB | batch {:.1f} ms".format(*rows[-1]), flush=True)
            shutil.rmtree(place)
    report(rows)


def layouts(flux: np.ndarray, ivar: np.ndarray) -> Iterator[tuple[str, Callable[[Path], Reader]]]:
    yield "rosse (Parquet, LZ4, ~400 kB row groups)", lambda path: packed(path, flux, ivar)
    for group, codec in ((1, "none"), (4, "none"), (4, "lz4"), (4, "zstd"), (32, "none")):
        name = f"Parquet, {group} galaxies per row group, {codec}"
        yield name, lambda path, g=group, c=codec: parquet(path, flux, ivar, group=g, codec=c)
    for chunk, shard in ((1, 1000), (8, 1000), (1, None), (8, None)):
        name = f"Zarr 3, {chunk} per chunk, " + (f"shards of {shard}" if shard else "no shards")
        yield name, lambda path, c=chunk, s=shard: zarr_store(path, flux, ivar, chunk=c, shard=s)


def packed(path: Path, flux: np.ndarray, ivar: np.ndarray) -> Reader:
    import torch

    from rosse.cutouts import Cutouts
    from rosse.io import write_packed

    def parts() -> Iterator[Cutouts]:
        for at in range(0, COUNT, 500):
            here = slice(at, at + 500)
            names = np.array([f"galaxy{i}" for i in range(at, at + 500)])
            yield Cutouts(flux=torch.from_numpy(flux[here]), ivar=torch.from_numpy(ivar[here]), id=names)

    store = write_packed(path, parts())
    return lambda index: store.batch(index).flux.numpy()


def parquet(path: Path, flux: np.ndarray, ivar: np.ndarray, *, group: int, codec: str) -> Reader:
    path.mkdir()

    def column(stamps: np.ndarray) -> pa.Array:
        buffers = [None, pa.py_buffer(np.arange(COUNT + 1) * stamps[0].nbytes), pa.py_buffer(stamps)]
        return pa.Array.from_buffers(pa.large_binary(), COUNT, buffers)

    table = pa.table({"id": [str(i) for i in range(COUNT)], "flux": column(flux), "ivar": column(ivar)})
    pq.write_table(table, path / "a.parquet", row_group_size=group, compression=codec, use_dictionary=False)
    file = pq.ParquetFile(path / "a.parquet", memory_map=True)

    def read(index: np.ndarray) -> np.ndarray:
        groups = np.unique(index // group)
        rows = file.read_row_groups(groups.tolist(), use_threads=False)
        sizes = np.minimum((groups + 1) * group, COUNT) - groups * group
        start = np.concatenate([[0], np.cumsum(sizes)])[np.searchsorted(groups, index // group)]
        chosen = [rows[name].take(start + index % group).to_pylist() for name in ("flux", "ivar")]
        stamps = [np.stack([np.frombuffer(one, np.float32).reshape(SHAPE) for one in each]) for each in chosen]
        return stamps[0]

    return read


def zarr_store(path: Path, flux: np.ndarray, ivar: np.ndarray, *, chunk: int, shard: int | None) -> Reader:
    import zarr

    group = zarr.open_group(path, mode="w")
    for name, stamps in (("flux", flux), ("ivar", ivar)):
        array = group.create_array(
            name, shape=stamps.shape, dtype="float32", chunks=(chunk, *SHAPE), compressors=None,
            shards=(shard, *SHAPE) if shard else None,
        )  # fmt: skip
        array[:] = stamps
    stored = zarr.open_group(path, mode="r")

    def read(index: np.ndarray) -> np.ndarray:
        pixels = [stored[name].oindex[index] for name in ("flux", "ivar")]
        return np.asarray(pixels[0])

    return read


def batches(read: Reader, flux: np.ndarray, rng: np.random.Generator) -> float:
    """Fastest random batch in milliseconds (others use the machine as well); each is compared with the truth."""
    times = []
    for _ in range(TRIALS + 1):
        index = rng.choice(COUNT, BATCH, replace=False)
        start = time.perf_counter()
        got = read(index)
        times.append(time.perf_counter() - start)
        assert np.array_equal(got, flux[index])
    return 1e3 * float(np.min(times[1:]))


def size(path: Path) -> float:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6


def report(rows: list[tuple[str, float, float, float]]) -> None:
    import zarr

    lines = [
        "# The packed store: Parquet or Zarr", "",
        f"{COUNT:,} cutouts of 3 x 64 x 64 pixels, flux and ivar as float32; a batch is {BATCH} random galaxies, both "
        "arrays (fastest of 30, files in the page cache).", "",
        "| layout | write, s | size, MB | random batch, ms |", "|---|---:|---:|---:|",
        *(f"| {name} | {wrote:.1f} | {megabytes:.0f} | {batch:.1f} |" for name, wrote, megabytes, batch in rows), "",
        f"Measured by `bench/packed.py` on {machine()}, pyarrow {pa.__version__}, zarr {zarr.__version__}. A "
        "random row costs one row group in Parquet and one chunk in Zarr, and Zarr's chunks cost 0.2 to 0.6 ms "
        "each whatever their size; without shards each is a file. `rosse.io.write_packed` uses Parquet with small row "
        "groups; its figures contain the checks of `Cutouts` and waiting until the disk has the data (fsync). Other "
        "programs were running: the writing times are upper limits.",
    ]  # fmt: skip
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
