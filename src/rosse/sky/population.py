"""A population of galaxies, stars and spoiled images: every row follows from the seed and its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rosse.errors import OptionError, unknown_name
from rosse.sky.columns import ARTEFACTS, COLUMNS, TYPES
from rosse.sky.details import details
from rosse.sky.draws import Array, Draws, Integers
from rosse.sky.hubble import GALAXIES
from rosse.sky.photometry import apparent_r
from rosse.sky.selection import Selection, furthest, light_of, select
from rosse.sky.sizes import sizes
from rosse.sky.stars import stars
from rosse.sky.structure import Columns, structure
from rosse.sky.templates import MAX_Z
from rosse.tables import build_table

if TYPE_CHECKING:
    from astropy.table import Table

STARS, SPOILED = 0.005, 0.01  # shares of a survey's list of galaxies that are stars, or spoiled (Willett+2013, Sect. 3)
_STAR, _ARTEFACT = TYPES.index("star"), TYPES.index("artefact")
TURNS = 20  # times that a galaxy too faint to be seen is drawn again
_BLOCK = 20_000  # rows made at a time


@dataclass(frozen=True, eq=False)
class Population:
    """Galaxies with known parameters, drawn from published distributions.

    Parameters
    ----------
    n : number of rows.
    seed : two populations of the same seed and options are the same, row by row.
    mix : type → share of the rows; the types are `rosse.sky.columns.TYPES`. Shares need not add up to one. Without
        it, types are as frequent as a survey with this limit and these redshifts finds them, with half a per cent of
        stars and one per cent of spoiled images.
    limit : faintest `mag_r`. The default is that of the SDSS main galaxy sample (Strauss+2002).
    redshift : range of the redshifts.
    log_mass : range of the stellar masses, dex(Msun).
    z : if given, every galaxy is moved to this redshift, with the size and brightness that galaxies of its mass have
        there; the limit and the range of redshifts decide which galaxies there are, not which are bright enough then.
    start : number of the first row: ``Population(100, start=50)`` is the second half of ``Population(150)`` and more.

    Notes
    -----
    Stars fade (`rosse.sky.relations.fading`), galaxies grow and form fewer stars with time, but the shares of types at
    a mass, bars, arms and the spectra of a type are those of the local Universe at every redshift.

    Masses follow the mass function of Baldry+2012, evolving as in Leja+2020, in the volume in which a galaxy's own
    light, K-corrected, is brighter than the limit (Planck18). The functions of `rosse.sky.relations` hold the other
    relations and their references.
    """

    n: int
    seed: int = 0
    _: KW_ONLY
    mix: Mapping[str, float] | None = None
    limit: float = 17.77
    redshift: tuple[float, float] = (0.01, 0.25)
    log_mass: tuple[float, float] = (7.0, 12.3)
    z: float | None = None
    start: int = 0

    def __post_init__(self) -> None:
        _check_counts(self)
        _check_ranges(self)
        if self.mix is not None:
            _check_mix(self.mix)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, rows: slice) -> Population:
        """Some rows, as a population of their own; only steps of one."""
        if not isinstance(rows, slice):
            raise OptionError(f"a population is cut by slices, e.g. [10:20]; got {rows!r}")
        first, last, step = rows.indices(self.n)
        if step != 1:
            raise OptionError(f"a population is cut in steps of one; got a step of {step}")
        return replace(self, n=max(last - first, 0), start=self.start + first)

    def rows(self, start: int, stop: int) -> Population:
        """Rows `start` to `stop` of this one: the same galaxies, whatever else is asked for."""
        if not 0 <= start <= stop <= self.n:
            raise OptionError(f"rows {start} to {stop} are not within the {self.n} rows of this population")
        return self[start:stop]

    def table(self) -> Table:
        """Everything that is known of each row: `rosse.sky.columns.COLUMNS`, with units and descriptions.

        ``meta["seed"]`` is the seed.
        """
        low, high = self.redshift
        chosen = select(
            float(self.limit), (float(low), float(high)), (float(self.log_mass[0]), float(self.log_mass[1]))
        )
        shares = type_table(self, chosen)
        first, last = self.start, self.start + self.n
        blocks = [
            _block(self, chosen, shares, np.arange(low, min(low + _BLOCK, last), dtype=np.int64))
            for low in range(first, max(last, first + 1), _BLOCK)
        ]
        table = build_table(COLUMNS, {c.name: np.concatenate([block[c.name] for block in blocks]) for c in COLUMNS})
        table.meta["seed"] = self.seed  # which random detail the galaxies are drawn with
        return table


def type_table(population: Population, chosen: Selection) -> Array:
    """(2, 10) shares of `TYPES` among all rows, and among the galaxies beneath artefacts."""
    natural = np.zeros(len(TYPES))
    natural[: len(GALAXIES)] = chosen.weight.sum(axis=(1, 2))
    if not natural.any():
        raise OptionError(
            f"no galaxy is brighter than limit={population.limit} at redshift={population.redshift}; "
            "take a fainter limit or smaller redshifts"
        )
    natural /= natural.sum()
    shares = natural * (1 - STARS - SPOILED)
    shares[_STAR], shares[_ARTEFACT] = STARS, SPOILED
    if population.mix is not None:
        shares = np.array([population.mix.get(name, 0.0) for name in TYPES])
        missing = [name for name, wanted, there in zip(TYPES, shares, natural, strict=True) if wanted and not there]
        missing = [name for name in missing if name in GALAXIES]
        if missing:
            raise OptionError(
                f"mix: no galaxy of type {missing[0]} is within the limit and the ranges of this population"
            )
    return np.stack([shares / shares.sum(), natural])


def _block(population: Population, chosen: Selection, shares: Array, rows: Integers) -> dict[str, Array]:
    """Columns of some rows."""
    draws = Draws(seed=population.seed, rows=rows)
    label = draws.choice("type", shares[0])
    # a spoiled image is of some galaxy, and a star's row needs some galaxy to be drawn before its columns are emptied
    of_type = np.where(label >= len(GALAXIES), draws.choice("type beneath", shares[1]), label)
    out = _galaxies(population, chosen, draws, of_type)
    out = {name: np.asarray(value) for name, value in (out | stars(draws, label, out, population.limit)).items()}
    is_star = label == _STAR
    kinds = np.select([is_star, label == _ARTEFACT], ["star", "artefact"], "galaxy")
    spoilt = np.where(label == _ARTEFACT, 1 + draws.choice("artefact", (1.0,) * (len(ARTEFACTS) - 1)), 0)
    strength = np.where(spoilt > 0, draws.uniform("artefact strength", 0.1, 1.0), 0.0)
    return out | {
        "id": rows,
        "kind": kinds,
        "type": np.array(TYPES)[label],
        "artefact": np.array(ARTEFACTS)[spoilt],
        "artefact_strength": strength,
    }


def _galaxies(population: Population, chosen: Selection, draws: Draws, of_type: Integers) -> Columns:
    """Columns of galaxies of these types."""
    out, light, offset = _bright_enough(chosen, draws, of_type)
    if population.z is not None:
        out["z"] = np.full_like(out["z"], population.z)
        out["mag_r"] = apparent_r(out["log_mass"], light, out["z"])
    out |= sizes(draws, of_type, out)
    return out | details(draws, of_type, out, offset)


def _bright_enough(chosen: Selection, draws: Draws, of_type: Integers) -> tuple[Columns, Array, Array]:
    """Structure, mass, redshift and magnitude of galaxies brighter than the limit; their light, and their offset.

    The table of the selection averages over structure, so that some rows are too faint even where their volume begins:
    they are drawn again, as if they had not been met.
    """
    out, light, offset = _any_galaxies(chosen, draws, of_type)
    for turn in range(1, TURNS):
        faint = np.flatnonzero(out["mag_r"] > chosen.limit + 1e-9)
        if not len(faint):
            return out, light, offset
        others, their_light, their_offset = _any_galaxies(chosen, draws.again(faint, turn), of_type[faint])
        for name, values in others.items():
            out[name][faint] = values
        light[faint], offset[faint] = their_light, their_offset
    # next to none are left, where a limit and a range of masses leave next to none: they get the mass they need
    missing = np.maximum(out["mag_r"] - chosen.limit, 0)
    return out | {"log_mass": out["log_mass"] + missing / 2.5, "mag_r": out["mag_r"] - missing}, light, offset


def _any_galaxies(chosen: Selection, draws: Draws, of_type: Integers) -> tuple[Columns, Array, Array]:
    mass, offset, bin_of = chosen.galaxies(draws, of_type)
    out = {name: np.array(values) for name, values in structure(draws, of_type, mass, offset).items()}
    light = light_of(out)
    z = chosen.redshifts(draws, bin_of, furthest(mass, light, chosen.z, chosen.limit))
    return out | {"log_mass": mass, "z": z, "mag_r": apparent_r(mass, light, z)}, light, np.array(offset)


def _check_counts(population: Population) -> None:
    for name in ("n", "start", "seed"):
        value = getattr(population, name)
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or (value < 0 and name != "seed"):
            wanted = "an integer" if name == "seed" else "an integer from 0 on"
            raise OptionError(f"{name} must be {wanted}; got {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _check_ranges(population: Population) -> None:
    for name, least, most in (("redshift", 1e-4, MAX_Z), ("log_mass", 6.0, 13.0)):
        value = getattr(population, name)
        pair = isinstance(value, Sequence) and len(value) == 2 and all(map(_is_number, value))
        low, high = value if pair else (np.nan, np.nan)
        if not least <= low < high <= most:
            raise OptionError(f"{name} must be a range (low, high) within {least:g} and {most:g}; got {value!r}")
    if population.z is not None and not (_is_number(population.z) and 1e-4 <= population.z <= MAX_Z):
        raise OptionError(f"z must be within 0.0001 and {MAX_Z:g}; got {population.z!r}")
    if not (_is_number(population.limit) and 5 <= population.limit <= 32):
        raise OptionError(f"limit must be a magnitude between 5 and 32; got {population.limit!r}")


def _check_mix(mix: Mapping[str, float]) -> None:
    if not isinstance(mix, Mapping):
        raise OptionError(f"mix must be a dict of type and share; got {mix!r}")
    for name, share in mix.items():
        if name not in TYPES:
            raise OptionError("mix: " + unknown_name("type", name, TYPES))
        if not (_is_number(share) and np.isfinite(share) and share >= 0):
            raise OptionError(f"mix: the share of {name!r} must be a number from 0 on; got {share!r}")
    if not sum(mix.values()) > 0:
        raise OptionError("mix: no type has a share above 0")
