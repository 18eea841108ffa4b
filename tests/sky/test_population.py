"""The population: what a magnitude-limited survey finds, by direct integration; the same row from any batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.cosmology import Planck18
from scipy import integrate, special, stats

import rosse
from rosse.errors import OptionError
from rosse.sky import relations
from rosse.sky.columns import COLUMNS, TYPES
from rosse.sky.hubble import type_shares
from rosse.sky.photometry import SHARES, kpc_per_arcsec, part_fluxes
from rosse.sky.templates import colour, mixture, template_light
from rosse.surveys import SURVEYS

LIMIT = 17.77
GALAXIES = TYPES[:8]


@pytest.fixture(scope="module")
def nearby() -> Any:
    return rosse.Population(30_000, seed=4).table()


@pytest.fixture(scope="module")
def every_type() -> Any:
    return rosse.Population(30_000, seed=5, mix=dict.fromkeys(TYPES, 1.0)).table()


def of(table: Any, name: str) -> Any:
    return table[np.asarray(table["type"]) == name]


def test_columns_have_units_and_descriptions(every_type: Any) -> None:
    assert every_type.colnames == [column.name for column in COLUMNS]
    assert every_type["log_mass"].unit == u.dex(u.Msun)
    assert every_type["r_e"].unit == u.kpc
    for column in COLUMNS:
        assert every_type[column.name].description == column.description
        assert every_type[column.name].dtype.kind == {"str": "U"}.get(column.dtype, np.dtype(column.dtype or "f8").kind)


# --- the same row from any batch ---


def equal(first: Any, second: Any) -> bool:
    return all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in ((np.asarray(first[name]), np.asarray(second[name])) for name in first.colnames)
    )


def test_a_row_does_not_depend_on_the_batch(every_type: Any) -> None:
    population = rosse.Population(30_000, seed=5, mix=dict.fromkeys(TYPES, 1.0))
    assert equal(population.rows(19_990, 20_010).table(), every_type[19_990:20_010])
    assert equal(population[123:].rows(1, 3)[1:].table(), every_type[125:126])
    assert equal(rosse.Population(10, seed=5, mix=dict.fromkeys(TYPES, 2.0), start=40).table(), every_type[40:50])
    assert len(population[10:20]) == 10
    assert len(population[10:10].table()) == 0
    assert not equal(rosse.Population(10, seed=6, mix=dict.fromkeys(TYPES, 1.0)).table(), every_type[:10])


def test_fixed_redshift_moves_the_same_galaxies() -> None:
    here = rosse.Population(2000, seed=1).table()
    far = rosse.Population(2000, seed=1, z=2.0).table()
    for name in ("type", "log_mass", "arm_count", "bulge_share", "inclination"):
        assert np.array_equal(here[name], far[name], equal_nan=here[name].dtype.kind == "f"), name
    galaxy = np.asarray(here["type"]) != "star"
    assert (np.asarray(far["z"])[galaxy] == 2).all()
    assert (np.asarray(far["mag_r"])[galaxy] > np.asarray(here["mag_r"])[galaxy] + 3).all()
    # van der Wel+2014: from the sizes at z = 0.25 to those at 2
    ratio = np.asarray(far["r_e"]) / np.asarray(here["r_e"])
    assert np.median(ratio[np.asarray(here["t_type"]) > 2]) == pytest.approx((3 / 1.25) ** -0.75, rel=0.02)


# --- which galaxies there are ---


def elliptical_density(limit: float, z: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Ellipticals per unit z and dex, (Z, M): mass function, astropy's volume, share above the limit by the offset.

    An elliptical's light follows from mass and offset alone; the offset is a normal number cut at 3 sigma.
    """
    volume = Planck18.differential_comoving_volume(z).value
    share = type_shares(mass)[:, TYPES.index("elliptical")]
    probability = (np.arange(40) + 0.5) / 40
    offsets = stats.truncnorm.ppf(probability, -3, 3)
    seen = np.zeros((len(z), len(mass)))
    light = template_light(z, SURVEYS["sdss"].select(("r",)))[:, 0]
    for offset in offsets:
        sed = np.clip(0.32 - 0.12 * (mass - 10.5) + 0.07 * offset, 0, 2.9)
        absolute = (1.15 + 0.70 * colour(sed, "g", "i")) / 0.4 + colour(sed, "r", "i") - 2.5 * mass
        magnitude = absolute - 2.5 * np.log10(light @ mixture(sed).T) + Planck18.distmod(z).value[:, None]
        seen += (magnitude - 0.97 * np.minimum(z, 1)[:, None] < limit) / len(offsets)
    return relations.mass_function(mass, z[:, None]) * share * volume[:, None] * seen


