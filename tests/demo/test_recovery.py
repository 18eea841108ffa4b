"""Matching, differences and pulls against numbers that are known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from rosse.demo.recovery import QUANTITIES, Recovery, detection_summary, match, recover, robust_width


def objects(**columns: Any) -> Table:
    """A truth table of as many objects as `x` has, alone and 20 pixels apart unless told otherwise."""
    count = len(np.atleast_1d(columns["x"]))
    defaults: dict[str, Any] = {
        "y": np.zeros(count), "mag_r": np.full(count, 20.0), "kind": np.full(count, "galaxy"),
        "blended": np.zeros(count, bool), "neighbour": np.full(count, 50.0), "r_e": np.ones(count),
        "n": np.full(count, 2.0), "q": np.full(count, 0.5),
    }  # fmt: skip
    return Table(defaults | columns)


def catalogue(**columns: Any) -> Table:
    count = len(np.atleast_1d(columns["x_image"]))
    defaults: dict[str, Any] = {
        "y_image": np.zeros(count), "kind": np.full(count, "galaxy"), "status": np.full(count, "ok"),
        "flux_r": np.full(count, 100.0), "sigma_flux_r": np.ones(count),
    }  # fmt: skip
    for name in ("mag_r", "r_e", "n", "q"):
        defaults |= {name: np.ones(count), f"sigma_{name}": np.ones(count)}
    return Table(defaults | columns)


def test_the_brighter_of_two_objects_has_the_source_that_both_could_be() -> None:
    truth = objects(x=[10.0, 12.0, 40.0], mag_r=[21.0, 19.0, 20.0])
    assert match(truth, catalogue(x_image=[11.0, 41.0, 80.0])).tolist() == [-1, 0, 1]


def test_nothing_matches_in_an_empty_catalogue() -> None:
    assert match(objects(x=[1.0, 2.0]), catalogue(x_image=np.empty(0))).tolist() == [-1, -1]


def test_robust_width_is_the_standard_deviation_of_a_normal_sample() -> None:
    sample = np.random.default_rng(0).normal(3, 2, 20_000)
    assert robust_width(np.append(sample, [1e9, -1e9])) == pytest.approx(2, rel=0.02)


def test_summary_of_a_fit_with_known_bias_and_errors() -> None:
    rng, true = np.random.default_rng(1), np.full(5000, 4.0)
    sigma = np.full(5000, 0.1)
    fitted = true + 0.05 + rng.normal(0, 0.2, 5000)  # errors are half of what they should be, and a bias
    fitted[:3] = 100.0
    summary = Recovery(quantity=QUANTITIES[1], true=true, fitted=fitted, sigma=sigma, snr=sigma).summary()
    assert summary["offset"] == pytest.approx(0.05 / 4, abs=0.002)
    assert summary["scatter"] == pytest.approx(0.2 / 4, rel=0.05)
    assert summary["pull_mean"] == pytest.approx(0.5, abs=0.1)
    assert summary["pull_width"] == pytest.approx(1.9, abs=0.1)  # 2, less what lies beyond five sigma
    assert summary["beyond"] >= 3
    assert summary["count"] == 5000


def test_only_single_bright_good_and_lonely_galaxies_are_compared() -> None:
    x = np.arange(7) * 20.0
    truth = objects(x=x, kind=["galaxy", "bulge+disc", "galaxy", "galaxy", "galaxy", "galaxy", "star"],
                    blended=[False, False, True, False, False, False, False],
                    neighbour=[50.0, 50, 50, 4.9, 50, 50, 50])  # fmt: skip
    found = catalogue(x_image=x, status=["ok"] * 4 + ["at_bound", "ok", "ok"], sigma_flux_r=[1.0, 1, 1, 1, 1, 10, 1])
    for recovery in recover(truth, found, minimum_snr=20):
        assert recovery.true.tolist() == [truth[recovery.quantity.name][0]]
        assert recovery.snr.tolist() == [100]


def test_masked_numbers_of_stars_do_no_harm() -> None:
    truth, found = objects(x=[0.0, 20.0]), catalogue(x_image=[0.0, 20.0])
    found["flux_r"] = MaskedColumn([100.0, 0.0], mask=[False, True])
    assert len(recover(truth, found, minimum_snr=20)[0].true) == 1


def test_no_galaxy_to_compare_is_said_without_numbers() -> None:
    for recovery in recover(objects(x=[0.0]), catalogue(x_image=[500.0]), minimum_snr=20):
        summary = recovery.summary()
        assert summary["count"] == 0
        assert summary["offset"] is summary["scatter"] is summary["pull_mean"] is None


def test_counts_of_a_detection() -> None:
    truth = objects(x=np.arange(6) * 20.0, kind=["galaxy"] * 3 + ["star"] * 3, mag_r=[20, 20, 24, 20, 20, 20])
    found = catalogue(x_image=[0.0, 60, 80, 500], kind=["galaxy", "star", "galaxy", "galaxy"])
    summary = detection_summary(truth, found, bright=22)
    assert summary["galaxies_bright"] == 2
    assert summary["galaxies_found"] == 1
    assert summary["stars_found"] == 2
    assert summary["unmatched_sources"] == 1
    assert (summary["called_galaxy_right"], summary["called_galaxy"]) == (1, 2)
    assert (summary["called_star_right"], summary["called_star"]) == (1, 1)
