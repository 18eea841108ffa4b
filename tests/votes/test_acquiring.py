"""`acquire`, `rosse acquire`, and the way of galaxies to Zooniverse and of votes back."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rosse
from rosse.cli import main
from rosse.errors import InputError, OptionError
from rosse.io import write_packed
from rosse.nets.checkpoints import save_tensors
from rosse.nets.encoders import EncoderSpec
from rosse.nets.training import TrainOptions
from rosse.votes import acquiring
from rosse.votes.acquiring import Acquiring, acquire, read_labelled
from rosse.votes.acquisition import information
from rosse.votes.learning import VoteTraining, train_votes
from rosse.votes.model import VoteModel
from rosse.votes.network import NetworkSpec
from rosse.votes.predicting import predict_votes
from rosse.votes.subjects import write_subjects
from rosse.votes.zooniverse import read_classifications
from votes.galaxies import SHAPES, galaxies

COUNT = 160


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a packed store, and votes on the first forty galaxies."""
    place = tmp_path_factory.mktemp("acquire")
    cutouts, votes, _ = galaxies(COUNT)
    how = VoteTraining(
        network=NetworkSpec(encoder=EncoderSpec(name="tiny"), width=32), draws=3, members=2, side=24,
        options=TrainOptions(epochs=2, batch=16),
    )  # fmt: skip
    train_votes(votes[:40], cutouts[:40], place / "model", how=how)
    write_packed(place / "packed", cutouts)
    votes[:40].table().write(place / "votes.csv")
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> VoteModel:
    return rosse.votes.model.load_model(folder / "model")


def command(words: Sequence[object]) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_most_informative_galaxies_without_labels_are_chosen(model: VoteModel) -> None:
    """From the predictions of `predict_votes`, one after the other."""
    cutouts, _, _ = galaxies(COUNT)
    labelled = cutouts.id[:40].tolist()
    how = Acquiring(count=12, strategy="information", questions=("flat",), people=20)
    found = acquire(cutouts, model, how=how, labelled=labelled)
    left = cutouts[40:]
    said = predict_votes(left, model)
    worth = information(SHAPES, said.concentrations, people=20)[:, 0]
    order = np.argsort(-worth)[:12]
    assert found.id.tolist() == left.id[order].tolist()
    np.testing.assert_allclose(found.information[:, 0], worth[order], rtol=1e-6)
    np.testing.assert_allclose(found.asked, said.asked[order], rtol=1e-6)
    assert found.row.tolist() == (40 + order).tolist()
    assert (found.model, found.pool) == (model.hash, COUNT - 40)
    table = found.table()
    assert table.colnames == ["rank", "id", "ra", "dec", "information", "flat_asked", "strategy", "seed", "weights"]
    assert all(table[name].description for name in table.colnames)