def integral(density: np.ndarray, at: np.ndarray) -> Any:
    total = integrate.cumulative_trapezoid(density, at, initial=0)
    return lambda x: np.interp(x, at, total / total[-1])


@pytest.mark.parametrize(("limit", "redshift"), [(LIMIT, (0.01, 0.25)), (23.0, (0.05, 1.5))])
def test_masses_and_redshifts_are_those_of_a_magnitude_limited_sample(
    limit: float, redshift: tuple[float, float]
) -> None:
    table = rosse.Population(8000, seed=2, mix={"elliptical": 1}, limit=limit, redshift=redshift).table()
    assert table["mag_r"].max() <= limit + 1e-6
    assert redshift[0] <= table["z"].min()
    assert table["z"].max() <= redshift[1]
    z, mass = np.linspace(*redshift, 300), np.linspace(7, 12.3, 700)
    density = elliptical_density(limit, z, mass)
    for name, at, each in (
        ("z", z, integrate.trapezoid(density, mass, axis=1)),
        ("log_mass", mass, integrate.trapezoid(density, z, axis=0)),
    ):
        assert stats.kstest(np.asarray(table[name]), integral(each, at)).pvalue > 1e-3, name


def test_the_default_is_the_sdss_main_sample(nearby: Any) -> None:
    """Strauss+2002: median redshift 0.104; counts grow by 0.5 to 0.6 dex per mag (Yasuda+2001: 0.5 at r = 16 to 18)."""
    galaxy = np.asarray(nearby["kind"]) == "galaxy"
    assert np.median(nearby["z"][galaxy]) == pytest.approx(0.104, abs=0.02)
    counts = np.histogram(nearby["mag_r"][galaxy], bins=[15.77, 16.77, LIMIT])[0]
    assert 0.47 < np.log10(counts[1] / counts[0]) < 0.6
    size = np.asarray(nearby["r_e"])[galaxy] / kpc_per_arcsec(np.asarray(nearby["z"])[galaxy])
    low, middle, high = np.percentile(size, [5, 50, 95])
    assert 1.2 < low < 2
    assert 2.5 < middle < 4
    assert 7 < high < 14


def test_red_sequence_and_blue_cloud(nearby: Any) -> None:
    """Colours of SDSS galaxies at z = 0.04 to 0.08: Baldry+2004, Strateva+2001 (u - r divides at 2.2)."""
    near = (np.asarray(nearby["z"]) > 0.04) & (np.asarray(nearby["z"]) < 0.08)
    table = nearby[near]
    u_, g, r = -2.5 * np.log10(part_fluxes(table, "sdss").sum(axis=1)[:, :3]).T
    elliptical, late = np.asarray(table["type"]) == "elliptical", np.asarray(table["t_type"]) > 2
    assert np.median((g - r)[elliptical]) == pytest.approx(0.80, abs=0.04)
    assert np.std((g - r)[elliptical]) < 0.06
    assert 0.4 < np.median((g - r)[late]) < 0.6
    assert np.mean((u_ - r)[elliptical] > 2.2) > 0.9
    assert np.mean((u_ - r)[late] < 2.2) > 0.9
    # brighter is redder: Bernardi+2003, -0.02 mag per mag
    slope = np.polyfit((r + 0.0)[elliptical], (g - r)[elliptical], 1)[0]
    assert -0.06 < slope < 0.01


