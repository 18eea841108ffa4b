"""Fits of batches, whatever happens to one galaxy, and how rows of measurements join those of a detection."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rosse.errors import RosseError
from rosse.pipeline.figures import draw_figures
from rosse.status import Status
from rosse.tables import to_arrow

if TYPE_CHECKING:
    from rosse.cutouts import Cutouts
    from rosse.fitting import FitOptions
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

    @property
    def needs_psf(self) -> bool:
        """Whether a galaxy without a PSF cannot be measured."""
        return False

    def rows(self, cutouts: Cutouts, sky: NDArray[np.float64] | None = None) -> pa.Table:
        """One row per cutout, in their order; one that makes the fit raise costs the others nothing.

        Parameters
        ----------
        cutouts : B galaxies.
        sky : (B, C) one-sigma uncertainty of the sky that was taken off, flux per pixel. With it, the sky of each
            cutout is fitted as well, as far as it is uncertain, so that it is part of all errors.
        """

        def fitted(part: slice) -> pa.Table:
            return self._fitted(cutouts[part], None if sky is None else sky[part])

        def failed(part: slice) -> pa.Table:
            return with_status(self._blank(cutouts[part], None if sky is None else sky[part]), Status.FAILED)

        return each_alone(cutouts.id, "fitted", fitted, failed)

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
        from rosse.fitting.figures import plot_fit

        result = fit(cutouts.to(self.device), self._model(sky), options=self.options)
        if self.figures is not None:
            draw_figures(self.figures, cutouts.id, functools.partial(plot_fit, result, isophotes=False))
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

    def _blank(self, cutouts: Cutouts, sky: NDArray[np.float64] | None) -> pa.Table:
        """Rows of a fit to no data."""
        from rosse.fitting import fit

        without = replace(cutouts, flux=cutouts.flux * 0, ivar=cutouts.ivar * 0, psf=None)
        return to_arrow(fit(without, self._model(sky), options=self.options).table())


def each_alone(
    ids: NDArray[np.str_], done: str, measured: Callable[[slice], pa.Table], failed: Callable[[slice], pa.Table]
) -> pa.Table:
    """Rows of a batch; where one galaxy makes it raise, those of each galaxy by itself.

    Parameters
    ----------
    ids : (B,) names of the galaxies.
    done : what is done to them, for the log: ``"fitted"``.
    measured : part of the batch → its rows.
    failed : a galaxy → its row when it cannot be measured even alone.
    """

    def alone(i: int) -> pa.Table:
        try:
            return measured(slice(i, i + 1))
        except Exception as err:
            log.warning("galaxy %s failed: %s", ids[i], _why(err))
            return failed(slice(i, i + 1))

    with one_thread():
        try:
            return measured(slice(0, len(ids)))
        except RosseError:
            raise  # the caller's mistake, the same for every galaxy
        except Exception as err:
            log.warning("a batch of %d galaxies failed (%s); they are %s one by one", len(ids), _why(err), done)
        return pa.concat_tables([alone(i) for i in range(len(ids))])


def missing_rows(columns: pa.Schema, ids: Sequence[str], status: Status, *, named: str = "status") -> pa.Table:
    """Rows of galaxies of which nothing was measured: their ids, a status, and NaN, where a column has no NaN 0,
    false or an empty text.

    `named` is the column of the status.
    """
    values: dict[str, Any] = {"id": list(ids), named: [status.label] * len(ids)}
    arrays = [pa.array(values.get(f.name, [_nothing(f.type)] * len(ids)), f.type) for f in columns]
    return pa.table(arrays, schema=columns)


def _nothing(kind: pa.DataType) -> float | str | bool:
    if pa.types.is_boolean(kind):
        return False
    if pa.types.is_floating(kind):
        return np.nan
    return "" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else 0


def with_status(rows: pa.Table, status: Status) -> pa.Table:
    """The same rows with another status."""
    at = rows.schema.get_field_index("status")
    return rows.set_column(at, rows.schema.field(at), pa.array([status.label] * rows.num_rows))


def join_rows(
    sources: pa.Table,
    measured: Sequence[tuple[NDArray[np.int64], pa.Table]],
    columns: pa.Schema,
    *,
    named: str = "status",
) -> pa.Table:
    """Every source with the columns of its measurement; those without one have the status `skipped`.

    Parameters
    ----------
    sources : (N) rows of a detection.
    measured : rows of `sources`, and what was measured of them: a fit, say.
    columns : of a measurement.
    named : its column of the status.
    """
    clash = (set(sources.column_names) & set(columns.names)) - set(SHARED)
    assert not clash, f"two measurements both have columns {sorted(clash)}"
    known = np.concatenate([rows for rows, _ in measured]) if measured else np.empty(0, dtype=np.int64)
    rest = np.setdiff1d(np.arange(sources.num_rows), known)
    skipped = missing_rows(columns, [""] * len(rest), Status.SKIPPED, named=named)
    together = pa.concat_tables([*(rows.cast(columns) for _, rows in measured), skipped])
    together = together.take(pa.array(np.argsort(np.concatenate([known, rest]))))
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


def _why(err: Exception) -> str:
    return f"{type(err).__name__}: {err}"