def test_galaxies_that_cannot_be_seen_are_never_chosen(model: VoteModel) -> None:
    cutouts, _, _ = galaxies(30)
    cutouts.ivar[::2] = 0
    found = acquire(cutouts, model, how=Acquiring(count=30))
    assert sorted(found.row.tolist()) == list(range(1, 30, 2))
    with pytest.raises(InputError, match="no galaxy left to label"):
        acquire(cutouts, model, labelled=cutouts.id.tolist())
    with pytest.raises(OptionError, match="question"):
        acquire(cutouts, model, how=Acquiring(questions=("bar",)))


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(
    folder: Path, model: VoteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power fails after the second of four files; what is on the disk is not predicted again."""
    monkeypatch.setattr(acquiring, "CHUNK", 40)
    whole = acquire(folder / "packed", model, how=Acquiring(count=9))
    written: list[Path] = []

    def until_power_fails(path: Path, *rest: object) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        save_tensors(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(acquiring, "save_tensors", until_power_fails)
    with pytest.raises(KeyboardInterrupt):
        acquire(folder / "packed", model, how=Acquiring(count=9), work=tmp_path / "work")
    assert len(list((tmp_path / "work").iterdir())) == 2
    monkeypatch.setattr(acquiring, "save_tensors", save_tensors)
    predicted: list[int] = []
    votes_of_rows = acquiring.votes_of_rows

    def counted(source: object, rows: np.ndarray, *rest: object, **more: object) -> object:
        predicted.extend(rows.tolist())
        return votes_of_rows(source, rows, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(acquiring, "votes_of_rows", counted)
    found = acquire(folder / "packed", model, how=Acquiring(count=9), work=tmp_path / "work")
    assert predicted == list(range(80, COUNT))
    assert found.id.tolist() == whole.id.tolist()
    assert not (tmp_path / "work").exists()


def test_the_command_writes_the_next_ids_with_the_models_hash(
    folder: Path, model: VoteModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["acquire", folder / "packed", "--model", folder / "model", "--labelled", folder / "votes.csv", "--n", 7,
             "--question", "flat,size", "--seed", 3, "--out", tmp_path / "next.csv"]  # fmt: skip
    assert command(words) == 0
    rows = rows_of(tmp_path / "next.csv")
    assert [row["rank"] for row in rows] == [str(i) for i in range(1, 8)]
    assert {row["weights"] for row in rows} == {model.hash}
    assert not {row["id"] for row in rows} & set(read_labelled(folder / "votes.csv"))
    direct = acquire(folder / "packed", model, how=Acquiring(count=7, seed=3),
                     labelled=read_labelled(folder / "votes.csv"))  # fmt: skip
    assert [row["id"] for row in rows] == direct.id.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["next.csv"]
    capsys.readouterr()
    assert command(words) == 0
    assert "nothing was left to do" in capsys.readouterr().out
    assert command([*words, "--strategy", "margin"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert command([*words, "--strategy", "margin", "--overwrite"]) == 0
    assert rows_of(tmp_path / "next.csv")[0]["strategy"] == "margin"
    # the next round leaves out what this one asked for
    again = tmp_path / "second.csv"
    both = f"{folder / 'votes.csv'},{tmp_path / 'next.csv'}"
    assert command([*words[:4], "--labelled", both, "--n", 7, "--out", again]) == 0
    assert not {row["id"] for row in rows_of(again)} & {row["id"] for row in rows_of(tmp_path / "next.csv")}


def test_mistakes_get_one_message(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ["acquire", folder / "packed", "--model", folder / "model"]
    for words, message in (
        (start, "--out is missing"),
        (["acquire", folder / "packed", "--out", "next.csv"], "--model is missing"),
        (["acquire", "--model", folder / "model", "--out", "next.csv"], "no image came"),
        ([*start, "--out", tmp_path / "next.txt"], "a CSV file is wanted"),
        ([*start, "--out", tmp_path / "n.csv", "--strategy", "jont"], "did you mean 'joint'"),
        ([*start, "--out", tmp_path / "n.csv", "--question", "bar"], "unknown question 'bar'"),
        ([*start, "--out", tmp_path / "n.csv", "--n", "0"], "count is 0"),
    ):
        assert command(words) == 2, words
        assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def exported(manifest: Path, answers: dict[str, list[str]]) -> str:
    """What Zooniverse exports of subjects uploaded with a manifest: a line for one person and one galaxy."""
    lines = [["user_name", "workflow_id", "workflow_name", "annotations", "subject_data", "subject_ids"]]
    for number, row in enumerate(rows_of(manifest), 1001):
        about = {str(number): {"retired": None, **{key: value for key, value in row.items() if value}}}
        for person, answer in enumerate(answers[row["!id"]]):
            given = [{"task": "T0", "task_label": "Is it flat?", "value": answer}]
            lines.append([f"p{person}", "1", "shapes", json.dumps(given), json.dumps(about), str(number)])
    return "\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines)


def test_galaxies_go_to_zooniverse_and_votes_come_back(folder: Path, model: VoteModel, tmp_path: Path) -> None:
    found = acquire(folder / "packed", model, how=Acquiring(count=5))
    manifest = write_subjects(tmp_path / "upload", folder / "packed", found, side=200)
    rows = rows_of(manifest)
    # what volunteers see must not tell them which galaxy it is, nor what a model finds difficult
    assert [name for name in rows[0] if name[0] not in "#!"] == ["filename"]
    assert sorted(row["!id"] for row in rows) == sorted(found.id)
    assert [row["!id"] for row in rows] != found.id.tolist()
    assert {row["#weights"] for row in rows} == {model.hash}
    for row in rows:
        path = tmp_path / "upload" / row["filename"]
        assert path.stat().st_size < 1_000_000
        with Image.open(path) as image:
            assert (image.format, image.size) == ("PNG", (200, 200))
    answers = {name: ["yes"] * i + ["no"] * (6 - i) for i, name in enumerate(found.id.tolist(), 1)}
    (tmp_path / "export.csv").write_text(exported(manifest, answers))
    votes = read_classifications(tmp_path / "export.csv", SHAPES, id="id")
    for i, name in enumerate(found.id.tolist(), 1):
        assert votes.of_ids([name]).counts[0, :2].tolist() == [i, 6 - i]
    votes.table().write(tmp_path / "back.csv")
    after = acquire(folder / "packed", model, how=Acquiring(count=COUNT), labelled=read_labelled(tmp_path / "back.csv"))
    assert sorted([*after.id, *found.id]) == sorted(galaxies(COUNT)[0].id)


def test_pictures_of_subjects_are_of_their_galaxies(model: VoteModel, tmp_path: Path) -> None:
    """A galaxy that is a bright square in one corner only is told from the others by its file."""
    cutouts, _, _ = galaxies(6)
    cutouts.flux[3] = 0
    cutouts.flux[3, :, 2:6, 2:6] = 900
    found = acquire(cutouts, model, how=Acquiring(count=6))
    write_subjects(tmp_path, cutouts, found, side=96)
    grey = {path.stem: np.asarray(Image.open(path).convert("L"), dtype=float) for path in tmp_path.glob("*.png")}
    corner = {name: pixels[-24:, :24].mean() - pixels[:24, -24:].mean() for name, pixels in grey.items()}
    assert max(corner, key=lambda name: corner[name]) == str(cutouts.id[3])  # first row of pixels is the lowest


def test_pictures_stay_what_they_are(folder: Path, tmp_path: Path) -> None:
    """A model of pictures, and galaxies that are files: each subject has the pixels of its file, the right way up."""
    cutouts, votes, _ = galaxies(40)
    draw = np.random.default_rng(0)
    (tmp_path / "jpegs").mkdir()
    for name in cutouts.id:
        pixels = draw.integers(0, 256, (30, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "jpegs" / f"{name}.png")
    how = VoteTraining(
        network=NetworkSpec(encoder=EncoderSpec(name="tiny"), width=8), draws=2, side=24,
        options=TrainOptions(epochs=1, batch=16),
    )  # fmt: skip
    trained = train_votes(votes, tmp_path / "jpegs", tmp_path / "model", how=how)
    found = acquire(tmp_path / "jpegs", trained, how=Acquiring(count=4, strategy="margin"))
    write_subjects(tmp_path / "upload", tmp_path / "jpegs", found, side=16)
    for row in rows_of(tmp_path / "upload" / "manifest.csv"):
        places = tmp_path / "upload" / row["filename"], tmp_path / "jpegs" / f"{row['!id'].removesuffix('.png')}.png"
        with Image.open(places[0]) as given, Image.open(places[1]) as first:
            np.testing.assert_array_equal(np.asarray(given), np.asarray(first))
