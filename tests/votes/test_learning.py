"""Training on galaxies whose votes have known probabilities: shares, coverage, resuming, ensembles, what is written."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rosse.errors import FileError, InputError, OptionError
from rosse.nets.encoders import EncoderSpec
from rosse.nets.training import Interrupted, TrainOptions
from rosse.status import Status
from rosse.votes.examples import match, split
from rosse.votes.learning import VoteTraining, question_weights, train_votes
from rosse.votes.model import VoteModel, load_model
from rosse.votes.network import NetworkSpec
from rosse.votes.predicting import predict_votes
from rosse.votes.scores import coverage
from rosse.votes.seeing import as_images
from rosse.votes.table import VoteTable
from votes.galaxies import SHAPES, galaxies

HOW = VoteTraining(
    network=NetworkSpec(encoder=EncoderSpec(name="tiny"), width=32, dropout=0.1),
    options=TrainOptions(epochs=3, batch=32, rate=4e-3),
    side=24, draws=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[VoteModel, Path]:
    """A model that has learnt for some seconds, and its folder."""
    cutouts, votes, _ = galaxies(1800)
    folder = tmp_path_factory.mktemp("learnt") / "model"
    how = replace(HOW, options=TrainOptions(epochs=12, batch=32, rate=6e-3))
    return train_votes(votes, cutouts, folder, how=how), folder


def test_shares_of_galaxies_never_seen_are_near_the_truth_and_covered(learnt: tuple[VoteModel, Path]) -> None:
    cutouts, _, shares = galaxies(1200, seed=77)
    found = predict_votes(cutouts, learnt[0])
    error = np.abs(found.fractions - shares)
    asked = SHAPES.asked_probability(shares)
    assert error[:, :2].mean() < 0.05
    assert error[asked[:, 1] > 0.3, 2:].mean() < 0.05
    inside = coverage(shares, found.quantile(0.05), found.quantile(0.95), asked, SHAPES)
    assert ((inside > 0.82) & (inside < 0.97)).all(), inside
    assert np.abs(found.asked - asked)[:, 1].mean() < 0.05
    hardly = found.hardly_asked[:, 1]
    assert (asked[hardly, 1] < 0.25).all()
    assert 0.1 < hardly.mean() < 0.9


def test_the_folder_says_what_it_is(learnt: tuple[VoteModel, Path]) -> None:
    model, folder = learnt
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.json", "member-0.safetensors", "card.md", "curves.png", "history.csv"}
    card = (folder / "card.md").read_text()
    assert model.hash in card
    assert model.tree.hash in card
    assert card.count("\n| ") == 3
    about = json.loads((folder / "model.json").read_text())
    assert about["card"]["data"]["galaxies"] == 1800
    assert set(about["card"]["made_with"]) >= {"rosse", "torch", "safetensors"}
    lines = (folder / "history.csv").read_text().splitlines()
    assert len(lines) == 1 + about["card"]["epochs"]["member 0"]
    from PIL import Image

    with Image.open(folder / "curves.png") as picture:
        assert min(picture.size) > 300


def test_what_is_loaded_predicts_the_same(learnt: tuple[VoteModel, Path]) -> None:
    model, folder = learnt
    cutouts, _, _ = galaxies(40, seed=5)
    again = load_model(folder)
    assert again.hash == model.hash
    assert again.tree.hash == model.tree.hash
    one, two = predict_votes(cutouts, model), predict_votes(cutouts, str(folder))
    np.testing.assert_array_equal(one.concentrations, two.concentrations)
    assert set(two.table()["weights"]) == {model.hash}
    assert two.table().meta["weights"] == model.hash


def test_a_galaxy_does_not_depend_on_the_others(learnt: tuple[VoteModel, Path]) -> None:
    cutouts, _, _ = galaxies(50, seed=6)
    whole = predict_votes(cutouts, learnt[0])
    parts = predict_votes(cutouts, learnt[0], batch=7)
    order = np.random.default_rng(0).permutation(50)
    shuffled = predict_votes(cutouts[order], learnt[0])
    np.testing.assert_allclose(parts.concentrations, whole.concentrations, rtol=1e-4)
    np.testing.assert_allclose(shuffled.concentrations, whole.concentrations[order], rtol=1e-4)
    assert shuffled.id.tolist() == cutouts.id[order].tolist()


def test_unknown_conditions_are_allowed(learnt: tuple[VoteModel, Path]) -> None:
    cutouts, _, _ = galaxies(200, seed=6)
    bare = replace(cutouts, psf=None, scale=torch.full((200,), torch.nan))
    known, blind = predict_votes(cutouts, learnt[0]), predict_votes(bare, learnt[0])
    seen = predict_votes(cutouts, learnt[0], redshift=np.full(200, 0.1))
    for other in (blind, seen):
        assert not np.array_equal(other.concentrations, known.concentrations)
        assert np.abs(other.fractions - known.fractions)[:, 0].mean() < 0.06


def test_galaxies_without_pixels_are_rows_with_a_status(learnt: tuple[VoteModel, Path]) -> None:
    cutouts, _, _ = galaxies(4, seed=6)
    ivar = cutouts.ivar.clone()
    ivar[2] = 0
    found = predict_votes(replace(cutouts, ivar=ivar), learnt[0])
    assert found.status.tolist() == [Status.OK, Status.OK, Status.NO_DATA, Status.OK]
    table = found.table()
    assert np.isnan([table[name][2] for name in table.colnames if name.endswith(("_05", "_fraction", "_asked"))
                     and not name.endswith("hardly_asked")]).all()  # fmt: skip
    assert np.isfinite(table["flat_yes_fraction_95"][[0, 1, 3]]).all()
    assert table["flat_yes_fraction_05"][0] < table["flat_yes_fraction"][0] < table["flat_yes_fraction_95"][0]


def stopping(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Press Ctrl-C when a training asks for a batch the so-many-th time."""
    from rosse.votes.examples import Examples

    own, count = Examples.batch, [0]

    def batch(self: Examples, rows: np.ndarray, draw: torch.Generator | None) -> object:
        count[0] += 1
        if count[0] == at:
            os.kill(os.getpid(), signal.SIGINT)
        return own(self, rows, draw)

    monkeypatch.setattr(Examples, "batch", batch)


