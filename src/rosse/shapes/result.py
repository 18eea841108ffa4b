"""The result of `measure_shapes`: values, errors, reasons, table, figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.errors import InputError
from rosse.shapes.columns import table_columns
from rosse.shapes.indices import INDICES, Reason
from rosse.shapes.options import ShapeOptions
from rosse.shapes.reasons import status_of
from rosse.status import Status
from rosse.tables import table_of

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shapes:
    """Shapes of B galaxies.

    Parameters
    ----------
    cutouts : what was measured.
    band : number of the band it was measured in.
    segments : (B, H, W) map of the sources: 0 sky, 1 the galaxy, 2 others.
    options : how it was measured.
    values : name → (B,) in pixels of the cutout, radians from +x to +y, and the image's unit of flux; NaN where there
        is none. `INDICES` of ``rosse.shapes.indices`` names them; beside them are `theta`, `sky_mean`, `sky_sigma` and
        `sky_box`, the side of the box of empty sky.
    sigma : name → (B,) one-sigma error, or None where none were asked for.
    reasons : (B, Q) code of `Reason` for each of the Q indices, in their order.
    corrected : whether `rosse.correct_shapes` took bias off.
    """

    cutouts: Cutouts
    band: int
    segments: Tensor
    options: ShapeOptions
    values: Mapping[str, Floats]
    sigma: Mapping[str, Floats] | None
    reasons: NDArray[np.int8]
    corrected: bool = False

    def __len__(self) -> int:
        return len(self.reasons)

    @property
    def arcsec(self) -> bool:
        """Whether lengths of the table are in arcsec; else in pixels."""
        return bool(torch.isfinite(self.cutouts.scale).all())

    @property
    def status(self) -> NDArray[np.int8]:
        """Codes (B,) of `Status`."""
        return status_of(self.reasons)

    def reason(self, name: str) -> list[Reason]:
        """Why each galaxy's index has no value or one to be used with care; `Reason.NONE` where all is well.

        Raises
        ------
        InputError
            There is no such index.
        """
        if name not in INDICES:
            raise InputError(f"no index {name!r}; known: {', '.join(INDICES)}")
        return [Reason(int(code)) for code in self.reasons[:, list(INDICES).index(name)]]

    def table(self) -> Table:
        """One row per galaxy, with units and descriptions.

        Lengths are in arcsec where the pixel scale of every galaxy is known, in pixels otherwise; ``x, y`` are pixels
        of the image that the cutout was taken from, 0 at the centre of its first pixel.
        """
        return table_of(table_columns(self))

    def plot(self, row: int = 0) -> Figure:
        """Image with segment and radii, asymmetry residual, maps, and the galaxy's place among Gini and M20."""
        from rosse.shapes.figures import plot_shapes

        return plot_shapes(self, row)

    def __repr__(self) -> str:
        status = self.status
        counts = ", ".join(f"{int((status == s).sum())} {s.label}" for s in Status if (status == s).any())
        return f"Shapes of {len(self)} galaxies: {counts or 'none'}"
