"""What a fit moves: free coordinates, and how the slots of every band follow from them.

The map is linear, ``local = offset + matrix @ vector``: a parameter that is the same in all bands, free in each, a
polynomial in wavelength, fixed, equal to another or at most another is a row of the matrix, and nothing else in the
fit knows the difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rosse.errors import OptionError
from rosse.fitting.given import GIVEN, PAIRS, check_given, check_numbers
from rosse.light.components import FREE, Component, Parameter
from rosse.light.model import Model
from rosse.light.render import Layout

LINEAR_UNITS = ("flux", "level", "slope")
GAP = 1e-3  # an `at_most` starts at least this far (in the logarithm) below its limit


@dataclass(frozen=True, kw_only=True)
class Coordinate:
    """One free number of a fit.

    Parameters
    ----------
    name : of the column it moves, with the band where it moves one only.
    slot : which slot of the layout.
    weights : (C,) how much it adds to that slot in each band: 1 where it is the value, less where that lies between
        several.
    below : slot that `slot` is kept below by this coordinate; None for a plain value.
    """

    name: str
    slot: int
    weights: tuple[float, ...]
    below: int | None = None

    @property
    def own(self) -> list[int]:
        """Bands whose value it is."""
        return [band for band, weight in enumerate(self.weights) if abs(weight) == 1.0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Model and bands of a fit, and its P coordinates.

    Parameters
    ----------
    model : what is fitted.
    bands : C names.
    wavelength : (C,) any unit, or None where nothing depends on it.
    sets : where bands come in sets with pixels of their own, how many each set has; centres are free in each set.
    whole : the plan that this one is a set of; None: it is one by itself.
    """

    model: Model
    bands: tuple[str, ...]
    wavelength: tuple[float, ...] | None = None
    sets: tuple[int, ...] = ()
    whole: Plan | None = None

    @cached_property
    def layout(self) -> Layout:
        """The slots of one band."""
        return Layout(model=self.model)

    @cached_property
    def owners(self) -> tuple[Component, ...]:
        """Component of each slot."""
        return tuple(component for component in self.model.components for _ in component.slots)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Column name of each slot, without a band."""
        return tuple(
            self.model.prefix(component) + slot.name for component in self.model.components for slot in component.slots
        )

    @cached_property
    def followers(self) -> tuple[tuple[int, int, float], ...]:
        """Slots that are a multiple of another: (slot, the other, ratio)."""
        found = []
        leaders: dict[str, int] = {}
        for i, (slot, owner) in enumerate(zip(self.layout.slots, self.owners, strict=True)):
            if slot.unit == "pixel" and not owner.own_centre:
                leader = leaders.setdefault(slot.name, i)
                if leader != i:
                    found.append((i, leader, 1.0))
        equal = [tie for tie in self.model.ties if not tie.at_most]
        found += [(slot_of(self, tie.what), slot_of(self, tie.to), tie.ratio) for tie in equal]
        return tuple(found)

    @cached_property
    def coordinates(self) -> tuple[Coordinate, ...]:
        """What is free."""
        if self.whole is not None:
            return self.whole.coordinates
        follow = {slot for slot, _, _ in self.followers}
        limits = {slot_of(self, t.what): t for t in self.model.ties if t.at_most}
        found: list[Coordinate] = []
        for i, (slot, owner) in enumerate(zip(self.layout.slots, self.owners, strict=True)):
            if i in follow or slot.name in owner.fixed:
                continue
            if i in limits:
                ones = (-1.0,) * len(self.bands)
                below = slot_of(self, limits[i].to)
                found.append(Coordinate(name=self.columns[i], slot=i, weights=ones, below=below))
                continue
            found += self._free_in_bands(i, slot, owner)
        return tuple(found)

    @property
    def size(self) -> int:
        """P, the number of coordinates."""
        return len(self.coordinates)

    @cached_property
    def matrix(self) -> Tensor:
        """(C, L, P) change of each slot by each coordinate."""
        if self.whole is not None:
            return self.whole.matrix[among_all(self)]
        matrix = torch.zeros(len(self.bands), self.layout.size, self.size, dtype=torch.float64)
        for p, coordinate in enumerate(self.coordinates):
            matrix[:, coordinate.slot, p] = torch.tensor(coordinate.weights, dtype=torch.float64)
        for coordinate in self.coordinates:
            if coordinate.below is not None:
                matrix[:, coordinate.slot] += matrix[:, coordinate.below]
        for slot, other, ratio in self.followers:
            linear = self.layout.slots[slot].unit in LINEAR_UNITS
            matrix[:, slot] = matrix[:, other] * (ratio if linear else 1.0)
        return matrix

    def offset(self, fixed: Tensor) -> Tensor:
        """Part of the slots (B, C, L) that does not move, from fixed values (B, C, L), 0 where a slot is free."""
        offset = fixed.clone()
        for tie in self.model.ties:
            if tie.at_most:
                slot, other = slot_of(self, tie.what), slot_of(self, tie.to)
                offset[..., slot] = offset[..., other] + math.log(tie.ratio)
        for slot, other, constant in self.followers:
            if self.layout.slots[slot].unit in LINEAR_UNITS:
                offset[..., slot] = offset[..., other] * constant
            else:
                offset[..., slot] = offset[..., other] + math.log(constant)
        return offset

    def local(self, vector: Tensor, offset: Tensor) -> Tensor:
        """Slots (B, C, L) of coordinates (B, P)."""
        return offset + torch.einsum("clp,bp->bcl", self.matrix.to(vector.device), vector)

    def vector(self, guess: Tensor, offset: Tensor) -> Tensor:
        """Coordinates (B, P) that come closest to guessed slots (B, C, L)."""
        moved = guess - offset
        columns = []
        for coordinate in self.coordinates:
            if coordinate.below is not None:
                gap = guess[:, :, coordinate.below] - guess[:, :, coordinate.slot]
                columns.append(gap.mean(1).clamp_min(GAP))
            else:
                columns.append(moved[:, coordinate.own, coordinate.slot].mean(1))
        return torch.stack(columns, 1)

    def values(self, name: str, index: NDArray[np.int64]) -> list[tuple[int, Any]]:
        """What the user gave under `fixed`, `start`, `prior` or `bounds`: (slot, value for galaxies `index`)."""
        return [(i, _of_galaxies(parts, index)) for i, parts in self._given(name)]

    def check(self, count: int) -> None:
        """Whether what was given fits `count` galaxies and does not contradict itself.

        Raises
        ------
        InputError
            Numbers came for another number of galaxies, or cannot be.
        OptionError
            Two things were asked of one parameter.
        """
        check_given(self)
        for name in GIVEN:
            for i, parts in self._given(name):
                what, slot = f"{name} of {self.columns[i]}", self.layout.slots[i]
                for k, part in enumerate(parts if isinstance(parts, tuple) else (parts,)):
                    check_numbers(slot, part, what, which=k, count=count, bands=len(self.bands))
        if not self.size:
            raise OptionError("every parameter of the model is fixed; a fit needs at least one that is free")
        self.matrix  # noqa: B018 - polynomials in wavelength are checked there

    def _given(self, name: str) -> Iterator[tuple[int, Any]]:
        """Slot, and the array that the user gave for it; two of them for pairs."""
        for i, (slot, owner) in enumerate(zip(self.layout.slots, self.owners, strict=True)):
            given = getattr(owner, name)
            if slot.name in given and name in PAIRS:
                low, high = given[slot.name]
                yield i, (np.atleast_1d(np.asarray(low, "f8")), np.atleast_1d(np.asarray(high, "f8")))
            elif slot.name in given:
                yield i, np.atleast_1d(np.asarray(given[slot.name], "f8"))

    def _free_in_bands(self, i: int, slot: Parameter, owner: Component) -> list[Coordinate]:
        count = len(self.bands)
        freedom = FREE if slot.unit in LINEAR_UNITS else owner.bands.get(slot.name, 0)
        if freedom == FREE or (isinstance(freedom, int) and freedom >= count):
            unit = np.eye(count)
            names = [f"{self.columns[i]}_{band}" if count > 1 else self.columns[i] for band in self.bands]
            return [Coordinate(name=n, slot=i, weights=tuple(w)) for n, w in zip(names, unit, strict=True)]
        if slot.unit == "pixel" and len(self.sets) > 1:
            return [Coordinate(name=self.columns[i], slot=i, weights=weights) for weights in self._in_one_set()]
        if not freedom:
            return [Coordinate(name=self.columns[i], slot=i, weights=(1.0,) * count)]
        nodes = self._nodes(int(freedom), self.columns[i])
        return [Coordinate(name=f"{self.columns[i]}_{self.bands[k]}", slot=i, weights=w) for k, w in nodes.items()]

    def _in_one_set(self) -> Iterator[tuple[float, ...]]:
        """Weights (C,) of each set: 1 in its bands."""
        ends = np.cumsum(self.sets)
        for first, end in zip(ends - self.sets, ends, strict=True):
            yield tuple(float(first <= band < end) for band in range(len(self.bands)))

    def _nodes(self, degree: int, column: str) -> dict[int, tuple[float, ...]]:
        """Bands whose values are the coordinates of a polynomial in wavelength, and the weights (C,) of each.

        Notes
        -----
        Lagrange's form (Berrut & Trefethen 2004, SIAM Review 46, 501, eq. 2.1): what bounds a value bounds it, which no
        bounds on coefficients do. The nodes are the outermost bands and those next to Chebyshev's points between them.
        """
        if self.wavelength is None or not all(math.isfinite(w) for w in self.wavelength):
            raise OptionError(
                f"{column} is to be a polynomial in wavelength, but the wavelengths of the bands "
                f"{', '.join(self.bands)} are not known; give FitOptions(wavelength={{'g': 480, ...}})"
            )
        w, first = np.unique(np.asarray(self.wavelength, dtype=np.float64), return_index=True)
        degree = min(degree, len(w) - 1)
        points = w[0] + (w[-1] - w[0]) * (1 - np.cos(np.pi * np.arange(degree + 1) / max(degree, 1))) / 2
        left = list(range(len(w)))
        nodes = []
        for k in (0, degree, *range(1, degree))[: degree + 1]:
            nodes.append(min(left, key=lambda at: abs(w[at] - points[k])))
            left.remove(nodes[-1])
        at = np.asarray(self.wavelength, dtype=np.float64)
        return {
            int(first[k]): tuple(np.prod([(at - w[m]) / (w[k] - w[m]) for m in nodes if m != k], axis=0).tolist())
            for k in sorted(nodes)
        }


def parts_of(plan: Plan) -> tuple[Plan, ...]:
    """The plan of each set of bands: its bands, and all coordinates."""
    names = iter(plan.bands)
    return tuple(Plan(model=plan.model, bands=tuple(islice(names, n)), whole=plan) for n in plan.sets) or (plan,)


def among_all(plan: Plan) -> list[int]:
    """(C,) which bands of the whole those of a part are."""
    return [(plan.whole or plan).bands.index(band) for band in plan.bands]


def same_everywhere(plan: Plan, slot: int) -> bool:
    """Whether a slot has one value for all bands of all sets."""
    rows = (plan.whole or plan).matrix[:, slot]
    return bool((rows == rows[:1]).all())


def slot_of(plan: Plan, column: str) -> int:
    """Which slot a column is."""
    i, j = plan.model.place(column)
    return int(plan.layout.places[i].start) + j


def own_fluxes(plan: Plan) -> list[int]:
    """Slots of the fluxes of the galaxy itself; what has a centre of its own is no part of it."""
    shared = [i for i in plan.layout.fluxes if not plan.owners[i].own_centre]
    return shared or list(plan.layout.fluxes)


def _of_galaxies(parts: Any, index: NDArray[np.int64]) -> Any:
    """Numbers (B,) or (B, C) of galaxies `index`, from one for all or one for each galaxy of the fit."""
    if isinstance(parts, tuple):
        return tuple(_of_galaxies(part, index) for part in parts)
    return np.repeat(parts, len(index), axis=0) if len(parts) == 1 else parts[index]


def wavelengths(bands: Sequence[str], given: dict[str, float] | None) -> tuple[float, ...] | None:
    """Wavelength of each band (nm): what was given, else that of the usual filters of this name."""
    known = EFFECTIVE_WAVELENGTH | (given or {})
    found = tuple(float(known.get(band, math.nan)) for band in bands)
    return found if all(math.isfinite(w) for w in found) else None


# Effective wavelengths in nm of filters that go by one name in all surveys, to a few nm (SVO Filter Profile Service).
EFFECTIVE_WAVELENGTH = {
    "u": 356.0, "g": 475.0, "r": 622.0, "i": 763.0, "z": 905.0, "y": 970.0, "Y": 1020.0, "J": 1250.0, "H": 1640.0,
    "K": 2190.0, "Ks": 2150.0, "VIS": 715.0,
    "F435W": 433.0, "F475W": 475.0, "F606W": 592.0, "F775W": 769.0, "F814W": 806.0, "F850LP": 903.0,
    "F090W": 902.0, "F115W": 1154.0, "F150W": 1501.0, "F200W": 1988.0, "F277W": 2762.0, "F356W": 3568.0,
    "F410M": 4082.0, "F444W": 4404.0,
}  # fmt: skip
