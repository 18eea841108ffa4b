"""The result of a fit: values, errors, status, model images, figures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from rosse.cutouts import Cutouts
from rosse.errors import InputError, bands_text
from rosse.fitting.columns import table_columns
from rosse.fitting.options import FitOptions
from rosse.fitting.plan import Plan
from rosse.fitting.units import has_scale
from rosse.light.psf import grid_of
from rosse.light.render import draw
from rosse.status import Status
from rosse.tables import table_of

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

    from rosse.fitting.bootstrap import Bootstrap
    from rosse.fitting.sampling import Samples
    from rosse.fitting.systematics import Systematics

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """Best-fit parameters of B galaxies.

    Parameters
    ----------
    cutouts : what was fitted.
    plan : model and bands, the P coordinates that moved and the L slots of each band that follow from them.
    options : how it was fitted.
    vector : (B, P) coordinates (pixels, radians, logarithms), NaN where there are none.
    offset : (B, C, L) part of the slots that was fixed.
    covariance : (B, P, P) of `vector`; NaN for coordinates that ended at a bound.
    chi2 : (B,) of the pixels; priors do not count.
    pixels : (B,) number of pixels that carry weight, over all bands.
    in_frame : (B,) fraction of the model's flux that falls in the frame.
    iterations : (B,) evaluations of the model.
    at_bound : (B, P) coordinates that a bound holds back.
    status : (B,) codes of `Status`.
    noise_factor : (B,) what correlated noise multiplied the errors by, mean of all parameters; None where `ivar` was
        taken to be all there is.
    neighbours : (B,) number of other sources that were fitted along, and whose light was then taken from `cutouts`;
        None where none were asked for.
    """

    cutouts: Cutouts
    plan: Plan
    options: FitOptions
    vector: Floats
    offset: Floats
    covariance: Floats
    chi2: Floats
    pixels: NDArray[np.int64]
    in_frame: Floats
    iterations: NDArray[np.int32]
    at_bound: NDArray[np.bool_]
    status: NDArray[np.int8]
    noise_factor: Floats | None = None
    neighbours: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.vector)

    def __getitem__(self, rows: Any) -> Fit:
        """The fit of the chosen galaxies, always of a batch: ``fit[3]`` has one row, ``fit[fit.status == 0]`` many."""
        from rosse.fitting.order import rows_of

        return rows_of(self, self._index(rows))

    def __iter__(self) -> Iterator[Fit]:
        return (self[row] for row in range(len(self)))

    def _index(self, rows: Any) -> NDArray[np.int64]:
        """Numbers (B,) of the chosen galaxies."""
        if isinstance(rows, torch.Tensor):
            rows = rows.cpu().numpy()
        if isinstance(rows, (list, tuple)):
            rows = np.asarray(rows) if len(rows) else slice(0)  # an empty array is one of floats, which are no index
        try:
            return np.atleast_1d(np.asarray(np.arange(len(self))[rows], dtype=np.int64))
        except IndexError:
            raise InputError(
                f"rows {rows!r} came; the fit has {len(self)} galaxies: give numbers from 0 to {len(self) - 1}, "
                "a slice, or a mask of that length"
            ) from None

    @property
    def free(self) -> int:
        """P, the number of free parameters."""
        return self.plan.size

    @property
    def arcsec(self) -> bool:
        """Whether lengths are in arcsec; else in pixels."""
        return has_scale(self.cutouts)

    @cached_property
    def local(self) -> Floats:
        """(B, C, L) slots of every band."""
        return self.plan.local(torch.from_numpy(self.vector), torch.from_numpy(self.offset)).numpy()

    @cached_property
    def chi2_dof(self) -> Floats:
        """chi^2 per degree of freedom, (B,)."""
        return np.asarray(self.chi2 / np.maximum(self.pixels - self.free, 1))

    def sigma(self, band: int, slot: int) -> Floats:
        """One-sigma error (B,) of a slot; NaN where it was fixed or held by a bound."""
        row = self.plan.matrix[band, slot].numpy()
        if not row.any():
            return np.full(len(self), np.nan)
        return self.sigma_along(np.broadcast_to(row, (len(self), len(row))))

    def sigma_along(self, rows: Floats) -> Floats:
        """One-sigma error (B,) of a sum of coordinates with coefficients (B, P)."""
        used = (rows != 0).any(0)
        some, part = rows[:, used], self.covariance[:, used][:, :, used]
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(np.einsum("bp,bpq,bq->b", some, part, some)))

    def table(self) -> Table:
        """One row per galaxy, with units and descriptions.

        Lengths are in arcsec where the pixel scale of every galaxy is known, in pixels otherwise; ``x, y`` are pixels
        of the image that the cutout was taken from, 0 at the centre of its first pixel.
        """
        return table_of(table_columns(self))

    def model_images(self, rows: Any = slice(None)) -> torch.Tensor:
        """Best-fit model of the chosen galaxies, (B, C, H, W); NaN where there is none."""
        index = self._index(rows)
        cutouts = self.cutouts[index]
        if not len(index):
            return torch.empty_like(cutouts.flux)
        local = torch.from_numpy(self.local[index]).to(cutouts.flux.device)
        good = torch.isfinite(local).flatten(1).all(1)
        grid = grid_of(cutouts)
        with torch.no_grad():
            images = draw(self.plan.layout, torch.where(good[:, None, None], local, 0.0), grid)
        return torch.where(good[:, None, None, None], images, math.nan)

    def plot(self, row: int = 0, *, band: int | str | None = None, isophotes: bool = True) -> Figure:
        """Image, model, residual and radial profile of one galaxy.

        Parameters
        ----------
        row : which galaxy.
        band : name or number of a band; the deepest one if None.
        isophotes : as in `rosse.fitting.figures.plot_fit`.
        """
        from rosse.fitting.figures import plot_fit

        bands = self.cutouts.bands
        if isinstance(band, str):
            if band not in bands:
                raise InputError(f"there is no band {band!r}; the fit has {bands_text(bands)}")
            band = bands.index(band)
        elif band is not None and not 0 <= band < len(bands):
            raise InputError(f"there is no band {band}; the fit has {bands_text(bands)}, counted from 0")
        return plot_fit(self, row, band=band, isophotes=isophotes)

    def bootstrap(self, rows: Any = None, *, draws: int = 100, seed: int = 0) -> Bootstrap:
        """Errors from fits to resampled pixels; see `rosse.fitting.bootstrap.bootstrap`."""
        from rosse.fitting.bootstrap import bootstrap

        return bootstrap(self, rows, draws=draws, seed=seed)

    def sample(self, rows: Any = None, *, draws: int = 4000, seed: int = 0) -> Samples:
        """Draws from the posterior, for galaxies that need it; see `rosse.fitting.sampling.sample`."""
        from rosse.fitting.sampling import sample

        return sample(self, rows, draws=draws, seed=seed)

    def systematics(
        self, rows: Any = None, *, sky: ArrayLike | None = None, psf_width: float | None = None
    ) -> Systematics:
        """Response to errors of the sky and of the PSF's width; see `rosse.fitting.systematics.systematics`."""
        from rosse.fitting.systematics import systematics

        return systematics(self, rows, sky=sky, psf_width=psf_width)

    def __repr__(self) -> str:
        counts = ", ".join(f"{int((self.status == s).sum())} {s.label}" for s in Status if (self.status == s).any())
        names = " + ".join(f"{type(c).__name__}({c.name!r})" for c in self.plan.model.components)
        return f"Fit of {names} to {len(self)} galaxies: {counts or 'none'}"