def test_types_of_bright_galaxies(nearby: Any) -> None:
    """Nair & Abraham 2010: of 14,034 galaxies with g < 16, z = 0.01 to 0.1, a fifth are E, half are Sa or later."""
    bright = rosse.Population(10_000, seed=8, limit=15.4, redshift=(0.01, 0.1)).table()
    stage = np.asarray(bright["t_type"])[np.asarray(bright["kind"]) == "galaxy"]
    assert np.mean(stage == -5) == pytest.approx(0.2, abs=0.06)
    assert np.mean(stage > 0) == pytest.approx(0.5, abs=0.06)
    assert np.mean(np.asarray(nearby["type"]) == "star") == pytest.approx(0.005, abs=0.002)


def test_mix_is_kept() -> None:
    mix = {"spiral": 3, "edge_on": 1, "star": 1, "artefact": 0.5}
    types = np.asarray(rosse.Population(20_000, seed=9, mix=mix).table()["type"])
    counts = [np.sum(types == name) for name in mix]
    assert sum(counts) == 20_000
    assert stats.chisquare(counts, 20_000 * np.array(list(mix.values())) / 5.5).pvalue > 1e-3


# --- what they are made of ---


def test_shares_and_presence(every_type: Any) -> None:
    shares = np.stack([np.asarray(every_type[name]) for name in SHARES])
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-12)
    assert shares.min() >= 0
    needs = {
        "bulge_share": ("bulge_sed",),
        "disc_share": ("disc_r_e", "disc_n", "disc_thickness", "disc_sed", "inclination"),
        "bar_share": ("bar_length", "bar_q", "bar_angle"),
        "arm_share": ("arm_pitch", "arm_phase", "arm_width", "arm_start", "arm_reach", "flocculence", "young_sed"),
        "ring_share": ("ring_radius", "ring_width"),
        "companion_share": ("companion_x", "companion_r_e", "companion_n", "companion_q", "companion_sed"),
    }
    galaxy = np.asarray(every_type["kind"]) != "star"
    for share, names in needs.items():
        there = (np.asarray(every_type[share]) > 0) & galaxy
        assert there.any()
        for name in names:
            values = np.asarray(every_type[name])[there]
            assert np.isfinite(values).all(), name
            assert np.isnan(np.asarray(every_type[name])[~there]).any(), name
            assert name in {"companion_x", "arm_phase", "bar_angle", "inclination"} or values.min() >= 0, name
    assert ((np.asarray(every_type["clump_share"]) > 0) == (np.asarray(every_type["clump_count"]) > 0)).all()
    for name in ("bulge_q", "bar_q", "companion_q"):
        assert np.nanmax(every_type[name]) <= 1
    arms = of(every_type, "spiral")
    assert (np.asarray(arms["arm_reach"]) > np.asarray(arms["arm_start"])).all()
    assert set(np.unique(arms["arm_count"])) == {1, 2, 3, 4, 5}
    assert set(np.unique(arms["arm_turn"])) == {-1, 1}


