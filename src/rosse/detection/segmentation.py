"""Sources as labelled pixels: threshold, deblending, cleaning by sep."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

import numpy as np
import sep
from numpy.typing import NDArray

from rosse.detection.options import DetectOptions
from rosse.errors import RunError

log = logging.getLogger(__name__)

_LIMITS = threading.Lock()  # sep keeps its two limits in the process, not in the call


def segment(significance: NDArray[np.float32], options: DetectOptions) -> NDArray[np.int32]:
    """Label the pixels of every source, 1..N; 0 is sky.

    Parameters
    ----------
    significance : (H, W) matched-filtered signal over noise.

    Notes
    -----
    Lutz' thresholding and the multi-isophotal deblending of Bertin & Arnouts (1996), by sep (Barbary 2016).
    """
    image = np.ascontiguousarray(significance, dtype=np.float32)
    if not (image > options.threshold).any():
        return np.zeros(image.shape, dtype=np.int32)
    levels = options.deblend_levels
    with _room_for(image.size):
        while True:
            try:
                _, labels = sep.extract(
                    image,
                    options.threshold,
                    minarea=options.min_pixels,
                    filter_kernel=None,
                    deblend_nthresh=levels,
                    deblend_cont=options.deblend_contrast,
                    clean=options.clean,
                    segmentation_map=True,
                )
                return np.asarray(labels, dtype=np.int32)
            except Exception as err:
                levels = _fewer_levels(err, levels)


def _fewer_levels(err: Exception, levels: int) -> int:
    """Next number of deblending levels after sep ran out of room for sub-objects, which is its only way to fail here."""
    if "overflow" not in str(err).lower() and "limit" not in str(err).lower():
        raise RunError(f"sep could not extract sources: {err}") from err
    if levels <= 1:
        raise RunError(f"sep ran out of room even without deblending: {err}") from err
    log.warning("sep ran out of room while deblending (%s); trying again with %d levels", err, levels // 2)
    return levels // 2


@contextlib.contextmanager
def _room_for(pixels: int) -> Iterator[None]:
    """Let sep hold every pixel and many branches of a blend, and put its limits back afterwards."""
    with _LIMITS:
        stack, branches = sep.get_extract_pixstack(), sep.get_sub_object_limit()
        sep.set_extract_pixstack(max(stack, pixels + 1))
        sep.set_sub_object_limit(max(branches, 16384))
        try:
            yield
        finally:
            sep.set_extract_pixstack(stack)
            sep.set_sub_object_limit(branches)
