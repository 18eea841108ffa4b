"""Fits of batches, whatever happens to one galaxy, and how their rows join those of a detection."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rosse.errors import RosseError
from rosse.pipeline.figures import figure_path
from rosse.status import Status
from rosse.tables import to_arrow

if TYPE_CHECKING:
    from rosse.cutouts import Cutouts
    from rosse.fitting import Fit, FitOptions
    from rosse.light.components import Component
    from rosse.light.model import Model

log = logging.getLogger(__name__)

# Both a detection and a fit say who and where a source is. The detection's word stands: it has a position for every
# source, and a fit only repeats it (its own centre is in x, y).
SHARED = ("id", "ra", "dec")


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitting:
    """How cutouts are fitted within a step.

    Parameters
    ----------
    model : what is fitted; None is a single Sersic profile.
    options : of the fit.
    device : where, ``"cpu"`` or ``"cuda"``.
    figures : directory for a figure of each galaxy; None draws none.
    """

    model: Component | Model | None = None
    options: FitOptions | None = None
    device: str = "cpu"
    figures: Path | None = None

    def rows(self, cutouts: Cutouts, sky: NDArray[np.float64] | None = None) -> pa.Table:
        """One row per cutout, in their order; one that makes the fit raise costs the others nothing.

        Parameters
        ----------
        cutouts : B galaxies.
        sky : (B, C) one-sigma uncertainty of the sky that was taken off, flux per pixel. With it, the sky of each
            cutout is fitted as well, as far as it is uncertain, so that it is part of all errors.
        """
        with one_thread():
            try:
                return self._fitted(cutouts, sky)
            except RosseError:
                raise  # the caller's mistake, the same for every galaxy
            except Exception as err:
                log.warning("a batch of %d galaxies failed (%s); they are fitted one by one", len(cutouts), _why(err))
            each = range(len(cutouts))
            return pa.concat_tables([self._single(cutouts[i], None if sky is None else sky[[i]]) for i in each])

    def columns(self, bands: tuple[str, ...], *, scale: bool, sky: bool = False) -> pa.Schema:
        """Columns of `rows`; `scale` says whether lengths are in arcsec, `sky` whether the sky is fitted as well."""
        import torch

        from rosse.cutouts import Cutouts

        nothing = torch.zeros(1, len(bands), 3, 3)
        size = torch.full((1,), 1.0 if scale else torch.nan)
        unknown = np.full((1, len(bands)), np.nan) if sky else None
        return self._blank(Cutouts(flux=nothing, ivar=nothing, bands=bands, scale=size), unknown).schema

    def _fitted(self, cutouts: Cutouts, sky: NDArray[np.float64] | None) -> pa.Table:
        from rosse.fitting import fit

        result = fit(cutouts.to(self.device), self._model(sky), options=self.options)
        if self.figures is not None:
            _draw(result, self.figures)
        return to_arrow(result.table())

    def _model(self, sky: NDArray[np.float64] | None) -> Component | Model | None:
        """The model, with a sky that is known to within `sky` (B, C) if that came."""
        from rosse.light.model import as_model
        from rosse.light.profiles import Sersic
        from rosse.light.sky import Sky

        model = as_model(self.model or Sersic())
        if sky is None or any(isinstance(component, Sky) for component in model.components):
            return model
        return model + Sky(prior={"level": (0.0, sky)})

    def _single(self, cutout: Cutouts, sky: NDArray[np.float64] | None) -> pa.Table:
        try:
            return self._fitted(cutout, sky)
        except Exception as err:
            log.warning("galaxy %s failed: %s", cutout.id[0], _why(err))
            return with_status(self._blank(cutout, sky), Status.FAILED)

    def _blank(self, cutouts: Cutouts, sky: NDArray[np.float64] | None) -> pa.Table:
        """Rows of a fit to no data."""
        from rosse.fitting import fit

        without = replace(cutouts, flux=cutouts.flux * 0, ivar=cutouts.ivar * 0, psf=None)
        return to_arrow(fit(without, self._model(sky), options=self.options).table())


def missing_rows(columns: pa.Schema, ids: Sequence[str], status: Status) -> pa.Table:
    """Rows of galaxies of which nothing was measured: their ids, a status, and NaN (0 in whole numbers)."""
    values: dict[str, Any] = {"id": list(ids), "status": [status.label] * len(ids)}
    arrays = [
        pa.array(values.get(f.name, [np.nan if pa.types.is_floating(f.type) else 0] * len(ids)), f.type)
        for f in columns
    ]
    return pa.table(arrays, schema=columns)


def with_status(rows: pa.Table, status: Status) -> pa.Table:
    """The same rows with another status."""
    at = rows.schema.get_field_index("status")
    return rows.set_column(at, rows.schema.field(at), pa.array([status.label] * rows.num_rows))


def join_fits(sources: pa.Table, fits: Sequence[tuple[NDArray[np.int64], pa.Table]], columns: pa.Schema) -> pa.Table:
    """Every source with the columns of its fit; those without one have the status `skipped`.

    Parameters
    ----------
    sources : (N) rows of a detection.
    fits : rows of `sources`, and their fits.
    columns : of a fit.
    """
    clash = (set(sources.column_names) & set(columns.names)) - set(SHARED)
    assert not clash, f"detection and fit both have columns {sorted(clash)}"
    fitted = np.concatenate([rows for rows, _ in fits]) if fits else np.empty(0, dtype=np.int64)
    rest = np.setdiff1d(np.arange(sources.num_rows), fitted)
    skipped = missing_rows(columns, [""] * len(rest), Status.SKIPPED)
    together = pa.concat_tables([*(rows.cast(columns) for _, rows in fits), skipped])
    together = together.take(pa.array(np.argsort(np.concatenate([fitted, rest]))))
    for name in columns.names:
        if name not in SHARED:
            sources = sources.append_column(columns.field(name), together[name])
    return sources


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: sums come out in the same order, whatever the engine and the number of workers."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _draw(fit: Fit, folder: Path) -> None:
    """A figure of each galaxy; one that cannot be drawn or written is no reason to lose the fit."""
    from rosse.fitting.figures import plot_fit

    for i, name in enumerate(fit.cutouts.id):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            plot_fit(fit, i, isophotes=False).savefig(figure_path(folder, str(name)), dpi=100)
        except Exception as err:
            log.warning("galaxy %s has no figure: %s", name, _why(err))


def _why(err: Exception) -> str:
    return f"{type(err).__name__}: {err}"