def test_types_are_what_they_are_called(every_type: Any) -> None:
    assert (of(every_type, "elliptical")["bulge_share"] == 1).all()
    assert of(every_type, "edge_on")["inclination"].min() >= 80
    for name in ("spiral", "lenticular"):
        cosine = np.cos(np.radians(np.asarray(of(every_type, name)["inclination"])))
        assert stats.kstest(cosine, stats.uniform(np.cos(np.radians(80)), 1 - np.cos(np.radians(80))).cdf).pvalue > 1e-3
    assert set(np.unique(of(every_type, "merger")["merger_stage"])) == {1, 2, 3, 4}
    assert (np.asarray(every_type["merger_stage"])[np.asarray(every_type["type"]) != "merger"] >= 0).all()
    dwarf = of(every_type, "dwarf")
    assert np.percentile(dwarf["log_mass"], 95) < 9.3
    assert np.nanmedian(dwarf["disc_n"]) == pytest.approx(1, abs=0.1)
    boxy = of(every_type, "edge_on")
    boxy = boxy[np.asarray(boxy["bulge_share"]) > 0]
    assert np.mean(np.asarray(boxy["bulge_boxiness"]) > 0.3) == pytest.approx(0.4, abs=0.04)
    spoilt = of(every_type, "artefact")
    assert set(np.unique(spoilt["artefact"])) == {"trail", "ghost", "bleed", "bad_zoom"}
    assert np.isfinite(np.asarray(spoilt["log_mass"])).all()
    star = of(every_type, "star")
    assert (star["bulge_share"] == 1).all()
    assert star["temperature"].min() >= 3000
    assert np.isnan(np.asarray(star["log_mass"])).all()


def test_faint_discs_are_faint(every_type: Any) -> None:
    """Central face-on brightness of the exponential disc, from fluxes: below 22.5 B mag (Impey & Bothun 1997)."""
    table = of(every_type, "low_surface_brightness")
    flux = part_fluxes(table, "sdss").sum(axis=1)
    z = np.asarray(table["z"])
    g, r = 22.5 - 2.5 * np.log10(flux[:, 1:3]).T
    radius = np.asarray(table["r_e"]) / kpc_per_arcsec(z) / 1.678
    centre = g + 0.39 * (g - r) + 0.21 + 2.5 * np.log10(2 * np.pi * radius**2) - 10 * np.log10(1 + z) + 0.97 * z
    assert np.percentile(centre, 2) > 22.3


def test_bars_arms_and_rings(every_type: Any) -> None:
    spirals = of(every_type, "spiral")
    spirals = spirals[np.asarray(spirals["t_type"]) > 0.5]
    strong = np.asarray(spirals["bar_q"]) < 0.4
    assert np.mean(np.asarray(spirals["bar_share"]) > 0) == pytest.approx(0.66, abs=0.04)  # Eskridge+2000
    assert np.mean(strong) == pytest.approx(0.33, abs=0.04)
    early = np.asarray(spirals["t_type"]) < 2.5
    ratio = np.asarray(spirals["bar_length"]) / np.asarray(spirals["disc_r_e"]) * 1.678
    assert np.nanmedian(ratio[early & strong]) == pytest.approx(1.4, abs=0.15)  # Erwin 2005
    two = np.mean(np.asarray(spirals["arm_count"]) == 2)
    assert two == pytest.approx(0.59, abs=0.03)  # Hart+2016
    pitch, stage = np.asarray(spirals["arm_pitch"]), np.asarray(spirals["t_type"])
    assert stats.spearmanr(pitch, stage).statistic > 0.5  # Kennicutt 1981
    assert np.median(pitch[early]) < 15 < np.median(pitch[stage > 5])
    assert 0.05 < np.mean(np.asarray(spirals["ring_share"]) > 0) < 0.2


def test_half_light_radius_of_the_whole_galaxy(every_type: Any) -> None:
    """Bulge and disc, each a Sersic profile by SciPy, hold half of their light within r_e."""
    table = of(every_type, "lenticular")[:300]
    flux = part_fluxes(table, "sdss")[:, :, 2]
    bulge = flux[:, 0] / flux.sum(axis=1)

    def within(radius: Any, r_e: Any, n: Any) -> Any:
        return special.gammainc(2 * n, special.gammaincinv(2 * n, 0.5) * (radius / r_e) ** (1 / n))

    r = np.asarray(table["r_e"])
    inner = within(r, np.asarray(table["bulge_r_e"]), np.asarray(table["bulge_n"]))
    outer = within(r, np.asarray(table["disc_r_e"]), np.asarray(table["disc_n"]))
    # to the K-correction: shares are those at z, r_e is of rest-frame light
    np.testing.assert_allclose(bulge * inner + (1 - bulge) * outer, 0.5, atol=0.02)


