"""How far a fit moves when the sky or the PSF is a little wrong: the part of the error that no noise tells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from rosse.cutouts import Cutouts
from rosse.errors import InputError
from rosse.fitting.levenberg import minimise
from rosse.fitting.problem import Problem
from rosse.fitting.uncertainty import Floats, Optimum, as_columns, chosen, identity, optima
from rosse.light.psf import FourierGrid
from rosse.tables import Column, table_of

if TYPE_CHECKING:
    from astropy.table import Table

    from rosse.fitting.result import Fit

TOLERANCE = 1e-4  # of chi^2: 0.01 sigma is below what is asked
MAX_ITERATIONS = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Systematics:
    """Refits of R galaxies under another sky and another PSF.

    Parameters
    ----------
    fit : that was repeated.
    index : (R,) rows of it.
    sky : (R, 2, P) coordinates with one sigma more and less sky taken away, or None.
    psf : (R, 2, P) coordinates with a wider and a narrower PSF, or None.
    """

    fit: Fit
    index: NDArray[np.int64]
    sky: Floats | None
    psf: Floats | None

    def __len__(self) -> int:
        return len(self.index)

    def shifts(self) -> dict[str, Floats]:
        """Shift (R,) of each parameter, as the columns of the table."""
        return {column.name: values for column, values in self._entries()}

    def table(self) -> Table:
        """One row per galaxy: `<name>_per_sky` and `<name>_per_psf`, in the units of the fit's table."""
        entries = identity(self.fit.cutouts, self.index) + self._entries()
        return table_of(entries)

    def _entries(self) -> list[tuple[Column, Any]]:
        entries: list[tuple[Column, Any]] = []
        for vectors, suffix, what in (
            (self.sky, "per_sky", "when one sigma more sky is taken away"),
            (self.psf, "per_psf", "when the PSF is wider by its error"),
        ):
            if vectors is None:
                continue
            for name, (column, values) in as_columns(self.fit, self.index, vectors).items():
                about = f"shift of {name} {what}"
                shift = 0.5 * (values[:, 0] - values[:, 1])
                entries.append((Column(name=f"{name}_{suffix}", unit=column.unit, description=about), shift))
        return entries


def systematics(
    fit: Fit, rows: Any = None, *, sky: ArrayLike | None = None, psf_width: float | None = None
) -> Systematics:
    """Refit some galaxies with the sky and the PSF's width one sigma off, either way.

    Parameters
    ----------
    fit : the result.
    rows : which galaxies: None for all, a number, a slice, a mask or a list.
    sky : one-sigma error of the sky, flux per pixel: a number, (C,) one for each band, or (B, C) one for each galaxy
        of the fit and band. None leaves it out.
    psf_width : relative one-sigma error of the PSF's width, e.g. 0.02. None leaves it out.

    Notes
    -----
    Half the difference between the two refits, so that it is the response and not its curvature; a model with a free
    `Sky` has none to the sky. These are no random errors: they are the same for all galaxies of an image, and do not
    average out. The PSF is stretched as a whole, ``P(k) -> P((1 + e) k)``.
    """
    if sky is None and psf_width is None:
        raise InputError("neither sky nor psf_width came; give the one-sigma error of at least one of them")
    if psf_width is not None and not 0 < psf_width < 0.5:
        raise InputError(f"psf_width is {psf_width}; a relative error between 0 and 0.5 is wanted")
    if psf_width is not None and fit.cutouts.psf is None:
        raise InputError("psf_width came, but the cutouts have no PSF")
    level = None if sky is None else sky_errors(sky, fit)
    index = chosen(fit, rows)
    found = {name: np.full((len(index), 2, fit.plan.size), np.nan) for name in ("sky", "psf")}
    with torch.no_grad():
        for at, part in optima(fit, index):
            for side, sign in enumerate((1.0, -1.0)):
                if level is not None:
                    moved = _with_less_sky(part.problem, sign * level[part.index])
                    found["sky"][at, side] = _refit(part, moved)
                if psf_width is not None:
                    moved = _with_wider_psf(part.problem, fit.cutouts[part.index], 1 + sign * psf_width)
                    found["psf"][at, side] = _refit(part, moved)
    return Systematics(
        fit=fit,
        index=index,
        sky=None if sky is None else found["sky"],
        psf=None if psf_width is None else found["psf"],
    )


def sky_errors(sky: ArrayLike, fit: Fit) -> Floats:
    """One number for each galaxy and band (B, C) from what was given."""
    values = np.asarray(sky, dtype=np.float64)
    shape = (len(fit), len(fit.plan.bands))
    if values.shape == (shape[0],) and shape[1] == 1:
        values = values[:, None]
    if values.shape not in ((), shape[1:], shape, (shape[0], 1)) or not (values >= 0).all():
        raise InputError(
            f"sky has shape {values.shape}; a positive number, {shape[1:]} or {shape} of them (galaxies, bands) "
            "are wanted"
        )
    return np.broadcast_to(values, shape)


def stretched(grid: FourierGrid, cutouts: Cutouts, factor: float) -> FourierGrid:
    """The same grid with a PSF that is `factor` as wide: its transform, read at `factor` times the frequency."""
    psf, fine = cutouts.psf, cutouts.psf_oversampling
    assert psf is not None
    along_y, along_x = (
        _waves(k * (factor / fine), length) for k, length in zip((grid.ky, grid.kx), psf.shape[-2:], strict=True)
    )
    transfer = along_y @ psf.to(torch.complex128) @ along_x.transpose(0, 1)
    if not cutouts.psf_has_pixel:
        y, x = (torch.special.sinc(k.to(torch.float64) / (2 * torch.pi)) for k in (grid.ky, grid.kx))
        transfer = transfer * y[:, None] * x
    return replace(grid, transfer=transfer.to(grid.transfer.dtype))


def _waves(k: Tensor, length: int) -> Tensor:
    """exp(-i k x) at pixels around the centre of a stamp, (K, length)."""
    x = torch.arange(length, dtype=torch.float64, device=k.device) - length // 2
    phase = -k.to(torch.float64)[:, None] * x
    return torch.polar(torch.ones_like(phase), phase)


def _with_less_sky(problem: Problem, level: Floats) -> Problem:
    down = torch.from_numpy(np.ascontiguousarray(level)).to(problem.view.flux)
    return replace(problem, view=replace(problem.view, flux=problem.view.flux - down[..., None, None]))


def _with_wider_psf(problem: Problem, cutouts: Cutouts, factor: float) -> Problem:
    return replace(problem, view=replace(problem.view, grid=stretched(problem.view.grid, cutouts, factor)))


def _refit(part: Optimum, problem: Problem) -> Floats:
    """Coordinates (B, P) of the best fits to another problem, NaN where there is none."""
    best = minimise(problem.evaluate, part.vector, part.limits, max_iterations=MAX_ITERATIONS, tolerance=TOLERANCE)
    found: Floats = torch.where(best.converged[:, None], best.vector, torch.nan).cpu().numpy()
    return found