@pytest.mark.parametrize("at", [2, 6, 17])
def test_a_training_that_was_stopped_ends_with_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    cutouts, votes, _ = galaxies(200, seed=1)
    how = replace(HOW, members=2, options=replace(HOW.options, epochs=2))
    whole = train_votes(votes, cutouts, tmp_path / "whole", how=how)
    with monkeypatch.context() as patch:
        stopping(patch, at)
        with pytest.raises(Interrupted):
            train_votes(votes, cutouts, tmp_path / "stopped", how=how)
    assert not (tmp_path / "stopped" / "model.json").exists()
    again = train_votes(votes, cutouts, tmp_path / "stopped", how=how)
    assert again.hash == whole.hash
    for name in ("member-0.safetensors", "member-1.safetensors"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_folder_is_never_mixed_up(tmp_path: Path) -> None:
    cutouts, votes, _ = galaxies(150, seed=1)
    how = replace(HOW, options=replace(HOW.options, epochs=1))
    first = train_votes(votes, cutouts, tmp_path, how=how)
    assert train_votes(votes, cutouts, tmp_path, how=how).hash == first.hash
    with pytest.raises(OptionError, match="holds a model of other options, votes or images"):
        train_votes(votes, cutouts, tmp_path, how=replace(how, weights={"flat": 2.0}))
    with pytest.raises(OptionError, match="holds a model of other options, votes or images"):
        train_votes(votes[:140], cutouts, tmp_path, how=how)
    assert train_votes(votes[:140], cutouts, tmp_path, how=how, overwrite=True).hash != first.hash
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OptionError, match=r"thesis\.tex"):
        train_votes(votes, cutouts, tmp_path, how=how, overwrite=True)


