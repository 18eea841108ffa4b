"""Where a point of the image lies in a galaxy: its numbers in pixels, its offset on the sky and in the disc's plane."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rosse.errors import InputError, rows_text
from rosse.sky import chance
from rosse.sky.columns import COLUMNS

if TYPE_CHECKING:
    from astropy.table import Table

THINNEST = 0.04  # axis ratio below which no disc appears, so that nothing is divided by 0
THINNEST_ON_GRID = 0.8  # pixels: half-light semi-minor axis of the thinnest disc that the finer grid samples
GOLDEN = (math.sqrt(5) - 1) / 2
SOFTENING = 0.05  # pixels: ln r and the azimuth have no value at the centre itself
PATTERN = {"arm_pitch": 15.0, "arm_width": 0.4, "bar_q": 0.4, "disc_n": 1.0, "bulge_n": 1.0, "companion_n": 1.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class Galaxies:
    """B rows of a population's table as an image has them: lengths in pixels, angles in radians.

    Parameters
    ----------
    names : of N columns.
    values : (N, B) float64, one row for each name; what is not known or does not apply is 0.
    rows : (B,) int64, the population's row numbers: with `seed` the key of all random detail.
    seed : of the population.
    pixels_per_kpc : (B,) float64.
    kind : (B,) text.
    """

    names: tuple[str, ...]
    values: Tensor
    rows: Tensor
    seed: int
    pixels_per_kpc: Tensor
    kind: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Tensor:
        """Column (B, 1, 1) in the pixels' precision."""
        return self._planes[name]

    @cached_property
    def columns(self) -> Mapping[str, Tensor]:
        """Name -> (B,) float64."""
        return dict(zip(self.names, self.values.unbind(), strict=True))

    @cached_property
    def _planes(self) -> Mapping[str, Tensor]:
        return dict(zip(self.names, self.values.to(torch.float32)[..., None, None].unbind(), strict=True))

    def random(self, what: str, count: int) -> Tensor:
        """Uniform numbers (count, B, 1, 1) of a stream."""
        number = self.once(what, lambda: chance.uniform(self.seed, self.rows, what, (count,)).to(torch.float32))
        return number.T[:, :, None, None]

    def once(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """What is made once for these galaxies, (B, ...), and goes with those that are taken of them."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @cached_property
    def _made(self) -> dict[str, Tensor]:
        return {}

    @cached_property
    def axis_ratio(self) -> Tensor:
        """Axis ratio (B, 1, 1) of the disc as seen.

        Notes
        -----
        ``q^2 = cos^2 i + q_0^2 sin^2 i`` for an oblate body of axis ratio q_0 (Hubble 1926, ApJ 64, 321).
        """
        flat = torch.cos(self["inclination"]).square()
        return (flat + self["disc_thickness"].square() * (1 - flat)).sqrt().clamp_min(THINNEST)

    @cached_property
    def fine_ratio(self) -> Tensor:
        """The axis ratio of what is made on a finer grid, which must not be thinner than that grid can sample."""
        least = (THINNEST_ON_GRID / self["disc_r_e"].clamp_min(THINNEST_ON_GRID)).clamp_max(1.0)
        return torch.maximum(self.axis_ratio, least)

    @property
    def direction(self) -> Tensor:
        """Direction (B, 1, 1) of the line of nodes in the image, radians from +x to +y; north is up and east left."""
        return self["pa"] + math.pi / 2

    def take(self, index: Tensor) -> Galaxies:
        """Some of the rows."""
        some = Galaxies(
            names=self.names,
            values=self.values[:, index],
            rows=self.rows[index],
            seed=self.seed,
            pixels_per_kpc=self.pixels_per_kpc[index],
            kind=self.kind[index.cpu().numpy()],
        )
        for name, value in self._made.items():
            some._made[name] = value[index]
        return some


def side_by_side(rows: Tensor) -> slice | Tensor:
    """Rows, each of them once, as a slice where there is no other row between them: a view instead of a copy."""
    first, count = int(rows[0]), len(rows)
    if int(rows[-1]) - first + 1 == count:  # they are in order
        return slice(first, first + count)
    return rows


class Plane(NamedTuple):
    """Points in the disc's plane, pixels; x along the line of nodes, azimuth counterclockwise from it as seen.

    Each is (B, h, w).
    """

    x: Tensor
    y: Tensor
    r: Tensor
    ln_r: Tensor
    phi: Tensor

    def take(self, index: Tensor | slice) -> Plane:
        """Some of the galaxies."""
        return Plane(*(values[index] for values in self))


def galaxies_of(table: Table, pixels_per_kpc: np.ndarray, *, seed: int, device: str | torch.device = "cpu") -> Galaxies:
    """Rows of a population's table in pixels and radians.

    Parameters
    ----------
    table : with all of `columns.COLUMNS`.
    pixels_per_kpc : (B,) of each row's distance.
    seed : of the population.
    device : where the pixels will be.
    """
    missing = [column.name for column in COLUMNS if column.name not in table.colnames]
    if missing:
        raise InputError(f"the table lacks columns {missing}; a table as Population.table() gives it is wanted")
    columns: dict[str, np.ndarray] = {}
    for column in COLUMNS:
        if column.dtype == "str" or column.name == "id":
            continue
        values = np.array(np.ma.filled(table[column.name], np.nan), dtype=np.float64)
        if np.isinf(values).any():
            raise InputError(f"column {column.name} is infinite, {rows_text(np.nonzero(np.isinf(values))[0].tolist())}")
        values = np.nan_to_num(values, nan=0.0)
        if column.name in PATTERN:  # absent parts have no shape, and a shape of 0 would divide by it
            values = np.where(values > 0, values, PATTERN[column.name])
        if column.unit == "kpc":
            values = values * pixels_per_kpc
        elif column.unit == "deg":
            values = np.radians(values)
        columns[column.name] = values
    return Galaxies(
        names=tuple(columns),
        values=torch.as_tensor(np.stack(list(columns.values())), device=device),
        rows=torch.as_tensor(np.ascontiguousarray(table["id"], dtype=np.int64), device=device),
        seed=seed,
        pixels_per_kpc=torch.as_tensor(np.ascontiguousarray(pixels_per_kpc, dtype=np.float64), device=device),
        kind=np.asarray(table["kind"]).astype(str),
    )


def on_sky(galaxies: Galaxies, dx: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """Offsets along and across the line of nodes, pixels, from offsets along the image's axes."""
    c, s = torch.cos(galaxies.direction), torch.sin(galaxies.direction)
    return dx * c + dy * s, dy * c - dx * s


def in_plane(galaxies: Galaxies, along: Tensor, across: Tensor) -> Plane:
    """The disc's plane at offsets along and across the line of nodes, as for a disc without thickness."""
    x, y = along, across / galaxies.fine_ratio
    r = torch.sqrt(x * x + y * y + SOFTENING**2)
    return Plane(x, y, r, torch.log(r), torch.atan2(y, x))


def off_plane(galaxies: Galaxies, plane_x: Tensor, plane_y: Tensor) -> tuple[Tensor, Tensor]:
    """Offsets along the image's axes of points in the disc's plane: what `on_sky` and `in_plane` undo."""
    across = plane_y * galaxies.fine_ratio
    c, s = torch.cos(galaxies.direction), torch.sin(galaxies.direction)
    return plane_x * c - across * s, plane_x * s + across * c


class Nodes(NamedTuple):
    """Points of the plane at which a function is summed to its integral on the sky.

    Parameters
    ----------
    plane : (B, radii, azimuths).
    weight : (B, radii, 1) pixels^2 of sky at each.
    """

    plane: Plane
    weight: Tensor

    def total(self, brightness: Tensor) -> Tensor:
        """Integral (B, 1, 1) of a brightness (B, radii, azimuths)."""
        return (brightness * self.weight).sum((1, 2), keepdim=True)


def polar_nodes(
    galaxies: Galaxies,
    lowest: Tensor,
    highest: Tensor,
    counts: tuple[int, int],
    *,
    ratio: Tensor | None = None,
    turned: bool = False,
) -> Nodes:
    """Nodes between two radii (B, 1, 1), evenly in ln r and azimuth: the trapezoidal rule, exact for what is smooth.

    Parameters
    ----------
    galaxies, lowest, highest, counts : radii in the disc's plane, pixels; number of radii and of azimuths.
    ratio : axis ratio (B, 1, 1) of ellipses on the sky, on which the nodes lie instead; y is then across on the sky.
    turned : each circle by the golden section of a step against the last one, so that a thin lane is met everywhere.
    """
    radii, azimuths = counts
    device = lowest.device
    low, high = torch.log(lowest), torch.log(highest)
    step = (high - low) / (radii - 1)
    ln_r = low + step * torch.arange(radii, device=device, dtype=torch.float32)[:, None]
    phi = (torch.arange(azimuths, device=device, dtype=torch.float32) + 0.5) * (2 * math.pi / azimuths) - math.pi
    if turned:
        turn = torch.frac(torch.arange(radii, device=device, dtype=torch.float32)[:, None] * GOLDEN) - 0.5
        phi = phi + turn * (2 * math.pi / azimuths)
    r = torch.exp(ln_r)
    flat = galaxies.fine_ratio if ratio is None else ratio
    weight = r.square() * step * (2 * math.pi / azimuths) * flat
    shape = (len(galaxies), radii, azimuths)
    across = r * torch.sin(phi) if ratio is None else r * torch.sin(phi) * ratio
    plane = Plane(r * torch.cos(phi), across, r.expand(shape), ln_r.expand(shape), phi.expand(shape))
    return Nodes(plane, weight)
