"""The model that comes with rosse: it knows galaxies of every survey that it has not seen, and says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rosse
from rosse.sky.draw import Truth
from rosse.sky.observe import View
from rosse.votes.model import SHIPPED, load_model, shipped_models

NAME = "gz-decals-small"


def test_it_is_small_and_has_a_card() -> None:
    folder = SHIPPED / NAME
    assert shipped_models() == [NAME]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10 * 2**20
    model = load_model(NAME)
    assert model.tree.name == "gz-decals"
    assert json.loads((folder / "model.json").read_text())["hash"] == model.hash
    text = (folder / "card.md").read_text()
    for word in (model.hash, "virtual", "mag_r", "redshift", "r90", "true shares"):
        assert word in text
    assert set(model.calibration.concentration) == {question.name for question in model.tree.questions}
    assert str(Path("/")) not in json.dumps(model.card["mark"])  # no place of the machine that it was made on


@pytest.mark.slow
@pytest.mark.parametrize(
    ("survey", "bands"),
    [("sdss", ("g", "r", "i")), ("decals", ("g", "r", "z")), ("hsc", ("g", "r", "i")), ("lsst", ("r",)),
     ("des", ("g", "r", "i", "z"))],
)  # fmt: skip
def test_it_knows_what_is_to_be_seen_in_every_survey(survey: str, bands: tuple[str, ...]) -> None:
    """Galaxies of a seed and frames of its own; DES and a single band were never seen in training."""
    view = View(bands=bands, frame=88, also=Truth(parts=True))
    seen = rosse.observe(rosse.Population(160, seed=31_415), survey, view=view)
    truth = rosse.volunteers(seen, NAME.removesuffix("-small"), seed=1, voters=40).probability
    found = rosse.predict_votes(seen.cutouts, NAME)
    assert (found.status == 0).all()
    for column, far, alike in (("smooth-or-featured_smooth", 0.2, 0.6), ("disk-edge-on_yes", 0.15, 0.6)):
        k = found.tree.columns.index(column)
        assert np.abs(found.fractions[:, k] - truth[:, k]).mean() < far
        assert np.corrcoef(found.fractions[:, k], truth[:, k])[0, 1] > alike