def test_sizes_follow_van_der_wel(nearby: Any) -> None:
    mass, size = (np.asarray(nearby[name]) for name in ("log_mass", "r_e"))
    late = (np.asarray(nearby["type"]) == "spiral") & (np.asarray(nearby["t_type"]) > 2)
    residual = np.log10(size[late] / (8.9 * 1.25**-0.75 * (10 ** (mass[late] - 10.699)) ** 0.22))
    assert np.median(residual) == pytest.approx(0, abs=0.01)
    assert np.std(residual) == pytest.approx(0.14, abs=0.01)
    early = (np.asarray(nearby["type"]) == "elliptical") & (mass > 10.8)
    residual = np.log10(size[early] / (5.6 * 1.25**-1.48 * (10 ** (mass[early] - 10.699)) ** 0.76))
    assert np.median(residual) == pytest.approx(0, abs=0.04)


# --- what a caller may ask ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": -1}, "n must be an integer from 0 on; got -1"),
        ({"n": 1.5}, "n must be an integer"),
        ({"n": 5, "mix": {"sprial": 1}}, "did you mean 'spiral'"),
        ({"n": 5, "mix": {"spiral": -1}}, "'spiral' must be a number from 0 on"),
        ({"n": 5, "mix": {"spiral": 0}}, "no type has a share above 0"),
        ({"n": 5, "redshift": (0.3, 0.1)}, r"redshift must be a range .* got \(0.3, 0.1\)"),
        ({"n": 5, "redshift": 0.1}, "redshift must be a range .* got 0.1"),
        ({"n": 5, "mix": ["spiral"]}, "mix must be a dict"),
        ({"n": 5, "log_mass": (1, 2)}, "log_mass must be a range"),
        ({"n": 5, "z": 9.0}, "z must be within"),
        ({"n": 5, "limit": 100}, "limit must be a magnitude"),
        ({"n": 5, "start": -2}, "start must be an integer from 0 on"),
        ({"n": 5, "limit": "r"}, "limit must be a magnitude between 5 and 32; got 'r'"),
        ({"n": 5, "z": "0.5"}, "z must be within 0.0001 and 6; got '0.5'"),
        ({"n": 5, "mix": {"spiral": "3"}}, "the share of 'spiral' must be a number from 0 on; got '3'"),
        ({"n": 5, "redshift": ("a", 1)}, "redshift must be a range"),
    ],
)
def test_impossible_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        rosse.Population(**options)


def test_impossible_rows_and_samples() -> None:
    population = rosse.Population(10)
    with pytest.raises(OptionError, match="rows 5 to 20 are not within the 10 rows"):
        population.rows(5, 20)
    with pytest.raises(OptionError, match="steps of one"):
        population[::2]
    with pytest.raises(OptionError, match="no galaxy is brighter than limit=9"):
        rosse.Population(5, limit=9, redshift=(1.0, 2.0)).table()
    with pytest.raises(OptionError, match="no galaxy of type dwarf"):
        rosse.Population(5, mix={"dwarf": 1}, redshift=(0.2, 0.25)).table()


@pytest.mark.parametrize("limit", [13.7, 14.0, 17.77])
def test_a_range_of_masses_and_a_limit_are_both_kept(limit: float) -> None:
    """Small galaxies are brighter than a bright limit only where all is favourable; none gets a mass to make up."""
    table = rosse.Population(4000, seed=3, limit=limit, log_mass=(9.0, 9.5)).table()
    mass = np.asarray(table["log_mass"])[np.asarray(table["kind"]) != "star"]
    assert 9.0 <= mass.min() < mass.max() <= 9.5
    assert table["mag_r"].max() <= limit
