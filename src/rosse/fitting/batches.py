"""Galaxies of one frame size at a time, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.cutouts import Cutouts

PIXELS_PER_BATCH = 2**21  # enough that what is done once per batch costs nothing; they are drawn a few at a time
PIXELS_ON_GPU = 2**26
FEWEST = 48  # galaxies of a batch that is only there to keep another thread busy: slow ones are slower alone


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Galaxies that are fitted together.

    Parameters
    ----------
    index : (B,) their rows.
    frame : (H, W) that holds all their weight.
    """

    index: NDArray[np.int64]
    frame: tuple[int, int]


def batches(cutouts: Cutouts, batch_pixels: int | None) -> Iterator[Batch]:
    """All galaxies, those of like frames together, and as many batches as keep all threads busy."""
    sizes = needed_frames(cutouts)
    cpu = cutouts.flux.device.type == "cpu"
    pixels = batch_pixels or (PIXELS_PER_BATCH if cpu else PIXELS_ON_GPU)
    for size in np.unique(sizes, axis=0):
        index = np.nonzero((sizes == size).all(1))[0]
        frame = (int(size[0]), int(size[1]))
        step = max(1, pixels // (frame[0] * frame[1] * len(cutouts.bands)))
        count = -(-len(index) // step)
        if cpu and batch_pixels is None:
            threads = torch.get_num_threads()
            count = max(count, min(-(-count // threads) * threads, len(index) // FEWEST))
        for part in np.array_split(index, count):
            yield Batch(index=part, frame=frame)


def for_each(work: Callable[[Batch], None], parts: Iterator[Batch], advance: Callable[[int], None] | None) -> None:
    """Do `work` for all parts, one on each of torch's threads; `advance` hears of every part that is done.

    Small batches keep one core busy and no more: many of them side by side are quicker than each on all cores.
    """
    whole = list(parts)
    threads = min(torch.get_num_threads(), len(whole))
    if threads <= 1:
        for part in whole:  # a single one has all cores for itself
            work(part)
            if advance is not None:
                advance(len(part.index))
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            _feed(pool, threads, work, iter(whole), advance)
    finally:
        torch.set_num_threads(before)


def _feed(
    pool: ThreadPoolExecutor,
    threads: int,
    work: Callable[[Batch], None],
    parts: Iterator[Batch],
    advance: Callable[[int], None] | None,
) -> None:
    waiting: dict[Future[None], int] = {}

    def collect(limit: int) -> None:
        while len(waiting) > limit:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                count = waiting.pop(future)
                future.result()
                if advance is not None:
                    advance(count)

    try:
        for part in parts:
            collect(2 * threads - 1)
            waiting[pool.submit(work, part)] = len(part.index)
        collect(0)
    finally:
        for future in waiting:
            future.cancel()


def needed_frames(cutouts: Cutouts) -> NDArray[np.int64]:
    """Height and width (B, 2) of the smallest centred frames that hold all weight, rounded up to few sizes."""
    height, width = cutouts.frame
    has_weight = (cutouts.ivar > 0).any(1)
    return np.stack([_reach(has_weight.any(2), height), _reach(has_weight.any(1), width)], 1)


def _reach(line: Tensor, length: int) -> NDArray[np.int64]:
    """Length (B,) of the shortest centred line that holds all True of (B, length), rounded up to few sizes."""
    centre = length // 2
    distance = (torch.arange(length, device=line.device) - centre).abs()
    reach = torch.where(line, distance, 0).amax(1).cpu().numpy()
    rounded = np.ceil((2 * reach + 1) / 16) * 16
    return np.asarray(np.minimum(rounded, length), dtype=np.int64)
