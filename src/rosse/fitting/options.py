"""How a fit is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rosse.errors import OptionError, unknown_name

if TYPE_CHECKING:
    from rosse.cutouts import Cutouts

Starter = Callable[["Cutouts"], Mapping[str, Any]]
LIKELIHOODS = ("gauss", "poisson")


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a fit is run.

    Parameters
    ----------
    max_iterations : steps per galaxy at most.
    tolerance : a galaxy has converged when a further step would change chi^2 by less than this; 1 is one sigma.
    flux_in_frame : a galaxy with less than this fraction of its model's light in its frame is flagged
        `Status.EXCEEDS_FRAME`.
    batch_pixels : pixels (galaxies x bands x height x width) per batch; None chooses what stays in the cache of a CPU
        or fills a GPU.
    likelihood : ``"gauss"``, least squares weighted by `ivar`; or ``"poisson"``, for images that are counts of
        photons, sky included (the model then needs a `Sky`), where `ivar` only says which pixels count.
    wavelength : wavelength of each band, any one unit, for parameters that are polynomials in it; bands with names of
        the usual filters (g, r, F814W) need none.
    starter : where a fit starts, for a trained network or a catalogue of one's own: a function of some cutouts that
        returns values (B,) of columns of the table, in its units, NaN where it knows none. What it leaves out comes
        from the pixels, and `start` of a component goes before it.
    """

    max_iterations: int = 80
    tolerance: float = 1e-3
    flux_in_frame: float = 0.75
    batch_pixels: int | None = None
    likelihood: str = "gauss"
    wavelength: Mapping[str, float] = field(default_factory=dict)
    starter: Starter | None = None

    def __post_init__(self) -> None:
        if self.max_iterations < 1:
            raise OptionError(f"max_iterations is {self.max_iterations}; at least 1 is wanted")
        if not self.tolerance > 0:
            raise OptionError(f"tolerance is {self.tolerance}; a positive number is wanted")
        if not 0 <= self.flux_in_frame < 1:
            raise OptionError(f"flux_in_frame is {self.flux_in_frame}; a fraction in 0..1 is wanted")
        if self.batch_pixels is not None and self.batch_pixels < 1:
            raise OptionError(f"batch_pixels is {self.batch_pixels}; a positive number is wanted")
        if self.likelihood not in LIKELIHOODS:
            raise OptionError(unknown_name("likelihood", self.likelihood, LIKELIHOODS))
