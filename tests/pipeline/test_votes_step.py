"""Votes as a step of `rosse run`: the model that comes with rosse, its columns, its hash, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_sky

import rosse
from rosse.cli import main
from rosse.errors import FileError
from rosse.io import FieldPsf, open_mosaic
from rosse.pipeline.asking import MODEL, STATUS, Asking
from rosse.pipeline.jobs import FieldOptions, field_job
from rosse.pipeline.local import LocalEngine
from rosse.pipeline.run import run
from rosse.votes.model import load_model, shipped_models

PSF = FieldPsf.constant(small_sky.psf_stamp())


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels, _, _ = small_sky.draw((200, 200), galaxies=8, stars=3)
    return small_sky.write(tmp_path_factory.mktemp("image") / "field.fits", pixels)


@pytest.fixture(scope="module")
def catalogue(field: Path, tmp_path_factory: pytest.TempPathFactory) -> rosse.Catalogue:
    options = FieldOptions(size=110, margin=48, shaping=None, asking=Asking.of())
    job = field_job([open_mosaic(field, zeropoint=25.0)], psfs=[PSF], options=options, inputs=[field])
    directory = tmp_path_factory.mktemp("run") / "out"
    run(job, directory, engine=LocalEngine(workers=1))
    return rosse.open_catalogue(directory)


def test_every_source_has_vote_columns_and_galaxies_have_votes(catalogue: rosse.Catalogue) -> None:
    frame = catalogue.to_pandas()
    measured = frame["status"] != "skipped"
    assert measured.sum() >= 6
    assert (frame.loc[measured, STATUS] == "ok").all()
    assert (frame.loc[~measured, STATUS] == "skipped").all()
    first = frame.loc[
        measured, [f"smooth-or-featured_{a}_fraction" for a in ("smooth", "featured-or-disk", "artifact")]
    ]
    np.testing.assert_allclose(first.to_numpy().sum(1), 1, atol=1e-5)
    low, high = (frame.loc[measured, f"disk-edge-on_yes_fraction_{end}"] for end in ("05", "95"))
    assert (low < high).all()
    assert frame.loc[~measured, "disk-edge-on_yes_fraction"].isna().all()
    model = load_model(MODEL)
    assert set(frame.loc[measured, "vote_weights"]) == {model.hash}
    assert catalogue.provenance["options"]["votes"] == model.hash
    names = {name for name in catalogue.schema.names if name.endswith("_fraction")}
    assert names == {f"{column}_fraction" for column in model.tree.columns}
    assert all(column.description for column in catalogue.columns)


def test_votes_in_a_field_are_those_of_its_cutouts(catalogue: rosse.Catalogue, field: Path) -> None:
    """The same galaxy, cut out by `detect` on the whole image instead of on a part of it."""
    found = rosse.detect(open_mosaic(field, zeropoint=25.0), psf=PSF)
    votes = rosse.predict_votes(found.cutouts, MODEL)
    frame = catalogue.to_pandas()
    frame = frame[frame[STATUS] == "ok"]
    for _, row in frame.iterrows():
        nearest = int(np.argmin(np.hypot(votes.ra - row["ra"], votes.dec - row["dec"])))
        there = row["smooth-or-featured_smooth_fraction"]
        assert there == pytest.approx(votes.fractions[nearest, 0], abs=0.02)  # the sky's mesh is the whole image's


def test_the_command_predicts_votes_unless_told_not_to(
    field: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = ["run", str(field), "--zeropoint", "25", "--psf", "none", "--no-shapes", "--workers", "1", "--out"]
    for words, there in (([], True), (["--no-votes"], False)):
        out = tmp_path / f"out-{there}"
        with pytest.raises(SystemExit) as end:
            main([*usual, str(out), *words])
        assert not end.value.code
        assert (STATUS in rosse.open_catalogue(out).schema.names) is there
        assert ("votes" in capsys.readouterr().out) is there


def test_models_are_found_by_name_and_unknown_ones_are_said() -> None:
    assert MODEL in shipped_models()
    with pytest.raises(
        FileError, match=r"no model 'gz-decal': no folder of this name, and rosse comes with gz-decals-"
    ):
        Asking.of("gz-decal")
    with pytest.raises(FileError, match="rosse train makes one"):
        rosse.predict_votes("nothing", "unknown")
    size = sum(path.stat().st_size for path in (Path(rosse.__file__).parent / "votes" / "models" / MODEL).iterdir())
    assert size < 10 * 2**20
