"""Shapes of batches within a step, and how their columns are called beside those of other verbs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rosse.errors import OptionError, unknown_name
from rosse.pipeline.figures import draw_figures
from rosse.pipeline.rows import each_alone, with_status
from rosse.status import Status
from rosse.tables import to_arrow

if TYPE_CHECKING:
    from rosse.cutouts import Cutouts
    from rosse.detection import Detection
    from rosse.shapes import ShapeOptions, Shapes

Labels = NDArray[np.int32]
STATUS = "shape_status"
# What another verb measures as well, or might: beside its columns these say whose they are.
_OWN = ("x", "y", "x_centroid", "y_centroid", "ellipticity", "pa", "r_half", "a_half", "reason", "status")


@dataclass(frozen=True, kw_only=True, eq=False)
class Shaping:
    """How shapes are measured within a step.

    Parameters
    ----------
    options : constants of the papers.
    band : to measure in; the middle one of several if None.
    draws, seed : of the errors, see `rosse.measure_shapes`.
    correct : whether bias is taken off, see `rosse.correct_shapes`.
    device : where, ``"cpu"`` or ``"cuda"``.
    figures : directory for a figure of each galaxy; None draws none.
    """

    options: ShapeOptions | None = None
    band: str | None = None
    draws: int = 0
    seed: int = 0
    correct: bool = False
    device: str = "cpu"
    figures: Path | None = None

    @property
    def needs_psf(self) -> bool:
        """Whether a galaxy without a PSF cannot be measured."""
        return self.correct

    def check(self, bands: Sequence[str]) -> None:
        """Refuse what would fail for every galaxy alike."""
        if self.band is not None and self.band not in bands:
            raise OptionError("shapes: " + unknown_name("band", self.band, bands))
        if self.draws < 0 or self.draws == 1:
            raise OptionError(f"shapes: draws is {self.draws}; 0 for no errors, or at least 2 is wanted")

    def record(self) -> dict[str, Any]:
        """Everything that decides the numbers, by name."""
        constants = None if self.options is None else asdict(self.options)
        own = {name: getattr(self, name) for name in ("band", "draws", "seed", "correct", "device")}
        return {f"shapes_{name}": value for name, value in own.items()} | {"shapes": constants or "default"}

    def rows(self, cutouts: Cutouts, segments: Labels | None = None) -> pa.Table:
        """One row per cutout, in their order; one that makes the measurement raise costs the others nothing.

        Parameters
        ----------
        cutouts : B galaxies.
        segments : (B, H, W) maps of the sources, see `rosse.measure_shapes`.
        """

        def measured(part: slice) -> pa.Table:
            return self._measured(cutouts[part], None if segments is None else segments[part])

        def failed(part: slice) -> pa.Table:
            return with_status(self._blank(cutouts[part]), Status.FAILED)

        return each_alone(cutouts.id, "measured", measured, failed)

    def columns(self, bands: tuple[str, ...], *, scale: bool) -> pa.Schema:
        """Columns of `rows`; `scale` says whether lengths are in arcsec."""
        import torch

        from rosse.cutouts import Cutouts

        nothing = torch.zeros(1, len(bands), 9, 9)
        size = torch.full((1,), 1.0 if scale else torch.nan)
        psf = torch.full((1, len(bands), 3, 3), 1 / 9)
        return self._blank(Cutouts(flux=nothing, ivar=nothing, psf=psf, bands=bands, scale=size)).schema

    def _measured(self, cutouts: Cutouts, segments: Labels | None) -> pa.Table:
        shapes = self._shapes(cutouts, segments)
        if self.figures is not None:
            draw_figures(self.figures, cutouts.id, shapes.plot)
        return to_arrow(shapes.table())

    def _shapes(self, cutouts: Cutouts, segments: Labels | None) -> Shapes:
        from rosse.shapes import correct_shapes, measure_shapes

        shapes = measure_shapes(
            cutouts.to(self.device), segments=segments, band=self.band, options=self.options, draws=self.draws,
            seed=self.seed,
        )  # fmt: skip
        return correct_shapes(shapes) if self.correct else shapes

    def _blank(self, cutouts: Cutouts) -> pa.Table:
        """Rows of galaxies without data."""
        return to_arrow(self._shapes(replace(cutouts, flux=cutouts.flux * 0, ivar=cutouts.ivar * 0), None).table())


def beside_others(rows: pa.Table) -> pa.Table:
    """The same rows with names that stand in one table with those of a detection and a fit: ``shape_status``."""
    return rows.rename_columns([shape_column(name) for name in rows.column_names])


def shape_column(name: str) -> str:
    """Name in the catalogue of a survey of a column of `Shapes.table`."""
    own = name.removeprefix("sigma_")
    return name if own not in _OWN else f"{'sigma_' if own != name else ''}shape_{own}"


def segment_maps(found: Detection, rows: NDArray[np.int64], cutouts: Cutouts) -> Labels:
    """Maps (B, H, W) of the sources of a detection on the frames of cutouts of its rows (B,).

    The central pixel bears the galaxy's number, whoever owns it: it tells which source is meant. Where it is another
    one's it has no weight and is not measured.
    """
    height, width = cutouts.frame
    corner = np.rint(cutouts.corner.numpy()).astype(np.int64) - np.array(found.origin)
    y, x = corner[:, 1, None] + np.arange(height), corner[:, 0, None] + np.arange(width)
    full_height, full_width = found.segmentation.shape
    inside = ((y >= 0) & (y < full_height))[:, :, None] & ((x >= 0) & (x < full_width))[:, None, :]
    labels = found.segmentation[y.clip(0, full_height - 1)[:, :, None], x.clip(0, full_width - 1)[:, None, :]]
    labels = np.where(inside, labels, 0)
    labels[:, height // 2, width // 2] = rows + 1
    return labels
