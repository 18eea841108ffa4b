"""The result of a fit: values, errors, status, model images, figures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from rosse.cutouts import Cutouts
from rosse.light.components import Component, Parameter
from rosse.light.coordinates import position_angle
from rosse.light.psf import fourier_grid
from rosse.light.render import Layout, draw
from rosse.status import MEANING, Status, labels
from rosse.tables import Column, build_table

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """Best-fit parameters of B galaxies.

    Parameters
    ----------
    cutouts : what was fitted.
    layout : model and bands; says what stands where in `vector`.
    vector : (B, P) parameters in the coordinates of the fit (pixels, radians, logarithms), NaN where there are none.
    covariance : (B, P, P) of `vector`; NaN for parameters that were fixed or ended at a bound.
    chi2 : (B,)
    pixels : (B,) number of pixels that carry weight, over all bands.
    in_frame : (B,) fraction of the model's flux that falls in the frame.
    iterations : (B,) evaluations of the model.
    at_bound : (B, P) parameters that a bound holds back.
    status : (B,) codes of `Status`.
    """

    cutouts: Cutouts
    layout: Layout
    vector: Floats
    covariance: NDArray[np.float64]
    chi2: Floats
    pixels: NDArray[np.int64]
    in_frame: Floats
    iterations: NDArray[np.int32]
    at_bound: NDArray[np.bool_]
    status: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.vector)

    @property
    def free(self) -> int:
        """Number of free parameters."""
        fixed = sum(len(component.fixed) for component in self.layout.model.components)
        return self.layout.size - fixed

    @cached_property
    def chi2_dof(self) -> Floats:
        """chi^2 per degree of freedom, (B,)."""
        return np.asarray(self.chi2 / np.maximum(self.pixels - self.free, 1))

    def table(self) -> Table:
        """One row per galaxy, with units and descriptions.

        Lengths are in arcsec where the pixel scale of every galaxy is known, in pixels otherwise; ``x, y`` are pixels
        of the image that the cutout was taken from, 0 at the centre of its first pixel.
        """
        columns, values = self._columns()
        return build_table(columns, values)

    def model_images(self, rows: Any = slice(None)) -> torch.Tensor:
        """Best-fit model of the chosen galaxies, (B, C, H, W); NaN where there is none."""
        cutouts = self.cutouts[rows]
        vector = torch.from_numpy(np.atleast_2d(self.vector[rows])).to(cutouts.flux.device)
        good = torch.isfinite(vector).all(1)
        grid = fourier_grid(
            cutouts.frame,
            cutouts.psf,
            bands=self.layout.bands,
            psf_has_pixel=cutouts.psf_has_pixel,
            device=vector.device,
        )
        with torch.no_grad():
            images = draw(self.layout, torch.where(good[:, None], vector, 0.0), grid)
        return torch.where(good[:, None, None, None], images, math.nan)

    def plot(self, row: int = 0) -> Figure:
        """Image, model, residual and radial profile of one galaxy."""
        from rosse.fitting.figures import plot_fit

        return plot_fit(self, row)

    def __repr__(self) -> str:
        counts = ", ".join(f"{int((self.status == s).sum())} {s.label}" for s in Status if (self.status == s).any())
        names = " + ".join(f"{type(c).__name__}({c.name!r})" for c in self.layout.model.components)
        return f"Fit of {names} to {len(self)} galaxies: {counts or 'none'}"

    def _columns(self) -> tuple[list[Column], dict[str, Any]]:
        columns: list[Column] = []
        values: dict[str, Any] = {}

        def add(name: str, unit: str, description: str, data: Any, dtype: str = "f8") -> None:
            columns.append(Column(name=name, unit=unit, description=description, dtype=dtype))
            values[name] = data

        add("id", "", "name of the galaxy", self.cutouts.id, "str")
        add("ra", "deg", "right ascension of the cutout's target", self.cutouts.ra)
        add("dec", "deg", "declination of the cutout's target", self.cutouts.dec)
        for axis, name in enumerate(("x", "y")):
            corner = self.cutouts.corner[:, axis].cpu().numpy()
            about = f"fitted centre along {name}, 0 at the centre of the image's first pixel"
            add(name, "pix", about, self.vector[:, axis] + corner)
            add(f"sigma_{name}", "pix", f"one-sigma error of {name}", self._sigma(axis))
        for i, component in enumerate(self.layout.model.components):
            self._flux_columns(add, i, component)
            self._shape_columns(add, i, component)
        add("chi2", "", "chi^2 of the fit", self.chi2)
        add("chi2_dof", "", "chi^2 per degree of freedom", self.chi2_dof)
        add("n_pixels", "", "pixels that carry weight, over all bands", self.pixels, "i8")
        add("flux_in_frame", "", "fraction of the model's flux that falls in the frame", self.in_frame)
        add("iterations", "", "evaluations of the model", self.iterations, "i4")
        statuses = "; ".join(f"{s.label}: {MEANING[s]}" for s in Status)
        add("status", "", f"outcome of the fit ({statuses})", labels(self.status), "str")
        return columns, values

    def _flux_columns(self, add: Any, index: int, component: Component) -> None:
        prefix = self.layout.model.prefix(component)
        whose = f" of the {component.name}" if prefix else ""
        zeropoint = self.cutouts.zeropoint.cpu().numpy()
        for band, name in enumerate(self.cutouts.bands):
            suffix = f"_{name}" if self.layout.bands > 1 else ""
            where = f" in {name}" if suffix else ""
            place = self.layout.flux(index, band)
            flux, sigma = self.vector[:, place], self._sigma(place)
            with np.errstate(invalid="ignore", divide="ignore"):
                mag = np.where(flux > 0, zeropoint[band] - 2.5 * np.log10(np.where(flux > 0, flux, 1.0)), np.nan)
                sigma_mag = np.where(flux > 0, 2.5 / math.log(10) * sigma / np.abs(flux), np.nan)
            key = f"{prefix}flux{suffix}"
            add(key, "", f"total flux of the model{whose}{where}, in the image's unit", flux)
            add(f"sigma_{key}", "", f"one-sigma error of {key}", sigma)
            key = f"{prefix}mag{suffix}"
            add(key, "mag", f"total AB magnitude of the model{whose}{where}", mag)
            add(f"sigma_{key}", "mag", f"one-sigma error of {key}", sigma_mag)

    def _shape_columns(self, add: Any, index: int, component: Component) -> None:
        prefix = self.layout.model.prefix(component)
        place = self.layout.shapes[index]
        natural = self._natural(component, place)
        for parameter in component.parameters:
            value, sigma = natural[parameter.name]
            whose = f" of the {component.name}" if prefix else ""
            key = f"{prefix}{parameter.name}"
            unit = self._unit(parameter)
            add(key, unit, parameter.description + whose, value)
            add(f"sigma_{key}", unit, f"one-sigma error of {key}", sigma)

    def _natural(self, component: Component, place: slice) -> dict[str, tuple[Floats, Floats]]:
        """Value and error of each shape parameter, in the units of the table; the major axis is the longer one."""
        names = [p.name for p in component.parameters]
        raw = {n: self.vector[:, c] for n, c in zip(names, range(place.start, place.stop), strict=True)}
        sigma = {n: self._sigma(c) for n, c in zip(names, range(place.start, place.stop), strict=True)}
        if "q" in names:
            swap = raw["q"] > 0  # ln q > 0: the axes trade places
            both = self._sigma_of_sum(place.start + names.index("r_e"), place.start + names.index("q"))
            raw["r_e"] = np.where(swap, raw["r_e"] + raw["q"], raw["r_e"])
            sigma["r_e"] = np.where(swap, both, sigma["r_e"])
            raw["pa"] = np.where(swap, raw["pa"] + math.pi / 2, raw["pa"])
            raw["q"] = -np.abs(raw["q"])
        out: dict[str, tuple[Floats, Floats]] = {}
        for parameter in component.parameters:
            value, error = raw[parameter.name], sigma[parameter.name]
            if parameter.log:
                value = np.exp(value)
                error = error * value
            if parameter.unit == "length":
                value, error = value * self._scale, error * self._scale
            if parameter.unit == "angle":
                value = position_angle(value, self.cutouts.north.cpu().numpy(), self.cutouts.parity.cpu().numpy())
                error = np.degrees(error)
            out[parameter.name] = value, error
        return out

    def _sigma(self, place: int) -> Floats:
        return np.sqrt(self.covariance[:, place, place])

    def _sigma_of_sum(self, a: int, b: int) -> Floats:
        c = self.covariance
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(c[:, a, a] + c[:, b, b] + 2 * c[:, a, b]))

    @cached_property
    def _has_scale(self) -> bool:
        return bool(torch.isfinite(self.cutouts.scale).all())

    @property
    def _scale(self) -> Floats | float:
        return self.cutouts.scale.cpu().numpy() if self._has_scale else 1.0

    def _unit(self, parameter: Parameter) -> str:
        length = "arcsec" if self._has_scale else "pix"
        return {"length": length, "angle": "deg"}.get(parameter.unit, parameter.unit)
