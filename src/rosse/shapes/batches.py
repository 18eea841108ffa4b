"""Galaxies of one stamp size at a time, on all cores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

import torch
from torch import Tensor

PIXELS_PER_BATCH = 2**20  # small enough that what one step leaves is still near for the next
PIXELS_ON_GPU = 2**25
ROUND = 16  # sides of stamps are multiples of it, so that there are few


def batches(size: Tensor, batch_pixels: int | None) -> list[tuple[Tensor, int]]:
    """Rows and side of the stamps of all galaxies whose stamps have sizes (B, 2); those of size 0 are left out."""
    sides = torch.div(size.amax(1) + ROUND - 1, ROUND, rounding_mode="floor") * ROUND
    pixels = batch_pixels or (PIXELS_PER_BATCH if size.device.type == "cpu" else PIXELS_ON_GPU)
    out = []
    for side in torch.unique(sides).tolist():
        if side:
            rows = (sides == side).nonzero().flatten()
            out += [(part, int(side)) for part in torch.split(rows, max(1, pixels // side**2))]
    return out


def for_each(work: Callable[[Tensor, int], None], parts: list[tuple[Tensor, int]],
             advance: Callable[[int], None] | None) -> None:  # fmt: skip
    """Do `work` for all parts, one on each of torch's threads; `advance` hears of every part that is done."""
    threads = min(torch.get_num_threads(), len(parts))
    if threads <= 1:
        for rows, side in parts:
            work(rows, side)
            if advance is not None:
                advance(len(rows))
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            waiting = {pool.submit(work, rows, side): len(rows) for rows, side in parts}
            for future in as_completed(waiting):
                future.result()
                if advance is not None:
                    advance(waiting[future])
    finally:
        torch.set_num_threads(before)
