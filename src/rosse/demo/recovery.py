"""Measured against true: which source is which object, and how well each number came back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.table import Table

Array = NDArray[np.float64]

REACH = 4.0  # pixels between a source and the object that it is taken for: a little less than the PSF's FWHM
BEYOND = 5.0  # pulls beyond this many sigma are counted, not averaged


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A fitted number with a known truth.

    Parameters
    ----------
    name : column of the catalogue and of the truth.
    label : as figures write it.
    relative : whether differences are read as fractions (lengths, indices) or as they are (magnitudes, ratios).
    """

    name: str
    label: str
    unit: str = ""
    relative: bool = False


QUANTITIES = (
    Quantity(name="mag_r", label="$r$", unit="mag"),
    Quantity(name="r_e", label="$r_e$", unit="arcsec", relative=True),
    Quantity(name="n", label="$n$", relative=True),
    Quantity(name="q", label="$q$"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recovery:
    """One quantity of N galaxies, true and fitted.

    Parameters
    ----------
    quantity : which.
    true, fitted, sigma, snr : (N,) truth, fit, its error, and S/N of the galaxy's flux.
    """

    quantity: Quantity
    true: Array
    fitted: Array
    sigma: Array
    snr: Array

    @property
    def difference(self) -> Array:
        """Fitted minus true, or that over the true value, (N,)."""
        return (self.fitted - self.true) / (self.true if self.quantity.relative else 1.0)

    @property
    def pull(self) -> Array:
        """Fitted minus true in units of its error, (N,)."""
        return (self.fitted - self.true) / self.sigma

    def summary(self) -> dict[str, Any]:
        """Median and robust scatter of differences; mean and width of the pulls within `BEYOND` sigma."""
        pull = self.pull[np.isfinite(self.pull)]
        near = pull[np.abs(pull) < BEYOND]
        return {
            "quantity": self.quantity.name,
            "unit": "%" if self.quantity.relative else self.quantity.unit,
            "offset": _plain(np.median(self.difference)) if len(self.true) else None,
            "scatter": _plain(robust_width(self.difference)),
            "pull_mean": _plain(near.mean()) if near.size else None,
            "pull_width": _plain(near.std(ddof=1)) if near.size > 1 else None,
            "beyond": int(len(pull) - len(near)),
            "count": len(self.true),
        }


def robust_width(values: Array) -> float:
    """Standard deviation of a normal distribution with the same median absolute deviation."""
    if not len(values):
        return float("nan")
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def match(truth: Table, sources: Table) -> NDArray[np.int64]:
    """Row of the source of each true object, -1 where there is none, (objects,).

    Objects choose in order of brightness among the sources within `REACH` pixels that are not taken, so that of two
    objects in one source the brighter one has it.
    """
    from scipy.spatial import cKDTree

    found = np.full(len(truth), -1, dtype=np.int64)
    if not len(sources):
        return found
    tree = cKDTree(np.column_stack([sources["x_image"], sources["y_image"]]))
    at = np.column_stack([truth["x"], truth["y"]])
    taken: set[int] = set()
    for i in np.argsort(np.asarray(truth["mag_r"])):
        for j in sorted(tree.query_ball_point(at[i], REACH), key=lambda j: np.hypot(*(tree.data[j] - at[i]))):
            if j not in taken:
                found[i] = j
                taken.add(j)
                break
    return found


def recover(truth: Table, sources: Table, *, minimum_snr: float) -> list[Recovery]:
    """Single-Sersic galaxies that stand alone, were fitted well and are bright enough, for each of `QUANTITIES`.

    Alone: no other object, however faint, within three effective radii and two arcsec, and none that blends.
    """
    found = match(truth, sources)
    alone = (values(truth, "neighbour") > 3 * values(truth, "r_e") + 2) & ~np.asarray(truth["blended"])
    rows = np.nonzero((found >= 0) & (np.asarray(truth["kind"]) == "galaxy") & alone)[0]
    at = found[rows]
    snr = values(sources, "flux_r")[at] / values(sources, "sigma_flux_r")[at]
    good = (np.asarray(sources["status"])[at] == "ok") & (snr > minimum_snr)
    rows, at, snr = rows[good], at[good], snr[good]
    return [
        Recovery(
            quantity=quantity,
            true=np.asarray(truth[quantity.name], dtype=float)[rows],
            fitted=values(sources, quantity.name)[at],
            sigma=values(sources, f"sigma_{quantity.name}")[at],
            snr=snr,
        )
        for quantity in QUANTITIES
    ]


def values(table: Table, name: str) -> Array:
    """A column as plain floats, NaN where masked."""
    return np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan)


def detection_summary(truth: Table, sources: Table, *, bright: float) -> dict[str, Any]:
    """Completeness, spurious sources and the separation of stars and galaxies.

    Parameters
    ----------
    truth, sources : the field's objects, and the catalogue.
    bright : r magnitude down to which completeness and classification are counted.
    """
    found = match(truth, sources)
    chosen = np.asarray(truth["mag_r"]) < bright
    star = np.asarray(truth["kind"]) == "star"
    kind = np.where(found >= 0, np.asarray(sources["kind"])[np.maximum(found, 0)] if len(sources) else "", "")
    called_star, called_galaxy = chosen & (kind == "star"), chosen & (kind == "galaxy")
    return {
        "objects": len(truth),
        "bright": bright,
        "matched": int((found >= 0).sum()),
        "unmatched_sources": int(len(sources) - (found >= 0).sum()),
        "galaxies_bright": int((chosen & ~star).sum()),
        "galaxies_found": int((chosen & ~star & (found >= 0)).sum()),
        "stars_bright": int((chosen & star).sum()),
        "stars_found": int((chosen & star & (found >= 0)).sum()),
        "called_star": int(called_star.sum()),
        "called_star_right": int((called_star & star).sum()),
        "called_galaxy": int(called_galaxy.sum()),
        "called_galaxy_right": int((called_galaxy & ~star).sum()),
    }


def _plain(value: float) -> float | None:
    """A float for JSON, which has no NaN."""
    return float(value) if np.isfinite(value) else None
