"""The result of a fit to several sets of cutouts of the same galaxies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rosse.errors import OptionError, unknown_name
from rosse.fitting.columns import Entry, outcome_columns, parameter_columns, target_columns
from rosse.fitting.result import Fit
from rosse.status import Status
from rosse.tables import table_of

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, eq=False)
class JointFit:
    """Best-fit parameters of B galaxies that several sets of cutouts share.

    Parameters
    ----------
    fits : the fit as each set sees it, by the set's name: model images and figures are in its pixels; chi^2, errors
        and status are those of all sets together.
    """

    fits: dict[str, Fit]

    def __len__(self) -> int:
        return len(self._first)

    def __getitem__(self, name: str) -> Fit:
        """The fit as one set sees it."""
        if name not in self.fits:
            raise OptionError(unknown_name("set of cutouts", name, self.fits))
        return self.fits[name]

    @property
    def status(self) -> NDArray[np.int8]:
        """(B,) codes of `Status`."""
        return self._first.status

    @property
    def chi2(self) -> NDArray[np.float64]:
        """(B,) of the pixels of all sets."""
        return self._first.chi2

    @property
    def chi2_dof(self) -> NDArray[np.float64]:
        """(B,) chi^2 per degree of freedom."""
        return self._first.chi2_dof

    def table(self) -> Table:
        """One row per galaxy, with units and descriptions.

        Lengths are in arcsec. The centre is in pixels of each set's own image, ``x_<set>, y_<set>``; fluxes are in each
        band's own unit.
        """
        return table_of(self._entries())

    def plot(self, row: int = 0, *, of: str | None = None) -> Figure:
        """Image, model, residual and radial profile of one galaxy in one set, the first if none is named."""
        return (self._first if of is None else self[of]).plot(row)

    def __repr__(self) -> str:
        counts = ", ".join(f"{int((self.status == s).sum())} {s.label}" for s in Status if (self.status == s).any())
        return f"Fit of {len(self)} galaxies in {', '.join(self.fits)} together: {counts or 'none'}"

    @property
    def _first(self) -> Fit:
        return next(iter(self.fits.values()))

    def _entries(self) -> Iterator[Entry]:
        yield from target_columns(self._first)
        seen = set()
        for name, fit in self.fits.items():
            centres = {
                word + column
                for column, slot in zip(fit.plan.columns, fit.plan.layout.slots, strict=True)
                if slot.unit == "pixel"
                for word in ("", "sigma_")
            } | {"x", "y", "sigma_x", "sigma_y"}
            for column, values in parameter_columns(fit):
                if column.name in centres:
                    about = f"{column.description}, in the pixels of {name}"
                    yield replace(column, name=f"{column.name}_{name}", description=about), values
                elif column.name not in seen:
                    seen.add(column.name)
                    yield column, values
        yield from outcome_columns(self._first)