def test_damaged_and_foreign_models_are_named(tmp_path: Path, learnt: tuple[VoteModel, Path]) -> None:
    import shutil

    from rosse.nets.checkpoints import load_tensors, save_tensors

    with pytest.raises(FileError, match="is no model of votes"):
        load_model(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(learnt[1], copy)
    tensors, _ = load_tensors(copy / "member-0.safetensors")
    tensors["head.linear.bias"][0] += 1e-3
    save_tensors(copy / "member-0.safetensors", tensors)
    with pytest.raises(FileError, match=r"weights are not those that model\.json names"):
        load_model(copy)
    (copy / "member-0.safetensors").write_bytes(b"short")
    with pytest.raises(FileError, match="is damaged"):
        load_model(copy)
    (copy / "model.json").write_text('{"format": "rosse vote model 1"}')
    with pytest.raises(FileError, match="is damaged"):
        load_model(copy)


def test_members_draws_and_views_are_components(learnt: tuple[VoteModel, Path]) -> None:
    cutouts, _, _ = galaxies(30, seed=9)
    model = learnt[0]
    plain = replace(model, draws=0)
    assert predict_votes(cutouts, plain).concentrations.shape[1] == 1
    drawn = predict_votes(cutouts, replace(model, draws=5)).concentrations
    assert drawn.shape[1] == 5
    assert (drawn.std(1) > 0).all()
    views = predict_votes(cutouts, replace(plain, views=8))
    assert views.concentrations.shape[1] == 8
    turned = replace(cutouts, flux=cutouts.flux.flip(-1), ivar=cutouts.ivar.flip(-1))
    mirrored = predict_votes(turned, replace(plain, views=8))
    np.testing.assert_allclose(mirrored.fractions, views.fractions, atol=2e-4)
    both = replace(model, members=(model.members[0], model.members[0]), draws=2, views=4)
    assert predict_votes(cutouts, both).concentrations.shape[1] == both.components == 16
    with pytest.raises(OptionError, match="views is 2"):
        replace(model, views=2)


def test_galaxies_find_their_votes_by_name_or_by_file(tmp_path: Path) -> None:
    cutouts, votes, _ = galaxies(20, seed=2)
    order = np.random.default_rng(1).permutation(20)[:12]
    both = match(as_images(cutouts), votes[order])
    assert both.votes.id.tolist() == cutouts.id[both.rows].tolist()
    assert sorted(both.rows.tolist()) == sorted(order.tolist())
    dots = replace(cutouts, id=np.array([f"J0053.{name}-01.0" for name in cutouts.id]))
    files = VoteTable.of(SHAPES, [f"jpg/J0053.{name}-01.0.fits.gz" for name in votes.id], votes.counts)
    assert match(as_images(dots), files[order]).rows.tolist() == both.rows.tolist()
    paths = VoteTable.of(SHAPES, [f"/data/jpg/{name}.jpg" for name in votes.id], votes.counts)
    assert match(as_images(cutouts), paths[order]).rows.tolist() == both.rows.tolist()
    strange = VoteTable.of(SHAPES, [f"x{i}" for i in range(20)], votes.counts)
    with pytest.raises(InputError, match="images are called 'g00000', votes are on 'x0'"):
        match(as_images(cutouts), strange)


def test_galaxies_stay_in_their_part_when_others_come() -> None:
    ids = np.array([f"galaxy {i}" for i in range(4000)])
    parts = split(ids, (0.1, 0.2))
    assert sorted(np.concatenate(parts).tolist()) == list(range(4000))
    assert len(parts[1]) == pytest.approx(400, abs=60)
    assert len(parts[2]) == pytest.approx(800, abs=80)
    fewer = split(ids[::2], (0.1, 0.2))
    for part, small in zip(parts, fewer, strict=True):
        assert set(ids[::2][small]) == set(ids[part]) & set(ids[::2])
    with pytest.raises(OptionError, match="shares"):
        split(ids, (0.6, 0.5))


def test_rare_questions_can_weigh_more() -> None:
    _, votes, _ = galaxies(300, seed=2)
    people = votes.people.copy()
    counts = votes.counts.copy()
    counts[30:, 2:], people[30:, 1] = np.nan, np.nan
    rare = VoteTable.of(SHAPES, votes.id, counts, people)
    weights = question_weights("balanced", rare)
    asked = float((np.nan_to_num(people[:, 1]) > 0).mean())
    assert weights == {"flat": 1.0, "size": pytest.approx(min(10, 1 / asked))}
    with pytest.raises(OptionError, match="balanced"):
        replace(HOW, weights="fair")
